//! Memory of a tensor: a buffer, and where kernels read texels, images of its bytes.

use super::{Error, Gpu};
use std::ops::{Deref, Range};
use wgpu::{BufferUsages, TextureFormat};

/// What a tensor's memory is used for.
pub(super) const USAGE: BufferUsages =
    BufferUsages::STORAGE.union(BufferUsages::UNIFORM).union(BufferUsages::COPY_SRC).union(BufferUsages::COPY_DST);

/// A buffer of a tensor, or of several that take turns. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TensorBuffer {
    // Dropped before the buffer, which keeps the device.
    #[cfg(target_os = "linux")]
    memory: Option<std::sync::Arc<super::aliased::Memory>>,
    buffer: wgpu::Buffer,
}

impl Deref for TensorBuffer {
    type Target = wgpu::Buffer;

    fn deref(&self) -> &wgpu::Buffer {
        &self.buffer
    }
}

impl TensorBuffer {
    /// The `range` of its bytes as an image with rows of [`super::texels::ROW`] texels; `None` where the device reads
    /// buffers as such, or an image would be too high.
    #[cfg(target_os = "linux")]
    pub(crate) fn texels(&self, gpu: &Gpu, format: TextureFormat, range: Range<u64>) -> Option<wgpu::TextureView> {
        super::aliased::image(gpu, self.memory.as_ref()?, format, range)
    }

    /// `None`: only lavapipe is better off with images, and lavapipe is looked for on Linux.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn texels(&self, _: &Gpu, _: TextureFormat, _: Range<u64>) -> Option<wgpu::TextureView> {
        None
    }
}

impl Gpu {
    /// Allocates memory of a tensor, filled with zeros.
    ///
    /// # Errors
    /// [`Error::Limit`] and [`Error::OutOfMemory`], which name `what`.
    #[cfg(target_os = "linux")]
    pub(crate) fn tensor_buffer(&self, what: &str, bytes: u64) -> Result<TensorBuffer, Error> {
        match self.target().texels {
            false => Ok(TensorBuffer { memory: None, buffer: self.buffer(what, bytes, USAGE)? }),
            true => {
                let (memory, buffer) = super::aliased::allocate(self, what, bytes)?;
                Ok(TensorBuffer { memory: Some(memory), buffer })
            }
        }
    }

    /// Allocates memory of a tensor, filled with zeros.
    ///
    /// # Errors
    /// [`Error::Limit`] and [`Error::OutOfMemory`], which name `what`.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn tensor_buffer(&self, what: &str, bytes: u64) -> Result<TensorBuffer, Error> {
        Ok(TensorBuffer { buffer: self.buffer(what, bytes, USAGE)? })
    }
}
