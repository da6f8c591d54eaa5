//! Convolution whose filters are shared everywhere, over tiles of the output, or nowhere, with an optional ReLU; and
//! the fully connected layer, which is the same with one position (`kernels/conv_*.wgsl`).

use super::elementwise::ReluGrad;
use super::geometry::{ConvGeometry, Sharing, at};
use super::{Sgd, reduce, sgd, tuning};
use crate::gpu::{Kernel, Specialization, Target};
use crate::kernel;
use crate::tape::{Dispatch, Error, Gradient, Io, Op, Operand, Tape, TensorType, Var};
use std::sync::Arc;

static FORWARD: Kernel = kernel!("conv_forward.wgsl", "relu.wgsl");
static GRAD_DATA: Kernel = kernel!("conv_grad_data.wgsl", "zero.wgsl");
static GRAD_WEIGHT: Kernel = kernel!("conv_grad_weight.wgsl", "zero.wgsl", "momentum.wgsl");

/// out[o, y, x, n] = act(bias[t, o] + Σ_{c,i,j} weights[t, (c, i, j), o] · input[c, y + i, x + j, n]), t the weight tile
/// of (y, x). Inputs: input, weights, bias with the shapes of [`ConvGeometry`].
#[derive(Debug, Clone, Copy)]
pub struct Conv {
    /// Output channels.
    pub out_channels: usize,
    /// Side of the square filter.
    pub kernel: usize,
    /// Which outputs share filters.
    pub sharing: Sharing,
    /// Whether the result passes a ReLU.
    pub relu: bool,
    /// Reads an input [channels, height, width, images] as [channels · height · width, 1, 1, images].
    pub flatten: bool,
}

impl Conv {
    /// A layer that connects every input of an image with each of `out_channels` outputs; its weights are
    /// [1, inputs, outputs rounded up to 4], its output [`out_channels`, 1, 1, images].
    pub fn fully_connected(out_channels: usize, relu: bool) -> Self {
        Self { out_channels, kernel: 1, sharing: Sharing::Everywhere, relu, flatten: true }
    }

    /// Sizes for an input of this type.
    ///
    /// # Errors
    /// As [`ConvGeometry::new`].
    pub fn geometry(&self, input: &TensorType) -> Result<ConvGeometry, Error> {
        let flat = match input.dims.split_last() {
            Some((batch, image)) if self.flatten => {
                TensorType { dims: vec![image.iter().product(), 1, 1, *batch], dtype: input.dtype }
            }
            _ => input.clone(),
        };
        ConvGeometry::new("conv", &flat, self.out_channels, self.kernel, self.sharing)
    }
}

/// Geometry of an operation whose inputs were checked when it was recorded.
fn recorded(conv: &Conv, input: &TensorType) -> ConvGeometry {
    conv.geometry(input).expect("checked by infer")
}

/// Where a forward pass goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum To {
    /// Output 0, through a ReLU or not, in its place or added to it.
    Output { relu: bool, adds: bool },
    /// Partial sums in scratch 0, from this number on; the bias is in number 0.
    Partials { first: usize },
}

/// The forward pass from the operands (input, weights, bias); `types` are those of weights and bias.
pub(super) fn forward(
    geometry: &ConvGeometry,
    [input_operand, weights_operand, bias_operand]: [Operand; 3],
    to: To,
    [weights, bias]: [&TensorType; 2],
    target: &Target,
) -> Dispatch {
    let tile = tuning::conv_forward(geometry, target);
    let depth = tuning::conv_forward_depth(geometry, target);
    let sums = tile.channels * 4 * tile.image_vecs;
    let turn = tuning::stored_at_once(sums, 32, target);
    let (operand, relu, adds, first_part) = match to {
        To::Output { relu, adds } => (Operand::Out(0), relu, adds, 0),
        To::Partials { first } => (Operand::Scratch(0), false, false, first),
    };
    let mut specialization = Specialization::constants(&geometry.constants()).with(&[
        ("OUT_HEIGHT", geometry.out_height),
        ("OUT_WIDTH", geometry.out_width),
        ("IMAGE_VECS", tile.image_vecs),
        ("CHANNEL_VECS", tile.channels),
        ("SUMS", sums),
        ("TURN", turn),
        ("LEFT", sums - turn),
        ("RELU", usize::from(relu)),
        ("ADDS", usize::from(adds)),
        ("PARTS", tile.parts),
        ("FIRST_PART", first_part),
        ("LANES", tile.lanes),
        ("SUBGROUP", target.subgroup),
        ("DEPTH", depth),
        ("HELD", (depth * tile.channels).div_ceil(target.subgroup)),
        ("LOADED", depth * tile.image_vecs),
    ]);
    specialization.uniform_if_it_fits("weights", weights.elements(), target.uniform_bytes);
    specialization.uniform_if_it_fits("bias", bias.elements(), target.uniform_bytes);
    let blocks = geometry.out_vecs().div_ceil(tile.channels);
    Dispatch {
        kernel: &FORWARD,
        entry: "forward",
        specialization,
        bindings: vec![input_operand, weights_operand, bias_operand, operand],
        workgroups: [
            geometry.batch_vecs().div_ceil(tile.image_vecs * tile.lanes) as u32,
            (tile.parts * blocks * geometry.out_height * geometry.out_width) as u32,
            1,
        ],
    }
}

impl Op for Conv {
    fn name(&self) -> &'static str {
        "conv"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        let geometry = self.geometry(inputs[0])?;
        geometry.check_parameters(self.name(), inputs[1], inputs[2])?;
        Ok(vec![geometry.output()])
    }

    fn scratch(&self, io: Io, target: &Target) -> Vec<TensorType> {
        let geometry = recorded(self, io.inputs[0]);
        reduce::partials([io.outputs[0]], tuning::conv_forward(&geometry, target).parts)
    }

    fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch> {
        let geometry = recorded(self, io.inputs[0]);
        let from = [Operand::In(0), Operand::In(1), Operand::In(2)];
        let types = [io.inputs[1], io.inputs[2]];
        match tuning::conv_forward(&geometry, target).parts {
            1 => vec![forward(&geometry, from, To::Output { relu: self.relu, adds: false }, types, target)],
            parts => vec![
                forward(&geometry, from, To::Partials { first: 0 }, types, target),
                reduce::sum_partials([Operand::Scratch(0), Operand::Out(0)], parts, io.outputs[0], self.relu, target),
            ],
        }
    }

    fn flops(&self, io: Io) -> u64 {
        recorded(self, io.inputs[0]).flops()
    }

    fn backward(&self, tape: &mut Tape, grad: &Gradient) -> Result<Vec<Option<Var>>, Error> {
        let mut upstream = grad.upstream_of(0, self.name())?;
        if self.relu {
            upstream = tape.apply1(ReluGrad, &[grad.outputs[0], upstream])?;
        }
        let geometry = self.geometry(tape.ty(grad.inputs[0]))?;
        let (input, weights) = (grad.inputs[0], grad.inputs[1]);
        let mut gradients = vec![None; 3];
        if grad.wanted[1] || grad.wanted[2] {
            let both = tape.apply(ConvGradWeight { geometry }, &[input, upstream])?;
            (gradients[1], gradients[2]) = (Some(both[0]), Some(both[1]));
        }
        if grad.wanted[0] {
            let input = tape.ty(input).clone();
            gradients[0] = Some(tape.apply1(ConvGradData { geometry, input }, &[weights, upstream])?);
        }
        Ok(gradients)
    }

    fn reference(&self, io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let geometry = recorded(self, io.inputs[0]);
        let mut out = reference::forward(&geometry, inputs[0], inputs[1], inputs[2]);
        if self.relu {
            out.iter_mut().for_each(|value| *value = if *value <= 0.0 { 0.0 } else { *value });
        }
        vec![out]
    }
}

/// Gradients of [`Conv`] (before its ReLU) with respect to weights and bias. Inputs: input, upstream.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConvGradWeight {
    pub(super) geometry: ConvGeometry,
}

impl Op for ConvGradWeight {
    fn name(&self) -> &'static str {
        "conv_grad_weight"
    }

    fn infer(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        Ok(vec![self.geometry.weights(), self.geometry.bias()])
    }

    fn dispatches(&self, _io: Io, target: &Target) -> Vec<Dispatch> {
        let bindings = vec![Operand::In(0), Operand::In(1), Operand::Out(1), Operand::Out(0)];
        vec![gradients(&self.geometry, "gradients", bindings, target)]
    }

    fn with_update(&self) -> Option<Arc<dyn Op>> {
        self.geometry.updates_with_gradient().then(|| Arc::new(ConvUpdate { geometry: self.geometry }) as Arc<dyn Op>)
    }

    fn flops(&self, _io: Io) -> u64 {
        self.geometry.flops()
    }

    fn reference(&self, _io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        reference::gradients(&self.geometry, inputs[0], inputs[1]).into()
    }
}

/// The dispatch of [`ConvGradWeight`] or, by its `entry`, [`ConvUpdate`].
fn gradients(geometry: &ConvGeometry, entry: &'static str, bindings: Vec<Operand>, target: &Target) -> Dispatch {
    let tile = tuning::conv_grad_weight(geometry, target);
    let blocks = geometry.taps().div_ceil(tile.taps) * geometry.out_vecs().div_ceil(tile.lanes);
    let sums = tile.taps + 1;
    let turn = tuning::stored_at_once(tile.taps, 8, target);
    Dispatch {
        kernel: &GRAD_WEIGHT,
        entry,
        specialization: Specialization::constants(&geometry.constants()).with(&[
            ("OUT_HEIGHT", geometry.out_height),
            ("OUT_WIDTH", geometry.out_width),
            ("TAP_TILE", tile.taps),
            ("SUMS", sums),
            ("TURN", turn),
            ("LEFT", tile.taps - turn),
            ("LANES", tile.lanes),
            ("SUBGROUP", target.subgroup),
            ("HELD", tile.taps.div_ceil(target.subgroup)),
            ("PARTS", tile.parts),
            ("STAGED", if tile.parts == 1 { 1 } else { tile.parts * sums * tile.lanes }),
        ]),
        bindings,
        workgroups: [blocks as u32, geometry.tiles() as u32, 1],
    }
}

/// [`ConvGradWeight`] and the update of the weights by it, [`super::Sgd`]. Inputs: weights, velocity, input, upstream,
/// rates, scale. The first two are overwritten; the third output is the bias's gradient.
#[derive(Debug, Clone, Copy)]
struct ConvUpdate {
    geometry: ConvGeometry,
}

impl Op for ConvUpdate {
    fn name(&self) -> &'static str {
        "conv_update"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        let [weights, velocity, _, _, rates, scale] = inputs else { unreachable!("recorded with six inputs") };
        let mut outputs = Sgd.infer(&[weights, velocity, &self.geometry.weights(), rates, scale])?;
        outputs.push(self.geometry.bias());
        Ok(outputs)
    }

    fn in_place(&self) -> &[(usize, usize)] {
        Sgd.in_place()
    }

    fn dispatches(&self, _io: Io, target: &Target) -> Vec<Dispatch> {
        let [input, upstream, rates, scale] = [2, 3, 4, 5].map(Operand::In);
        let [weights, velocity, grad_bias] = [0, 1, 2].map(Operand::Out);
        let bindings = vec![input, upstream, grad_bias, weights, velocity, rates, scale];
        vec![gradients(&self.geometry, "update", bindings, target)]
    }

    fn flops(&self, _io: Io) -> u64 {
        self.geometry.flops()
    }

    fn reference(&self, _io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let [gradient, bias] = reference::gradients(&self.geometry, inputs[2], inputs[3]);
        let [weights, velocity] = sgd::reference(inputs[0], inputs[1], &gradient, inputs[4], inputs[5]);
        vec![weights, velocity, bias]
    }
}

/// Gradient of [`Conv`] (before its ReLU) with respect to the input. Inputs: weights, upstream.
#[derive(Debug, Clone)]
pub(super) struct ConvGradData {
    pub(super) geometry: ConvGeometry,
    /// The input's type, which a fully connected layer reads as another shape.
    pub(super) input: TensorType,
}

impl Op for ConvGradData {
    fn name(&self) -> &'static str {
        "conv_grad_data"
    }

    fn infer(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        Ok(vec![self.input.clone()])
    }

    fn scratch(&self, _io: Io, target: &Target) -> Vec<TensorType> {
        reduce::partials([&self.input], tuning::conv_grad_data(&self.geometry, target).parts)
    }

    fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch> {
        let geometry = &self.geometry;
        let tile = tuning::conv_grad_data(geometry, target);
        let sums = tile.channels * tile.image_vecs;
        let turn = tuning::stored_at_once(sums, 32, target);
        let mut specialization = Specialization::constants(&geometry.constants()).with(&[
            ("OUT_HEIGHT", geometry.out_height),
            ("OUT_WIDTH", geometry.out_width),
            ("IMAGE_VECS", tile.image_vecs),
            ("LOADED", 4 * tile.image_vecs),
            ("CHANNEL_TILE", tile.channels),
            ("SUMS", sums),
            ("TURN", turn),
            ("LEFT", sums - turn),
            ("LANES", tile.lanes),
            ("SUBGROUP", target.subgroup),
            ("HELD", tile.channels.div_ceil(target.subgroup)),
            ("PARTS", tile.parts),
        ]);
        specialization.uniform_if_it_fits("weights", io.inputs[0].elements(), target.uniform_bytes);
        let blocks = geometry.in_channels.div_ceil(tile.channels);
        reduce::split(tile.parts, [io.outputs[0]], 0, target, |[parts]| Dispatch {
            kernel: &GRAD_DATA,
            entry: "grad_data",
            specialization,
            bindings: vec![Operand::In(0), Operand::In(1), parts],
            workgroups: [
                geometry.batch_vecs().div_ceil(tile.image_vecs * tile.lanes) as u32,
                (tile.parts * blocks * geometry.in_height * geometry.in_width) as u32,
                1,
            ],
        })
    }

    fn flops(&self, _io: Io) -> u64 {
        self.geometry.flops()
    }

    fn reference(&self, _io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![reference::grad_data(&self.geometry, inputs[0], inputs[1])]
    }
}

/// The formulas of the module's head, plain loops in f64; padding channels of weight-shaped results are 0.
pub(super) mod reference {
    use super::{ConvGeometry, at};

    /// Calls `visit(o, y, x, c, i, j, index into weights)` for every product of the convolution.
    fn taps(g: &ConvGeometry, mut visit: impl FnMut([usize; 3], [usize; 3], usize)) {
        let padded = g.out_vecs() * 4;
        for o in 0..g.out_channels {
            for y in 0..g.out_height {
                for x in 0..g.out_width {
                    for c in 0..g.in_channels {
                        for i in 0..g.kernel {
                            for j in 0..g.kernel {
                                let tap = (c * g.kernel + i) * g.kernel + j;
                                let weight = (g.tile(y, x) * g.taps() + tap) * padded + o;
                                visit([o, y, x], [c, y + i, x + j], weight);
                            }
                        }
                    }
                }
            }
        }
    }

    pub fn forward(g: &ConvGeometry, input: &[f64], weights: &[f64], bias: &[f64]) -> Vec<f64> {
        let (from, to) = (g.input(), g.output());
        let mut out = vec![0.0; to.elements()];
        for o in 0..g.out_channels {
            for y in 0..g.out_height {
                for x in 0..g.out_width {
                    let start = at(&to, o, y, x, 0);
                    out[start..start + g.batch].fill(bias[g.tile(y, x) * g.out_vecs() * 4 + o]);
                }
            }
        }
        taps(g, |[o, y, x], [c, row, column], weight| {
            for n in 0..g.batch {
                out[at(&to, o, y, x, n)] += weights[weight] * input[at(&from, c, row, column, n)];
            }
        });
        out
    }

    /// Gradients of weights and bias.
    pub fn gradients(g: &ConvGeometry, input: &[f64], upstream: &[f64]) -> [Vec<f64>; 2] {
        [grad_weight(g, input, upstream), grad_bias(g, upstream)]
    }

    fn grad_weight(g: &ConvGeometry, input: &[f64], upstream: &[f64]) -> Vec<f64> {
        let (from, to) = (g.input(), g.output());
        let mut out = vec![0.0; g.weights().elements()];
        taps(g, |[o, y, x], [c, row, column], weight| {
            for n in 0..g.batch {
                out[weight] += upstream[at(&to, o, y, x, n)] * input[at(&from, c, row, column, n)];
            }
        });
        out
    }

    fn grad_bias(g: &ConvGeometry, upstream: &[f64]) -> Vec<f64> {
        let to = g.output();
        let mut out = vec![0.0; g.bias().elements()];
        for o in 0..g.out_channels {
            for y in 0..g.out_height {
                for x in 0..g.out_width {
                    let start = at(&to, o, y, x, 0);
                    out[g.tile(y, x) * g.out_vecs() * 4 + o] += upstream[start..start + g.batch].iter().sum::<f64>();
                }
            }
        }
        out
    }

    pub fn grad_data(g: &ConvGeometry, weights: &[f64], upstream: &[f64]) -> Vec<f64> {
        let (from, to) = (g.input(), g.output());
        let mut out = vec![0.0; from.elements()];
        taps(g, |[o, y, x], [c, row, column], weight| {
            for n in 0..g.batch {
                out[at(&from, c, row, column, n)] += weights[weight] * upstream[at(&to, o, y, x, n)];
            }
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Case, check, tensor};
    use crate::tape::Origin;
    use proptest::prelude::*;

    /// Input, weights (padding channels zero, as everywhere) and bias of a convolution.
    pub fn inputs(conv: &Conv, input: &[usize; 4], seed: u64) -> Vec<crate::ops::testing::Tensor> {
        let g = conv.geometry(&TensorType::f32(input)).unwrap();
        vec![
            tensor(input, seed),
            tensor(&g.weights().dims, seed ^ 2).zero_columns_from(g.out_channels),
            tensor(&g.bias().dims, seed ^ 3).zero_columns_from(g.out_channels),
        ]
    }

    proptest! {
        #![proptest_config(crate::ops::testing::config(10))]

        #[test]
        fn convolution_and_its_gradients_match_the_reference(
            in_channels in 1usize..4,
            out_channels in prop::sample::select(vec![1usize, 3, 4, 5, 9]),
            (height, width) in (4usize..8, 4usize..7),
            kernel in 1usize..5,
            tile in prop::sample::select(vec![None, Some((1, 1)), Some((2, 2)), Some((2, 3)), Some((3, 1))]),
            batch in prop::sample::select(vec![4usize, 8, 68]),
            relu: bool,
            seed: u64,
        ) {
            let sharing = tile.map_or(Sharing::Everywhere, |(height, width)| Sharing::Tiles { height, width });
            let conv = Conv { out_channels, kernel, sharing, relu: false, flatten: false };
            let case = Case::new(conv, inputs(&conv, &[in_channels, height, width, batch], seed));
            if relu {
                check(Case::new(Conv { relu, ..conv }, case.inputs).kinked());
            } else {
                check(case.bilinear());
            }
        }
    }

    #[test]
    fn sums_of_zeros_have_one_sign_in_every_text_of_a_kernel() {
        // Shut ReLUs and negative weights: the data gradient of several nets had +0 where that of one had −0.
        let conv = Conv { out_channels: 1, kernel: 4, sharing: Sharing::Everywhere, relu: true, flatten: false };
        check(Case::new(conv, inputs(&conv, &[1, 4, 4, 4], 15096485516044942405)).kinked());
    }

    proptest! {
        #![proptest_config(crate::ops::testing::config(6))]

        #[test]
        fn an_update_is_the_gradient_and_the_step_by_it(
            in_channels in 1usize..50,
            out_channels in prop::sample::select(vec![1usize, 4, 5, 37, 70]),
            (side, kernel) in prop::sample::select(vec![(1usize, 1usize), (3, 2)]),
            batch in prop::sample::select(vec![4usize, 36, 68]),
            seed: u64,
        ) {
            let conv = Conv { out_channels, kernel, sharing: Sharing::UNSHARED, relu: false, flatten: false };
            let input = [in_channels, side, side, batch];
            let geometry = conv.geometry(&TensorType::f32(&input)).unwrap();
            let inputs = vec![
                tensor(&geometry.weights().dims, seed).zero_columns_from(out_channels),
                tensor(&geometry.weights().dims, seed ^ 1).zero_columns_from(out_channels),
                tensor(&input, seed ^ 2),
                tensor(&geometry.output().dims, seed ^ 3),
                tensor(&[4], 0).with([0.03f32, 0.9, 5e-4, 0.0].map(f64::from).to_vec()),
                tensor(&[1], 0).with(vec![2.0]),
            ];
            check(Case::new(ConvUpdate { geometry }, inputs).forward_only());
        }
    }

    #[test]
    fn a_large_gradient_that_only_an_update_reads_is_not_stored() {
        let layer = Conv::fully_connected(5, false);
        let record = |images: usize, reads_gradient: bool| {
            let mut tape = Tape::new();
            let x = tape.input("x", TensorType::f32(&[3, 1, 1, images]));
            let rates = tape.input("rates", TensorType::f32(&[4]));
            let w = tape.parameter("w", TensorType::f32(&[1, 3, 8]));
            let b = tape.frozen_parameter("b", TensorType::f32(&[1, 8]));
            let y = tape.apply1(layer, &[x, w, b]).unwrap();
            let loss = tape.apply1(crate::ops::Sum, &[y]).unwrap();
            let gradient = tape.backward(loss).unwrap()[&w];
            if reads_gradient {
                tape.apply1(crate::ops::Sum, &[gradient]).unwrap();
            }
            Sgd::record(&mut tape, w, gradient, rates, 1.0).unwrap();
            let names: Vec<&str> = tape.nodes().iter().map(|node| node.op.name()).collect();
            (names.contains(&"conv_grad_weight"), names.contains(&"conv_update"), names.contains(&"sgd"))
        };
        assert_eq!(record(4, false), (false, true, false));
        assert_eq!(record(4, true), (true, false, true));
        assert_eq!(record(28, false), (false, true, false), "84 inputs and 24 weights");
        assert_eq!(record(32, false), (true, false, true), "96 inputs and 24 weights");
    }

    #[test]
    fn weights_and_bias_step_the_same_with_the_gradient_and_after_it() {
        let record = |reads_gradient: bool| {
            let mut tape = Tape::new();
            let x = tape.input("x", TensorType::f32(&[3, 1, 1, 4]));
            let rates = tape.input("rates", TensorType::f32(&[4]));
            let parameters = [("w", [1, 3, 8].as_slice()), ("b", &[1, 8])]
                .map(|(name, dims)| tape.parameter(name, TensorType::f32(dims)));
            let y = tape.apply1(Conv::fully_connected(5, true), &[x, parameters[0], parameters[1]]).unwrap();
            let loss = tape.apply1(crate::ops::Sum, &[y]).unwrap();
            let gradients = tape.backward(loss).unwrap();
            if reads_gradient {
                tape.apply1(crate::ops::Sum, &[gradients[&parameters[1]]]).unwrap();
            }
            for parameter in parameters {
                Sgd::record(&mut tape, parameter, gradients[&parameter], rates, 2.0).unwrap();
            }
            tape.hoist_updates();
            let given = tape
                .vars()
                .filter(|var| matches!(tape.origin(*var), Origin::Input | Origin::Parameter | Origin::State));
            let given =
                given.map(|var| (var, tensor(&tape.ty(var).dims, tape.name(var).len() as u64).values)).collect();
            let values = crate::tape::evaluate(&tape, &given).unwrap();
            let updates = parameters.map(|parameter| {
                let update =
                    tape.nodes().iter().find(|node| node.inputs[0] == parameter && !node.op.in_place().is_empty());
                let update = update.expect("both are updated");
                (update.op.name(), [0, 1].map(|output| values[update.outputs[output].index()].clone()))
            });
            (updates.each_ref().map(|(name, _)| *name), updates.map(|(_, values)| values))
        };
        let (together, expected) = (record(false), record(true));
        assert_eq!((together.0, expected.0), (["conv_update", "sgd"], ["sgd", "sgd"]));
        assert_eq!(together.1, expected.1);
    }

    #[test]
    fn a_fully_connected_layer_is_a_convolution_of_one_position() {
        let conv = Conv::fully_connected(13, false);
        check(Case::new(conv, inputs(&conv, &[5, 3, 2, 12], 5)).bilinear());
    }

    #[test]
    fn layers_wider_than_a_tile_match_the_reference() {
        // Ragged last tiles of taps, of input and output channels, and of images.
        let conv = Conv::fully_connected(70, false);
        check(Case::new(conv, inputs(&conv, &[93, 1, 1, 68], 6)).bilinear());
        // Sums over outputs long enough to be shared by workgroups.
        let conv = Conv::fully_connected(1030, false);
        check(Case::new(conv, inputs(&conv, &[9, 1, 1, 36], 9)).bilinear());
        // Sums over inputs, through a ReLU; and over images, by several invocations.
        let conv = Conv::fully_connected(37, true);
        check(Case::new(conv, inputs(&conv, &[93, 1, 1, 36], 10)).kinked());
        let geometry = Conv::fully_connected(128, false).geometry(&TensorType::f32(&[5, 1, 1, 260])).unwrap();
        let of_weights = vec![tensor(&[5, 1, 1, 260], 11), tensor(&geometry.output().dims, 12)];
        check(Case::new(ConvGradWeight { geometry }, of_weights).forward_only());
        let sharing = Sharing::UNSHARED;
        let conv = Conv { out_channels: 37, kernel: 2, sharing, relu: false, flatten: false };
        check(Case::new(conv, inputs(&conv, &[43, 3, 2, 36], 7)).bilinear());
    }

    #[test]
    fn shapes_are_checked() {
        let conv = Conv { out_channels: 3, kernel: 4, sharing: Sharing::Everywhere, relu: false, flatten: false };
        for (input, expected) in
            [(vec![2, 3, 9, 4], "does not fit"), (vec![2, 9, 9, 5], "multiple of 4"), (vec![2, 9], "multiple of 4")]
        {
            let message = conv.geometry(&TensorType::f32(&input)).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        let input = TensorType::f32(&[2, 9, 9, 4]);
        let wrong = TensorType::f32(&[1, 32, 3]);
        let message = conv.infer(&[&input, &wrong, &TensorType::f32(&[1, 4])]).unwrap_err().to_string();
        assert!(message.contains("weights") && message.contains("[1, 32, 4]"), "{message}");
    }
}
