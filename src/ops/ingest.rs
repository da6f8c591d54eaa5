//! Stored pictures (bytes) to network input (floats), with the random changes of training (`kernels/ingest.wgsl`).

use super::{flat_workgroups, tuning};
use crate::gpu::{Kernel, Specialization, Target};
use crate::kernel;
use crate::tape::{DType, Dispatch, Error, Io, Op, Operand, TensorType};

static KERNEL: Kernel = kernel!("ingest.wgsl", "linear.wgsl");
const LANES: usize = 64;

/// Network inputs are pixel differences divided by this: of order 1, as He initialisation expects.
pub const PIXEL_SCALE: usize = 128;

/// input[c, y, x, n] = (gain · picture − mean) / [`PIXEL_SCALE`], shifted and flipped. Inputs: pictures
/// [images, rows, columns, channels] bytes with a margin on each side; [`crate::data::augment::Augment`] of each image
/// as [images, 4] words; mean [channels, height, width]. The output's batch is rounded up to a multiple of 4 with zeros.
#[derive(Debug, Clone, Copy)]
pub struct Ingest {
    /// Stored pixels on each side beyond the network's input.
    pub margin: usize,
}

impl Op for Ingest {
    fn name(&self) -> &'static str {
        "ingest"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        let [pictures, augment, mean] = inputs else { unreachable!("recorded with three inputs") };
        let (&[images, rows, columns, channels], &[mean_channels, height, width]) =
            (pictures.dims.as_slice(), mean.dims.as_slice())
        else {
            return Err(Error::shape(self.name(), "expected pictures of rank 4 and a mean of rank 3"));
        };
        let fits = rows == height + 2 * self.margin && columns == width + 2 * self.margin && channels == mean_channels;
        if pictures.dtype != DType::U8 || !fits || **augment != TensorType::u32(&[images, 4]) {
            return Err(Error::shape(
                self.name(),
                format!(
                    "expected byte pictures [images, {}, {}, {mean_channels}] and [images, 4] words, got {:?} and {:?}",
                    height + 2 * self.margin,
                    width + 2 * self.margin,
                    pictures.dims,
                    augment.dims
                ),
            ));
        }
        Ok(vec![TensorType::f32(&[channels, height, width, images.next_multiple_of(4)])])
    }

    fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch> {
        let [channels, height, width, batch] = io.outputs[0].activation().expect("checked by infer");
        let run = tuning::ingest_run(width, target);
        let values = run * channels;
        let elements = height * width.div_ceil(run) * batch / 4;
        vec![Dispatch {
            kernel: &KERNEL,
            entry: "ingest",
            specialization: Specialization::constants(&[
                ("IMAGES", io.inputs[0].dims[0]),
                ("BATCH_VECS", batch / 4),
                ("CHANNELS", channels),
                ("HEIGHT", height),
                ("WIDTH", width),
                ("MARGIN", self.margin),
                ("PIXEL_SCALE", PIXEL_SCALE),
                ("RUN", run),
                ("RUNS", width.div_ceil(run)),
                ("VALUES", values),
                ("WORDS", values.div_ceil(4)),
                ("READ", values.div_ceil(4) + 1),
                ("STORED_WORDS", io.inputs[0].elements().div_ceil(4)),
                ("ELEMENTS", elements),
                ("LANES", LANES),
            ]),
            bindings: vec![Operand::In(0), Operand::In(1), Operand::In(2), Operand::Out(0)],
            workgroups: flat_workgroups(elements, LANES, target),
        }]
    }

    fn reference(&self, io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let stored = &io.inputs[0].dims;
        let [channels, height, width, batch] = io.outputs[0].activation().expect("checked by infer");
        let mut out = vec![0.0; io.outputs[0].elements()];
        for n in 0..stored[0] {
            let change = &inputs[1][4 * n..4 * n + 4];
            let shift = |word: f64| i64::from(word as u32 as i32);
            let gain = f64::from(f32::from_bits(change[3] as u32));
            for c in 0..channels {
                for y in 0..height {
                    for x in 0..width {
                        let from_x = if change[2] == 1.0 { width - 1 - x } else { x };
                        let row = ((y + self.margin) as i64 + shift(change[0])) as usize;
                        let column = ((from_x + self.margin) as i64 + shift(change[1])) as usize;
                        let pixel = inputs[0][((n * stored[1] + row) * stored[2] + column) * channels + c];
                        let at = (c * height + y) * width + x;
                        out[at * batch + n] = (gain * pixel - inputs[2][at]) / PIXEL_SCALE as f64;
                    }
                }
            }
        }
        vec![out]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::augment::{Augment, Augmentation};
    use crate::ops::testing::{Case, check, integers, tensor};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(crate::ops::testing::config(16))]

        #[test]
        fn pictures_are_cut_flipped_and_scaled(
            images in prop::sample::select(vec![1usize, 3, 4, 65]),
            channels in prop::sample::select(vec![1usize, 3]),
            (height, width, margin) in (1usize..6, 1usize..12, 0usize..4),
            seed: u64,
        ) {
            let augmentation = Augmentation { shift: margin as u32, flip: true, brightness: 0.3 };
            let mut changes: Vec<Augment> = Vec::new();
            augmentation.draw(seed, 0, images, &mut changes);
            let words: &[u32] = bytemuck::cast_slice(&changes);
            let stored = [images, height + 2 * margin, width + 2 * margin, channels];
            let mut mean = tensor(&[channels, height, width], seed);
            mean.values.iter_mut().for_each(|value| *value = f64::from((128.0 + 100.0 * *value) as f32));
            check(Case::new(Ingest { margin }, vec![
                integers(TensorType::u8(&stored), 256, seed),
                integers(TensorType::u32(&[images, 4]), 1, 0).with(words.iter().map(|word| f64::from(*word)).collect()),
                mean,
            ]).forward_only());
        }
    }
}
