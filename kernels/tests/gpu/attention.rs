//! Rotation, the cache of keys and values, and attention to it.

use half::f16;
use nanomind_kernels::gpu::{KvCache, KvRows, RopeAngles, Rows, Sight};
use nanomind_kernels::{Isa, RopeLayout, RopeTable, rope};

use crate::common::Random;
use crate::{KERNELS, expect_close, read, rows};

fn rounded(values: &[f32]) -> Vec<u16> {
    values.iter().map(|value| f16::from_f32(*value).to_bits()).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// Attention by its definition. `queries` are `[tokens, heads, head_dim]`, token `i` sees `seen(i)` positions.
fn attention(
    [heads, kv_heads, head_dim]: [usize; 3],
    queries: &[f32],
    kept: &KvRows,
    seen: impl Fn(usize) -> usize,
) -> Vec<f64> {
    let value = |bits: &[u16], position: usize, head: usize, at: usize| {
        f16::from_bits(bits[(position * kv_heads + head) * head_dim + at]).to_f64()
    };
    let mut out = Vec::new();
    for (index, query) in queries.chunks_exact(head_dim).enumerate() {
        let (token, head) = (index / heads, index % heads / (heads / kv_heads));
        let score = |position: usize| {
            let dot: f64 = (0..head_dim).map(|at| f64::from(query[at]) * value(&kept.keys, position, head, at)).sum();
            (dot / (head_dim as f64).sqrt()).exp()
        };
        let weights: Vec<f64> = (0..seen(token)).map(score).collect();
        let total: f64 = weights.iter().sum();
        let weighted = |at: usize| -> f64 {
            weights.iter().enumerate().map(|(position, weight)| weight * value(&kept.values, position, head, at)).sum()
        };
        out.extend((0..head_dim).map(|at| weighted(at) / total));
    }
    out
}

fn random_cache(random: &mut Random, capacity: usize, kv_heads: usize, head_dim: usize) -> (KvCache, KvRows) {
    let cache = KvCache::new(&KERNELS, capacity, kv_heads, head_dim).expect("memory");
    let mut side = || rounded(&random.floats(capacity * kv_heads * head_dim));
    let kept = KvRows { keys: side(), values: side() };
    cache.import(&KERNELS, 0, &kept).expect("sent");
    (cache, kept)
}

fn attend(shape: [usize; 3], queries: &[f32], cache: &KvCache, sight: Sight) -> Vec<f32> {
    let [heads, _, head_dim] = shape;
    let input = rows(heads * head_dim, queries);
    let out = Rows::new(&KERNELS, input.rows(), input.width()).expect("memory");
    let mut pass = KERNELS.pass();
    pass.attention(input.all(), cache, sight, 1.0 / (head_dim as f32).sqrt(), out.all()).expect("a kernel");
    pass.finish().expect("submitted").wait().expect("done");
    read(&out)
}

#[test]
fn tokens_attend_to_all_positions_up_to_their_own() {
    let mut random = Random(21);
    // Heads of widths that do and do not divide the workgroup; short, across a stretch, across many stretches.
    for (shape, first_position, tokens) in
        [([9, 3, 64], 0, 5), ([4, 4, 80], 130, 3), ([2, 1, 128], 1000, 2), ([3, 1, 32], 257, 1), ([2, 2, 256], 10, 1)]
    {
        let [heads, kv_heads, head_dim] = shape;
        let (cache, kept) = random_cache(&mut random, first_position + tokens + 3, kv_heads, head_dim);
        let queries = random.floats(tokens * heads * head_dim);
        let found = attend(shape, &queries, &cache, Sight::Causal { first_position });
        let expected = attention(shape, &queries, &kept, |token| first_position + token + 1);
        expect_close(&format!("{shape:?}, {tokens} from {first_position}"), &found, &expected);
    }
}

#[test]
fn many_tokens_attend_in_one_stretch_and_few_in_several_alike() {
    let mut random = Random(22);
    let shape = [4, 2, 32];
    let (cache, kept) = random_cache(&mut random, 400, 2, 32);
    let queries = random.floats(150 * 4 * 32);
    let found = attend(shape, &queries, &cache, Sight::Causal { first_position: 250 });
    expect_close("causal", &found, &attention(shape, &queries, &kept, |token| 251 + token));
    let found = attend(shape, &queries, &cache, Sight::All { positions: 333 });
    expect_close("all", &found, &attention(shape, &queries, &kept, |_| 333));
}

#[test]
fn large_scores_do_not_overflow() {
    let mut random = Random(23);
    let shape = [1, 1, 32];
    let (cache, kept) = random_cache(&mut random, 300, 1, 32);
    let queries: Vec<f32> = random.floats(32).iter().map(|value| 100.0 * value).collect();
    let found = attend(shape, &queries, &cache, Sight::Causal { first_position: 299 });
    expect_close("large", &found, &attention(shape, &queries, &kept, |_| 300));
}

#[test]
fn queries_and_keys_are_rotated_as_on_the_cpu_and_kept_in_half_precision() {
    let mut random = Random(24);
    let ([heads, kv_heads, head_dim], capacity) = ([4, 2, 64], 40);
    let (q, kv) = (heads * head_dim, kv_heads * head_dim);
    let width = q + 2 * kv;
    for (layout, rotated) in [
        (RopeLayout::Halves, 64),
        (RopeLayout::Interleaved, 64),
        (RopeLayout::Halves, 32),
        (RopeLayout::Interleaved, 16),
        (RopeLayout::Halves, 0),
    ] {
        let table = RopeTable::new(layout, rotated, 10_000.0, None);
        let angles = RopeAngles::new(&KERNELS, &table, capacity).expect("memory");
        let cache = KvCache::new(&KERNELS, capacity, kv_heads, head_dim).expect("memory");
        let x = random.floats(4 * width);
        let input = rows(width, &x);
        let part = input.part(1..4);
        let mut pass = KERNELS.pass();
        let parts = [part.columns(0..q), part.columns(q..q + kv), part.columns(q + kv..width)];
        pass.rotate_and_store(parts, &angles, 30, &cache).expect("a kernel");
        pass.finish().expect("submitted").wait().expect("done");
        let mut turns = nanomind_kernels::RopeAngles::new();
        turns.set(&table, 30, 3);
        let (mut expected, mut keys, mut values) = (x.clone(), Vec::new(), Vec::new());
        for token in 0..3 {
            let row = &mut expected[(1 + token) * width..(2 + token) * width];
            rope(Isa::Portable, &mut row[..q], heads, head_dim, &turns, token);
            let mut key = row[q..q + kv].to_vec();
            rope(Isa::Portable, &mut key, kv_heads, head_dim, &turns, token);
            keys.extend(wide(&key));
            values.extend(rounded(&row[q + kv..]));
        }
        let what = format!("{layout:?}, {rotated} rotated");
        expect_close(&what, &read(&input), &wide(&expected));
        let mut kept = KvRows::default();
        cache.export(&KERNELS, 30..33, &mut kept).expect("taken");
        for (found, expected) in kept.keys.iter().map(|bits| f16::from_bits(*bits).to_f64()).zip(keys) {
            // Half of the last place of half precision, and a little for the angle.
            let bar = expected.abs() / 2048.0 + 1e-5;
            assert!((found - expected).abs() <= bar, "{what}: a key is {found}, expected {expected}");
        }
        assert_eq!(kept.values, values, "{what}: values are kept as they are");
        cache.export(&KERNELS, 29..30, &mut kept).expect("taken");
        assert!(kept.keys.iter().chain(&kept.values).all(|bits| *bits == 0), "{what}: other positions are untouched");
    }
}
