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
// Work split: one invocation = four images × one pixel, all channels: what changes with the picture is read once.
// Memory-bound.

const IMAGES: u32 = 1u;
const BATCH_VECS: u32 = 1u;
const CHANNELS: u32 = 3u;
const HEIGHT: u32 = 1u;
const WIDTH: u32 = 1u;
const MARGIN: u32 = 0u;
const PIXEL_SCALE: u32 = 128u;
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
    let at = index / BATCH_VECS;
    let y = at / WIDTH;
    let x = at % WIDTH;
    let stored_height = HEIGHT + 2u * MARGIN;
    let stored_width = WIDTH + 2u * MARGIN;
    var means: array<f32, CHANNELS>;
    var values: array<vec4f, CHANNELS>;
    for (var c = 0u; c < CHANNELS; c++) { // unroll
        means[c] = mean[c * HEIGHT * WIDTH + at];
        values[c] = vec4f(0.0);
    }
    for (var k = 0u; k < 4u; k++) { // unroll
        let n = index % BATCH_VECS * 4u + k;
        if (n < IMAGES) {
            let change = augment[n];
            let row = y + MARGIN + change.x; // two's complement: adds a negative shift too
            let column = select(x, WIDTH - 1u - x, change.z == 1u) + MARGIN + change.y;
            for (var c = 0u; c < CHANNELS; c++) { // unroll
                let byte = ((n * stored_height + row) * stored_width + column) * CHANNELS + c;
                let pixel = f32((pictures[byte / 4u] >> (byte % 4u * 8u)) & 255u);
                values[c][k] = (bitcast<f32>(change.w) * pixel - means[c]) / f32(PIXEL_SCALE);
            }
        }
    }
    for (var c = 0u; c < CHANNELS; c++) { // unroll
        input[c * HEIGHT * WIDTH * BATCH_VECS + index] = values[c];
    }
}
