//! The training step on the device: uploads through a ring, one submission a slice of the batch, results read a few steps
//! late.

use super::Error;
use super::slices::{Slice, Slices};
use crate::data::loader::Batch;
use crate::gpu::{Gpu, Meter, ReadbackRing, UploadRing};
use crate::net::{NetSpec, TrainingGraph, TrainingOptions};
use crate::ops::SgdRates;
use crate::ops::loss::PAIR_RECORD;
use crate::tape::{Program, ProgramOptions, StepProfile, Store, Var, plan};

/// Slices that may be under way at once: enough that the device never waits for the host.
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
///
/// A batch that is too large for the adapter runs in [`Slices`]: the same sums, rounded in another order. After five steps,
/// parameters, momentum and losses are within 1e-5 of the largest number of the whole batch's, where no ReLU, maximum or
/// sign fell the other way. The same slices give the same bytes.
pub struct TrainingStep {
    gpu: Gpu,
    slices: Slices,
    /// One a size of slice, the largest first.
    programs: Vec<SliceProgram>,
    /// What SGD does with a whole step; the rate is each step's own.
    rates: SgdRates,
    upload: UploadRing,
    readback: ReadbackRing,
    /// The results of a step, some of whose slices are still to come.
    partial: PartialResult,
}

/// The step of a slice.
struct SliceProgram {
    images: usize,
    graph: TrainingGraph,
    program: Program,
}

fn program_of<'a>(programs: &'a [SliceProgram], slice: &Slice) -> &'a SliceProgram {
    let of_size = programs.iter().find(|part| part.images == slice.images);
    of_size.expect("a program was compiled for every size of slice")
}

#[derive(Default)]
struct PartialResult {
    slices: usize,
    /// Loss, identification, verification, accuracy.
    sums: [f64; 4],
    distances: Vec<(f32, bool)>,
}

impl TrainingStep {
    /// Compiles the step; parameters are taken from `store`. A batch that is too large for the adapter's limits or its
    /// memory runs in slices.
    ///
    /// # Errors
    /// A network or a tensor that the adapter or the network's rules forbid.
    pub fn new(gpu: &Gpu, spec: &NetSpec, options: &TrainingOptions, store: &mut Store) -> Result<Self, Error> {
        Self::with_micro_batch(gpu, spec, options, None, store)
    }

    /// As [`Self::new`], in slices of `micro_batch` images at most where that is given.
    ///
    /// # Errors
    /// As [`Self::new`]; a micro-batch that does not fit, or is out of range.
    pub fn with_micro_batch(
        gpu: &Gpu,
        spec: &NetSpec,
        options: &TrainingOptions,
        micro_batch: Option<usize>,
        store: &mut Store,
    ) -> Result<Self, Error> {
        let slices = Self::check(gpu, spec, options, micro_batch)?;
        if micro_batch.is_some() {
            return Self::compile(gpu, spec, options, &slices, store);
        }
        let compile = |slices: &Slices| {
            // What an attempt before this one gave back is free only now.
            gpu.poll()?;
            Self::compile(gpu, spec, options, slices, store)
        };
        let (step, slices) = slices.until_allocated(compile)?;
        Ok(Self { slices, ..step })
    }

    fn compile(
        gpu: &Gpu,
        spec: &NetSpec,
        options: &TrainingOptions,
        slices: &Slices,
        store: &mut Store,
    ) -> Result<Self, Error> {
        let mut sizes: Vec<usize> = slices.iter().map(|slice| slice.images).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        sizes.dedup();
        let mut programs: Vec<SliceProgram> = Vec::with_capacity(sizes.len());
        for images in sizes {
            let graph = TrainingGraph::new(spec, &TrainingOptions { images, ..options.clone() })?;
            let keep = graph.results();
            let program = match programs.first() {
                None => Program::compile(gpu, &graph.tape, store, &keep, ProgramOptions::default())?,
                Some(largest) => Program::compile_beside(&largest.program, gpu, &graph.tape, store, &keep)?,
            };
            programs.push(SliceProgram { images, graph, program });
        }
        let largest = &programs[0];
        let bytes = |vars: &[Var]| vars.iter().map(|var| largest.program.place(*var).2).sum();
        let upload = UploadRing::new(gpu, bytes(&largest.graph.inputs()), IN_FLIGHT)?;
        let readback = ReadbackRing::new(gpu, bytes(&largest.graph.results()), IN_FLIGHT)?;
        Ok(Self {
            gpu: gpu.clone(),
            slices: slices.clone(),
            programs,
            rates: SgdRates { learning_rate: 0.0, momentum: options.momentum, weight_decay: options.weight_decay },
            upload,
            readback,
            partial: PartialResult::default(),
        })
    }

    /// The slices that the step would run in by the adapter's limits, without allocating anything.
    ///
    /// # Errors
    /// As [`Self::with_micro_batch`].
    pub fn check(
        gpu: &Gpu,
        spec: &NetSpec,
        options: &TrainingOptions,
        micro_batch: Option<usize>,
    ) -> Result<Slices, Error> {
        Slices::choose(options.images, micro_batch, |images| {
            let graph = TrainingGraph::new(spec, &TrainingOptions { images, ..options.clone() })?;
            plan(&graph.tape, &gpu.target(), &graph.results(), true)?;
            Ok(())
        })
    }

    /// How the batch is cut.
    pub fn slices(&self) -> &Slices {
        &self.slices
    }

    /// Device memory in use.
    pub fn memory(&self) -> DeviceMemory {
        let plans = || self.programs.iter().map(|part| part.program.memory());
        DeviceMemory {
            parameters: self.programs[0].program.memory().persistent_bytes,
            activations: self.programs.iter().map(|part| part.program.own_activation_bytes()).sum(),
            unshared_activations: plans().map(|plan| plan.unshared_bytes).max().unwrap_or_default(),
            staging: plans().map(|plan| plan.input_bytes).sum::<u64>()
                + self.upload.total_bytes()
                + self.readback.total_bytes(),
        }
    }

    /// Dispatches of one step.
    pub fn dispatches(&self) -> usize {
        self.slices.iter().map(|slice| program_of(&self.programs, &slice).program.dispatches()).sum()
    }

    /// Submits one step. Returns the result of an earlier step once enough are under way.
    ///
    /// # Errors
    /// A device that stopped.
    pub fn submit(&mut self, batch: &Batch, settings: &StepSettings) -> Result<Option<StepResult>, Error> {
        self.submit_metered(batch, settings, &mut Meter::default())
    }

    /// As [`Self::submit`]; `meter` learns what the step's submissions, one a slice, cost the host and the device.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub fn submit_metered(
        &mut self,
        batch: &Batch,
        settings: &StepSettings,
        meter: &mut Meter,
    ) -> Result<Option<StepResult>, Error> {
        let mut finished = None;
        for index in 0..self.slices.count() {
            // The ring holds as many slices before a step as after it: those taken meanwhile end one step at most.
            if self.readback.is_full() {
                finished = self.take_slice()?.or(finished);
            }
            self.submit_slice(index, batch, settings, meter)?;
        }
        Ok(finished)
    }

    fn submit_slice(
        &mut self,
        index: usize,
        batch: &Batch,
        settings: &StepSettings,
        meter: &mut Meter,
    ) -> Result<(), Error> {
        let slice = self.slices.get(index);
        let SliceProgram { graph, program, .. } = program_of(&self.programs, &slice);
        let share = self.slices.share(&slice);
        let weights = [
            (f64::from(settings.identification_weight) * share.images) as f32,
            (f64::from(settings.verification_weight) * share.pairs) as f32,
            settings.margin,
            0.0,
        ];
        let rates = SgdRates { learning_rate: settings.learning_rate, ..self.rates };
        let rates = rates.of_part(index, self.slices.count()).values();
        let picture_bytes = batch.images.len() / self.slices.batch();
        let [first, second] = self.slices.halves(&slice);
        let images = [&first, &second].map(|half| &batch.images[half.start * picture_bytes..half.end * picture_bytes]);
        let augment = [&first, &second].map(|half| bytemuck::cast_slice(&batch.augment[half.clone()]));
        let labels = [&first, &second].map(|half| bytemuck::cast_slice(&batch.labels[half.clone()]));
        let [weights, rates] = [&weights, &rates].map(|values| [bytemuck::cast_slice(values)]);
        let parts: [&[&[u8]]; 5] = [&images, &augment, &labels, &weights, &rates];
        let inputs = graph.inputs();
        let uploads: [_; 5] = std::array::from_fn(|at| {
            let (buffer, offset, _) = program.place(inputs[at]);
            (parts[at], buffer, offset)
        });
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        meter.begin(&mut encoder);
        self.upload.upload(&mut encoder, &uploads)?;
        program.encode(&mut encoder);
        self.readback.copy(&mut encoder, &graph.results().map(|var| program.place(var)));
        meter.submit(&self.gpu, encoder);
        self.upload.submitted();
        self.readback.submitted(batch.step);
        Ok(self.gpu.poll()?)
    }

    /// The oldest result that was not returned yet, waiting for it; `None` when all were.
    ///
    /// # Errors
    /// A device that stopped.
    pub fn take(&mut self) -> Result<Option<StepResult>, Error> {
        while !self.readback.is_empty() {
            if let Some(result) = self.take_slice()? {
                return Ok(Some(result));
            }
        }
        Ok(None)
    }

    /// Adds the oldest slice's results to those of its step. Returns these after the step's last slice.
    fn take_slice(&mut self) -> Result<Option<StepResult>, Error> {
        let Some((step, values)) = self.readback.take_oldest()? else { return Ok(None) };
        let slice = self.slices.get(self.partial.slices);
        let share = self.slices.share(&slice);
        // The signals' weights, and with them the loss, were of the slice's share already.
        for (sum, (value, share)) in
            self.partial.sums.iter_mut().zip(values.iter().zip([1.0, share.images, share.pairs, share.images]))
        {
            *sum += f64::from(*value) * share;
        }
        let records = values[5..5 + slice.pairs.len() * PAIR_RECORD].chunks_exact(PAIR_RECORD);
        self.partial.distances.extend(records.map(|record| (record[0], record[3] == 1.0)));
        self.partial.slices += 1;
        if self.partial.slices < self.slices.count() {
            return Ok(None);
        }
        let PartialResult { sums, distances, .. } = std::mem::take(&mut self.partial);
        let [loss, identification, verification, accuracy] = sums.map(|sum| sum as f32);
        Ok(Some(StepResult { step, loss, identification, verification, accuracy, distances }))
    }

    /// Runs a slice of each size on the inputs of the last [`Self::submit`], with timestamps around each dispatch, and
    /// counts it as often as the step has slices of that size. It changes the parameters. `None` where the adapter has no
    /// timestamps.
    ///
    /// # Errors
    /// A device that stopped.
    pub fn profile(&self) -> Result<Option<Vec<StepProfile>>, Error> {
        let mut all = Vec::new();
        for part in &self.programs {
            let slices = self.slices.iter().filter(|slice| slice.images == part.images).count() as u64;
            let Some(profile) = part.program.profile()? else { return Ok(None) };
            all.extend(profile.into_iter().map(|dispatch| StepProfile {
                milliseconds: dispatch.milliseconds * slices as f64,
                flops: dispatch.flops * slices,
                bytes: dispatch.bytes * slices,
                ..dispatch
            }));
        }
        Ok(Some(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::augment::Augment;
    use crate::gpu::GpuOptions;
    use crate::model::file::tensors_of;
    use crate::net::initial_values;
    use crate::ops::Signal;
    use std::sync::OnceLock;

    const SETTINGS: StepSettings =
        StepSettings { learning_rate: 0.05, identification_weight: 1.0, verification_weight: 0.5, margin: 2.0 };

    fn options(images: usize) -> TrainingOptions {
        let (momentum, weight_decay) = (0.9, 5e-4);
        TrainingOptions { images, margin: 0, signal: Signal::L2, momentum, weight_decay, rate_scales: vec![] }
    }

    fn spec() -> NetSpec {
        NetSpec { height: 31, width: 31, widths: [4, 6, 8, 8], embedding: 16, ..NetSpec::paper(5) }
    }

    fn batch(images: usize) -> Batch {
        Batch {
            labels: (0..images as u32).map(|image| image % 5).collect(),
            augment: vec![Augment::NONE; images],
            images: (0..images * 31 * 31 * 3).map(|at| (at * 37 % 251) as u8).collect(),
            ..Batch::default()
        }
    }

    /// One device for all tests, which share what it compiles.
    fn gpu() -> Gpu {
        static GPU: OnceLock<Gpu> = OnceLock::new();
        GPU.get_or_init(|| Gpu::open(&GpuOptions::default()).unwrap()).clone()
    }

    fn step(gpu: &Gpu, images: usize, micro_batch: Option<usize>) -> TrainingStep {
        let mut store = Store::new();
        for parameter in tensors_of(&spec()) {
            let values = parameter.pad(&initial_values(&parameter, 1));
            store.write(gpu, parameter.name, &parameter.device_type(), &values).unwrap();
        }
        TrainingStep::with_micro_batch(gpu, &spec(), &options(images), micro_batch, &mut store).unwrap()
    }

    fn losses(step: &mut TrainingStep, images: usize) -> Vec<f32> {
        let mut losses = Vec::new();
        for _ in 0..3 {
            losses.extend(step.submit(&batch(images), &SETTINGS).unwrap().map(|result| result.loss));
        }
        while let Some(result) = step.take().unwrap() {
            losses.push(result.loss);
        }
        losses
    }

    #[test]
    fn a_batch_beyond_a_limit_runs_in_slices_that_fit_with_the_same_result() {
        let graph = TrainingGraph::new(&spec(), &options(8)).unwrap();
        let limit = graph.tape.vars().map(|var| graph.tape.ty(var).bytes()).max().unwrap();
        let small = gpu().with_storage_bytes(limit);
        let mut sliced = step(&small, 16, None);
        let text = sliced.slices().to_string();
        assert!(text.starts_with("batch 16 runs in 2 slices of 8 images, because tensor "), "{text}");
        assert!(text.ends_with(&format!("this adapter's max_storage_buffer_binding_size is {limit}")), "{text}");
        let mut whole = step(&gpu(), 16, None);
        assert_eq!(whole.slices().count(), 1);
        let (found, expected) = (losses(&mut sliced, 16), losses(&mut whole, 16));
        assert!(expected.len() == 3 && found.len() == 3 && expected[2] != expected[0], "{expected:?}");
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() <= 1e-5 * expected, "{found}, whole: {expected}");
        }

        let flops = [whole, sliced].map(|step| {
            let profile = step.profile().unwrap().expect("the test adapter has timestamps");
            profile.iter().map(|dispatch| dispatch.flops).sum::<u64>() as f64
        });
        // What the update costs does not depend on the images.
        assert!(flops[1] >= flops[0] && flops[1] < 1.1 * flops[0], "{flops:?}");

        let check = |limit, micro_batch| {
            TrainingStep::check(&gpu().with_storage_bytes(limit), &spec(), &options(16), micro_batch).unwrap_err()
        };
        let error = check(16, None);
        assert!(matches!(error, Error::NetworkTooLarge { .. }), "{error}");
        let message = check(limit, Some(16)).to_string();
        assert!(message.contains(&format!("is {limit}")) && message.ends_with("pass --micro-batch 8"), "{message}");
    }

    #[test]
    fn slices_of_several_sizes_share_their_memory() {
        let uneven = step(&gpu(), 21, Some(8));
        assert_eq!(uneven.programs.iter().map(|part| part.images).collect::<Vec<_>>(), [8, 7, 6]);
        let alone = step(&gpu(), 8, None);
        assert_eq!(uneven.memory().activations, alone.memory().activations);
        assert_eq!(uneven.memory().parameters, alone.memory().parameters);
        assert_eq!(uneven.dispatches(), 3 * alone.dispatches());
    }
}
