//! Weight gradient of convolution + ReLU + 2×2 max-pool by Winograd's minimal filtering
//! (`kernels/winograd_grad_weight.wgsl`): a pooling window is the 2×2 output of one Winograd tile, which takes 16
//! multiplications for a 3×3 filter instead of 36.
//!
//! [`super::conv_pool`] uses it where [`super::tuning`] says that it wins.

use super::conv_pool::constants;
use super::geometry::ConvGeometry;
use super::{reduce, tuning};
use crate::gpu::{Kernel, Target};
use crate::kernel;
use crate::tape::{Dispatch, Operand};

static GRAD_WEIGHT: Kernel =
    kernel!("winograd_grad_weight.wgsl", "zero.wgsl", "codes.wgsl", "winograd3.wgsl", "winograd.wgsl");

/// Side of the square filters that the kernel takes.
pub const KERNEL: usize = 3;
/// Side of a Winograd tile: the inputs that the 2×2 outputs of a window depend on.
const SIDE: usize = KERNEL + 1;
/// Places in a tile.
const AREA: usize = SIDE * SIDE;

/// Weight gradient from input 0 (images), 1 (upstream) and 2 (code) into output 0, by way of scratch 0 where the tuning
/// splits it.
pub fn grad_weight(geometry: &ConvGeometry, target: &Target) -> Vec<Dispatch> {
    let tile = tuning::winograd_grad_weight(geometry, target);
    let blocks =
        geometry.in_channels.div_ceil(tile.taps) * (geometry.out_vecs() * 4).div_ceil(tile.lanes * tile.channels);
    reduce::split(tile.splits, geometry.weights().elements(), target, |parts| Dispatch {
        kernel: &GRAD_WEIGHT,
        entry: "grad_weight",
        specialization: constants(geometry).with(&[
            ("TILES", geometry.tiles()),
            ("CARRIED", SIDE - 2),
            ("IN_TILE", tile.taps),
            ("OUT_TILE", tile.channels),
            ("IMAGE_VECS", tile.lanes / tile.taps),
            ("SUMS", tile.channels * tile.taps * AREA),
            ("SPLITS", tile.splits),
            ("LANES", tile.lanes),
            ("SUBGROUP", tile.lanes),
        ]),
        bindings: vec![Operand::In(0), Operand::In(1), Operand::In(2), parts],
        workgroups: [blocks as u32, (geometry.tiles() * tile.splits) as u32, 1],
    })
}
