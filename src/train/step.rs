//! The training step on the device: uploads through a ring, one submission a slice of the batch, results read a few steps
//! late.

use super::Error;
use super::slices::{Slice, Slices};
use crate::data::loader::Batch;
use crate::gpu::{self, Gpu, Meter, ReadbackRing, UploadRing};
use crate::net::{NetSpec, TrainingGraph, TrainingOptions};
use crate::ops::SgdRates;
use crate::ops::loss::PAIR_RECORD;
use crate::tape::{self, Program, ProgramOptions, StepProfile, Store, Var, plan};
use std::collections::VecDeque;

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

impl StepSettings {
    /// Settings of a step that leaves the parameters as they are.
    pub const STILL: Self =
        Self { learning_rate: 0.0, identification_weight: 0.0, verification_weight: 0.0, margin: 0.0 };
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
///
/// It trains as many nets at once as its store holds, each to the bit as it would be trained alone in the same slices.
pub struct TrainingStep {
    gpu: Gpu,
    slices: Slices,
    /// One a size of slice, the largest first.
    programs: Vec<SliceProgram>,
    /// What SGD does with a whole step; the rate is each step's own.
    rates: SgdRates,
    upload: UploadRing,
    readback: ReadbackRing,
    /// Each net's number of each step whose results were not returned yet.
    steps: VecDeque<Vec<u64>>,
    /// Slices of the oldest step whose results are there, and the sums over them of each net.
    slices_taken: usize,
    partial: Vec<PartialResult>,
}

/// What a net reads in a slice: bytes of the first images of its pairs and of the others, then signal weights and rates.
struct NetInputs<'a> {
    images: [&'a [u8]; 2],
    augment: [&'a [u8]; 2],
    labels: [&'a [u8]; 2],
    numbers: [[f32; 4]; 2],
}

/// The result of a step of one net.
fn only(results: Vec<StepResult>) -> Option<StepResult> {
    results.into_iter().next()
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

/// The results of a step of one net, some of whose slices may be still to come.
#[derive(Clone, Default)]
struct PartialResult {
    /// Loss, identification, verification, accuracy.
    sums: [f64; 4],
    distances: Vec<(f32, bool)>,
}

impl TrainingStep {
    /// Compiles the step; parameters are taken from `store`. A batch that is too large for the adapter's limits or its
    /// memory runs in slices; several nets run in the slices of one.
    ///
    /// # Errors
    /// A network or a tensor that the adapter or the network's rules forbid; [`Error::TooManyNets`].
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
        let slices = Self::check(gpu, spec, options, micro_batch, store.nets())?;
        // Smaller slices round otherwise than those that each of several nets would run in alone.
        if micro_batch.is_some() || store.nets() > 1 {
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
            steps: VecDeque::new(),
            slices_taken: 0,
            partial: vec![PartialResult::default(); store.nets()],
        })
    }

    /// The slices that the step of `nets` nets would run in by the adapter's limits, without allocating anything: those of
    /// one net, so that it does not matter how many others there are.
    ///
    /// # Errors
    /// As [`Self::with_micro_batch`].
    pub fn check(
        gpu: &Gpu,
        spec: &NetSpec,
        options: &TrainingOptions,
        micro_batch: Option<usize>,
        nets: usize,
    ) -> Result<Slices, Error> {
        let fits = |images, nets| {
            let graph = TrainingGraph::new(spec, &TrainingOptions { images, ..options.clone() })?;
            plan(&graph.tape, &gpu.target(), &graph.results(), true, nets)?;
            Ok(())
        };
        let slices = Slices::choose(options.images, micro_batch, |images| fits(images, 1))?;
        let source = match fits(slices.largest(), nets) {
            Err(Error::Tape(tape::Error::Gpu(source @ gpu::Error::Limit { .. }))) => source,
            other => return other.map(|()| slices),
        };
        // Fitting is monotone in the number of nets, of which one fits.
        let (mut fitting, mut too_many) = (1, nets);
        while too_many - fitting > 1 {
            let middle = usize::midpoint(fitting, too_many);
            match fits(slices.largest(), middle) {
                Ok(()) => fitting = middle,
                Err(_) => too_many = middle,
            }
        }
        Err(Error::TooManyNets { nets, largest: fitting, source })
    }

    /// Nets that are trained at once.
    pub fn nets(&self) -> usize {
        self.partial.len()
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

    /// Submits one step of the only net. Returns the result of an earlier step once enough are under way.
    ///
    /// # Errors
    /// A device that stopped.
    ///
    /// # Panics
    /// Where there are several nets.
    pub fn submit(&mut self, batch: &Batch, settings: &StepSettings) -> Result<Option<StepResult>, Error> {
        Ok(self.submit_nets(&[batch], &[*settings])?.and_then(only))
    }

    /// Submits one step of all nets, each with its batch and settings. Returns the results of an earlier step, one a net,
    /// once enough are under way.
    ///
    /// # Errors
    /// A device that stopped.
    ///
    /// # Panics
    /// Where there are not as many batches and settings as nets.
    pub fn submit_nets(
        &mut self,
        batches: &[&Batch],
        settings: &[StepSettings],
    ) -> Result<Option<Vec<StepResult>>, Error> {
        self.submit_metered(batches, settings, &mut Meter::default())
    }

    /// As [`Self::submit_nets`]; `meter` learns what the step's submissions, one a slice, cost the host and the device.
    ///
    /// # Errors
    /// As [`Self::submit_nets`].
    ///
    /// # Panics
    /// As [`Self::submit_nets`].
    pub fn submit_metered(
        &mut self,
        batches: &[&Batch],
        settings: &[StepSettings],
        meter: &mut Meter,
    ) -> Result<Option<Vec<StepResult>>, Error> {
        assert_eq!([batches.len(), settings.len()], [self.nets(); 2], "a batch and settings for each net");
        self.steps.push_back(batches.iter().map(|batch| batch.step).collect());
        let mut finished = None;
        for index in 0..self.slices.count() {
            // The ring holds as many slices before a step as after it: those taken meanwhile end one step at most.
            if self.readback.is_full() {
                finished = self.take_slice()?.or(finished);
            }
            self.submit_slice(index, batches, settings, meter)?;
        }
        Ok(finished)
    }

    fn submit_slice<'a>(
        &mut self,
        index: usize,
        batches: &'a [&'a Batch],
        settings: &[StepSettings],
        meter: &mut Meter,
    ) -> Result<(), Error> {
        let slice = self.slices.get(index);
        let SliceProgram { graph, program, .. } = program_of(&self.programs, &slice);
        let share = self.slices.share(&slice);
        let [first, second] = self.slices.halves(&slice);
        let of_net = |(batch, settings): (&'a &'a Batch, &StepSettings)| {
            let weights = [
                (f64::from(settings.identification_weight) * share.images) as f32,
                (f64::from(settings.verification_weight) * share.pairs) as f32,
                settings.margin,
                0.0,
            ];
            let rates = SgdRates { learning_rate: settings.learning_rate, ..self.rates };
            let picture_bytes = batch.images.len() / self.slices.batch();
            let halves = [&first, &second];
            NetInputs {
                images: halves.map(|half| &batch.images[half.start * picture_bytes..half.end * picture_bytes]),
                augment: halves.map(|half| bytemuck::cast_slice(&batch.augment[half.clone()])),
                labels: halves.map(|half| bytemuck::cast_slice(&batch.labels[half.clone()])),
                numbers: [weights, rates.of_part(index, self.slices.count()).values()],
            }
        };
        let nets: Vec<NetInputs> = batches.iter().zip(settings).map(of_net).collect();
        let numbers = nets.iter().map(|net| net.numbers.each_ref().map(|values| [bytemuck::cast_slice(values)]));
        let numbers: Vec<[[&[u8]; 1]; 2]> = numbers.collect();
        let inputs = graph.inputs();
        let mut uploads = Vec::with_capacity(nets.len() * inputs.len());
        for (net, (data, [weights, rates])) in nets.iter().zip(&numbers).enumerate() {
            let parts: [&[&[u8]]; 5] = [&data.images, &data.augment, &data.labels, weights, rates];
            for (part, var) in parts.into_iter().zip(inputs) {
                let (buffer, offset, _) = program.place_of_net(var, net);
                uploads.push((part, buffer, offset));
            }
        }
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        meter.begin(&mut encoder);
        self.upload.upload(&mut encoder, &uploads)?;
        program.encode(&mut encoder);
        self.readback.copy(&mut encoder, &graph.results().map(|var| program.place(var)));
        meter.submit(&self.gpu, encoder);
        self.upload.submitted();
        self.readback.submitted(batches[0].step);
        Ok(self.gpu.poll()?)
    }

    /// The oldest result of the only net that was not returned yet, waiting for it; `None` when all were.
    ///
    /// # Errors
    /// A device that stopped.
    pub fn take(&mut self) -> Result<Option<StepResult>, Error> {
        Ok(self.take_nets()?.and_then(only))
    }

    /// The oldest results that were not returned yet, one a net, waiting for them; `None` when all were.
    ///
    /// # Errors
    /// A device that stopped.
    pub fn take_nets(&mut self) -> Result<Option<Vec<StepResult>>, Error> {
        while !self.readback.is_empty() {
            if let Some(results) = self.take_slice()? {
                return Ok(Some(results));
            }
        }
        Ok(None)
    }

    /// Adds the oldest slice's results to those of its step. Returns these after the step's last slice.
    fn take_slice(&mut self) -> Result<Option<Vec<StepResult>>, Error> {
        let Some((_, values)) = self.readback.take_oldest()? else { return Ok(None) };
        let slice = self.slices.get(self.slices_taken);
        let share = self.slices.share(&slice);
        let SliceProgram { graph, program, .. } = program_of(&self.programs, &slice);
        for (net, partial) in self.partial.iter_mut().enumerate() {
            let mut start = 0;
            // All nets' losses come first, then all their parts, then all their pairs.
            let [loss, parts, records] = graph.results().map(|var| {
                let (_, first, all) = program.place(var);
                let (_, offset, bytes) = program.place_of_net(var, net);
                let [at, count, next] = [offset - first, bytes, all].map(|bytes| bytes as usize / 4);
                let found = &values[start + at..start + at + count];
                start += next;
                found
            });
            // The signals' weights, and with them the loss, were of the slice's share already.
            let of_slice =
                [(loss[0], 1.0), (parts[0], share.images), (parts[1], share.pairs), (parts[2], share.images)];
            for (sum, (value, share)) in partial.sums.iter_mut().zip(of_slice) {
                *sum += f64::from(value) * share;
            }
            let records = records.chunks_exact(PAIR_RECORD);
            partial.distances.extend(records.map(|record| (record[0], record[3] == 1.0)));
        }
        self.slices_taken += 1;
        if self.slices_taken < self.slices.count() {
            return Ok(None);
        }
        self.slices_taken = 0;
        let steps = self.steps.pop_front().unwrap_or_default();
        let results = self.partial.iter_mut().zip(steps).map(|(partial, step)| {
            let PartialResult { sums, distances } = std::mem::take(partial);
            let [loss, identification, verification, accuracy] = sums.map(|sum| sum as f32);
            StepResult { step, loss, identification, verification, accuracy, distances }
        });
        Ok(Some(results.collect()))
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
            TrainingStep::check(&gpu().with_storage_bytes(limit), &spec(), &options(16), micro_batch, 1).unwrap_err()
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

    #[test]
    fn nets_run_in_the_slices_of_one_and_the_most_that_fit_are_named() {
        let graph = TrainingGraph::new(&spec(), &options(8)).unwrap();
        let bytes = |nets| graph.tape.vars().map(|var| graph.tape.ty(var).bytes_of_nets(nets)).max().unwrap();
        let (one, five) = (gpu().with_storage_bytes(bytes(1)), gpu().with_storage_bytes(bytes(5)));
        let check = |gpu: &Gpu, nets| TrainingStep::check(gpu, &spec(), &options(8), None, nets);
        assert_eq!(check(&five, 5).unwrap().count(), 1);
        for (gpu, nets, largest) in [(&five, 6, 5), (&five, 256, 5), (&one, 2, 1)] {
            let message = check(gpu, nets).unwrap_err().to_string();
            let limit = bytes(largest);
            for part in [
                format!("--nets {nets}: "),
                format!(" of {nets} nets together needs "),
                format!("max_storage_buffer_binding_size is {limit}"),
                format!("pass --nets {largest}"),
            ] {
                assert!(message.contains(&part), "no `{part}` in {message}");
            }
        }
        // A batch that one net would run in slices stays in these.
        let sliced = TrainingStep::check(&one, &spec(), &options(16), Some(4), 1).unwrap();
        assert_eq!(TrainingStep::check(&five, &spec(), &options(16), Some(4), 5).unwrap(), sliced);
    }

    #[test]
    fn each_net_steps_as_it_would_alone_in_slices_too() {
        const NETS: usize = 3;
        let first_weights = |store: &mut Store, at: usize, net: usize| {
            for parameter in tensors_of(&spec()) {
                let values = parameter.pad(&initial_values(&parameter, net as u64));
                store.write_net(&gpu(), at, parameter.name, &parameter.device_type(), &values).unwrap();
            }
        };
        // Nets are at steps of their own, as after a resumption; their pictures and settings differ.
        let inputs = |net: usize, step: u64| {
            let mut batch = Batch { step: 10 * net as u64 + step, ..batch(7) };
            batch.images.rotate_left(100 * net + step as usize);
            (batch, StepSettings { learning_rate: 0.02 * (1 + net) as f32, margin: 1.0 + net as f32, ..SETTINGS })
        };
        for micro_batch in [None, Some(4)] {
            let run = |nets: std::ops::Range<usize>| {
                let mut store = Store::with_nets(nets.len());
                nets.clone().enumerate().for_each(|(at, net)| first_weights(&mut store, at, net));
                let mut step =
                    TrainingStep::with_micro_batch(&gpu(), &spec(), &options(7), micro_batch, &mut store).unwrap();
                assert_eq!(step.nets(), nets.len());
                let mut results = Vec::new();
                for at in 0..5 {
                    let (batches, settings): (Vec<Batch>, Vec<StepSettings>) =
                        nets.clone().map(|net| inputs(net, at)).unzip();
                    results.extend(step.submit_nets(&batches.iter().collect::<Vec<_>>(), &settings).unwrap());
                }
                while let Some(result) = step.take_nets().unwrap() {
                    results.push(result);
                }
                (store, results)
            };
            let (store, together) = run(0..NETS);
            assert_eq!(together.len(), 5);
            for net in 0..NETS {
                let (alone, results) = run(net..net + 1);
                for (together, alone) in together.iter().zip(&results) {
                    assert_eq!(together[net], alone[0], "net {net}");
                }
                let steps: Vec<u64> = results.iter().map(|result| result[0].step).collect();
                assert_eq!(steps, (0..5).map(|at| 10 * net as u64 + at).collect::<Vec<_>>());
                for (name, _) in alone.entries() {
                    let bits = |values: Option<Vec<f32>>| -> Vec<u32> {
                        values.unwrap().into_iter().map(f32::to_bits).collect()
                    };
                    let found = bits(store.read_net(&gpu(), net, name).unwrap());
                    assert!(found == bits(alone.read(&gpu(), name).unwrap()), "net {net}: {name}");
                }
                // A net by itself is what validation works with.
                let mut copy = Store::new();
                first_weights(&mut copy, 0, net);
                store.copy_net(&gpu(), net, &copy);
                let weights = copy.read(&gpu(), "conv3.weight").unwrap();
                assert_eq!(weights, alone.read(&gpu(), "conv3.weight").unwrap());
            }
        }
    }
}
