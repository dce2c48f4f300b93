//! What the kernel tests share: seeded values, weights in every format, and the quantisation of inputs.
#![allow(dead_code)] // Each test binary uses a part of it.

use half::f16;
use nanomind_kernels::Format;

/// Columns that share a scale in quantised inputs.
pub(crate) const GROUP: usize = 32;

/// SplitMix64: small, seeded, good enough to choose test values.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Roughly normal, standard deviation 1.
    pub(crate) fn normal(&mut self) -> f32 {
        let sum: f32 = (0..12).map(|_| (self.next() >> 40) as f32 / (1u64 << 24) as f32).sum();
        sum - 6.0
    }

    pub(crate) fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.normal()).collect()
    }
}

/// What the weights of a test are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weights {
    /// Random codes and scales.
    Random,
    /// All codes at their largest, the largest scales.
    Largest,
    /// All codes at their smallest, the largest scales.
    Smallest,
    /// All bytes zero.
    Zero,
    /// Random codes, scales of minus zero.
    MinusZero,
}

/// Where the half-precision scales of a block are.
fn scales_at(format: Format) -> &'static [usize] {
    match format {
        Format::Q4_0 | Format::Q5_0 | Format::Q8_0 => &[0],
        Format::Q4_1 | Format::Q5_1 | Format::Q4K | Format::Q5K => &[0, 2],
        Format::Q6K => &[208],
        Format::F32 | Format::F16 | Format::Bf16 => &[],
    }
}

/// The bytes of `rows` rows of `cols` weights.
pub(crate) fn weights(random: &mut Random, kind: Weights, format: Format, rows: usize, cols: usize) -> Vec<u8> {
    let bytes = rows * format.row_bytes(cols).expect("whole blocks");
    match format {
        Format::F32 | Format::F16 | Format::Bf16 => {
            let value = |random: &mut Random| match kind {
                Weights::Random => random.normal(),
                Weights::Largest => 60_000.0,
                Weights::Smallest => -60_000.0,
                Weights::Zero => 0.0,
                Weights::MinusZero => -0.0,
            };
            let mut out = Vec::with_capacity(bytes);
            for _ in 0..rows * cols {
                let value = value(random);
                match format {
                    Format::F32 => out.extend(value.to_le_bytes()),
                    Format::F16 => out.extend(f16::from_f32(value).to_le_bytes()),
                    _ => out.extend(&value.to_le_bytes()[2..]),
                }
            }
            out
        }
        _ => {
            let mut out: Vec<u8> = (0..bytes)
                .map(|_| match kind {
                    Weights::Largest => 0xff,
                    Weights::Smallest | Weights::Zero => 0,
                    Weights::Random | Weights::MinusZero => random.next() as u8,
                })
                .collect();
            for block in out.chunks_exact_mut(format.block_bytes()) {
                for (index, &at) in scales_at(format).iter().enumerate() {
                    let scale = match kind {
                        Weights::Random => random.normal() * if index == 0 { 0.01 } else { 0.1 },
                        Weights::Largest | Weights::Smallest => 65_504.0,
                        Weights::Zero => 0.0,
                        Weights::MinusZero => -0.0,
                    };
                    block[at..at + 2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
                }
                // 0x7f is the largest signed byte.
                if format == Format::Q8_0 && kind == Weights::Largest {
                    block[2..].fill(0x7f);
                }
                if format == Format::Q8_0 && kind == Weights::Smallest {
                    block[2..].fill(0x80);
                }
                if format == Format::Q6K && kind == Weights::Smallest {
                    block[192..208].fill(0x80);
                }
            }
            out
        }
    }
}

/// A row of inputs as the kernels quantise it: to `scale · code` with codes in ±127 · 128, to nearest, ties to even.
pub(crate) fn quantised(row: &[f32]) -> Vec<f64> {
    let mut out = Vec::with_capacity(row.len());
    for group in row.chunks(GROUP) {
        let largest = group.iter().fold(0f32, |most, value| most.max(value.abs()));
        if largest < 1e-36 {
            out.extend(group.iter().map(|_| 0.0));
            continue;
        }
        let (scale, inverse) = (f64::from(largest / 16_256.0), 16_256.0 / largest);
        out.extend(group.iter().map(|value| scale * f64::from((value * inverse).round_ties_even())));
    }
    out
}

/// The bits of values, which tell apart what compares equal.
pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}
