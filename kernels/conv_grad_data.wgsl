// Gradient of a convolution (conv_forward.wgsl) with respect to its input.
//
//   grad[c, y, x, n] = Σ_{i,j} Σ_o weights[t(y − i, x − j), (c, i, j), o] · upstream[o, y − i, x − j, n]
//
// Layout as in conv_forward.wgsl.
//
// Work split: one invocation = 4·IMAGE_VECS images × one input position × CHANNEL_TILE input channels; output channels
// come four at a time, one weight vec4f for each input channel. These are the same for all lanes: each of SUBGROUP lanes
// loads a share of them and broadcasts it. PARTS workgroups share a sum over output channels and write partial sums, as
// in conv_forward.wgsl. x: images, y: (part, channel block, position).

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
const LOADED: u32 = 4u;
const CHANNEL_TILE: u32 = 1u;
const SUMS: u32 = 1u;
const TURN: u32 = 1u; // sums that are stored at once
const LEFT: u32 = 0u; // SUMS − TURN, which move up after each turn
const LANES: u32 = 32u;
const SUBGROUP: u32 = 1u;
const HELD: u32 = 1u; // CHANNEL_TILE / SUBGROUP, rounded up
const PARTS: u32 = 1u;

@group(0) @binding(0) var<storage, read> weights: array<vec4f>;
@group(0) @binding(1) var<storage, read> upstream: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> grad: array<vec4f>;

@compute @workgroup_size(LANES)
fn grad_data(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let positions = IN_HEIGHT * IN_WIDTH;
    let y = group.y % positions / IN_WIDTH;
    let x = group.y % positions % IN_WIDTH;
    let blocks = (IN_CHANNELS + CHANNEL_TILE - 1u) / CHANNEL_TILE;
    let first = group.y / positions % blocks * CHANNEL_TILE;
    let part = select(0u, group.y / (positions * blocks), PARTS > 1u); // a constant where there is one

    var sums: array<vec4f, SUMS>;
    for (var s = 0u; s < SUMS; s++) { // unroll
        sums[s] = vec4f(0.0);
    }
    let share = (OUT_VECS + PARTS - 1u) / PARTS;
    for (var i = 0u; i < KERNEL; i++) {
        for (var j = 0u; j < KERNEL; j++) {
            // Unsigned: y < i wraps to a large row, outside as well.
            let row = y - i;
            let column = x - j;
            if (row < OUT_HEIGHT && column < OUT_WIDTH) {
                let tile = row / TILE_HEIGHT * TILES_X + column / TILE_WIDTH;
                for (var turn = 0u; turn < share; turn++) {
                    let v = part * share + turn;
                    if (share * PARTS != OUT_VECS && v >= OUT_VECS) { break; }
                    var gradients: array<vec4f, LOADED>;
                    for (var k = 0u; k < 4u; k++) { // unroll
                        // Weights beyond OUT_CHANNELS are zero: any finite gradient will do there.
                        let o = min(v * 4u + k, OUT_CHANNELS - 1u);
                        let pixel = ((o * OUT_HEIGHT + row) * OUT_WIDTH + column) * BATCH_VECS;
                        for (var m = 0u; m < IMAGE_VECS; m++) { // unroll
                            gradients[k * IMAGE_VECS + m] = upstream[pixel + min((group.x * IMAGE_VECS + m) * LANES + lane, BATCH_VECS - 1u)];
                        }
                    }
                    var held: array<vec4f, HELD>;
                    for (var h = 0u; h < HELD; h++) { // unroll
                        let c = min(first + h * SUBGROUP + lane % SUBGROUP, IN_CHANNELS - 1u);
                        held[h] = weights[(((tile * IN_CHANNELS + c) * KERNEL + i) * KERNEL + j) * OUT_VECS + v];
                    }
                    for (var t = 0u; t < CHANNEL_TILE; t++) { // unroll
                        for (var k = 0u; k < 4u; k++) { // unroll
                            let w = subgroupBroadcast(held[t / SUBGROUP][k], t % SUBGROUP);
                            for (var m = 0u; m < IMAGE_VECS; m++) { // unroll
                                sums[t * IMAGE_VECS + m] += w * gradients[k * IMAGE_VECS + m];
                            }
                        }
                    }
                }
            }
        }
    }
    for (var turn = 0u; turn < SUMS; turn += TURN) {
        for (var t = 0u; t < TURN; t++) { // unroll
            let c = first + (turn + t) / IMAGE_VECS;
            let n = (group.x * IMAGE_VECS + (turn + t) % IMAGE_VECS) * LANES + lane;
            let inside = turn + t < SUMS && n < BATCH_VECS && c < IN_CHANNELS;
            let row = (part * IN_CHANNELS + c) * positions + y * IN_WIDTH + x;
            if (inside) { grad[row * BATCH_VECS + n] = plain_zeros(sums[t]); } // all lanes
        }
        for (var s = 0u; s < LEFT; s++) { // unroll
            sums[s] = sums[s + TURN];
        }
    }
}
