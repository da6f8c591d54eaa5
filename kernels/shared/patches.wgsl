// Gradients with respect to the input of a 3×3 convolution + 2×2 max-pool, put together of patches: PATCH × PATCH inputs at
// (2p, 2q), all that the pooling window (p, q) depends on. Patches of neighbouring windows overlap by two rows and two
// columns, no more. An invocation goes along a row of windows and keeps the two right columns of a patch for the next.
// Rows of windows come in two dispatches, PARITY 0 and 1: the patches of every other row do not overlap, so the first
// writes and the second adds.

const PATCH: u32 = 4u;
const PATCH_AREA: u32 = 16u;

// Writes the two left columns of the patch of input channel `c` at (p, q), and keeps the right ones from kept[first] on. The
// turn after the last window, with a patch of zeros, writes the columns that are left.
fn add_patch(patch_at: array<vec4f, PATCH_AREA>, kept: ptr<function, array<vec4f, KEPT>>, first: u32, c: u32, p: u32, q: u32, image: u32) {
    for (var i = 0u; i < PATCH; i++) { // unroll
        // The rows below the last window of even parity are nobody's but ours.
        let adds = PARITY == 1u && (i < 2u || p + 1u < POOLED_HEIGHT);
        for (var j = 0u; j < 2u; j++) { // unroll
            let inside = image < BATCH_VECS && c < IN_CHANNELS;
            let index = ((c * IN_HEIGHT + 2u * p + i) * IN_WIDTH + 2u * q + j) * BATCH_VECS + image;
            var value = (*kept)[first + i * 2u + j] + patch_at[i * PATCH + j];
            if (adds && inside) { value += grad[index]; }
            if (inside) { grad[index] = plain_zeros(value); } // all lanes
            (*kept)[first + i * 2u + j] = patch_at[i * PATCH + j + 2u];
        }
    }
}
