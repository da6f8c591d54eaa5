//! Gradients of convolution + ReLU + 2×2 max-pool by Winograd's minimal filtering (`kernels/winograd_*.wgsl`): a pooling
//! window is the 2×2 output of one Winograd tile, which takes 16 multiplications for a 3×3 filter instead of 36.
//!
//! [`super::conv_pool`] uses these dispatches where [`super::tuning`] says that they win.

use super::conv_pool::constants;
use super::conv_pool_windows::rows_of_parities;
use super::geometry::ConvGeometry;
use super::{flat_workgroups, reduce, tuning};
use crate::gpu::{Kernel, Specialization, Target};
use crate::kernel;
use crate::tape::{Dispatch, Operand, TensorType};

static FILTER: Kernel = kernel!("winograd_filter.wgsl", "linear.wgsl", "winograd3.wgsl", "winograd.wgsl");
static GRAD_DATA: Kernel =
    kernel!("winograd_grad_data.wgsl", "zero.wgsl", "codes.wgsl", "patches.wgsl", "winograd3.wgsl", "winograd.wgsl");
static GRAD_WEIGHT: Kernel =
    kernel!("winograd_grad_weight.wgsl", "zero.wgsl", "codes.wgsl", "momentum.wgsl", "winograd3.wgsl", "winograd.wgsl");

/// Side of the square filters that the kernels take.
pub const KERNEL: usize = 3;
/// Side of a Winograd tile: the inputs that the 2×2 outputs of a window depend on.
const SIDE: usize = KERNEL + 1;
/// Places in a tile.
const AREA: usize = SIDE * SIDE;
/// Output channels that a step of the data gradient takes; it divides 4, to which their number is rounded up.
const DEPTH: usize = 2;
const FILTER_LANES: usize = 32;

/// The type of transformed filters, [tiles, output channels rounded up to 4, tile area, input channels rounded up to 4].
pub fn filters(geometry: &ConvGeometry) -> TensorType {
    TensorType::f32(&[geometry.tiles(), geometry.out_vecs() * 4, AREA, geometry.in_channels.next_multiple_of(4)])
}

/// Data gradient from input 0 (weights), 1 (upstream) and 2 (code) into output 0, by way of the transformed filters in
/// scratch 0.
pub fn grad_data(geometry: &ConvGeometry, target: &Target) -> Vec<Dispatch> {
    let lanes = target.subgroup;
    let in_vecs = geometry.in_channels.div_ceil(4);
    let elements = geometry.tiles() * geometry.out_vecs() * in_vecs;
    let filters = Dispatch {
        kernel: &FILTER,
        entry: "transform",
        specialization: Specialization::constants(&[
            ("IN_CHANNELS", geometry.in_channels),
            ("IN_VECS", in_vecs),
            ("OUT_VECS", geometry.out_vecs()),
            ("ELEMENTS", elements),
            ("LANES", FILTER_LANES),
        ]),
        bindings: vec![Operand::In(0), Operand::Scratch(0)],
        workgroups: flat_workgroups(elements, FILTER_LANES, target),
    };
    let gradient = |(parity, rows): (usize, usize)| Dispatch {
        kernel: &GRAD_DATA,
        entry: "grad_data",
        specialization: constants(geometry).with(&[
            ("IN_VECS", in_vecs),
            ("KEPT", 4 * SIDE * 2),
            ("DEPTH", DEPTH),
            ("PARITY", parity),
            ("ROWS", rows),
            ("LANES", lanes),
            ("SUBGROUP", lanes),
            ("SHARES", AREA.div_ceil(lanes)),
        ]),
        bindings: vec![Operand::Scratch(0), Operand::In(1), Operand::In(2), Operand::Out(0)],
        workgroups: [geometry.batch_vecs().div_ceil(lanes) as u32, (in_vecs * rows) as u32, 1],
    };
    std::iter::once(filters).chain(rows_of_parities(geometry).map(gradient)).collect()
}

/// Scratch of [`grad_weights`].
pub fn gradient_parts(geometry: &ConvGeometry, target: &Target) -> Vec<TensorType> {
    let splits = tuning::winograd_grad_weight(geometry, target).splits;
    reduce::partials([&geometry.weights(), &geometry.bias()], splits)
}

/// Gradients of weights and bias from input 0 (images), 1 (upstream) and 2 (code) into outputs 0 and 1, by way of scratch 0
/// and 1 where the tuning splits them.
pub fn grad_weights(geometry: &ConvGeometry, target: &Target) -> Vec<Dispatch> {
    let splits = tuning::winograd_grad_weight(geometry, target).splits;
    let inputs = [0, 1, 2].map(Operand::In);
    reduce::split(splits, [&geometry.weights(), &geometry.bias()], 0, target, |[weights, bias]| {
        of_weights(geometry, "gradients", [&inputs[..], &[bias, weights]].concat(), target)
    })
}

/// The update of outputs 0 (weights) and 1 (velocity) by the gradient from inputs 2 (images), 3 (upstream) and 4 (code), at
/// inputs 5 (rates) and 6 (scale), and the bias's gradient into output 2; none where the tuning splits the gradient.
pub fn update(geometry: &ConvGeometry, target: &Target) -> Option<Dispatch> {
    let [images, upstream, code, rates, scale] = [2, 3, 4, 5, 6].map(Operand::In);
    let [weights, velocity, bias] = [0, 1, 2].map(Operand::Out);
    let bindings = vec![images, upstream, code, bias, weights, velocity, rates, scale];
    let whole = tuning::winograd_grad_weight(geometry, target).splits == 1;
    whole.then(|| {
        let mut dispatch = of_weights(geometry, "update", bindings, target);
        dispatch.specialization.uniform_if_it_fits("rates", 4, target.uniform_bytes);
        dispatch
    })
}

/// The dispatch of [`grad_weights`] or, by its `entry`, of [`update`].
fn of_weights(geometry: &ConvGeometry, entry: &'static str, bindings: Vec<Operand>, target: &Target) -> Dispatch {
    let tile = tuning::winograd_grad_weight(geometry, target);
    let blocks = geometry.in_channels.div_ceil(tile.in_channels)
        * (geometry.out_vecs() * 4).div_ceil(tile.lanes * tile.out_channels);
    let filters = tile.out_channels * tile.in_channels;
    let turn = tuning::stored_at_once(filters, 8, target);
    Dispatch {
        kernel: &GRAD_WEIGHT,
        entry,
        specialization: constants(geometry).with(&[
            ("TILES", geometry.tiles()),
            ("CARRIED", SIDE - 2),
            ("IN_TILE", tile.in_channels),
            ("OUT_TILE", tile.out_channels),
            ("IMAGE_VECS", tile.lanes / tile.in_channels),
            ("SUMS", filters * AREA),
            ("TURN", turn),
            ("FOURS", (turn * KERNEL * KERNEL).div_ceil(4)),
            ("LEFT", (filters - turn) * AREA),
            ("SPLITS", tile.splits),
            ("LANES", tile.lanes),
            ("SUBGROUP", tile.lanes),
        ]),
        bindings,
        workgroups: [blocks as u32, (geometry.tiles() * tile.splits) as u32, 1],
    }
}
