// Inputs of a convolution with its pool: activations images[c, y, x, n], four images a vec4f. pixels.wgsl has the same two
// functions for the bytes of pictures.
@group(0) @binding(0) var<storage, read> images: array<vec4f>;

// Factors of the inputs of images 4n … 4n + 3: none here.
fn scales(n: u32) -> vec4f {
    return vec4f(1.0);
}

// UNIT input columns of channel c from x on, in the rows of the windows of row p, into the columns from `into` on of
// `window`, a row of which has COLUMNS places.
fn load_columns(window: ptr<function, array<vec4f, PLACES>>, into: u32, c: u32, p: u32, x: u32, n: u32, scale: vec4f, lane: u32) {
    for (var i = 0u; i < WINDOW; i++) { // unroll
        for (var j = 0u; j < UNIT; j++) { // unroll
            (*window)[i * COLUMNS + into + j] = images[((c * IN_HEIGHT + 2u * p + i) * IN_WIDTH + x + j) * BATCH_VECS + n];
        }
    }
}
