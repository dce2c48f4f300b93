// What both products share: what they reach, and what becomes of their values. Rows are rows of the weights, a chunk is
// eight columns. One dispatch is of up to three matrices over the same input, workgroups of the first come first.
struct Parameters {
    chunks: u32, tokens: u32, input: u32, input_stride: u32,
    output_stride: u32, gain: u32, cols: f32, eps: f32,
    // Of each matrix: the end of its workgroups, rows, places of codes and of bits; of scales, output and bias; and in
    // the last place of the first how many there are.
    matrices: array<vec4u, 6>,
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
// The first matrix is a gate and the second what it lets through: `silu(gate) · up` is one output.
override GATED: bool = false;

// What a workgroup works on: rows of one matrix, or of a gate and the other.
struct Work { part: Part, other: Part, rows: u32, first: u32, output: u32, bias: u32, other_bias: u32 }

fn part_of(matrix: u32) -> Part {
    return Part(p.matrices[2u * matrix].z, p.matrices[2u * matrix].w, p.matrices[2u * matrix + 1u].x);
}

// The work of workgroup `group`, each of which takes `each` rows.
fn work_of(group: u32, each: u32) -> Work {
    var matrix = 0u;
    var begin = 0u;
    while matrix + 1u < p.matrices[1].w && group >= p.matrices[2u * matrix].x && !GATED {
        begin = p.matrices[2u * matrix].x;
        matrix++;
    }
    let other = select(matrix, 1u, GATED);
    let rest = p.matrices[2u * matrix + 1u];
    return Work(
        part_of(matrix), part_of(other), p.matrices[2u * matrix].y, (group - begin) * each,
        rest.y, rest.z, p.matrices[2u * other + 1u].z,
    );
}

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

fn biased(at: u32, value: f32) -> f32 {
    if BIASED { return value + bias[at]; }
    return value;
}

// `value` is what came of row `row` of the weights and of token `token`; `other` of that row of the other matrix.
fn put(work: Work, row: u32, token: u32, value: f32, other: f32) {
    if row >= work.rows || token >= p.tokens { return; }
    let at = work.output + token * p.output_stride + row;
    let result = biased(work.bias + row, value);
    if GATED {
        output[at] = result * sigmoid(result) * biased(work.other_bias + row, other);
    } else if ADDS {
        output[at] += function(result);
    } else {
        output[at] = function(result);
    }
}
