//! Whole vision encoders of published shapes with random weights: how long one square takes.
//!
//! `cargo bench -p nanomind-bricks --bench encoder -- [--threads 1,2] [--json]`; `benches/against_onnxruntime.py` holds it
//! against ONNX Runtime. The fastest of many runs counts, as others may use the machine.
#![allow(clippy::print_stdout, clippy::cast_precision_loss)]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use half::f16;
use nanomind_bricks::vision::{Encoding, Picture, VisionEncoder};
use nanomind_bricks::{Gguf, GgufWriter, TensorType};
use nanomind_hal::{Clock, Lane};
use nanomind_kernels::Isa;

/// Time that each figure is measured for.
const SPAN: Duration = Duration::from_secs(1);

/// An encoder: patches of 16 pixels of a square of 224, four times as wide inside its feed-forward blocks.
struct Shape {
    name: &'static str,
    width: usize,
    heads: usize,
    layers: usize,
}

const SHAPES: [Shape; 2] = [
    Shape { name: "vit-s", width: 384, heads: 6, layers: 12 },
    Shape { name: "vit-b", width: 768, heads: 12, layers: 12 },
];

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo bench` adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let threads = arguments.iter().skip_while(|argument| *argument != "--threads").nth(1);
    let json = arguments.iter().any(|argument| argument == "--json");
    let (isa, clock) = (Isa::detect(), Clock::system());
    for threads in threads.map_or("1,2", |threads| threads).split(',') {
        let lane = Lane::spawn(threads.parse()?, None)?;
        for shape in &SHAPES {
            for format in [TensorType::F32, TensorType::F16, TensorType::Q8_0] {
                let file = tempfile::NamedTempFile::new()?;
                write(shape, format).write_to(&mut file.as_file())?;
                let gguf = Arc::new(Gguf::open(file.path())?);
                let encoder = Arc::new(VisionEncoder::load(&gguf, isa, &lane, &mut |_| {})?);
                let seconds = measure(&encoder, &lane, &clock)?;
                let (name, threads, format) = (shape.name, lane.threads(), format.name());
                if json {
                    println!(
                        "{{\"shape\":\"{name}\",\"format\":\"{format}\",\"threads\":{threads},\"us\":{:.0}}}",
                        seconds * 1e6
                    );
                } else {
                    println!("{name} {format:5} {threads} threads: {:.1} ms", seconds * 1e3);
                }
            }
        }
    }
    Ok(())
}

/// Seconds of the fastest square.
fn measure(encoder: &Arc<VisionEncoder>, lane: &Lane, clock: &Clock) -> Result<f64, Box<dyn Error>> {
    let pixels = (0..224 * 224 * 3).map(|index: usize| (index * 7919 % 251) as u8).collect();
    let picture = Arc::new(Picture::from_rgb(224, 224, pixels).ok_or("a picture")?);
    let mut preparation = encoder.config().preprocess().prepare(picture);
    while !preparation.is_complete() {
        preparation.advance(lane);
    }
    let square = preparation.tile(lane, 0);
    let mut encoding = Encoding::new(Arc::clone(encoder))?;
    let begun = clock.now();
    let mut fastest = f64::INFINITY;
    while clock.now().since(begun) < SPAN {
        let start = clock.now();
        encoding.begin(lane, &square)?;
        encoding.advance(lane, encoder.config().layers);
        fastest = fastest.min(clock.now().since(start).as_secs_f64());
    }
    Ok(fastest)
}

/// The encoder as a file.
fn write(shape: &Shape, format: TensorType) -> GgufWriter {
    let Shape { width, heads, layers, .. } = *shape;
    let mut file = GgufWriter::new("clip")
        .metadata("clip.has_vision_encoder", true)
        .metadata("clip.projector_type", "mlp")
        .metadata("clip.use_gelu", true)
        .metadata("clip.vision.feature_layer", vec![layers as u32])
        .metadata("clip.vision.attention.layer_norm_epsilon", 1e-6f32)
        .metadata("clip.vision.image_mean", vec![0.5f32; 3])
        .metadata("clip.vision.image_std", vec![0.5f32; 3]);
    for (key, value) in [
        ("image_size", 224),
        ("patch_size", 16),
        ("embedding_length", width),
        ("feed_forward_length", 4 * width),
        ("block_count", layers),
        ("attention.head_count", heads),
    ] {
        file = file.metadata(format!("clip.vision.{key}"), value as u32);
    }
    let mut put = |name: &str, format: TensorType, dims: &[usize]| {
        let sizes: Vec<u64> = dims.iter().map(|side| *side as u64).collect();
        let data = values(format, dims.iter().product(), dims[0]);
        file = std::mem::replace(&mut file, GgufWriter::empty()).tensor(name, format, &sizes, data);
    };
    put("v.patch_embd.weight", TensorType::F32, &[16, 16, 3, width]);
    put("v.class_embd", TensorType::F32, &[width]);
    put("v.position_embd.weight", TensorType::F32, &[width, 197]);
    for layer in 0..layers {
        let name = |part: &str| format!("v.blk.{layer}.{part}");
        let square = (width, width);
        let linears = ["attn_q", "attn_k", "attn_v", "attn_out"].map(|part| (part, square));
        let outer = [("ffn_up", (4 * width, width)), ("ffn_down", (width, 4 * width))];
        for (part, (rows, cols)) in linears.into_iter().chain(outer) {
            put(&name(&format!("{part}.weight")), format, &[cols, rows]);
            put(&name(&format!("{part}.bias")), TensorType::F32, &[rows]);
        }
        for part in ["ln1.weight", "ln1.bias", "ln2.weight", "ln2.bias"] {
            put(&name(part), TensorType::F32, &[width]);
        }
    }
    file
}

/// Numbers small enough for twelve layers to stay finite.
fn values(format: TensorType, count: usize, cols: usize) -> Vec<u8> {
    let spread = (cols as f32).sqrt().recip();
    let values = (0..count).map(|index| (((index * 7919) % 1000) as f32 / 500.0 - 1.0) * spread);
    match format {
        TensorType::F32 => values.flat_map(f32::to_le_bytes).collect(),
        TensorType::F16 => values.flat_map(|value| f16::from_f32(value).to_le_bytes()).collect(),
        _ => (0..count / 32)
            .flat_map(|block| {
                let codes = (0..32).map(move |at| ((32 * block + at) * 7919 % 255) as u8);
                f16::from_f32(spread / 127.0).to_le_bytes().into_iter().chain(codes)
            })
            .collect(),
    }
}
