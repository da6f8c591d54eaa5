// A sum with +0 for −0. Which of them a sum of zeros is, is the compiler's choice: it may write 0 + x as x, in one text of
// a kernel and not in another (with bounds checks, of several nets). With one zero, all texts agree to the bit. A NaN
// stays one: zeros are told by their bits, because drivers may take it that there is none when they compare.
fn plain_zero(value: f32) -> f32 {
    return select(value, 0.0, (bitcast<u32>(value) & 0x7fffffffu) == 0u);
}

fn plain_zeros(values: vec4f) -> vec4f {
    return select(values, vec4f(0.0), (bitcast<vec4u>(values) & vec4u(0x7fffffffu)) == vec4u(0u));
}
