//! Both training signals of DeepID2 with one fused gradient: softmax identification and contrastive verification
//! (`kernels/softmax_loss.wgsl`, `kernels/verification_loss.wgsl`).

use super::{flat_workgroups, tuning};
use crate::gpu::{Kernel, Specialization, Target};
use crate::kernel;
use crate::tape::{Dispatch, Error, Gradient, Io, Op, Operand, Tape, TensorType, Var};
use serde::{Deserialize, Serialize};

static SOFTMAX: Kernel = kernel!("softmax_loss.wgsl", "linear.wgsl");
static VERIFICATION: Kernel = kernel!("verification_loss.wgsl", "linear.wgsl", "zero.wgsl");
const LANES: usize = 64;
const PAIR_LANES: usize = 32;
/// Classes that an invocation of the softmax takes at once.
const CLASS_TILE: usize = 4;

/// Numbers that the device keeps for each pair, see `verification_loss.wgsl`.
pub const PAIR_RECORD: usize = 8;

/// Verification signal (DeepID2, section 2). PAPER's L2 is equation 3, cosine equation 5.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// No verification signal; distances are still measured.
    None,
    /// Same pairs attract by ½d², different ones repel by ½max(0, m − d)², d the Euclidean distance.
    #[default]
    L2,
    /// L2 on same pairs only.
    #[serde(rename = "l2+")]
    L2Plus,
    /// L2 on different pairs only.
    #[serde(rename = "l2-")]
    L2Minus,
    /// As L2 with the sum of absolute differences.
    L1,
    /// ½(y − σ(w·cos + b))² with learned w and b.
    Cosine,
}

impl Signal {
    /// Whether different pairs repel up to a margin. The cosine signal's "distance" is a likeness, which none fits.
    pub fn has_margin(self) -> bool {
        matches!(self, Self::L2 | Self::L2Minus | Self::L1)
    }

    fn code(self) -> usize {
        match self {
            Self::None => 0,
            Self::L2 => 1,
            Self::L2Plus => 2,
            Self::L2Minus => 3,
            Self::L1 => 4,
            Self::Cosine => 5,
        }
    }
}

/// Names of [`Signal`] on the command line and in files, in the order of the kernel's codes.
pub const SIGNAL_NAMES: [&str; 6] = ["none", "l2", "l2+", "l2-", "l1", "cosine"];

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(SIGNAL_NAMES[self.code()])
    }
}

impl std::str::FromStr for Signal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::None, Self::L2, Self::L2Plus, Self::L2Minus, Self::L1, Self::Cosine]
            .into_iter()
            .find(|signal| signal.to_string() == text)
            .ok_or_else(|| format!("expected one of {}", SIGNAL_NAMES.join(", ")))
    }
}

/// loss = identification_weight · mean over images of cross-entropy + verification_weight · mean over pairs (i, i + P) of
/// the verification loss, P = ⌊images / 2⌋.
///
/// Inputs: logits [classes, 1, 1, batch]; features [features, 1, 1, batch]; labels [images] words; weights [4] =
/// (identification weight, verification weight, margin, unused); for [`Signal::Cosine`] also the learned (w, b, 0, 0).
///
/// Outputs: the loss [1]; its parts [4] = (identification, verification, share of images whose own logit is a largest
/// one, 0); log Σ exp of each image [batch]; the pairs' records [P, 8], whose first number is the distance.
/// Gradients flow from the loss only. The gradient overwrites the logits.
#[derive(Debug, Clone, Copy)]
pub struct JointLoss {
    /// The verification signal.
    pub signal: Signal,
    /// Images that count; the batch is this rounded up to a multiple of 4.
    pub images: usize,
}

/// Sizes that the kernels need.
struct Sizes {
    images: usize,
    batch: usize,
    classes: usize,
    features: usize,
    pairs: usize,
}

impl JointLoss {
    fn sizes(&self, logits: &TensorType, features: &TensorType) -> Sizes {
        Sizes {
            images: self.images,
            batch: logits.dims[3],
            classes: logits.dims[0],
            features: features.dims[0],
            pairs: self.images / 2,
        }
    }

    /// Where the cosine parameters are bound; signals without them bind the weights, which are there anyway.
    fn cosine_input(&self) -> usize {
        if self.signal == Signal::Cosine { 4 } else { 3 }
    }
}

fn softmax_constants(sizes: &Sizes) -> Specialization {
    Specialization::constants(&[("IMAGES", sizes.images), ("BATCH_VECS", sizes.batch / 4), ("CLASSES", sizes.classes)])
}

fn verification_constants(sizes: &Sizes, signal: Signal) -> Specialization {
    Specialization::constants(&[
        ("IMAGES", sizes.images),
        ("BATCH", sizes.batch),
        ("FEATURES", sizes.features),
        ("PAIRS", sizes.pairs),
        ("SIGNAL", signal.code()),
        ("LANES", PAIR_LANES),
    ])
}

impl Op for JointLoss {
    fn name(&self) -> &'static str {
        "joint_loss"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        let wrong = |reason: String| Err(Error::shape(self.name(), reason));
        if self.images < 2 {
            return wrong(format!("a batch of {} image: expected at least 2, which form a pair", self.images));
        }
        let batch = self.images.next_multiple_of(4);
        for (what, ty, smallest) in [("logits", inputs[0], 2), ("features", inputs[1], 1)] {
            let fits = ty.activation().is_some_and(|[count, height, width, images]| {
                count >= smallest && height == 1 && width == 1 && images == batch
            });
            if !fits {
                return wrong(format!("expected {what} [at least {smallest}, 1, 1, {batch}], got {:?}", ty.dims));
            }
        }
        if *inputs[2] != TensorType::u32(&[self.images]) {
            return wrong(format!("expected {} labels, got {:?}", self.images, inputs[2].dims));
        }
        let needed = if self.signal == Signal::Cosine { 5 } else { 4 };
        if inputs.len() != needed || inputs[3..].iter().any(|ty| **ty != TensorType::f32(&[4])) {
            return wrong(format!("expected {needed} inputs, of which the last have shape [4]"));
        }
        Ok(vec![
            TensorType::f32(&[1]),
            TensorType::f32(&[4]),
            TensorType::f32(&[batch]),
            TensorType::f32(&[self.images / 2, PAIR_RECORD]),
        ])
    }

    fn scratch(&self, io: Io, _target: &Target) -> Vec<TensorType> {
        // Loss and correctness of each image.
        vec![io.outputs[2].clone(); 2]
    }

    fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch> {
        let sizes = self.sizes(io.inputs[0], io.inputs[1]);
        let (image_lanes, class_lanes) = tuning::softmax_lanes(target);
        let softmax = Dispatch {
            kernel: &SOFTMAX,
            entry: "forward",
            specialization: softmax_constants(&sizes).with(&[
                ("IMAGE_LANES", image_lanes),
                ("CLASS_LANES", class_lanes),
                ("CLASS_TILE", CLASS_TILE),
                ("LANES", image_lanes * class_lanes),
            ]),
            bindings: vec![Operand::In(0), Operand::In(2), Operand::Out(2), Operand::Scratch(0), Operand::Scratch(1)],
            workgroups: [(sizes.batch / 4).div_ceil(image_lanes) as u32, 1, 1],
        };
        let compare = Dispatch {
            kernel: &VERIFICATION,
            entry: "compare",
            specialization: verification_constants(&sizes, self.signal),
            bindings: vec![
                Operand::In(1),
                Operand::In(2),
                Operand::In(3),
                Operand::Out(3),
                Operand::In(self.cosine_input()),
            ],
            workgroups: flat_workgroups(sizes.pairs, 1, target),
        };
        let total = Dispatch {
            kernel: &VERIFICATION,
            entry: "total",
            specialization: verification_constants(&sizes, self.signal),
            bindings: vec![
                Operand::Scratch(0),
                Operand::Scratch(1),
                Operand::In(3),
                Operand::Out(3),
                Operand::Out(0),
                Operand::Out(1),
            ],
            workgroups: [1, 1, 1],
        };
        vec![softmax, compare, total]
    }

    fn backward(&self, tape: &mut Tape, grad: &Gradient) -> Result<Vec<Option<Var>>, Error> {
        if grad.upstream[1..].iter().any(Option::is_some) {
            return Err(Error::NotDifferentiable { op: "an output of joint_loss other than the loss" });
        }
        let upstream = grad.upstream_of(0, self.name())?;
        let [logits, features, labels, weights] = [0, 1, 2, 3].map(|index| grad.inputs[index]);
        let (log_sum_exp, pairs) = (grad.outputs[2], grad.outputs[3]);
        let mut gradients = vec![None; grad.inputs.len()];
        if self.signal != Signal::None && grad.wanted[1] {
            let inputs = [features, upstream, weights, pairs];
            gradients[1] = Some(tape.apply1(FeatureGrad { loss: *self }, &inputs)?);
        }
        if self.signal == Signal::Cosine && grad.wanted[4] {
            gradients[4] = Some(tape.apply1(CosineGrad { loss: *self }, &[upstream, weights, pairs])?);
        }
        if grad.wanted[0] {
            let inputs = [logits, labels, log_sum_exp, weights, upstream];
            gradients[0] = Some(tape.apply1(LogitsGrad { loss: *self }, &inputs)?);
        }
        Ok(gradients)
    }

    fn reference(&self, io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let sizes = self.sizes(io.inputs[0], io.inputs[1]);
        let (logits, features, labels, weights) = (inputs[0], inputs[1], inputs[2], inputs[3]);
        let mut log_sum_exp = vec![0.0; sizes.batch];
        for (n, out) in log_sum_exp.iter_mut().enumerate() {
            let column = || (0..sizes.classes).map(|i| logits[i * sizes.batch + n]);
            let largest = column().fold(f64::NEG_INFINITY, f64::max);
            *out = largest + column().map(|logit| (logit - largest).exp()).sum::<f64>().ln();
        }
        let own = |n: usize| logits[labels[n] as usize * sizes.batch + n];
        let identification = (0..sizes.images).map(|n| log_sum_exp[n] - own(n)).sum::<f64>() / sizes.images as f64;
        let is_correct = |n: usize| (0..sizes.classes).all(|i| logits[i * sizes.batch + n] <= own(n));
        let correct = (0..sizes.images).filter(|n| is_correct(*n)).count() as f64 / sizes.images as f64;

        let vector = |n: usize| -> Vec<f64> { (0..sizes.features).map(|k| features[k * sizes.batch + n]).collect() };
        let cosine = inputs.get(4).map_or([0.0; 2], |values| [values[0], values[1]]);
        let records: Vec<[f64; PAIR_RECORD]> = (0..sizes.pairs)
            .map(|p| {
                let same = labels[p] == labels[p + sizes.pairs];
                reference::pair(self.signal, &vector(p), &vector(p + sizes.pairs), same, weights[2], cosine)
            })
            .collect();
        let verification = records.iter().map(|record| record[1]).sum::<f64>() / sizes.pairs as f64;
        let loss = weights[0] * identification + weights[1] * verification;
        vec![vec![loss], vec![identification, verification, correct, 0.0], log_sum_exp, records.concat()]
    }
}

/// Gradient at the logits, which it overwrites. Inputs: logits, labels, log Σ exp, weights, upstream.
#[derive(Debug, Clone, Copy)]
struct LogitsGrad {
    loss: JointLoss,
}

impl Op for LogitsGrad {
    fn name(&self) -> &'static str {
        "logits_grad"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        Ok(vec![inputs[0].clone()])
    }

    fn in_place(&self) -> &[(usize, usize)] {
        &[(0, 0)]
    }

    fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch> {
        let sizes = self.loss.sizes(io.inputs[0], io.inputs[0]);
        let classes = tuning::softmax_gradient_classes(target);
        let elements = sizes.classes.div_ceil(classes) * sizes.batch / 4;
        vec![Dispatch {
            kernel: &SOFTMAX,
            entry: "backward",
            specialization: softmax_constants(&sizes).with(&[("GRADIENT_CLASSES", classes), ("LANES", LANES)]),
            bindings: vec![Operand::Out(0), Operand::In(1), Operand::In(2), Operand::In(3), Operand::In(4)],
            workgroups: flat_workgroups(elements, LANES, target),
        }]
    }

    fn reference(&self, io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let sizes = self.loss.sizes(io.inputs[0], io.inputs[0]);
        let scale = inputs[3][0] * inputs[4][0] / sizes.images as f64;
        let mut out = vec![0.0; inputs[0].len()];
        for i in 0..sizes.classes {
            for n in 0..sizes.images {
                let probability = (inputs[0][i * sizes.batch + n] - inputs[2][n]).exp();
                let target = if inputs[1][n] as usize == i { 1.0 } else { 0.0 };
                out[i * sizes.batch + n] = scale * (probability - target);
            }
        }
        vec![out]
    }
}

/// Verification gradient at the features. Inputs: features, upstream, weights, pairs.
#[derive(Debug, Clone, Copy)]
struct FeatureGrad {
    loss: JointLoss,
}

impl Op for FeatureGrad {
    fn name(&self) -> &'static str {
        "feature_grad"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        Ok(vec![inputs[0].clone()])
    }

    fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch> {
        let sizes = self.loss.sizes(io.inputs[0], io.inputs[0]);
        let elements = io.outputs[0].elements();
        vec![Dispatch {
            kernel: &VERIFICATION,
            entry: "feature_gradient",
            specialization: verification_constants(&sizes, self.loss.signal).with(&[("ELEMENTS", elements)]),
            bindings: vec![Operand::In(0), Operand::In(1), Operand::In(2), Operand::In(3), Operand::Out(0)],
            workgroups: flat_workgroups(elements, PAIR_LANES, target),
        }]
    }

    fn reference(&self, io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let sizes = self.loss.sizes(io.inputs[0], io.inputs[0]);
        let scale = inputs[2][1] * inputs[1][0] / sizes.pairs as f64;
        let mut out = vec![0.0; inputs[0].len()];
        for p in 0..sizes.pairs {
            let record = &inputs[3][p * PAIR_RECORD..(p + 1) * PAIR_RECORD];
            let sides = [(p, p + sizes.pairs, record[5]), (p + sizes.pairs, p, record[6])];
            for k in 0..sizes.features {
                for (own, other, own_norm) in sides {
                    let (f, g) = (inputs[0][k * sizes.batch + own], inputs[0][k * sizes.batch + other]);
                    let direction = match self.loss.signal {
                        Signal::L1 if f == g => 0.0,
                        Signal::L1 => (f - g).signum(),
                        Signal::Cosine => g * record[4] - record[0] * f * own_norm,
                        _ => f - g,
                    };
                    out[k * sizes.batch + own] = scale * record[2] * direction;
                }
            }
        }
        vec![out]
    }
}

/// Gradient at the learned cosine parameters. Inputs: upstream, weights, pairs.
#[derive(Debug, Clone, Copy)]
struct CosineGrad {
    loss: JointLoss,
}

impl Op for CosineGrad {
    fn name(&self) -> &'static str {
        "cosine_grad"
    }

    fn infer(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        Ok(vec![TensorType::f32(&[4])])
    }

    fn dispatches(&self, io: Io, _target: &Target) -> Vec<Dispatch> {
        vec![Dispatch {
            kernel: &VERIFICATION,
            entry: "cosine_gradient",
            specialization: Specialization::constants(&[("PAIRS", io.inputs[2].dims[0]), ("LANES", PAIR_LANES)]),
            bindings: vec![Operand::In(0), Operand::In(1), Operand::In(2), Operand::Out(0)],
            workgroups: [1, 1, 1],
        }]
    }

    fn reference(&self, io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let pairs = io.inputs[2].dims[0];
        debug_assert_eq!(pairs, self.loss.images / 2);
        let scale = inputs[1][1] * inputs[0][0] / pairs as f64;
        let records = inputs[2].chunks_exact(PAIR_RECORD);
        let w = records.clone().map(|record| record[7] * record[0]).sum::<f64>();
        let b = records.map(|record| record[7]).sum::<f64>();
        vec![vec![scale * w, scale * b, 0.0, 0.0]]
    }
}

/// The formulas of `verification_loss.wgsl` for one pair, in f64.
mod reference {
    use super::{PAIR_RECORD, Signal};

    /// Squared norm at and below which a vector has no direction.
    const SMALLEST_NORM: f64 = 1e-30;

    pub fn pair(
        signal: Signal,
        a: &[f64],
        b: &[f64],
        same: bool,
        margin: f64,
        [w, bias]: [f64; 2],
    ) -> [f64; PAIR_RECORD] {
        let label = f64::from(u8::from(same));
        if signal == Signal::Cosine {
            let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
            let (aa, bb) = (dot(a, a), dot(b, b));
            let alive = aa.min(bb) > SMALLEST_NORM;
            let inverses = if alive { [1.0 / (aa * bb).sqrt(), 1.0 / aa, 1.0 / bb] } else { [0.0; 3] };
            let d = dot(a, b) * inverses[0];
            let sigma = 1.0 / (1.0 + (-(w * d + bias)).exp());
            let z_slope = (sigma - label) * sigma * (1.0 - sigma);
            let loss = 0.5 * (label - sigma).powi(2);
            return [d, loss, z_slope * w, label, inverses[0], inverses[1], inverses[2], z_slope];
        }
        let differences = a.iter().zip(b).map(|(x, y)| x - y);
        let d = match signal {
            Signal::L1 => differences.map(f64::abs).sum(),
            _ => differences.map(|x| x * x).sum::<f64>().sqrt(),
        };
        let attracts = same && !matches!(signal, Signal::L2Minus | Signal::None);
        let repels = !same && !matches!(signal, Signal::L2Plus | Signal::None) && d < margin;
        let (loss, slope) = match (attracts, repels, signal) {
            (true, _, Signal::L1) => (0.5 * d * d, d),
            (true, ..) => (0.5 * d * d, 1.0),
            (_, true, Signal::L1) => (0.5 * (margin - d).powi(2), -(margin - d)),
            (_, true, _) if d == 0.0 => (0.5 * margin * margin, 0.0),
            (_, true, _) => (0.5 * (margin - d).powi(2), -(margin - d) / d),
            _ => (0.0, 0.0),
        };
        [d, loss, slope, label, 0.0, 0.0, 0.0, 0.0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Case, Tensor, check, gpu_outputs, integers, tensor};
    use proptest::prelude::*;

    /// Order of the logits. Of an image that is sure of its class, log Σ exp cancels against the label's logit.
    const LOGITS: f64 = 8.0;

    fn inputs(signal: Signal, classes: usize, features: usize, images: usize, margin: f64, seed: u64) -> Vec<Tensor> {
        let batch = images.next_multiple_of(4);
        let mut labels = integers(TensorType::u32(&[images]), classes as u32, seed);
        let pairs = images / 2;
        for p in (0..pairs).step_by(2) {
            labels.values[p + pairs] = labels.values[p];
        }
        let mut logits = tensor(&[classes, 1, 1, batch], seed ^ 1);
        logits.values.iter_mut().for_each(|value| *value *= LOGITS);
        let weights = vec![f64::from(0.7f32), f64::from(1.3f32), f64::from(margin as f32), 0.0];
        let mut all = vec![logits, tensor(&[features, 1, 1, batch], seed ^ 2), labels, tensor(&[4], 0).with(weights)];
        if signal == Signal::Cosine {
            all.push(tensor(&[4], 0).with(vec![1.5, -0.25, 0.0, 0.0]));
        }
        all
    }

    fn case(signal: Signal, images: usize, inputs: Vec<Tensor>) -> Case {
        let differentiable: &[usize] = if signal == Signal::Cosine { &[0, 1, 4] } else { &[0, 1] };
        // The hinge and the absolute values have kinks; the records beside the loss have no gradient.
        let case = Case::new(JointLoss { signal, images }, inputs).kinked().loss_output(0).magnitude(LOGITS);
        match signal {
            Signal::None => case.differentiate(&[0]),
            _ => case.differentiate(differentiable),
        }
    }

    proptest! {
        #![proptest_config(crate::ops::testing::config(24))]

        #[test]
        fn both_signals_and_their_gradients_match_the_reference(
            signal in prop::sample::select(vec![
                Signal::None, Signal::L2, Signal::L2Plus, Signal::L2Minus, Signal::L1, Signal::Cosine,
            ]),
            classes in prop::sample::select(vec![2usize, 3, 33, 70]),
            features in prop::sample::select(vec![1usize, 5, 40]),
            images in prop::sample::select(vec![2usize, 3, 8, 65]),
            margin in 0.5f64..6.0,
            seed: u64,
        ) {
            // With one feature the cosine is ±1 whatever its size: its gradient is the rounding of a difference of equals.
            let features = if signal == Signal::Cosine { features.max(5) } else { features };
            check(case(signal, images, inputs(signal, classes, features, images, margin, seed)));
        }
    }

    #[test]
    fn classes_beyond_what_a_workgroup_takes_at_once_match_the_reference() {
        check(case(Signal::L2, 3, inputs(Signal::L2, 1101, 4, 3, 2.0, 1)));
    }

    #[test]
    fn a_loss_near_zero_is_as_exact_as_its_logits() {
        check(case(Signal::L2Minus, 2, inputs(Signal::L2Minus, 3, 1, 2, 0.5, 3_053_067_660_541_897_732)));
    }

    #[test]
    fn hinge_takes_the_plain_distance() {
        // One feature, two images 0.5 apart, different people, margin 2: loss ½(2 − 0.5)² = 1.125, not ½(2 − 0.25).
        let mut all = inputs(Signal::L2, 2, 1, 2, 2.0, 0);
        all[0] = all[0].clone().with(vec![0.0; 8]);
        all[1] = all[1].clone().with(vec![1.0, 0.5, 0.0, 0.0]);
        all[2] = all[2].clone().with(vec![0.0, 1.0]);
        all[3] = all[3].clone().with(vec![1.0, 1.0, 2.0, 0.0]);
        let out = gpu_outputs(&case(Signal::L2, 2, all));
        let parts = &out[1];
        assert!((parts[0] - 2f64.ln()).abs() < 1e-6, "{parts:?}");
        assert_eq!(parts[1..3], [1.125, 1.0]);
        assert_eq!(out[3][..4], [0.5, 1.125, -3.0, 0.0]);
    }

    #[test]
    fn huge_logits_and_equal_features_stay_finite() {
        for signal in [Signal::L2, Signal::L1, Signal::Cosine] {
            let mut all = inputs(signal, 3, 4, 4, 1.0, 1);
            all[0] = all[0].clone().with([1e30, -1e30, 3e4].iter().flat_map(|logit| [*logit; 4]).collect());
            all[1] = all[1].clone().with(vec![0.0; 16]);
            all[2] = all[2].clone().with(vec![0.0, 1.0, 0.0, 2.0]);
            let out = gpu_outputs(&case(signal, 4, all));
            assert!(out.iter().flatten().all(|value| value.is_finite()), "{signal}: {out:?}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for name in SIGNAL_NAMES {
            assert_eq!(name.parse::<Signal>().unwrap().to_string(), name);
        }
        assert!("l3".parse::<Signal>().unwrap_err().contains("l2+"));
    }
}
