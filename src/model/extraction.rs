//! The forward pass on the device: uploads through a ring, one submission, vectors read a few passes late. What
//! [`crate::train::step`] is to training.

use super::Error;
use crate::data::augment::Augment;
use crate::gpu::{self, Gpu, Meter, ReadbackRing, UploadRing};
use crate::net::{ExtractorGraph, NetSpec};
use crate::tape::{Program, ProgramOptions, Store};

/// Passes that may be under way at once.
const IN_FLIGHT: usize = 3;

/// A compiled forward pass and its rings.
pub struct ExtractionStep {
    gpu: Gpu,
    graph: ExtractorGraph,
    program: Program,
    upload: UploadRing,
    readback: ReadbackRing,
}

impl ExtractionStep {
    /// Compiles the pass for `images` pictures; parameters are taken from `store`.
    ///
    /// # Errors
    /// A network that is refused, or a batch that the adapter's limits forbid.
    pub fn new(gpu: &Gpu, spec: &NetSpec, store: &mut Store, images: usize) -> Result<Self, Error> {
        let graph = ExtractorGraph::new(spec, images)?;
        let program = Program::compile(gpu, &graph.tape, store, &[graph.features], ProgramOptions::default())?;
        let bytes = |var| program.place(var).2;
        let upload = UploadRing::new(gpu, bytes(graph.pictures) + bytes(graph.augment), IN_FLIGHT)?;
        let readback = ReadbackRing::new(gpu, bytes(graph.features), IN_FLIGHT)?;
        Ok(Self { gpu: gpu.clone(), graph, program, upload, readback })
    }

    /// Submits one pass under the name `tag`; `meter` learns what it cost the host and the device. A full step
    /// ([`Self::is_full`]) must give up its oldest pass first.
    ///
    /// # Errors
    /// A device that stopped.
    pub fn submit(
        &mut self,
        pictures: &[u8],
        augment: &[Augment],
        tag: u64,
        meter: &mut Meter,
    ) -> Result<(), gpu::Error> {
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        meter.begin(&mut encoder);
        let (picture_buffer, picture_offset, _) = self.program.place(self.graph.pictures);
        let (augment_buffer, augment_offset, _) = self.program.place(self.graph.augment);
        self.upload.upload(
            &mut encoder,
            &[
                (&[pictures], picture_buffer, picture_offset),
                (&[bytemuck::cast_slice(augment)], augment_buffer, augment_offset),
            ],
        )?;
        self.program.encode(&mut encoder);
        self.readback.copy(&mut encoder, &[self.program.place(self.graph.features)]);
        meter.submit(&self.gpu, encoder);
        self.upload.submitted();
        self.readback.submitted(tag);
        self.gpu.poll()
    }

    /// Whether as many passes are under way as may be.
    pub fn is_full(&self) -> bool {
        self.readback.is_full()
    }

    /// Tag and vectors, [embedding, images rounded up to 4], of the oldest pass under way, waiting for it; `None` when
    /// there is none.
    ///
    /// # Errors
    /// A device that stopped.
    pub fn take(&mut self) -> Result<Option<(u64, Vec<f32>)>, gpu::Error> {
        self.readback.take_oldest()
    }

    /// The compiled pass.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Bytes of the rings to and from the host.
    pub fn ring_bytes(&self) -> u64 {
        self.upload.total_bytes() + self.readback.total_bytes()
    }
}
