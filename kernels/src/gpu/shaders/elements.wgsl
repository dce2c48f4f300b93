// Rows value by value: `output += left`, `output = silu(left) · right`, or `output = silu(output) · left`.
struct Parameters { width: u32, left: u32, left_stride: u32, right: u32, right_stride: u32, output: u32, output_stride: u32, what: u32 }

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> left: array<f32>;
@group(0) @binding(2) var<storage, read> right: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;

fn silu(x: f32) -> f32 {
    return x / (1.0 + exp(-x));
}

@compute @workgroup_size(128)
fn elements(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= p.width { return; }
    let value = left[p.left + id.y * p.left_stride + id.x];
    let at = p.output + id.y * p.output_stride + id.x;
    if p.what == 0u {
        output[at] += value;
    } else if p.what == 1u {
        output[at] = silu(value) * right[p.right + id.y * p.right_stride + id.x];
    } else {
        output[at] = silu(output[at]) * value;
    }
}
