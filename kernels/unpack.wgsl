// Bytes of pictures (ingest.wgsl) to the activations that shared/pixels.wgsl computes as it loads them, for adapters whose
// convolutions read activations:
//
//   images[c, y, x, n] = (gains[n] · pixels[c, y / 2, x / 2, n, 2 (y % 2) + x % 2] − mean[c, y, x]) / PIXEL_SCALE
//
// Layout as there; images batch-last.
//
// Work split: one invocation = four images × one block of a channel. Memory-bound.

const BATCH_VECS: u32 = 1u;
const HEIGHT: u32 = 1u;
const WIDTH: u32 = 2u;
const BLOCK_ROWS: u32 = 1u; // HEIGHT / 2, rounded up
const BLOCK_COLUMNS: u32 = 1u;
const ELEMENTS: u32 = 1u;
const LANES: u32 = 64u;

@group(0) @binding(0) var<storage, read> pixels: array<vec4u>;
@group(0) @binding(1) var<storage, read> gains: array<vec4f>;
@group(0) @binding(2) var<storage, read> mean: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> images: array<vec4f>;

@compute @workgroup_size(LANES)
fn unpack(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let index = linear_index(group, groups, lane, LANES);
    if (index >= ELEMENTS) { return; }
    let n = index % BATCH_VECS;
    let place = index / BATCH_VECS; // of the block among all channels
    let row = place / BLOCK_COLUMNS % BLOCK_ROWS;
    let column = place % BLOCK_COLUMNS;
    let c = place / (BLOCK_ROWS * BLOCK_COLUMNS);
    let block = pixels[index];
    let scale = gains[n] / f32(PIXEL_SCALE);
    let means = mean[place] / f32(PIXEL_SCALE);
    for (var at = 0u; at < 4u; at++) { // unroll
        let y = 2u * row + at / 2u;
        let x = 2u * column + at % 2u;
        if (y < HEIGHT && x < WIDTH) {
            images[((c * HEIGHT + y) * WIDTH + x) * BATCH_VECS + n] = network_input(block, at, scale, means[at]);
        }
    }
}
