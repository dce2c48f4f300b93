//! Products of the shapes that vision and speech encoders are made of, against the multiply-add rate of the machine.
//!
//! `cargo bench -p nanomind-kernels --bench shapes -- [--threads 1,2] [--formats F32,F16,Q8_0] [--only TEXT] [--json]`
//!
//! A time is that of loading the input, `[tokens, cols]`, and of the product with `[rows, cols]` weights: what a layer
//! pays. The fastest of many runs counts, as others may use the machine.
#![allow(clippy::print_stdout, clippy::cast_precision_loss)]

use std::error::Error;
use std::time::Duration;

use half::{bf16, f16};
use nanomind_hal::{Clock, Lane};
use nanomind_kernels::{Activations, Convolution, Epilogue, Format, Isa, Matrix, ceiling, matmul};

/// What is computed: `tokens` rows of input, or the windows of a convolution, times `[rows, cols]` weights.
struct Shape {
    name: &'static str,
    tokens: usize,
    rows: usize,
    cols: usize,
    convolution: Option<Convolution>,
}

const fn product(name: &'static str, tokens: usize, rows: usize, cols: usize) -> Shape {
    Shape { name, tokens, rows, cols, convolution: None }
}

const fn convolution(name: &'static str, frames: usize, channels: usize, rows: usize, stride: usize) -> Shape {
    let convolution = Some(Convolution { channels, kernel: 3, stride, padding: 1 });
    Shape { name, tokens: frames / stride, rows, cols: 3 * channels, convolution }
}

const SHAPES: [Shape; 14] = [
    product("vit-ti attention", 197, 192, 192),
    product("vit-ti up", 197, 768, 192),
    product("vit-s attention", 197, 384, 384),
    product("vit-s up", 197, 1536, 384),
    product("vit-s down", 197, 384, 1536),
    product("vit-b attention", 197, 768, 768),
    product("vit-b up", 197, 3072, 768),
    product("vit-b down", 197, 768, 3072),
    product("vit-b patches", 196, 768, 768),
    product("so400m attention", 729, 1152, 1152),
    product("whisper-tiny up", 1500, 1536, 384),
    product("whisper-base attention", 1500, 512, 512),
    convolution("whisper-tiny conv1", 3000, 80, 384, 1),
    convolution("whisper-tiny conv2", 3000, 384, 384, 2),
];

/// Time that each figure is measured for.
const SPAN: Duration = Duration::from_millis(150);

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo bench` adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let after = |flag: &str| arguments.iter().skip_while(|argument| *argument != flag).nth(1).cloned();
    let json = arguments.iter().any(|argument| argument == "--json");
    let formats = after("--formats").unwrap_or_else(|| "F32,F16,BF16,Q8_0".to_owned());
    let formats = formats.split(',').map(|name| Format::ALL.into_iter().find(|format| format.name() == name));
    let formats: Vec<Format> = formats.collect::<Option<_>>().ok_or("no such format")?;
    let (isa, clock) = (Isa::detect(), Clock::system());
    for threads in after("--threads").unwrap_or_else(|| "1,2".to_owned()).split(',') {
        let lane = Lane::spawn(threads.parse()?, None)?;
        let most = ceiling::multiply_add_rate(isa, &lane, &clock);
        if !json {
            println!("{isa}, {} threads, multiply-adds at most {:.0} GFLOP/s", lane.threads(), most / 1e9);
        }
        for shape in &SHAPES {
            if after("--only").is_some_and(|only| !shape.name.contains(&only)) {
                continue;
            }
            // A row is whole blocks.
            for format in formats.iter().filter(|format| shape.cols.is_multiple_of(format.block_len())) {
                let seconds = measure(isa, &lane, &clock, shape, *format)?;
                let rate = 2.0 * (shape.tokens * shape.rows * shape.cols) as f64 / seconds;
                let Shape { name, tokens, rows, cols, .. } = shape;
                let micros = seconds * 1e6;
                if json {
                    println!(
                        "{{\"shape\":\"{name}\",\"tokens\":{tokens},\"rows\":{rows},\"cols\":{cols},\"format\":\"{format}\",\
                         \"threads\":{},\"us\":{micros:.1},\"ceiling\":{most:.0}}}",
                        lane.threads()
                    );
                } else {
                    let share = 100.0 * rate / most;
                    println!(
                        "{name:22} {tokens:4} × {rows:4} × {cols:4} {:5} {micros:8.0} µs {:6.0} GFLOP/s {share:4.0} %",
                        format.name(),
                        rate / 1e9
                    );
                }
            }
        }
    }
    Ok(())
}

/// Seconds of the fastest run.
fn measure(isa: Isa, lane: &Lane, clock: &Clock, shape: &Shape, format: Format) -> Result<f64, Box<dyn Error>> {
    let Shape { tokens, rows, cols, convolution, .. } = *shape;
    let matrix = Matrix::pack(isa, lane, format, rows, cols, &weights(format, rows * cols))?;
    let x: Vec<f32> = match convolution {
        Some(Convolution { stride, channels, .. }) => values(tokens * stride * channels).collect(),
        None => values(tokens * cols).collect(),
    };
    let mut activations = Activations::new(isa);
    let mut out = vec![0.0; tokens * rows];
    let bias: Vec<f32> = values(rows).collect();
    let begun = clock.now();
    let mut fastest = f64::INFINITY;
    while clock.now().since(begun) < SPAN {
        let start = clock.now();
        match &convolution {
            Some(convolution) => activations.load_windows(lane, &x, convolution, &[&matrix]),
            None => activations.load_for(lane, &x, &[&matrix]),
        }
        matmul(lane, &matrix, &activations, &mut out, Epilogue::Bias(&bias));
        fastest = fastest.min(clock.now().since(start).as_secs_f64());
    }
    Ok(fastest)
}

/// Values in −1 to 1, of which none is special.
fn values(count: usize) -> impl Iterator<Item = f32> {
    (0..count).map(|index| ((index * 7919) % 1000) as f32 / 500.0 - 1.0)
}

fn weights(format: Format, count: usize) -> Vec<u8> {
    match format {
        Format::F32 => values(count).flat_map(|value| value.to_le_bytes()).collect(),
        Format::F16 => values(count).flat_map(|value| f16::from_f32(value).to_le_bytes()).collect(),
        Format::Bf16 => values(count).flat_map(|value| bf16::from_f32(value).to_le_bytes()).collect(),
        // Any bytes are weights of the integer formats; these make scales that stay finite.
        _ => {
            let bytes = count / format.block_len() * format.block_bytes();
            (0..bytes).map(|index| ((index as u32).wrapping_mul(2_654_435_761) >> 24) as u8 & 0x3b).collect()
        }
    }
}
