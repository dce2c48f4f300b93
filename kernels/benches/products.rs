//! Matrix products of every format against the ceilings of this machine, measured in the same run: a product with one
//! token against the bandwidth of reading as many bytes, one with many tokens against the dot (or multiply-add) rate.
//!
//! `cargo bench -p nanomind-kernels --bench products -- [FORMAT] [ISA] [THREADS]`, `all` for any of them. Each figure is
//! the fastest of many runs, as others may use the machine too.
#![allow(clippy::print_stdout, clippy::cast_precision_loss)]

use std::error::Error;

use nanomind_hal::{Clock, Lane};
use nanomind_kernels::{Activations, Epilogue, Format, Isa, Matrix, ceiling, matmul};

/// Shapes of small language models: `[rows, cols]` of what they multiply most with.
const SHAPES: [(usize, usize); 3] = [(1536, 576), (4864, 896), (2048, 2048)];

/// Tokens of a prompt.
const TOKENS: usize = 256;

/// Bytes that the weights of a decode step have: more than caches of cores hold.
const WEIGHTS: usize = 48 << 20;

/// Seconds that one figure may take.
const PATIENCE: f64 = 0.15;

/// The most that a lane can do.
struct Ceilings {
    bytes: f64,
    dots: f64,
    multiply_adds: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo bench` adds a flag of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let chosen = |at: usize, name: &str| arguments.get(at).is_none_or(|argument| argument == "all" || argument == name);
    let clock = Clock::system();
    for isa in Isa::available().into_iter().rev() {
        if !chosen(1, isa.name()) || arguments.get(1).is_none() && isa != Isa::detect() {
            continue;
        }
        for threads in [1, 2] {
            if !chosen(2, &threads.to_string()) {
                continue;
            }
            let lane = Lane::spawn(threads, None)?;
            if lane.threads() == threads {
                on_lane(isa, &lane, &clock, |format| chosen(0, format.name()))?;
            }
        }
    }
    Ok(())
}

fn on_lane(isa: Isa, lane: &Lane, clock: &Clock, chosen: impl Fn(Format) -> bool) -> Result<(), Box<dyn Error>> {
    let ceilings = Ceilings {
        bytes: ceiling::read_bandwidth(isa, lane, clock, WEIGHTS)?,
        dots: ceiling::dot_rate(isa, lane, clock),
        multiply_adds: ceiling::multiply_add_rate(isa, lane, clock),
    };
    println!(
        "{isa}, {} thread(s): reads {:.1} GB/s of {} MB, dots {:.0} GOP/s, multiply-adds {:.0} GFLOP/s",
        lane.threads(),
        ceilings.bytes / 1e9,
        WEIGHTS >> 20,
        ceilings.dots / 1e9,
        ceilings.multiply_adds / 1e9
    );
    println!(
        "format   shape        1 token                 4 tokens              16 tokens             {TOKENS} tokens"
    );
    for format in Format::ALL.into_iter().filter(|format| chosen(*format)) {
        for (rows, cols) in SHAPES {
            if cols.is_multiple_of(format.block_len()) {
                product(isa, lane, clock, &ceilings, format, rows, cols)?;
            }
        }
    }
    Ok(())
}

fn product(
    isa: Isa,
    lane: &Lane,
    clock: &Clock,
    ceilings: &Ceilings,
    format: Format,
    rows: usize,
    cols: usize,
) -> Result<(), Box<dyn Error>> {
    let mut line = format!("{:5} {:>12}", format.name(), format!("{rows}x{cols}"));
    let x: Vec<f32> = (0..TOKENS * cols).map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0).collect();
    let bytes = Matrix::packed_size(format, rows, cols)?;
    let many = random(isa, lane, format, rows * WEIGHTS.div_ceil(bytes), cols)?;
    let mut activations = Activations::new(isa);
    activations.load_for(lane, &x[..cols], &[&many]);
    let mut out = vec![0.0; many.rows()];
    let seconds = fastest(clock, || matmul(lane, &many, &activations, &mut out, Epilogue::Store));
    let rate = many.packed_bytes() as f64 / seconds;
    line += &format!("  {:6.1} GB/s {:4.0} %", rate / 1e9, 100.0 * rate / ceilings.bytes);
    let ceiling = if format.is_float() { ceilings.multiply_adds } else { ceilings.dots };
    let matrix = random(isa, lane, format, rows, cols)?;
    for tokens in [4, 16, TOKENS] {
        activations.load_for(lane, &x[..tokens * cols], &[&matrix]);
        let mut out = vec![0.0; tokens * rows];
        let seconds = fastest(clock, || matmul(lane, &matrix, &activations, &mut out, Epilogue::Store));
        let rate = 2.0 * (tokens * rows * cols) as f64 / seconds;
        line += &format!("  {:6.0} GOP/s {:4.0} %", rate / 1e9, 100.0 * rate / ceiling);
    }
    println!("{line}");
    Ok(())
}

/// Random weights with small scales; floats among them are no denormals, which take many times as long.
fn random(isa: Isa, lane: &Lane, format: Format, rows: usize, cols: usize) -> Result<Matrix, Box<dyn Error>> {
    let count = rows * format.row_bytes(cols).ok_or("no whole number of blocks")?;
    let bytes: Vec<u8> = (0..count)
        .map(|i| ((i as u32).wrapping_mul(2_654_435_761) >> 24) as u8 & 0x3b | (u8::from(format.is_float()) << 5))
        .collect();
    Ok(Matrix::pack(isa, lane, format, rows, cols, &bytes)?)
}

/// Seconds of the fastest run.
fn fastest(clock: &Clock, mut run: impl FnMut()) -> f64 {
    run();
    let (begun, mut seconds) = (clock.now(), f64::INFINITY);
    while clock.now().since(begun).as_secs_f64() < PATIENCE {
        let start = clock.now();
        run();
        seconds = seconds.min(clock.now().since(start).as_secs_f64());
    }
    seconds
}
