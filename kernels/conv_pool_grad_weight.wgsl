// Gradients of convolution + ReLU + 2×2 max-pool with respect to weights and bias, using the pool's sparsity: of the
// four convolution outputs of a pooling window exactly one gets a gradient, none where the ReLU is shut.
//
//   (a, b)                    = position of the maximum, from code[o, p, q, n]
//   grad_weights[t, (c,i,j), o] = Σ_{(p,q) in t} Σ_n upstream[o, p, q, n] · images[c, 2p + a + i, 2q + b + j, n]
//   grad_bias[t, o]             = Σ_{(p,q) in t} Σ_n upstream[o, p, q, n] where code < 4
//
// Inputs and layout as in conv_pool_forward.wgsl; both results have a leading dimension of SPLITS partial sums over rows
// of windows, which reduce.wgsl adds in a fixed order.
//
// Work split: one workgroup = all taps of an input channel × OUT_TILE output channels, over the rows of windows of
// its split. A lane takes every LANES-th vector of four images, so loads are coalesced, and walks along a row: of the
// (KERNEL + 1)² window only the two columns that enter are loaded. The arg-max shifts the window with selects and one
// multiply-add a tap follows: a quarter of the dense count. At the end lanes are added in a fixed order.
// x: (input channel, output channel block), y: (tile, split).

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
const KERNEL: u32 = 4u;
const KERNEL_AREA: u32 = 16u;
const WINDOW: u32 = 5u;
const SHIFTED_AREA: u32 = 20u; // KERNEL · WINDOW
const COLUMNS: u32 = 6u; // WINDOW, of pixels rounded up to whole blocks
const CARRIED: u32 = 4u; // columns that the next window has too: COLUMNS − 2
const UNIT: u32 = 2u; // columns to load at once, which divide both
const CARRIED_UNITS: u32 = 2u; // CARRIED / UNIT
const ENTERING_UNITS: u32 = 1u; // 2 / UNIT
const OUT_TILE: u32 = 1u;
const PLACES: u32 = 30u; // WINDOW · COLUMNS
const PRODUCTS: u32 = 16u; // OUT_TILE · KERNEL_AREA
const SUMS: u32 = 17u; // PRODUCTS + OUT_TILE: those of the bias come last
const STORES: u32 = 1u; // SUMS / LANES, rounded up
const TURN: u32 = 1u; // stores at once
const LEFT: u32 = 0u; // SUMS − LANES · TURN where it is more than 0, which move up after each turn
const STAGED: u32 = 561u; // SUMS · (LANES + 1) where lanes share nothing and that fits in workgroup memory, otherwise 1
const SPLITS: u32 = 1u;
const LANES: u32 = 32u;
const SUBGROUP: u32 = 1u;

@group(0) @binding(1) var<storage, read> upstream: array<vec4f>;
@group(0) @binding(2) var<storage, read> code: array<u32>;
@group(0) @binding(3) var<storage, read_write> grad_weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> grad_bias: array<f32>;

var<workgroup> staged: array<f32, STAGED>;

// The window moved by the arg-max, at each tap. A function, as is the next, because the time to compile one grows with
// its length squared.
fn shift(window: ptr<function, array<vec4f, PLACES>>, down: vec4<bool>, right: vec4<bool>) -> array<vec4f, KERNEL_AREA> {
    var rows: array<vec4f, SHIFTED_AREA>;
    for (var i = 0u; i < KERNEL; i++) { // unroll
        for (var j = 0u; j < WINDOW; j++) { // unroll
            rows[i * WINDOW + j] = select((*window)[i * COLUMNS + j], (*window)[(i + 1u) * COLUMNS + j], down);
        }
    }
    var shifted: array<vec4f, KERNEL_AREA>;
    for (var i = 0u; i < KERNEL; i++) { // unroll
        for (var j = 0u; j < KERNEL; j++) { // unroll
            shifted[i * KERNEL + j] = select(rows[i * WINDOW + j], rows[i * WINDOW + j + 1u], right);
        }
    }
    return shifted;
}

fn accumulate(sums: ptr<function, array<f32, SUMS>>, first: u32, x: array<vec4f, KERNEL_AREA>, g: vec4f) {
    for (var tap = 0u; tap < KERNEL_AREA; tap++) { // unroll
        (*sums)[first + tap] += dot(x[tap], g);
    }
}

// Σ value over the lanes of a workgroup, in a fixed order, in every lane.
var<workgroup> lane_sums: array<f32, LANES>;

fn total(value: f32, lane: u32) -> f32 {
    var sum = 0.0;
    if (SUBGROUP == LANES) {
        for (var l = 0u; l < SUBGROUP; l++) { // unroll
            sum += subgroupBroadcast(value, l);
        }
        return plain_zero(sum);
    }
    workgroupBarrier();
    lane_sums[lane] = value;
    workgroupBarrier();
    for (var l = 0u; l < LANES; l++) {
        sum += lane_sums[l];
    }
    return plain_zero(sum);
}

@compute @workgroup_size(LANES)
fn gradients(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let out_blocks = (OUT_VECS * 4u + OUT_TILE - 1u) / OUT_TILE;
    let c = group.x / out_blocks;
    let first_out = group.x % out_blocks * OUT_TILE;
    let tile = group.y % TILES;
    let split = group.y / TILES;
    let tile_columns = TILE_WIDTH / 2u;
    // Rows of windows of the tile, cut into SPLITS ranges; a tile may be cut off by the border.
    let top = tile / TILES_X * (TILE_HEIGHT / 2u);
    let left = tile % TILES_X * tile_columns;
    let share = (TILE_HEIGHT / 2u + SPLITS - 1u) / SPLITS;
    let start = top + split * share;
    let bottom = min(min(start + share, top + TILE_HEIGHT / 2u), POOLED_HEIGHT);
    let right_end = min(left + tile_columns, POOLED_WIDTH);

    var sums: array<f32, SUMS>;
    for (var s = 0u; s < SUMS; s++) { // unroll
        sums[s] = 0.0;
    }
    for (var p = start; p < bottom; p++) {
        // Whole rounds of lanes: a lane past the batch adds zeros.
        for (var round = 0u; round < (BATCH_VECS + LANES - 1u) / LANES; round++) {
            let image = round * LANES + lane;
            let n = min(image, BATCH_VECS - 1u);
            let scale = scales(n);
            var window: array<vec4f, PLACES>;
            for (var u = 0u; u < CARRIED_UNITS; u++) { // unroll
                load_columns(&window, 2u + u * UNIT, c, p, 2u * left + u * UNIT, n, scale, lane);
            }
            for (var q = left; q < right_end; q++) {
                for (var i = 0u; i < WINDOW; i++) { // unroll
                    for (var j = 0u; j < CARRIED; j++) { // unroll
                        window[i * COLUMNS + j] = window[i * COLUMNS + j + 2u];
                    }
                }
                for (var u = 0u; u < ENTERING_UNITS; u++) { // unroll
                    load_columns(&window, CARRIED + u * UNIT, c, p, 2u * q + CARRIED + u * UNIT, n, scale, lane);
                }
                for (var k = 0u; k < OUT_TILE; k++) { // unroll
                    let o = min(first_out + k, OUT_CHANNELS - 1u);
                    let index = ((o * POOLED_HEIGHT + p) * POOLED_WIDTH + q) * BATCH_VECS + n;
                    let codes = unpack_codes(code[index]);
                    let g = select(upstream[index], vec4f(0.0), (codes == vec4u(4u)) | vec4<bool>(image >= BATCH_VECS));
                    sums[PRODUCTS + k] += dot(g, vec4f(1.0));
                    let down = (codes & vec4u(2u)) != vec4u(0u);
                    let right = (codes & vec4u(1u)) != vec4u(0u);
                    accumulate(&sums, k * KERNEL_AREA, shift(&window, down, right), g);
                }
            }
        }
    }
    // Lanes that share nothing pass their sums through workgroup memory, a row a sum with one place to spare, so that
    // neither the writes nor the reads of a subgroup meet in a bank.
    if (STAGED > 1u) {
        for (var s = 0u; s < SUMS; s++) { // unroll
            staged[s * (LANES + 1u) + lane] = sums[s];
        }
        workgroupBarrier();
    }
    for (var turn = 0u; turn < STORES; turn += TURN) {
        for (var h = 0u; h < TURN; h++) { // unroll
            let s = (turn + h) * LANES + lane;
            var mine = 0.0;
            if (STAGED == 1u) {
                // Every lane learns every total and keeps the one that falls to it.
                for (var l = 0u; l < LANES; l++) { // unroll
                    const own = min(h * LANES + l, SUMS - 1u);
                    let all = total(sums[own], lane);
                    mine = select(mine, all, lane == l);
                }
            } else {
                for (var l = 0u; l < LANES; l++) {
                    mine += staged[min(s, SUMS - 1u) * (LANES + 1u) + l];
                }
                mine = plain_zero(mine);
            }
            let of_bias = s >= PRODUCTS;
            let o = first_out + select(s / KERNEL_AREA, s - PRODUCTS, of_bias);
            let sum = select(0.0, mine, o < OUT_CHANNELS);
            let part = split * TILES + tile;
            if (!of_bias && o < OUT_VECS * 4u) {
                let row = (part * IN_CHANNELS + c) * KERNEL_AREA + s % KERNEL_AREA;
                grad_weights[row * OUT_VECS * 4u + o] = sum;
            }
            // Every input channel has the bias; the first writes it.
            if (of_bias && s < SUMS && c == 0u && o < OUT_VECS * 4u) {
                grad_bias[part * OUT_VECS * 4u + o] = sum;
            }
        }
        for (var s = 0u; s < LEFT; s++) { // unroll
            sums[s] = sums[s + TURN * LANES];
        }
    }
}
