// Rows of a table by token: one invocation for each eight values.
struct Parameters { first: u32, rows: u32, chunks: u32, codes: u32, bits: u32, scales: u32, token: u32, output: u32, output_stride: u32 }

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> weights: array<u32>;
@group(0) @binding(2) var<storage, read> tokens: array<u32>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4f>;

@compute @workgroup_size(64)
fn embed(@builtin(global_invocation_id) id: vec3u) {
    let token = tokens[p.token + id.y];
    // Other rows are in other shards.
    if id.x >= p.chunks || token < p.first || token >= p.first + p.rows { return; }
    let codes = eight(Part(p.codes, p.bits, p.scales), (token - p.first) * p.chunks + id.x);
    let at = p.output + id.y * p.output_stride + 2u * id.x;
    output[at] = codes.lo * codes.scale.x + codes.scale.y;
    output[at + 1u] = codes.hi * codes.scale.x + codes.scale.y;
}
