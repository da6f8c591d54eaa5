//! Operations: one file an op with its shapes, the dispatch of its kernel, its gradient and its f64 reference.
//!
//! | file | kernels | operations |
//! |---|---|---|
//! | [`elementwise`] | `elementwise.wgsl`, `reduce.wgsl` | sum, product, ReLU, reduction to one number |
//! | [`conv`] | `conv_forward.wgsl`, `conv_grad_data.wgsl`, `conv_grad_weight.wgsl`, `reduce.wgsl` | convolution: shared, locally shared, unshared, fully connected; the update by its weight gradient |
//! | [`conv_pool`] | `conv_pool_*.wgsl` | convolution + bias + ReLU + 2×2 max-pool in one pass |
//! | [`conv_pool_pixels`] | the same, `unpack.wgsl` | the same on the bytes of pictures: the first layer |
//! | `conv_pool_windows` | `conv_pool_grad_data_windows.wgsl` | its data gradient a window at a time, where that wins |
//! | `winograd` | `winograd_*.wgsl` | its gradients by Winograd's minimal filtering, where they win |
//! | [`multi_scale`] | `conv_forward.wgsl`, `reduce.wgsl` | the DeepID2 layer over two inputs, with its ReLU |
//! | [`ingest`] | `ingest.wgsl` | stored pictures to blocks of pixels |
//! | [`loss`] | `softmax_loss.wgsl`, `verification_loss.wgsl` | identification and verification with one gradient |
//! | [`sgd`] | `sgd.wgsl` | the update of any other parameter |
//! | [`max_pool`] | `max_pool.wgsl` | 2×2 max-pool on its own |
//!
//! To add one: a `.wgsl` file in `kernels/`, a Rust file here that implements [`crate::tape::Op`], one `pub mod` line below.
//! `CONTRIBUTING.md` shows it with a worked example.

pub mod ceiling;
pub mod conv;
pub mod conv_pool;
pub mod conv_pool_pixels;
mod conv_pool_windows;
pub mod elementwise;
pub mod geometry;
pub mod ingest;
pub mod loss;
pub mod max_pool;
pub mod multi_scale;
mod reduce;
pub mod sgd;
#[cfg(test)]
pub mod testing;
mod tuning;
mod winograd;

pub use conv::Conv;
pub use conv_pool::ConvPool;
pub use conv_pool_pixels::ConvPoolOfPixels;
pub use elementwise::{Add, Broadcast, Multiply, Relu, Sum};
pub use geometry::{ConvGeometry, Sharing};
pub use ingest::Ingest;
pub use loss::{JointLoss, Signal};
pub use max_pool::MaxPool;
pub use multi_scale::MultiScale;
pub use sgd::{Sgd, SgdRates};

use crate::gpu::Target;

/// Workgroups for `elements` invocations in groups of `lanes`, folded into two dimensions where one is limited.
/// `kernels/shared/linear.wgsl` turns the position back into a flat index.
pub fn flat_workgroups(elements: usize, lanes: usize, target: &Target) -> [u32; 3] {
    let groups = elements.div_ceil(lanes).max(1);
    let rows = groups.div_ceil(target.workgroups_per_dimension as usize);
    [groups.div_ceil(rows) as u32, rows as u32, 1]
}
