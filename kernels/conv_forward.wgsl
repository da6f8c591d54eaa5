// Convolution whose weights are shared over the whole output, over tiles of it, or nowhere (DeepID2's conv4), with an
// optional ReLU. A fully connected layer is the case of a 1×1 input, one tile and KERNEL = 1.
//
//   out[o, y, x, n] = act(bias[t, o] + Σ_{c,i,j} weights[t, (c, i, j), o] · images[c, y + i, x + j, n])
//
// t: weight tile of (y, x); TILE_HEIGHT × TILE_WIDTH outputs a tile.
//
// Layout: batch-last, four images a vec4f; weights [tiles, taps, OUT_VECS] as vec4f over output channels.
//
// Work split: one invocation = 4·IMAGE_VECS images × one position × 4·CHANNEL_VECS output channels, an outer product
// at each tap: IMAGE_VECS + CHANNEL_VECS loads for 16·IMAGE_VECS·CHANNEL_VECS multiply-adds. x: images, y: (channel
// block, position).

const BATCH_VECS: u32 = 1u;
const IN_CHANNELS: u32 = 3u;
const IN_HEIGHT: u32 = 2u;
const IN_WIDTH: u32 = 2u;
const OUT_CHANNELS: u32 = 4u;
const OUT_VECS: u32 = 1u;
const OUT_HEIGHT: u32 = 1u;
const OUT_WIDTH: u32 = 1u;
const TILE_HEIGHT: u32 = 1u;
const TILE_WIDTH: u32 = 1u;
const TILES_X: u32 = 1u;
const KERNEL: u32 = 2u;
const IMAGE_VECS: u32 = 1u;
const CHANNEL_VECS: u32 = 1u;
const SUMS: u32 = 4u;
const RELU: u32 = 0u;
const LANES: u32 = 32u;

@group(0) @binding(0) var<storage, read> images: array<vec4f>;
@group(0) @binding(1) var<storage, read> weights: array<vec4f>;
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let positions = OUT_HEIGHT * OUT_WIDTH;
    let y = group.y % positions / OUT_WIDTH;
    let x = group.y % positions % OUT_WIDTH;
    let first = group.y / positions * CHANNEL_VECS;
    let tile = y / TILE_HEIGHT * TILES_X + x / TILE_WIDTH;

    var sums: array<vec4f, SUMS>;
    for (var v = 0u; v < CHANNEL_VECS; v++) { // unroll
        let b = bias[tile * OUT_VECS + min(first + v, OUT_VECS - 1u)];
        for (var k = 0u; k < 4u; k++) { // unroll
            for (var m = 0u; m < IMAGE_VECS; m++) { // unroll
                sums[(v * 4u + k) * IMAGE_VECS + m] = vec4f(b[k]);
            }
        }
    }
    for (var c = 0u; c < IN_CHANNELS; c++) {
        for (var i = 0u; i < KERNEL; i++) {
            for (var j = 0u; j < KERNEL; j++) {
                let pixel = ((c * IN_HEIGHT + y + i) * IN_WIDTH + x + j) * BATCH_VECS;
                var inputs: array<vec4f, IMAGE_VECS>;
                for (var m = 0u; m < IMAGE_VECS; m++) { // unroll
                    inputs[m] = images[pixel + min((group.x * IMAGE_VECS + m) * LANES + lane, BATCH_VECS - 1u)];
                }
                let row = ((tile * IN_CHANNELS + c) * KERNEL + i) * KERNEL + j;
                for (var v = 0u; v < CHANNEL_VECS; v++) { // unroll
                    let w = weights[row * OUT_VECS + min(first + v, OUT_VECS - 1u)];
                    for (var k = 0u; k < 4u; k++) { // unroll
                        for (var m = 0u; m < IMAGE_VECS; m++) { // unroll
                            sums[(v * 4u + k) * IMAGE_VECS + m] += w[k] * inputs[m];
                        }
                    }
                }
            }
        }
    }
    for (var v = 0u; v < CHANNEL_VECS; v++) { // unroll
        for (var k = 0u; k < 4u; k++) { // unroll
            for (var m = 0u; m < IMAGE_VECS; m++) { // unroll
                let o = (first + v) * 4u + k;
                let n = (group.x * IMAGE_VECS + m) * LANES + lane;
                if (n < BATCH_VECS && o < OUT_CHANNELS) {
                    let sum = sums[(v * 4u + k) * IMAGE_VECS + m];
                    let rectified = select(sum, vec4f(0.0), sum <= vec4f(0.0)); // a NaN stays one
                    out[(o * positions + y * OUT_WIDTH + x) * BATCH_VECS + n] = select(sum, rectified, RELU == 1u);
                }
            }
        }
    }
}
