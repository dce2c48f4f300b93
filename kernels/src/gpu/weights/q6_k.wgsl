// Two words of upper bit pairs serve 32 values; five words of scales 256: sixteen of 8 bits, and the block's own.
fn eight(part: Part, at: u32) -> Eight {
    let codes = nibbles(weights[part.codes + at]);
    let bits = weights[part.bits + (at >> 1u)] >> (4u * (at & 1u));
    let lo = codes[0] + 16u * unpack4xU8(bits & 0x03030303u);
    let hi = codes[1] + 16u * unpack4xU8((bits >> 2u) & 0x03030303u);
    let base = part.scales + 5u * (at >> 5u);
    let group = (at >> 1u) & 15u;
    let scale = f32(unpack4xI8(weights[base + (group >> 2u)])[group & 3u]) * bitcast<f32>(weights[base + 4u]);
    return Eight(vec4f(lo), vec4f(hi), vec2f(scale, -32.0 * scale));
}
