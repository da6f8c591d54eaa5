// Gradients of convolution + ReLU + 2×2 max-pool with respect to weights and bias, using the pool's sparsity: of the
// four convolution outputs of a pooling window exactly one gets a gradient, none where the ReLU is shut.
//
//   (a, b)                    = position of the maximum, from code[o, p, q, n]
//   grad_weights[t, (c,i,j), o] = Σ_{(p,q) in t} Σ_n upstream[o, p, q, n] · images[c, 2p + a + i, 2q + b + j, n]
//   grad_bias[t, o]             = Σ_{(p,q) in t} Σ_n upstream[o, p, q, n] where code < 4
//
// Layout as in conv_pool_forward.wgsl; grad_weights has a leading dimension of SPLITS partial sums over window ranges,
// which reduce.wgsl adds in a fixed order.
//
// Work split, grad_weight: one invocation = all taps of one input channel × CHANNEL_TILE output channels; it walks the
// windows of its split and all images, loads the (KERNEL + 1)² window once, shifts it by the arg-max with selects and
// spends one multiply-add a tap: a quarter of the dense count. x: (input channel, channel block), y: (tile, split).
// grad_bias: one workgroup a (tile, channel), a tree over lanes.

const BATCH_VECS: u32 = 1u;
const IN_CHANNELS: u32 = 3u;
const IN_HEIGHT: u32 = 5u;
const IN_WIDTH: u32 = 5u;
const OUT_CHANNELS: u32 = 4u;
const OUT_VECS: u32 = 1u;
const POOLED_HEIGHT: u32 = 1u;
const POOLED_WIDTH: u32 = 1u;
const TILE_HEIGHT: u32 = 2u;
const TILE_WIDTH: u32 = 2u;
const TILES_X: u32 = 1u;
const TILES: u32 = 1u;
const KERNEL: u32 = 4u;
const KERNEL_AREA: u32 = 16u;
const WINDOW: u32 = 5u;
const WINDOW_AREA: u32 = 25u;
const SHIFTED_AREA: u32 = 20u;
const CHANNEL_TILE: u32 = 1u;
const SUMS: u32 = 16u;
const SPLITS: u32 = 1u;
const LANES: u32 = 32u;

@group(0) @binding(0) var<storage, read> images: array<vec4f>;
@group(0) @binding(1) var<storage, read> upstream: array<vec4f>;
@group(0) @binding(2) var<storage, read> code: array<u32>;
@group(0) @binding(3) var<storage, read_write> grad_weights: array<f32>;

@compute @workgroup_size(LANES)
fn grad_weight(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let channel_blocks = (OUT_VECS * 4u + CHANNEL_TILE - 1u) / CHANNEL_TILE;
    let work = group.x * LANES + lane;
    let c = min(work / channel_blocks, IN_CHANNELS - 1u);
    let first = work % channel_blocks * CHANNEL_TILE;
    let tile = group.y % TILES;
    let split = group.y / TILES;
    // Pooling windows of the tile, cut into SPLITS ranges.
    let tile_rows = TILE_HEIGHT / 2u;
    let tile_columns = TILE_WIDTH / 2u;
    let windows = tile_rows * tile_columns;
    let share = (windows + SPLITS - 1u) / SPLITS;
    let end = min((split + 1u) * share, windows);

    var sums: array<f32, SUMS>;
    for (var s = 0u; s < SUMS; s++) { // unroll
        sums[s] = 0.0;
    }
    for (var at = split * share; at < end; at++) {
        let p = tile / TILES_X * tile_rows + at / tile_columns;
        let q = tile % TILES_X * tile_columns + at % tile_columns;
        if (p >= POOLED_HEIGHT || q >= POOLED_WIDTH) { continue; } // a tile cut off by the border
        for (var n = 0u; n < BATCH_VECS; n++) {
            var window: array<vec4f, WINDOW_AREA>;
            let corner = (c * IN_HEIGHT + 2u * p) * IN_WIDTH + 2u * q;
            for (var i = 0u; i < WINDOW; i++) { // unroll
                for (var j = 0u; j < WINDOW; j++) { // unroll
                    window[i * WINDOW + j] = images[(corner + i * IN_WIDTH + j) * BATCH_VECS + n];
                }
            }
            for (var k = 0u; k < CHANNEL_TILE; k++) { // unroll
                let o = min(first + k, OUT_CHANNELS - 1u);
                let index = ((o * POOLED_HEIGHT + p) * POOLED_WIDTH + q) * BATCH_VECS + n;
                let codes = (vec4u(code[index]) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u);
                let g = select(upstream[index], vec4f(0.0), codes == vec4u(4u));
                let down = (codes & vec4u(2u)) != vec4u(0u);
                let right = (codes & vec4u(1u)) != vec4u(0u);
                var shifted: array<vec4f, SHIFTED_AREA>;
                for (var i = 0u; i < KERNEL; i++) { // unroll
                    for (var j = 0u; j < WINDOW; j++) { // unroll
                        shifted[i * WINDOW + j] = select(window[i * WINDOW + j], window[(i + 1u) * WINDOW + j], down);
                    }
                }
                for (var i = 0u; i < KERNEL; i++) { // unroll
                    for (var j = 0u; j < KERNEL; j++) { // unroll
                        let x = select(shifted[i * WINDOW + j], shifted[i * WINDOW + j + 1u], right);
                        sums[k * KERNEL_AREA + i * KERNEL + j] += dot(x, g);
                    }
                }
            }
        }
    }
    for (var k = 0u; k < CHANNEL_TILE; k++) { // unroll
        let o = first + k;
        for (var tap = 0u; tap < KERNEL_AREA; tap++) { // unroll
            if (work < IN_CHANNELS * channel_blocks && o < OUT_VECS * 4u) {
                let row = (split * TILES + tile) * IN_CHANNELS * KERNEL_AREA + c * KERNEL_AREA + tap;
                grad_weights[row * OUT_VECS * 4u + o] = select(0.0, sums[k * KERNEL_AREA + tap], o < OUT_CHANNELS);
            }
        }
    }
}

@group(0) @binding(0) var<storage, read> bias_upstream: array<vec4f>;
@group(0) @binding(1) var<storage, read> bias_code: array<u32>;
@group(0) @binding(2) var<storage, read_write> grad_bias_out: array<f32>;
var<workgroup> lane_sums: array<f32, LANES>;

@compute @workgroup_size(LANES)
fn grad_bias(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let o = group.x;
    let tile = group.y;
    let tile_rows = TILE_HEIGHT / 2u;
    let tile_columns = TILE_WIDTH / 2u;
    var sum = 0.0;
    if (o < OUT_CHANNELS) {
        for (var at = 0u; at < tile_rows * tile_columns; at++) {
            let p = tile / TILES_X * tile_rows + at / tile_columns;
            let q = tile % TILES_X * tile_columns + at % tile_columns;
            if (p >= POOLED_HEIGHT || q >= POOLED_WIDTH) { continue; }
            for (var n = lane; n < BATCH_VECS; n += LANES) {
                let index = ((o * POOLED_HEIGHT + p) * POOLED_WIDTH + q) * BATCH_VECS + n;
                let codes = (vec4u(bias_code[index]) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u);
                sum += dot(select(bias_upstream[index], vec4f(0.0), codes == vec4u(4u)), vec4f(1.0));
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
