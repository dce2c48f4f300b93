fn two(word: u32) -> vec2f {
    return bitcast<vec2f>(vec2u(word << 16u, word & 0xffff0000u));
}

fn eight(part: Part, at: u32) -> Eight {
    let base = part.codes + 4u * at;
    let lo = vec4f(two(weights[base]), two(weights[base + 1u]));
    let hi = vec4f(two(weights[base + 2u]), two(weights[base + 3u]));
    return Eight(lo, hi, vec2f(1.0, 0.0));
}
