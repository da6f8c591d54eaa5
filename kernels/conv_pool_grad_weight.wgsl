// Gradients of convolution + ReLU + 2×2 max-pool with respect to weights and bias, using the pool's sparsity: of the
// four convolution outputs of a pooling window exactly one gets a gradient, none where the ReLU is shut.
//
//   (a, b)                    = position of the maximum, from code[o, p, q, n]
//   grad_weights[t, (c,i,j), o] = Σ_{(p,q) in t} Σ_n upstream[o, p, q, n] · images[c, 2p + a + i, 2q + b + j, n]
//   grad_bias[t, o]             = Σ_{(p,q) in t} Σ_n upstream[o, p, q, n] where code < 4
//
// Layout as in conv_pool_forward.wgsl; grad_weights has a leading dimension of SPLITS partial sums over rows of windows,
// which reduce.wgsl adds in a fixed order.
//
// Work split, grad_weight: one workgroup = all taps of IN_TILE input channels × OUT_TILE output channels, over the rows
// of windows of its split. A lane takes every LANES-th vector of four images, so loads are coalesced, and walks along a
// row: of the (KERNEL + 1)² window only the two columns that enter are loaded. The arg-max shifts the window with
// selects and one multiply-add a tap follows: a quarter of the dense count. At the end lanes are added in a fixed
// order. x: (input channel block, output channel block), y: (tile, split).
// grad_bias: one workgroup a (split, tile, channel), lanes along images; BIAS_SPLITS partial sums over windows.

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
const WINDOW_AREA: u32 = 25u;
const SHIFTED_AREA: u32 = 20u;
const CARRIED: u32 = 3u; // columns of a window that the next one has too
const IN_TILE: u32 = 1u;
const OUT_TILE: u32 = 1u;
const WINDOWS: u32 = 25u; // IN_TILE · WINDOW_AREA
const SUMS: u32 = 16u; // IN_TILE · OUT_TILE · KERNEL_AREA
const STORES: u32 = 1u; // SUMS / LANES, rounded up
const STAGED: u32 = 528u; // SUMS · (LANES + 1) where lanes share nothing and that fits in workgroup memory, otherwise 1
const SPLITS: u32 = 1u;
const BIAS_SPLITS: u32 = 1u;
const LANES: u32 = 32u;
const SUBGROUP: u32 = 1u;

@group(0) @binding(0) var<storage, read> images: array<vec4f>;
@group(0) @binding(1) var<storage, read> upstream: array<vec4f>;
@group(0) @binding(2) var<storage, read> code: array<u32>;
@group(0) @binding(3) var<storage, read_write> grad_weights: array<f32>;

var<workgroup> staged: array<f32, STAGED>;

// The window moved by the arg-max, at each tap. A function, as is the next, because the time to compile one grows with
// its length squared.
fn shift(windows: ptr<function, array<vec4f, WINDOWS>>, first: u32, down: vec4<bool>, right: vec4<bool>) -> array<vec4f, KERNEL_AREA> {
    var rows: array<vec4f, SHIFTED_AREA>;
    for (var i = 0u; i < KERNEL; i++) { // unroll
        for (var j = 0u; j < WINDOW; j++) { // unroll
            rows[i * WINDOW + j] = select((*windows)[first + i * WINDOW + j], (*windows)[first + (i + 1u) * WINDOW + j], down);
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

@compute @workgroup_size(LANES)
fn grad_weight(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let out_blocks = (OUT_VECS * 4u + OUT_TILE - 1u) / OUT_TILE;
    let first_in = group.x / out_blocks * IN_TILE;
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
            var windows: array<vec4f, WINDOWS>;
            for (var c = 0u; c < IN_TILE; c++) { // unroll
                let corner = (min(first_in + c, IN_CHANNELS - 1u) * IN_HEIGHT + 2u * p) * IN_WIDTH + 2u * left;
                for (var i = 0u; i < WINDOW; i++) { // unroll
                    for (var j = 0u; j < CARRIED; j++) { // unroll
                        windows[c * WINDOW_AREA + i * WINDOW + j + 2u] = images[(corner + i * IN_WIDTH + j) * BATCH_VECS + n];
                    }
                }
            }
            for (var q = left; q < right_end; q++) {
                for (var c = 0u; c < IN_TILE; c++) { // unroll
                    let corner = (min(first_in + c, IN_CHANNELS - 1u) * IN_HEIGHT + 2u * p) * IN_WIDTH + 2u * q + CARRIED;
                    for (var i = 0u; i < WINDOW; i++) { // unroll
                        const row = c * WINDOW_AREA + i * WINDOW;
                        for (var j = 0u; j < CARRIED; j++) { // unroll
                            windows[row + j] = windows[row + j + 2u];
                        }
                        windows[row + CARRIED] = images[(corner + i * IN_WIDTH) * BATCH_VECS + n];
                        windows[row + CARRIED + 1u] = images[(corner + i * IN_WIDTH + 1u) * BATCH_VECS + n];
                    }
                }
                for (var k = 0u; k < OUT_TILE; k++) { // unroll
                    let o = min(first_out + k, OUT_CHANNELS - 1u);
                    let index = ((o * POOLED_HEIGHT + p) * POOLED_WIDTH + q) * BATCH_VECS + n;
                    let codes = unpack_codes(code[index]);
                    let g = select(upstream[index], vec4f(0.0), (codes == vec4u(4u)) | vec4<bool>(image >= BATCH_VECS));
                    let down = (codes & vec4u(2u)) != vec4u(0u);
                    let right = (codes & vec4u(1u)) != vec4u(0u);
                    for (var c = 0u; c < IN_TILE; c++) { // unroll
                        accumulate(&sums, (c * OUT_TILE + k) * KERNEL_AREA, shift(&windows, c * WINDOW_AREA, down, right), g);
                    }
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
    for (var h = 0u; h < STORES; h++) { // unroll
        let s = h * LANES + lane;
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
        let c = first_in + s / (OUT_TILE * KERNEL_AREA);
        let o = first_out + s / KERNEL_AREA % OUT_TILE;
        if (s < SUMS && c < IN_CHANNELS && o < OUT_VECS * 4u) {
            let row = ((split * TILES + tile) * IN_CHANNELS + c) * KERNEL_AREA + s % KERNEL_AREA;
            grad_weights[row * OUT_VECS * 4u + o] = select(0.0, mine, o < OUT_CHANNELS);
        }
    }
}

@group(0) @binding(0) var<storage, read> bias_upstream: array<vec4f>;
@group(0) @binding(1) var<storage, read> bias_code: array<u32>;
@group(0) @binding(2) var<storage, read_write> grad_bias_out: array<f32>;

@compute @workgroup_size(LANES)
fn grad_bias(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    // The last workgroup may come several times over, and writes the same each time.
    let index = min(group.y * groups.x + group.x, BIAS_SPLITS * TILES * OUT_VECS * 4u - 1u);
    let o = index % (OUT_VECS * 4u);
    let tile = index / (OUT_VECS * 4u) % TILES;
    let tile_rows = TILE_HEIGHT / 2u;
    let tile_columns = TILE_WIDTH / 2u;
    let share = (tile_rows * tile_columns + BIAS_SPLITS - 1u) / BIAS_SPLITS;
    let start = index / (OUT_VECS * 4u * TILES) * share;
    var sum = 0.0;
    if (o < OUT_CHANNELS) {
        for (var at = start; at < min(start + share, tile_rows * tile_columns); at++) {
            let p = tile / TILES_X * tile_rows + at / tile_columns;
            let q = tile % TILES_X * tile_columns + at % tile_columns;
            if (p >= POOLED_HEIGHT || q >= POOLED_WIDTH) { continue; }
            for (var n = lane; n < BATCH_VECS; n += LANES) {
                let index = ((o * POOLED_HEIGHT + p) * POOLED_WIDTH + q) * BATCH_VECS + n;
                let codes = unpack_codes(bias_code[index]);
                sum += dot(select(bias_upstream[index], vec4f(0.0), codes == vec4u(4u)), vec4f(1.0));
            }
        }
    }
    let all = total(sum, lane);
    if (lane == 0u) { grad_bias_out[index] = all; }
}
