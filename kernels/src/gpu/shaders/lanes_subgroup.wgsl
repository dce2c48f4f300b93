// Sums over 32 invocations that follow each other, where those are what runs in step.
fn over_lanes(value: vec4f, index: u32) -> vec4f {
    return subgroupAdd(value);
}
