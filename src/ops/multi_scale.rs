//! A fully connected layer of two inputs with one bias and a ReLU: the DeepID2 layer, which sees pool3 and conv4 (Sun et
//! al., section 2). The inputs are not copied together: each is one dispatch of `conv_forward.wgsl`, the second of which
//! adds to what the first wrote. Where a large GPU takes such a sum in parts, those of both inputs are added at once.

use super::conv::{Conv, ConvGradData, ConvGradWeight, To, forward, reference};
use super::elementwise::ReluGrad;
use super::geometry::ConvGeometry;
use super::{reduce, tuning};
use crate::gpu::Target;
use crate::tape::{Dispatch, Error, Gradient, Io, Op, Operand, Tape, TensorType, Var};

/// out = max(0, W₁·a + W₂·b + bias). Inputs: a, W₁, b, W₂, bias; a and b are read as vectors of channels · height · width
/// numbers an image, weights are [1, inputs, outputs rounded up to 4]; out is [`out_channels`, 1, 1, images].
#[derive(Debug, Clone, Copy)]
pub struct MultiScale {
    /// Outputs.
    pub out_channels: usize,
}

/// Places of an input and its weights among the operation's inputs.
const BRANCHES: [[usize; 2]; 2] = [[0, 1], [2, 3]];
/// Place of the bias.
const BIAS: usize = 4;

impl MultiScale {
    fn layer(&self) -> Conv {
        Conv::fully_connected(self.out_channels, false)
    }

    fn geometry(&self, input: &TensorType) -> ConvGeometry {
        self.layer().geometry(input).expect("checked by infer")
    }

    /// Partial sums of each branch.
    fn parts(&self, io: Io, target: &Target) -> [usize; 2] {
        BRANCHES.map(|[input, _]| tuning::conv_forward(&self.geometry(io.inputs[input]), target).parts)
    }
}

impl Op for MultiScale {
    fn name(&self) -> &'static str {
        "multi_scale"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        let mut outputs = Vec::new();
        for [input, weights] in BRANCHES {
            let geometry = self.layer().geometry(inputs[input])?;
            geometry.check_parameters(self.name(), inputs[weights], inputs[BIAS])?;
            outputs.push(geometry.output());
        }
        if outputs[0] != outputs[1] {
            let [a, b] = [inputs[0], inputs[2]].map(|ty| &ty.dims);
            return Err(Error::shape(
                self.name(),
                format!("expected two inputs of as many images, got {a:?} and {b:?}"),
            ));
        }
        outputs.truncate(1);
        Ok(outputs)
    }

    fn scratch(&self, io: Io, target: &Target) -> Vec<TensorType> {
        let parts = self.parts(io, target);
        reduce::partials([io.outputs[0]], if parts == [1; 2] { 1 } else { parts.iter().sum() })
    }

    fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch> {
        let of_branch = |[input, weights]: [usize; 2], to| {
            let operands = [input, weights, BIAS].map(Operand::In);
            let types = [io.inputs[weights], io.inputs[BIAS]];
            forward(&self.geometry(io.inputs[input]), operands, to, types, target)
        };
        let [a, b] = BRANCHES;
        match self.parts(io, target) {
            [1, 1] => vec![
                of_branch(a, To::Output { relu: false, adds: false }),
                of_branch(b, To::Output { relu: true, adds: true }),
            ],
            [of_a, of_b] => vec![
                of_branch(a, To::Partials { first: 0 }),
                of_branch(b, To::Partials { first: of_a }),
                reduce::sum_partials([Operand::Scratch(0), Operand::Out(0)], of_a + of_b, io.outputs[0], true, target),
            ],
        }
    }

    fn flops(&self, io: Io) -> u64 {
        BRANCHES.iter().map(|[input, _]| self.geometry(io.inputs[*input]).flops()).sum()
    }

    fn backward(&self, tape: &mut Tape, grad: &Gradient) -> Result<Vec<Option<Var>>, Error> {
        let upstream = grad.upstream_of(0, self.name())?;
        let upstream = tape.apply1(ReluGrad, &[grad.outputs[0], upstream])?;
        let mut gradients = vec![None; 5];
        for [input, weights] in BRANCHES {
            let ty = tape.ty(grad.inputs[input]).clone();
            let geometry = self.geometry(&ty);
            if grad.wanted[weights] || grad.wanted[BIAS] {
                let both = tape.apply(ConvGradWeight { geometry }, &[grad.inputs[input], upstream])?;
                // Either branch has the bias's gradient.
                (gradients[weights], gradients[BIAS]) = (Some(both[0]), Some(both[1]));
            }
            if grad.wanted[input] {
                let inputs = [grad.inputs[weights], upstream];
                gradients[input] = Some(tape.apply1(ConvGradData { geometry, input: ty }, &inputs)?);
            }
        }
        Ok(gradients)
    }

    fn reference(&self, io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let of_branch = |[input, weights]: [usize; 2], bias: &[f64]| {
            reference::forward(&self.geometry(io.inputs[input]), inputs[input], inputs[weights], bias)
        };
        let mut out = of_branch(BRANCHES[0], inputs[BIAS]);
        let other = of_branch(BRANCHES[1], &vec![0.0; inputs[BIAS].len()]);
        out.iter_mut().zip(other).for_each(|(sum, other)| *sum += other);
        out.iter_mut().for_each(|value| *value = if *value <= 0.0 { 0.0 } else { *value });
        vec![out]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Case, check, tensor};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(crate::ops::testing::config(10))]

        #[test]
        fn the_layer_and_its_gradients_match_the_reference(
            coarse in (1usize..5, 1usize..4, 1usize..4),
            fine in (1usize..6, 1usize..3, 1usize..5),
            out_channels in prop::sample::select(vec![1usize, 4, 7, 37]),
            images in prop::sample::select(vec![4usize, 8, 68]),
            seed: u64,
        ) {
            let padded = out_channels.next_multiple_of(4);
            let dims = |(channels, height, width): (usize, usize, usize)| [channels, height, width, images];
            let weights = |(channels, height, width): (usize, usize, usize), seed| {
                tensor(&[1, channels * height * width, padded], seed).zero_columns_from(out_channels)
            };
            let inputs = vec![
                tensor(&dims(coarse), seed),
                weights(coarse, seed ^ 1),
                tensor(&dims(fine), seed ^ 2),
                weights(fine, seed ^ 3),
                tensor(&[1, padded], seed ^ 4).zero_columns_from(out_channels),
            ];
            check(Case::new(MultiScale { out_channels }, inputs).kinked());
        }
    }

    #[test]
    fn layers_that_a_card_takes_in_parts_match_the_reference() {
        // Parts of each branch with hardware tiles: 2 and 4, 1 and 2, 2 and 1; the last parts are ragged.
        for (coarse, fine) in [(79, 155), (20, 79), (79, 20)] {
            let weights = |inputs, seed| tensor(&[1, inputs, 8], seed).zero_columns_from(5);
            let inputs = vec![
                tensor(&[coarse, 1, 1, 36], 1),
                weights(coarse, 2),
                tensor(&[fine, 1, 1, 36], 3),
                weights(fine, 4),
                tensor(&[1, 8], 5).zero_columns_from(5),
            ];
            check(Case::new(MultiScale { out_channels: 5 }, inputs).kinked());
        }
    }

    #[test]
    fn inputs_of_other_batches_and_weights_of_other_shapes_are_refused() {
        let ty = TensorType::f32;
        let infer = |a: &[usize], w: &[usize], b: &[usize]| {
            let types = [ty(a), ty(w), ty(b), ty(&[1, 3, 4]), ty(&[1, 4])];
            MultiScale { out_channels: 4 }.infer(&types.each_ref()).unwrap_err().to_string()
        };
        let batches = infer(&[2, 1, 1, 8], &[1, 2, 4], &[3, 1, 1, 4]);
        assert!(batches.contains("as many images"), "{batches}");
        let weights = infer(&[2, 1, 1, 4], &[1, 3, 4], &[3, 1, 1, 4]);
        assert!(weights.contains("weights") && weights.contains("[1, 3, 4]"), "{weights}");
    }
}
