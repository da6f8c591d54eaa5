//! Data gradient of convolution + ReLU + 2×2 max-pool, a pooling window at a time
//! (`kernels/conv_pool_grad_data_windows.wgsl`).
//!
//! [`super::conv_pool`] uses it where [`super::tuning`] says that it wins.

use super::conv_pool::constants;
use super::geometry::ConvGeometry;
use super::tuning;
use crate::gpu::{Kernel, Target};
use crate::kernel;
use crate::tape::{Dispatch, Operand};

static GRAD_DATA: Kernel = kernel!("conv_pool_grad_data_windows.wgsl", "zero.wgsl", "codes.wgsl", "patches.wgsl");

/// Side of the square filters that the kernel takes.
pub const KERNEL: usize = 3;
/// Side of the inputs that the 2×2 outputs of a window depend on.
const PATCH: usize = KERNEL + 1;

/// The parities of rows of windows and how many rows each has, at least one: a dispatch each, in this order
/// (`kernels/shared/patches.wgsl`).
pub fn rows_of_parities(geometry: &ConvGeometry) -> impl Iterator<Item = (usize, usize)> {
    let windows = geometry.out_height / 2;
    [(0, windows.div_ceil(2)), (1, windows / 2)].into_iter().filter(|(_, rows)| *rows > 0)
}

/// Data gradient from input 0 (weights), 1 (upstream) and 2 (code) into output 0.
pub fn grad_data(geometry: &ConvGeometry, target: &Target) -> Vec<Dispatch> {
    let tile = tuning::conv_pool_grad_data_windows(geometry, target);
    let dispatch = |(parity, rows): (usize, usize)| Dispatch {
        kernel: &GRAD_DATA,
        entry: "grad_data",
        specialization: constants(geometry).with(&[
            ("CHANNELS", tile.channels),
            ("SUMS", tile.channels * PATCH * PATCH),
            ("KEPT", tile.channels * PATCH * 2),
            ("PARITY", parity),
            ("ROWS", rows),
            ("LANES", tile.lanes),
            ("SUBGROUP", target.subgroup),
            ("HELD", (tile.channels * KERNEL * KERNEL).div_ceil(target.subgroup)),
        ]),
        bindings: vec![Operand::In(0), Operand::In(1), Operand::In(2), Operand::Out(0)],
        workgroups: [
            geometry.batch_vecs().div_ceil(tile.lanes) as u32,
            (geometry.in_channels.div_ceil(tile.channels) * rows) as u32,
            1,
        ],
    };
    rows_of_parities(geometry).map(dispatch).collect()
}
