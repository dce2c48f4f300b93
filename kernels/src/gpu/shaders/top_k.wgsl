// The largest values of each row with their places, largest first and the first of equals first, not-a-numbers aside.
// Workgroups take stretches of the row and leave so many pairs each, a value's bits and a place; the same kernel then takes
// the largest of those, until one workgroup has them all. What a row lacks to so many has the last of all places.
struct Parameters { input: u32, stride: u32, count: u32, k: u32, output: u32, output_stride: u32, pairs: u32 }

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(0) @binding(2) var<storage, read_write> output: array<u32>;

const LANES = 256u;
const STRETCH = 1024u;
const LEAST = -3.4028234e38;
const NOWHERE = 0xffffffffu;
var<workgroup> stretch: array<f32, 1024>;
var<workgroup> values: array<f32, 256>;
var<workgroup> places: array<u32, 256>;

@compute @workgroup_size(256)
fn top_k(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
    let first = group.x * STRETCH;
    let base = p.input + group.y * p.stride;
    let step = 1u + p.pairs;
    for (var at = index; at < STRETCH; at += LANES) {
        var value = LEAST;
        if first + at < p.count {
            let found = bitcast<f32>(input[base + step * (first + at)]);
            // Nothing is larger than what is no number, and it is larger than nothing.
            if found > LEAST { value = found; }
        }
        stretch[at] = value;
    }
    for (var rank = 0u; rank < p.k; rank++) {
        workgroupBarrier();
        var best = LEAST;
        var place = NOWHERE;
        for (var at = index; at < STRETCH; at += LANES) {
            if stretch[at] > best {
                best = stretch[at];
                place = at;
            }
        }
        values[index] = best;
        places[index] = place;
        for (var half = LANES / 2u; half > 0u; half >>= 1u) {
            workgroupBarrier();
            if index < half {
                let value = values[index + half];
                let other = places[index + half];
                if value > values[index] || (value == values[index] && other < places[index]) {
                    values[index] = value;
                    places[index] = other;
                }
            }
        }
        if index == 0u {
            let at = p.output + group.y * p.output_stride + 2u * (group.x * p.k + rank);
            let chosen = places[0];
            var name = chosen;
            if chosen != NOWHERE {
                stretch[chosen] = LEAST;
                name = first + chosen;
                if p.pairs == 1u { name = input[base + step * (first + chosen) + 1u]; }
            }
            output[at] = bitcast<u32>(values[0]);
            output[at + 1u] = name;
        }
    }
}
