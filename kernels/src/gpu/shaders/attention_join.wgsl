// Joins what stretches of positions came to: for each the largest score, the sum of weights, and the weighted values.
struct Parameters { heads: u32, head_dim: u32, output: u32, output_stride: u32, stretches: u32 }

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> stretches: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(64)
fn attention_join(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
    let size = p.head_dim + 2u;
    let base = (group.y * p.heads + group.x) * p.stretches * size;
    var most = -3.0e38;
    for (var i = 0u; i < p.stretches; i++) { most = max(most, stretches[base + i * size]); }
    var total = 0.0;
    for (var i = 0u; i < p.stretches; i++) {
        total += exp(stretches[base + i * size] - most) * stretches[base + i * size + 1u];
    }
    for (var value = index; value < p.head_dim; value += 64u) {
        var sum = 0.0;
        for (var i = 0u; i < p.stretches; i++) {
            sum += exp(stretches[base + i * size] - most) * stretches[base + i * size + 2u + value];
        }
        output[p.output + group.y * p.output_stride + group.x * p.head_dim + value] = sum / total;
    }
}
