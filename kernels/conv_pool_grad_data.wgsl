// Gradient of convolution + ReLU + 2×2 max-pool with respect to its input.
//
//   dz[o, 2p + a, 2q + b, n] = upstream[o, p, q, n] where code[o, p, q, n] = 2a + b, else 0
//   grad[c, y, x, n] = Σ_{o,i,j} weights[t(y − i, x − j), (c, i, j), o] · dz[o, y − i, x − j, n]
//
// dz is never stored: each invocation expands the pooled gradients it needs in registers.
//
// Layout as in conv_pool_forward.wgsl.
//
// Work split: one invocation = four images × a 2×2 block of inputs × CHANNEL_TILE input channels. The block depends on
// CELLS × CELLS pooling windows, CELLS = (KERNEL + 2) / 2, whose expansion meets all channels of the tile. Output
// channels come in vectors of four, whose weights are the same for all lanes: each of SUBGROUP lanes loads a share of
// them and broadcasts it. x: images, y: (channel block, input block).
//
// Weights are held by (channel, vertical pairing, horizontal pairing). A pairing is a tap i and the parity a of the
// input row it is used for: together they choose the pooling window, and so the weight tile. Where all tiles are one,
// the tap alone is the pairing. Otherwise row 2·by + a takes tap i from window (a − i) / 2, rounded down: the same one
// for both parities of an even tap, two windows for an odd tap.

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
const ONE_TILE: u32 = 1u;
const KERNEL: u32 = 4u;
const KERNEL_AREA: u32 = 16u;
const PAIRINGS: u32 = 4u; // KERNEL where all tiles are one, otherwise KERNEL + KERNEL / 2
const PAIRED_AREA: u32 = 16u;
const CELLS: u32 = 3u;
const EXPANDED: u32 = 6u;
const EXPANDED_AREA: u32 = 36u;
const CHANNEL_TILE: u32 = 1u;
const SUMS: u32 = 4u;
const LANES: u32 = 32u;
const SUBGROUP: u32 = 1u;
const HELD: u32 = 16u; // CHANNEL_TILE · PAIRINGS² / SUBGROUP, rounded up

@group(0) @binding(0) var<storage, read> weights: array<vec4f>;
@group(0) @binding(1) var<storage, read> upstream: array<vec4f>;
@group(0) @binding(2) var<storage, read> code: array<u32>;
@group(0) @binding(3) var<storage, read_write> grad: array<vec4f>;

// The tap of a pairing.
fn tap_of(pairing: u32) -> u32 {
    return select(pairing / 3u * 2u + min(pairing % 3u, 1u), pairing, ONE_TILE == 1u);
}

// Pooling row (or column) of a pairing for the block `by`, clamped to 0 … count − 1.
fn cell_of(pairing: u32, by: u32, count: u32) -> u32 {
    let row = 2u * (CELLS - 1u) + pairing % 3u / 2u - tap_of(pairing);
    return clamp(by + row / 2u, CELLS - 1u, count + CELLS - 2u) - (CELLS - 1u);
}

// Σ_{i,j} taps(i, j) · dz at the outputs (2·by + a − i, 2·bx + b − j). A function, because the time to compile one grows
// with its length squared.
fn gather(dz: ptr<function, array<vec4f, EXPANDED_AREA>>, taps: ptr<function, array<f32, PAIRED_AREA>>, a: u32, b: u32) -> vec4f {
    var sum = vec4f(0.0);
    for (var i = 0u; i < KERNEL; i++) { // unroll
        for (var j = 0u; j < KERNEL; j++) { // unroll
            let down = select(i + i / 2u + i % 2u * a, i, ONE_TILE == 1u);
            let right = select(j + j / 2u + j % 2u * b, j, ONE_TILE == 1u);
            let row = 2u * (CELLS - 1u) + a - i;
            let column = 2u * (CELLS - 1u) + b - j;
            sum += (*taps)[down * PAIRINGS + right] * (*dz)[row * EXPANDED + column];
        }
    }
    return sum;
}

@compute @workgroup_size(LANES)
fn grad_data(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let image = group.x * LANES + lane;
    let n = min(image, BATCH_VECS - 1u);
    let blocks_x = (IN_WIDTH + 1u) / 2u;
    let blocks = (IN_HEIGHT + 1u) / 2u * blocks_x;
    let by = group.y % blocks / blocks_x;
    let bx = group.y % blocks % blocks_x;
    let first = group.y / blocks * CHANNEL_TILE;

    // Where this lane's share of the weights lies.
    var offsets: array<u32, HELD>;
    for (var h = 0u; h < HELD; h++) { // unroll
        let slot = min(h * SUBGROUP + lane % SUBGROUP, CHANNEL_TILE * PAIRED_AREA - 1u);
        let c = min(first + slot / (PAIRED_AREA), IN_CHANNELS - 1u);
        let down = slot % (PAIRED_AREA) / PAIRINGS;
        let right = slot % PAIRINGS;
        let p = cell_of(down, by, POOLED_HEIGHT);
        let q = cell_of(right, bx, POOLED_WIDTH);
        let tile = select(2u * p / TILE_HEIGHT * TILES_X + 2u * q / TILE_WIDTH, 0u, ONE_TILE == 1u);
        offsets[h] = ((tile * IN_CHANNELS + c) * KERNEL_AREA + tap_of(down) * KERNEL + tap_of(right)) * OUT_VECS;
    }
    var sums: array<vec4f, SUMS>;
    for (var s = 0u; s < SUMS; s++) { // unroll
        sums[s] = vec4f(0.0);
    }
    for (var v = 0u; v < OUT_VECS; v++) {
        var held: array<vec4f, HELD>;
        for (var h = 0u; h < HELD; h++) { // unroll
            held[h] = weights[offsets[h] + v];
        }
        for (var k = 0u; k < 4u; k++) { // unroll
            // Weights beyond OUT_CHANNELS are zero: any finite gradient will do there.
            let o = min(v * 4u + k, OUT_CHANNELS - 1u);
            // Gradients at the convolution's outputs 2·(by − CELLS + 1) … 2·by + 1, and the same along x.
            var dz: array<vec4f, EXPANDED_AREA>;
            for (var r = 0u; r < CELLS; r++) { // unroll
                for (var s = 0u; s < CELLS; s++) { // unroll
                    let p = by + r;
                    let q = bx + s;
                    let inside = p >= CELLS - 1u && p < POOLED_HEIGHT + CELLS - 1u && q >= CELLS - 1u && q < POOLED_WIDTH + CELLS - 1u;
                    let pc = clamp(p, CELLS - 1u, POOLED_HEIGHT + CELLS - 2u) - (CELLS - 1u);
                    let qc = clamp(q, CELLS - 1u, POOLED_WIDTH + CELLS - 2u) - (CELLS - 1u);
                    let index = ((o * POOLED_HEIGHT + pc) * POOLED_WIDTH + qc) * BATCH_VECS + n;
                    let g = select(vec4f(0.0), upstream[index], inside);
                    let codes = unpack_codes(code[index]);
                    for (var a = 0u; a < 2u; a++) { // unroll
                        for (var b = 0u; b < 2u; b++) { // unroll
                            dz[(2u * r + a) * EXPANDED + 2u * s + b] = select(vec4f(0.0), g, codes == vec4u(2u * a + b));
                        }
                    }
                }
            }
            for (var t = 0u; t < CHANNEL_TILE; t++) { // unroll
                var taps: array<f32, PAIRED_AREA>;
                for (var pairing = 0u; pairing < PAIRED_AREA; pairing++) { // unroll
                    const slot = t * PAIRED_AREA + pairing;
                    taps[pairing] = subgroupBroadcast(held[slot / SUBGROUP][k], slot % SUBGROUP);
                }
                for (var at = 0u; at < 4u; at++) { // unroll
                    sums[t * 4u + at] += gather(&dz, &taps, at / 2u, at % 2u);
                }
            }
        }
    }
    for (var t = 0u; t < CHANNEL_TILE; t++) { // unroll
        for (var a = 0u; a < 2u; a++) { // unroll
            for (var b = 0u; b < 2u; b++) { // unroll
                let c = first + t;
                let y = 2u * by + a;
                let x = 2u * bx + b;
                if (image < BATCH_VECS && c < IN_CHANNELS && y < IN_HEIGHT && x < IN_WIDTH) {
                    grad[((c * IN_HEIGHT + y) * IN_WIDTH + x) * BATCH_VECS + n] = plain_zeros(sums[t * 4u + a * 2u + b]);
                }
            }
        }
    }
}
