//! Few invocations with large tiles, whose lanes share loads (`Target::subgroup`): measured on lavapipe with 8 and 16 lanes.

use super::{ChannelTile, ImageTile, TapTile, WinogradTile, balanced};
use crate::gpu::Target;
use crate::ops::geometry::ConvGeometry;

/// Whether lanes that share loads are 16, so that a load serves twice the multiply-adds.
fn wide(target: &Target) -> bool {
    target.subgroup >= 16
}

/// Whether they are 16 and read images, so that a load costs less than half as much. There smaller tiles are as fast or
/// faster, whose loops fit in the instruction cache, and compile in less time.
fn cheap_and_wide(target: &Target) -> bool {
    wide(target) && target.texels
}

/// Workgroups that keep a few cores busy.
const FILLING: usize = 24;

/// Workgroups that keep them busy where more would cost: by fewer images an invocation, or by sums in parts.
const BUSY: usize = 8;

/// Vectors of outputs from which on a sum over them is worth its division into parts.
const LONG_SUM: usize = 256;

/// The largest workgroup along images that is not mostly idle.
fn image_lanes(geometry: &ConvGeometry, target: &Target) -> usize {
    // Lanes that share loads must all be there.
    if target.subgroup > 1 { target.subgroup } else { geometry.batch_vecs().next_power_of_two().clamp(1, 8) }
}

/// As many images an invocation, up to `most` vectors, as leave each core a few workgroups, of `blocks` to begin with.
fn image_tile(geometry: &ConvGeometry, target: &Target, channels: usize, blocks: usize, most: usize) -> ImageTile {
    let lanes = image_lanes(geometry, target);
    let rounds = geometry.batch_vecs().div_ceil(lanes);
    let fits = |image_vecs: &usize| *image_vecs <= most.min(rounds) && blocks * rounds.div_ceil(*image_vecs) >= BUSY;
    let image_vecs = [4, 2].into_iter().find(fits).unwrap_or(1);
    ImageTile { lanes, image_vecs, channels, groups: 1, parts: 1 }
}

pub fn conv_forward(geometry: &ConvGeometry, target: &Target) -> ImageTile {
    let few = geometry.out_vecs() <= 40;
    let (most, image_vecs) = match (wide(target), target.texels) {
        // A load of weights serves all images of a lane, one of images all channels.
        (true, true) if geometry.batch_vecs() <= image_lanes(geometry, target) => (20, 1),
        (true, true) => (if few { 10 } else { 8 }, 2),
        // One block instead of two, or two instead of three.
        (true, false) => (if few { 20 } else { 16 }, 2),
        (false, _) => (8, 4),
    };
    let channels = balanced(geometry.out_vecs(), most);
    let blocks = geometry.out_vecs().div_ceil(channels) * geometry.out_height * geometry.out_width;
    image_tile(geometry, target, channels, blocks, image_vecs)
}

pub fn conv_grad_data(geometry: &ConvGeometry, target: &Target) -> ImageTile {
    let most = if wide(target) && !target.texels { 80 } else { 40 };
    let channels = balanced(geometry.in_channels, most);
    let blocks = geometry.in_channels.div_ceil(channels) * geometry.in_height * geometry.in_width;
    let tile = image_tile(geometry, target, channels, blocks, 2);
    let workgroups = blocks * geometry.batch_vecs().div_ceil(tile.lanes * tile.image_vecs);
    // The softmax layer has few inputs and a sum over thousands of classes.
    let parts = if geometry.out_vecs() >= LONG_SUM { BUSY.div_ceil(workgroups) } else { 1 };
    ImageTile { parts, ..tile }
}

pub fn conv_grad_weight(geometry: &ConvGeometry, target: &Target) -> TapTile {
    let lanes = if target.subgroup > 1 { target.subgroup } else { geometry.out_vecs().next_power_of_two().min(32) };
    let most = if target.texels { 40 } else { 80 };
    TapTile { lanes, taps: balanced(geometry.taps(), most), parts: 1 }
}

pub fn conv_pool_forward(geometry: &ConvGeometry, target: &Target) -> ImageTile {
    let channels = balanced(geometry.out_vecs(), if cheap_and_wide(target) { 5 } else { 15 });
    ImageTile { lanes: image_lanes(geometry, target), image_vecs: 1, channels, groups: 1, parts: 1 }
}

pub fn conv_pool_grad_data(geometry: &ConvGeometry, target: &Target) -> ImageTile {
    let channels = balanced(geometry.in_channels, 20);
    ImageTile { lanes: image_lanes(geometry, target), image_vecs: 1, channels, groups: 1, parts: 1 }
}

pub fn conv_pool_grad_data_windows(target: &Target) -> ImageTile {
    let channels = if cheap_and_wide(target) { 3 } else { 4 };
    ImageTile { lanes: target.subgroup, image_vecs: 1, channels, groups: 1, parts: 1 }
}

pub fn conv_pool_grad_weight(geometry: &ConvGeometry, target: &Target) -> ChannelTile {
    let channels = balanced(geometry.out_vecs() * 4, if target.texels { 5 } else { 20 });
    let blocks = geometry.in_channels * (geometry.out_vecs() * 4).div_ceil(channels) * geometry.tiles();
    // A split is at least one row of windows.
    let splits = FILLING.div_ceil(blocks).min(geometry.tile_height / 2);
    ChannelTile { lanes: image_lanes(geometry, target), channels, splits }
}

pub fn winograd_grad_weight(geometry: &ConvGeometry, target: &Target) -> WinogradTile {
    let lanes = target.subgroup;
    // Where a tile has few windows, nothing slides along a row and each load must serve more channels. Each lane loads an
    // input channel, so there are no more of these than lanes.
    let (in_channels, most) = match (geometry.tiles(), wide(target)) {
        (1, false) => (5, 5),
        (1, true) => (5, 3),
        _ if cheap_and_wide(target) => (10, 2),
        _ => (8, 4),
    };
    let all = geometry.out_vecs() * 4;
    let out_channels = balanced(all.div_ceil(lanes), most);
    let blocks = geometry.in_channels.div_ceil(in_channels) * all.div_ceil(lanes * out_channels) * geometry.tiles();
    let splits = FILLING.div_ceil(blocks).min(geometry.tile_height / 2);
    WinogradTile { lanes, in_channels, out_channels, splits }
}
