// Gradients of a convolution (conv_forward.wgsl) with respect to weights and bias.
//
//   grad_weights[t, (c,i,j), o] = Σ_{(y,x) in t} Σ_n upstream[o, y, x, n] · images[c, y + i, x + j, n]
//   grad_bias[t, o]             = Σ_{(y,x) in t} Σ_n upstream[o, y, x, n]
//
// Layout as in conv_forward.wgsl.
//
// Work split: one invocation = TAP_TILE taps × four output channels, an outer product at each position and image; lanes are
// neighbours along output channels. Inputs are the same for all lanes: each of SUBGROUP lanes loads a share of the taps and
// broadcasts it. The invocations of the first taps have the bias as one tap more, whose input is 1. PARTS invocations share
// one such sum, each every PARTS-th vector of images, and add theirs up in workgroup memory. x: (tap block, channel block),
// y: tile.
//
// gradients: both gradients. update: the weights' step by theirs (shared/momentum.wgsl), which never reaches memory, and
// the bias's gradient.

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
const TAP_TILE: u32 = 1u;
const SUMS: u32 = 2u; // TAP_TILE and the bias
const TURN: u32 = 1u; // taps that are stored at once
const LEFT: u32 = 0u; // TAP_TILE − TURN, which move up after each turn
const LANES: u32 = 32u;
const SUBGROUP: u32 = 1u;
const HELD: u32 = 1u; // TAP_TILE / SUBGROUP, rounded up
const PARTS: u32 = 1u;
const STAGED: u32 = 1u; // PARTS · SUMS · LANES where there are several parts, otherwise 1

@group(0) @binding(0) var<storage, read> images: array<vec4f>;
@group(0) @binding(1) var<storage, read> upstream: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> grad_bias: array<vec4f>;

@group(0) @binding(3) var<storage, read_write> grad_weights: array<vec4f>;

@group(0) @binding(3) var<storage, read_write> weights: array<vec4f>; // in place
@group(0) @binding(4) var<storage, read_write> velocity: array<vec4f>; // in place
@group(0) @binding(5) var<storage, read> rates: array<f32>;
@group(0) @binding(6) var<storage, read> scale: array<f32>;

const TAPS: u32 = IN_CHANNELS * KERNEL * KERNEL;

// What an invocation computes: taps from `tap` on, of the filters of `tile`, for the output channels of vector `vec`, over
// the images of `part`.
struct Block {
    tap: u32,
    vec: u32,
    tile: u32,
    part: u32,
}

fn block_of(group: vec3u, local: vec3u) -> Block {
    let channel_blocks = (OUT_VECS + LANES - 1u) / LANES;
    let part = select(0u, local.y, PARTS > 1u); // a constant where there is one
    return Block(group.x / channel_blocks * TAP_TILE, group.x % channel_blocks * LANES + local.x, group.y, part);
}

// Whether total `t` of the block falls to this part: all parts know it.
fn stores(block: Block, t: u32) -> bool {
    return t % PARTS == block.part && block.vec < OUT_VECS;
}

fn stores_tap(block: Block, t: u32) -> bool {
    return t < TAP_TILE && stores(block, t) && block.tap + t < TAPS;
}

fn store_bias(block: Block, sum: vec4f) {
    if (block.tap == 0u && stores(block, TAP_TILE)) {
        grad_bias[block.tile * OUT_VECS + block.vec] = sum;
    }
}

// Where the weights of tap `t` of the block lie.
fn index_of(block: Block, t: u32) -> u32 {
    return (block.tile * TAPS + block.tap + t) * OUT_VECS + block.vec;
}

var<workgroup> staged: array<vec4f, STAGED>;

// Sums over all images of the tile's positions, in every part.
fn sum_outer_products(sums: ptr<function, array<vec4f, SUMS>>, block: Block, lane: u32) {
    // Where this lane's share of the inputs lies, for the output at the top left.
    var offsets: array<u32, HELD>;
    for (var h = 0u; h < HELD; h++) { // unroll
        let tap = min(block.tap + h * SUBGROUP + lane % SUBGROUP, TAPS - 1u);
        let c = tap / (KERNEL * KERNEL);
        let i = tap % (KERNEL * KERNEL) / KERNEL;
        let j = tap % KERNEL;
        offsets[h] = (c * IN_HEIGHT + i) * IN_WIDTH + j;
    }
    for (var t = 0u; t < SUMS; t++) { // unroll
        (*sums)[t] = vec4f(0.0);
    }
    for (var at = 0u; at < TILE_HEIGHT * TILE_WIDTH; at++) {
        let y = block.tile / TILES_X * TILE_HEIGHT + at / TILE_WIDTH;
        let x = block.tile % TILES_X * TILE_WIDTH + at % TILE_WIDTH;
        if (y < OUT_HEIGHT && x < OUT_WIDTH) { // a tile may be cut off by the border
            for (var n = block.part; n < BATCH_VECS; n += PARTS) {
                var held: array<vec4f, HELD>;
                for (var h = 0u; h < HELD; h++) { // unroll
                    held[h] = images[(offsets[h] + y * IN_WIDTH + x) * BATCH_VECS + n];
                }
                var g: mat4x4f; // rows: images, columns: output channels
                for (var k = 0u; k < 4u; k++) { // unroll
                    let o = min(block.vec * 4u + k, OUT_CHANNELS - 1u);
                    g[k] = upstream[((o * OUT_HEIGHT + y) * OUT_WIDTH + x) * BATCH_VECS + n];
                }
                let by_image = transpose(g);
                for (var t = 0u; t < TAP_TILE; t++) { // unroll
                    for (var m = 0u; m < 4u; m++) { // unroll
                        (*sums)[t] += subgroupBroadcast(held[t / SUBGROUP][m], t % SUBGROUP) * by_image[m];
                    }
                }
                if (block.tap == 0u) {
                    for (var m = 0u; m < 4u; m++) { // unroll
                        (*sums)[TAP_TILE] += by_image[m];
                    }
                }
            }
        }
    }
    if (PARTS > 1u) {
        for (var t = 0u; t < SUMS; t++) { // unroll
            staged[(block.part * SUMS + t) * LANES + lane] = (*sums)[t];
        }
        workgroupBarrier();
        for (var t = 0u; t < SUMS; t++) { // unroll
            (*sums)[t] = staged[t * LANES + lane];
            for (var other = 1u; other < PARTS; other++) {
                (*sums)[t] += staged[(other * SUMS + t) * LANES + lane];
            }
        }
    }
    let real = vec4u(block.vec * 4u) + vec4u(0u, 1u, 2u, 3u) < vec4u(OUT_CHANNELS);
    for (var t = 0u; t < SUMS; t++) { // unroll
        (*sums)[t] = select(vec4f(0.0), plain_zeros((*sums)[t]), real);
    }
}

@compute @workgroup_size(LANES, PARTS)
fn gradients(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
    let block = block_of(group, local);
    var sums: array<vec4f, SUMS>;
    sum_outer_products(&sums, block, local.x);
    store_bias(block, sums[TAP_TILE]);
    for (var turn = 0u; turn < TAP_TILE; turn += TURN) {
        for (var t = 0u; t < TURN; t++) { // unroll
            if (stores_tap(block, turn + t)) { grad_weights[index_of(block, turn + t)] = sums[t]; } // all lanes
        }
        for (var t = 0u; t < LEFT; t++) { // unroll
            sums[t] = sums[t + TURN];
        }
    }
}

@compute @workgroup_size(LANES, PARTS)
fn update(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
    let block = block_of(group, local);
    var sums: array<vec4f, SUMS>;
    sum_outer_products(&sums, block, local.x);
    store_bias(block, sums[TAP_TILE]);
    let rate = rates[0] * scale[0];
    let momentum = rates[1];
    let decay = rates[2];
    for (var turn = 0u; turn < TAP_TILE; turn += TURN) {
        for (var t = 0u; t < TURN; t++) { // unroll
            let stores = stores_tap(block, turn + t);
            let i = select(0u, index_of(block, turn + t), stores);
            let w = weights[i];
            let v = next_velocity(velocity[i], sums[t], w, momentum, decay);
            if (stores) { velocity[i] = v; } // all lanes
            if (stores) { weights[i] = w - rate * v; } // all lanes
        }
        for (var t = 0u; t < LEFT; t++) { // unroll
            sums[t] = sums[t + TURN];
        }
    }
}
