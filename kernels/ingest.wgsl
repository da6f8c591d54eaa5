// Stored pictures to blocks of pixels, both bytes: crop window and flip. Gain and mean are left to what reads the pixels
// (shared/pixels.wgsl).
//
//   x' = WIDTH − 1 − x where the picture is flipped, else x
//   pixels[c, y / 2, x / 2, n, 2 (y % 2) + x % 2] = pictures[n, y + MARGIN + shift_y, x' + MARGIN + shift_x, c]
//   gains[n]                                      = gain
//
// Images IMAGES … 4·BATCH_VECS − 1 are padding and become 0, as do the pixels of a block beyond the picture's border.
//
// Layout: pictures as stored, [image, row, column, channel] bytes, four to a word, pictures not word-aligned; augment
// (shift_y: i32, shift_x: i32, flip: u32, gain: f32) an image; pixels a word of four bytes an image, four images a vec4u.
//
// Work split: one invocation = four images × RUN neighbouring blocks of a row of blocks, all channels: what changes with
// the picture is read once, and the run's bytes, which lie side by side, are read as whole words and shifted into place.
// The last run of a row starts early enough to end with it. Memory-bound.

const IMAGES: u32 = 1u;
const BATCH_VECS: u32 = 1u;
const CHANNELS: u32 = 3u;
const HEIGHT: u32 = 1u;
const WIDTH: u32 = 2u;
const BLOCK_COLUMNS: u32 = 1u; // WIDTH / 2, rounded up
const MARGIN: u32 = 0u;
const RUN: u32 = 1u;
const RUNS: u32 = 1u; // BLOCK_COLUMNS / RUN, rounded up
const VALUES: u32 = 3u; // RUN · CHANNELS
const WORDS: u32 = 2u; // 2 · VALUES / 4, rounded up
const READ: u32 = 3u; // WORDS + 1: a run may start amid a word
const STORED_WORDS: u32 = 2u;
const ELEMENTS: u32 = 1u;
const LANES: u32 = 64u;

@group(0) @binding(0) var<storage, read> pictures: array<u32>;
@group(0) @binding(1) var<storage, read> augment: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> pixels: array<vec4u>;
@group(0) @binding(3) var<storage, read_write> gains: array<vec4f>;

@compute @workgroup_size(LANES)
fn ingest(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let own = linear_index(group, groups, lane, LANES);
    let index = min(own, ELEMENTS - 1u); // past the end: all lanes reach the stores together
    let vec = index % BATCH_VECS;
    let row = index / BATCH_VECS / RUNS;
    let column = min(index / BATCH_VECS % RUNS * RUN, BLOCK_COLUMNS - RUN);
    let stored_height = HEIGHT + 2u * MARGIN;
    let stored_width = WIDTH + 2u * MARGIN;
    var blocks: array<vec4u, VALUES>;
    for (var v = 0u; v < VALUES; v++) { // unroll
        blocks[v] = vec4u(0u);
    }
    var gain = vec4f(0.0);
    for (var k = 0u; k < 4u; k++) { // unroll
        let n = vec * 4u + k;
        if (n < IMAGES) {
            let change = augment[n];
            let flipped = change.z == 1u;
            gain[k] = bitcast<f32>(change.w);
            // Two's complement: adds a negative shift too. A run that sticks out of a picture of odd width begins or ends
            // with a column that is not used, and that no picture may have.
            let left = select(2u * column, WIDTH - 2u * RUN - 2u * column, flipped) + MARGIN + change.y;
            for (var r = 0u; r < 2u; r++) { // unroll
                let y = min(2u * row + r, HEIGHT - 1u) + MARGIN + change.x;
                let byte = bitcast<i32>(((n * stored_height + y) * stored_width + left) * CHANNELS);
                let bits = u32(byte & 3) * 8u;
                var words: array<u32, READ>;
                for (var w = 0u; w < READ; w++) { // unroll
                    words[w] = pictures[u32(clamp((byte >> 2u) + i32(w), 0, i32(STORED_WORDS - 1u)))];
                }
                for (var w = 0u; w < WORDS; w++) { // unroll
                    words[w] = (words[w] >> bits) | ((words[w + 1u] << 1u) << (31u - bits));
                }
                for (var b = 0u; b < RUN; b++) { // unroll
                    for (var s = 0u; s < 2u; s++) { // unroll
                        for (var c = 0u; c < CHANNELS; c++) { // unroll
                            const at = (2u * b + s) * CHANNELS + c;
                            const mirrored = (2u * RUN - 1u - 2u * b - s) * CHANNELS + c;
                            let pixel = select(words[at / 4u] >> (at % 4u * 8u), words[mirrored / 4u] >> (mirrored % 4u * 8u), flipped) & 255u;
                            blocks[b * CHANNELS + c][k] |= pixel << (8u * (2u * r + s));
                        }
                    }
                }
            }
        }
    }
    let below = select(0u, 0xffffu, 2u * row + 1u < HEIGHT) << 16u;
    for (var b = 0u; b < RUN; b++) { // unroll
        let right = select(0u, 0xff00ff00u, 2u * (column + b) + 1u < WIDTH);
        let inside = (0xffffu | below) & (0x00ff00ffu | right);
        for (var c = 0u; c < CHANNELS; c++) { // unroll
            let at = (c * ((HEIGHT + 1u) / 2u) + row) * BLOCK_COLUMNS + column + b;
            if (own < ELEMENTS) { pixels[at * BATCH_VECS + vec] = blocks[b * CHANNELS + c] & vec4u(inside); } // all lanes
        }
    }
    if (own < BATCH_VECS) { gains[own] = gain; } // all lanes
}
