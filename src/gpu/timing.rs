//! Where time goes, for `deepid2 bench`: timestamps around dispatches, and both sides of a submission.

use super::{Error, Gpu};
use std::time::{Duration, Instant};

/// A query set with room for a begin and an end time of each of a number of passes.
pub struct Timestamps {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    readable: wgpu::Buffer,
    passes: u32,
    nanoseconds_a_tick: f64,
}

impl Timestamps {
    /// Room for `passes` passes; `None` where the adapter has no timestamps.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn new(gpu: &Gpu, passes: u32) -> Result<Option<Self>, Error> {
        if !gpu.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Ok(None);
        }
        let bytes = u64::from(passes) * 16;
        Ok(Some(Self {
            queries: gpu.device().create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: passes * 2,
            }),
            resolved: gpu.buffer(
                "timestamps",
                bytes,
                wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            )?,
            readable: gpu.buffer(
                "timestamps to read",
                bytes,
                wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            )?,
            passes,
            nanoseconds_a_tick: f64::from(gpu.queue().get_timestamp_period()),
        }))
    }

    /// The writes to put in the descriptor of pass `index`.
    pub fn writes(&self, index: u32) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(index * 2),
            end_of_pass_write_index: Some(index * 2 + 1),
        }
    }

    /// Encodes the copy to readable memory, after the last pass.
    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.resolve_query_set(&self.queries, 0..self.passes * 2, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.readable, 0, u64::from(self.passes) * 16);
    }

    /// Milliseconds of each pass of the submission that [`Self::resolve`] was part of; waits for it.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub fn read(&self, gpu: &Gpu) -> Result<Vec<f64>, Error> {
        Ok(self.read_spans(gpu)?.iter().map(|[begin, end]| (end - begin).max(0.0)).collect())
    }

    /// Begin and end of each pass or stretch in milliseconds since the first began; waits as [`Self::read`] does.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub fn read_spans(&self, gpu: &Gpu) -> Result<Vec<[f64; 2]>, Error> {
        let ticks: Vec<u64> = super::staging::read_buffer(gpu, &self.readable)?;
        let milliseconds = |tick: u64| tick.wrapping_sub(ticks[0]) as i64 as f64 * self.nanoseconds_a_tick * 1e-6;
        Ok(ticks.chunks_exact(2).map(|pair| [milliseconds(pair[0]), milliseconds(pair[1])]).collect())
    }
}

/// What submissions cost the host, and when the device worked on each.
#[derive(Default)]
pub struct Meter {
    /// Host time between [`Self::begin`] and the submission: filling rings, encoding.
    pub encoding: Duration,
    /// Host time inside submissions, which may block while earlier work runs.
    pub submitting: Duration,
    timestamps: Option<Timestamps>,
    begun: Option<Instant>,
    submissions: u32,
}

impl Meter {
    /// A meter that also takes the device's time of exactly `submissions` submissions, where the adapter has timestamps
    /// outside passes.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn on_device(gpu: &Gpu, submissions: u32) -> Result<Self, Error> {
        let able = gpu.features().contains(wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS);
        let timestamps = if able { Timestamps::new(gpu, submissions)? } else { None };
        Ok(Self { timestamps, ..Self::default() })
    }

    /// Before anything else is encoded for a submission.
    pub fn begin(&mut self, encoder: &mut wgpu::CommandEncoder) {
        self.begun = Some(Instant::now());
        self.mark(encoder, 0);
    }

    /// Submits what was encoded since [`Self::begin`].
    pub fn submit(&mut self, gpu: &Gpu, mut encoder: wgpu::CommandEncoder) {
        self.mark(&mut encoder, 1);
        let commands = encoder.finish();
        self.encoding += self.begun.take().map_or(Duration::ZERO, |begun| begun.elapsed());
        let submitting = Instant::now();
        gpu.queue().submit([commands]);
        self.submitting += submitting.elapsed();
        self.submissions += 1;
    }

    /// Encodes the time at which all work encoded so far is done.
    fn mark(&self, encoder: &mut wgpu::CommandEncoder, end: u32) {
        if let Some(timestamps) = self.timestamps.as_ref().filter(|timestamps| self.submissions < timestamps.passes) {
            encoder.write_timestamp(&timestamps.queries, self.submissions * 2 + end);
        }
    }

    /// Begin and end of each submission's work in milliseconds since the first began; waits for the last. `None` where
    /// the device's time was not taken.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub fn spans(&self, gpu: &Gpu) -> Result<Option<Vec<[f64; 2]>>, Error> {
        let Some(timestamps) = &self.timestamps else { return Ok(None) };
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        timestamps.resolve(&mut encoder);
        gpu.queue().submit([encoder.finish()]);
        Ok(Some(timestamps.read_spans(gpu)?))
    }
}
