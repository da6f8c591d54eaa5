// Gradients of a convolution (conv_forward.wgsl) with respect to weights and bias.
//
//   grad_weights[t, (c,i,j), o] = Σ_{(y,x) in t} Σ_n upstream[o, y, x, n] · images[c, y + i, x + j, n]
//   grad_bias[t, o]             = Σ_{(y,x) in t} Σ_n upstream[o, y, x, n]
//
// Layout as in conv_forward.wgsl.
//
// Work split, grad_weight: one invocation = TAP_TILE taps × four output channels, an outer product at each position and
// image; lanes are neighbours along output channels. Inputs are the same for all lanes: each of SUBGROUP lanes loads a
// share of the taps and broadcasts it. PARTS invocations share one such sum, each every PARTS-th vector of images, and
// add theirs up in workgroup memory. x: (tap block, channel block), y: tile.
// update: the same, and the weights' step by it (shared/momentum.wgsl), so that the gradient never reaches memory.
// grad_bias: one workgroup a (tile, vector of channels), lanes along images.

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
const LANES: u32 = 32u;
const SUBGROUP: u32 = 1u;
const HELD: u32 = 1u; // TAP_TILE / SUBGROUP, rounded up
const PARTS: u32 = 1u;
const STAGED: u32 = 1u; // PARTS · TAP_TILE · LANES where there are several parts, otherwise 1

@group(0) @binding(0) var<storage, read> images: array<vec4f>;
@group(0) @binding(1) var<storage, read> upstream: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> grad_weights: array<vec4f>;

@group(0) @binding(2) var<storage, read_write> weights: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> velocity: array<vec4f>;
@group(0) @binding(4) var<storage, read> rates: array<f32>;
@group(0) @binding(5) var<storage, read> scale: array<f32>;

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

// Whether the total of tap `t` of the block falls to this part: all parts know it.
fn stores(block: Block, t: u32) -> bool {
    return t % PARTS == block.part && block.tap + t < TAPS && block.vec < OUT_VECS;
}

// Where the weights of tap `t` of the block lie.
fn index_of(block: Block, t: u32) -> u32 {
    return (block.tile * TAPS + block.tap + t) * OUT_VECS + block.vec;
}

var<workgroup> staged: array<vec4f, STAGED>;

// Sums over all images of the tile's positions, in every part.
fn sum_outer_products(sums: ptr<function, array<vec4f, TAP_TILE>>, block: Block, lane: u32) {
    // Where this lane's share of the inputs lies, for the output at the top left.
    var offsets: array<u32, HELD>;
    for (var h = 0u; h < HELD; h++) { // unroll
        let tap = min(block.tap + h * SUBGROUP + lane % SUBGROUP, TAPS - 1u);
        let c = tap / (KERNEL * KERNEL);
        let i = tap % (KERNEL * KERNEL) / KERNEL;
        let j = tap % KERNEL;
        offsets[h] = (c * IN_HEIGHT + i) * IN_WIDTH + j;
    }
    for (var t = 0u; t < TAP_TILE; t++) { // unroll
        (*sums)[t] = vec4f(0.0);
    }
    for (var at = 0u; at < TILE_HEIGHT * TILE_WIDTH; at++) {
        let y = block.tile / TILES_X * TILE_HEIGHT + at / TILE_WIDTH;
        let x = block.tile % TILES_X * TILE_WIDTH + at % TILE_WIDTH;
        if (y >= OUT_HEIGHT || x >= OUT_WIDTH) { continue; } // a tile cut off by the border
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
        }
    }
    if (PARTS > 1u) {
        for (var t = 0u; t < TAP_TILE; t++) { // unroll
            staged[(block.part * TAP_TILE + t) * LANES + lane] = (*sums)[t];
        }
        workgroupBarrier();
        for (var t = 0u; t < TAP_TILE; t++) { // unroll
            (*sums)[t] = staged[t * LANES + lane];
            for (var other = 1u; other < PARTS; other++) {
                (*sums)[t] += staged[(other * TAP_TILE + t) * LANES + lane];
            }
        }
    }
    let real = vec4u(block.vec * 4u) + vec4u(0u, 1u, 2u, 3u) < vec4u(OUT_CHANNELS);
    for (var t = 0u; t < TAP_TILE; t++) { // unroll
        (*sums)[t] = select(vec4f(0.0), plain_zeros((*sums)[t]), real);
    }
}

@compute @workgroup_size(LANES, PARTS)
fn grad_weight(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
    let block = block_of(group, local);
    var sums: array<vec4f, TAP_TILE>;
    sum_outer_products(&sums, block, local.x);
    for (var t = 0u; t < TAP_TILE; t++) { // unroll
        if (stores(block, t)) {
            grad_weights[index_of(block, t)] = sums[t];
        }
    }
}

@compute @workgroup_size(LANES, PARTS)
fn update(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
    let block = block_of(group, local);
    var sums: array<vec4f, TAP_TILE>;
    sum_outer_products(&sums, block, local.x);
    let rate = rates[0] * scale[0];
    let momentum = rates[1];
    let decay = rates[2];
    for (var t = 0u; t < TAP_TILE; t++) { // unroll
        if (stores(block, t)) {
            let i = index_of(block, t);
            let v = next_velocity(velocity[i], sums[t], weights[i], momentum, decay);
            velocity[i] = v;
            weights[i] -= rate * v;
        }
    }
}

@group(0) @binding(0) var<storage, read> bias_upstream: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> grad_bias_out: array<vec4f>;

@compute @workgroup_size(LANES)
fn grad_bias(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    // The last workgroup may come several times over, and writes the same each time.
    let index = min(group.y * groups.x + group.x, TILES * OUT_VECS - 1u);
    let first = index % OUT_VECS * 4u;
    let tile = index / OUT_VECS;
    var sums = vec4f(0.0);
    for (var at = 0u; at < TILE_HEIGHT * TILE_WIDTH; at++) {
        let y = tile / TILES_X * TILE_HEIGHT + at / TILE_WIDTH;
        let x = tile % TILES_X * TILE_WIDTH + at % TILE_WIDTH;
        if (y >= OUT_HEIGHT || x >= OUT_WIDTH) { continue; }
        for (var n = lane; n < BATCH_VECS; n += LANES) {
            for (var k = 0u; k < 4u; k++) { // unroll
                let o = min(first + k, OUT_CHANNELS - 1u);
                sums[k] += dot(bias_upstream[((o * OUT_HEIGHT + y) * OUT_WIDTH + x) * BATCH_VECS + n], vec4f(1.0));
            }
        }
    }
    var all: vec4f;
    for (var k = 0u; k < 4u; k++) { // unroll
        all[k] = select(0.0, total(sums[k], lane), first + k < OUT_CHANNELS);
    }
    if (lane == 0u) { grad_bias_out[index] = all; }
}
