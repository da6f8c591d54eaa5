// Filters in Winograd's domain (shared/winograd.wgsl) for winograd_grad_data.wgsl:
//
//   filters_out[t, o, ·, c] = G weights[t, (c, ·, ·), o] Gᵀ
//
// Layout: weights as in conv_pool_forward.wgsl; filters_out [tiles, 4·OUT_VECS, TILE_AREA, IN_VECS] as vec4f over input
// channels. Padding channels of either kind become zero, as they are in weights.
//
// Work split: one invocation = four output channels and four input channels of one weight tile, so that both sides are
// whole vectors.

const IN_CHANNELS: u32 = 3u;
const IN_VECS: u32 = 1u;
const OUT_VECS: u32 = 1u;
const BY_OUTPUT: u32 = 4u * KERNEL_AREA; // four input channels
const ELEMENTS: u32 = 1u;
const LANES: u32 = 32u;

@group(0) @binding(0) var<storage, read> weights: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> filters_out: array<vec4f>;

@compute @workgroup_size(LANES)
fn transform(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let index = linear_index(group, groups, lane, LANES);
    if (index >= ELEMENTS) { return; }
    let out_vec = index % OUT_VECS;
    let in_vec = index / OUT_VECS % IN_VECS;
    let tile = index / OUT_VECS / IN_VECS;
    var by_output: array<vec4f, BY_OUTPUT>;
    for (var c = 0u; c < 4u; c++) { // unroll
        if (in_vec * 4u + c < IN_CHANNELS) {
            for (var tap = 0u; tap < KERNEL_AREA; tap++) { // unroll
                by_output[c * KERNEL_AREA + tap] = weights[((tile * IN_CHANNELS + in_vec * 4u + c) * KERNEL_AREA + tap) * OUT_VECS + out_vec];
            }
        }
    }
    for (var k = 0u; k < 4u; k++) { // unroll
        var filters: array<vec4f, KERNEL_AREA>;
        for (var tap = 0u; tap < KERNEL_AREA; tap++) { // unroll
            for (var c = 0u; c < 4u; c++) { // unroll
                filters[tap][c] = by_output[c * KERNEL_AREA + tap][k];
            }
        }
        let result = transform_filter(filters);
        for (var at = 0u; at < TILE_AREA; at++) { // unroll
            filters_out[((tile * OUT_VECS * 4u + out_vec * 4u + k) * TILE_AREA + at) * IN_VECS + in_vec] = result[at];
        }
    }
}
