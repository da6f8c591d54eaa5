// Stochastic gradient descent with momentum and weight decay, in place.
//
//   velocity = momentum · velocity + (gradient + weight_decay · weights)
//   weights  = weights − learning_rate · scale · velocity
//
// Layout: flat vec4f arrays; rates = (learning_rate, momentum, weight_decay, unused), new each run; scale one number,
// fixed.
//
// A batch in slices adds its gradients up in the velocity: (0, momentum, weight_decay) for the first slice, (0, 1, 0)
// for the next ones, (learning_rate, 1, 0) for the last. At rate 0 a finite velocity leaves the weights as they are.
//
// Work split: one invocation, four weights. Memory-bound: three loads and two stores a weight.

const ELEMENTS: u32 = 1u;
const LANES: u32 = 64u;

@group(0) @binding(0) var<storage, read_write> weights: array<vec4f>; // in place
@group(0) @binding(1) var<storage, read_write> velocity: array<vec4f>; // in place
@group(0) @binding(2) var<storage, read> gradient: array<vec4f>;
@group(0) @binding(3) var<storage, read> rates: array<f32>;
@group(0) @binding(4) var<storage, read> scale: array<f32>;

@compute @workgroup_size(LANES)
fn update(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let rate = rates[0] * scale[0];
    let momentum = rates[1];
    let decay = rates[2];
    let own = linear_index(group, groups, lane, LANES);
    let i = min(own, ELEMENTS - 1u); // past the end: all lanes reach the stores together
    let w = weights[i];
    let v = next_velocity(velocity[i], gradient[i], w, momentum, decay);
    if (own < ELEMENTS) { velocity[i] = v; } // all lanes
    if (own < ELEMENTS) { weights[i] = w - rate * v; } // all lanes
}
