// Gradients of a convolution (conv_forward.wgsl) with respect to weights and bias.
//
//   grad_weights[t, (c,i,j), o] = Σ_{(y,x) in t} Σ_n upstream[o, y, x, n] · images[c, y + i, x + j, n]
//   grad_bias[t, o]             = Σ_{(y,x) in t} Σ_n upstream[o, y, x, n]
//
// Layout as in conv_forward.wgsl; grad_weights has a leading dimension of SPLITS partial sums over position ranges,
// which reduce.wgsl adds in a fixed order.
//
// Work split, grad_weight: one invocation = TAP_TILE taps × four output channels, an outer product at each position and
// image; lanes are neighbours along output channels. Inputs are the same for all lanes: each of SUBGROUP lanes loads a
// share of the taps and broadcasts it. x: (tap block, channel block), y: (tile, split).
// grad_bias: one workgroup a (tile, channel), lanes along images.

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
const SPLITS: u32 = 1u;
const LANES: u32 = 32u;
const SUBGROUP: u32 = 1u;
const HELD: u32 = 1u; // TAP_TILE / SUBGROUP, rounded up

@group(0) @binding(0) var<storage, read> images: array<vec4f>;
@group(0) @binding(1) var<storage, read> upstream: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> grad_weights: array<vec4f>;

@compute @workgroup_size(LANES)
fn grad_weight(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let taps = IN_CHANNELS * KERNEL * KERNEL;
    let channel_blocks = (OUT_VECS + LANES - 1u) / LANES;
    let first_tap = group.x / channel_blocks * TAP_TILE;
    let vec = group.x % channel_blocks * LANES + lane;
    let tile = group.y % TILES;
    let split = group.y / TILES;
    let positions = TILE_HEIGHT * TILE_WIDTH;
    let share = (positions + SPLITS - 1u) / SPLITS;
    let end = min((split + 1u) * share, positions);

    // Where this lane's share of the inputs lies, for the output at the top left.
    var offsets: array<u32, HELD>;
    for (var h = 0u; h < HELD; h++) { // unroll
        let tap = min(first_tap + h * SUBGROUP + lane % SUBGROUP, taps - 1u);
        let c = tap / (KERNEL * KERNEL);
        let i = tap % (KERNEL * KERNEL) / KERNEL;
        let j = tap % KERNEL;
        offsets[h] = (c * IN_HEIGHT + i) * IN_WIDTH + j;
    }
    var sums: array<vec4f, TAP_TILE>;
    for (var t = 0u; t < TAP_TILE; t++) { // unroll
        sums[t] = vec4f(0.0);
    }
    for (var at = split * share; at < end; at++) {
        let y = tile / TILES_X * TILE_HEIGHT + at / TILE_WIDTH;
        let x = tile % TILES_X * TILE_WIDTH + at % TILE_WIDTH;
        if (y >= OUT_HEIGHT || x >= OUT_WIDTH) { continue; } // a tile cut off by the border
        for (var n = 0u; n < BATCH_VECS; n++) {
            var held: array<vec4f, HELD>;
            for (var h = 0u; h < HELD; h++) { // unroll
                held[h] = images[(offsets[h] + y * IN_WIDTH + x) * BATCH_VECS + n];
            }
            var g: mat4x4f; // rows: images, columns: output channels
            for (var k = 0u; k < 4u; k++) { // unroll
                let o = min(vec * 4u + k, OUT_CHANNELS - 1u);
                g[k] = upstream[((o * OUT_HEIGHT + y) * OUT_WIDTH + x) * BATCH_VECS + n];
            }
            let by_image = transpose(g);
            for (var t = 0u; t < TAP_TILE; t++) { // unroll
                for (var m = 0u; m < 4u; m++) { // unroll
                    sums[t] += subgroupBroadcast(held[t / SUBGROUP][m], t % SUBGROUP) * by_image[m];
                }
            }
        }
    }
    let real = vec4u(vec * 4u) + vec4u(0u, 1u, 2u, 3u) < vec4u(OUT_CHANNELS);
    for (var t = 0u; t < TAP_TILE; t++) { // unroll
        let tap = first_tap + t;
        if (tap < taps && vec < OUT_VECS) {
            let row = (split * TILES + tile) * taps + tap;
            grad_weights[row * OUT_VECS + vec] = select(vec4f(0.0), plain_zeros(sums[t]), real);
        }
    }
}

@group(0) @binding(0) var<storage, read> bias_upstream: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> grad_bias_out: array<f32>;

@compute @workgroup_size(LANES)
fn grad_bias(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    // The last workgroup may come several times over, and writes the same each time.
    let index = min(group.y * groups.x + group.x, TILES * OUT_VECS * 4u - 1u);
    let o = index % (OUT_VECS * 4u);
    let tile = index / (OUT_VECS * 4u);
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
    let all = total(sum, lane);
    if (lane == 0u) { grad_bias_out[tile * OUT_VECS * 4u + o] = all; }
}
