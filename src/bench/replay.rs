//! Steps submitted as in use, several under way at once, on the same pictures again and again.

use super::Error;
use crate::data::augment::Augment;
use crate::gpu::{Gpu, ReadbackRing, Timestamps, UploadRing};
use crate::model::{Model, extractor::write_parameters, file::tensors_of};
use crate::net::{ExtractorGraph, NetSpec, TrainingGraph, TrainingOptions, initial_values};
use crate::ops::Signal;
use crate::tape::{Program, ProgramOptions, StepProfile, Store, Tape, Var};
use crate::train::step::DeviceMemory;
use std::time::Instant;

/// Margin of the stored pictures, as in training.
const MARGIN: usize = 3;
/// Steps under way at once, as in training.
const IN_FLIGHT: usize = 3;
/// Timestamps are kept for so many steps of a run: a query set's limit is 4096.
const MOST_TIMED: usize = 1024;

/// A compiled step with its inputs and its rings.
pub struct Replay {
    gpu: Gpu,
    program: Program,
    upload: UploadRing,
    readback: ReadbackRing,
    inputs: Vec<(Var, Vec<u8>)>,
    results: Vec<Var>,
    images: usize,
}

/// What a run of steps took.
#[derive(Debug, Clone)]
pub struct Run {
    /// Steps.
    pub steps: usize,
    /// Images of all steps.
    pub images: usize,
    /// From the first submission to the last result.
    pub seconds: f64,
    /// Host time to fill the upload ring and encode, in seconds of all steps.
    pub host_seconds: f64,
    /// Time inside the submission call, in seconds of all steps; it may block while earlier work runs.
    pub submitting_seconds: f64,
    /// Host time spent waiting for results, in seconds of all steps.
    pub waiting_seconds: f64,
    /// Begin and end of each submission's work on the device, in milliseconds; absent where the adapter takes no
    /// timestamps outside passes.
    pub spans: Option<Vec<[f64; 2]>>,
}

impl Run {
    /// Speed.
    pub fn images_per_second(&self) -> f64 {
        self.images as f64 / self.seconds
    }

    /// Share of the time from the first begin to the last end in which no submission was at work: the device waited for
    /// the host. `None` of fewer than two steps.
    pub fn idle_share(&self) -> Option<f64> {
        self.spans.as_deref().and_then(idle_share)
    }
}

/// Σ of the gaps between the end of one span and the begin of the next, over the whole.
fn idle_share(spans: &[[f64; 2]]) -> Option<f64> {
    let ([first, _], [_, last]) = (spans.first()?, spans.last()?);
    let idle: f64 = spans.windows(2).map(|pair| (pair[1][0] - pair[0][1]).max(0.0)).sum();
    (spans.len() > 1 && last > first).then(|| idle / (last - first))
}

impl Replay {
    /// A training step of the L2 signal with random parameters.
    ///
    /// # Errors
    /// A network, batch or tensor that the adapter or the network's rules forbid.
    pub fn training(gpu: &Gpu, spec: &NetSpec, images: usize) -> Result<Self, Error> {
        let options = TrainingOptions {
            images,
            margin: MARGIN,
            signal: Signal::L2,
            momentum: 0.9,
            weight_decay: 5e-4,
            rate_scales: vec![],
        };
        let graph = TrainingGraph::new(spec, &options)?;
        let people = (images as u32 / 2).max(1);
        let labels: Vec<u32> = (0..images as u32).map(|n| n % people % spec.identities as u32).collect();
        // Identification 1, verification 0.05, margin 1. The rate is tiny: the same pictures again and again must not
        // end in numbers that are slow to compute with.
        let [weights, rate] = [[1.0f32, 0.05, 1.0, 0.0].as_slice(), &[1e-5]];
        let inputs = vec![
            (graph.pictures, pictures(spec, images, MARGIN)),
            (graph.augment, bytemuck::cast_slice(&vec![Augment::NONE; images]).to_vec()),
            (graph.labels, bytemuck::cast_slice(&labels).to_vec()),
            (graph.weights, bytemuck::cast_slice(weights).to_vec()),
            (graph.learning_rate, bytemuck::cast_slice(rate).to_vec()),
        ];
        Self::new(gpu, spec, &graph.tape, inputs, vec![graph.loss, graph.parts, graph.pairs], images)
    }

    /// The forward pass from pictures to DeepID2 vectors, with random parameters.
    ///
    /// # Errors
    /// As [`Self::training`].
    pub fn extraction(gpu: &Gpu, spec: &NetSpec, images: usize) -> Result<Self, Error> {
        let graph = ExtractorGraph::new(spec, images)?;
        let inputs = vec![
            (graph.pictures, pictures(spec, images, 0)),
            (graph.augment, bytemuck::cast_slice(&vec![Augment::NONE; images]).to_vec()),
        ];
        Self::new(gpu, spec, &graph.tape, inputs, vec![graph.features], images)
    }

    fn new(
        gpu: &Gpu,
        spec: &NetSpec,
        tape: &Tape,
        inputs: Vec<(Var, Vec<u8>)>,
        results: Vec<Var>,
        images: usize,
    ) -> Result<Self, Error> {
        let mut store = Store::new();
        write_parameters(gpu, &untrained(spec), &mut store)?;
        let program = Program::compile(gpu, tape, &mut store, &results, ProgramOptions::default())?;
        let upload_bytes = inputs.iter().map(|(var, _)| program.place(*var).2).sum();
        let readback_bytes = results.iter().map(|var| program.place(*var).2).sum();
        let upload = UploadRing::new(gpu, upload_bytes, IN_FLIGHT)?;
        let readback = ReadbackRing::new(gpu, readback_bytes, IN_FLIGHT)?;
        Ok(Self { gpu: gpu.clone(), program, upload, readback, inputs, results, images })
    }

    /// Submits `steps` steps and waits for the last.
    ///
    /// # Errors
    /// A device that stopped.
    pub fn run(&mut self, steps: usize) -> Result<Run, Error> {
        let timed = steps.min(MOST_TIMED);
        let timestamps = Timestamps::between_passes(&self.gpu, timed as u32)?;
        let [mut host_seconds, mut submitting_seconds, mut waiting_seconds] = [0.0; 3];
        let started = Instant::now();
        for step in 0..steps {
            if self.readback.is_full() {
                let waiting = Instant::now();
                self.readback.take_oldest()?;
                waiting_seconds += waiting.elapsed().as_secs_f64();
            }
            let encoding = Instant::now();
            let commands = self.encode(step as u32, timestamps.as_ref().filter(|_| step < timed))?;
            host_seconds += encoding.elapsed().as_secs_f64();
            let submitting = Instant::now();
            self.gpu.queue().submit([commands]);
            submitting_seconds += submitting.elapsed().as_secs_f64();
            self.upload.submitted();
            self.readback.submitted(step as u64);
            self.gpu.poll()?;
        }
        let waiting = Instant::now();
        while self.readback.take_oldest()?.is_some() {}
        waiting_seconds += waiting.elapsed().as_secs_f64();
        let seconds = started.elapsed().as_secs_f64();
        let spans = match timestamps {
            None => None,
            Some(timestamps) => {
                let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
                timestamps.resolve(&mut encoder);
                self.gpu.queue().submit([encoder.finish()]);
                Some(timestamps.read_spans(&self.gpu)?)
            }
        };
        Ok(Run {
            steps,
            images: steps * self.images,
            seconds,
            host_seconds,
            submitting_seconds,
            waiting_seconds,
            spans,
        })
    }

    fn encode(&mut self, step: u32, timestamps: Option<&Timestamps>) -> Result<wgpu::CommandBuffer, Error> {
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        let mark = |encoder: &mut _, end| {
            if let Some(timestamps) = timestamps {
                timestamps.mark(encoder, step, end);
            }
        };
        mark(&mut encoder, false);
        let uploads: Vec<(&[u8], &wgpu::Buffer, u64)> = self
            .inputs
            .iter()
            .map(|(var, bytes)| {
                let (buffer, offset, _) = self.program.place(*var);
                (bytes.as_slice(), buffer, offset)
            })
            .collect();
        self.upload.upload(&mut encoder, &uploads)?;
        self.program.encode(&mut encoder);
        let results: Vec<_> = self.results.iter().map(|var| self.program.place(*var)).collect();
        self.readback.copy(&mut encoder, &results);
        mark(&mut encoder, true);
        Ok(encoder.finish())
    }

    /// The shortest time of each dispatch in `repeats` more steps, with timestamps around each dispatch; `None` where
    /// the adapter has none.
    ///
    /// # Errors
    /// A device that stopped.
    pub fn profile(&self, repeats: usize) -> Result<Option<Vec<StepProfile>>, Error> {
        super::fastest(&self.program, repeats)
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
}

fn untrained(spec: &NetSpec) -> Model {
    Model {
        spec: spec.clone(),
        crop: Default::default(),
        mirror: false,
        threshold: None,
        trained_on: "nothing".into(),
        parameters: tensors_of(spec).iter().map(|p| (p.name.to_string(), initial_values(p, 1))).collect(),
    }
}

/// Bytes that look like noise: the time of a step does not depend on what the pictures show.
fn pictures(spec: &NetSpec, images: usize, margin: usize) -> Vec<u8> {
    let bytes = images * (spec.height + 2 * margin) * (spec.width + 2 * margin) * spec.channels;
    (0..bytes as u64).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::GpuOptions;

    #[test]
    fn gaps_between_submissions_are_idle_time() {
        assert_eq!((idle_share(&[]), idle_share(&[[0.0, 4.0]])), (None, None));
        assert_eq!(idle_share(&[[0.0, 4.0], [4.0, 8.0]]), Some(0.0));
        // One of ten milliseconds; an overlap is not idle.
        assert_eq!(idle_share(&[[0.0, 4.0], [5.0, 8.0], [7.5, 10.0]]), Some(0.1));
    }

    #[test]
    fn runs_report_every_step_in_order() {
        let gpu = Gpu::open(&GpuOptions::default()).unwrap();
        let small = NetSpec { height: 31, width: 31, widths: [4, 4, 4, 4], embedding: 8, ..NetSpec::paper(5) };
        for mut replay in [Replay::training(&gpu, &small, 6).unwrap(), Replay::extraction(&gpu, &small, 6).unwrap()] {
            let run = replay.run(5).unwrap();
            assert_eq!((run.steps, run.images), (5, 30));
            assert!(run.seconds > 0.0 && run.host_seconds > 0.0);
            assert!(run.host_seconds + run.submitting_seconds + run.waiting_seconds <= run.seconds, "{run:?}");
            let spans = run.spans.as_ref().expect("the software driver has timestamps");
            assert_eq!(spans.len(), 5);
            assert!(spans.iter().all(|[begin, end]| begin < end), "{spans:?}");
            assert!(spans.windows(2).all(|pair| pair[0][1] <= pair[1][0]), "{spans:?}");
            assert!((0.0..1.0).contains(&run.idle_share().unwrap()));
            assert_eq!(replay.profile(2).unwrap().unwrap().len(), replay.dispatches());
            assert!(replay.memory().total() > 0);
        }
    }
}
