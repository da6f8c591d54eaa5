// Stochastic gradient descent with momentum and weight decay, in place.
//
//   velocity = momentum · velocity + (gradient + weight_decay · weights)
//   weights  = weights − learning_rate · scale · velocity
//
// Layout: flat vec4f arrays; rates = (momentum, weight_decay, scale), fixed; learning_rate one number, new each step.
//
// Work split: one invocation, four weights. Memory-bound: three loads and two stores a weight.

const ELEMENTS: u32 = 1u;
const LANES: u32 = 64u;

@group(0) @binding(0) var<storage, read_write> weights: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> velocity: array<vec4f>;
@group(0) @binding(2) var<storage, read> gradient: array<vec4f>;
@group(0) @binding(3) var<storage, read> learning_rate: array<f32>;
@group(0) @binding(4) var<storage, read> rates: array<f32>;

@compute @workgroup_size(LANES)
fn update(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = linear_index(group, groups, lane, LANES);
    if (i >= ELEMENTS) { return; }
    let w = weights[i];
    let v = rates[0] * velocity[i] + (gradient[i] + rates[1] * w);
    velocity[i] = v;
    weights[i] = w - learning_rate[0] * rates[2] * v;
}
