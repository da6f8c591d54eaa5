//! Parameters and optimiser state that programs share.

use super::{Error, TensorType};
use crate::gpu::{Gpu, TensorBuffer};
use std::collections::BTreeMap;

/// Device buffers by name. A training program and a validation program compiled with the same store see the same
/// parameters. Of each tensor the store holds a copy for each of its nets, and programs compiled with it run as many.
#[derive(Clone)]
pub struct Store {
    nets: usize,
    buffers: BTreeMap<String, (TensorType, TensorBuffer)>,
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

impl Store {
    /// An empty store of one net.
    pub fn new() -> Self {
        Self::with_nets(1)
    }

    /// An empty store of `nets` nets of one shape.
    pub fn with_nets(nets: usize) -> Self {
        Self { nets: nets.max(1), buffers: BTreeMap::new() }
    }

    /// Nets that it holds.
    pub fn nets(&self) -> usize {
        self.nets
    }

    /// Puts the `values` of the only, or first, net under `name`, allocating on first use.
    ///
    /// # Errors
    /// As [`Self::write_net`].
    pub fn write(&mut self, gpu: &Gpu, name: &str, ty: &TensorType, values: &[f32]) -> Result<(), Error> {
        self.write_net(gpu, 0, name, ty, values)
    }

    /// Puts the `values` of net `net` under `name`, allocating all nets' copies (zero-filled) on first use.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when the name holds another type or `values` another length; an allocation's error.
    ///
    /// # Panics
    /// Where the store has no net `net`.
    pub fn write_net(
        &mut self,
        gpu: &Gpu,
        net: usize,
        name: &str,
        ty: &TensorType,
        values: &[f32],
    ) -> Result<(), Error> {
        let offset = self.offset(net, ty);
        if values.len() != ty.elements() {
            return Err(Error::Mismatch { name: name.into(), expected: ty.dims.clone(), found: vec![values.len()] });
        }
        let buffer = self.buffer(gpu, name, ty)?;
        gpu.queue().write_buffer(&buffer, offset, bytemuck::cast_slice(values));
        Ok(())
    }

    /// Values of the only, or first, net under `name`, waiting for the device; `None` when there is no such name.
    ///
    /// # Errors
    /// As [`Self::read_net`].
    pub fn read(&self, gpu: &Gpu, name: &str) -> Result<Option<Vec<f32>>, Error> {
        self.read_net(gpu, 0, name)
    }

    /// Values of net `net` under `name`, waiting for the device; `None` when there is no such name.
    ///
    /// # Errors
    /// [`crate::gpu::Error::Lost`].
    ///
    /// # Panics
    /// Where the store has no net `net`.
    pub fn read_net(&self, gpu: &Gpu, net: usize, name: &str) -> Result<Option<Vec<f32>>, Error> {
        match self.buffers.get(name) {
            None => Ok(None),
            Some((ty, buffer)) => Ok(Some(super::program::read_back(gpu, buffer, self.offset(net, ty), ty.bytes())?)),
        }
    }

    /// Copies what `to`, a store of one net, holds from net `net` of this store, on the device.
    ///
    /// # Panics
    /// Where the store has no net `net`.
    pub fn copy_net(&self, gpu: &Gpu, net: usize, to: &Self) {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        for (name, (ty, buffer)) in &self.buffers {
            if let Some((_, copy)) = to.buffers.get(name).filter(|(other, _)| other == ty) {
                encoder.copy_buffer_to_buffer(buffer, self.offset(net, ty), copy, 0, ty.bytes());
            }
        }
        gpu.queue().submit([encoder.finish()]);
    }

    /// Where the copy of net `net` begins.
    fn offset(&self, net: usize, ty: &TensorType) -> u64 {
        assert!(net < self.nets, "net {net} of a store of {}", self.nets);
        net as u64 * ty.net_stride()
    }

    /// Names and types of everything stored.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &TensorType)> {
        self.buffers.iter().map(|(name, (ty, _))| (name.as_str(), ty))
    }

    /// The buffer under `name`, allocated (zero-filled) on first use.
    pub(super) fn buffer(&mut self, gpu: &Gpu, name: &str, ty: &TensorType) -> Result<TensorBuffer, Error> {
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
        let buffer = gpu.tensor_buffer(name, ty.bytes_of_nets(self.nets))?;
        self.buffers.insert(name.into(), (ty.clone(), buffer.clone()));
        Ok(buffer)
    }
}
