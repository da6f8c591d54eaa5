//! Stored pictures to blocks of pixels, with the random changes of training (`kernels/ingest.wgsl`).

use super::{flat_workgroups, tuning};
use crate::gpu::{Kernel, Specialization, Target};
use crate::kernel;
use crate::tape::{DType, Dispatch, Error, Io, Op, Operand, TensorType};

static KERNEL: Kernel = kernel!("ingest.wgsl", "linear.wgsl");
const LANES: usize = 64;

/// Network inputs are pixel differences divided by this: of order 1, as He initialisation expects.
pub const PIXEL_SCALE: usize = 128;

/// Rows and columns of the blocks of 2×2 pixels that pictures `height`×`width` lie in.
pub(crate) fn blocks(height: usize, width: usize) -> [usize; 2] {
    [height.div_ceil(2), width.div_ceil(2)]
}

/// Type of the pixels of pictures in blocks of 2×2, [channels, ⌈height / 2⌉, ⌈width / 2⌉, images rounded up to 4, 4] bytes.
/// Pixels of a block are in scan order; those beyond the border are 0.
pub fn pixels(channels: usize, height: usize, width: usize, images: usize) -> TensorType {
    let [rows, columns] = blocks(height, width);
    TensorType::u8(&[channels, rows, columns, images.next_multiple_of(4), 4])
}

/// Type of the mean in the same blocks, [channels, ⌈height / 2⌉, ⌈width / 2⌉, 4].
pub fn mean(channels: usize, height: usize, width: usize) -> TensorType {
    let [rows, columns] = blocks(height, width);
    TensorType::f32(&[channels, rows, columns, 4])
}

/// Place of pixel (y, x) of channel c among blocks of pictures `height`×`width`, for one image.
pub(crate) fn place(height: usize, width: usize, c: usize, y: usize, x: usize) -> usize {
    let [rows, columns] = blocks(height, width);
    4 * ((c * rows + y / 2) * columns + x / 2) + y % 2 * 2 + x % 2
}

/// [`pixels`] and the gain of each image, shifted and flipped; [`super::ConvPoolOfPixels`] applies the gain. Inputs: pictures
/// [images, rows, columns, channels] bytes with a margin on each side; [`crate::data::augment::Augment`] of each image
/// as [images, 4] words. Images are rounded up to a multiple of 4 with zeros.
#[derive(Debug, Clone, Copy)]
pub struct Ingest {
    /// Stored pixels on each side beyond the network's input.
    pub margin: usize,
}

impl Ingest {
    /// [images, channels, height, width] of the result.
    fn sizes(&self, pictures: &TensorType) -> Option<[usize; 4]> {
        let &[images, rows, columns, channels] = pictures.dims.as_slice() else { return None };
        let inner = |side: usize| side.checked_sub(2 * self.margin).filter(|side| *side > 0);
        Some([images, channels, inner(rows)?, inner(columns)?])
    }
}

impl Op for Ingest {
    fn name(&self) -> &'static str {
        "ingest"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        let [pictures, augment] = inputs else { unreachable!("recorded with two inputs") };
        let sizes = self.sizes(pictures).filter(|_| pictures.dtype == DType::U8);
        match sizes {
            Some([images, channels, height, width]) if **augment == TensorType::u32(&[images, 4]) => {
                Ok(vec![pixels(channels, height, width, images), TensorType::f32(&[images.next_multiple_of(4)])])
            }
            _ => Err(Error::shape(
                self.name(),
                format!(
                    "expected byte pictures [images, rows, columns, channels] with a margin of {} and [images, 4] words, got {:?} and {:?}",
                    self.margin, pictures.dims, augment.dims
                ),
            )),
        }
    }

    fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch> {
        let [images, channels, height, width] = self.sizes(io.inputs[0]).expect("checked by infer");
        let batch_vecs = images.div_ceil(4);
        let [rows, columns] = blocks(height, width);
        let run = tuning::ingest_run(columns, target);
        let words = (2 * run * channels).div_ceil(4);
        let elements = rows * columns.div_ceil(run) * batch_vecs;
        vec![Dispatch {
            kernel: &KERNEL,
            entry: "ingest",
            specialization: Specialization::constants(&[
                ("IMAGES", images),
                ("BATCH_VECS", batch_vecs),
                ("CHANNELS", channels),
                ("HEIGHT", height),
                ("WIDTH", width),
                ("BLOCK_COLUMNS", columns),
                ("MARGIN", self.margin),
                ("RUN", run),
                ("RUNS", columns.div_ceil(run)),
                ("VALUES", run * channels),
                ("WORDS", words),
                ("READ", words + 1),
                ("STORED_WORDS", io.inputs[0].elements().div_ceil(4)),
                ("ELEMENTS", elements),
                ("LANES", LANES),
            ]),
            bindings: vec![Operand::In(0), Operand::In(1), Operand::Out(0), Operand::Out(1)],
            workgroups: flat_workgroups(elements, LANES, target),
        }]
    }

    fn reference(&self, io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let [images, channels, height, width] = self.sizes(io.inputs[0]).expect("checked by infer");
        let stored = &io.inputs[0].dims;
        let batch = images.next_multiple_of(4);
        let mut pixels = vec![0.0; io.outputs[0].elements()];
        let mut gains = vec![0.0; batch];
        for n in 0..images {
            let change = &inputs[1][4 * n..4 * n + 4];
            let shift = |word: f64| i64::from(word as u32 as i32);
            gains[n] = f64::from(f32::from_bits(change[3] as u32));
            for c in 0..channels {
                for y in 0..height {
                    for x in 0..width {
                        let from_x = if change[2] == 1.0 { width - 1 - x } else { x };
                        let row = ((y + self.margin) as i64 + shift(change[0])) as usize;
                        let column = ((from_x + self.margin) as i64 + shift(change[1])) as usize;
                        let place = place(height, width, c, y, x);
                        pixels[(place / 4 * batch + n) * 4 + place % 4] =
                            inputs[0][((n * stored[1] + row) * stored[2] + column) * channels + c];
                    }
                }
            }
        }
        vec![pixels, gains]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::augment::{Augment, Augmentation};
    use crate::ops::testing::{Case, check, integers};
    use proptest::prelude::*;

    #[test]
    fn pictures_without_room_for_the_margin_are_refused() {
        let found = Ingest { margin: 3 }.infer(&[&TensorType::u8(&[4, 6, 9, 3]), &TensorType::u32(&[4, 4])]);
        let message = found.unwrap_err().to_string();
        assert!(message.contains("margin of 3") && message.contains("[4, 6, 9, 3]"), "{message}");
    }

    proptest! {
        #![proptest_config(crate::ops::testing::config(16))]

        #[test]
        fn pictures_are_cut_and_flipped(
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
            check(Case::new(Ingest { margin }, vec![
                integers(TensorType::u8(&stored), 256, seed),
                integers(TensorType::u32(&[images, 4]), 1, 0).with(words.iter().map(|word| f64::from(*word)).collect()),
            ]).forward_only());
        }
    }
}
