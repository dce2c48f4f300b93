//! What is not a product: loading inputs, norms, gates and attention. The best of many short runs, for a machine that
//! others use too.
//!
//! `cargo bench -p nanomind-kernels --bench rows -- [ISA]`
#![allow(clippy::print_stdout, clippy::cast_precision_loss)]

use std::error::Error;

use nanomind_hal::{Clock, Lane};
use nanomind_kernels::{
    Activations, Format, Isa, KvFormat, KvLayout, KvSide, KvView, Matrix, attention, rms_norm, silu_mul,
};

/// Values of a row.
const COLS: usize = 1536;

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
    // `cargo bench` adds a flag of its own.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let isa = arguments.next().map_or(Some(Isa::detect()), |name| Isa::from_name(&name)).ok_or("no such ISA")?;
    let (lane, clock) = (Lane::single(), Clock::system());
    println!("{isa}, one thread, rows of {COLS} in the second-level cache; best of many");
    let x: Vec<f32> = (0..64 * COLS).map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0).collect();
    for format in [Format::Q4_1, Format::F32] {
        let bytes = vec![0; 16 * format.row_bytes(COLS).ok_or("blocks")?];
        let matrix = Matrix::pack(isa, &lane, format, 16, COLS, &bytes)?;
        let mut activations = Activations::new(isa);
        let seconds = best(&clock, 400, || activations.load_for(&lane, &x, &[&matrix]));
        println!("load for {format}: {:.2} ns/value", seconds * 1e9 / x.len() as f64);
    }
    let mut out = vec![0.0; x.len()];
    let seconds = best(&clock, 400, || rms_norm(isa, &x, &x[..COLS], 1e-5, &mut out));
    println!("rms_norm {:.2} ns/value", seconds * 1e9 / x.len() as f64);
    let seconds = best(&clock, 400, || silu_mul(isa, &x, &x, &mut out));
    println!("silu_mul {:.2} ns/value", seconds * 1e9 / x.len() as f64);
    let (heads, kv_heads, dim) = (9, 3, 64);
    let capacity = 8192;
    for format in KvFormat::ALL {
        let layout = KvLayout::new(format, kv_heads, capacity, dim)?;
        let mut cache = vec![0; layout.bytes()];
        let rows = vec![0.5; capacity * kv_heads * dim];
        layout.store(&lane, isa, KvSide::Values, 0, &rows, &mut cache);
        let seconds =
            best(&clock, 200, || layout.store(&lane, isa, KvSide::Keys, 7, &rows[..64 * kv_heads * dim], &mut cache));
        println!("{format}: store of 64 keys {:.1} us", seconds * 1e6);
        layout.store(&lane, isa, KvSide::Keys, 0, &rows, &mut cache);
        let kv = KvView::new(layout, heads, &cache, &cache);
        for (tokens, first) in [(1, 500), (1, 2000), (1, 8000), (64, 448), (64, 4000)] {
            let queries = &x[..tokens * heads * dim];
            let mut out = vec![0.0; queries.len()];
            let seconds = best(&clock, 200, || attention(&lane, isa, queries, &kv, first, 0.125, &mut out));
            let pairs = (0..tokens).map(|t| first + t + 1).sum::<usize>() * heads;
            println!(
                "{format}: attention of {tokens} at {first}: {:.1} us, {:.1} GFLOP/s",
                seconds * 1e6,
                (4 * pairs * dim) as f64 / seconds / 1e9
            );
        }
    }
    Ok(())
}
