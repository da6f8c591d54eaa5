// Velocity of stochastic gradient descent with momentum and weight decay (sgd.wgsl).

fn next_velocity(velocity: vec4f, gradient: vec4f, weights: vec4f, momentum: f32, decay: f32) -> vec4f {
    return momentum * velocity + (gradient + decay * weights);
}
