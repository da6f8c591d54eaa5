// Verification signals of DeepID2 (section 2, equations 3 to 5) over the pairs (i, i + PAIRS) of a batch, and the sum of
// both losses.
//
//   SIGNAL 1 L2, 2 L2+, 3 L2−:  d = ‖fi − fj‖₂;  same: ½d² (not L2−);  different: ½max(0, m − d)² (not L2+)
//   SIGNAL 4 L1:                the same with d = ‖fi − fj‖₁
//   SIGNAL 5 cosine:            d = fi·fj / (‖fi‖‖fj‖);  ½(y − σ(w·d + b))², y = 1 for same, 0 for different
//   SIGNAL 0 none:              d as L2, no loss
//
// The distance in the hinge is not squared. With s = verification_weight · upstream / PAIRS, the gradient at fi (and its
// negative at fj) is, with fi − fj =: δ,
//   L2 same: s·δ    L2 different, d < m: −s·(m − d)/d·δ    L1 same: s·d·sign δ    L1 different, d < m: −s·(m − d)·sign δ
//   cosine, at fi: s·(σ − y)·σ(1 − σ)·w·(fj/(‖fi‖‖fj‖) − d·fi/‖fi‖²), at fj with i and j exchanged
//
// Layout: features [FEATURES, 4·BATCH_VECS] batch-last as scalars, since a pair's partner need not fall into the same
// place of a vec4f. pairs [PAIRS, 8]: (d, loss, slope, same, 1/(‖fi‖‖fj‖), 1/‖fi‖², 1/‖fj‖², ∂loss/∂(w·d + b)); slope is
// the factor of δ or sign δ, or ∂loss/∂d for cosine. weights = (identification, verification, margin, unused).
//
// Work split: compare one workgroup a pair, a tree over features; total one workgroup; feature_gradient one invocation
// a feature of an image; cosine_gradient one workgroup.

const IMAGES: u32 = 2u;
const BATCH: u32 = 4u;
const FEATURES: u32 = 1u;
const PAIRS: u32 = 1u;
const SIGNAL: u32 = 1u;
const ELEMENTS: u32 = 1u;
const LANES: u32 = 32u;

@group(0) @binding(0) var<storage, read> features: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> pairs: array<f32>;
@group(0) @binding(4) var<storage, read> cosine: array<f32>;

const SMALLEST_NORM = 1e-30;

var<workgroup> lane_sums: array<vec4f, LANES>;

fn sum_over_lanes(lane: u32, value: vec4f) -> vec4f {
    lane_sums[lane] = value;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if (lane < half) { lane_sums[lane] += lane_sums[lane + half]; }
        workgroupBarrier();
    }
    return plain_zeros(lane_sums[0]);
}

@compute @workgroup_size(LANES)
fn compare(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = min(group.y * groups.x + group.x, PAIRS - 1u);
    let j = i + PAIRS;
    // (‖δ‖₂², ‖δ‖₁) or (fi·fj, ‖fi‖², ‖fj‖²)
    var sums = vec4f(0.0);
    for (var k = lane; k < FEATURES; k += LANES) {
        let a = features[k * BATCH + i];
        let b = features[k * BATCH + j];
        if (SIGNAL == 5u) {
            sums += vec4f(a * b, a * a, b * b, 0.0);
        } else {
            sums += vec4f((a - b) * (a - b), abs(a - b), 0.0, 0.0);
        }
    }
    sums = sum_over_lanes(lane, sums);
    if (lane != 0u) { return; }
    let same = labels[i] == labels[j];
    let m = weights[2];
    var loss = 0.0;
    var slope = 0.0;
    var d = 0.0;
    var inverses = vec3f(0.0);
    var z_slope = 0.0;
    if (SIGNAL == 5u) {
        // Dead features have no direction: the cosine of a zero vector is taken as 0, without a gradient. Below
        // SMALLEST_NORM the quotients would overflow.
        inverses = select(vec3f(0.0), 1.0 / vec3f(sqrt(sums.y) * sqrt(sums.z), sums.y, sums.z), vec3<bool>(min(sums.y, sums.z) > SMALLEST_NORM));
        d = sums.x * inverses.x;
        let sigma = 1.0 / (1.0 + exp(-(cosine[0] * d + cosine[1])));
        let missing = select(0.0, 1.0, same) - sigma;
        loss = 0.5 * missing * missing;
        z_slope = -missing * sigma * (1.0 - sigma);
        slope = z_slope * cosine[0];
    } else {
        let manhattan = SIGNAL == 4u;
        d = select(sqrt(sums.x), sums.y, manhattan);
        let attracts = same && SIGNAL != 3u && SIGNAL != 0u;
        let repels = !same && SIGNAL != 2u && SIGNAL != 0u && d < m && d > 0.0;
        if (attracts) {
            loss = 0.5 * d * d;
            slope = select(1.0, d, manhattan);
        }
        if (repels) {
            loss = 0.5 * (m - d) * (m - d);
            slope = -(m - d) / select(d, 1.0, manhattan);
        }
        // Two equal vectors of different people: the full hinge, and no direction to push them in.
        if (!same && SIGNAL != 2u && SIGNAL != 0u && d == 0.0 && m > 0.0) { loss = 0.5 * m * m; }
    }
    pairs[i * 8u] = d;
    pairs[i * 8u + 1u] = loss;
    pairs[i * 8u + 2u] = slope;
    pairs[i * 8u + 3u] = select(0.0, 1.0, same);
    pairs[i * 8u + 4u] = inverses.x;
    pairs[i * 8u + 5u] = inverses.y;
    pairs[i * 8u + 6u] = inverses.z;
    pairs[i * 8u + 7u] = z_slope;
}

@group(0) @binding(0) var<storage, read> losses: array<f32>;
@group(0) @binding(1) var<storage, read> correct: array<f32>;
@group(0) @binding(3) var<storage, read> compared: array<f32>;
@group(0) @binding(4) var<storage, read_write> loss_total: array<f32>;
@group(0) @binding(5) var<storage, read_write> parts: array<f32>;

// loss = identification_weight · identification + verification_weight · verification;
// parts = (identification, verification, share of images identified, 0).
@compute @workgroup_size(LANES)
fn total(@builtin(local_invocation_index) lane: u32) {
    var sums = vec4f(0.0);
    for (var n = lane; n < IMAGES; n += LANES) {
        sums += vec4f(losses[n], 0.0, correct[n], 0.0);
    }
    for (var p = lane; p < PAIRS; p += LANES) {
        sums.y += compared[p * 8u + 1u];
    }
    sums = sum_over_lanes(lane, sums);
    if (lane != 0u) { return; }
    let identification = sums.x / f32(IMAGES);
    let verification = sums.y / f32(PAIRS);
    // A signal that is switched off must not pass its NaN on: 0 · NaN is NaN.
    loss_total[0] = select(weights[0] * identification, 0.0, weights[0] == 0.0) + select(weights[1] * verification, 0.0, weights[1] == 0.0);
    parts[0] = identification;
    parts[1] = verification;
    parts[2] = sums.z / f32(IMAGES);
    parts[3] = 0.0;
}

@group(0) @binding(1) var<storage, read> upstream: array<f32>;
@group(0) @binding(4) var<storage, read_write> gradient: array<f32>;

@compute @workgroup_size(LANES)
fn feature_gradient(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let index = linear_index(group, groups, lane, LANES);
    if (index >= ELEMENTS) { return; }
    let n = index % BATCH;
    if (n >= 2u * PAIRS) { // padding, or the last image of an odd batch
        gradient[index] = 0.0;
        return;
    }
    let first = n < PAIRS;
    let p = select(n - PAIRS, n, first);
    let own = features[index];
    let other = features[index + select(0u, PAIRS, first) - select(PAIRS, 0u, first)];
    let slope = compared[p * 8u + 2u];
    let scale = weights[1] * upstream[0] / f32(PAIRS) * slope;
    var direction = own - other;
    if (SIGNAL == 4u) { direction = sign(direction); }
    if (SIGNAL == 5u) {
        let own_norm = select(compared[p * 8u + 6u], compared[p * 8u + 5u], first);
        direction = other * compared[p * 8u + 4u] - compared[p * 8u] * own * own_norm;
    }
    gradient[index] = scale * direction;
}

@group(0) @binding(0) var<storage, read> cosine_upstream: array<f32>;
@group(0) @binding(1) var<storage, read> cosine_weights: array<f32>;
@group(0) @binding(2) var<storage, read> cosine_pairs: array<f32>;
@group(0) @binding(3) var<storage, read_write> cosine_gradient_out: array<f32>;

@compute @workgroup_size(LANES)
fn cosine_gradient(@builtin(local_invocation_index) lane: u32) {
    var sums = vec4f(0.0);
    for (var p = lane; p < PAIRS; p += LANES) {
        let z_slope = cosine_pairs[p * 8u + 7u];
        sums += vec4f(z_slope * cosine_pairs[p * 8u], z_slope, 0.0, 0.0);
    }
    sums = sum_over_lanes(lane, sums) * cosine_weights[1] * cosine_upstream[0] / f32(PAIRS);
    if (lane == 0u) {
        cosine_gradient_out[0] = sums.x;
        cosine_gradient_out[1] = sums.y;
        cosine_gradient_out[2] = 0.0;
        cosine_gradient_out[3] = 0.0;
    }
}
