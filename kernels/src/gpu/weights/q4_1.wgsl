fn eight(part: Part, at: u32) -> Eight {
    let codes = nibbles(weights[part.codes + at]);
    return Eight(vec4f(codes[0]), vec4f(codes[1]), unpack2x16float(weights[part.scales + (at >> 2u)]));
}
