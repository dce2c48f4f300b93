//! The best of many short runs of single kernels, for a machine that others use too.
//!
//! `cargo run --release -p nanomind-kernels --example micro -- [ISA] [FORMAT]`
#![allow(clippy::print_stdout, clippy::cast_precision_loss)]

use std::error::Error;

use half::f16;
use nanomind_hal::{Clock, Lane};
use nanomind_kernels::{Activations, Epilogue, Format, Isa, KvView, Matrix, attention, matmul, rms_norm, silu_mul};

fn best(clock: &Clock, runs: usize, mut run: impl FnMut()) -> f64 {
    (0..runs)
        .map(|_| {
            let start = clock.now();
            run();
            clock.now().since(start).as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let isa = arguments.next().map_or(Some(Isa::detect()), |name| Isa::from_name(&name)).ok_or("no such ISA")?;
    let only = arguments.next();
    let (lane, clock) = (Lane::single(), Clock::system());
    println!("{isa}, one thread, 576 × 1536 from the second-level cache; best of many");
    let (rows, cols) = (576, 1536);
    let x: Vec<f32> = (0..64 * cols).map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0).collect();
    for format in Format::ALL {
        if only.as_ref().is_some_and(|only| only != format.name()) {
            continue;
        }
        let bytes: Vec<u8> = (0..rows * format.row_bytes(cols).ok_or("blocks")?)
            .map(|i| ((i as u32).wrapping_mul(2_654_435_761) >> 24) as u8 & 0x3b)
            .collect();
        let matrix = Matrix::pack(isa, &lane, format, rows, cols, &bytes)?;
        let mut activations = Activations::new(isa);
        let mut line = format!("{:5}", format.name());
        for tokens in [1, 2, 4, 8, 64] {
            let mut out = vec![0.0; tokens * rows];
            activations.load_for(&lane, &x[..tokens * cols], &[&matrix]);
            let seconds = best(&clock, 400, || matmul(&lane, &matrix, &activations, &mut out, Epilogue::Store));
            if tokens == 1 {
                line += &format!("  vector {:5.1} GB/s", matrix.packed_bytes() as f64 / seconds / 1e9);
            }
            line += &format!("  {tokens}: {:5.0} GOP/s", 2.0 * (rows * cols * tokens) as f64 / seconds / 1e9);
        }
        let seconds = best(&clock, 400, || activations.load_for(&lane, &x, &[&matrix]));
        line += &format!("  load {:.2} ns/value", seconds * 1e9 / x.len() as f64);
        println!("{line}");
    }
    let mut out = vec![0.0; x.len()];
    let seconds = best(&clock, 400, || rms_norm(isa, &x, &x[..cols], 1e-5, &mut out));
    println!("rms_norm {:.2} ns/value", seconds * 1e9 / x.len() as f64);
    let seconds = best(&clock, 400, || silu_mul(isa, &x, &x, &mut out));
    println!("silu_mul {:.2} ns/value", seconds * 1e9 / x.len() as f64);
    let (heads, kv_heads, capacity, dim) = (9, 3, 2048, 64);
    let cache = vec![f16::from_f32(0.5); kv_heads * capacity * dim];
    let kv = KvView::new(&cache, &cache, heads, kv_heads, capacity, dim);
    for (tokens, first) in [(1, 500), (1, 2000), (64, 448)] {
        let queries = &x[..tokens * heads * dim];
        let mut out = vec![0.0; queries.len()];
        let seconds = best(&clock, 200, || attention(&lane, isa, queries, &kv, first, 0.125, &mut out));
        let pairs = (0..tokens).map(|t| first + t + 1).sum::<usize>() * heads;
        println!(
            "attention of {tokens} at {first}: {:.1} us, {:.1} GFLOP/s",
            seconds * 1e6,
            (4 * pairs * dim) as f64 / seconds / 1e9
        );
    }
    Ok(())
}
