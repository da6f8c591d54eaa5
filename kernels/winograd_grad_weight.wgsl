// Gradients of convolution + ReLU + 2×2 max-pool with respect to weights and bias, a pooling window at a time in
// Winograd's domain (shared/winograd.wgsl):
//
//   grad_weights[t, (c, ·, ·), o] = Gᵀ [Σ_{(p,q) in t} Σ_n V[c, p, q, n] ⊙ D[o, p, q, n]] G
//   V = Bᵀ (window of images at (p, q)) B,   D = A (upstream at the maximum's place, else 0) Aᵀ
//   grad_bias[t, o] = Σ_{(p,q) in t} Σ_n D[o, p, q, n] at the place (1, 1), which is the sum of the window's gradient
//
// TILE² multiplications a window, where the dense sum takes 4·KERNEL²; the sum over windows and images is taken before
// the transform back, once a weight.
//
// Layout as in conv_pool_forward.wgsl; both results have a leading dimension of SPLITS partial sums over rows of windows,
// which reduce.wgsl adds in a fixed order.
//
// Work split: one workgroup, which is one subgroup = IN_TILE input channels × SUBGROUP·OUT_TILE output channels, over the
// rows of windows of its split. Lanes share the work on V: each loads and transforms the window of one input channel and
// one vector of four images, and all broadcast theirs. D and the sums belong to a lane's own output channels, so nothing
// is added over lanes at the end. Windows slide along a row: only the two columns that enter are loaded.
// x: (input channel block, output channel block), y: (tile, split).

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
const CARRIED: u32 = 3u; // columns of a window that the next one has too: TILE − 2
const IN_TILE: u32 = 4u;
const OUT_TILE: u32 = 1u;
const IMAGE_VECS: u32 = 1u; // SUBGROUP / IN_TILE
const SUMS: u32 = 100u; // OUT_TILE · IN_TILE · TILE_AREA
const TURN: u32 = 1u; // filters that are stored at once
const LEFT: u32 = 84u; // SUMS − TILE_AREA · TURN, which move up after each turn
const GRADIENTS: u32 = OUT_TILE * TILE_AREA;
const SPLITS: u32 = 1u;
const LANES: u32 = 4u;
const SUBGROUP: u32 = 4u;

@group(0) @binding(0) var<storage, read> images: array<vec4f>;
@group(0) @binding(1) var<storage, read> upstream: array<vec4f>;
@group(0) @binding(2) var<storage, read> code: array<u32>;
@group(0) @binding(3) var<storage, read_write> grad_weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> grad_bias: array<f32>;

// Adds the products at one place of the Winograd tile. Of a place, D of all output channels stays in registers while each
// number of V is broadcast once. A function, because the time to compile one grows with its length squared.
fn accumulate(sums: ptr<function, array<f32, SUMS>>, at: u32, v: array<vec4f, IN_TILE>, d: ptr<function, array<vec4f, GRADIENTS>>) {
    for (var c = 0u; c < IN_TILE; c++) { // unroll
        for (var j = 0u; j < 4u; j++) { // unroll
            for (var k = 0u; k < OUT_TILE; k++) { // unroll
                (*sums)[(k * IN_TILE + c) * TILE_AREA + at] += v[c][j] * (*d)[k * TILE_AREA + at][j];
            }
        }
    }
}

@compute @workgroup_size(LANES)
fn gradients(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let out_blocks = (OUT_VECS * 4u + SUBGROUP * OUT_TILE - 1u) / (SUBGROUP * OUT_TILE);
    let first_in = group.x / out_blocks * IN_TILE;
    let first_out = group.x % out_blocks * SUBGROUP * OUT_TILE;
    let tile = group.y % TILES;
    let split = group.y / TILES;
    // Rows of windows of the tile, cut into SPLITS ranges; a tile may be cut off by the border.
    let top = tile / TILES_X * (TILE_HEIGHT / 2u);
    let left = tile % TILES_X * (TILE_WIDTH / 2u);
    let share = (TILE_HEIGHT / 2u + SPLITS - 1u) / SPLITS;
    let start = top + split * share;
    let bottom = min(min(start + share, top + TILE_HEIGHT / 2u), POOLED_HEIGHT);
    let right_end = min(left + TILE_WIDTH / 2u, POOLED_WIDTH);
    let own_channel = min(first_in + lane % IN_TILE, IN_CHANNELS - 1u);

    var sums: array<f32, SUMS>;
    for (var s = 0u; s < SUMS; s++) { // unroll
        sums[s] = 0.0;
    }
    var of_bias: array<f32, OUT_TILE>;
    for (var k = 0u; k < OUT_TILE; k++) { // unroll
        of_bias[k] = 0.0;
    }
    for (var p = start; p < bottom; p++) {
        let row = (own_channel * IN_HEIGHT + 2u * p) * IN_WIDTH;
        for (var first_vec = 0u; first_vec < BATCH_VECS; first_vec += IMAGE_VECS) {
            let own_vec = min(first_vec + lane / IN_TILE, BATCH_VECS - 1u);
            var window: array<vec4f, TILE_AREA>;
            for (var i = 0u; i < TILE; i++) { // unroll
                for (var j = 0u; j < CARRIED; j++) { // unroll
                    window[i * TILE + j + 2u] = images[(row + 2u * left + i * IN_WIDTH + j) * BATCH_VECS + own_vec];
                }
            }
            for (var q = left; q < right_end; q++) {
                for (var i = 0u; i < TILE; i++) { // unroll
                    for (var j = 0u; j < CARRIED; j++) { // unroll
                        window[i * TILE + j] = window[i * TILE + j + 2u];
                    }
                    for (var j = 0u; j < 2u; j++) { // unroll
                        window[i * TILE + j + CARRIED] = images[(row + 2u * q + i * IN_WIDTH + j + CARRIED) * BATCH_VECS + own_vec];
                    }
                }
                let own_v = transform_input(window);
                for (var m = 0u; m < IMAGE_VECS; m++) { // unroll
                    let n = min(first_vec + m, BATCH_VECS - 1u);
                    let counts = first_vec + m < BATCH_VECS;
                    var d: array<vec4f, GRADIENTS>;
                    for (var k = 0u; k < OUT_TILE; k++) { // unroll
                        let o = min(first_out + k * SUBGROUP + lane, OUT_CHANNELS - 1u);
                        let index = ((o * POOLED_HEIGHT + p) * POOLED_WIDTH + q) * BATCH_VECS + n;
                        let codes = unpack_codes(code[index]);
                        let own_d = transform_pooled_gradient(upstream[index], select(vec4u(4u), codes, counts));
                        for (var at = 0u; at < TILE_AREA; at++) { // unroll
                            d[k * TILE_AREA + at] = own_d[at];
                        }
                        of_bias[k] += dot(own_d[TILE + 1u], vec4f(1.0));
                    }
                    for (var at = 0u; at < TILE_AREA; at++) { // unroll
                        var v: array<vec4f, IN_TILE>;
                        for (var c = 0u; c < IN_TILE; c++) { // unroll
                            v[c] = subgroupBroadcast(own_v[at], m * IN_TILE + c);
                        }
                        accumulate(&sums, at, v, &d);
                    }
                }
            }
        }
    }
    for (var k = 0u; k < OUT_TILE; k++) { // unroll
        let o = first_out + k * SUBGROUP + lane;
        // Every block of input channels has the bias; the first writes it.
        if (first_in == 0u && o < OUT_VECS * 4u) {
            grad_bias[(split * TILES + tile) * OUT_VECS * 4u + o] = select(0.0, plain_zero(of_bias[k]), o < OUT_CHANNELS);
        }
    }
    for (var turn = 0u; turn < OUT_TILE * IN_TILE; turn += TURN) {
        for (var t = 0u; t < TURN; t++) { // unroll
            var m: array<f32, TILE_AREA>;
            for (var at = 0u; at < TILE_AREA; at++) { // unroll
                m[at] = sums[t * TILE_AREA + at];
            }
            let taps = transform_filter_adjoint(m);
            let o = first_out + (turn + t) / IN_TILE * SUBGROUP + lane;
            let c = first_in + (turn + t) % IN_TILE;
            let inside = turn + t < OUT_TILE * IN_TILE && c < IN_CHANNELS && o < OUT_VECS * 4u;
            let first = ((split * TILES + tile) * IN_CHANNELS + c) * KERNEL_AREA;
            for (var tap = 0u; tap < KERNEL_AREA; tap++) { // unroll
                let sum = select(0.0, plain_zero(taps[tap]), o < OUT_CHANNELS);
                if (inside) { grad_weights[(first + tap) * OUT_VECS * 4u + o] = sum; } // all lanes
            }
        }
        for (var s = 0u; s < LEFT; s++) { // unroll
            sums[s] = sums[s + TURN * TILE_AREA];
        }
    }
}
