// Sums over 32 invocations that follow each other, through memory that the workgroup shares.
var<workgroup> shared_sums: array<vec4f, 128>;

fn over_lanes(value: vec4f, index: u32) -> vec4f {
    workgroupBarrier();
    shared_sums[index] = value;
    for (var step = 16u; step > 0u; step >>= 1u) {
        workgroupBarrier();
        if (index & 31u) < step { shared_sums[index] += shared_sums[index + step]; }
    }
    workgroupBarrier();
    return shared_sums[index & ~31u];
}
