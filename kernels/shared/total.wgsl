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
