// Velocity of stochastic gradient descent with momentum and weight decay (sgd.wgsl): v before, gradient g, weights w.

fn next_velocity(v: vec4f, g: vec4f, w: vec4f, momentum: f32, decay: f32) -> vec4f {
    return momentum * v + (g + decay * w);
}
