//! Attention of every instruction set against double precision, and that a row's bits depend on nothing but the row.

mod common;

use common::{Random, bits};
use nanomind_hal::Lane;
use nanomind_kernels::{Isa, KvFormat, KvLayout, KvSide, KvView, attention, attention_to_all};

/// One layer's cache and the queries of some tokens.
#[derive(Debug, Clone, Copy)]
struct Shape {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    first: usize,
    tokens: usize,
}

struct Case {
    shape: Shape,
    layout: KvLayout,
    queries: Vec<f32>,
    /// Keys and values as they are kept.
    kept: [Vec<u8>; 2],
    /// What was kept, `[kv_heads][positions][head_dim]`, in double precision.
    wide: [Vec<f64>; 2],
}

impl Case {
    /// What no query may see is not-a-number, so reading it would show.
    fn new(shape: Shape, format: KvFormat, seed: u64) -> Case {
        let mut random = Random(seed);
        let seen = shape.first + shape.tokens;
        let width = shape.kv_heads * shape.head_dim;
        let (keys, values) = (random.floats(seen * width), random.floats(seen * width));
        let keys: Vec<f32> = keys.into_iter().map(|key| 2.0 * key).collect();
        let queries = random.floats(shape.tokens * shape.heads * shape.head_dim);
        Case::of(shape, format, seen + random.below(40), queries, [&keys, &values])
    }

    /// The case of these queries, and of keys and values `[positions, kv_heads, head_dim]`.
    fn of(shape: Shape, format: KvFormat, capacity: usize, queries: Vec<f32>, rows: [&[f32]; 2]) -> Case {
        let Shape { kv_heads, head_dim, .. } = shape;
        let layout = KvLayout::new(format, kv_heads, capacity, head_dim).expect("whole blocks");
        let positions = rows[0].len() / (kv_heads * head_dim);
        let sides = [(KvSide::Keys, rows[0]), (KvSide::Values, rows[1])];
        let kept = sides.map(|(side, rows)| {
            let mut kept = vec![0xff; layout.bytes()];
            layout.store(&Lane::single(), Isa::detect(), side, 0, rows, &mut kept);
            kept
        });
        let wide = [(KvSide::Keys, &kept[0]), (KvSide::Values, &kept[1])].map(|(side, kept)| {
            let mut row = vec![0.0; positions * head_dim];
            let mut wide = Vec::new();
            for head in 0..kv_heads {
                layout.read(Isa::Portable, side, head, 0..positions, kept, &mut row);
                wide.extend(row.iter().map(|value| f64::from(*value)));
            }
            wide
        });
        Case { shape, layout, queries, kept, wide }
    }

    fn scale(&self) -> f32 {
        1.0 / (self.shape.head_dim as f32).sqrt()
    }

    fn view(&self) -> KvView<'_> {
        KvView::new(self.layout, self.shape.heads, &self.kept[0], &self.kept[1])
    }

    fn run(&self, isa: Isa, lane: &Lane, chunk: usize) -> Vec<f32> {
        let Shape { heads, head_dim, first, .. } = self.shape;
        let mut out = vec![f32::NAN; self.queries.len()];
        let width = chunk * heads * head_dim;
        for (index, (queries, out)) in self.queries.chunks(width).zip(out.chunks_mut(width)).enumerate() {
            attention(lane, isa, queries, &self.view(), first + index * chunk, self.scale(), out);
        }
        out
    }

    /// [`Case::run`] with every token seeing all positions.
    fn run_to_all(&self, isa: Isa, lane: &Lane, chunk: usize) -> Vec<f32> {
        let Shape { heads, head_dim, first, tokens, .. } = self.shape;
        let mut out = vec![f32::NAN; self.queries.len()];
        let width = chunk * heads * head_dim;
        for (queries, out) in self.queries.chunks(width).zip(out.chunks_mut(width)) {
            attention_to_all(lane, isa, queries, &self.view(), first + tokens, self.scale(), out);
        }
        out
    }

    /// The result in double precision over `seen` positions, and how far single precision may be from it: twice the error of a score (a sum
    /// of `head_dim` products) as a relative error of its weight, plus that of the sums over positions.
    fn oracle(&self, token: usize, head: usize, seen: usize) -> Vec<(f64, f64)> {
        let Shape { heads, kv_heads, head_dim, .. } = self.shape;
        let query = &self.queries[(token * heads + head) * head_dim..][..head_dim];
        let at = head / (heads / kv_heads) * (self.shape.first + self.shape.tokens) * head_dim;
        let [keys, values] = self.wide.each_ref().map(|cache| &cache[at..at + seen * head_dim]);
        let mut scores = Vec::new();
        let mut largest_sum = 0f64;
        for key in keys.chunks_exact(head_dim) {
            let products = || query.iter().zip(key).map(|(q, k)| f64::from(*q) * f64::from(self.scale()) * k);
            scores.push(products().sum::<f64>());
            largest_sum = largest_sum.max(products().map(f64::abs).sum());
        }
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let rounding = f64::from(f32::EPSILON);
        let relative = rounding * (2.0 * (head_dim + 2) as f64 * largest_sum + 2.0 * seen as f64 + 32.0);
        (0..head_dim)
            .map(|d| {
                let terms = || weights.iter().zip(values.chunks_exact(head_dim)).map(|(w, row)| w / sum * row[d]);
                (terms().sum(), relative * terms().map(f64::abs).sum::<f64>() + 1e-7)
            })
            .collect()
    }
}

/// Rows of one tile and of many, one stretch of positions and several, blocks that end within.
const SHAPES: [Shape; 12] = [
    Shape { heads: 9, kv_heads: 3, head_dim: 64, first: 0, tokens: 70 },
    Shape { heads: 9, kv_heads: 3, head_dim: 64, first: 131, tokens: 1 },
    Shape { heads: 14, kv_heads: 2, head_dim: 64, first: 29, tokens: 5 },
    Shape { heads: 1, kv_heads: 1, head_dim: 32, first: 0, tokens: 1 },
    Shape { heads: 4, kv_heads: 4, head_dim: 80, first: 31, tokens: 34 },
    Shape { heads: 8, kv_heads: 1, head_dim: 256, first: 3, tokens: 18 },
    Shape { heads: 6, kv_heads: 1, head_dim: 40, first: 64, tokens: 3 },
    Shape { heads: 2, kv_heads: 2, head_dim: 7, first: 10, tokens: 40 },
    Shape { heads: 5, kv_heads: 1, head_dim: 128, first: 95, tokens: 2 },
    Shape { heads: 3, kv_heads: 1, head_dim: 64, first: 700, tokens: 1 },
    Shape { heads: 14, kv_heads: 2, head_dim: 64, first: 505, tokens: 9 },
    Shape { heads: 2, kv_heads: 1, head_dim: 96, first: 250, tokens: 12 },
];

/// Every shape in every format that takes it.
fn cases() -> impl Iterator<Item = Case> {
    let shapes = SHAPES.into_iter().enumerate();
    shapes.flat_map(|(seed, shape)| {
        let formats = KvFormat::ALL.into_iter().filter(move |format| format.head_bytes(shape.head_dim).is_some());
        formats.map(move |format| Case::new(shape, format, seed as u64))
    })
}

/// Fails where `out` is further from double precision than it may be; `seen` says what a token sees.
fn check(case: &Case, isa: Isa, out: &[f32], seen: impl Fn(usize) -> usize) {
    let shape = case.shape;
    for token in 0..shape.tokens {
        for head in 0..shape.heads {
            let found = &out[(token * shape.heads + head) * shape.head_dim..];
            for (d, (expected, tolerance)) in case.oracle(token, head, seen(token)).into_iter().enumerate() {
                assert!(
                    (f64::from(found[d]) - expected).abs() <= tolerance,
                    "{isa} {shape:?}: token {token} head {head} value {d}: expected {expected} ± {tolerance:e}, found {}",
                    found[d]
                );
            }
        }
    }
}

#[test]
fn every_instruction_set_attends_like_double_precision() {
    for case in cases() {
        for isa in Isa::available() {
            let out = case.run(isa, &Lane::single(), case.shape.tokens);
            check(&case, isa, &out, |token| case.shape.first + token + 1);
        }
    }
}

#[test]
fn attention_to_all_positions_is_that_of_double_precision_whatever_the_cut_and_the_threads() {
    let lane = Lane::spawn(3, None).expect("threads");
    for case in cases() {
        let shape = case.shape;
        for isa in Isa::available() {
            let out = case.run_to_all(isa, &Lane::single(), shape.tokens);
            check(&case, isa, &out, |_| shape.first + shape.tokens);
            let cut = case.run_to_all(isa, &lane, 7);
            assert!(bits(&cut) == bits(&out), "{isa} {:?}: a cut and threads change bits", case.layout);
        }
    }
}

#[test]
fn a_row_has_the_same_bits_however_a_prompt_is_cut_and_on_any_number_of_threads() {
    for case in cases() {
        let tokens = case.shape.tokens;
        for isa in Isa::available() {
            let whole = bits(&case.run(isa, &Lane::single(), tokens));
            for chunk in [1, 2, 7, 32] {
                let cut = bits(&case.run(isa, &Lane::single(), chunk));
                assert!(cut == whole, "{isa} {:?}: chunks of {chunk} change bits", case.layout);
            }
            for threads in [2, 3] {
                let lane = Lane::spawn(threads, None).expect("threads");
                for chunk in [1, tokens] {
                    let out = bits(&case.run(isa, &lane, chunk));
                    assert!(
                        out == whole,
                        "{isa} {:?}: chunks of {chunk} on {threads} threads change bits",
                        case.layout
                    );
                }
            }
        }
    }
}

#[test]
fn a_score_far_above_the_others_takes_all_the_weight() {
    let shape = Shape { heads: 2, kv_heads: 1, head_dim: 64, first: 599, tokens: 1 };
    let mut random = Random(1);
    let values = random.floats(600 * 64);
    let key = |position: usize| if position == 70 { 20.0 } else { -20.0 };
    let keys: Vec<f32> = (0..600 * 64).map(|i| key(i / 64)).collect();
    for format in KvFormat::ALL {
        let case = Case::of(shape, format, 600, vec![30.0; 2 * 64], [&keys, &values]);
        let expected: Vec<f32> = case.wide[1][70 * 64..71 * 64].iter().map(|value| *value as f32).collect();
        for isa in Isa::available() {
            let out = case.run(isa, &Lane::single(), 1);
            for head in out.chunks_exact(64) {
                for (found, expected) in head.iter().zip(&expected) {
                    let near = (found - expected).abs() <= expected.abs() * f32::EPSILON;
                    assert!(near, "{isa} {format}: expected {expected}, found {found}");
                }
            }
        }
    }
}
