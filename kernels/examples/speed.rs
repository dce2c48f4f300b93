//! How fast the kernels are on this machine, in the shapes of a small language model (30 layers, 576 wide, 9 heads of
//! 64 on 3, 1536 hidden, a head of 49152 × 576 in `Q8_0`). A step is the sum of the fastest run of each of its calls, as
//! others may use the machine too.
//!
//! `cargo run --release -p nanomind-kernels --example speed -- [FORMAT] [ISA] [THREADS] [POSITION]`
#![allow(clippy::print_stdout, clippy::cast_precision_loss)]

use std::error::Error;

use half::f16;
use nanomind_hal::{Clock, Lane, Timestamp};
use nanomind_kernels::{
    Activations, Epilogue, Format, Isa, KvView, Matrix, Product, RopeAngles, RopeLayout, RopeTable, attention,
    f32_to_f16, matmul, matmul_many, rope,
};

const LAYERS: usize = 30;
const WIDTH: usize = 576;
const HIDDEN: usize = 1536;
const KV_HEADS: usize = 3;
const HEADS: usize = 9;
const DIM: usize = 64;
const CAPACITY: usize = 2048;

struct Layer {
    qkv: [Matrix; 3],
    out: Matrix,
    gate_up: [Matrix; 2],
    down: Matrix,
    keys: Vec<f16>,
    values: Vec<f16>,
}

struct Model {
    isa: Isa,
    layers: Vec<Layer>,
    head: Matrix,
    norm: Vec<f32>,
    rope: RopeTable,
}

#[derive(Default)]
struct Space {
    x: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    attended: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    angles: RopeAngles,
    /// The kind of each call of a step and the fewest nanoseconds that it took in any step.
    calls: Vec<(usize, u64)>,
    next_call: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let format = arguments.next().unwrap_or_else(|| "Q4_1".to_owned());
    let format = Format::ALL.into_iter().find(|known| known.name() == format).ok_or("no such format")?;
    let isa = arguments.next().map_or(Some(Isa::detect()), |name| Isa::from_name(&name)).ok_or("no such ISA")?;
    let threads = arguments.next().map_or(Ok(1), |threads| threads.parse())?;
    let position = arguments.next().map_or(Ok(0), |position| position.parse())?;
    let lane = Lane::spawn(threads, None)?;
    let clock = Clock::system();
    let mut packing = 0.0;
    let mut model = Model::random(isa, &lane, format, &clock, &mut packing)?;
    let bytes: usize = model.layers.iter().map(Layer::bytes).sum::<usize>() + model.head.packed_bytes();
    let weights: usize = LAYERS * (WIDTH * (WIDTH * 2 + KV_HEADS * DIM * 2 + HIDDEN * 3));
    println!(
        "{format} {isa}, {} thread(s), {:.1} MB of weights, packed in {:.0} ms",
        lane.threads(),
        bytes as f64 / 1e6,
        packing * 1e3
    );
    let mut space = Space::default();
    let mut activations = Activations::new(isa);
    for (name, tokens, rounds) in [("decode", 1, 60), ("batch of 4", 4, 30), ("prefill 512", 512, 5)] {
        space.calls.clear();
        for _ in 0..rounds {
            space.next_call = 0;
            model.step(&lane, &clock, &mut activations, &mut space, position, tokens);
        }
        let mut spent = [0u64; 3];
        for (kind, took) in &space.calls {
            spent[*kind] += took;
        }
        let seconds = spent.iter().sum::<u64>() as f64 / 1e9;
        println!(
            "{name:12} {:8.1} tok/s  {:6.2} ms (load {:.2}, products {:.2}, attention {:.2})  {:5.1} GB/s  {:6.1} GOP/s",
            tokens as f64 / seconds,
            seconds * 1e3,
            spent[0] as f64 / 1e6,
            spent[1] as f64 / 1e6,
            spent[2] as f64 / 1e6,
            bytes as f64 / seconds / 1e9,
            2.0 * (weights * tokens) as f64 / seconds / 1e9,
        );
    }
    Ok(())
}

impl Space {
    fn took(&mut self, kind: usize, clock: &Clock, start: Timestamp) {
        let took = clock.now().since(start).as_nanos() as u64;
        match self.calls.get_mut(self.next_call) {
            Some((_, best)) => *best = took.min(*best),
            None => self.calls.push((kind, took)),
        }
        self.next_call += 1;
    }
}

impl Layer {
    fn bytes(&self) -> usize {
        let matrices = self.qkv.iter().chain(&self.gate_up).chain([&self.out, &self.down]);
        matrices.map(Matrix::packed_bytes).sum()
    }
}

impl Model {
    fn random(
        isa: Isa,
        lane: &Lane,
        format: Format,
        clock: &Clock,
        packing: &mut f64,
    ) -> Result<Model, Box<dyn Error>> {
        let mut seed = 1u32;
        let mut matrix = |format: Format, rows, cols| -> Result<Matrix, Box<dyn Error>> {
            let bytes = rows * format.row_bytes(cols).ok_or("no whole number of blocks")?;
            let mut data = vec![0u8; bytes];
            for byte in &mut data {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = (seed >> 24) as u8 & 0x3b; // Keeps every half-precision scale small.
            }
            let start = clock.now();
            let packed = Matrix::pack(isa, lane, format, rows, cols, &data)?;
            *packing += clock.now().since(start).as_secs_f64();
            Ok(packed)
        };
        let mut layers = Vec::new();
        for _ in 0..LAYERS {
            layers.push(Layer {
                qkv: [
                    matrix(format, WIDTH, WIDTH)?,
                    matrix(format, KV_HEADS * DIM, WIDTH)?,
                    matrix(format, KV_HEADS * DIM, WIDTH)?,
                ],
                out: matrix(format, WIDTH, WIDTH)?,
                gate_up: [matrix(format, HIDDEN, WIDTH)?, matrix(format, HIDDEN, WIDTH)?],
                down: matrix(format, WIDTH, HIDDEN)?,
                keys: vec![f16::ONE; KV_HEADS * DIM * CAPACITY],
                values: vec![f16::ONE; KV_HEADS * DIM * CAPACITY],
            });
        }
        let head = matrix(Format::Q8_0, 49_152, WIDTH)?;
        let rope = RopeTable::new(RopeLayout::Interleaved, DIM, 10_000.0, None);
        Ok(Model { isa, layers, head, norm: vec![1e-3; WIDTH], rope })
    }

    fn step(
        &mut self,
        lane: &Lane,
        clock: &Clock,
        activations: &mut Activations,
        space: &mut Space,
        position: usize,
        tokens: usize,
    ) {
        let isa = self.isa;
        for (buffer, width) in [
            (&mut space.x, WIDTH),
            (&mut space.q, WIDTH),
            (&mut space.k, KV_HEADS * DIM),
            (&mut space.v, KV_HEADS * DIM),
            (&mut space.attended, WIDTH),
            (&mut space.gate, HIDDEN),
            (&mut space.up, HIDDEN),
        ] {
            buffer.resize(tokens * width, 0.01);
        }
        space.x.fill(0.01);
        space.angles.set(&self.rope, position, tokens);
        for layer in &mut self.layers {
            let [wq, wk, wv] = &layer.qkv;
            let start = clock.now();
            activations.load_rms_norm(lane, &space.x, &self.norm, 1e-5, &[wq, wk, wv]);
            space.took(0, clock, start);
            let start = clock.now();
            matmul_many(
                lane,
                activations,
                &mut [Product::new(wq, &mut space.q), Product::new(wk, &mut space.k), Product::new(wv, &mut space.v)],
            );
            space.took(1, clock, start);
            let start = clock.now();
            rope(isa, &mut space.q, HEADS, DIM, &space.angles, 0);
            rope(isa, &mut space.k, KV_HEADS, DIM, &space.angles, 0);
            for token in 0..tokens {
                for head in 0..KV_HEADS {
                    let (from, to) = ((token * KV_HEADS + head) * DIM, (head * CAPACITY + position + token) * DIM);
                    f32_to_f16(isa, &space.k[from..from + DIM], &mut layer.keys[to..to + DIM]);
                    f32_to_f16(isa, &space.v[from..from + DIM], &mut layer.values[to..to + DIM]);
                }
            }
            let kv = KvView::new(&layer.keys, &layer.values, HEADS, KV_HEADS, CAPACITY, DIM);
            attention(lane, isa, &space.q, &kv, position, 0.125, &mut space.attended);
            space.took(2, clock, start);
            let start = clock.now();
            activations.load_for(lane, &space.attended, &[&layer.out]);
            space.took(0, clock, start);
            let start = clock.now();
            matmul(lane, &layer.out, activations, &mut space.x, Epilogue::Accumulate);
            space.took(1, clock, start);
            let [gate, up] = &layer.gate_up;
            let start = clock.now();
            activations.load_rms_norm(lane, &space.x, &self.norm, 1e-5, &[gate, up]);
            space.took(0, clock, start);
            let start = clock.now();
            matmul_many(lane, activations, &mut [Product::new(gate, &mut space.gate), Product::new(up, &mut space.up)]);
            space.took(1, clock, start);
            let start = clock.now();
            activations.load_silu_mul(lane, &space.gate, &space.up, &[&layer.down]);
            space.took(0, clock, start);
            let start = clock.now();
            matmul(lane, &layer.down, activations, &mut space.x, Epilogue::Accumulate);
            space.took(1, clock, start);
        }
        let start = clock.now();
        let mut logits = vec![0.0; self.head.rows()];
        activations.load_rms_norm(lane, &space.x[(tokens - 1) * WIDTH..], &self.norm, 1e-5, &[&self.head]);
        matmul(lane, &self.head, activations, &mut logits, Epilogue::Store);
        space.took(1, clock, start);
    }
}
