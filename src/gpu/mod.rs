//! The device floor: adapter choice, limits, kernels and pipelines, staging, timestamps.
//!
//! Knows buffers and dispatches; knows nothing of layers or gradients.

mod accesses;
pub mod adapter;
pub(crate) mod ahead;
#[cfg(target_os = "linux")]
mod aliased;
mod device;
mod error;
mod halves;
pub mod kernel;
pub mod lavapipe;
mod loops;
pub mod nets;
mod pipeline;
mod staging;
mod tensor_buffer;
mod texels;
mod timing;

pub use device::{Gpu, GpuOptions, Target, Tiles};
pub use error::Error;
pub use kernel::{Kernel, Specialization};
pub use pipeline::PipelineKey;
pub(crate) use staging::read_buffer;
pub use staging::{ReadbackRing, UploadRing};
pub use tensor_buffer::TensorBuffer;
pub(crate) use texels::{BoundImage, Image};
pub use timing::{Meter, Timestamps};
