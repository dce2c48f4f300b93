// Rotates queries where they are, and keys on their way into the cache; values go there as they are. One invocation has
// four values of a head: two places of a pair of halves, or two pairs of neighbours. The cache has two values a word.
struct Parameters {
    rows: u32, row: u32, stride: u32, query: u32,
    key: u32, value: u32, heads: u32, kv_heads: u32,
    head_dim: u32, pairs: u32, position: u32, interleaved: u32,
}

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> angles: array<vec2f>;
@group(0) @binding(2) var<storage, read_write> inputs: array<f32>;
@group(0) @binding(3) var<storage, read_write> keys: array<u32>;
@group(0) @binding(4) var<storage, read_write> values: array<u32>;

fn rotated(pair: vec2f, angle: vec2f) -> vec2f {
    return vec2f(pair.x * angle.x - pair.y * angle.y, pair.x * angle.y + pair.y * angle.x);
}

@compute @workgroup_size(64)
fn rotate(@builtin(global_invocation_id) id: vec3u) {
    let quads = p.head_dim / 4u;
    let head = id.x / quads;
    let quad = id.x % quads;
    if head >= p.heads + 2u * p.kv_heads { return; }
    let position = p.position + id.y;
    // What is rotated comes first in a head, the rest stays as it is.
    let turns = 2u * quad < p.pairs;
    let halves = turns && p.interleaved == 0u;
    let first = select(4u * quad, 2u * quad, halves);
    let second = select(first + 2u, first + p.pairs, halves);
    var base = (p.row + id.y) * p.stride;
    let is_key = head >= p.heads && head < p.heads + p.kv_heads;
    let kv_head = select(head - p.heads - p.kv_heads, head - p.heads, is_key);
    if head < p.heads {
        base += p.query + head * p.head_dim;
    } else {
        base += select(p.value, p.key, is_key) + kv_head * p.head_dim;
    }
    var one = vec2f(inputs[base + first], inputs[base + first + 1u]);
    var two = vec2f(inputs[base + second], inputs[base + second + 1u]);
    if turns && (head < p.heads || is_key) {
        let angle = position * p.pairs + 2u * quad;
        if halves {
            let left = rotated(vec2f(one.x, two.x), angles[angle]);
            let right = rotated(vec2f(one.y, two.y), angles[angle + 1u]);
            one = vec2f(left.x, right.x);
            two = vec2f(left.y, right.y);
        } else {
            one = rotated(one, angles[angle]);
            two = rotated(two, angles[angle + 1u]);
        }
    }
    if head < p.heads {
        inputs[base + first] = one.x;
        inputs[base + first + 1u] = one.y;
        inputs[base + second] = two.x;
        inputs[base + second + 1u] = two.y;
        return;
    }
    let at = (position * p.kv_heads + kv_head) * p.head_dim;
    if is_key {
        keys[(at + first) / 2u] = pack2x16float(one);
        keys[(at + second) / 2u] = pack2x16float(two);
    } else {
        values[(at + first) / 2u] = pack2x16float(one);
        values[(at + second) / 2u] = pack2x16float(two);
    }
}
