// Sums in a fixed order: the same bytes on every run of one device.
//
//   sum_partials:  total[i] = act(Σ_s partial[s, i])  s ascending; act: a ReLU where RELU = 1
//   sum_all:       total[0] = Σ_i partial[0, i]       lane l adds i = l, l + LANES, …; then a tree over lanes
//
// Work split: sum_partials one invocation an element; sum_all one workgroup.

const ELEMENTS: u32 = 1u;
const PARTIALS: u32 = 1u;
const RELU: u32 = 0u;
const LANES: u32 = 64u;

@group(0) @binding(0) var<storage, read> partial: array<f32>;
@group(0) @binding(1) var<storage, read_write> total: array<f32>;

@compute @workgroup_size(LANES)
fn sum_partials(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = linear_index(group, groups, lane, LANES);
    if (i >= ELEMENTS) { return; }
    var sum = 0.0;
    for (var s = 0u; s < PARTIALS; s++) {
        sum += partial[s * ELEMENTS + i];
    }
    total[i] = select(plain_zero(sum), 0.0, RELU == 1u && is_shut(vec4f(sum)).x);
}

var<workgroup> lane_sums: array<f32, LANES>;

@compute @workgroup_size(LANES)
fn sum_all(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var i = lane; i < ELEMENTS; i += LANES) {
        sum += partial[i];
    }
    lane_sums[lane] = sum;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if (lane < half) { lane_sums[lane] += lane_sums[lane + half]; }
        workgroupBarrier();
    }
    if (lane == 0u) { total[0] = plain_zero(lane_sums[0]); }
}
