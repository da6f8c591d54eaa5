// Where a ReLU is shut. A NaN passes, so that it reaches the loss, on which training stops; it is told by its bits, because
// drivers may take it that there is none when they compare.
fn is_shut(x: vec4f) -> vec4<bool> {
    return (x <= vec4f(0.0)) & ((bitcast<vec4u>(x) & vec4u(0x7fffffffu)) <= vec4u(0x7f800000u));
}
