// Products of many tokens: a workgroup makes 64 rows × 64 tokens, each invocation 8 × 8 of them, of a gate four rows of
// both matrices; 16 columns at a time are brought into the memory that it shares, weights as plain numbers.
const STRIDE = 5u; // of a row of 16 columns in fours; one more, so that rows lie in different banks.
var<workgroup> weight_tile: array<vec4f, 320>;
var<workgroup> input_tile: array<vec4f, 320>;
var<workgroup> square_tile: array<f32, 256>;

fn dots(four: vec4f, inputs: array<vec4f, 4>) -> vec4f {
    return vec4f(dot(four, inputs[0]), dot(four, inputs[1]), dot(four, inputs[2]), dot(four, inputs[3]));
}

@compute @workgroup_size(64)
fn product_blocks(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
    let each = select(8u, 4u, GATED);
    let work = work_of(group.x, 8u * each);
    let first_token = group.y * 64u;
    let mine = vec2u(index / 8u, index % 8u);
    // By name and not in loops: what is indexed might not stay in registers.
    var near_0 = vec4f();
    var far_0 = vec4f();
    var near_1 = vec4f();
    var far_1 = vec4f();
    var near_2 = vec4f();
    var far_2 = vec4f();
    var near_3 = vec4f();
    var far_3 = vec4f();
    var near_4 = vec4f();
    var far_4 = vec4f();
    var near_5 = vec4f();
    var far_5 = vec4f();
    var near_6 = vec4f();
    var far_6 = vec4f();
    var near_7 = vec4f();
    var far_7 = vec4f();
    var squares = vec4f();
    for (var chunk = 0u; chunk < p.chunks; chunk += 2u) {
        for (var turn = 0u; turn < 2u; turn++) {
            let item = index + 64u * turn;
            let place = item / 2u;
            let from_other = GATED && (place & 4u) == 4u;
            let row = min(work.first + place / 8u * each + place % each, work.rows - 1u);
            let at = chunk + item % 2u;
            var lo = vec4f();
            var hi = vec4f();
            if at < p.chunks {
                var part = work.part;
                if from_other { part = work.other; }
                let codes = eight(part, row * p.chunks + at);
                lo = codes.lo * codes.scale.x + codes.scale.y;
                hi = codes.hi * codes.scale.x + codes.scale.y;
            }
            weight_tile[place * STRIDE + 2u * (item % 2u)] = lo;
            weight_tile[place * STRIDE + 2u * (item % 2u) + 1u] = hi;
        }
        for (var turn = 0u; turn < 4u; turn++) {
            let place = index / 4u + 16u * turn;
            let token = min(first_token + place, p.tokens - 1u);
            let at = 2u * chunk + index % 4u;
            var four = vec4f();
            if at < 2u * p.chunks {
                four = input[p.input + token * p.input_stride + at];
                if NORMED {
                    squares[turn] += dot(four, four);
                    four *= gain[p.gain + at];
                }
            }
            input_tile[place * STRIDE + index % 4u] = four;
        }
        workgroupBarrier();
        for (var k = 0u; k < 4u; k++) {
            let from_token = mine.y * STRIDE + k;
            let near = array(
                input_tile[from_token],
                input_tile[from_token + 8u * STRIDE],
                input_tile[from_token + 16u * STRIDE],
                input_tile[from_token + 24u * STRIDE],
            );
            let far = array(
                input_tile[from_token + 32u * STRIDE],
                input_tile[from_token + 40u * STRIDE],
                input_tile[from_token + 48u * STRIDE],
                input_tile[from_token + 56u * STRIDE],
            );
            let at = 8u * mine.x * STRIDE + k;
            var four = vec4f();
            four = weight_tile[at];
            near_0 += dots(four, near);
            far_0 += dots(four, far);
            four = weight_tile[at + 1u * STRIDE];
            near_1 += dots(four, near);
            far_1 += dots(four, far);
            four = weight_tile[at + 2u * STRIDE];
            near_2 += dots(four, near);
            far_2 += dots(four, far);
            four = weight_tile[at + 3u * STRIDE];
            near_3 += dots(four, near);
            far_3 += dots(four, far);
            four = weight_tile[at + 4u * STRIDE];
            near_4 += dots(four, near);
            far_4 += dots(four, far);
            four = weight_tile[at + 5u * STRIDE];
            near_5 += dots(four, near);
            far_5 += dots(four, far);
            four = weight_tile[at + 6u * STRIDE];
            near_6 += dots(four, near);
            far_6 += dots(four, far);
            four = weight_tile[at + 7u * STRIDE];
            near_7 += dots(four, near);
            far_7 += dots(four, far);
        }
        workgroupBarrier();
    }
    if NORMED {
        for (var turn = 0u; turn < 4u; turn++) {
            square_tile[(index / 4u + 16u * turn) * 4u + index % 4u] = squares[turn];
        }
        workgroupBarrier();
    }
    let near = array(near_0, near_1, near_2, near_3, near_4, near_5, near_6, near_7);
    let far = array(far_0, far_1, far_2, far_3, far_4, far_5, far_6, far_7);
    for (var turn = 0u; turn < 8u; turn++) {
        let place = mine.y + 8u * turn;
        var factor = 1.0;
        if NORMED {
            let squares = vec4f(
                square_tile[4u * place], square_tile[4u * place + 1u], square_tile[4u * place + 2u], square_tile[4u * place + 3u],
            );
            factor = root_mean_square(dot(squares, vec4f(1.0)));
        }
        for (var row = 0u; row < each; row++) {
            var value = near[row][turn & 3u];
            var other = near[(row + 4u) & 7u][turn & 3u];
            if turn > 3u {
                value = far[row][turn & 3u];
                other = far[(row + 4u) & 7u][turn & 3u];
            }
            put(work, work.first + each * mine.x + row, first_token + place, factor * value, factor * other);
        }
    }
}
