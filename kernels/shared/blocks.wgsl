// Pixels of pictures in blocks of 2×2 (ingest.wgsl), a word of four bytes an image, as inputs of a network: what pixels.wgsl
// computes as it loads them and unpack.wgsl in a pass of its own.

const PIXEL_SCALE: u32 = 128u;

// Pixel `at` of a block of four images: scale is their gains, offset the pixel's mean, both divided by PIXEL_SCALE.
fn network_input(block: vec4u, at: u32, scale: vec4f, offset: f32) -> vec4f {
    return scale * vec4f((block >> vec4u(8u * at)) & vec4u(255u)) - offset;
}
