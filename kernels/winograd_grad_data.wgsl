// Gradient of convolution + ReLU + 2×2 max-pool with respect to its input, a pooling window at a time in Winograd's
// domain (shared/winograd.wgsl):
//
//   patch[c, p, q, n] = B [Σ_o U[t, o, ·, c] ⊙ D[o, p, q, n]] Bᵀ          TILE × TILE inputs at (2p, 2q)
//   grad[c, y, x, n]  = Σ of the patches that reach (y, x)
//   U = G weights Gᵀ (winograd_filter.wgsl),   D = A (upstream at the maximum's place, else 0) Aᵀ
//
// TILE² multiplications a window, where the dense sum takes 4·KERNEL²; and each gradient of a window is loaded once. Patches
// are put together by shared/patches.wgsl, which takes only 3×3 filters.
//
// Layout as in conv_pool_forward.wgsl.
//
// Work split: one invocation = four images × one row of windows of this PARITY × four input channels. Filters are the same
// for all lanes: each of SUBGROUP lanes loads a share of them and broadcasts it. DEPTH output channels are taken at once:
// where registers spill, each sum is then spilled that much less. x: images, y: (channel block, row of windows).

const BATCH_VECS: u32 = 1u;
const IN_CHANNELS: u32 = 3u;
const IN_HEIGHT: u32 = 4u;
const IN_WIDTH: u32 = 4u;
const IN_VECS: u32 = 1u;
const OUT_CHANNELS: u32 = 4u;
const OUT_VECS: u32 = 1u;
const POOLED_HEIGHT: u32 = 1u;
const POOLED_WIDTH: u32 = 1u;
const TILE_HEIGHT: u32 = 2u;
const TILE_WIDTH: u32 = 2u;
const TILES_X: u32 = 1u;
const CHANNELS: u32 = 4u; // of a vector
const SUMS: u32 = 64u; // CHANNELS · TILE_AREA
const KEPT: u32 = 32u; // CHANNELS · TILE · 2
const DEPTH: u32 = 2u; // divides the four output channels of a vector
const GRADIENTS: u32 = DEPTH * TILE_AREA;
const PARITY: u32 = 0u;
const ROWS: u32 = 1u; // rows of windows of this parity
const LANES: u32 = 4u;
const SUBGROUP: u32 = 4u;
const SHARES: u32 = 4u; // TILE_AREA / SUBGROUP, rounded up
const HELD: u32 = DEPTH * SHARES;

@group(0) @binding(0) var<storage, read> filters: array<vec4f>;
@group(0) @binding(1) var<storage, read> upstream: array<vec4f>;
@group(0) @binding(2) var<storage, read> code: array<u32>;
@group(0) @binding(3) var<storage, read_write> grad: array<vec4f>; // in place

// Adds the products at one place of the Winograd tile. Of a place, D stays in registers while each number of U is
// broadcast once. A function, because the time to compile one grows with its length squared.
fn accumulate(sums: ptr<function, array<vec4f, SUMS>>, at: u32, u: array<vec4f, DEPTH>, d: ptr<function, array<vec4f, GRADIENTS>>) {
    for (var c = 0u; c < CHANNELS; c++) { // unroll
        for (var k = 0u; k < DEPTH; k++) { // unroll
            (*sums)[c * TILE_AREA + at] += u[k][c] * (*d)[k * TILE_AREA + at];
        }
    }
}

@compute @workgroup_size(LANES)
fn grad_data(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let image = group.x * LANES + lane;
    let n = min(image, BATCH_VECS - 1u);
    let p = 2u * (group.y % ROWS) + PARITY;
    let vec = group.y / ROWS;

    // Where this lane's share of an output channel's filters lies, place by place of the tile.
    var offsets: array<u32, SHARES>;
    for (var h = 0u; h < SHARES; h++) { // unroll
        offsets[h] = min(h * SUBGROUP + lane % SUBGROUP, TILE_AREA - 1u) * IN_VECS + vec;
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
        let end = select(0u, OUT_VECS * 4u, q < POOLED_WIDTH);
        for (var first = 0u; first < end; first += DEPTH) {
            var d: array<vec4f, GRADIENTS>;
            var held: array<vec4f, HELD>;
            for (var k = 0u; k < DEPTH; k++) { // unroll
                // Filters beyond OUT_CHANNELS are zero: any finite gradient will do there.
                let o = min(first + k, OUT_CHANNELS - 1u);
                let index = ((o * POOLED_HEIGHT + p) * POOLED_WIDTH + q) * BATCH_VECS + n;
                let own = transform_pooled_gradient(upstream[index], unpack_codes(code[index]));
                for (var at = 0u; at < TILE_AREA; at++) { // unroll
                    d[k * TILE_AREA + at] = own[at];
                }
                for (var h = 0u; h < SHARES; h++) { // unroll
                    held[k * SHARES + h] = filters[(tile * OUT_VECS * 4u + first + k) * TILE_AREA * IN_VECS + offsets[h]];
                }
            }
            for (var at = 0u; at < TILE_AREA; at++) { // unroll
                var u: array<vec4f, DEPTH>;
                for (var k = 0u; k < DEPTH; k++) { // unroll
                    u[k] = subgroupBroadcast(held[k * SHARES + at / SUBGROUP], at % SUBGROUP);
                }
                accumulate(&sums, at, u, &d);
            }
        }
        for (var c = 0u; c < CHANNELS; c++) { // unroll
            var m: array<vec4f, TILE_AREA>;
            for (var at = 0u; at < TILE_AREA; at++) { // unroll
                m[at] = sums[c * TILE_AREA + at];
            }
            add_patch(transform_input_adjoint(m), &kept, c * TILE * 2u, vec * 4u + c, p, q, image);
        }
    }
}
