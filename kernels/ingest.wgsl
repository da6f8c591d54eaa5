// Stored pictures (bytes) to network input (floats): crop window, flip, gain, mean subtraction.
//
//   x' = WIDTH − 1 − x where the picture is flipped, else x
//   input[c, y, x, n] = (gain · pictures[n, y + MARGIN + shift_y, x' + MARGIN + shift_x, c] − mean[c, y, x]) / PIXEL_SCALE
//
// Images IMAGES … 4·BATCH_VECS − 1 are padding and become 0.
//
// Layout: pictures as stored, [image, row, column, channel] bytes, four to a word, pictures not word-aligned; augment
// (shift_y: i32, shift_x: i32, flip: u32, gain: f32) an image; mean [channel, row, column]; input batch-last.
//
// Work split: one invocation = four images × RUN neighbouring pixels of a row, all channels: what changes with the picture
// is read once, and the run's bytes, which lie side by side, are read as whole words and shifted into place. The last run
// of a row starts early enough to end with it. Memory-bound.

const IMAGES: u32 = 1u;
const BATCH_VECS: u32 = 1u;
const CHANNELS: u32 = 3u;
const HEIGHT: u32 = 1u;
const WIDTH: u32 = 2u;
const MARGIN: u32 = 0u;
const PIXEL_SCALE: u32 = 128u;
const RUN: u32 = 2u;
const RUNS: u32 = 1u; // WIDTH / RUN, rounded up
const VALUES: u32 = 6u; // RUN · CHANNELS
const WORDS: u32 = 2u; // VALUES / 4, rounded up
const READ: u32 = 3u; // WORDS + 1: a run may start amid a word
const STORED_WORDS: u32 = 2u;
const ELEMENTS: u32 = 1u;
const LANES: u32 = 64u;

@group(0) @binding(0) var<storage, read> pictures: array<u32>;
@group(0) @binding(1) var<storage, read> augment: array<vec4u>;
@group(0) @binding(2) var<storage, read> mean: array<f32>;
@group(0) @binding(3) var<storage, read_write> input: array<vec4f>;

@compute @workgroup_size(LANES)
fn ingest(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let index = linear_index(group, groups, lane, LANES);
    if (index >= ELEMENTS) { return; }
    let vec = index % BATCH_VECS;
    let y = index / BATCH_VECS / RUNS;
    let x = min(index / BATCH_VECS % RUNS * RUN, WIDTH - RUN);
    let stored_height = HEIGHT + 2u * MARGIN;
    let stored_width = WIDTH + 2u * MARGIN;
    var means: array<f32, VALUES>;
    var values: array<vec4f, VALUES>;
    for (var r = 0u; r < RUN; r++) { // unroll
        for (var c = 0u; c < CHANNELS; c++) { // unroll
            means[r * CHANNELS + c] = mean[(c * HEIGHT + y) * WIDTH + x + r];
            values[r * CHANNELS + c] = vec4f(0.0);
        }
    }
    for (var k = 0u; k < 4u; k++) { // unroll
        let n = vec * 4u + k;
        if (n < IMAGES) {
            let change = augment[n];
            let flipped = change.z == 1u;
            let row = y + MARGIN + change.x; // two's complement: adds a negative shift too
            let column = select(x, WIDTH - RUN - x, flipped) + MARGIN + change.y;
            let byte = ((n * stored_height + row) * stored_width + column) * CHANNELS;
            let bits = byte % 4u * 8u;
            var words: array<u32, READ>;
            for (var w = 0u; w < READ; w++) { // unroll
                words[w] = pictures[min(byte / 4u + w, STORED_WORDS - 1u)];
            }
            for (var w = 0u; w < WORDS; w++) { // unroll
                words[w] = (words[w] >> bits) | ((words[w + 1u] << 1u) << (31u - bits));
            }
            for (var r = 0u; r < RUN; r++) { // unroll
                for (var c = 0u; c < CHANNELS; c++) { // unroll
                    const at = r * CHANNELS + c;
                    const mirrored = (RUN - 1u - r) * CHANNELS + c;
                    let pixel = select(words[at / 4u] >> (at % 4u * 8u), words[mirrored / 4u] >> (mirrored % 4u * 8u), flipped) & 255u;
                    values[at][k] = (bitcast<f32>(change.w) * f32(pixel) - means[at]) / f32(PIXEL_SCALE);
                }
            }
        }
    }
    for (var r = 0u; r < RUN; r++) { // unroll
        for (var c = 0u; c < CHANNELS; c++) { // unroll
            input[((c * HEIGHT + y) * WIDTH + x + r) * BATCH_VECS + vec] = values[r * CHANNELS + c];
        }
    }
}
