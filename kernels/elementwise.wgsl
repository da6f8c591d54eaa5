// Elementwise operations on flat arrays of equal length.
//
//   add:        c = a + b
//   multiply:   c = a · b
//   relu:       c = max(0, a)             (a NaN stays one)
//   relu_grad:  c = b where a > 0 else 0  (a: the ReLU's output or input, b: upstream gradient)
//   broadcast:  c = a[0] everywhere       (the gradient of a sum)
//
// Work split: one invocation, one element. Memory-bound; nothing to tile.

const ELEMENTS: u32 = 1u;
const LANES: u32 = 64u;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
@group(0) @binding(1) var<storage, read_write> unary: array<f32>;

@compute @workgroup_size(LANES)
fn add(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = linear_index(group, groups, lane, LANES);
    if (i < ELEMENTS) { c[i] = a[i] + b[i]; } // all lanes
}

@compute @workgroup_size(LANES)
fn multiply(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = linear_index(group, groups, lane, LANES);
    if (i < ELEMENTS) { c[i] = a[i] * b[i]; } // all lanes
}

@compute @workgroup_size(LANES)
fn relu(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = linear_index(group, groups, lane, LANES);
    if (i < ELEMENTS) { unary[i] = select(a[i], 0.0, is_shut(vec4f(a[i])).x); } // all lanes
}

@compute @workgroup_size(LANES)
fn relu_grad(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = linear_index(group, groups, lane, LANES);
    if (i < ELEMENTS) { c[i] = select(0.0, b[i], a[i] > 0.0); } // all lanes
}

@compute @workgroup_size(LANES)
fn broadcast(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = linear_index(group, groups, lane, LANES);
    if (i < ELEMENTS) { unary[i] = a[0]; } // all lanes
}
