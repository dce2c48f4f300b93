fn eight(at: u32) -> Eight {
    let codes = nibbles(weights[at]);
    let d = half_at(p.scales, at >> 2u);
    return Eight(vec4f(codes[0]), vec4f(codes[1]), vec2f(d, -8.0 * d));
}
