// What both products share: what they reach, and what becomes of their values. Rows are rows of the weights, a chunk is
// eight columns.
struct Parameters {
    rows: u32, chunks: u32, tokens: u32, bits: u32,
    scales: u32, input: u32, input_stride: u32, output: u32,
    output_stride: u32, bias: u32, cols: f32, eps: f32,
}

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> weights: array<u32>;
@group(0) @binding(2) var<storage, read> input: array<vec4f>;
@group(0) @binding(3) var<storage, read> gain: array<vec4f>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> output: array<f32>;

// Inputs are divided by their root mean square and multiplied by `gain`. As that is linear but for one factor, columns
// take the gain and the whole sum takes the factor, which comes of the same pass over the columns.
override NORMED: bool = false;
override BIASED: bool = false;
override ADDS: bool = false;
override FUNCTION: u32 = 0u;
// Rows come in pairs of a gate and what it lets through: `silu(gate) · up` is one output.
override GATED: bool = false;

fn root_mean_square(squares: f32) -> f32 {
    return inverseSqrt(squares / p.cols + p.eps);
}

fn sigmoid(x: f32) -> f32 {
    return 1.0 / (1.0 + exp(-x));
}

// Within 5e-7, as on the CPU.
fn erf(at: f32) -> f32 {
    let x = clamp(at, -4.0, 4.0);
    let s = x * x;
    var above = -2.7261423e-10;
    above = above * s + 2.7706814e-8;
    above = above * s - 2.101024e-6;
    above = above * s - 5.6925064e-5;
    above = above * s - 7.349906e-4;
    above = above * s - 2.9546e-3;
    above = above * s - 1.6096033e-2;
    var below = -1.4566072e-5;
    below = below * s - 2.1337406e-4;
    below = below * s - 1.682827e-3;
    below = below * s - 7.373329e-3;
    below = below * s - 1.4264739e-2;
    return clamp(x * above / below, -1.0, 1.0);
}

fn function(x: f32) -> f32 {
    switch FUNCTION {
        case 1u: { return x * sigmoid(1.595769 * (x + 0.044715 * x * x * x)); }
        case 2u: { return 0.5 * x * (1.0 + erf(x * 0.70710678)); }
        case 3u: { return x * sigmoid(1.702 * x); }
        case 4u: { return x * sigmoid(x); }
        default: { return x; }
    }
}

fn biased(row: u32, value: f32) -> f32 {
    if BIASED { return value + bias[p.bias + row]; }
    return value;
}

// `value` is what came of row `row` of the weights and of token `token`; `next` of the row after it, for a gate.
fn put(row: u32, token: u32, value: f32, next: f32) {
    if row >= p.rows || token >= p.tokens { return; }
    let at = p.output + token * p.output_stride;
    if GATED {
        let gate = biased(row, value);
        output[at + row / 2u] = gate * sigmoid(gate) * biased(row + 1u, next);
    } else {
        let result = function(biased(row, value));
        if ADDS { output[at + row] += result; } else { output[at + row] = result; }
    }
}
