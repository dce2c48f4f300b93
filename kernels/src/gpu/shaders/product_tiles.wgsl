// Products of many tokens: a workgroup makes 32 rows × 32 tokens, each invocation 4 × 4 of them, of a gate two rows of
// both matrices; 32 columns at a time are brought into the memory that it shares, weights as plain numbers.
const STRIDE = 9u; // of a row of 32 columns in fours; one more, so that rows lie in different banks.
var<workgroup> weight_tile: array<vec4f, 288>;
var<workgroup> input_tile: array<vec4f, 288>;
var<workgroup> square_tile: array<f32, 256>;

fn dots(four: vec4f, inputs: array<vec4f, 4>) -> vec4f {
    return vec4f(dot(four, inputs[0]), dot(four, inputs[1]), dot(four, inputs[2]), dot(four, inputs[3]));
}

@compute @workgroup_size(64)
fn product_tiles(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
    let each = select(4u, 2u, GATED);
    let work = work_of(group.x, 8u * each);
    let first_token = group.y * 32u;
    let mine = vec2u(index / 8u, index % 8u);
    var first = vec4f();
    var second = vec4f();
    var third = vec4f();
    var fourth = vec4f();
    var squares = vec4f();
    for (var chunk = 0u; chunk < p.chunks; chunk += 4u) {
        for (var turn = 0u; turn < 2u; turn++) {
            let item = index + 64u * turn;
            let place = item / 4u;
            let from_other = GATED && (place & 2u) == 2u;
            let row = min(work.first + place / 4u * each + place % each, work.rows - 1u);
            let at = chunk + item % 4u;
            var lo = vec4f();
            var hi = vec4f();
            if at < p.chunks {
                var part = work.part;
                if from_other { part = work.other; }
                let codes = eight(part, row * p.chunks + at);
                lo = codes.lo * codes.scale.x + codes.scale.y;
                hi = codes.hi * codes.scale.x + codes.scale.y;
            }
            weight_tile[place * STRIDE + 2u * (item % 4u)] = lo;
            weight_tile[place * STRIDE + 2u * (item % 4u) + 1u] = hi;
        }
        for (var turn = 0u; turn < 4u; turn++) {
            let token = min(first_token + mine.x + 8u * turn, p.tokens - 1u);
            let at = 2u * chunk + mine.y;
            var four = vec4f();
            if at < 2u * p.chunks {
                four = input[p.input + token * p.input_stride + at];
                if NORMED {
                    squares[turn] += dot(four, four);
                    four *= gain[p.gain + at];
                }
            }
            input_tile[(mine.x + 8u * turn) * STRIDE + mine.y] = four;
        }
        workgroupBarrier();
        for (var k = 0u; k < 8u; k++) {
            let inputs = array(
                input_tile[mine.y * STRIDE + k],
                input_tile[(mine.y + 8u) * STRIDE + k],
                input_tile[(mine.y + 16u) * STRIDE + k],
                input_tile[(mine.y + 24u) * STRIDE + k],
            );
            // By name and not in a loop: what is indexed might not stay in registers.
            let at = 4u * mine.x * STRIDE + k;
            first += dots(weight_tile[at], inputs);
            second += dots(weight_tile[at + STRIDE], inputs);
            third += dots(weight_tile[at + 2u * STRIDE], inputs);
            fourth += dots(weight_tile[at + 3u * STRIDE], inputs);
        }
        workgroupBarrier();
    }
    var factors = vec4f(1.0);
    if NORMED {
        for (var turn = 0u; turn < 4u; turn++) { square_tile[(mine.x + 8u * turn) * 8u + mine.y] = squares[turn]; }
        workgroupBarrier();
        for (var turn = 0u; turn < 4u; turn++) {
            var sum = 0.0;
            for (var part = 0u; part < 8u; part++) { sum += square_tile[(mine.y + 8u * turn) * 8u + part]; }
            factors[turn] = root_mean_square(sum);
        }
    }
    for (var turn = 0u; turn < 4u; turn++) {
        let token = first_token + mine.y + 8u * turn;
        let row = work.first + each * mine.x;
        let values = factors[turn] * vec4f(first[turn], second[turn], third[turn], fourth[turn]);
        put(work, row, token, values[0], values[2]);
        put(work, row + 1u, token, values[1], values[3]);
        if !GATED {
            put(work, row + 2u, token, values[2], 0.0);
            put(work, row + 3u, token, values[3], 0.0);
        }
    }
}
