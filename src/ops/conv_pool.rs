//! Convolution + bias + ReLU + 2×2 max-pool in one pass, and gradients that use the pool's sparsity
//! (`kernels/conv_pool_*.wgsl`, [`super::conv_pool_windows`]) or, where that is faster, Winograd's domain
//! ([`super::winograd`]). [`super::conv_pool_pixels`] is the same on the bytes of pictures.

use super::conv::reference;
use super::geometry::{ConvGeometry, Sharing, codes};
use super::ingest::{PIXEL_SCALE, blocks};
use super::max_pool::CODE_SHUT;
use super::tuning::PoolGradData;
use super::{Sgd, conv_pool_windows, reduce, sgd, tuning, winograd};
use crate::gpu::{Kernel, Specialization, Target};
use crate::kernel;
use crate::tape::{Dispatch, Error, Gradient, Io, Op, Operand, Tape, TensorType, Var};
use std::sync::Arc;

static FORWARD: Kernel = kernel!("conv_pool_forward.wgsl", "activations.wgsl", "codes.wgsl", "relu.wgsl");
static FORWARD_OF_PIXELS: Kernel =
    kernel!("conv_pool_forward.wgsl", "blocks.wgsl", "pixels.wgsl", "codes.wgsl", "relu.wgsl");
static GRAD_DATA: Kernel = kernel!("conv_pool_grad_data.wgsl", "zero.wgsl", "codes.wgsl");
static GRAD_WEIGHT: Kernel = kernel!("conv_pool_grad_weight.wgsl", "activations.wgsl", "zero.wgsl", "codes.wgsl");
static GRAD_WEIGHT_OF_PIXELS: Kernel =
    kernel!("conv_pool_grad_weight.wgsl", "blocks.wgsl", "pixels.wgsl", "zero.wgsl", "codes.wgsl");

/// pooled = maxpool(max(0, conv(input))). Inputs: input, weights, bias with the shapes of [`ConvGeometry`]; outputs: the
/// pooled values and, one byte each, the position of the first maximum in its 2×2 window (0 to 3 in scan order), or 4
/// where the ReLU is shut.
#[derive(Debug, Clone, Copy)]
pub struct ConvPool {
    /// Output channels.
    pub out_channels: usize,
    /// Side of the square filter.
    pub kernel: usize,
    /// Which outputs share filters; tiles have even sides, so that no pooling window straddles two.
    pub sharing: Sharing,
}

impl ConvPool {
    /// Sizes for an input of this type.
    ///
    /// # Errors
    /// As [`ConvGeometry::new`]; an output or tile with an odd side.
    pub fn geometry(&self, input: &TensorType) -> Result<ConvGeometry, Error> {
        let geometry = ConvGeometry::new(self.name(), input, self.out_channels, self.kernel, self.sharing)?;
        let sides = [geometry.out_height, geometry.out_width, geometry.tile_height, geometry.tile_width];
        if sides.iter().any(|side| side % 2 == 1) {
            let [height, width, tile_height, tile_width] = sides;
            return Err(Error::shape(
                self.name(),
                format!(
                    "2×2 pooling needs even sides, got an output of {height}×{width} in tiles of {tile_height}×{tile_width}"
                ),
            ));
        }
        Ok(geometry)
    }
}

/// Where the inputs of a convolution with its pool are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// Activations [channels, height, width, images].
    Activations(Operand),
    /// [`super::ingest::pixels`], the images' gains, and the mean in blocks.
    Pixels([Operand; 3]),
}

impl Source {
    /// The first binding, and what comes after the last of a kernel's own.
    fn bindings(self) -> (Operand, Vec<Operand>) {
        match self {
            Self::Activations(images) => (images, vec![]),
            Self::Pixels([pixels, gains, mean]) => (pixels, vec![gains, mean]),
        }
    }

    /// Columns of a window in registers: whole blocks of pixels.
    fn columns(self, geometry: &ConvGeometry) -> usize {
        let window = geometry.kernel + 1;
        if let Self::Pixels(_) = self { window.next_multiple_of(2) } else { window }
    }

    /// Columns that are loaded at once, of those of a window or of the two that enter.
    fn unit(self) -> usize {
        if let Self::Pixels(_) = self { 2 } else { 1 }
    }

    /// The constants of the snippet that loads the inputs, `unit` columns at once.
    fn constants(self, geometry: &ConvGeometry, unit: usize, target: &Target) -> Vec<(&'static str, usize)> {
        let window = geometry.kernel + 1;
        let columns = self.columns(geometry);
        let mut constants =
            vec![("WINDOW", window), ("COLUMNS", columns), ("PLACES", window * columns), ("UNIT", unit)];
        if let Self::Pixels(_) = self {
            let [rows, columns] = blocks(geometry.in_height, geometry.in_width);
            let (down, across) = (window.div_ceil(2), unit / 2);
            constants.extend([
                ("BLOCK_ROWS", rows),
                ("BLOCK_COLUMNS", columns),
                ("PIXEL_SCALE", PIXEL_SCALE),
                ("DOWN", down),
                ("ACROSS", across),
                ("HELD_MEANS", (down * across).div_ceil(target.subgroup)),
            ]);
        }
        constants
    }
}

/// The constants that every kernel of a convolution with its pool declares.
pub(super) fn constants(geometry: &ConvGeometry) -> Specialization {
    Specialization::constants(&geometry.constants()).with(&[
        ("POOLED_HEIGHT", geometry.out_height / 2),
        ("POOLED_WIDTH", geometry.out_width / 2),
        ("KERNEL_AREA", geometry.kernel * geometry.kernel),
    ])
}

/// The forward pass from inputs, weights and bias into outputs 0 (pooled values) and 1 (codes).
pub(super) fn forward(
    geometry: &ConvGeometry,
    source: Source,
    [weights, bias]: [Operand; 2],
    target: &Target,
) -> Dispatch {
    let tile = tuning::conv_pool_forward(geometry, target);
    let columns = source.columns(geometry);
    let turn = tuning::stored_at_once(tile.channels * 4, 8, target);
    let mut specialization = constants(geometry).with(&source.constants(geometry, columns, target)).with(&[
        ("CHANNEL_VECS", tile.channels),
        ("SUMS", tile.channels * 16),
        ("TURN", turn),
        ("LEFT", (tile.channels * 4 - turn) * 4),
        ("SUBGROUP", target.subgroup),
        ("HELD", (tile.channels * geometry.kernel * geometry.kernel).div_ceil(target.subgroup)),
        ("LANES", tile.lanes),
        ("GROUPS", tile.groups),
    ]);
    specialization.uniform_if_it_fits("weights", geometry.weights().elements(), target.uniform_bytes);
    specialization.uniform_if_it_fits("bias", geometry.bias().elements(), target.uniform_bytes);
    let blocks = geometry.out_vecs().div_ceil(tile.channels * tile.groups);
    let windows = geometry.out_height / 2 * (geometry.out_width / 2);
    let (images, more) = source.bindings();
    Dispatch {
        kernel: if let Source::Activations(_) = source { &FORWARD } else { &FORWARD_OF_PIXELS },
        entry: "forward",
        specialization,
        bindings: [&[images, weights, bias, Operand::Out(0), Operand::Out(1)], more.as_slice()].concat(),
        workgroups: [geometry.batch_vecs().div_ceil(tile.lanes) as u32, (blocks * windows) as u32, 1],
    }
}

/// Gradients of weights and bias from inputs, upstream gradient and codes into outputs 0 and 1, by way of scratch from
/// number `scratch` on where the tuning splits them: [`gradient_parts`].
pub(super) fn grad_weights(
    geometry: &ConvGeometry,
    source: Source,
    [upstream, code]: [Operand; 2],
    scratch: usize,
    target: &Target,
) -> Vec<Dispatch> {
    let tile = tuning::conv_pool_grad_weight(geometry, target);
    let area = geometry.kernel * geometry.kernel;
    let blocks = geometry.in_channels * (geometry.out_vecs() * 4).div_ceil(tile.channels);
    let (columns, unit) = (source.columns(geometry), source.unit());
    let products = tile.channels * area;
    let sums = products + tile.channels;
    let stores = sums.div_ceil(tile.lanes);
    let turn = tuning::stored_at_once(stores, 2, target);
    let specialization = constants(geometry).with(&source.constants(geometry, unit, target)).with(&[
        ("TILES", geometry.tiles()),
        ("SHIFTED_AREA", geometry.kernel * (geometry.kernel + 1)),
        ("CARRIED", columns - 2),
        ("CARRIED_UNITS", (columns - 2) / unit),
        ("ENTERING_UNITS", 2 / unit),
        ("OUT_TILE", tile.channels),
        ("PRODUCTS", products),
        ("SUMS", sums),
        ("STORES", stores),
        ("TURN", turn),
        ("LEFT", sums.saturating_sub(turn * tile.lanes)),
        ("STAGED", tuning::staged_totals(sums, tile.lanes, target)),
        ("SPLITS", tile.splits),
        ("LANES", tile.lanes),
        ("SUBGROUP", target.subgroup),
    ]);
    let (images, more) = source.bindings();
    reduce::split(tile.splits, [&geometry.weights(), &geometry.bias()], scratch, target, |[weights, bias]| Dispatch {
        kernel: if let Source::Activations(_) = source { &GRAD_WEIGHT } else { &GRAD_WEIGHT_OF_PIXELS },
        entry: "gradients",
        specialization,
        bindings: [&[images, upstream, code, weights, bias], more.as_slice()].concat(),
        workgroups: [blocks as u32, (geometry.tiles() * tile.splits) as u32, 1],
    })
}

/// Scratch of [`grad_weights`].
pub(super) fn gradient_parts(geometry: &ConvGeometry, target: &Target) -> Vec<TensorType> {
    let splits = tuning::conv_pool_grad_weight(geometry, target).splits;
    reduce::partials([&geometry.weights(), &geometry.bias()], splits)
}

impl Op for ConvPool {
    fn name(&self) -> &'static str {
        "conv_pool"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        let geometry = self.geometry(inputs[0])?;
        geometry.check_parameters(self.name(), inputs[1], inputs[2])?;
        let pooled = geometry.pooled();
        let codes = codes(&pooled);
        Ok(vec![pooled, codes])
    }

    fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch> {
        let geometry = self.geometry(io.inputs[0]).expect("checked by infer");
        vec![forward(&geometry, Source::Activations(Operand::In(0)), [Operand::In(1), Operand::In(2)], target)]
    }

    fn flops(&self, io: Io) -> u64 {
        self.geometry(io.inputs[0]).map_or(0, |geometry| geometry.flops())
    }

    fn backward(&self, tape: &mut Tape, grad: &Gradient) -> Result<Vec<Option<Var>>, Error> {
        let upstream = grad.upstream_of(0, self.name())?;
        let geometry = self.geometry(tape.ty(grad.inputs[0]))?;
        let (input, weights, code) = (grad.inputs[0], grad.inputs[1], grad.outputs[1]);
        let mut gradients = vec![None; 3];
        // The gradient of the input reads the weights, that of the weights the input: the larger of the two is let go of
        // (the weights' gradient by its update) before the other's gradient is there.
        let weights_first = tape.ty(input).elements() > geometry.weights().elements();
        for of_weights in [weights_first, !weights_first] {
            if of_weights && (grad.wanted[1] || grad.wanted[2]) {
                let both = tape.apply(ConvPoolGradWeight { geometry }, &[input, upstream, code])?;
                (gradients[1], gradients[2]) = (Some(both[0]), Some(both[1]));
            }
            if !of_weights && grad.wanted[0] {
                gradients[0] = Some(tape.apply1(ConvPoolGradData { geometry }, &[weights, upstream, code])?);
            }
        }
        Ok(gradients)
    }

    fn reference(&self, io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let geometry = self.geometry(io.inputs[0]).expect("checked by infer");
        let mut z = reference::forward(&geometry, inputs[0], inputs[1], inputs[2]);
        z.iter_mut().for_each(|value| *value = if *value <= 0.0 { 0.0 } else { *value });
        let (pooled, mut code) = super::max_pool::reference::forward(&geometry.output(), &z);
        for (value, code) in pooled.iter().zip(&mut code) {
            if *value == 0.0 {
                *code = CODE_SHUT;
            }
        }
        vec![pooled, code]
    }
}

/// Gradients with respect to weights and bias. Inputs: input, upstream, code.
#[derive(Debug, Clone, Copy)]
struct ConvPoolGradWeight {
    geometry: ConvGeometry,
}

impl Op for ConvPoolGradWeight {
    fn name(&self) -> &'static str {
        "conv_pool_grad_weight"
    }

    fn infer(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        Ok(vec![self.geometry.weights(), self.geometry.bias()])
    }

    fn scratch(&self, _io: Io, target: &Target) -> Vec<TensorType> {
        match tuning::winograd(&self.geometry, target) {
            true => winograd::gradient_parts(&self.geometry, target),
            false => gradient_parts(&self.geometry, target),
        }
    }

    fn dispatches(&self, _io: Io, target: &Target) -> Vec<Dispatch> {
        let (images, gradient) = (Operand::In(0), [Operand::In(1), Operand::In(2)]);
        match tuning::winograd(&self.geometry, target) {
            true => winograd::grad_weights(&self.geometry, target),
            false => grad_weights(&self.geometry, Source::Activations(images), gradient, 0, target),
        }
    }

    fn with_update(&self) -> Option<Arc<dyn Op>> {
        self.geometry.updates_with_gradient().then(|| Arc::new(ConvPoolUpdate { of: *self }) as Arc<dyn Op>)
    }

    fn flops(&self, _io: Io) -> u64 {
        self.geometry.flops() / 4
    }

    fn reference(&self, _io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        grad_weights_reference(&self.geometry, inputs[0], inputs[1], inputs[2])
    }
}

/// [`ConvPoolGradWeight`] and the update of the weights by it, [`super::Sgd`]. Inputs: weights, velocity, input, upstream,
/// code, rates, scale. The first two are overwritten; the third output is the bias's gradient.
#[derive(Debug, Clone, Copy)]
struct ConvPoolUpdate {
    of: ConvPoolGradWeight,
}

impl ConvPoolUpdate {
    /// One dispatch that does not store the weights' gradient, where there is such a kernel.
    fn fused(&self, target: &Target) -> Option<Dispatch> {
        let geometry = &self.of.geometry;
        tuning::winograd(geometry, target).then(|| winograd::update(geometry, target)).flatten()
    }
}

impl Op for ConvPoolUpdate {
    fn name(&self) -> &'static str {
        "conv_pool_update"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        let [weights, velocity, _, _, _, rates, scale] = inputs else { unreachable!("recorded with seven inputs") };
        let mut outputs = Sgd.infer(&[weights, velocity, &self.of.geometry.weights(), rates, scale])?;
        outputs.push(self.of.geometry.bias());
        Ok(outputs)
    }

    fn in_place(&self) -> &[(usize, usize)] {
        Sgd.in_place()
    }

    fn scratch(&self, io: Io, target: &Target) -> Vec<TensorType> {
        if self.fused(target).is_some() {
            return vec![];
        }
        let mut scratch = self.of.scratch(io, target);
        scratch.push(self.of.geometry.weights());
        scratch
    }

    fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch> {
        if let Some(fused) = self.fused(target) {
            return vec![fused];
        }
        let gradient = Operand::Scratch(self.scratch(io, target).len() - 1);
        let of_gradient = |operand| match operand {
            Operand::In(input) => Operand::In(input + 2),
            Operand::Out(0) => gradient,
            Operand::Out(_) => Operand::Out(2),
            scratch @ Operand::Scratch(_) => scratch,
        };
        let of_update = |operand| match operand {
            Operand::In(2) => gradient,
            Operand::In(input) => Operand::In(input + 2),
            other => other,
        };
        let gradients = self.of.dispatches(io, target).into_iter().map(|dispatch| dispatch.rebound(of_gradient));
        gradients.chain(Sgd.dispatches(io, target).into_iter().map(|dispatch| dispatch.rebound(of_update))).collect()
    }

    fn flops(&self, io: Io) -> u64 {
        self.of.flops(io)
    }

    fn reference(&self, _io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let gradients = grad_weights_reference(&self.of.geometry, inputs[2], inputs[3], inputs[4]);
        let [weights, velocity] = sgd::reference(inputs[0], inputs[1], &gradients[0], inputs[5], inputs[6]);
        vec![weights, velocity, gradients[1].clone()]
    }
}

/// Gradient with respect to the input. Inputs: weights, upstream, code.
#[derive(Debug, Clone, Copy)]
struct ConvPoolGradData {
    geometry: ConvGeometry,
}

impl Op for ConvPoolGradData {
    fn name(&self) -> &'static str {
        "conv_pool_grad_data"
    }

    fn infer(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        Ok(vec![self.geometry.input()])
    }

    fn scratch(&self, _io: Io, target: &Target) -> Vec<TensorType> {
        match tuning::pool_grad_data(&self.geometry, target) {
            PoolGradData::Winograd => vec![winograd::filters(&self.geometry)],
            PoolGradData::Windows | PoolGradData::Blocks => vec![],
        }
    }

    fn dispatches(&self, _io: Io, target: &Target) -> Vec<Dispatch> {
        let geometry = &self.geometry;
        match tuning::pool_grad_data(geometry, target) {
            PoolGradData::Winograd => winograd::grad_data(geometry, target),
            PoolGradData::Windows => conv_pool_windows::grad_data(geometry, target),
            PoolGradData::Blocks => vec![grad_data_by_blocks(geometry, target)],
        }
    }

    fn flops(&self, _io: Io) -> u64 {
        self.geometry.flops()
    }

    fn reference(&self, _io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![reference::grad_data(&self.geometry, inputs[0], &expand(&self.geometry, inputs[1], inputs[2]))]
    }
}

/// Data gradient from input 0 (weights), 1 (upstream) and 2 (code) into output 0, a block of inputs at a time.
fn grad_data_by_blocks(geometry: &ConvGeometry, target: &Target) -> Dispatch {
    let tile = tuning::conv_pool_grad_data(geometry, target);
    // Pooling windows along an axis that a 2×2 block of inputs depends on.
    let cells = geometry.kernel / 2 + 1;
    let one_tile = geometry.tiles() == 1;
    let pairings = if one_tile { geometry.kernel } else { geometry.kernel + geometry.kernel / 2 };
    let mut specialization = constants(geometry).with(&[
        ("CELLS", cells),
        ("EXPANDED", 2 * cells),
        ("EXPANDED_AREA", 4 * cells * cells),
        ("CHANNEL_TILE", tile.channels),
        ("ONE_TILE", usize::from(one_tile)),
        ("PAIRINGS", pairings),
        ("PAIRED_AREA", pairings * pairings),
        ("SUMS", tile.channels * 4),
        ("LANES", tile.lanes),
        ("SUBGROUP", target.subgroup),
        ("HELD", (tile.channels * pairings * pairings).div_ceil(target.subgroup)),
    ]);
    specialization.uniform_if_it_fits("weights", geometry.weights().elements(), target.uniform_bytes);
    let blocks = geometry.in_height.div_ceil(2) * geometry.in_width.div_ceil(2);
    Dispatch {
        kernel: &GRAD_DATA,
        entry: "grad_data",
        specialization,
        bindings: vec![Operand::In(0), Operand::In(1), Operand::In(2), Operand::Out(0)],
        workgroups: [
            geometry.batch_vecs().div_ceil(tile.lanes) as u32,
            (geometry.in_channels.div_ceil(tile.channels) * blocks) as u32,
            1,
        ],
    }
}

/// The gradient at the convolution's output: upstream at each window's maximum, 0 elsewhere.
fn expand(geometry: &ConvGeometry, upstream: &[f64], code: &[f64]) -> Vec<f64> {
    super::max_pool::reference::backward(&geometry.output(), upstream, code)
}

/// Gradients of weights and bias.
pub(super) fn grad_weights_reference(
    geometry: &ConvGeometry,
    images: &[f64],
    upstream: &[f64],
    code: &[f64],
) -> Vec<Vec<f64>> {
    let upstream = expand(geometry, upstream, code);
    reference::gradients(geometry, images, &upstream).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Sum;
    use crate::ops::testing::{Case, Tensor, check, gpu_outputs, integers, tensor};
    use proptest::prelude::*;

    fn inputs(conv: &ConvPool, input: &[usize; 4], seed: u64) -> Vec<Tensor> {
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
        fn fused_convolution_and_its_gradients_match_the_reference(
            in_channels in 1usize..4,
            out_channels in prop::sample::select(vec![1usize, 3, 4, 5, 9]),
            (rows, columns) in (1usize..4, 1usize..4),
            kernel in 1usize..6,
            tile in prop::sample::select(vec![None, Some((2, 2)), Some((4, 2)), Some((2, 4))]),
            batch in prop::sample::select(vec![4usize, 8, 68]),
            seed: u64,
        ) {
            let sharing = match tile {
                Some((height, width)) if height <= 2 * rows && width <= 2 * columns => Sharing::Tiles { height, width },
                _ => Sharing::Everywhere,
            };
            let conv = ConvPool { out_channels, kernel, sharing };
            let dims = [in_channels, 2 * rows + kernel - 1, 2 * columns + kernel - 1, batch];
            check(Case::new(conv, inputs(&conv, &dims, seed)).kinked());
        }
    }

    #[test]
    fn gradients_of_sizes_that_fill_a_card_match_the_reference() {
        // Enough images for two subgroups of a card in a workgroup; enough rows of windows for it to go window by window.
        let tiles = Sharing::Tiles { height: 2, width: 2 };
        for (dims, sharing) in [([2, 8, 6, 260], Sharing::Everywhere), ([64, 34, 4, 256], tiles)] {
            let conv = ConvPool { out_channels: 2, kernel: 3, sharing };
            let geometry = conv.geometry(&TensorType::f32(&dims)).unwrap();
            let upstream = tensor(&geometry.pooled().dims, 1);
            let code = integers(codes(&geometry.pooled()), 5, 2);
            let weights = tensor(&geometry.weights().dims, 3).zero_columns_from(conv.out_channels);
            let of_data = vec![weights, upstream.clone(), code.clone()];
            check(Case::new(ConvPoolGradData { geometry }, of_data).forward_only());
            let of_weights = vec![tensor(&dims, 4), upstream, code];
            check(Case::new(ConvPoolGradWeight { geometry }, of_weights).forward_only());
        }
    }

    proptest! {
        #![proptest_config(crate::ops::testing::config(6))]

        #[test]
        fn an_update_is_the_gradient_and_the_step_by_it(
            in_channels in 1usize..24,
            out_channels in prop::sample::select(vec![1usize, 4, 5, 37, 60]),
            kernel in prop::sample::select(vec![2usize, 3, 3]),
            // As many tiles as windows, so that sums are whole; or one, whose sums are in parts.
            sharing in prop::sample::select(vec![Sharing::Everywhere, Sharing::Tiles { height: 2, width: 2 }]),
            batch in prop::sample::select(vec![4usize, 36, 68]),
            seed: u64,
        ) {
            let conv = ConvPool { out_channels, kernel, sharing };
            let input = [in_channels, 5 + kernel, 5 + kernel, batch];
            let geometry = conv.geometry(&TensorType::f32(&input)).unwrap();
            let inputs = vec![
                tensor(&geometry.weights().dims, seed).zero_columns_from(out_channels),
                tensor(&geometry.weights().dims, seed ^ 1).zero_columns_from(out_channels),
                tensor(&input, seed ^ 2),
                tensor(&geometry.pooled().dims, seed ^ 3),
                integers(codes(&geometry.pooled()), 5, seed ^ 4),
                tensor(&[4], 0).with([0.03f32, 0.9, 5e-4, 0.0].map(f64::from).to_vec()),
                tensor(&[1], 0).with(vec![2.0]),
            ];
            let of = ConvPoolGradWeight { geometry };
            // The bias's gradient is a sum of up to 612 numbers, which may cancel.
            check(Case::new(ConvPoolUpdate { of }, inputs).forward_only().magnitude(50.0));
        }
    }

    #[test]
    fn layers_wider_than_a_tile_match_the_reference() {
        // Ragged last tiles of input and output channels and of images; several rows and columns of windows.
        let tiles = Sharing::Tiles { height: 2, width: 4 };
        for (in_channels, out_channels, kernel, sharing) in [(21, 44, 3, Sharing::Everywhere), (23, 41, 2, tiles)] {
            let conv = ConvPool { out_channels, kernel, sharing };
            check(Case::new(conv, inputs(&conv, &[in_channels, 5 + kernel, 5 + kernel, 36], 8)).kinked());
        }
    }

    /// The data gradient in Winograd's domain also where the tuning takes another way, which filters of several tiles are.
    #[derive(Debug)]
    struct ByWinograd(ConvPoolGradData);

    impl Op for ByWinograd {
        fn name(&self) -> &'static str {
            self.0.name()
        }

        fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
            self.0.infer(inputs)
        }

        fn scratch(&self, _io: Io, _target: &Target) -> Vec<TensorType> {
            vec![winograd::filters(&self.0.geometry)]
        }

        fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch> {
            match tuning::winograd(&self.0.geometry, target) {
                true => winograd::grad_data(&self.0.geometry, target),
                false => self.0.dispatches(io, target),
            }
        }

        fn reference(&self, io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
            self.0.reference(io, inputs)
        }
    }

    #[test]
    fn winograds_domain_takes_filters_of_several_tiles() {
        for (in_channels, out_channels, height, width) in [(6, 5, 2, 2), (4, 9, 4, 2)] {
            let conv = ConvPool { out_channels, kernel: 3, sharing: Sharing::Tiles { height, width } };
            let geometry = conv.geometry(&TensorType::f32(&[in_channels, 10, 8, 68])).unwrap();
            let weights = tensor(&geometry.weights().dims, 1).zero_columns_from(out_channels);
            let (upstream, code) = (tensor(&geometry.pooled().dims, 2), integers(codes(&geometry.pooled()), 5, 3));
            check(Case::new(ByWinograd(ConvPoolGradData { geometry }), vec![weights, upstream, code]).forward_only());
        }
    }

    #[test]
    fn the_first_maximum_wins_a_tie() {
        // A constant picture: all four positions of every window are equal.
        let conv = ConvPool { out_channels: 4, kernel: 3, sharing: Sharing::Everywhere };
        let mut case = inputs(&conv, &[1, 6, 6, 4], 3);
        case[0] = case[0].clone().with(vec![0.5; 144]);
        case[2] = case[2].clone().with(vec![10.0; 4]);
        let out = gpu_outputs(&Case::new(conv, case));
        assert!(out[0].iter().all(|value| *value > 0.0));
        assert_eq!(out[1], vec![0.0; 64]);
    }

    #[test]
    fn the_larger_of_input_and_weights_is_let_go_of_first() {
        // 2·8·8·4 inputs against 2·9·4 weights, 1·4·4·4 against 1·9·8.
        for (dims, out_channels, first) in
            [([2, 8, 8, 4], 4, "conv_pool_grad_weight"), ([1, 4, 4, 4], 8, "conv_pool_grad_data")]
        {
            let conv = ConvPool { out_channels, kernel: 3, sharing: Sharing::Everywhere };
            let geometry = conv.geometry(&TensorType::f32(&dims)).unwrap();
            let mut tape = Tape::new();
            let parameters = [TensorType::f32(&dims), geometry.weights(), geometry.bias()];
            let parameters = parameters.map(|ty| tape.parameter("parameter", ty));
            let outputs = tape.apply(conv, &parameters).unwrap();
            let loss = tape.apply1(Sum, &[outputs[0]]).unwrap();
            tape.backward(loss).unwrap();
            let gradient =
                tape.nodes().iter().map(|node| node.op.name()).find(|name| name.starts_with("conv_pool_grad"));
            assert_eq!(gradient, Some(first), "{dims:?}");
        }
    }

    #[test]
    fn odd_sides_are_refused() {
        let conv = ConvPool { out_channels: 4, kernel: 3, sharing: Sharing::Everywhere };
        let message = conv.geometry(&TensorType::f32(&[1, 7, 6, 4])).unwrap_err().to_string();
        assert!(message.contains("even sides"), "{message}");
    }
}
