//! Attention of every instruction set against double precision, and that a row's bits depend on nothing but the row.

mod common;

use common::{Random, bits};
use half::f16;
use nanomind_hal::Lane;
use nanomind_kernels::{Isa, KvView, attention, attention_to_all};

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
    queries: Vec<f32>,
    keys: Vec<f16>,
    values: Vec<f16>,
    /// Keys and values in double precision.
    wide: [Vec<f64>; 2],
    capacity: usize,
}

impl Case {
    /// What no query may see is not-a-number, so reading it would show.
    fn new(shape: Shape, seed: u64) -> Case {
        let mut random = Random(seed);
        let seen = shape.first + shape.tokens;
        let capacity = seen + random.below(40);
        let mut cache = |spread: f32| {
            let mut cache = vec![f16::NAN; shape.kv_heads * capacity * shape.head_dim];
            for head in cache.chunks_exact_mut(capacity * shape.head_dim) {
                for value in &mut head[..seen * shape.head_dim] {
                    *value = f16::from_f32(random.normal() * spread);
                }
            }
            cache
        };
        let (keys, values) = (cache(2.0), cache(1.0));
        let queries = random.floats(shape.tokens * shape.heads * shape.head_dim);
        let wide = [&keys, &values].map(|cache| cache.iter().map(|value| value.to_f64()).collect());
        Case { shape, queries, keys, values, wide, capacity }
    }

    fn scale(&self) -> f32 {
        1.0 / (self.shape.head_dim as f32).sqrt()
    }

    fn run(&self, isa: Isa, lane: &Lane, chunk: usize) -> Vec<f32> {
        let Shape { heads, kv_heads, head_dim, first, .. } = self.shape;
        let kv = KvView::new(&self.keys, &self.values, heads, kv_heads, self.capacity, head_dim);
        let mut out = vec![f32::NAN; self.queries.len()];
        let width = chunk * heads * head_dim;
        for (index, (queries, out)) in self.queries.chunks(width).zip(out.chunks_mut(width)).enumerate() {
            attention(lane, isa, queries, &kv, first + index * chunk, self.scale(), out);
        }
        out
    }

    /// [`Case::run`] with every token seeing all positions.
    fn run_to_all(&self, isa: Isa, lane: &Lane, chunk: usize) -> Vec<f32> {
        let Shape { heads, kv_heads, head_dim, first, tokens } = self.shape;
        let kv = KvView::new(&self.keys, &self.values, heads, kv_heads, self.capacity, head_dim);
        let mut out = vec![f32::NAN; self.queries.len()];
        let width = chunk * heads * head_dim;
        for (queries, out) in self.queries.chunks(width).zip(out.chunks_mut(width)) {
            attention_to_all(lane, isa, queries, &kv, first + tokens, self.scale(), out);
        }
        out
    }

    /// The result in double precision over `seen` positions, and how far single precision may be from it: twice the error of a score (a sum
    /// of `head_dim` products) as a relative error of its weight, plus that of the sums over positions.
    fn oracle(&self, token: usize, head: usize, seen: usize) -> Vec<(f64, f64)> {
        let Shape { heads, kv_heads, head_dim, .. } = self.shape;
        let query = &self.queries[(token * heads + head) * head_dim..][..head_dim];
        let at = head / (heads / kv_heads) * self.capacity * head_dim;
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

const SHAPES: [Shape; 9] = [
    Shape { heads: 9, kv_heads: 3, head_dim: 64, first: 0, tokens: 70 },
    Shape { heads: 9, kv_heads: 3, head_dim: 64, first: 131, tokens: 1 },
    Shape { heads: 14, kv_heads: 2, head_dim: 64, first: 29, tokens: 5 },
    Shape { heads: 1, kv_heads: 1, head_dim: 32, first: 0, tokens: 1 },
    Shape { heads: 4, kv_heads: 4, head_dim: 80, first: 31, tokens: 34 },
    Shape { heads: 8, kv_heads: 1, head_dim: 256, first: 3, tokens: 18 },
    Shape { heads: 6, kv_heads: 1, head_dim: 40, first: 64, tokens: 3 },
    Shape { heads: 2, kv_heads: 2, head_dim: 7, first: 10, tokens: 40 },
    Shape { heads: 5, kv_heads: 1, head_dim: 128, first: 95, tokens: 2 },
];

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
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        let case = Case::new(shape, seed as u64);
        for isa in Isa::available() {
            let out = case.run(isa, &Lane::single(), shape.tokens);
            check(&case, isa, &out, |token| shape.first + token + 1);
        }
    }
}

#[test]
fn attention_to_all_positions_is_that_of_double_precision_whatever_the_cut_and_the_threads() {
    let lane = Lane::spawn(3, None).expect("threads");
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        let case = Case::new(shape, seed as u64);
        for isa in Isa::available() {
            let out = case.run_to_all(isa, &Lane::single(), shape.tokens);
            check(&case, isa, &out, |_| shape.first + shape.tokens);
            let cut = case.run_to_all(isa, &lane, 7);
            assert!(bits(&cut) == bits(&out), "{isa} {shape:?}: a cut and threads change bits");
        }
    }
}

#[test]
fn a_row_has_the_same_bits_however_a_prompt_is_cut_and_on_any_number_of_threads() {
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        let case = Case::new(shape, seed as u64);
        for isa in Isa::available() {
            let whole = bits(&case.run(isa, &Lane::single(), shape.tokens));
            for chunk in [1, 2, 7, 32] {
                let cut = bits(&case.run(isa, &Lane::single(), chunk));
                assert!(cut == whole, "{isa} {shape:?}: chunks of {chunk} change bits");
            }
            for threads in [2, 3] {
                let lane = Lane::spawn(threads, None).expect("threads");
                let out = bits(&case.run(isa, &lane, shape.tokens));
                assert!(out == whole, "{isa} {shape:?}: {threads} threads change bits");
            }
        }
    }
}

#[test]
fn a_score_far_above_the_others_takes_all_the_weight() {
    let shape = Shape { heads: 2, kv_heads: 1, head_dim: 64, first: 99, tokens: 1 };
    let mut case = Case::new(shape, 1);
    case.queries.fill(30.0);
    for (position, key) in case.keys.chunks_exact_mut(64).enumerate() {
        key.fill(f16::from_f32(if position == 70 { 20.0 } else { -20.0 }));
    }
    let expected: Vec<f32> = case.values[70 * 64..71 * 64].iter().map(|value| value.to_f32()).collect();
    for isa in Isa::available() {
        let out = case.run(isa, &Lane::single(), 1);
        assert_eq!(out[..64], expected, "{isa}");
        assert_eq!(out[64..], expected, "{isa}");
    }
}
