// Gradient of convolution + ReLU + 2×2 max-pool with respect to its input, a pooling window at a time, using the pool's
// sparsity: of the four convolution outputs of a window only the maximum's has a gradient.
//
//   (a, b)                  = position of the maximum, from code[o, p, q, n]
//   patch[c, p, q, n][i, j] = Σ_o weights[t, (c, i − a, j − b), o] · upstream[o, p, q, n]   PATCH × PATCH inputs at (2p, 2q)
//   grad[c, y, x, n]        = Σ of the patches that reach (y, x)
//
// The maximum's place differs from image to image, and so does the filter entry that an input meets. Along columns the
// entry is chosen by selects; along rows the gradient is split into one of upper and one of lower maxima, one of them 0.
// That takes 24 multiply-adds and 12 selects a window and channel, where the dense sum takes 36 multiply-adds. Patches are
// put together by shared/patches.wgsl, which takes only 3×3 filters.
//
// Layout as in conv_pool_forward.wgsl.
//
// Work split: one invocation = four images × one row of windows of this PARITY × CHANNELS input channels. Output channels
// come in pairs (fours leave the instruction cache), whose weights are the same for all lanes: each of SUBGROUP lanes loads
// a share of them and broadcasts it. x: images, y: (channel block, row of windows).

const BATCH_VECS: u32 = 1u;
const IN_CHANNELS: u32 = 3u;
const IN_HEIGHT: u32 = 4u;
const IN_WIDTH: u32 = 4u;
const OUT_CHANNELS: u32 = 4u;
const OUT_VECS: u32 = 1u;
const POOLED_HEIGHT: u32 = 1u;
const POOLED_WIDTH: u32 = 1u;
const TILE_HEIGHT: u32 = 2u;
const TILE_WIDTH: u32 = 2u;
const TILES_X: u32 = 1u;
const KERNEL: u32 = 3u;
const KERNEL_AREA: u32 = 9u;
const CHANNELS: u32 = 4u;
const SUMS: u32 = 64u; // CHANNELS · PATCH_AREA
const KEPT: u32 = 32u; // CHANNELS · PATCH · 2
const PARITY: u32 = 0u;
const ROWS: u32 = 1u; // rows of windows of this parity
const LANES: u32 = 4u;
const SUBGROUP: u32 = 4u;
const HELD: u32 = 9u; // CHANNELS · KERNEL_AREA / SUBGROUP, rounded up

@group(0) @binding(0) var<storage, read> weights: array<vec2f>;
@group(0) @binding(1) var<storage, read> upstream: array<vec4f>;
@group(0) @binding(2) var<storage, read> code: array<u32>;
@group(0) @binding(3) var<storage, read_write> grad: array<vec4f>; // in place

// Adds one output channel to the patch of one input channel, sums[first …]. A function, because the time to compile one
// grows with its length squared.
fn accumulate(sums: ptr<function, array<vec4f, SUMS>>, first: u32, taps: array<f32, KERNEL_AREA>, upper: vec4f, lower: vec4f, right: vec4<bool>) {
    for (var i = 0u; i < KERNEL; i++) { // unroll
        for (var j = 0u; j < PATCH; j++) { // unroll
            let of_left = select(0.0, taps[i * KERNEL + min(j, KERNEL - 1u)], j < KERNEL);
            let of_right = select(0.0, taps[i * KERNEL + max(j, 1u) - 1u], j > 0u);
            let tap = select(vec4f(of_left), vec4f(of_right), right);
            (*sums)[first + i * PATCH + j] += tap * upper;
            (*sums)[first + (i + 1u) * PATCH + j] += tap * lower;
        }
    }
}

@compute @workgroup_size(LANES)
fn grad_data(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let image = group.x * LANES + lane;
    let n = min(image, BATCH_VECS - 1u);
    let p = 2u * (group.y % ROWS) + PARITY;
    let first = group.y / ROWS * CHANNELS;

    // Where this lane's share of the weights lies: slots (channel, tap).
    var offsets: array<u32, HELD>;
    for (var h = 0u; h < HELD; h++) { // unroll
        let slot = min(h * SUBGROUP + lane % SUBGROUP, CHANNELS * KERNEL_AREA - 1u);
        let c = min(first + slot / KERNEL_AREA, IN_CHANNELS - 1u);
        offsets[h] = (c * KERNEL_AREA + slot % KERNEL_AREA) * OUT_VECS * 2u;
    }
    var kept: array<vec4f, KEPT>;
    for (var s = 0u; s < KEPT; s++) { // unroll
        kept[s] = vec4f(0.0);
    }
    // One turn more than there are windows: the last writes the two columns that are left.
    for (var q = 0u; q <= POOLED_WIDTH; q++) {
        let tile = 2u * p / TILE_HEIGHT * TILES_X + 2u * q / TILE_WIDTH;
        var sums: array<vec4f, SUMS>;
        for (var s = 0u; s < SUMS; s++) { // unroll
            sums[s] = vec4f(0.0);
        }
        let end = select(0u, OUT_VECS * 2u, q < POOLED_WIDTH);
        for (var v = 0u; v < end; v++) {
            var held: array<vec2f, HELD>;
            for (var h = 0u; h < HELD; h++) { // unroll
                held[h] = weights[tile * IN_CHANNELS * KERNEL_AREA * OUT_VECS * 2u + offsets[h] + v];
            }
            for (var k = 0u; k < 2u; k++) { // unroll
                // Weights beyond OUT_CHANNELS are zero: any finite gradient will do there.
                let o = min(v * 2u + k, OUT_CHANNELS - 1u);
                let index = ((o * POOLED_HEIGHT + p) * POOLED_WIDTH + q) * BATCH_VECS + n;
                let codes = unpack_codes(code[index]);
                let upper = select(vec4f(0.0), upstream[index], codes < vec4u(2u));
                let lower = select(vec4f(0.0), upstream[index], (codes & vec4u(2u)) == vec4u(2u));
                let right = (codes & vec4u(1u)) == vec4u(1u);
                for (var t = 0u; t < CHANNELS; t++) { // unroll
                    var taps: array<f32, KERNEL_AREA>;
                    for (var tap = 0u; tap < KERNEL_AREA; tap++) { // unroll
                        const slot = t * KERNEL_AREA + tap;
                        taps[tap] = subgroupBroadcast(held[slot / SUBGROUP][k], slot % SUBGROUP);
                    }
                    accumulate(&sums, t * PATCH_AREA, taps, upper, lower, right);
                }
            }
        }
        for (var t = 0u; t < CHANNELS; t++) { // unroll
            var patch_at: array<vec4f, PATCH_AREA>;
            for (var at = 0u; at < PATCH_AREA; at++) { // unroll
                patch_at[at] = sums[t * PATCH_AREA + at];
            }
            add_patch(patch_at, &kept, t * PATCH * 2u, first + t, p, q, image);
        }
    }
}
