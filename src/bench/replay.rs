//! Steps submitted as in use, several under way at once, on the same pictures again and again.

use super::{Error, MARGIN, training_options};
use crate::data::augment::Augment;
use crate::data::loader::Batch;
use crate::gpu::{Gpu, Meter};
use crate::model::{ExtractionStep, file::tensors_of};
use crate::net::{NetSpec, initial_values};
use crate::tape::{StepProfile, Store};
use crate::train::step::{DeviceMemory, StepSettings, TrainingStep};
use std::time::Instant;

/// Most submissions whose time on the device is taken: a query set's limit is 4096.
const MOST_TIMED: usize = 1024;
/// The rate is tiny: the same pictures again and again must not end in numbers that are slow to compute with.
const SETTINGS: StepSettings =
    StepSettings { learning_rate: 1e-5, identification_weight: 1.0, verification_weight: 0.05, margin: 1.0 };

/// A compiled step with its inputs.
pub struct Replay {
    gpu: Gpu,
    work: Work,
    images: usize,
}

enum Work {
    Training { step: Box<TrainingStep>, batch: Batch },
    Extraction { step: Box<ExtractionStep>, pictures: Vec<u8>, augment: Vec<Augment> },
}

/// What a run of steps took.
#[derive(Debug, Clone)]
pub struct Run {
    /// Steps.
    pub steps: usize,
    /// Images of all steps and nets.
    pub images: usize,
    /// From the first submission to the last result.
    pub seconds: f64,
    /// Host time to fill the upload ring and encode, in seconds of all steps.
    pub host_seconds: f64,
    /// Time inside the submission call, in seconds of all steps; it may block while earlier work runs.
    pub submitting_seconds: f64,
    /// Begin and end of each submission's work on the device, in milliseconds; absent where the adapter takes no
    /// timestamps outside passes, and of very long runs.
    pub spans: Option<Vec<[f64; 2]>>,
}

impl Run {
    /// Speed.
    pub fn images_per_second(&self) -> f64 {
        self.images as f64 / self.seconds
    }

    /// Host time that was neither encoding nor submitting, in seconds of all steps: waiting for results.
    pub fn waiting_seconds(&self) -> f64 {
        self.seconds - self.host_seconds - self.submitting_seconds
    }

    /// Share of the time from the first begin to the last end in which no submission was at work: the device waited for
    /// the host. `None` of fewer than two submissions.
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
    /// A training step of the L2 signal, of `nets` nets at once, with random parameters.
    ///
    /// # Errors
    /// A network or a tensor that the adapter or the network's rules forbid.
    pub fn training(gpu: &Gpu, spec: &NetSpec, images: usize, nets: usize) -> Result<Self, Error> {
        let options = training_options(images);
        let step = Box::new(TrainingStep::new(gpu, spec, &options, &mut parameters(gpu, spec, nets)?)?);
        let people = (images as u32 / 2).max(1);
        let batch = Batch {
            indices: vec![0; images],
            labels: (0..images as u32).map(|n| n % people % spec.identities as u32).collect(),
            augment: vec![Augment::NONE; images],
            images: pictures(spec, images, MARGIN),
            used: images,
            same_pairs: images / 2,
            ..Batch::default()
        };
        Ok(Self { gpu: gpu.clone(), work: Work::Training { step, batch }, images })
    }

    /// The forward pass from pictures to DeepID2 vectors, with random parameters.
    ///
    /// # Errors
    /// A network, batch or tensor that the adapter or the network's rules forbid.
    pub fn extraction(gpu: &Gpu, spec: &NetSpec, images: usize) -> Result<Self, Error> {
        let step = ExtractionStep::new(gpu, spec, &mut parameters(gpu, spec, 1)?, images)?;
        let (pictures, augment) = (pictures(spec, images, 0), vec![Augment::NONE; images]);
        let work = Work::Extraction { step: Box::new(step), pictures, augment };
        Ok(Self { gpu: gpu.clone(), work, images })
    }

    /// Submits `steps` steps and waits for the last.
    ///
    /// # Errors
    /// A device that stopped.
    pub fn run(&mut self, steps: usize) -> Result<Run, Error> {
        let submissions = steps * self.slices();
        let timed = submissions <= MOST_TIMED;
        let mut meter = if timed { Meter::on_device(&self.gpu, submissions as u32)? } else { Meter::default() };
        let started = Instant::now();
        for _ in 0..steps {
            match &mut self.work {
                Work::Training { step, batch } => {
                    let nets = step.nets();
                    step.submit_metered(&vec![&*batch; nets], &vec![SETTINGS; nets], &mut meter)?;
                }
                Work::Extraction { step, pictures, augment } => {
                    if step.is_full() {
                        step.take()?;
                    }
                    step.submit(pictures, augment, 0, &mut meter)?;
                }
            }
        }
        match &mut self.work {
            Work::Training { step, .. } => while step.take_nets()?.is_some() {},
            Work::Extraction { step, .. } => while step.take()?.is_some() {},
        }
        Ok(Run {
            steps,
            images: steps * self.images * self.nets(),
            seconds: started.elapsed().as_secs_f64(),
            host_seconds: meter.encoding.as_secs_f64(),
            submitting_seconds: meter.submitting.as_secs_f64(),
            spans: meter.spans(&self.gpu)?,
        })
    }

    /// The shortest time of each dispatch in `repeats` more steps, with timestamps around each dispatch; `None` where
    /// the adapter has none.
    ///
    /// # Errors
    /// A device that stopped.
    pub fn profile(&self, repeats: usize) -> Result<Option<Vec<StepProfile>>, Error> {
        super::fastest(repeats, || {
            Ok(match &self.work {
                Work::Training { step, .. } => step.profile()?,
                Work::Extraction { step, .. } => step.program().profile()?,
            })
        })
    }

    /// Device memory in use.
    pub fn memory(&self) -> DeviceMemory {
        match &self.work {
            Work::Training { step, .. } => step.memory(),
            Work::Extraction { step, .. } => {
                let plan = step.program().memory();
                DeviceMemory {
                    parameters: plan.persistent_bytes,
                    activations: plan.activation_bytes(),
                    unshared_activations: plan.unshared_bytes,
                    staging: plan.input_bytes + step.ring_bytes(),
                }
            }
        }
    }

    /// Dispatches of one step.
    pub fn dispatches(&self) -> usize {
        match &self.work {
            Work::Training { step, .. } => step.dispatches(),
            Work::Extraction { step, .. } => step.program().dispatches(),
        }
    }

    /// Nets at once.
    pub fn nets(&self) -> usize {
        match &self.work {
            Work::Training { step, .. } => step.nets(),
            Work::Extraction { .. } => 1,
        }
    }

    /// Submissions of one step: the slices of a batch that is too large for the adapter.
    pub fn slices(&self) -> usize {
        match &self.work {
            Work::Training { step, .. } => step.slices().count(),
            Work::Extraction { .. } => 1,
        }
    }
}

/// Random parameters of `nets` nets on the device, all the same.
fn parameters(gpu: &Gpu, spec: &NetSpec, nets: usize) -> Result<Store, Error> {
    spec.check()?;
    let mut store = Store::with_nets(nets);
    for parameter in tensors_of(spec) {
        let values = parameter.pad(&initial_values(&parameter, 1));
        for net in 0..nets {
            store.write_net(gpu, net, parameter.name, &parameter.device_type(), &values)?;
        }
    }
    Ok(store)
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
        for (mut replay, images) in [
            (Replay::training(&gpu, &small, 6, 1).unwrap(), 30),
            (Replay::training(&gpu, &small, 6, 2).unwrap(), 60),
            (Replay::extraction(&gpu, &small, 6).unwrap(), 30),
        ] {
            let run = replay.run(5).unwrap();
            assert_eq!((run.steps, run.images), (5, images));
            assert!(run.seconds > 0.0 && run.host_seconds > 0.0);
            assert!(run.waiting_seconds() >= 0.0, "{run:?}");
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
