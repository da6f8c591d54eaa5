//! Register tiles and split counts of the convolution kernels, by measurement (`benches/NOTES.md`).
//!
//! Every choice here changes speed only, and the order of summation within the documented tolerance.

use super::geometry::ConvGeometry;
use super::{conv_pool_windows, winograd};
use crate::gpu::Target;

/// Whether lanes that share loads are 16, so that a load serves twice the multiply-adds.
fn wide(target: &Target) -> bool {
    target.subgroup >= 16
}

/// Whether lanes share loads by broadcasts, which the kernels of a pooling window at a time are made for.
fn lanes_share_loads(target: &Target) -> bool {
    target.subgroup >= 8
}

/// Neighbouring pixels that one invocation of the ingest takes.
pub fn ingest_run(width: usize, target: &Target) -> usize {
    if target.software { width.min(4) } else { 1 }
}

/// Lanes that share the sum of a bias gradient.
pub fn bias_lanes(target: &Target) -> usize {
    if target.subgroup > 1 { target.subgroup } else { 32 }
}

/// Tile of a forward or data-gradient kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageTile {
    /// Workgroup size, along images.
    pub lanes: usize,
    /// Vectors of four images an invocation.
    pub image_vecs: usize,
    /// Channels (or vectors of four, as the kernel counts) an invocation.
    pub channels: usize,
}

/// Tile of a weight-gradient kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightTile {
    /// Workgroup size, along (tap, channel) blocks.
    pub lanes: usize,
    /// Taps (or input channels, as the kernel counts) an invocation.
    pub taps: usize,
    /// Output channels an invocation.
    pub channels: usize,
    /// Partial sums over positions.
    pub splits: usize,
}

/// The largest workgroup along images that is not mostly idle.
fn image_lanes(geometry: &ConvGeometry, target: &Target) -> usize {
    let most = if target.software { 8 } else { 32 };
    // Lanes that share loads must all be there.
    if target.subgroup > 1 { target.subgroup } else { geometry.batch_vecs().next_power_of_two().clamp(1, most) }
}

/// The smallest tile that needs no more tiles than `most` would, so that the last one is nearly full.
fn balanced(count: usize, most: usize) -> usize {
    count.div_ceil(count.div_ceil(most))
}

/// The divisor of `count` nearest below or at `most`, so that no tile is ragged; `most` where only 1 divides.
fn even_share(count: usize, most: usize) -> usize {
    let largest = (1..=most.min(count)).rev().find(|tile| count.is_multiple_of(*tile)).unwrap_or(1);
    if largest * 2 > most.min(count) { largest } else { most.min(count) }
}

/// Convolution without pooling: conv4 and the fully connected layers.
pub fn conv_forward(geometry: &ConvGeometry, target: &Target) -> ImageTile {
    let most = if wide(target) { 16 } else { 8 };
    let channels =
        if target.software { balanced(geometry.out_vecs(), most) } else { even_share(geometry.out_vecs(), 2) };
    let blocks = geometry.out_vecs().div_ceil(channels) * geometry.out_height * geometry.out_width;
    let tile = image_tile(geometry, target, channels, blocks);
    if wide(target) { ImageTile { image_vecs: tile.image_vecs.min(2), ..tile } } else { tile }
}

/// Taps that a step of the forward convolution takes, a divisor of their number.
pub fn conv_forward_depth(geometry: &ConvGeometry, target: &Target) -> usize {
    let most = if target.software { 2 } else { 1 };
    (1..=most).rev().find(|depth| geometry.taps().is_multiple_of(*depth)).unwrap_or(1)
}

/// Images of an invocation: as many as leave each core of a software device a few workgroups, of `blocks` to begin with.
fn image_tile(geometry: &ConvGeometry, target: &Target, channels: usize, blocks: usize) -> ImageTile {
    let lanes = image_lanes(geometry, target);
    let rounds = geometry.batch_vecs().div_ceil(lanes);
    let fits = |image_vecs: &usize| *image_vecs <= rounds && blocks * rounds.div_ceil(*image_vecs) >= 8;
    let image_vecs = if target.software { [4, 2].into_iter().find(fits).unwrap_or(1) } else { 1 };
    ImageTile { lanes, image_vecs, channels }
}

/// Data gradient without pooling.
pub fn conv_grad_data(geometry: &ConvGeometry, target: &Target) -> ImageTile {
    let most = if target.software { 40 } else { 4 };
    let channels =
        if target.software { balanced(geometry.in_channels, most) } else { even_share(geometry.in_channels, most) };
    let blocks = geometry.in_channels.div_ceil(channels) * geometry.in_height * geometry.in_width;
    let tile = image_tile(geometry, target, channels, blocks);
    ImageTile { image_vecs: tile.image_vecs.min(2), ..tile }
}

/// Weight gradient without pooling.
pub fn conv_grad_weight(geometry: &ConvGeometry, target: &Target) -> WeightTile {
    let taps = if target.software { balanced(geometry.taps(), 80) } else { even_share(geometry.taps(), 4) };
    let lanes = if target.subgroup > 1 { target.subgroup } else { geometry.out_vecs().next_power_of_two().min(32) };
    WeightTile { lanes, taps, channels: 4, splits: 1 }
}

/// Fused convolution and pool.
pub fn conv_pool_forward(geometry: &ConvGeometry, target: &Target) -> ImageTile {
    let most = if wide(target) { 15 } else { 10 };
    let channels = if target.software { balanced(geometry.out_vecs(), most) } else { 1 };
    ImageTile { lanes: image_lanes(geometry, target), image_vecs: 1, channels }
}

/// Data gradient through the pool.
pub fn conv_pool_grad_data(geometry: &ConvGeometry, target: &Target) -> ImageTile {
    let channels =
        if target.software { balanced(geometry.in_channels, 20) } else { even_share(geometry.in_channels, 4) };
    ImageTile { lanes: image_lanes(geometry, target), image_vecs: 1, channels }
}

/// Weight gradient through the pool; `taps` counts input channels.
pub fn conv_pool_grad_weight(geometry: &ConvGeometry, target: &Target) -> WeightTile {
    let (inputs, outputs) = match target.software {
        true if wide(target) => (1, 20),
        true => (4, 12),
        false => (1, 2),
    };
    let (taps, channels) = (balanced(geometry.in_channels, inputs), balanced(geometry.out_vecs() * 4, outputs));
    let blocks = geometry.in_channels.div_ceil(taps) * (geometry.out_vecs() * 4).div_ceil(channels) * geometry.tiles();
    // Enough workgroups to fill the machine; a split is at least one row of windows.
    let wanted: usize = if target.software { 24 } else { 2048 };
    let splits = wanted.div_ceil(blocks).min(geometry.tile_height / 2);
    WeightTile { lanes: image_lanes(geometry, target), taps, channels, splits }
}

/// Whether the weight gradient through the pool is taken in Winograd's domain instead of directly, by class of adapter.
/// Milliseconds at batch 128, direct / Winograd:
///
/// | adapter | conv1 (4×4) | conv2 | conv3 |
/// |---|---|---|---|
/// | software, lanes share loads (lavapipe, 8 lanes) | 16.4 / 19.5 | 24 / 18 | 23 / 16 |
/// | software, lanes share loads (lavapipe, 16 lanes) | | 11.8 / 8.6 | 14.9 / 7.3 |
/// | hardware | not measured: direct | | |
pub fn winograd(geometry: &ConvGeometry, target: &Target) -> bool {
    lanes_share_loads(target) && geometry.kernel == winograd::KERNEL
}

/// Whether the data gradient through the pool goes a window at a time, with the filter entry chosen by the maximum's
/// place, instead of a block of inputs at a time, with the gradient expanded. Milliseconds at batch 128, blocks / windows:
///
/// | adapter | conv2 | conv3 |
/// |---|---|---|
/// | software, lanes share loads (lavapipe, 8 lanes) | 15.5 / 12.6 | 10.8 / 5.8 |
/// | software, lanes share loads (lavapipe, 16 lanes) | 8.3 / 8.2 | 6.1 / 3.9 |
/// | hardware | not measured: blocks | |
pub fn window_by_window(geometry: &ConvGeometry, target: &Target) -> bool {
    lanes_share_loads(target) && geometry.kernel == conv_pool_windows::KERNEL
}

/// Weight gradient in Winograd's domain; `taps` counts input channels, `channels` output channels a lane.
pub fn winograd_grad_weight(geometry: &ConvGeometry, target: &Target) -> WeightTile {
    let lanes = target.subgroup;
    // Where a tile has few windows, nothing slides along a row and each load must serve more channels. Wide lanes have
    // room for more input channels, since fewer blocks of output channels are left.
    let (taps, most) = match (geometry.tiles(), wide(target)) {
        (1, false) => (2, 5),
        (1, true) => (5, 3),
        _ => (8, 4),
    };
    let out_channels = geometry.out_vecs() * 4;
    let channels = balanced(out_channels.div_ceil(lanes), most);
    let blocks = geometry.in_channels.div_ceil(taps) * out_channels.div_ceil(lanes * channels) * geometry.tiles();
    let splits = 24usize.div_ceil(blocks).min(geometry.tile_height / 2);
    WeightTile { lanes, taps, channels, splits }
}

/// Data gradient a window at a time. Larger tiles leave the instruction cache: 8 channels take 1.35 times as long as 4.
pub fn conv_pool_grad_data_windows(target: &Target) -> ImageTile {
    ImageTile { lanes: target.subgroup, image_vecs: 1, channels: 4 }
}
