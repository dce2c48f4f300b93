// Eight 5-bit codes. A word of fifth bits serves 32 values: bit `2 · quarter + half` of each of its bytes.
fn five_bits(part: Part, at: u32) -> array<vec4u, 2> {
    let codes = nibbles(weights[part.codes + at]);
    let bits = weights[part.bits + (at >> 2u)] >> (2u * (at & 3u));
    return array(
        codes[0] + 16u * unpack4xU8(bits & 0x01010101u),
        codes[1] + 16u * unpack4xU8((bits >> 1u) & 0x01010101u),
    );
}
