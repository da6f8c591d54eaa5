// What the adapter's arithmetic and its memory give a kernel that does nothing else: the ceilings of all others.
//
//   multiply_add:  y[i] = Σ_{c < CHAINS} s_c;  s_c = x[i] / (c + 2), then STEPS · ROUNDS times s_c ← s_c² + TERM
//   copy:          y[i] = x[i]
//
// x, y: flat arrays of vec4f, VECS of them.
//
// Work split. multiply_add: one invocation, one vector, CHAINS vectors of sums that do not wait for each other; STEPS
// of each go into one iteration, because some drivers pay for every value that a loop carries round. copy: one
// invocation, COPIES vectors, a whole grid of invocations apart, so that neighbours read neighbours.

const VECS: u32 = 1u;
const LANES: u32 = 64u;
const CHAINS: u32 = 1u;
const ROUNDS: u32 = 1u;
const STEPS: u32 = 16u;
const COPIES: u32 = 1u;
// A square, because compilers fold steps that are linear in s into one. From |s| < 0.85 on it goes to the fixed point
// 0.146, so that no number of rounds ends in numbers that are slow to compute with.
const TERM = 0.125;

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(LANES)
fn multiply_add(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = linear_index(group, groups, lane, LANES);
    if (i >= VECS) { return; }
    var sums: array<vec4f, CHAINS>;
    for (var c = 0u; c < CHAINS; c++) { // unroll
        sums[c] = x[i] / f32(c + 2u);
    }
    for (var round = 0u; round < ROUNDS; round++) {
        for (var step = 0u; step < STEPS; step++) { // unroll
            for (var c = 0u; c < CHAINS; c++) { // unroll
                sums[c] = sums[c] * sums[c] + TERM;
            }
        }
    }
    var sum = vec4f();
    for (var c = 0u; c < CHAINS; c++) { // unroll
        sum += sums[c];
    }
    y[i] = sum;
}

@compute @workgroup_size(LANES)
fn copy(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let first = linear_index(group, groups, lane, LANES);
    let stride = groups.x * groups.y * LANES;
    for (var k = 0u; k < COPIES; k++) { // unroll
        let i = first + k * stride;
        if (i < VECS) { y[i] = x[i]; }
    }
}
