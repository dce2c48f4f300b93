fn eight(part: Part, at: u32) -> Eight {
    let base = part.codes + 4u * at;
    let lo = vec4f(unpack2x16float(weights[base]), unpack2x16float(weights[base + 1u]));
    let hi = vec4f(unpack2x16float(weights[base + 2u]), unpack2x16float(weights[base + 3u]));
    return Eight(lo, hi, vec2f(1.0, 0.0));
}
