fn eight(part: Part, at: u32) -> Eight {
    let codes = five_bits(part, at);
    let d = half_at(part.scales, at >> 2u);
    return Eight(vec4f(codes[0]), vec4f(codes[1]), vec2f(d, -16.0 * d));
}
