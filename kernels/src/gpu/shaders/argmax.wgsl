// The first place of the largest value of each row, not-a-numbers aside. Workgroups take stretches of the row and leave a
// value and a place each; the same kernel then takes the first of the largest of those.
struct Parameters { base: u32, stride: u32, count: u32, stretch: u32, to: u32, to_stride: u32, last: u32 }

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(0) @binding(2) var<storage, read_write> output: array<u32>;

const LANES = 256u;
const LEAST = -3.4028234e38;
var<workgroup> values: array<f32, 256>;
var<workgroup> places: array<u32, 256>;

@compute @workgroup_size(256)
fn argmax(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
    let first = group.x * p.stretch;
    let end = min(p.count, first + p.stretch);
    let base = p.base + group.y * p.stride;
    var best = LEAST;
    var place = 0xffffffffu;
    for (var at = first + index; at < end; at += LANES) {
        var value = 0.0;
        var at_place = at;
        if p.last == 1u {
            value = bitcast<f32>(input[base + 2u * at]);
            at_place = input[base + 2u * at + 1u];
        } else {
            value = bitcast<f32>(input[base + at]);
        }
        // Stretches follow each other, so that the first of equal values is met first.
        if value > best || (value == best && at_place < place) {
            best = value;
            place = at_place;
        }
    }
    values[index] = best;
    places[index] = place;
    for (var step = LANES / 2u; step > 0u; step >>= 1u) {
        workgroupBarrier();
        if index < step {
            let value = values[index + step];
            let other = places[index + step];
            if value > values[index] || (value == values[index] && other < places[index]) {
                values[index] = value;
                places[index] = other;
            }
        }
    }
    if index != 0u { return; }
    let at = p.to + group.y * p.to_stride;
    if p.last == 1u {
        output[at] = select(places[0], 0u, places[0] == 0xffffffffu);
    } else {
        output[at + 2u * group.x] = bitcast<u32>(values[0]);
        output[at + 2u * group.x + 1u] = places[0];
    }
}
