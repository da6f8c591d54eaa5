//! Rings of mapped buffers between the host and the device.
//!
//! `Queue::write_buffer` allocates staging memory at each call; a ring of a few buffers that stay mapped while the host
//! fills them does not, and lets the host run ahead of the device by a bounded number of steps.

use super::{Error, Gpu};
use std::sync::mpsc;

/// Host → device: one buffer a step in flight.
pub struct UploadRing {
    gpu: Gpu,
    slots: Vec<UploadSlot>,
    next: usize,
    bytes: u64,
}

struct UploadSlot {
    buffer: wgpu::Buffer,
    /// Answers once the device has let go of the buffer and it is mapped again.
    mapped: Option<mpsc::Receiver<Result<(), wgpu::BufferAsyncError>>>,
}

impl UploadRing {
    /// `steps` buffers of `bytes` each (rounded up to a copyable size).
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn new(gpu: &Gpu, bytes: u64, steps: usize) -> Result<Self, Error> {
        let bytes = bytes.next_multiple_of(wgpu::COPY_BUFFER_ALIGNMENT).max(16);
        let slots = (0..steps)
            .map(|_| {
                let buffer =
                    gpu.buffer("upload ring", bytes, wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC)?;
                let mapped = Some(map(&buffer, wgpu::MapMode::Write));
                Ok(UploadSlot { buffer, mapped })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self { gpu: gpu.clone(), slots, next: 0, bytes })
    }

    /// Bytes of all slots.
    pub fn total_bytes(&self) -> u64 {
        self.bytes * self.slots.len() as u64
    }

    /// Writes each part after the other into the next slot, its pieces without a gap, and encodes its copy to its
    /// destination: a buffer and an offset. Call [`Self::submitted`] after the submission.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub fn upload(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        parts: &[(&[&[u8]], &wgpu::Buffer, u64)],
    ) -> Result<(), Error> {
        let slot = &mut self.slots[self.next];
        if let Some(mapped) = slot.mapped.take() {
            wait_mapped(&self.gpu, &mapped)?;
        }
        let mut at = 0usize;
        {
            let mut view = slot.buffer.get_mapped_range_mut(..).map_err(|error| Error::Lost(error.to_string()))?;
            for (pieces, _, _) in parts {
                for bytes in *pieces {
                    view.slice(at..at + bytes.len()).copy_from_slice(bytes);
                    at += bytes.len();
                }
                at = at.next_multiple_of(4);
            }
        }
        slot.buffer.unmap();
        let mut at = 0u64;
        for (pieces, destination, offset) in parts {
            let length = pieces.iter().map(|bytes| bytes.len() as u64).sum::<u64>().next_multiple_of(4);
            encoder.copy_buffer_to_buffer(&slot.buffer, at, destination, *offset, length);
            at += length;
        }
        Ok(())
    }

    /// Asks for the slot back; it is mapped again once the device is done with it.
    pub fn submitted(&mut self) {
        let slot = &mut self.slots[self.next];
        slot.mapped = Some(map(&slot.buffer, wgpu::MapMode::Write));
        self.next = (self.next + 1) % self.slots.len();
    }
}

/// Device → host: results are read a few steps after they were computed, so that neither side waits.
pub struct ReadbackRing {
    gpu: Gpu,
    slots: Vec<ReadbackSlot>,
    next: usize,
    bytes: u64,
}

struct ReadbackSlot {
    buffer: wgpu::Buffer,
    pending: Option<(u64, mpsc::Receiver<Result<(), wgpu::BufferAsyncError>>)>,
}

impl ReadbackRing {
    /// `steps` buffers of `bytes` each.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn new(gpu: &Gpu, bytes: u64, steps: usize) -> Result<Self, Error> {
        let bytes = bytes.next_multiple_of(4).max(16);
        let slots = (0..steps)
            .map(|_| {
                let buffer =
                    gpu.buffer("readback ring", bytes, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)?;
                Ok(ReadbackSlot { buffer, pending: None })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self { gpu: gpu.clone(), slots, next: 0, bytes })
    }

    /// Bytes of all slots.
    pub fn total_bytes(&self) -> u64 {
        self.bytes * self.slots.len() as u64
    }

    /// Whether the next slot still holds an unread result: take it first.
    pub fn is_full(&self) -> bool {
        self.slots[self.next].pending.is_some()
    }

    /// Whether no result is pending.
    pub fn is_empty(&self) -> bool {
        self.slots.iter().all(|slot| slot.pending.is_none())
    }

    /// Encodes copies of `(source, offset, bytes)` one after another into the next slot.
    pub fn copy(&self, encoder: &mut wgpu::CommandEncoder, parts: &[(&wgpu::Buffer, u64, u64)]) {
        let slot = &self.slots[self.next];
        let mut at = 0;
        for (source, offset, bytes) in parts {
            encoder.copy_buffer_to_buffer(source, *offset, &slot.buffer, at, *bytes);
            at += bytes;
        }
    }

    /// Asks for the slot that the last [`Self::copy`] wrote, after its submission, under the number `tag`.
    pub fn submitted(&mut self, tag: u64) {
        let slot = &mut self.slots[self.next];
        slot.pending = Some((tag, map(&slot.buffer, wgpu::MapMode::Read)));
        self.next = (self.next + 1) % self.slots.len();
    }

    /// The oldest result still unread, with its tag; waits for it. `None` when nothing is pending.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub fn take_oldest(&mut self) -> Result<Option<(u64, Vec<f32>)>, Error> {
        let count = self.slots.len();
        let Some(index) =
            (0..count).map(|i| (self.next + i) % count).find(|index| self.slots[*index].pending.is_some())
        else {
            return Ok(None);
        };
        let slot = &mut self.slots[index];
        let Some((tag, mapped)) = slot.pending.take() else { return Ok(None) };
        wait_mapped(&self.gpu, &mapped)?;
        let values = {
            let view = slot.buffer.get_mapped_range(..).map_err(|error| Error::Lost(error.to_string()))?;
            bytemuck::pod_collect_to_vec(&view)
        };
        slot.buffer.unmap();
        Ok(Some((tag, values)))
    }
}

fn map(buffer: &wgpu::Buffer, mode: wgpu::MapMode) -> mpsc::Receiver<Result<(), wgpu::BufferAsyncError>> {
    let (sender, receiver) = mpsc::channel();
    buffer.map_async(mode, .., move |result| {
        // The receiver is gone when the ring was dropped first.
        let _ = sender.send(result);
    });
    receiver
}

/// Polls until the mapping is there. Waiting for the newest submission would empty the pipeline, so this sleeps in short
/// steps while older work finishes.
fn wait_mapped(gpu: &Gpu, mapped: &mpsc::Receiver<Result<(), wgpu::BufferAsyncError>>) -> Result<(), Error> {
    loop {
        gpu.poll()?;
        match mapped.recv_timeout(std::time::Duration::from_micros(200)) {
            Ok(result) => return result.map_err(|error| Error::Lost(error.to_string())),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(Error::Lost("a mapping was dropped".into())),
        }
    }
}

/// Maps a `MAP_READ` buffer, copies it and unmaps it; waits for the work that writes it.
pub fn read_buffer<T: bytemuck::Pod>(gpu: &Gpu, buffer: &wgpu::Buffer) -> Result<Vec<T>, Error> {
    let mapped = map(buffer, wgpu::MapMode::Read);
    wait_mapped(gpu, &mapped)?;
    let values = {
        let view = buffer.get_mapped_range(..).map_err(|error| Error::Lost(error.to_string()))?;
        bytemuck::pod_collect_to_vec(&view)
    };
    buffer.unmap();
    Ok(values)
}
