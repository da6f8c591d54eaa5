// Convolution + bias + ReLU + 2×2 max-pool in one pass; the convolution's output never reaches memory.
//
//   z[o, y, x, n]      = bias[t, o] + Σ_{c,i,j} weights[t, (c, i, j), o] · images[c, y + i, x + j, n]
//   pooled[o, p, q, n] = max(0, max_{a,b ∈ {0,1}} z[o, 2p + a, 2q + b, n])
//   code[o, p, q, n]   = 2a + b of the first maximum in scan order; 4 where the ReLU is shut (no gradient flows)
//
// t is the weight tile of (y, x): one tile for a shared convolution, TILE_HEIGHT × TILE_WIDTH outputs a tile for a
// locally shared one (DeepID2's conv3). Tiles have even sides here, so a pooling window never straddles two.
//
// Inputs are activations or the bytes of pictures: shared/activations.wgsl and shared/pixels.wgsl load either.
//
// Layout: batch-last, four images a vec4f. weights [tiles, taps, OUT_VECS] as vec4f over output channels; code one byte
// an image, four to a word.
//
// Work split: one invocation = four images × one pooling window × 4·CHANNEL_VECS output channels. The
// (KERNEL + 1)² window of one input channel is loaded once and meets all these channels at four positions. The weights
// of a channel are the same for all lanes: each of SUBGROUP lanes loads a share of them and broadcasts it. A workgroup
// is LANES vectors of images × GROUPS channel blocks, which read the same window. x: images, y: (GROUPS channel blocks,
// window). z is left to a net index.

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
const KERNEL: u32 = 4u;
const KERNEL_AREA: u32 = 16u;
const WINDOW: u32 = 5u;
const COLUMNS: u32 = 6u; // WINDOW, of pixels rounded up to whole blocks
const UNIT: u32 = 6u; // columns to load at once: COLUMNS
const PLACES: u32 = 30u; // WINDOW · COLUMNS
const CHANNEL_VECS: u32 = 1u;
const SUMS: u32 = 16u;
const TURN: u32 = 1u; // channels that are stored at once
const LEFT: u32 = 12u; // SUMS − 4 · TURN, which move up after each turn
const LANES: u32 = 32u;
const SUBGROUP: u32 = 1u;
const GROUPS: u32 = 1u;
const HELD: u32 = 16u;

@group(0) @binding(1) var<storage, read> weights: array<vec4f>;
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> pooled: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> code: array<u32>;

// sums[first + 2a + b] += Σ_{i,j} taps[i, j] · window[a + i, b + j], image by image of the four, whose window then stays in
// registers. A function, because the time to compile one grows with its length squared.
fn accumulate(sums: ptr<function, array<vec4f, SUMS>>, first: u32, window: ptr<function, array<vec4f, PLACES>>, taps: array<f32, KERNEL_AREA>) {
    for (var m = 0u; m < 4u; m++) { // unroll
        for (var i = 0u; i < KERNEL; i++) { // unroll
            for (var j = 0u; j < KERNEL; j++) { // unroll
                for (var at = 0u; at < 4u; at++) { // unroll
                    (*sums)[first + at][m] += taps[i * KERNEL + j] * (*window)[(i + at / 2u) * COLUMNS + j + at % 2u][m];
                }
            }
        }
    }
}

@compute @workgroup_size(LANES, GROUPS)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
    let lane = local.x;
    let image = group.x * LANES + lane;
    // Lanes past the batch repeat the last image: loads stay uniform and unmasked, only the stores are guarded.
    let n = min(image, BATCH_VECS - 1u);
    let windows = POOLED_HEIGHT * POOLED_WIDTH;
    let p = group.y % windows / POOLED_WIDTH;
    let q = group.y % POOLED_WIDTH;
    // Told to be the same for all invocations where it is: drivers then load what it leads to once.
    let first = (group.y / windows * GROUPS + select(0u, local.y, GROUPS > 1u)) * CHANNEL_VECS;
    let tile = 2u * p / TILE_HEIGHT * TILES_X + 2u * q / TILE_WIDTH;

    // Where this lane's share of an input channel's weights lies: slots (tap, vector of output channels).
    var offsets: array<u32, HELD>;
    for (var h = 0u; h < HELD; h++) { // unroll
        let slot = min(h * SUBGROUP + lane % SUBGROUP, KERNEL_AREA * CHANNEL_VECS - 1u);
        offsets[h] = slot / CHANNEL_VECS * OUT_VECS + min(first + slot % CHANNEL_VECS, OUT_VECS - 1u);
    }
    let scale = scales(n);
    var sums: array<vec4f, SUMS>;
    for (var v = 0u; v < CHANNEL_VECS; v++) { // unroll
        let b = bias[tile * OUT_VECS + min(first + v, OUT_VECS - 1u)];
        for (var k = 0u; k < 4u; k++) { // unroll
            for (var at = 0u; at < 4u; at++) { // unroll
                sums[(v * 4u + k) * 4u + at] = vec4f(b[k]);
            }
        }
    }
    for (var c = 0u; c < IN_CHANNELS; c++) {
        var window: array<vec4f, PLACES>;
        load_columns(&window, 0u, c, p, 2u * q, n, scale, lane);
        let row = (tile * IN_CHANNELS + c) * KERNEL_AREA * OUT_VECS;
        var held: array<vec4f, HELD>;
        for (var h = 0u; h < HELD; h++) { // unroll
            held[h] = weights[row + offsets[h]];
        }
        for (var v = 0u; v < CHANNEL_VECS; v++) { // unroll
            for (var k = 0u; k < 4u; k++) { // unroll
                var taps: array<f32, KERNEL_AREA>;
                for (var tap = 0u; tap < KERNEL_AREA; tap++) { // unroll
                    const slot = tap * CHANNEL_VECS + v;
                    taps[tap] = subgroupBroadcast(held[slot / SUBGROUP][k], slot % SUBGROUP);
                }
                accumulate(&sums, (v * 4u + k) * 4u, &window, taps);
            }
        }
    }
    for (var turn = 0u; turn < CHANNEL_VECS * 4u; turn += TURN) {
        for (var t = 0u; t < TURN; t++) { // unroll
            let o = first * 4u + turn + t;
            var best = sums[t * 4u];
            var best_code = vec4u(0u);
            for (var at = 0u; at < 4u; at++) { // unroll
                let candidate = sums[t * 4u + at];
                let later = candidate > best;
                best = select(best, candidate, later);
                best_code = select(best_code, vec4u(at), later);
            }
            let shut = is_shut(best);
            let inside = turn + t < CHANNEL_VECS * 4u && image < BATCH_VECS && o < OUT_CHANNELS;
            let index = (o * windows + p * POOLED_WIDTH + q) * BATCH_VECS + n;
            if (inside) { pooled[index] = select(best, vec4f(0.0), shut); } // all lanes
            if (inside) { code[index] = pack_codes(select(best_code, vec4u(4u), shut)); } // all lanes
        }
        for (var s = 0u; s < LEFT; s++) { // unroll
            sums[s] = sums[s + TURN * 4u];
        }
    }
}
