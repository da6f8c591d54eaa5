//! [`ConvPool`] on the bytes of pictures, as a first layer: what a network reads is then a quarter as large, and one load
//! brings four pixels of four images (`kernels/shared/pixels.wgsl`). Where that does not win, `kernels/unpack.wgsl` makes
//! activations of the bytes first.

use super::conv_pool::{ConvPool, Source, forward, grad_weights, grad_weights_reference, gradient_parts};
use super::ingest::{PIXEL_SCALE, blocks, mean, pixels, place};
use super::{ConvGeometry, flat_workgroups, tuning};
use crate::gpu::{Kernel, Specialization, Target};
use crate::kernel;
use crate::tape::{Dispatch, Error, Gradient, Io, Op, Operand, Tape, TensorType, Var};

static UNPACK: Kernel = kernel!("unpack.wgsl", "linear.wgsl", "blocks.wgsl");
const UNPACK_LANES: usize = 64;

/// [`ConvPool`] of (gain · pixels − mean) / [`PIXEL_SCALE`]. Inputs: [`pixels`], gains [images rounded up to 4], [`mean`],
/// weights and bias, of which only the last two have a gradient; outputs as those of [`ConvPool`].
#[derive(Debug, Clone, Copy)]
pub struct ConvPoolOfPixels {
    /// The layer.
    pub conv: ConvPool,
    /// Rows of a picture.
    pub height: usize,
    /// Columns of a picture.
    pub width: usize,
}

impl ConvPoolOfPixels {
    /// Sizes for pixels of this type.
    fn geometry(&self, found: &TensorType) -> Result<ConvGeometry, Error> {
        let (channels, images) = (found.dims.first().copied().unwrap_or(0), found.dims.get(3).copied().unwrap_or(0));
        let expected = pixels(channels, self.height, self.width, images);
        if *found != expected {
            return Err(Error::shape(
                "conv_pool_of_pixels",
                format!("expected bytes of shape {:?}, got {:?}", expected.dims, found.dims),
            ));
        }
        self.conv.geometry(&TensorType::f32(&[channels, self.height, self.width, images]))
    }
}

/// Inputs 0 to 2 (pixels, gains, mean) as a kernel's source: as they are, or as activations in scratch 0, with the dispatch
/// that makes them.
fn source(geometry: &ConvGeometry, target: &Target) -> (Option<Dispatch>, Source) {
    let inputs = [Operand::In(0), Operand::In(1), Operand::In(2)];
    if tuning::convolves_pixels(target) {
        return (None, Source::Pixels(inputs));
    }
    let [rows, columns] = blocks(geometry.in_height, geometry.in_width);
    let elements = geometry.in_channels * rows * columns * geometry.batch_vecs();
    let unpack = Dispatch {
        kernel: &UNPACK,
        entry: "unpack",
        specialization: Specialization::constants(&[
            ("BATCH_VECS", geometry.batch_vecs()),
            ("HEIGHT", geometry.in_height),
            ("WIDTH", geometry.in_width),
            ("BLOCK_ROWS", rows),
            ("BLOCK_COLUMNS", columns),
            ("PIXEL_SCALE", PIXEL_SCALE),
            ("ELEMENTS", elements),
            ("LANES", UNPACK_LANES),
        ]),
        bindings: [inputs.as_slice(), &[Operand::Scratch(0)]].concat(),
        workgroups: flat_workgroups(elements, UNPACK_LANES, target),
    };
    (Some(unpack), Source::Activations(Operand::Scratch(0)))
}

/// Scratch of [`source`].
fn unpacked(geometry: &ConvGeometry, target: &Target) -> Vec<TensorType> {
    if tuning::convolves_pixels(target) { vec![] } else { vec![geometry.input()] }
}

/// The formula of [`ConvPoolOfPixels`]'s input.
fn unpacked_reference(geometry: &ConvGeometry, inputs: &[&[f64]]) -> Vec<f64> {
    let [pixels, gains, mean] = [inputs[0], inputs[1], inputs[2]];
    let &ConvGeometry { in_channels, in_height, in_width, batch, .. } = geometry;
    let mut out = Vec::with_capacity(in_channels * in_height * in_width * batch);
    for c in 0..in_channels {
        for y in 0..in_height {
            for x in 0..in_width {
                let place = place(in_height, in_width, c, y, x);
                let value = |n: usize| gains[n] * pixels[(place / 4 * batch + n) * 4 + place % 4] - mean[place];
                out.extend((0..batch).map(|n| value(n) / PIXEL_SCALE as f64));
            }
        }
    }
    out
}

impl Op for ConvPoolOfPixels {
    fn name(&self) -> &'static str {
        "conv_pool_of_pixels"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        let [pixels, gains, means, weights, bias] = inputs else { unreachable!("recorded with five inputs") };
        let g = self.geometry(pixels)?;
        let expected = [TensorType::f32(&[g.batch]), mean(g.in_channels, self.height, self.width)];
        if [*gains, *means] != [&expected[0], &expected[1]] {
            return Err(Error::shape(
                self.name(),
                format!(
                    "expected gains {:?} and a mean {:?}, got {:?} and {:?}",
                    expected[0].dims, expected[1].dims, gains.dims, means.dims
                ),
            ));
        }
        self.conv.infer(&[&g.input(), weights, bias])
    }

    fn scratch(&self, io: Io, target: &Target) -> Vec<TensorType> {
        unpacked(&self.geometry(io.inputs[0]).expect("checked by infer"), target)
    }

    fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch> {
        let geometry = self.geometry(io.inputs[0]).expect("checked by infer");
        let (unpack, source) = source(&geometry, target);
        unpack.into_iter().chain([forward(&geometry, source, [Operand::In(3), Operand::In(4)], target)]).collect()
    }

    fn flops(&self, io: Io) -> u64 {
        self.geometry(io.inputs[0]).map_or(0, |geometry| geometry.flops())
    }

    fn backward(&self, tape: &mut Tape, grad: &Gradient) -> Result<Vec<Option<Var>>, Error> {
        let upstream = grad.upstream_of(0, self.name())?;
        let geometry = self.geometry(tape.ty(grad.inputs[0]))?;
        let mut gradients = vec![None; 5];
        if grad.wanted[3] || grad.wanted[4] {
            let inputs = [&grad.inputs[..3], &[upstream, grad.outputs[1]]].concat();
            let both = tape.apply(GradWeights { geometry }, &inputs)?;
            (gradients[3], gradients[4]) = (Some(both[0]), Some(both[1]));
        }
        Ok(gradients)
    }

    fn reference(&self, io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let geometry = self.geometry(io.inputs[0]).expect("checked by infer");
        let images = unpacked_reference(&geometry, inputs);
        let types = [&geometry.input(), io.inputs[3], io.inputs[4]];
        let io = Io { inputs: &types, outputs: io.outputs };
        self.conv.reference(io, &[&images, inputs[3], inputs[4]])
    }
}

/// Gradients with respect to weights and bias. Inputs: pixels, gains, mean, upstream, code.
#[derive(Debug, Clone, Copy)]
struct GradWeights {
    geometry: ConvGeometry,
}

impl Op for GradWeights {
    fn name(&self) -> &'static str {
        "conv_pool_of_pixels_grad_weight"
    }

    fn infer(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        Ok(vec![self.geometry.weights(), self.geometry.bias()])
    }

    fn scratch(&self, _io: Io, target: &Target) -> Vec<TensorType> {
        [unpacked(&self.geometry, target), gradient_parts(&self.geometry, target)].concat()
    }

    fn dispatches(&self, _io: Io, target: &Target) -> Vec<Dispatch> {
        let (unpack, source) = source(&self.geometry, target);
        let scratch = unpacked(&self.geometry, target).len();
        let gradients = grad_weights(&self.geometry, source, [Operand::In(3), Operand::In(4)], scratch, target);
        unpack.into_iter().chain(gradients).collect()
    }

    fn flops(&self, _io: Io) -> u64 {
        self.geometry.flops() / 4
    }

    fn reference(&self, _io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let images = unpacked_reference(&self.geometry, inputs);
        grad_weights_reference(&self.geometry, &images, inputs[3], inputs[4])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Sharing;
    use crate::ops::testing::{Case, Tensor, check, integers, tensor};
    use proptest::prelude::*;

    fn inputs(op: &ConvPoolOfPixels, channels: usize, images: usize, seed: u64) -> Vec<Tensor> {
        let ty = pixels(channels, op.height, op.width, images);
        let g = op.geometry(&ty).unwrap();
        let map = |tensor: Tensor, to: fn(f64) -> f64| {
            let values = tensor.values.iter().map(|value| f64::from(to(*value) as f32)).collect();
            tensor.with(values)
        };
        vec![
            integers(ty, 256, seed),
            map(tensor(&[g.batch], seed ^ 1), |value| 1.0 + 0.1 * value),
            map(tensor(&mean(channels, op.height, op.width).dims, seed ^ 2), |value| 128.0 + 50.0 * value),
            tensor(&g.weights().dims, seed ^ 3).zero_columns_from(g.out_channels),
            tensor(&g.bias().dims, seed ^ 4).zero_columns_from(g.out_channels),
        ]
    }

    proptest! {
        #![proptest_config(crate::ops::testing::config(8))]

        #[test]
        fn the_layer_on_bytes_and_its_gradients_match_the_reference(
            channels in prop::sample::select(vec![1usize, 2, 3]),
            out_channels in prop::sample::select(vec![1usize, 4, 5, 23]),
            (rows, columns) in (1usize..4, 1usize..4),
            kernel in 1usize..6,
            tiles in prop::bool::ANY,
            images in prop::sample::select(vec![4usize, 12, 68]),
            seed: u64,
        ) {
            let sharing = if tiles { Sharing::Tiles { height: 2, width: 2 } } else { Sharing::Everywhere };
            let conv = ConvPool { out_channels, kernel, sharing };
            let op = ConvPoolOfPixels { conv, height: 2 * rows + kernel - 1, width: 2 * columns + kernel - 1 };
            check(Case::new(op, inputs(&op, channels, images, seed)).differentiate(&[3, 4]).kinked());
        }
    }

    #[test]
    fn pixels_of_another_size_are_refused() {
        let conv = ConvPool { out_channels: 4, kernel: 3, sharing: Sharing::Everywhere };
        let op = ConvPoolOfPixels { conv, height: 8, width: 8 };
        let message = op.geometry(&pixels(3, 8, 10, 4)).unwrap_err().to_string();
        assert!(message.contains("[3, 4, 4, 4, 4]") && message.contains("[3, 4, 5, 4, 4]"), "{message}");
    }
}
