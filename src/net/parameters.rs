//! Names, shapes and initial values of the learned tensors.
//!
//! In files every weight is [tiles, taps, outputs] and every bias [tiles, outputs]: taps run over (input channel, filter
//! row, filter column), tiles over the regions of conv3 and the positions of conv4, row by row; the last is fastest. On
//! the device outputs are rounded up to a multiple of 4 with zeros, and the mean is in blocks of 2×2 pixels.

use super::NetSpec;
use crate::ops::geometry::ConvGeometry;
use crate::ops::ingest;
use crate::tape::TensorType;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// One learned tensor (or the mean, which is stored beside them).
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    /// Its name in stores and files.
    pub name: &'static str,
    /// Shape in files.
    pub dims: Vec<usize>,
    /// How it starts.
    pub initial: Initial,
}

/// Initial values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Initial {
    /// All equal to 0.
    Zero,
    /// Normal with this standard deviation.
    Normal(f32),
    /// The cosine signal's w and b: the sigmoid's middle lies at a cosine of ½, half-way over the range of vectors
    /// without negative entries. The paper gives none.
    Cosine,
}

/// Standard deviation of softmax weights; small, so that all identities start equally likely.
const SOFTMAX_DEVIATION: f32 = 0.01;
/// The cosine signal's w and b at first.
const COSINE_START: [f32; 4] = [8.0, -4.0, 0.0, 0.0];

impl NetSpec {
    /// Tensors of the extractor, in the order of the layers.
    pub fn extractor_parameters(&self) -> Vec<ParameterSpec> {
        let input = |channels: usize, [height, width]: [usize; 2]| TensorType::f32(&[channels, height, width, 4]);
        let [pool1, pool2, pool3, conv4] = self.sides();
        let [w1, w2, w3, w4] = self.widths;
        let image = input(self.channels, [self.height, self.width]);
        let conv3 = self.conv3();
        let geometries = [
            ("conv1.weight", "conv1.bias", self.conv1().geometry(&image)),
            ("conv2.weight", "conv2.bias", self.conv2().geometry(&input(w1, pool1))),
            (
                "conv3.weight",
                "conv3.bias",
                ConvGeometry::new("conv3", &input(w2, pool2), w3, conv3.kernel, conv3.sharing),
            ),
            ("conv4.weight", "conv4.bias", self.conv4().geometry(&input(w3, pool3))),
        ];
        let mut all = Vec::new();
        for (weight, bias, geometry) in geometries {
            let g = geometry.expect("a checked network's layers fit");
            all.push(he(weight, &[g.tiles(), g.taps(), g.out_channels], g.taps()));
            all.push(ParameterSpec { name: bias, dims: vec![g.tiles(), g.out_channels], initial: Initial::Zero });
        }
        let from_pool3 = w3 * pool3[0] * pool3[1];
        let from_conv4 = w4 * conv4[0] * conv4[1];
        let inputs = from_pool3 + from_conv4;
        all.push(he("deepid2.pool3.weight", &[1, from_pool3, self.embedding], inputs));
        all.push(he("deepid2.conv4.weight", &[1, from_conv4, self.embedding], inputs));
        all.push(ParameterSpec { name: "deepid2.bias", dims: vec![1, self.embedding], initial: Initial::Zero });
        all
    }

    /// Tensors of the identification head.
    pub fn softmax_parameters(&self) -> Vec<ParameterSpec> {
        vec![
            ParameterSpec {
                name: "softmax.weight",
                dims: vec![1, self.embedding, self.identities],
                initial: Initial::Normal(SOFTMAX_DEVIATION),
            },
            ParameterSpec { name: "softmax.bias", dims: vec![1, self.identities], initial: Initial::Zero },
        ]
    }

    /// The learned parameters (w, b, 0, 0) of the cosine signal.
    pub fn cosine_parameters(&self) -> ParameterSpec {
        ParameterSpec { name: "cosine", dims: vec![4], initial: Initial::Cosine }
    }

    /// The mean that is subtracted from every input, in pixel units.
    pub fn mean(&self) -> ParameterSpec {
        let dims = vec![self.channels, self.height, self.width];
        ParameterSpec { name: "mean", dims, initial: Initial::Zero }
    }
}

/// He initialisation: variance 2 / inputs keeps the scale of activations through ReLU layers.
fn he(name: &'static str, dims: &[usize], inputs: usize) -> ParameterSpec {
    ParameterSpec { name, dims: dims.to_vec(), initial: Initial::Normal((2.0 / inputs as f32).sqrt()) }
}

impl ParameterSpec {
    /// Elements in files.
    pub fn elements(&self) -> usize {
        self.dims.iter().product()
    }

    /// Type on the device: outputs rounded up to a multiple of 4, the mean in blocks of pixels ([`ingest::mean`]).
    pub fn device_type(&self) -> TensorType {
        match (self.name, self.dims.as_slice()) {
            ("mean", &[channels, height, width]) => ingest::mean(channels, height, width),
            (_, dims) => {
                let mut dims = dims.to_vec();
                if let Some(last) = dims.last_mut() {
                    *last = last.next_multiple_of(4);
                }
                TensorType::f32(&dims)
            }
        }
    }

    /// Values as the device stores them, from a file's.
    pub fn pad(&self, values: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; self.device_type().elements()];
        self.places().zip(values).for_each(|(place, value)| out[place] = *value);
        out
    }

    /// Values as files hold them, from the device's.
    pub fn strip(&self, values: &[f32]) -> Vec<f32> {
        self.places().map(|place| values[place]).collect()
    }

    /// Where the device has each value of a file.
    fn places(&self) -> Box<dyn Iterator<Item = usize> + '_> {
        match (self.name, self.dims.as_slice()) {
            ("mean", &[_, height, width]) => Box::new((0..self.elements()).map(move |at| {
                let (c, y, x) = (at / (height * width), at / width % height, at % width);
                ingest::place(height, width, c, y, x)
            })),
            (_, dims) => {
                let columns = dims.last().copied().unwrap_or(1);
                let padded = columns.next_multiple_of(4);
                Box::new((0..self.elements()).map(move |at| at / columns * padded + at % columns))
            }
        }
    }
}

/// Initial values of `parameter` as files hold them: a pure function of seed and name.
pub fn initial_values(parameter: &ParameterSpec, seed: u64) -> Vec<f32> {
    let deviation = match parameter.initial {
        Initial::Zero => return vec![0.0; parameter.elements()],
        Initial::Cosine => return COSINE_START.to_vec(),
        Initial::Normal(deviation) => deviation,
    };
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    for (place, byte) in key[8..].iter_mut().zip(parameter.name.bytes()) {
        *place = byte;
    }
    let mut rng = ChaCha8Rng::from_seed(key);
    (0..parameter.elements()).map(|_| deviation * normal(&mut rng)).collect()
}

/// A standard normal number by the Box-Muller transform.
fn normal(rng: &mut ChaCha8Rng) -> f32 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    let angle = std::f64::consts::TAU * rng.random::<f64>();
    (radius * angle.cos()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_network_has_the_papers_parameters() {
        let spec = NetSpec::paper(8192);
        let count = |all: &[ParameterSpec]| all.iter().map(ParameterSpec::elements).sum::<usize>();
        assert_eq!(count(&spec.extractor_parameters()), 1_018_540);
        assert_eq!(count(&spec.softmax_parameters()), 1_318_912);
    }

    #[test]
    fn padding_is_taken_off_again() {
        let parameter = ParameterSpec { name: "x", dims: vec![2, 3, 5], initial: Initial::Normal(1.0) };
        let values = initial_values(&parameter, 1);
        let padded = parameter.pad(&values);
        assert_eq!(padded.len(), 48);
        assert_eq!(padded[5..8], [0.0; 3]);
        assert_eq!(parameter.strip(&padded), values);
    }

    #[test]
    fn the_mean_is_kept_in_blocks_of_four_pixels() {
        let mean = NetSpec { height: 3, width: 5, channels: 2, ..NetSpec::paper(1) }.mean();
        let values: Vec<f32> = (0..30).map(|value| value as f32).collect();
        let blocks = mean.pad(&values);
        assert_eq!(blocks[..4], [0.0, 1.0, 5.0, 6.0]);
        assert_eq!(blocks[8..12], [4.0, 0.0, 9.0, 0.0], "beyond the right border");
        assert_eq!(blocks[24..28], [15.0, 16.0, 20.0, 21.0], "channel 1");
        assert_eq!(mean.strip(&blocks), values);
    }

    #[test]
    fn initial_values_have_their_deviation_and_depend_on_seed_and_name() {
        let parameter = he("a", &[1, 100, 100], 50);
        let values = initial_values(&parameter, 7);
        let mean = values.iter().sum::<f32>() / 1e4;
        let variance = values.iter().map(|value| value * value).sum::<f32>() / 1e4;
        assert!(mean.abs() < 0.01 && (variance / 0.04 - 1.0).abs() < 0.1, "{mean} {variance}");
        assert_eq!(values, initial_values(&parameter, 7));
        assert_ne!(values, initial_values(&parameter, 8));
        assert_ne!(values, initial_values(&he("b", &[1, 100, 100], 50), 7));
    }
}
