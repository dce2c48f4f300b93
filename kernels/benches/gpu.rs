//! What a graphics processor makes of the shapes of language models: bytes a second of each product, what a dispatch
//! costs, and whole steps of models with random weights.
//!
//! `cargo bench -p nanomind-kernels --bench gpu -- [--adapter NAME] [--formats Q4_0,Q4_K] [--models smollm2,qwen2,llama3]
//! [--tokens 128] [--prompt 512] [--cold 256]`
//!
//! Products go over copies of their weights, `--cold` megabytes together, so that no cache holds them all. Times are those
//! that the processor waits, from submission to the end, so that they include what the driver takes.
#![allow(clippy::print_stdout, clippy::cast_precision_loss)]

use std::error::Error;
use std::time::Duration;

use nanomind_hal::Clock;
use nanomind_hal::gpu::{Gpu, GpuChoice};
use nanomind_kernels::gpu::{
    Epilogue, Input, Kernels, KvCache, Matrix, Pass, Product, Results, RopeAngles, Rows, Sight, Tokens, Weights,
};
use nanomind_kernels::{Format, RopeLayout, RopeTable};

/// How much is measured.
#[derive(Clone, Copy)]
struct Extent {
    /// Bytes of weights that a product goes over: more than caches hold.
    cold: usize,
    /// Tokens of a prompt.
    prompt: usize,
    /// Tokens that follow it.
    tokens: usize,
}

/// The sizes of a model.
struct Shape {
    name: &'static str,
    layers: usize,
    width: usize,
    hidden: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    vocab: usize,
}

const SHAPES: [Shape; 3] = [
    Shape { name: "smollm2", layers: 30, width: 576, hidden: 1536, heads: 9, kv_heads: 3, head_dim: 64, vocab: 49_152 },
    Shape { name: "qwen2", layers: 24, width: 896, hidden: 4864, heads: 14, kv_heads: 2, head_dim: 64, vocab: 151_936 },
    Shape {
        name: "llama3",
        layers: 32,
        width: 4096,
        hidden: 14_336,
        heads: 32,
        kv_heads: 8,
        head_dim: 128,
        vocab: 128_256,
    },
];

impl Shape {
    /// Rows and columns of the matrices of a layer: queries, keys, values, output, gate, up and down.
    fn matrices(&self) -> [[usize; 2]; 7] {
        let (q, kv, width, hidden) =
            (self.heads * self.head_dim, self.kv_heads * self.head_dim, self.width, self.hidden);
        [[q, width], [kv, width], [kv, width], [width, q], [hidden, width], [hidden, width], [width, hidden]]
    }
}

/// Bytes that look like weights; scales among them are small numbers.
fn weights(format: Format, rows: usize, cols: usize) -> Vec<u8> {
    let bytes = rows * format.row_bytes(cols).expect("whole blocks");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // No byte above 0x1f: halves are then below 0.01, and codes are what they are.
        (state & 0x1f1f_1f1f_1f1f_1f1f).to_le_bytes()
    };
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        out.extend(word());
    }
    out.truncate(bytes);
    out
}

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo bench` adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let after = |flag: &str| arguments.iter().skip_while(|argument| *argument != flag).nth(1).cloned();
    let choice: GpuChoice = after("--adapter").unwrap_or_default().parse()?;
    let formats = after("--formats").unwrap_or_else(|| "Q4_0,Q4_K,Q8_0,F16".to_owned());
    let formats: Vec<Format> =
        Format::ALL.into_iter().filter(|format| formats.split(',').any(|name| name == format.name())).collect();
    let models = after("--models").unwrap_or_else(|| "smollm2,qwen2,llama3".to_owned());
    let number = |flag: &str, usual: usize| after(flag).map_or(Ok(usual), |text| text.parse::<usize>());
    let extent = Extent {
        cold: number("--cold", 256)? << 20,
        prompt: number("--prompt", 512)?,
        tokens: number("--tokens", 128)?,
    };
    let gpu = Gpu::open(&choice, None)?;
    let adapter = gpu.adapter();
    println!("{}, {}, {}; {}", adapter.name, adapter.backend, adapter.driver, adapter.features);
    let kernels = Kernels::new(gpu)?;
    let clock = Clock::system();
    dispatches(&kernels, &clock)?;
    for shape in SHAPES.iter().filter(|shape| models.split(',').any(|name| name == shape.name)) {
        for &format in formats.iter().filter(|format| shape.width.is_multiple_of(format.block_len())) {
            let [output, _, up, down] = [3, 4, 5, 6].map(|at| shape.matrices()[at]);
            for [rows, cols] in [output, up, down, [shape.vocab, shape.width]] {
                product(&kernels, &clock, extent, format, [rows, cols])?;
            }
            model(&kernels, &clock, extent, shape, format)?;
        }
    }
    Ok(())
}

/// Runs what `record` records until it ended; how long recording and all of it took.
fn timed(
    kernels: &Kernels,
    clock: &Clock,
    record: impl Fn(&mut Pass<'_>) -> Result<(), Box<dyn Error>>,
) -> Result<[Duration; 2], Box<dyn Error>> {
    let begun = clock.now();
    let mut pass = kernels.pass();
    record(&mut pass)?;
    let recorded = clock.now().since(begun);
    pass.finish()?.wait()?;
    Ok([recorded, clock.now().since(begun)])
}

/// The fastest of five.
fn fastest(
    kernels: &Kernels,
    clock: &Clock,
    record: impl Fn(&mut Pass<'_>) -> Result<(), Box<dyn Error>>,
) -> Result<[Duration; 2], Box<dyn Error>> {
    let mut best = [Duration::MAX; 2];
    for _ in 0..5 {
        let times = timed(kernels, clock, &record)?;
        best = [best[0].min(times[0]), best[1].min(times[1])];
    }
    Ok(best)
}

/// What one more step costs that does next to nothing and waits for the one before it.
fn dispatches(kernels: &Kernels, clock: &Clock) -> Result<(), Box<dyn Error>> {
    let (one, other) = (Rows::new(kernels, 1, 64)?, Rows::new(kernels, 1, 64)?);
    let time = |steps: usize| {
        fastest(kernels, clock, |pass| {
            for step in 0..steps {
                let (from, to) = if step % 2 == 0 { (&one, &other) } else { (&other, &one) };
                pass.add(from.all(), to.all())?;
            }
            Ok(())
        })
    };
    let (few, many) = (time(100)?, time(1100)?);
    let each = |at: usize| (many[at].saturating_sub(few[at])).as_secs_f64() * 1e3;
    println!(
        "a step: {:.2} us, of which recording {:.2} us; 100 steps: {:.0} us",
        each(1),
        each(0),
        few[1].as_secs_f64() * 1e6
    );
    Ok(())
}

/// Bytes a second and operations a second of one shape.
fn product(
    kernels: &Kernels,
    clock: &Clock,
    extent: Extent,
    format: Format,
    [rows, cols]: [usize; 2],
) -> Result<(), Box<dyn Error>> {
    let bytes = weights(format, rows, cols);
    let copies = (extent.cold / bytes.len()).clamp(1, 128);
    let matrices: Vec<Matrix> =
        (0..copies).map(|_| Matrix::upload(kernels, format, rows, cols, &bytes)).collect::<Result<_, _>>()?;
    let read: u64 = matrices.iter().map(Matrix::bytes).sum();
    let mut line = format!("{format:>5} {rows:>6} x {cols:>5}:");
    for tokens in [1, extent.prompt] {
        let (input, out) = (Rows::new(kernels, tokens, cols)?, Rows::new(kernels, tokens, rows)?);
        let used = if tokens == 1 { copies } else { copies.min(4) };
        let [_, took] = fastest(kernels, clock, |pass| {
            for matrix in &matrices[..used] {
                pass.product(Input::Rows(input.all()), matrix, Epilogue::Store, out.all())?;
            }
            Ok(())
        })?;
        let seconds = took.as_secs_f64();
        if tokens == 1 {
            line += &format!(" {:6.1} us, {:6.0} GB/s", seconds / used as f64 * 1e6, read as f64 / seconds / 1e9);
        } else {
            let operations = 2.0 * (tokens * rows * cols * used) as f64;
            line += &format!("; {tokens} tokens: {:6.2} TFLOP/s", operations / seconds / 1e12);
        }
    }
    println!("{line}");
    Ok(())
}

/// A model's weights, as many layers of them as caches do not hold; the others are those again.
struct Model<'a> {
    shape: &'a Shape,
    layers: Vec<[Matrix; 7]>,
    head: Matrix,
    gain: Rows,
    angles: RopeAngles,
    caches: Vec<KvCache>,
    residual: Rows,
    qkv: Rows,
    attended: Rows,
    hidden: Rows,
    spare: Rows,
    logits: Rows,
    tokens: Tokens,
}

impl Model<'_> {
    /// Records a pass of `rows` tokens from `position` on, whose last row's token is picked.
    fn record(&self, pass: &mut Pass<'_>, rows: usize, position: usize) -> Result<(), Box<dyn Error>> {
        let Shape { layers, width, heads, kv_heads, head_dim, .. } = *self.shape;
        let (q, kv) = (heads * head_dim, kv_heads * head_dim);
        let residual = self.residual.part(0..rows);
        pass.embed(&self.head, &self.tokens, 0, residual)?;
        for layer in 0..layers {
            let [query, key, value, output, gate, up, down] = &self.layers[layer % self.layers.len()];
            let cache = &self.caches[layer];
            let inputs = self.qkv.part(0..rows);
            let parts = [inputs.columns(0..q), inputs.columns(q..q + kv), inputs.columns(q + kv..q + 2 * kv)];
            let product = |matrix, out| Product { matrix, epilogue: Epilogue::Store, out };
            let products = [product(query, parts[0]), product(key, parts[1]), product(value, parts[2])];
            let normed = Input::RmsNormed(residual, &self.gain, 1e-5);
            pass.products(normed, &products)?;
            pass.rotate_and_store(parts, &self.angles, position, cache)?;
            let attended = self.attended.part(0..rows);
            let scale = 1.0 / (head_dim as f32).sqrt();
            pass.attention(parts[0], cache, Sight::Causal { first_position: position }, scale, attended)?;
            pass.product(Input::Rows(attended), output, Epilogue::Accumulate, residual)?;
            let hidden = self.hidden.part(0..rows);
            pass.gate(normed, [gate, up], [None, None], hidden, self.spare.part(0..rows))?;
            pass.product(Input::Rows(hidden), down, Epilogue::Accumulate, residual)?;
        }
        let last = self.residual.part(rows - 1..rows).columns(0..width);
        pass.product(Input::RmsNormed(last, &self.gain, 1e-5), &self.head, Epilogue::Store, self.logits.all())?;
        pass.argmax(self.logits.all(), &self.tokens, 0)?;
        Ok(())
    }
}

/// Tokens a second of a whole model: a prompt and then decoding, each step's token read back before the next begins.
fn model(
    kernels: &Kernels,
    clock: &Clock,
    extent: Extent,
    shape: &Shape,
    format: Format,
) -> Result<(), Box<dyn Error>> {
    let Extent { cold, prompt, tokens: count } = extent;
    let upload = |[rows, cols]: [usize; 2]| Matrix::upload(kernels, format, rows, cols, &weights(format, rows, cols));
    let layer_bytes: usize =
        shape.matrices().iter().map(|[rows, cols]| rows * format.row_bytes(*cols).unwrap_or(0)).sum();
    let distinct = cold.div_ceil(layer_bytes).min(shape.layers);
    let layer = || -> Result<[Matrix; 7], Box<dyn Error>> {
        let bytes = shape.matrices().map(|[rows, cols]| weights(format, rows, cols));
        let all: [usize; 7] = std::array::from_fn(|at| at);
        let part = |at: usize| {
            let [rows, cols] = shape.matrices()[at];
            Weights { format, rows, cols, bytes: &bytes[at] }
        };
        let [a, b, c, d, e, f, g] = all.map(part);
        let [query, key, value] = Matrix::upload_together(kernels, [a, b, c])?;
        let [output] = Matrix::upload_together(kernels, [d])?;
        let [gate, up] = Matrix::upload_together(kernels, [e, f])?;
        let [down] = Matrix::upload_together(kernels, [g])?;
        Ok([query, key, value, output, gate, up, down])
    };
    let capacity = prompt + count;
    let cache = || KvCache::new(kernels, capacity, shape.kv_heads, shape.head_dim);
    let table = RopeTable::new(RopeLayout::Halves, shape.head_dim, 10_000.0, None);
    let model = Model {
        shape,
        layers: (0..distinct).map(|_| layer()).collect::<Result<_, _>>()?,
        head: upload([shape.vocab, shape.width])?,
        gain: Rows::of(kernels, &vec![1.0; shape.width])?,
        angles: RopeAngles::new(kernels, &table, capacity)?,
        caches: (0..shape.layers).map(|_| cache()).collect::<Result<_, _>>()?,
        residual: Rows::new(kernels, prompt, shape.width)?,
        qkv: Rows::new(kernels, prompt, (shape.heads + 2 * shape.kv_heads) * shape.head_dim)?,
        attended: Rows::new(kernels, prompt, shape.heads * shape.head_dim)?,
        hidden: Rows::new(kernels, prompt, shape.hidden)?,
        spare: Rows::new(kernels, prompt, shape.hidden)?,
        logits: Rows::new(kernels, 1, shape.vocab)?,
        tokens: Tokens::new(kernels, prompt)?,
    };
    let [_, prefill] = fastest(kernels, clock, |pass| model.record(pass, prompt, 0))?;
    let results = Results::new(kernels, 1)?;
    let (begun, mut recording, mut steps) = (clock.now(), Duration::ZERO, 0);
    for position in prompt..capacity {
        let now = clock.now();
        let mut pass = kernels.pass();
        model.record(&mut pass, 1, position)?;
        pass.fetch_tokens(&model.tokens, 0, 1, &results, 0);
        steps = pass.steps();
        recording += clock.now().since(now);
        results.tokens(pass.finish()?, &mut [0])?;
    }
    let each = clock.now().since(begun).as_secs_f64() / count as f64;
    let read = model.layers[0].iter().map(Matrix::bytes).sum::<u64>() * shape.layers as u64 + model.head.bytes();
    println!(
        "{} {format}: prefill {:.0} tokens/s, decode {:.1} tokens/s ({:.0} us: {steps} steps, recording {:.0} us), {:.0} GB/s",
        shape.name,
        prompt as f64 / prefill.as_secs_f64(),
        1.0 / each,
        each * 1e6,
        recording.as_secs_f64() / count as f64 * 1e6,
        read as f64 / each / 1e9,
    );
    Ok(())
}
