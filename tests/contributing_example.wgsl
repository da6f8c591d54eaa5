// Square of every element, and its gradient.
//
//   square:       y = x²
//   square_grad:  dx = 2 · x · dy
//
// x, y, dx, dy: flat arrays of ELEMENTS floats, whatever the tensor's shape.
//
// Work split: one invocation, one element. Memory-bound; nothing to tile.

const ELEMENTS: u32 = 1u;
const LANES: u32 = 64u;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(LANES)
fn square(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = linear_index(group, groups, lane, LANES);
    if (i < ELEMENTS) { y[i] = x[i] * x[i]; }
}

@compute @workgroup_size(LANES)
fn square_grad(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = linear_index(group, groups, lane, LANES);
    if (i < ELEMENTS) { dx[i] = 2.0 * x[i] * dy[i]; }
}
