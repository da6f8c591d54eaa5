//! Forward pass, training step and extractor as tapes.

use super::{Error, LocalSharing, NetSpec};
use crate::ops::{Conv, ConvPoolOfPixels, Ingest, JointLoss, MaxPool, MultiScale, Sgd, Signal};
use crate::tape::{Tape, TensorType, Var};

/// Declares a parameter of the network: learned or not.
type Declare = fn(&mut Tape, &str, TensorType) -> Var;

/// DeepID2 vectors [embedding, 1, 1, images] of pictures.
///
/// f = max(0, W₁·pool3 + W₂·conv4 + b) (DeepID2, section 2: a multi-scale layer).
fn extractor(tape: &mut Tape, spec: &NetSpec, ingested: &Ingested, declare: Declare) -> Result<Var, Error> {
    let parameters: Vec<Var> = spec
        .extractor_parameters()
        .iter()
        .map(|parameter| declare(tape, parameter.name, parameter.device_type()))
        .collect();
    let [w1, b1, w2, b2, w3, b3, w4, b4, from_pool3, from_conv4, bias] = parameters[..] else {
        unreachable!("the extractor has eleven parameters")
    };
    let conv1 = ConvPoolOfPixels { conv: spec.conv1(), height: spec.height, width: spec.width };
    let pool1 = tape.apply(conv1, &[ingested.pixels, ingested.gains, ingested.mean, w1, b1])?[0];
    let pool2 = tape.apply(spec.conv2(), &[pool1, w2, b2])?[0];
    let conv3 = spec.conv3();
    let pool3 = match spec.conv3 {
        LocalSharing::Tiles => tape.apply(conv3, &[pool2, w3, b3])?[0],
        // A pooling window may straddle two regions: convolution and pool apart.
        LocalSharing::Grid => {
            let conv3 = Conv {
                out_channels: conv3.out_channels,
                kernel: conv3.kernel,
                sharing: conv3.sharing,
                relu: true,
                flatten: false,
            };
            let full = tape.apply1(conv3, &[pool2, w3, b3])?;
            tape.apply(MaxPool, &[full])?[0]
        }
    };
    let conv4 = tape.apply1(spec.conv4(), &[pool3, w4, b4])?;
    let layer = MultiScale { out_channels: spec.embedding };
    Ok(tape.apply1(layer, &[conv4, from_conv4, pool3, from_pool3, bias])?)
}

/// The inputs of an [`Ingest`], its results and the mean.
struct Ingested {
    pictures: Var,
    augment: Var,
    pixels: Var,
    gains: Var,
    mean: Var,
}

fn ingest(tape: &mut Tape, spec: &NetSpec, images: usize, margin: usize) -> Result<Ingested, Error> {
    let stored = [images, spec.height + 2 * margin, spec.width + 2 * margin, spec.channels];
    let pictures = tape.input("pictures", TensorType::u8(&stored));
    let augment = tape.input("augment", TensorType::u32(&[images, 4]));
    let mean = tape.frozen_parameter("mean", spec.mean().device_type());
    let outputs = tape.apply(Ingest { margin }, &[pictures, augment])?;
    Ok(Ingested { pictures, augment, pixels: outputs[0], gains: outputs[1], mean })
}

/// How a training step is built.
#[derive(Debug, Clone)]
pub struct TrainingOptions {
    /// Images a step, at least 2.
    pub images: usize,
    /// Stored pixels around the network's input, room for random shifts.
    pub margin: usize,
    /// The verification signal.
    pub signal: Signal,
    /// Momentum of SGD.
    pub momentum: f32,
    /// Weight decay of SGD, on weights and biases.
    pub weight_decay: f32,
    /// Factors of the learning rate: of every tensor whose name starts with the text.
    pub rate_scales: Vec<(String, f32)>,
}

impl TrainingOptions {
    fn rate_scale_of(&self, name: &str) -> f32 {
        self.rate_scales.iter().find(|(start, _)| name.starts_with(start.as_str())).map_or(1.0, |(_, scale)| *scale)
    }
}

/// One training step: ingest, forward, both losses, backward, update.
#[derive(Debug, Clone)]
pub struct TrainingGraph {
    /// The recorded step.
    pub tape: Tape,
    /// Stored pictures, [images, rows, columns, channels] bytes.
    pub pictures: Var,
    /// [`crate::data::augment::Augment`] of each image, [images, 4] words.
    pub augment: Var,
    /// Identity of each image, [images] words.
    pub labels: Var,
    /// (identification weight, verification weight, margin, 0).
    pub weights: Var,
    /// [`crate::ops::SgdRates`], [4].
    pub rates: Var,
    /// The loss, [1].
    pub loss: Var,
    /// (identification, verification, share identified, 0).
    pub parts: Var,
    /// Pair records, [images / 2, 8]; the first number is the distance.
    pub pairs: Var,
}

impl TrainingGraph {
    /// Records the step.
    ///
    /// # Errors
    /// A network that [`NetSpec::check`] refuses; fewer than two images.
    pub fn new(spec: &NetSpec, options: &TrainingOptions) -> Result<Self, Error> {
        spec.check()?;
        let mut tape = Tape::new();
        let ingested = ingest(&mut tape, spec, options.images, options.margin)?;
        let labels = tape.input("labels", TensorType::u32(&[options.images]));
        let weights = tape.input("signal weights", TensorType::f32(&[4]));
        let rates = tape.input("rates", TensorType::f32(&[4]));

        let features = extractor(&mut tape, spec, &ingested, Tape::parameter)?;
        let head: Vec<Var> = spec
            .softmax_parameters()
            .iter()
            .map(|parameter| tape.parameter(parameter.name, parameter.device_type()))
            .collect();
        let logits = tape.apply1(Conv::fully_connected(spec.identities, false), &[features, head[0], head[1]])?;
        let mut inputs = vec![logits, features, labels, weights];
        if options.signal == Signal::Cosine {
            let cosine = spec.cosine_parameters();
            inputs.push(tape.parameter(cosine.name, cosine.device_type()));
        }
        let joint = JointLoss { signal: options.signal, images: options.images };
        let outputs = tape.apply(joint, &inputs)?;
        let (loss, parts, pairs) = (outputs[0], outputs[1], outputs[3]);

        let gradients = tape.backward(loss)?;
        for parameter in tape.parameters() {
            if let Some(gradient) = gradients.get(&parameter) {
                let scale = options.rate_scale_of(tape.name(parameter));
                Sgd::record(&mut tape, parameter, *gradient, rates, scale)?;
            }
        }
        tape.hoist_updates();
        let Ingested { pictures, augment, .. } = ingested;
        Ok(Self { tape, pictures, augment, labels, weights, rates, loss, parts, pairs })
    }
}

impl TrainingGraph {
    /// What the host writes before each run.
    pub fn inputs(&self) -> [Var; 5] {
        [self.pictures, self.augment, self.labels, self.weights, self.rates]
    }

    /// What it reads afterwards.
    pub fn results(&self) -> [Var; 3] {
        [self.loss, self.parts, self.pairs]
    }
}

/// Pictures to DeepID2 vectors.
#[derive(Debug, Clone)]
pub struct ExtractorGraph {
    /// The recorded pass.
    pub tape: Tape,
    /// Stored pictures, [images, rows, columns, channels] bytes.
    pub pictures: Var,
    /// [`crate::data::augment::Augment`] of each image.
    pub augment: Var,
    /// DeepID2 vectors, [embedding, 1, 1, images rounded up to 4].
    pub features: Var,
}

impl ExtractorGraph {
    /// Records the pass for `images` pictures without margin.
    ///
    /// # Errors
    /// A network that [`NetSpec::check`] refuses.
    pub fn new(spec: &NetSpec, images: usize) -> Result<Self, Error> {
        spec.check()?;
        let mut tape = Tape::new();
        let ingested = ingest(&mut tape, spec, images, 0)?;
        let features = extractor(&mut tape, spec, &ingested, Tape::frozen_parameter)?;
        let Ingested { pictures, augment, .. } = ingested;
        Ok(Self { tape, pictures, augment, features })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Target;
    use crate::tape::plan;

    #[test]
    fn a_hundred_thousand_identities_fit_usual_limits() {
        let spec = NetSpec::paper(100_000);
        let options = TrainingOptions {
            images: 128,
            margin: 3,
            signal: Signal::L2,
            momentum: 0.9,
            weight_decay: 5e-4,
            rate_scales: vec![],
        };
        let graph = TrainingGraph::new(&spec, &options).unwrap();
        for (software, subgroup, texels) in [(true, 16, true), (true, 16, false), (true, 8, false), (false, 1, false)] {
            let target = Target {
                uniform_bytes: 65_536,
                storage_bytes: 128 << 20,
                workgroups_per_dimension: 65_535,
                software,
                subgroup,
                texels,
            };
            plan(&graph.tape, &target, &[graph.loss], true, 1).unwrap();
        }
    }
}
