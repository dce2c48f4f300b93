// Attention of one head of one token over a stretch of positions: a workgroup takes 128 positions at a time, each
// invocation the score of one of them and then two values of the output, and keeps a running softmax.
struct Parameters {
    heads: u32, kv_heads: u32, head_dim: u32, query: u32,
    query_stride: u32, output: u32, output_stride: u32, seen: u32,
    more: u32, stretch: u32, stretches: u32, scale: f32,
}

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> queries: array<f32>;
@group(0) @binding(2) var<storage, read> keys: array<u32>;
@group(0) @binding(3) var<storage, read> values: array<u32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;

const LANES = 128u;
var<workgroup> query: array<vec2f, 128>;
var<workgroup> weight: array<f32, 128>;
var<workgroup> joined: array<f32, 128>;
var<workgroup> parts: array<vec2f, 128>;

fn largest(value: f32, index: u32) -> f32 {
    workgroupBarrier();
    joined[index] = value;
    for (var step = LANES / 2u; step > 0u; step >>= 1u) {
        workgroupBarrier();
        if index < step { joined[index] = max(joined[index], joined[index + step]); }
    }
    workgroupBarrier();
    return joined[0];
}

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
fn attention(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
    let head = group.x;
    let token = group.y;
    let kv_head = head / (p.heads / p.kv_heads);
    // Two values a word.
    let words = p.head_dim / 2u;
    let stride = p.kv_heads * words;
    let seen = p.seen + token * p.more;
    let first = group.z * p.stretch;
    let end = min(seen, first + p.stretch);
    if index < words {
        let at = p.query + token * p.query_stride + head * p.head_dim + 2u * index;
        query[index] = p.scale * vec2f(queries[at], queries[at + 1u]);
    }
    // Several invocations share a word of the output, each with every so many positions.
    let shares = LANES / words;
    let word = index % words;
    let share = index / words;
    var most = -3.0e38;
    var total = 0.0;
    var mine = vec2f();
    workgroupBarrier();
    for (var base = first; base < end; base += LANES) {
        let position = base + index;
        var score = -3.0e38;
        if position < end {
            let at = position * stride + kv_head * words;
            var dots = vec2f();
            for (var i = 0u; i < words; i++) { dots += query[i] * unpack2x16float(keys[at + i]); }
            score = dots.x + dots.y;
        }
        let new_most = max(most, largest(score, index));
        let old = exp(most - new_most);
        most = new_most;
        let exponential = select(0.0, exp(score - most), position < end);
        weight[index] = exponential;
        total = total * old + sum(exponential, index);
        mine *= old;
        if share < shares {
            let count = min(LANES, end - base);
            for (var i = share; i < count; i += shares) {
                mine += weight[i] * unpack2x16float(values[(base + i) * stride + kv_head * words + word]);
            }
        }
    }
    workgroupBarrier();
    parts[index] = mine;
    workgroupBarrier();
    if index >= words { return; }
    var value = vec2f();
    for (var i = 0u; i < shares; i++) { value += parts[i * words + index]; }
    if p.stretches == 1u {
        let at = p.output + token * p.output_stride + head * p.head_dim + 2u * index;
        output[at] = value.x / total;
        output[at + 1u] = value.y / total;
        return;
    }
    let at = ((token * p.heads + head) * p.stretches + group.z) * (p.head_dim + 2u);
    output[at + 2u + 2u * index] = value.x;
    output[at + 3u + 2u * index] = value.y;
    if index == 0u {
        output[at] = most;
        output[at + 1u] = total;
    }
}
