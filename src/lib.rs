//! From-scratch WGSL kernels and autograd that train DeepID2 face-verification networks on any GPU.

pub mod bench;
pub mod bundle;
pub mod data;
pub mod face;
pub mod files;
pub mod gpu;
pub mod model;
pub mod net;
pub mod ops;
pub mod pipeline;
pub mod report;
pub mod select;
pub mod settings;
pub mod tape;
pub mod train;
pub mod verify;

pub(crate) use gpu::kernel::kernel;
