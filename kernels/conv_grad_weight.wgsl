// Gradients of a convolution (conv_forward.wgsl) with respect to weights and bias.
//
//   grad_weights[t, (c,i,j), o] = Σ_{(y,x) in t} Σ_n upstream[o, y, x, n] · images[c, y + i, x + j, n]
//   grad_bias[t, o]             = Σ_{(y,x) in t} Σ_n upstream[o, y, x, n]
//
// Layout as in conv_forward.wgsl; grad_weights has a leading dimension of SPLITS partial sums over position ranges,
// which reduce.wgsl adds in a fixed order.
//
// Work split, grad_weight: one invocation = TAP_TILE taps × CHANNEL_TILE output channels, an outer product at each
// position and four images. x: (tap block, channel block), y: (tile, split).
// grad_bias: one workgroup a (tile, channel), a tree over lanes.

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
const TILES: u32 = 1u;
const KERNEL: u32 = 2u;
const TAP_TILE: u32 = 1u;
const CHANNEL_TILE: u32 = 1u;
const SUMS: u32 = 1u;
const SPLITS: u32 = 1u;
const LANES: u32 = 32u;

@group(0) @binding(0) var<storage, read> images: array<vec4f>;
@group(0) @binding(1) var<storage, read> upstream: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> grad_weights: array<f32>;

@compute @workgroup_size(LANES)
fn grad_weight(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let taps = IN_CHANNELS * KERNEL * KERNEL;
    let tap_blocks = (taps + TAP_TILE - 1u) / TAP_TILE;
    let channel_blocks = (OUT_VECS * 4u + CHANNEL_TILE - 1u) / CHANNEL_TILE;
    let work = group.x * LANES + lane;
    let first_tap = min(work / channel_blocks, tap_blocks - 1u) * TAP_TILE;
    let first = work % channel_blocks * CHANNEL_TILE;
    let tile = group.y % TILES;
    let split = group.y / TILES;
    let positions = TILE_HEIGHT * TILE_WIDTH;
    let share = (positions + SPLITS - 1u) / SPLITS;
    let end = min((split + 1u) * share, positions);

    var offsets: array<u32, TAP_TILE>;
    for (var t = 0u; t < TAP_TILE; t++) { // unroll
        let tap = min(first_tap + t, taps - 1u);
        let c = tap / (KERNEL * KERNEL);
        let i = tap % (KERNEL * KERNEL) / KERNEL;
        let j = tap % KERNEL;
        offsets[t] = (c * IN_HEIGHT + i) * IN_WIDTH + j;
    }
    var sums: array<f32, SUMS>;
    for (var s = 0u; s < SUMS; s++) { // unroll
        sums[s] = 0.0;
    }
    for (var at = split * share; at < end; at++) {
        let y = tile / TILES_X * TILE_HEIGHT + at / TILE_WIDTH;
        let x = tile % TILES_X * TILE_WIDTH + at % TILE_WIDTH;
        if (y >= OUT_HEIGHT || x >= OUT_WIDTH) { continue; } // a tile cut off by the border
        let corner = y * IN_WIDTH + x;
        for (var n = 0u; n < BATCH_VECS; n++) {
            var inputs: array<vec4f, TAP_TILE>;
            for (var t = 0u; t < TAP_TILE; t++) { // unroll
                inputs[t] = images[(offsets[t] + corner) * BATCH_VECS + n];
            }
            for (var k = 0u; k < CHANNEL_TILE; k++) { // unroll
                let o = min(first + k, OUT_CHANNELS - 1u);
                let g = upstream[((o * OUT_HEIGHT + y) * OUT_WIDTH + x) * BATCH_VECS + n];
                for (var t = 0u; t < TAP_TILE; t++) { // unroll
                    sums[t * CHANNEL_TILE + k] += dot(inputs[t], g);
                }
            }
        }
    }
    for (var t = 0u; t < TAP_TILE; t++) { // unroll
        for (var k = 0u; k < CHANNEL_TILE; k++) { // unroll
            let tap = first_tap + t;
            let o = first + k;
            if (work < tap_blocks * channel_blocks && tap < taps && o < OUT_VECS * 4u) {
                let row = (split * TILES + tile) * taps + tap;
                grad_weights[row * OUT_VECS * 4u + o] = select(0.0, sums[t * CHANNEL_TILE + k], o < OUT_CHANNELS);
            }
        }
    }
}

@group(0) @binding(0) var<storage, read> bias_upstream: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> grad_bias_out: array<f32>;
var<workgroup> lane_sums: array<f32, LANES>;

@compute @workgroup_size(LANES)
fn grad_bias(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let o = group.x;
    let tile = group.y;
    var sum = 0.0;
    if (o < OUT_CHANNELS) {
        for (var at = 0u; at < TILE_HEIGHT * TILE_WIDTH; at++) {
            let y = tile / TILES_X * TILE_HEIGHT + at / TILE_WIDTH;
            let x = tile % TILES_X * TILE_WIDTH + at % TILE_WIDTH;
            if (y >= OUT_HEIGHT || x >= OUT_WIDTH) { continue; }
            for (var n = lane; n < BATCH_VECS; n += LANES) {
                sum += dot(bias_upstream[((o * OUT_HEIGHT + y) * OUT_WIDTH + x) * BATCH_VECS + n], vec4f(1.0));
            }
        }
    }
    lane_sums[lane] = sum;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if (lane < half) { lane_sums[lane] += lane_sums[lane + half]; }
        workgroupBarrier();
    }
    if (lane == 0u) { grad_bias_out[tile * OUT_VECS * 4u + o] = lane_sums[0]; }
}
