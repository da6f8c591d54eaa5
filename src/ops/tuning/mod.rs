//! Register tiles and split counts of the convolution kernels, by measurement (`benches/NOTES.md`).
//!
//! Every choice here changes speed only, and the order of summation within the documented tolerance. A choice depends on
//! the shapes and on the class of adapter: `software.rs` for drivers that run on a few processor cores, `hardware.rs` for
//! graphics cards.

mod hardware;
mod software;

use super::geometry::ConvGeometry;
use super::{conv_pool_windows, winograd};
use crate::gpu::Target;

/// Tile of a forward or data-gradient kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageTile {
    /// Invocations of a workgroup along images.
    pub lanes: usize,
    /// Vectors of four images an invocation.
    pub image_vecs: usize,
    /// Channels (or vectors of four, as the kernel counts) an invocation.
    pub channels: usize,
    /// Blocks of channels a workgroup, which read the same inputs.
    pub groups: usize,
    /// Partial sums over the terms of a sum, each by workgroups of its own.
    pub parts: usize,
}

/// Tile of a weight gradient without pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TapTile {
    /// Invocations of a workgroup along vectors of four output channels.
    pub lanes: usize,
    /// Taps an invocation.
    pub taps: usize,
    /// Invocations of a workgroup that share a sum over images.
    pub parts: usize,
}

/// Tile of a weight gradient through the pool, an input channel an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelTile {
    /// Invocations of a workgroup along images.
    pub lanes: usize,
    /// Output channels an invocation.
    pub channels: usize,
    /// Partial sums over positions.
    pub splits: usize,
}

/// Tile of a weight gradient in Winograd's domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WinogradTile {
    /// Invocations of a workgroup along output channels.
    pub lanes: usize,
    /// Input channels an invocation.
    pub in_channels: usize,
    /// Output channels an invocation.
    pub out_channels: usize,
    /// Partial sums over positions.
    pub splits: usize,
}

/// Whether lanes share loads by broadcasts.
fn lanes_share_loads(target: &Target) -> bool {
    target.subgroup >= 8
}

/// The smallest tile that needs no more tiles than `most` would, so that the last one is nearly full.
fn balanced(count: usize, most: usize) -> usize {
    count.div_ceil(count.div_ceil(most))
}

/// Neighbouring blocks of pixels that one invocation of the ingest takes.
pub fn ingest_run(columns: usize, target: &Target) -> usize {
    if target.software { columns.min(2) } else { 1 }
}

/// Whether the first layer's kernels read the bytes of pictures instead of activations made of them. Milliseconds at batch
/// 128 on lavapipe with 16 lanes, bytes / activations: forward 20.0 / 23.2, weight gradient 14.5 / 17.5, what makes their
/// inputs 5.1 / 13.8. Not measured on a card, where each of many invocations would convert the bytes anew, at a quarter of
/// the rate of other arithmetic.
pub fn convolves_pixels(target: &Target) -> bool {
    target.software
}

/// Workgroup memory that every adapter has.
const WORKGROUP_BYTES: usize = 16 << 10;

/// Numbers of workgroup memory by which lanes that share nothing pass each other `sums` of theirs; 1 where they share
/// registers, or where memory is too small beside a number a lane.
pub fn staged_totals(sums: usize, lanes: usize, target: &Target) -> usize {
    let staged = sums * (lanes + 1);
    if target.subgroup == lanes || (staged + lanes) * 4 > WORKGROUP_BYTES { 1 } else { staged }
}

/// How many of the `totals` of an invocation it stores in one turn of a loop, after which those that are left move up: at
/// most `most` where the driver makes a loop over lanes of each store, and takes longer to compile these than what they store.
/// lavapipe takes 35 instead of 59 s for all kernels of a step.
pub fn stored_at_once(totals: usize, most: usize, target: &Target) -> usize {
    let most = if target.stores_by_halves() { most / 2 } else { most };
    if target.software { balanced(totals, most.min(totals)) } else { totals }
}

/// Images (in vectors of four) and classes that a workgroup of the softmax takes at once.
pub fn softmax_lanes(target: &Target) -> (usize, usize) {
    if target.software { (2, 32) } else { (2, 128) }
}

/// Classes that an invocation of the softmax's gradient goes through, all of which share what it reads of its images.
pub fn softmax_gradient_classes(target: &Target) -> usize {
    if target.software { 64 } else { 8 }
}

/// Convolution without pooling: conv4 and the fully connected layers.
pub fn conv_forward(geometry: &ConvGeometry, target: &Target) -> ImageTile {
    if target.software { software::conv_forward(geometry, target) } else { hardware::conv_forward(geometry) }
}

/// Taps that a step of the forward convolution takes, a divisor of their number.
pub fn conv_forward_depth(geometry: &ConvGeometry, target: &Target) -> usize {
    let most = if target.software { 2 } else { 1 };
    (1..=most).rev().find(|depth| geometry.taps().is_multiple_of(*depth)).unwrap_or(1)
}

/// Data gradient without pooling.
pub fn conv_grad_data(geometry: &ConvGeometry, target: &Target) -> ImageTile {
    if target.software { software::conv_grad_data(geometry, target) } else { hardware::conv_grad_data(geometry) }
}

/// Weight gradient without pooling.
pub fn conv_grad_weight(geometry: &ConvGeometry, target: &Target) -> TapTile {
    if target.software { software::conv_grad_weight(geometry, target) } else { hardware::conv_grad_weight(geometry) }
}

/// Fused convolution and pool.
pub fn conv_pool_forward(geometry: &ConvGeometry, target: &Target) -> ImageTile {
    if target.software { software::conv_pool_forward(geometry, target) } else { hardware::conv_pool_forward(geometry) }
}

/// Data gradient through the pool, a block of inputs at a time.
pub fn conv_pool_grad_data(geometry: &ConvGeometry, target: &Target) -> ImageTile {
    match target.software {
        true => software::conv_pool_grad_data(geometry, target),
        false => hardware::conv_pool_grad_data(geometry),
    }
}

/// Weight gradient through the pool.
pub fn conv_pool_grad_weight(geometry: &ConvGeometry, target: &Target) -> ChannelTile {
    match target.software {
        true => software::conv_pool_grad_weight(geometry, target),
        false => hardware::conv_pool_grad_weight(geometry),
    }
}

/// Whether the weight gradient through the pool is taken in Winograd's domain instead of directly, by class of adapter.
/// Milliseconds, direct / Winograd:
///
/// | adapter | batch | conv1 (4×4) | conv2 | conv3 |
/// |---|---|---|---|---|
/// | software, lanes share loads (lavapipe, 8 lanes) | 128 | 16.4 / 19.5 | 24 / 18 | 23 / 16 |
/// | software, lanes share loads (lavapipe, 16 lanes) | 128 | | 11.8 / 8.6 | 14.9 / 7.3 |
/// | hardware (H100) | 2,048 | | 0.57 / 2.1 | |
pub fn winograd(geometry: &ConvGeometry, target: &Target) -> bool {
    lanes_share_loads(target) && geometry.kernel == winograd::KERNEL
}

/// The way to the data gradient through the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolGradData {
    /// A block of inputs at a time, with the gradient expanded; any filter.
    Blocks,
    /// A window at a time, with the filter entry chosen by the maximum's place; 3×3 filters.
    Windows,
    /// A window at a time in Winograd's domain; 3×3 filters and lanes that share loads.
    Winograd,
}

/// Which of them, by class of adapter. Milliseconds, blocks / windows / Winograd:
///
/// | adapter | batch | conv2 | conv3 |
/// |---|---|---|---|
/// | software, lanes share loads (lavapipe, 8 lanes) | 128 | 15.5 / 12.6 / | 10.8 / 5.8 / |
/// | the same on another processor | 128 | / 20.8 / 16.3 | / 8.9 / 7.8 |
/// | software, lanes share loads (lavapipe, 16 lanes) | 128 | 8.3 / 8.2 / | 6.1 / 3.9 / |
/// | the same on another processor | 128 | / 15.5 / 10.9 | / 6.9 / 6.2 |
/// | hardware (H100) | 256 | 0.110 / 0.229 / | 0.092 / 0.139 / |
/// | hardware (H100) | 2,048 | 0.68 / 0.83 / | 0.53 / 0.39 / |
///
/// The 20 filters of conv3 would take 3 MB when transformed, as much as a third of all activations at batch 64, for a tenth
/// of the time. On the card windows win where filters differ from tile to tile, so that a block needs several of them, and
/// rows of windows are enough to fill it.
pub fn pool_grad_data(geometry: &ConvGeometry, target: &Target) -> PoolGradData {
    if winograd(geometry, target) && geometry.tiles() == 1 {
        return PoolGradData::Winograd;
    }
    let windows = if target.software { lanes_share_loads(target) } else { hardware::window_by_window(geometry) };
    match windows && geometry.kernel == conv_pool_windows::KERNEL {
        true => PoolGradData::Windows,
        false => PoolGradData::Blocks,
    }
}

/// Weight gradient in Winograd's domain.
pub fn winograd_grad_weight(geometry: &ConvGeometry, target: &Target) -> WinogradTile {
    software::winograd_grad_weight(geometry, target)
}

/// Data gradient a window at a time. Larger tiles leave a processor's instruction cache (8 channels take 1.35 times as
/// long as 4, 4 twice as long as 3 where loads are cheap), and on a card registers: 4 channels take 16 times as long as 1.
pub fn conv_pool_grad_data_windows(geometry: &ConvGeometry, target: &Target) -> ImageTile {
    match target.software {
        true => software::conv_pool_grad_data_windows(target),
        false => hardware::conv_pool_grad_data_windows(geometry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::geometry::Sharing;
    use crate::tape::TensorType;

    const HARDWARE: Target = Target {
        uniform_bytes: 0,
        storage_bytes: 1 << 30,
        workgroups_per_dimension: 65_535,
        software: false,
        subgroup: 1,
        texels: false,
    };

    /// Input, output channels, filter and tiles of the paper's layers and of wider, narrower and larger ones.
    fn layers(batch: usize) -> Vec<ConvGeometry> {
        let tiles = Sharing::Tiles { height: 2, width: 2 };
        let shapes = [
            ([3, 55, 47], 20, 4, Sharing::Everywhere),
            ([20, 26, 22], 40, 3, Sharing::Everywhere),
            ([40, 12, 10], 60, 3, tiles),
            ([60, 5, 4], 80, 2, Sharing::UNSHARED),
            ([1200, 1, 1], 160, 1, Sharing::Everywhere),
            ([160, 1, 1], 8192, 1, Sharing::Everywhere),
            ([160, 1, 1], 3, 1, Sharing::Everywhere),
            ([512, 1, 1], 100_000, 1, Sharing::Everywhere),
            ([1, 31, 31], 64, 4, Sharing::Everywhere),
            ([7, 18, 18], 13, 5, Sharing::Everywhere),
            ([129, 8, 8], 160, 3, tiles),
        ];
        let geometry = |([channels, height, width], out, kernel, sharing): ([usize; 3], usize, usize, Sharing)| {
            ConvGeometry::new("conv", &TensorType::f32(&[channels, height, width, batch]), out, kernel, sharing)
                .unwrap()
        };
        shapes.into_iter().map(geometry).collect()
    }

    #[test]
    fn tiles_of_cards_keep_to_what_every_adapter_allows() {
        const INVOCATIONS: usize = 256;
        for batch in [4, 36, 64, 128, 256, 2048] {
            for g in layers(batch) {
                for tile in [conv_forward(&g, &HARDWARE), conv_grad_data(&g, &HARDWARE)] {
                    assert!(tile.lanes * tile.groups <= INVOCATIONS && tile.parts >= 1, "{g:?}: {tile:?}");
                }
                // Each part has terms of its own.
                let forward = conv_forward(&g, &HARDWARE).parts;
                assert!((forward - 1) * g.taps().div_ceil(forward) < g.taps(), "{g:?}: {forward} parts");
                let data = conv_grad_data(&g, &HARDWARE).parts;
                assert!((data - 1) * g.out_vecs().div_ceil(data) < g.out_vecs(), "{g:?}: {data} parts");
                let weights = conv_grad_weight(&g, &HARDWARE);
                let staged = weights.parts * (weights.taps + 1) * weights.lanes * 16;
                assert!(weights.lanes * weights.parts <= INVOCATIONS, "{g:?}: {weights:?}");
                assert!(weights.parts == 1 || staged <= WORKGROUP_BYTES, "{g:?}: {weights:?}");

                let pooled = conv_pool_forward(&g, &HARDWARE);
                assert!(pooled.lanes * pooled.groups <= INVOCATIONS, "{g:?}: {pooled:?}");
                let pooled = conv_pool_grad_weight(&g, &HARDWARE);
                let sums = pooled.channels * (g.kernel * g.kernel + 1);
                let staged = staged_totals(sums, pooled.lanes, &HARDWARE);
                assert!((staged + pooled.lanes) * 4 <= WORKGROUP_BYTES, "{g:?}: {pooled:?}");
                assert!(staged > 1 || pooled.lanes == 1, "{g:?}: filters this small fit");
                let (images, classes) = softmax_lanes(&HARDWARE);
                assert!(images * classes <= INVOCATIONS && 2 * 16 * images * classes <= WORKGROUP_BYTES);
            }
        }
    }

    #[test]
    fn lanes_that_share_registers_need_no_workgroup_memory_and_too_many_sums_get_none() {
        assert_eq!(staged_totals(18, 32, &HARDWARE), 18 * 33);
        assert_eq!(staged_totals(18, 8, &Target { software: true, subgroup: 8, ..HARDWARE }), 1);
        assert_eq!(staged_totals(480, 8, &Target { software: true, ..HARDWARE }), 1, "17 KB");
    }
}
