// Root mean square norm, or layer norm, of one row a workgroup.
struct Parameters { width: u32, input: u32, input_stride: u32, output: u32, output_stride: u32, centred: u32, eps: f32, gain: u32, bias: u32 }

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> gain: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;

const LANES = 128u;
var<workgroup> joined: array<f32, 128>;

fn sum(value: f32, index: u32) -> f32 {
    workgroupBarrier();
    joined[index] = value;
    for (var step = LANES / 2u; step > 0u; step >>= 1u) {
        workgroupBarrier();
        if index < step { joined[index] += joined[index + step]; }
    }
    workgroupBarrier();
    return joined[0];
}

@compute @workgroup_size(128)
fn norm(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
    let base = p.input + group.x * p.input_stride;
    let to = p.output + group.x * p.output_stride;
    var mean = 0.0;
    if p.centred == 1u {
        var mine = 0.0;
        for (var at = index; at < p.width; at += LANES) { mine += input[base + at]; }
        mean = sum(mine, index) / f32(p.width);
    }
    var squares = 0.0;
    for (var at = index; at < p.width; at += LANES) {
        let value = input[base + at] - mean;
        squares += value * value;
    }
    let factor = inverseSqrt(sum(squares, index) / f32(p.width) + p.eps);
    for (var at = index; at < p.width; at += LANES) {
        let value = (input[base + at] - mean) * factor * gain[p.gain + at];
        output[to + at] = select(value, value + bias[p.bias + at], p.centred == 1u);
    }
}
