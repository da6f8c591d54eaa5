// Filters in Winograd's domain (shared/winograd.wgsl) for winograd_grad_data.wgsl:
//
//   transformed_filters[t, o, ·, c] = G weights[t, (c, ·, ·), o] Gᵀ
//
// Layout: weights as in conv_pool_forward.wgsl; transformed_filters [tiles, 4·OUT_VECS, TILE_AREA, IN_VECS] as vec4f over
// input channels. Padding channels of either kind become zero, as they are in weights.
//
// Work split: one invocation = one output channel and four input channels of one weight tile.

const IN_CHANNELS: u32 = 3u;
const IN_VECS: u32 = 1u;
const OUT_VECS: u32 = 1u;
const ELEMENTS: u32 = 1u;
const LANES: u32 = 32u;

@group(0) @binding(0) var<storage, read> weights: array<f32>;
@group(0) @binding(1) var<storage, read_write> transformed_filters: array<vec4f>;

@compute @workgroup_size(LANES)
fn by_output(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let index = linear_index(group, groups, lane, LANES);
    if (index >= ELEMENTS) { return; }
    let o = index / IN_VECS % (OUT_VECS * 4u);
    let tile = index / IN_VECS / (OUT_VECS * 4u);
    var filters: array<vec4f, KERNEL_AREA>;
    for (var k = 0u; k < 4u; k++) { // unroll
        let c = index % IN_VECS * 4u + k;
        if (c < IN_CHANNELS) {
            for (var tap = 0u; tap < KERNEL_AREA; tap++) { // unroll
                filters[tap][k] = weights[((tile * IN_CHANNELS + c) * KERNEL_AREA + tap) * OUT_VECS * 4u + o];
            }
        }
    }
    let result = transform_filter(filters);
    for (var at = 0u; at < TILE_AREA; at++) { // unroll
        transformed_filters[((tile * OUT_VECS * 4u + o) * TILE_AREA + at) * IN_VECS + index % IN_VECS] = result[at];
    }
}
