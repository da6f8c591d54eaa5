// Convolution whose weights are shared over the whole output, over tiles of it, or nowhere (DeepID2's conv4), with an
// optional ReLU. A fully connected layer is the case of a 1×1 input, one tile and KERNEL = 1.
//
//   out[o, y, x, n] = act(bias[t, o] + Σ_{c,i,j} weights[t, (c, i, j), o] · images[c, y + i, x + j, n])
//
// With ADDS = 1 what `out` holds takes the place of the bias: a layer of several inputs is one dispatch an input.
//
// t: weight tile of (y, x); TILE_HEIGHT × TILE_WIDTH outputs a tile.
//
// Layout: batch-last, four images a vec4f; weights [tiles, taps, OUT_VECS] as vec4f over output channels.
//
// Work split: one invocation = 4·IMAGE_VECS images × one position × 4·CHANNEL_VECS output channels, an outer product
// at each tap. The weights of a tap are the same for all lanes: each of SUBGROUP lanes loads a share of them and
// broadcasts it, so IMAGE_VECS + CHANNEL_VECS / SUBGROUP loads meet in 16·IMAGE_VECS·CHANNEL_VECS multiply-adds. DEPTH
// taps, a divisor of their number, are taken at once: where registers spill, each sum is then spilled that much less.
// A layer of many inputs and few outputs would not fill a large GPU: there PARTS workgroups share a sum over taps, each a
// range of them, and write partial sums from number FIRST_PART on, which reduce.wgsl adds. x: images, y: (part, channel
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
const TURN: u32 = 1u; // sums that are stored at once
const LEFT: u32 = 3u; // SUMS − TURN, which move up after each turn
const RELU: u32 = 0u;
const ADDS: u32 = 0u;
const LANES: u32 = 32u;
const SUBGROUP: u32 = 1u;
const DEPTH: u32 = 1u;
const HELD: u32 = 1u; // DEPTH · CHANNEL_VECS / SUBGROUP, rounded up
const LOADED: u32 = 1u; // DEPTH · IMAGE_VECS
const PARTS: u32 = 1u;
const FIRST_PART: u32 = 0u;

@group(0) @binding(0) var<storage, read> images: array<vec4f>;
@group(0) @binding(1) var<storage, read> weights: array<vec4f>;
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>; // in place

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let positions = OUT_HEIGHT * OUT_WIDTH;
    let y = group.y % positions / OUT_WIDTH;
    let x = group.y % positions % OUT_WIDTH;
    let blocks = (OUT_VECS + CHANNEL_VECS - 1u) / CHANNEL_VECS;
    let first = group.y / positions % blocks * CHANNEL_VECS;
    // A constant where there is one part, as the loop's length is below: compilers then unroll it.
    let part = select(0u, group.y / (positions * blocks), PARTS > 1u);
    let tile = y / TILE_HEIGHT * TILES_X + x / TILE_WIDTH;

    // Where this lane's share of the weights of DEPTH taps lies: slots (tap, vector of output channels).
    var offsets: array<u32, HELD>;
    for (var h = 0u; h < HELD; h++) { // unroll
        let slot = min(h * SUBGROUP + lane % SUBGROUP, DEPTH * CHANNEL_VECS - 1u);
        offsets[h] = slot / CHANNEL_VECS * OUT_VECS + min(first + slot % CHANNEL_VECS, OUT_VECS - 1u);
    }
    var sums: array<vec4f, SUMS>;
    for (var v = 0u; v < CHANNEL_VECS; v++) { // unroll
        let b = bias[tile * OUT_VECS + min(first + v, OUT_VECS - 1u)];
        for (var k = 0u; k < 4u; k++) { // unroll
            for (var m = 0u; m < IMAGE_VECS; m++) { // unroll
                sums[(v * 4u + k) * IMAGE_VECS + m] = select(vec4f(0.0), vec4f(b[k]), FIRST_PART + part == 0u);
                let o = (first + v) * 4u + k;
                let n = (group.x * IMAGE_VECS + m) * LANES + lane;
                if (ADDS == 1u && n < BATCH_VECS && o < OUT_CHANNELS) {
                    sums[(v * 4u + k) * IMAGE_VECS + m] = out[(o * positions + y * OUT_WIDTH + x) * BATCH_VECS + n];
                }
            }
        }
    }
    let steps = IN_CHANNELS * KERNEL * KERNEL / DEPTH;
    let share = (steps + PARTS - 1u) / PARTS;
    for (var turn = 0u; turn < share; turn++) {
        let step = part * share + turn;
        if (share * PARTS != steps && step >= steps) { break; }
        var held: array<vec4f, HELD>;
        for (var h = 0u; h < HELD; h++) { // unroll
            held[h] = weights[(tile * IN_CHANNELS * KERNEL * KERNEL + step * DEPTH) * OUT_VECS + offsets[h]];
        }
        var inputs: array<vec4f, LOADED>;
        for (var d = 0u; d < DEPTH; d++) { // unroll
            let tap = step * DEPTH + d;
            let c = tap / (KERNEL * KERNEL);
            let i = tap % (KERNEL * KERNEL) / KERNEL;
            let j = tap % KERNEL;
            let pixel = ((c * IN_HEIGHT + y + i) * IN_WIDTH + x + j) * BATCH_VECS;
            for (var m = 0u; m < IMAGE_VECS; m++) { // unroll
                inputs[d * IMAGE_VECS + m] = images[pixel + min((group.x * IMAGE_VECS + m) * LANES + lane, BATCH_VECS - 1u)];
            }
        }
        for (var v = 0u; v < CHANNEL_VECS; v++) { // unroll
            for (var k = 0u; k < 4u; k++) { // unroll
                var w: array<f32, DEPTH>;
                for (var d = 0u; d < DEPTH; d++) { // unroll
                    const slot = d * CHANNEL_VECS + v;
                    w[d] = subgroupBroadcast(held[slot / SUBGROUP][k], slot % SUBGROUP);
                }
                for (var m = 0u; m < IMAGE_VECS; m++) { // unroll
                    for (var d = 0u; d < DEPTH; d++) { // unroll
                        sums[(v * 4u + k) * IMAGE_VECS + m] += w[d] * inputs[d * IMAGE_VECS + m];
                    }
                }
            }
        }
    }
    for (var turn = 0u; turn < SUMS; turn += TURN) {
        for (var t = 0u; t < TURN; t++) { // unroll
            let o = first * 4u + (turn + t) / IMAGE_VECS;
            let n = (group.x * IMAGE_VECS + (turn + t) % IMAGE_VECS) * LANES + lane;
            let inside = turn + t < SUMS && n < BATCH_VECS && o < OUT_CHANNELS;
            let row = ((FIRST_PART + part) * OUT_CHANNELS + o) * positions + y * OUT_WIDTH + x;
            let sum = select(sums[t], vec4f(0.0), vec4<bool>(RELU == 1u) & is_shut(sums[t]));
            if (inside) { out[row * BATCH_VECS + n] = sum; } // all lanes
        }
        for (var s = 0u; s < LEFT; s++) { // unroll
            sums[s] = sums[s + TURN];
        }
    }
}
