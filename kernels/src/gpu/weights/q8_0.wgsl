fn eight(part: Part, at: u32) -> Eight {
    let d = half_at(part.scales, at >> 2u);
    return Eight(vec4f(unpack4xI8(weights[part.codes + 2u * at])), vec4f(unpack4xI8(weights[part.codes + 2u * at + 1u])), vec2f(d, 0.0));
}
