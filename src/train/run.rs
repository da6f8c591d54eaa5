//! The loop over steps and epochs, of one net or of several that are trained at once.
//!
//! A run's folder holds `config.toml`, `metrics.jsonl`, `last.safetensors` (model and state, every epoch and on Ctrl-C),
//! `best.safetensors` (the model of the best validation), `training.svg` and `roc.svg`; the folder of several nets holds
//! such a folder for each.

use super::Error;
use super::config::TrainConfig;
use super::data::TrainingData;
use super::folder::{self, names};
use super::interrupt::Interrupt;
use super::metrics::StepReport;
use super::net::{self, NetRun, Number, Shared};
use super::progress::{Extent, Progress};
use super::step::{DeviceMemory, StepResult, StepSettings, TrainingStep};
use super::validation::Validated;
use crate::data::loader::Batch;
use crate::files::{FolderLock, atomic_write};
use crate::gpu::Gpu;
use crate::net::TrainingOptions;
use crate::tape::Store;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Its folder.
    pub run: PathBuf,
    /// Whether all steps were done; false after an interruption.
    pub finished: bool,
    /// Steps done.
    pub steps: u64,
    /// Pictures a second over this call's steps, validation not counted.
    pub images_per_second: f64,
    /// Validation of the last epoch.
    pub validated: Option<Validated>,
    /// Validation accuracy of the model in `best.safetensors`.
    pub best_accuracy: Option<f64>,
    /// Validation accuracy of raw pixels and of the untrained network: floors to compare with.
    pub floors: Option<Floors>,
    /// Device memory, of all nets together.
    pub memory: DeviceMemory,
}

/// Accuracies that a trained network must beat.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Floors {
    /// Euclidean distance of pixels.
    pub raw_pixels: f64,
    /// The network before the first step.
    pub untrained: f64,
}

/// Trains by `config` in the folder `out`, or goes on with the run in it.
///
/// # Errors
/// Settings, data, limits of the adapter, files that cannot be written, or a loss that is not finite. Checkpoints of
/// earlier epochs are kept.
pub fn train(
    gpu: &Gpu,
    config: &TrainConfig,
    out: &Path,
    resume: bool,
    interrupt: &Interrupt,
    quiet: bool,
) -> Result<Outcome, Error> {
    let outcomes = train_nets(gpu, std::slice::from_ref(config), out, resume, interrupt, quiet)?;
    Ok(outcomes.into_iter().next().expect("one net, one outcome"))
}

/// Trains a net by each of `configs`, all at once, or goes on with them: in `out` itself for one, otherwise in a folder for
/// each ([`folder::of_net`]). Each becomes what [`train`] would make of its configuration alone, to the bit, on the same
/// device and as long as the adapter's limits do not cut its batches into slices of other sizes. The networks must have
/// one shape; data, patches and seeds are each net's own.
///
/// # Errors
/// As [`train`]; networks of different shapes, and more nets than fit the adapter. A net that diverges ends the run of
/// all.
pub fn train_nets(
    gpu: &Gpu,
    configs: &[TrainConfig],
    out: &Path,
    resume: bool,
    interrupt: &Interrupt,
    quiet: bool,
) -> Result<Vec<Outcome>, Error> {
    let nets = configs.len();
    configs.iter().try_for_each(TrainConfig::check)?;
    folder::check_nets(out, nets, resume)?;
    let folders = folder::of_nets(out, nets);
    let members: Vec<Member> =
        configs.iter().zip(folders).map(|(config, folder)| Member { config: config.clone(), folder, resume }).collect();
    let new_folder = !out.exists();
    train_members(&Session { gpu, interrupt, quiet, processes: 1 }, &members).inspect_err(|_| {
        if new_folder {
            folder::remove_empty(out);
        }
    })
}

/// What a run works with and answers to. None of it changes what the nets become.
#[derive(Clone, Copy)]
pub struct Session<'a> {
    pub gpu: &'a Gpu,
    pub interrupt: &'a Interrupt,
    /// No progress.
    pub quiet: bool,
    /// Processes that train beside each other, this one included; the memory for decoded pictures is divided among them.
    pub processes: usize,
}

/// One of several nets that are trained at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Its settings.
    pub config: TrainConfig,
    /// Folder of its results.
    pub folder: PathBuf,
    /// Whether to go on with the run in its folder.
    pub resume: bool,
}

/// Trains nets of one shape at once, each in a folder of its own, as [`train_nets`] does; some may be new and others
/// resumed, at whatever step.
///
/// # Errors
/// As [`train_nets`].
pub fn train_members(session: &Session, members: &[Member]) -> Result<Vec<Outcome>, Error> {
    let &Session { interrupt, quiet, .. } = session;
    let Some(first) = members.first() else { return Ok(Vec::new()) };
    members.iter().try_for_each(|member| member.config.check())?;
    for (net, Member { config, .. }) in members.iter().enumerate() {
        let beside =
            TrainConfig { data: config.data.clone(), seed: config.seed, patch: config.patch, ..first.config.clone() };
        if let Some(difference) = beside.difference(config) {
            return Err(Error::NetSettings { net, difference });
        }
    }
    let new_folders: Vec<&Path> =
        members.iter().map(|member| member.folder.as_path()).filter(|folder| !folder.exists()).collect();
    members.iter().try_for_each(folder::prepare)?;
    let _locks = members.iter().map(|member| FolderLock::take(&member.folder)).collect::<Result<Vec<_>, _>>()?;
    let say = |text: String| {
        if !quiet {
            // A log that nobody reads any more is no reason to stop training.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    };
    for member in members {
        say(format!("seed {}; results in {}", member.config.seed, member.folder.display()));
    }
    let mut run = Run::load(session, members, &say).inspect_err(|_| {
        // An empty folder only: where it cannot be removed, nothing is lost.
        new_folders.iter().for_each(|folder| drop(std::fs::remove_dir(folder)));
    })?;
    for member in members {
        let mut used = member.config.clone();
        if run.step.slices().count() > 1 {
            // How much memory is free differs from day to day; a resumed run is to round as this one does.
            used.micro_batch = Some(run.step.slices().largest());
        }
        atomic_write(&member.folder.join(names::CONFIG), used.to_toml().as_bytes())?;
    }
    for (net, member) in run.nets.iter_mut().zip(members) {
        if !member.resume {
            net.measure_floors(&run.shared, &say)?;
        }
    }
    run.steps(interrupt, quiet)
}

/// Everything a run works with.
struct Run<'a> {
    shared: Shared<'a>,
    step: TrainingStep,
    nets: Vec<NetRun<'a>>,
    epochs: u64,
}

impl<'a> Run<'a> {
    fn load(session: &Session<'a>, members: &'a [Member], say: &dyn Fn(String)) -> Result<Self, Error> {
        let gpu = session.gpu;
        let count = members.len();
        let data = load_data(members, session.processes, say)?;
        let (config, spec) = (&members[0].config, data[0].spec.clone());
        let options = training_options(config);
        TrainingStep::check(gpu, &spec, &options, config.micro_batch, count)?;

        let mut shared = Shared { gpu, store: Store::with_nets(count) };
        let mut loaded = Vec::with_capacity(count);
        for (net, (member, data)) in members.iter().zip(&data).enumerate() {
            loaded.push(net::load(member, data, net, &mut shared)?);
        }
        let step = TrainingStep::with_micro_batch(gpu, &spec, &options, config.micro_batch, &mut shared.store)?;
        if step.slices().count() > 1 {
            say(step.slices().to_string());
        }
        print_memory(&step, say);
        let mut nets = Vec::with_capacity(count);
        for (net, ((member, data), loaded)) in members.iter().zip(data).zip(loaded).enumerate() {
            nets.push(NetRun::start(member, data, loaded, Number { net, nets: count }, &mut shared)?);
        }
        Ok(Self { shared, step, nets, epochs: config.epochs })
    }

    fn steps(mut self, interrupt: &Interrupt, quiet: bool) -> Result<Vec<Outcome>, Error> {
        // The net with the most left to do is the one whose steps are shown.
        let (first_step, total_steps) =
            self.nets.iter().max_by_key(|net| net.steps_left()).map(NetRun::extent).unwrap_or_default();
        let extent = Extent { first_step, total_steps, epochs: self.epochs, nets: self.nets.len() };
        let mut progress = Progress::new(extent, quiet);
        loop {
            let next = self.nets.iter_mut().map(NetRun::next).collect::<Result<Vec<_>, _>>()?;
            let Some(active) = self.nets.iter().find(|net| net.is_active()) else { break };
            // A net that is done waits for the others: any batch will do for it, at settings that move nothing.
            let taking_part = self.nets.iter().map(|net| if net.is_active() { net } else { active });
            let batches: Vec<&Batch> = taking_part.map(NetRun::batch).collect();
            let settings: Vec<StepSettings> =
                next.into_iter().map(|of_net| of_net.unwrap_or(StepSettings::STILL)).collect();
            if let Some(results) = self.step.submit_nets(&batches, &settings)? {
                self.finished(&results, &mut progress)?;
            }
            self.nets.iter_mut().for_each(NetRun::submitted);
            let stop = interrupt.is_requested();
            if stop || self.nets.iter().any(NetRun::epoch_done) {
                self.save(stop, &mut progress)?;
            }
            if stop && self.nets.iter().any(|net| net.steps_left() > 0) {
                break;
            }
        }
        progress.finish();
        let memory = self.step.memory();
        self.nets.into_iter().map(|net| net.end(memory)).collect()
    }

    /// Saves the nets that end an epoch, or all that had a step where the run is to stop.
    fn save(&mut self, stop: bool, progress: &mut Progress) -> Result<(), Error> {
        while let Some(results) = self.step.take_nets()? {
            self.finished(&results, progress)?;
        }
        self.nets.iter_mut().for_each(NetRun::pause);
        for net in self.nets.iter_mut().filter(|net| net.epoch_done() || (stop && net.is_active())) {
            net.save(&self.shared, progress)?;
        }
        self.nets.iter_mut().for_each(NetRun::resume);
        Ok(())
    }

    /// Takes the results of a step, one a net.
    fn finished(&mut self, results: &[StepResult], progress: &mut Progress) -> Result<(), Error> {
        let mut reports = Vec::with_capacity(results.len());
        for (net, result) in self.nets.iter_mut().zip(results) {
            reports.extend(net.finished(result, &self.shared)?);
        }
        if let Some(report) = StepReport::of_all(&reports) {
            progress.step(&report);
        }
        Ok(())
    }
}

/// The data of each net; the memory for decoded pictures is divided among the nets of all processes.
fn load_data(members: &[Member], processes: usize, say: &dyn Fn(String)) -> Result<Vec<TrainingData>, Error> {
    let mut all: Vec<TrainingData> = Vec::with_capacity(members.len());
    for (net, Member { config, .. }) in members.iter().enumerate() {
        let cache_bytes = config.cache_megabytes.saturating_mul(1_000_000) / (members.len() * processes) as u64;
        let data = TrainingData::load(config, cache_bytes, say)?;
        if let Some(first) = all.first().filter(|first| first.spec != data.spec) {
            return Err(Error::NetsDiffer { net, first: first.trained_on.clone(), other: data.trained_on });
        }
        all.push(data);
    }
    Ok(all)
}

fn training_options(config: &TrainConfig) -> TrainingOptions {
    TrainingOptions {
        images: config.batch,
        margin: config.crop.margin as usize,
        signal: config.signal,
        momentum: config.momentum,
        weight_decay: config.weight_decay,
        rate_scales: config.rate_scale.iter().map(|scale| (scale.tensors.clone(), scale.factor)).collect(),
    }
}

fn print_memory(step: &TrainingStep, say: &dyn Fn(String)) {
    let memory = step.memory();
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    say(format!(
        "GPU memory of the training step {:.1} MB: parameters and momentum {:.1}, activations and gradients {:.1} ({:.1} without sharing), inputs and staging {:.1}",
        megabytes(memory.total()),
        megabytes(memory.parameters),
        megabytes(memory.activations),
        megabytes(memory.unshared_activations),
        megabytes(memory.staging)
    ));
}
