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
    pub(crate) fn tensor_buffer(&self, what: &str, bytes: u64) -> Result<TensorBuffer, Error> {
        #[cfg(target_os = "linux")]
        if self.target().texels {
            // Vulkan has no buffer of nothing.
            let (memory, buffer) = super::aliased::allocate(self, what, bytes.max(4))?;
            return Ok(TensorBuffer { memory: Some(memory), buffer });
        }
        Ok(TensorBuffer {
            #[cfg(target_os = "linux")]
            memory: None,
            buffer: self.buffer(what, bytes, USAGE)?,
        })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::super::aliased::height_of;
    use super::super::texels::ROW;
    use super::*;
    use crate::ops::testing::gpus;

    #[test]
    fn images_begin_anywhere() {
        let [buffers, images, _] = gpus();
        // Elsewhere than on lavapipe both read buffers.
        let lavapipe = crate::gpu::lavapipe::runs(images.info());
        let (plain, memory) =
            (buffers.tensor_buffer("plain", 4096).unwrap(), images.tensor_buffer("memory", 4096).unwrap());
        for format in [
            TextureFormat::Rgba32Float,
            TextureFormat::Rgba32Uint,
            TextureFormat::Rg32Float,
            TextureFormat::R32Float,
            TextureFormat::R32Uint,
        ] {
            // Guarded programs put tensors behind 256 bytes.
            for start in [0, 256] {
                assert_eq!(memory.texels(images, format, start..4096).is_some(), lavapipe, "{format:?} from {start}");
                assert!(plain.texels(buffers, format, start..4096).is_none());
            }
        }
    }

    #[test]
    fn images_end_at_the_largest_height() {
        let row = 16 * u64::from(ROW);
        assert_eq!(height_of(&(0..1), row, 8), Some(1));
        assert_eq!(height_of(&(256..256 + 8 * row), row, 8), Some(8));
        assert_eq!(height_of(&(256..257 + 8 * row), row, 8), None);
        assert_eq!(height_of(&(0..row << 33), row, u32::MAX), None);
    }
}
