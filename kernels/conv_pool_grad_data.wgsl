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
// CELLS × CELLS pooling windows, CELLS = (KERNEL + 2) / 2, whose expansion meets all channels of the tile. x: images,
// y: (channel block, input block).

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
const CELLS: u32 = 3u;
const EXPANDED: u32 = 6u;
const EXPANDED_AREA: u32 = 36u;
const CHANNEL_TILE: u32 = 1u;
const SUMS: u32 = 4u;
const LANES: u32 = 32u;

@group(0) @binding(0) var<storage, read> weights: array<vec4f>;
@group(0) @binding(1) var<storage, read> upstream: array<vec4f>;
@group(0) @binding(2) var<storage, read> code: array<u32>;
@group(0) @binding(3) var<storage, read_write> grad: array<vec4f>;

@compute @workgroup_size(LANES)
fn grad_data(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let image = group.x * LANES + lane;
    let n = min(image, BATCH_VECS - 1u);
    let blocks_x = (IN_WIDTH + 1u) / 2u;
    let blocks = (IN_HEIGHT + 1u) / 2u * blocks_x;
    let by = group.y % blocks / blocks_x;
    let bx = group.y % blocks % blocks_x;
    let first = group.y / blocks * CHANNEL_TILE;

    var sums: array<vec4f, SUMS>;
    for (var s = 0u; s < SUMS; s++) { // unroll
        sums[s] = vec4f(0.0);
    }
    for (var o = 0u; o < OUT_CHANNELS; o++) {
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
                let codes = (vec4u(code[index]) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u);
                for (var a = 0u; a < 2u; a++) { // unroll
                    for (var b = 0u; b < 2u; b++) { // unroll
                        dz[(2u * r + a) * EXPANDED + 2u * s + b] = select(vec4f(0.0), g, codes == vec4u(2u * a + b));
                    }
                }
            }
        }
        for (var k = 0u; k < CHANNEL_TILE; k++) { // unroll
            let c = min(first + k, IN_CHANNELS - 1u);
            for (var i = 0u; i < KERNEL; i++) { // unroll
                for (var j = 0u; j < KERNEL; j++) { // unroll
                    for (var a = 0u; a < 2u; a++) { // unroll
                        for (var b = 0u; b < 2u; b++) { // unroll
                            // Row of dz for input row 2·by + a and tap i; its pooling window and weight tile follow.
                            const row = 2u * (CELLS - 1u) + a - i;
                            const column = 2u * (CELLS - 1u) + b - j;
                            let py = clamp(by + row / 2u, CELLS - 1u, POOLED_HEIGHT + CELLS - 2u) - (CELLS - 1u);
                            let px = clamp(bx + column / 2u, CELLS - 1u, POOLED_WIDTH + CELLS - 2u) - (CELLS - 1u);
                            let tile = 2u * py / TILE_HEIGHT * TILES_X + 2u * px / TILE_WIDTH;
                            let w = weights[((tile * IN_CHANNELS + c) * KERNEL_AREA + i * KERNEL + j) * OUT_VECS + o / 4u][o % 4u];
                            sums[k * 4u + a * 2u + b] += w * dz[row * EXPANDED + column];
                        }
                    }
                }
            }
        }
    }
    for (var k = 0u; k < CHANNEL_TILE; k++) { // unroll
        for (var a = 0u; a < 2u; a++) { // unroll
            for (var b = 0u; b < 2u; b++) { // unroll
                let c = first + k;
                let y = 2u * by + a;
                let x = 2u * bx + b;
                if (image < BATCH_VECS && c < IN_CHANNELS && y < IN_HEIGHT && x < IN_WIDTH) {
                    grad[((c * IN_HEIGHT + y) * IN_WIDTH + x) * BATCH_VECS + n] = sums[k * 4u + a * 2u + b];
                }
            }
        }
    }
}
