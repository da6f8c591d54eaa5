// Inputs of a convolution with its pool: the bytes of pictures as ingest.wgsl leaves them, in blocks of 2×2 pixels. The same
// two functions as in activations.wgsl.
//
//   images[c, y, x, n] = (gains[n] · pixels[c, y / 2, x / 2, n, 2 (y % 2) + x % 2] − mean[c, y, x]) / PIXEL_SCALE
//
// Layout: pixels a word of four bytes an image, four images a vec4u; mean in the same blocks, a vec4f each; gains batch.
// A window begins with a block, so a load brings four of its pixels of four images.

const BLOCK_ROWS: u32 = 3u; // IN_HEIGHT / 2, rounded up
const BLOCK_COLUMNS: u32 = 3u;
const DOWN: u32 = 3u; // blocks that the rows of a window lie in: WINDOW / 2, rounded up
const ACROSS: u32 = 3u; // blocks that UNIT columns lie in: UNIT / 2
const HELD_MEANS: u32 = 9u; // DOWN · ACROSS / SUBGROUP, rounded up

@group(0) @binding(0) var<storage, read> pixels: array<vec4u>;
@group(0) @binding(5) var<storage, read> gains: array<vec4f>;
@group(0) @binding(6) var<storage, read> mean: array<vec4f>;

fn scales(n: u32) -> vec4f {
    return gains[n] / f32(PIXEL_SCALE);
}

// UNIT and x are even. The blocks' means are the same for all lanes: each of SUBGROUP lanes loads a share of them and
// broadcasts it.
fn load_columns(window: ptr<function, array<vec4f, PLACES>>, into: u32, c: u32, p: u32, x: u32, n: u32, scale: vec4f, lane: u32) {
    let corner = (c * BLOCK_ROWS + p) * BLOCK_COLUMNS + x / 2u;
    var means: array<vec4f, HELD_MEANS>;
    for (var h = 0u; h < HELD_MEANS; h++) { // unroll
        let slot = min(h * SUBGROUP + lane % SUBGROUP, DOWN * ACROSS - 1u);
        means[h] = mean[corner + slot / ACROSS * BLOCK_COLUMNS + slot % ACROSS] / f32(PIXEL_SCALE);
    }
    for (var i = 0u; i < DOWN; i++) { // unroll
        for (var k = 0u; k < ACROSS; k++) { // unroll
            const slot = i * ACROSS + k;
            let block = pixels[(corner + i * BLOCK_COLUMNS + k) * BATCH_VECS + n];
            for (var at = 0u; at < 4u; at++) { // unroll
                // A window of odd height ends amid a block.
                const row = 2u * i + at / 2u;
                if (row < WINDOW) {
                    const place = min(row, WINDOW - 1u) * COLUMNS + 2u * k + at % 2u;
                    let of_pixel = subgroupBroadcast(means[slot / SUBGROUP][at], slot % SUBGROUP);
                    (*window)[into + place] = network_input(block, at, scale, of_pixel);
                }
            }
        }
    }
}
