// The scale and minimum of 32 values of a block of 256. Four words: both in half precision, four low bits of the eight
// scales, those of the eight minima, and two high bits of each.
fn k_scale(part: Part, at: u32) -> vec2f {
    let base = part.scales + 4u * (at >> 5u);
    let group = (at >> 2u) & 7u;
    let high = weights[base + 3u] >> (2u * group);
    let scale = ((weights[base + 1u] >> (4u * group)) & 15u) | ((high & 3u) << 4u);
    let least = ((weights[base + 2u] >> (4u * group)) & 15u) | (((high >> 16u) & 3u) << 4u);
    return unpack2x16float(weights[base]) * vec2f(vec2u(scale, least));
}
