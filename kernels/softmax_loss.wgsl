// Softmax cross-entropy over many classes: the identification signal of DeepID2 (section 2, equation 1).
//
//   log_sum_exp[n] = log Σ_i exp(logits[i, n]), shifted by the maximum
//   losses[n]      = log_sum_exp[n] − logits[label[n], n]
//   correct[n]     = 1 where no logit is larger than the label's, else 0
//   grad[i, n]     = identification_weight · upstream / IMAGES · (exp(logits[i, n] − log_sum_exp[n]) − [i = label[n]])
//
// The gradient overwrites the logits; probabilities are never stored. Images from IMAGES on are padding: losses,
// correct and gradients are 0.
//
// Layout: batch-last; four images a vec4f. weights = (identification, verification, margin, unused).
//
// Work split, forward: one workgroup = IMAGE_LANES vectors of images × CLASS_LANES · CLASS_TILE classes at a time, then a
// tree over the class lanes in a fixed order. backward: one invocation = four images × GRADIENT_CLASSES classes, whose
// labels and log Σ exp are read once.

const IMAGES: u32 = 1u;
const BATCH_VECS: u32 = 1u;
const CLASSES: u32 = 2u;
const IMAGE_LANES: u32 = 2u;
const CLASS_LANES: u32 = 32u;
const CLASS_TILE: u32 = 1u;
const GRADIENT_CLASSES: u32 = 1u;
const LANES: u32 = 64u;

@group(0) @binding(0) var<storage, read> logits: array<vec4f>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> log_sum_exp: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> losses: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> correct: array<vec4f>;

var<workgroup> lane_maxima: array<vec4f, LANES>;
var<workgroup> lane_sums: array<vec4f, LANES>;

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let vector = group.x * IMAGE_LANES + lane % IMAGE_LANES;
    let n = min(vector, BATCH_VECS - 1u);
    let first = lane / IMAGE_LANES;
    // One pass, CLASS_TILE classes at a time: what was added up is scaled to their maximum where that is larger.
    var own_largest = vec4f(-1e38); // its difference to a logit is finite, in powers of two as well
    var sum = vec4f(0.0);
    for (var i = first; i < CLASSES; i += CLASS_LANES * CLASS_TILE) {
        var tile: array<vec4f, CLASS_TILE>;
        var next_largest = own_largest;
        for (var k = 0u; k < CLASS_TILE; k++) { // unroll
            tile[k] = logits[min(i + k * CLASS_LANES, CLASSES - 1u) * BATCH_VECS + n];
            next_largest = max(next_largest, tile[k]);
        }
        sum *= exp(own_largest - next_largest);
        for (var k = 0u; k < CLASS_TILE; k++) { // unroll
            sum += select(vec4f(0.0), exp(tile[k] - next_largest), i + k * CLASS_LANES < CLASSES);
        }
        own_largest = next_largest;
    }
    lane_maxima[lane] = own_largest;
    workgroupBarrier();
    for (var half = CLASS_LANES / 2u; half > 0u; half /= 2u) {
        if (first < half) { lane_maxima[lane] = max(lane_maxima[lane], lane_maxima[lane + half * IMAGE_LANES]); }
        workgroupBarrier();
    }
    let largest = lane_maxima[lane % IMAGE_LANES];
    lane_sums[lane] = sum * exp(own_largest - largest);
    workgroupBarrier();
    for (var half = CLASS_LANES / 2u; half > 0u; half /= 2u) {
        if (first < half) { lane_sums[lane] += lane_sums[lane + half * IMAGE_LANES]; }
        workgroupBarrier();
    }
    if (first == 0u && vector < BATCH_VECS) {
        let total = largest + log(lane_sums[lane]);
        var image_losses = vec4f(0.0);
        var image_correct = vec4f(0.0);
        for (var k = 0u; k < 4u; k++) { // unroll
            let image = vector * 4u + k;
            if (image < IMAGES) {
                let own = logits[min(labels[image], CLASSES - 1u) * BATCH_VECS + vector][k];
                image_losses[k] = total[k] - own;
                image_correct[k] = select(0.0, 1.0, own >= largest[k]);
            }
        }
        log_sum_exp[vector] = total;
        losses[vector] = image_losses;
        correct[vector] = image_correct;
    }
}

@group(0) @binding(0) var<storage, read_write> gradient: array<vec4f>; // in place
@group(0) @binding(2) var<storage, read> normaliser: array<vec4f>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read> upstream: array<f32>;

@compute @workgroup_size(LANES)
fn backward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let index = linear_index(group, groups, lane, LANES);
    let n = index % BATCH_VECS;
    let first = index / BATCH_VECS * GRADIENT_CLASSES;
    let scale = weights[0] * upstream[0] / f32(IMAGES);
    let images = vec4u(n * 4u) + vec4u(0u, 1u, 2u, 3u);
    // A signal that is switched off must not pass its NaN on: 0 · NaN is NaN.
    let counts = (images < vec4u(IMAGES)) & vec4<bool>(scale != 0.0);
    var classes = vec4u(0u);
    for (var k = 0u; k < 4u; k++) { // unroll
        classes[k] = labels[min(images[k], IMAGES - 1u)];
    }
    let log_sum = normaliser[n];
    for (var turn = 0u; turn < GRADIENT_CLASSES; turn++) {
        let inside = first + turn < CLASSES;
        let i = min(first + turn, CLASSES - 1u); // past the end: all lanes reach the stores together
        let probability = exp(gradient[i * BATCH_VECS + n] - log_sum);
        let wanted = select(vec4f(0.0), vec4f(1.0), classes == vec4u(i));
        let change = select(vec4f(0.0), scale * (probability - wanted), counts);
        if (inside) { gradient[i * BATCH_VECS + n] = change; } // all lanes
    }
}
