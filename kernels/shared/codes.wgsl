// The places of the maxima of four images in their 2×2 pooling windows, a byte each: 0 to 3 in scan order, 4 where the
// ReLU is shut.
fn pack_codes(codes: vec4u) -> u32 {
    let bytes = codes << vec4u(0u, 8u, 16u, 24u);
    return bytes.x | bytes.y | bytes.z | bytes.w;
}

fn unpack_codes(word: u32) -> vec4u {
    return (vec4u(word) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u);
}
