// 2×2 max-pooling and its gradient.
//
//   pooled[c, p, q, n] = max_{a,b ∈ {0,1}} values[c, 2p + a, 2q + b, n]
//   code[c, p, q, n]   = 2a + b of the first maximum in scan order
//   grad[c, 2p + a, 2q + b, n] = upstream[c, p, q, n] where code[c, p, q, n] = 2a + b, else 0
//
// Layout: batch-last, four images a vec4f; code one byte an image, four to a word.
//
// Work split: one invocation = four images × one window. Memory-bound; nothing to tile.

const BATCH_VECS: u32 = 1u;
const POOLED_WIDTH: u32 = 1u;
const ELEMENTS: u32 = 1u;
const LANES: u32 = 64u;

@group(0) @binding(0) var<storage, read> values: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> pooled: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> code: array<u32>;

// Where position 0 of window `index` lies in the full tensor.
fn corner(index: u32) -> u32 {
    let n = index % BATCH_VECS;
    let q = index / BATCH_VECS % POOLED_WIDTH;
    let row = index / BATCH_VECS / POOLED_WIDTH;
    return (2u * row * 2u * POOLED_WIDTH + 2u * q) * BATCH_VECS + n;
}

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let index = linear_index(group, groups, lane, LANES);
    if (index >= ELEMENTS) { return; }
    let start = corner(index);
    var best = values[start];
    var best_code = vec4u(0u);
    for (var at = 1u; at < 4u; at++) {
        let candidate = values[start + (at / 2u * 2u * POOLED_WIDTH + at % 2u) * BATCH_VECS];
        let later = candidate > best;
        best = select(best, candidate, later);
        best_code = select(best_code, vec4u(at), later);
    }
    pooled[index] = best;
    code[index] = pack_codes(best_code);
}

@group(0) @binding(0) var<storage, read> upstream: array<vec4f>;
@group(0) @binding(1) var<storage, read> recorded: array<u32>;
@group(0) @binding(2) var<storage, read_write> grad: array<vec4f>;

@compute @workgroup_size(LANES)
fn backward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let index = linear_index(group, groups, lane, LANES);
    if (index >= ELEMENTS) { return; }
    let start = corner(index);
    let codes = unpack_codes(recorded[index]);
    for (var at = 0u; at < 4u; at++) {
        grad[start + (at / 2u * 2u * POOLED_WIDTH + at % 2u) * BATCH_VECS] = select(vec4f(0.0), upstream[index], codes == vec4u(at));
    }
}
