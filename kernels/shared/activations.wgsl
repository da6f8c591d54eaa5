// Inputs of a convolution with its pool: activations images[c, y, x, n], four images a vec4f. pixels.wgsl has the same two
// functions for the bytes of pictures.
@group(0) @binding(0) var<storage, read> images: array<vec4f>;

// Factors of the inputs of images 4n … 4n + 3: none here.
fn scales(n: u32) -> vec4f {
    return vec4f(1.0);
}

// Input columns 2·pair … 2·(pair + LOADED_PAIRS) − 1 of channel c in the rows of window row p, into columns 2·into … of
// the window that begins at `first`, a row of which has COLUMNS places.
fn load_pairs(windows: ptr<function, array<vec4f, WINDOWS>>, first: u32, into: u32, c: u32, p: u32, pair: u32, n: u32, scale: vec4f, lane: u32) {
    for (var i = 0u; i < WINDOW; i++) { // unroll
        for (var k = 0u; k < LOADED_PAIRS; k++) { // unroll
            for (var j = 0u; j < 2u; j++) { // unroll
                // A window of odd width ends amid a pair, whose second column no picture may have.
                let x = min(2u * (pair + k) + j, IN_WIDTH - 1u);
                (*windows)[first + i * COLUMNS + 2u * (into + k) + j] = images[((c * IN_HEIGHT + 2u * p + i) * IN_WIDTH + x) * BATCH_VECS + n];
            }
        }
    }
}
