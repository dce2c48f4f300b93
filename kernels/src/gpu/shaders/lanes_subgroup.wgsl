// Sums over 32 invocations that follow each other, where so many of them run in step.
override IN_STEP: u32 = 32u;
var<workgroup> step_sums: array<vec4f, 16>;

fn over_lanes(value: vec4f, index: u32) -> vec4f {
    let sum = subgroupAdd(value);
    if IN_STEP == 32u { return sum; }
    workgroupBarrier();
    if index % IN_STEP == 0u { step_sums[index / IN_STEP] = sum; }
    workgroupBarrier();
    let steps = 32u / IN_STEP;
    let first = index / 32u * steps;
    var total = vec4f();
    for (var step = 0u; step < steps; step++) { total += step_sums[first + step]; }
    return total;
}
