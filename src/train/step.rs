//! The training step on the device: uploads through a ring, one submission, results read a few steps late.

use super::Error;
use crate::data::loader::Batch;
use crate::gpu::{Gpu, ReadbackRing, UploadRing};
use crate::net::{NetSpec, TrainingGraph, TrainingOptions};
use crate::ops::loss::PAIR_RECORD;
use crate::tape::{Program, ProgramOptions, StepProfile, Store, plan};

/// Steps that may be under way at once: enough that the device never waits for the host.
const IN_FLIGHT: usize = 3;

/// What changes from step to step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepSettings {
    /// Learning rate.
    pub learning_rate: f32,
    /// Factor of the identification loss.
    pub identification_weight: f32,
    /// Factor of the verification loss.
    pub verification_weight: f32,
    /// Margin of the verification signal.
    pub margin: f32,
}

/// What a step found.
#[derive(Debug, Clone, PartialEq)]
pub struct StepResult {
    /// The step.
    pub step: u64,
    /// The loss that was differentiated.
    pub loss: f32,
    /// Mean cross-entropy.
    pub identification: f32,
    /// Mean verification loss, before its weight.
    pub verification: f32,
    /// Share of images whose own logit is a largest one.
    pub accuracy: f32,
    /// Distance of each pair and whether it is of one person.
    pub distances: Vec<(f32, bool)>,
}

/// Bytes on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceMemory {
    /// Parameters and momentum.
    pub parameters: u64,
    /// Activations and gradients, which share memory by liveness.
    pub activations: u64,
    /// What activations and gradients would take without sharing.
    pub unshared_activations: u64,
    /// Inputs, constants and the rings to and from the host.
    pub staging: u64,
}

impl DeviceMemory {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.parameters + self.activations + self.staging
    }
}

/// A compiled training step and its rings.
pub struct TrainingStep {
    gpu: Gpu,
    graph: TrainingGraph,
    program: Program,
    upload: UploadRing,
    readback: ReadbackRing,
}

impl TrainingStep {
    /// Compiles the step; parameters are taken from `store`.
    ///
    /// # Errors
    /// A network, batch or tensor that the adapter or the network's rules forbid.
    pub fn new(gpu: &Gpu, spec: &NetSpec, options: &TrainingOptions, store: &mut Store) -> Result<Self, Error> {
        let graph = TrainingGraph::new(spec, options)?;
        let keep = [graph.loss, graph.parts, graph.pairs];
        let program = Program::compile(gpu, &graph.tape, store, &keep, ProgramOptions::default())?;
        let inputs = [graph.pictures, graph.augment, graph.labels, graph.weights, graph.learning_rate];
        let upload_bytes = inputs.iter().map(|var| program.place(*var).2).sum();
        let readback_bytes = keep.iter().map(|var| program.place(*var).2).sum();
        let upload = UploadRing::new(gpu, upload_bytes, IN_FLIGHT)?;
        let readback = ReadbackRing::new(gpu, readback_bytes, IN_FLIGHT)?;
        Ok(Self { gpu: gpu.clone(), graph, program, upload, readback })
    }

    /// Whether the step would fit the adapter's limits, without allocating anything.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn check(gpu: &Gpu, spec: &NetSpec, options: &TrainingOptions) -> Result<(), Error> {
        let graph = TrainingGraph::new(spec, options)?;
        plan(&graph.tape, &gpu.target(), &[graph.loss, graph.parts, graph.pairs], true, 1)?;
        Ok(())
    }

    /// Device memory in use.
    pub fn memory(&self) -> DeviceMemory {
        let plan = self.program.memory();
        DeviceMemory {
            parameters: plan.persistent_bytes,
            activations: plan.activation_bytes(),
            unshared_activations: plan.unshared_bytes,
            staging: plan.input_bytes + self.upload.total_bytes() + self.readback.total_bytes(),
        }
    }

    /// Dispatches of one step.
    pub fn dispatches(&self) -> usize {
        self.program.dispatches()
    }

    /// Submits one step. Returns the result of an earlier step once enough are under way.
    ///
    /// # Errors
    /// A device that stopped.
    pub fn submit(&mut self, batch: &Batch, settings: &StepSettings) -> Result<Option<StepResult>, Error> {
        let finished = if self.readback.is_full() { self.take()? } else { None };
        let weights =
            [settings.identification_weight, settings.verification_weight, settings.margin, 0.0].map(f32::to_bits);
        let rate = [settings.learning_rate];
        let parts: [(&[u8], _); 5] = [
            (&batch.images, self.graph.pictures),
            (bytemuck::cast_slice(&batch.augment), self.graph.augment),
            (bytemuck::cast_slice(&batch.labels), self.graph.labels),
            (bytemuck::cast_slice(&weights), self.graph.weights),
            (bytemuck::cast_slice(&rate), self.graph.learning_rate),
        ];
        let uploads = parts.map(|(bytes, var)| {
            let (buffer, offset, _) = self.program.place(var);
            (bytes, buffer, offset)
        });
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        self.upload.upload(&mut encoder, &uploads)?;
        self.program.encode(&mut encoder);
        let results = [self.graph.loss, self.graph.parts, self.graph.pairs].map(|var| self.program.place(var));
        self.readback.copy(&mut encoder, &results);
        self.gpu.queue().submit([encoder.finish()]);
        self.upload.submitted();
        self.readback.submitted(batch.step);
        self.gpu.poll()?;
        Ok(finished)
    }

    /// The oldest result that was not returned yet, waiting for it; `None` when all were.
    ///
    /// # Errors
    /// A device that stopped.
    pub fn take(&mut self) -> Result<Option<StepResult>, Error> {
        let Some((step, values)) = self.readback.take_oldest()? else { return Ok(None) };
        let pairs = self.graph.tape.ty(self.graph.pairs).elements();
        Ok(Some(StepResult {
            step,
            loss: values[0],
            identification: values[1],
            verification: values[2],
            accuracy: values[3],
            distances: values[5..5 + pairs]
                .chunks_exact(PAIR_RECORD)
                .map(|record| (record[0], record[3] == 1.0))
                .collect(),
        }))
    }

    /// Runs the step on the inputs of the last [`Self::submit`], with timestamps around each dispatch. It changes the
    /// parameters as any step does. `None` where the adapter has no timestamps.
    ///
    /// # Errors
    /// A device that stopped.
    pub fn profile(&self) -> Result<Option<Vec<StepProfile>>, Error> {
        Ok(self.program.profile()?)
    }
}
