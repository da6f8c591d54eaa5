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
// Layout as in conv_pool_forward.wgsl; both gradients have a leading dimension of SPLITS partial sums over rows of windows,
// which reduce.wgsl adds in a fixed order.
//
// Work split: one workgroup, which is one subgroup = IN_TILE input channels × SUBGROUP·OUT_TILE output channels, over the
// rows of windows of its split. Lanes share the work on V: each loads and transforms the window of one input channel and
// one vector of four images, and all broadcast theirs. D and the sums belong to a lane's own output channels, so nothing
// is added over lanes at the end. Windows slide along a row: only the two columns that enter are loaded.
// A filter's taps are transposed among four lanes, so that each stores a vector of four output channels of one tap.
// x: (input channel block, output channel block), y: (tile, split).
//
// gradients: both gradients. update: the weights' step by theirs (shared/momentum.wgsl), which never reaches memory, and
// the bias's gradient; only where SPLITS is 1.

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
const FOURS: u32 = 3u; // TURN · KERNEL_AREA / 4, rounded up
const LEFT: u32 = 84u; // SUMS − TILE_AREA · TURN, which move up after each turn
const GRADIENTS: u32 = OUT_TILE * TILE_AREA;
const SPLITS: u32 = 1u;
const LANES: u32 = 4u;
const SUBGROUP: u32 = 4u;

@group(0) @binding(0) var<storage, read> images: array<vec4f>;
@group(0) @binding(1) var<storage, read> upstream: array<vec4f>;
@group(0) @binding(2) var<storage, read> code: array<u32>;
@group(0) @binding(3) var<storage, read_write> grad_bias: array<f32>;

@group(0) @binding(4) var<storage, read_write> grad_weights: array<vec4f>;

@group(0) @binding(4) var<storage, read_write> weights: array<vec4f>; // in place
@group(0) @binding(5) var<storage, read_write> velocity: array<vec4f>; // in place
@group(0) @binding(6) var<storage, read> rates: array<vec4f>; // one; a uniform buffer: with it there were eight of storage
@group(0) @binding(7) var<storage, read> scale: array<f32>;

// What a workgroup computes: filters from input channel `first_in` and output channel `first_out` on, of `tile`, over the
// rows of windows of `split`.
struct Block {
    first_in: u32,
    first_out: u32,
    tile: u32,
    split: u32,
}

fn block_of(group: vec3u) -> Block {
    let out_blocks = (OUT_VECS * 4u + SUBGROUP * OUT_TILE - 1u) / (SUBGROUP * OUT_TILE);
    let first_in = group.x / out_blocks * IN_TILE;
    let first_out = group.x % out_blocks * SUBGROUP * OUT_TILE;
    return Block(first_in, first_out, group.y % TILES, group.y / TILES);
}

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

// Four numbers of each of four neighbouring lanes, transposed: lane 4a + b gets number b of the lanes 4a to 4a + 3.
fn transpose_lanes(own: vec4f, lane: u32) -> vec4f {
    let odd = lane % 2u == 1u;
    let of_neighbour = subgroupShuffleXor(select(own.yw, own.xz, odd), 1u);
    let pairs = select(
        vec4f(own.x, of_neighbour.x, own.z, of_neighbour.y),
        vec4f(of_neighbour.x, own.y, of_neighbour.y, own.w),
        odd,
    );
    let upper = lane % 4u >= 2u;
    let of_other_pair = subgroupShuffleXor(select(pairs.zw, pairs.xy, upper), 2u);
    return select(vec4f(pairs.xy, of_other_pair), vec4f(of_other_pair, pairs.zw), upper);
}

// Sums in Winograd's domain over the windows and images of the block; stores those of the bias's gradient.
fn sum_products(sums: ptr<function, array<f32, SUMS>>, block: Block, lane: u32) {
    // Rows of windows of the tile, cut into SPLITS ranges; a tile may be cut off by the border.
    let top = block.tile / TILES_X * (TILE_HEIGHT / 2u);
    let left = block.tile % TILES_X * (TILE_WIDTH / 2u);
    let share = (TILE_HEIGHT / 2u + SPLITS - 1u) / SPLITS;
    let start = top + block.split * share;
    let bottom = min(min(start + share, top + TILE_HEIGHT / 2u), POOLED_HEIGHT);
    let right_end = min(left + TILE_WIDTH / 2u, POOLED_WIDTH);
    let own_channel = min(block.first_in + lane % IN_TILE, IN_CHANNELS - 1u);

    for (var s = 0u; s < SUMS; s++) { // unroll
        (*sums)[s] = 0.0;
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
                        let o = min(block.first_out + k * SUBGROUP + lane, OUT_CHANNELS - 1u);
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
                        accumulate(sums, at, v, &d);
                    }
                }
            }
        }
    }
    for (var k = 0u; k < OUT_TILE; k++) { // unroll
        let o = block.first_out + k * SUBGROUP + lane;
        // Every block of input channels has the bias's gradient; the first writes it.
        if (block.first_in == 0u && o < OUT_VECS * 4u) {
            grad_bias[(block.split * TILES + block.tile) * OUT_VECS * 4u + o] = select(0.0, plain_zero(of_bias[k]), o < OUT_CHANNELS);
        }
    }
}

// The taps of the first TURN filters, transformed back.
fn taps_of(sums: ptr<function, array<f32, SUMS>>) -> array<vec4f, FOURS> {
    var taps: array<vec4f, FOURS>;
    for (var t = 0u; t < TURN; t++) { // unroll
        var m: array<f32, TILE_AREA>;
        for (var at = 0u; at < TILE_AREA; at++) { // unroll
            m[at] = (*sums)[t * TILE_AREA + at];
        }
        let own = transform_filter_adjoint(m);
        for (var tap = 0u; tap < KERNEL_AREA; tap++) { // unroll
            taps[(t * KERNEL_AREA + tap) / 4u][(t * KERNEL_AREA + tap) % 4u] = own[tap];
        }
    }
    return taps;
}

fn move_up(sums: ptr<function, array<f32, SUMS>>) {
    for (var s = 0u; s < LEFT; s++) { // unroll
        (*sums)[s] = (*sums)[s + TURN * TILE_AREA];
    }
}

// A vector of the weights' gradient that a lane stores, of tap `tap` of filters from `turn` on.
struct Place {
    inside: bool,
    index: u32,
    vec: u32, // of output channels
}

fn place_of(tap: u32, turn: u32, block: Block, lane: u32) -> Place {
    let number = turn + tap / KERNEL_AREA;
    let c = block.first_in + number % IN_TILE;
    let vec = (block.first_out + number / IN_TILE * SUBGROUP + lane) / 4u;
    let inside = tap < TURN * KERNEL_AREA && number < OUT_TILE * IN_TILE && c < IN_CHANNELS && vec < OUT_VECS;
    let row = ((block.split * TILES + block.tile) * IN_CHANNELS + c) * KERNEL_AREA + tap % KERNEL_AREA;
    return Place(inside, select(0u, row * OUT_VECS + vec, inside), vec);
}

// Of four taps of a lane's own output channel: the one of them whose number is the lane's, of four output channels.
fn gradient_at(place: Place, own: vec4f, lane: u32) -> vec4f {
    let real = vec4u(place.vec * 4u) + vec4u(0u, 1u, 2u, 3u) < vec4u(OUT_CHANNELS);
    return select(vec4f(0.0), plain_zeros(transpose_lanes(own, lane)), real);
}

@compute @workgroup_size(LANES)
fn gradients(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let block = block_of(group);
    var sums: array<f32, SUMS>;
    sum_products(&sums, block, lane);
    for (var turn = 0u; turn < OUT_TILE * IN_TILE; turn += TURN) {
        let taps = taps_of(&sums);
        for (var four = 0u; four < FOURS; four++) { // unroll
            let place = place_of(four * 4u + lane % 4u, turn, block, lane);
            let gradient = gradient_at(place, taps[four], lane);
            if (place.inside) { grad_weights[place.index] = gradient; } // all lanes
        }
        move_up(&sums);
    }
}

@compute @workgroup_size(LANES)
fn update(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let block = block_of(group);
    var sums: array<f32, SUMS>;
    sum_products(&sums, block, lane);
    let rate = rates[0].x * scale[0];
    let momentum = rates[0].y;
    let decay = rates[0].z;
    for (var turn = 0u; turn < OUT_TILE * IN_TILE; turn += TURN) {
        let taps = taps_of(&sums);
        for (var four = 0u; four < FOURS; four++) { // unroll
            let place = place_of(four * 4u + lane % 4u, turn, block, lane);
            let gradient = gradient_at(place, taps[four], lane);
            let w = weights[place.index];
            let v = next_velocity(velocity[place.index], gradient, w, momentum, decay);
            if (place.inside) { velocity[place.index] = v; } // all lanes
            if (place.inside) { weights[place.index] = w - rate * v; } // all lanes
        }
        move_up(&sums);
    }
}
