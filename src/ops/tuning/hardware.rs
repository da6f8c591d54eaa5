//! Many invocations with small tiles that fit in registers: measured on an H100 (`benches/NOTES.md`, "On a card").
//!
//! Two sizes decide: a workgroup of one subgroup is the unit of work, and a large card wants a few thousand of them.
//! Small batches take smaller tiles, or share a sum among workgroups, to make as many.

use super::{ChannelTile, ImageTile, TapTile, WORKGROUP_BYTES, balanced};
use crate::ops::geometry::ConvGeometry;

/// Workgroups of one subgroup that fill a large card: four for each of some five hundred schedulers.
const FILLING: usize = 2048;

/// The largest subgroup-sized workgroup along images that is not mostly idle.
fn image_lanes(geometry: &ConvGeometry) -> usize {
    geometry.batch_vecs().next_power_of_two().clamp(1, 32)
}

/// Workgroups along images.
fn image_blocks(geometry: &ConvGeometry) -> usize {
    geometry.batch_vecs().div_ceil(image_lanes(geometry))
}

/// The first of `choices`, large ones first, that leaves the card filled and the last tile of `count` nearly so, or else
/// the last.
fn largest_filling<const N: usize>(choices: [usize; N], count: usize, workgroups_of_one: usize) -> usize {
    let even = |tile: usize| count.is_multiple_of(tile) || count >= 8 * tile;
    let fills = |tile: &usize| even(*tile) && workgroups_of_one / tile >= FILLING;
    choices.into_iter().find(fills).unwrap_or(choices[N - 1])
}

/// Partial sums over `terms` where `workgroups` leave most of the card idle. A dispatch that adds them up takes 5 µs.
fn parts(terms: usize, workgroups: usize) -> usize {
    let worth = |parts: &usize| terms >= parts * 32 && workgroups * parts <= 2 * FILLING;
    if workgroups >= FILLING / 2 { 1 } else { [32, 16, 8, 4, 2].into_iter().find(worth).unwrap_or(1) }
}

pub fn conv_forward(geometry: &ConvGeometry) -> ImageTile {
    let workgroups_of_one = geometry.out_vecs() * geometry.out_height * geometry.out_width * image_blocks(geometry);
    let channels = largest_filling([2, 1], geometry.out_vecs(), workgroups_of_one);
    let parts = parts(geometry.taps(), workgroups_of_one / channels);
    ImageTile { lanes: image_lanes(geometry), image_vecs: 1, channels, groups: 1, parts }
}

pub fn conv_grad_data(geometry: &ConvGeometry) -> ImageTile {
    let workgroups_of_one = geometry.in_channels * geometry.in_height * geometry.in_width * image_blocks(geometry);
    // A sum that can be shared keeps the larger tile.
    let shared = geometry.out_vecs() >= 256;
    let channels = if shared { 4 } else { largest_filling([4, 2], geometry.in_channels, workgroups_of_one) };
    let parts = parts(geometry.out_vecs(), workgroups_of_one / channels);
    ImageTile { lanes: image_lanes(geometry), image_vecs: 1, channels, groups: 1, parts }
}

pub fn conv_grad_weight(geometry: &ConvGeometry) -> TapTile {
    let lanes = geometry.out_vecs().next_power_of_two().min(32);
    let workgroups =
        |taps: usize| geometry.taps().div_ceil(taps) * geometry.out_vecs().div_ceil(lanes) * geometry.tiles();
    if workgroups(16) >= FILLING / 4 {
        return TapTile { lanes, taps: balanced(geometry.taps(), 16), parts: 1 };
    }
    // The parts of a sum over images are invocations of one workgroup, which add them up in its memory: with the bias as one
    // tap more, four parts of 32 lanes fill what every adapter has.
    let taps = balanced(geometry.taps(), 7);
    let fitting = (WORKGROUP_BYTES / ((taps + 1) * lanes * 16)).min(256 / lanes).max(1);
    TapTile { lanes, taps, parts: parts(geometry.batch, workgroups(taps)).min(fitting) }
}

pub fn conv_pool_forward(geometry: &ConvGeometry) -> ImageTile {
    // Neighbouring subgroups that read the same inputs meet in the cache; conv1's five are in each other's way.
    let groups = [3, 2].into_iter().find(|groups| geometry.out_vecs().is_multiple_of(*groups)).unwrap_or(1);
    ImageTile { lanes: image_lanes(geometry), image_vecs: 1, channels: 1, groups, parts: 1 }
}

pub fn conv_pool_grad_data(geometry: &ConvGeometry) -> ImageTile {
    let blocks = geometry.in_height.div_ceil(2) * geometry.in_width.div_ceil(2);
    let channels =
        largest_filling([4, 2, 1], geometry.in_channels, geometry.in_channels * blocks * image_blocks(geometry));
    ImageTile { lanes: image_lanes(geometry), image_vecs: 1, channels, groups: 1, parts: 1 }
}

pub fn conv_pool_grad_data_windows(geometry: &ConvGeometry) -> ImageTile {
    ImageTile { lanes: image_lanes(geometry), image_vecs: 1, channels: 1, groups: 1, parts: 1 }
}

pub fn window_by_window(geometry: &ConvGeometry) -> bool {
    let rows = (geometry.out_height / 2).div_ceil(2);
    geometry.tiles() > 1 && rows * geometry.in_channels * image_blocks(geometry) >= FILLING / 2
}

pub fn conv_pool_grad_weight(geometry: &ConvGeometry) -> ChannelTile {
    // Windows of 4×4 filters leave registers for the sums of one output channel.
    let channels = balanced(geometry.out_vecs() * 4, if geometry.kernel > 3 { 1 } else { 2 });
    let blocks = geometry.in_channels * (geometry.out_vecs() * 4).div_ceil(channels) * geometry.tiles();
    // A split is at least one row of windows.
    let splits = FILLING.div_ceil(blocks).min(geometry.tile_height / 2);
    // Two subgroups along images halve what is left to add up at the end; small tiles have too little work for both.
    let lanes = if geometry.tiles() == 1 && geometry.batch_vecs() >= 64 { 64 } else { image_lanes(geometry) };
    ChannelTile { lanes, channels, splits }
}
