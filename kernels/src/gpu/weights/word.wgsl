// Where the parts of some rows are: codes, what is left of wider codes, scales.
struct Part { codes: u32, bits: u32, scales: u32 }

// Eight weights as they come out of memory: `lo` and `hi` are codes, a weight is `scale.x · code + scale.y`.
struct Eight { lo: vec4f, hi: vec4f, scale: vec2f }

// Eight 4-bit codes: the low halves of the bytes are the first four, the high halves the others.
fn nibbles(word: u32) -> array<vec4u, 2> {
    return array(unpack4xU8(word & 0x0f0f0f0fu), unpack4xU8((word >> 4u) & 0x0f0f0f0fu));
}

// The half-precision number at place `at` of those from word `base` on.
fn half_at(base: u32, at: u32) -> f32 {
    return unpack2x16float(weights[base + (at >> 1u)])[at & 1u];
}
