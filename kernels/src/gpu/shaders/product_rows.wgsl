// Products of few tokens: 32 invocations share four rows of the weights, of a gate two and two, and read them side by
// side; a workgroup has four such groups, and there is one for each token. Where there are few rows, they share one, or
// one of the gate and one of the other, so that there are more groups and memory is waited for less.
override ALONE: bool = false;

fn weighted(part: Part, at: u32, lo: vec4f, hi: vec4f, total: f32) -> f32 {
    let codes = eight(part, at);
    return codes.scale.x * (dot(codes.lo, lo) + dot(codes.hi, hi)) + codes.scale.y * total;
}

@compute @workgroup_size(128)
fn product_rows(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
    let each = select(select(4u, 2u, GATED), 1u, ALONE);
    let work = work_of(group.x, 4u * each);
    let first = work.first + index / 32u * each;
    let lane = index & 31u;
    let token = group.y;
    let rows = min(select(vec4u(0u, 1u, 2u, 3u), vec4u(0u, 1u, 0u, 1u), GATED) + first, vec4u(work.rows - 1u));
    let at = rows * p.chunks;
    let base = p.input + token * p.input_stride;
    var sums = vec4f();
    var squares = 0.0;
    for (var chunk = lane; chunk < p.chunks; chunk += 32u) {
        var lo = input[base + 2u * chunk];
        var hi = input[base + 2u * chunk + 1u];
        if NORMED {
            squares += dot(lo, lo) + dot(hi, hi);
            lo *= gain[p.gain + 2u * chunk];
            hi *= gain[p.gain + 2u * chunk + 1u];
        }
        let total = dot(lo + hi, vec4f(1.0));
        sums.x += weighted(work.part, at.x + chunk, lo, hi, total);
        if !ALONE { sums.y += weighted(work.part, at.y + chunk, lo, hi, total); }
        if GATED || !ALONE { sums.z += weighted(work.other, at.z + chunk, lo, hi, total); }
        if !ALONE { sums.w += weighted(work.other, at.w + chunk, lo, hi, total); }
    }
    var values = over_lanes(sums, index);
    if NORMED {
        values *= root_mean_square(over_lanes(vec4f(squares, 0.0, 0.0, 0.0), index).x);
    }
    if lane < each {
        put(work, first + lane, token, values[lane], values[(lane + 2u) & 3u]);
    }
}
