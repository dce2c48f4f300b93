// Products of few tokens: 32 invocations share four rows of the weights and read them side by side; a workgroup has four
// such groups, and there is one for each token.
@compute @workgroup_size(128)
fn product_rows(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
    let first = (group.x * 4u + index / 32u) * 4u;
    let lane = index & 31u;
    let token = group.y;
    let last = p.rows - 1u;
    let at = vec4u(min(first, last), min(first + 1u, last), min(first + 2u, last), min(first + 3u, last)) * p.chunks;
    let base = p.input + token * p.input_stride;
    var sums = vec4f();
    var squares = 0.0;
    for (var chunk = lane; chunk < p.chunks; chunk += 32u) {
        var lo = input[base + 2u * chunk];
        var hi = input[base + 2u * chunk + 1u];
        if NORMED {
            squares += dot(lo, lo) + dot(hi, hi);
            lo *= gain[2u * chunk];
            hi *= gain[2u * chunk + 1u];
        }
        let total = dot(lo + hi, vec4f(1.0));
        for (var row = 0u; row < 4u; row++) {
            let codes = eight(at[row] + chunk);
            sums[row] += codes.scale.x * (dot(codes.lo, lo) + dot(codes.hi, hi)) + codes.scale.y * total;
        }
    }
    var values = over_lanes(sums, index);
    if NORMED {
        values *= root_mean_square(over_lanes(vec4f(squares, 0.0, 0.0, 0.0), index).x);
    }
    if GATED {
        if lane < 2u { put(first + 2u * lane, token, values[2u * lane], values[2u * lane + 1u]); }
    } else if lane < 4u {
        put(first + lane, token, values[lane], 0.0);
    }
}
