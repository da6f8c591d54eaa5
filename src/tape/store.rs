//! Parameters and optimiser state that programs share.

use super::{Error, TensorType};
use crate::gpu::Gpu;
use std::collections::BTreeMap;

/// Device buffers by name. A training program and a validation program compiled with the same store see the same
/// parameters.
#[derive(Clone, Default)]
pub struct Store {
    buffers: BTreeMap<String, (TensorType, wgpu::Buffer)>,
}

impl Store {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts `values` under `name`, allocating on first use.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when the name holds another type or `values` another length; an allocation's error.
    pub fn write(&mut self, gpu: &Gpu, name: &str, ty: &TensorType, values: &[f32]) -> Result<(), Error> {
        if values.len() != ty.elements() {
            return Err(Error::Mismatch { name: name.into(), expected: ty.dims.clone(), found: vec![values.len()] });
        }
        let buffer = self.buffer(gpu, name, ty)?;
        gpu.queue().write_buffer(&buffer, 0, bytemuck::cast_slice(values));
        Ok(())
    }

    /// Values under `name`, waiting for the device; `None` when there is no such name.
    ///
    /// # Errors
    /// [`crate::gpu::Error::Lost`].
    pub fn read(&self, gpu: &Gpu, name: &str) -> Result<Option<Vec<f32>>, Error> {
        match self.buffers.get(name) {
            None => Ok(None),
            Some((ty, buffer)) => Ok(Some(super::program::read_back(gpu, buffer, 0, ty.bytes())?)),
        }
    }

    /// Names and types of everything stored.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &TensorType)> {
        self.buffers.iter().map(|(name, (ty, _))| (name.as_str(), ty))
    }

    /// The buffer under `name`, allocated (zero-filled) on first use.
    pub(super) fn buffer(&mut self, gpu: &Gpu, name: &str, ty: &TensorType) -> Result<wgpu::Buffer, Error> {
        if let Some((present, buffer)) = self.buffers.get(name) {
            if present != ty {
                return Err(Error::Mismatch {
                    name: name.into(),
                    expected: ty.dims.clone(),
                    found: present.dims.clone(),
                });
            }
            return Ok(buffer.clone());
        }
        let buffer = gpu.buffer(name, ty.bytes(), super::program::TENSOR_USAGE)?;
        self.buffers.insert(name.into(), (ty.clone(), buffer.clone()));
        Ok(buffer)
    }
}
