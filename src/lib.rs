//! From-scratch WGSL kernels and autograd that train DeepID2 face-verification networks on any GPU.

pub mod data;
pub mod files;
pub mod gpu;
pub mod ops;
pub mod tape;
pub mod train;
