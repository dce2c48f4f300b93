fn eight(at: u32) -> Eight {
    let codes = five_bits(at);
    return Eight(vec4f(codes[0]), vec4f(codes[1]), unpack2x16float(weights[p.scales + (at >> 2u)]));
}
