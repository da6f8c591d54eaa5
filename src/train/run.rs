//! The loop over steps and epochs.
//!
//! A run's folder holds `config.toml`, `metrics.jsonl`, `last.safetensors` (model and state, every epoch and on Ctrl-C),
//! `best.safetensors` (the model of the best validation), `training.svg` and `roc.svg`.

use super::config::TrainConfig;
use super::interrupt::Interrupt;
use super::metrics::{MetricsWriter, Record, StepReport, ValidationReport};
use super::progress::{Extent, Progress};
use super::state::{self, RunState, Unrecorded};
use super::step::{DeviceMemory, StepResult, StepSettings, TrainingStep};
use super::validation::{Validated, Validation};
use super::{Error, metrics};
use crate::data::dataset::Dataset;
use crate::data::loader::{Prefetcher, TrainingPlan};
use crate::data::mean::mean;
use crate::data::sampler::PairSampler;
use crate::data::split::{Split, split_identities};
use crate::data::store::ImageStore;
use crate::files::atomic_write;
use crate::gpu::Gpu;
use crate::model::{Model, extractor};
use crate::net::{TrainingOptions, initial_values};
use crate::ops::Signal;
use crate::report::{self, CurvePoint, FarAxis};
use crate::tape::Store;
use crate::verify::roc::Roc;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Steps that a line of `metrics.jsonl` sums up.
const STEPS_A_RECORD: u64 = 10;

/// File names in a run's folder.
pub mod names {
    /// Settings.
    pub const CONFIG: &str = "config.toml";
    /// Records of steps and validations.
    pub const METRICS: &str = "metrics.jsonl";
    /// Model and state after the last epoch, or at an interruption.
    pub const LAST: &str = "last.safetensors";
    /// Model of the best validation.
    pub const BEST: &str = "best.safetensors";
    /// Training curve.
    pub const CURVE: &str = "training.svg";
    /// ROC curve of the last validation.
    pub const ROC: &str = "roc.svg";
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
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
    /// Device memory.
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
    config.check()?;
    let new_folder = !out.exists();
    prepare_folder(config, out, resume)?;
    let say = |text: String| {
        if !quiet {
            // A log that nobody reads any more is no reason to stop training.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    };
    say(format!("seed {}; results in {}", config.seed, out.display()));
    let mut run = Run::load(gpu, config, out, resume, &say).inspect_err(|_| {
        if new_folder {
            // Removes an empty folder only; where it cannot, nothing is lost.
            let _ = std::fs::remove_dir(out);
        }
    })?;
    let mut used = config.clone();
    if run.step.slices().count() > 1 {
        // How much memory is free differs from day to day; a resumed run is to round as this one does.
        used.micro_batch = Some(run.step.slices().largest());
    }
    atomic_write(&out.join(names::CONFIG), used.to_toml().as_bytes())?;
    run.floors = match resume {
        false => run.floors(&say)?,
        true => None,
    };
    run.steps(interrupt, quiet)
}

fn prepare_folder(config: &TrainConfig, out: &Path, resume: bool) -> Result<(), Error> {
    let held = out.join(names::CONFIG);
    let begun = held.exists() || out.join(names::LAST).exists();
    if resume {
        for missing in [names::CONFIG, names::LAST] {
            if !out.join(missing).is_file() {
                let run = out.into();
                return Err(match ended_before_a_checkpoint(out) {
                    true => Error::NoCheckpointYet { run },
                    false => Error::NothingToResume { run, missing },
                });
            }
        }
        if let Some(difference) = TrainConfig::load(&held)?.difference(config) {
            return Err(Error::OtherSettings { run: out.into(), difference });
        }
    } else if begun && !ended_before_a_checkpoint(out) {
        return Err(Error::RunExists { run: out.into() });
    }
    std::fs::create_dir_all(out).map_err(|source| Error::CreateFolder { path: out.into(), source })
}

/// Whether the folder holds a run that was killed, or diverged, before it saved anything worth keeping: the same command
/// may then begin it again.
fn ended_before_a_checkpoint(out: &Path) -> bool {
    let saved = [names::LAST, names::BEST].iter().any(|name| out.join(name).exists());
    !saved && out.join(names::METRICS).is_file() && TrainConfig::load(&out.join(names::CONFIG)).is_ok()
}

/// Everything a run works with.
struct Run<'a> {
    gpu: &'a Gpu,
    config: &'a TrainConfig,
    out: PathBuf,
    images: Arc<ImageStore>,
    sampler: PairSampler,
    store: Store,
    step: TrainingStep,
    validation: Option<Validation>,
    model: Model,
    state: RunState,
    metrics: MetricsWriter,
    floors: Option<Floors>,
    validated: Option<Validated>,
}

impl<'a> Run<'a> {
    fn load(
        gpu: &'a Gpu,
        config: &'a TrainConfig,
        out: &Path,
        resume: bool,
        say: &dyn Fn(String),
    ) -> Result<Self, Error> {
        let dataset = Dataset::open(&config.data)?;
        let Split { training, validation } = match config.validation_fraction {
            0.0 => Split { training: dataset, validation: Dataset { identities: vec![] } },
            fraction => split_identities(&dataset, fraction, config.seed)?,
        };
        if let Some(warning) = training.check_pairs_possible()? {
            say(format!("warning: {warning}"));
        }
        let trained_on = format!(
            "{} pictures of {} identities, {} identities held out",
            training.image_count(),
            training.identities.len(),
            validation.identities.len()
        );
        say(format!("{}: {trained_on}", config.data.display()));
        let spec = config.spec(training.identities.len());
        spec.check()?;
        let sampler = PairSampler::new(&training, config.batch, config.same_ratio, config.seed)?;
        let limit = config.cache_megabytes.saturating_mul(1_000_000);
        let images = Arc::new(ImageStore::load(training.flatten().0, config.crop, limit, &|| {})?);

        let options = training_options(config);
        TrainingStep::check(gpu, &spec, &options, config.micro_batch)?;

        let mut store = Store::new();
        let (model, state) = if resume {
            let last = out.join(names::LAST);
            let (model, state) = state::load(&last, gpu, &mut store, config.margin_every)?;
            if model.spec != spec || model.trained_on != trained_on {
                return Err(Error::OtherData { path: last, before: model.trained_on, now: trained_on });
            }
            (model, state)
        } else {
            let mut parameters = BTreeMap::new();
            let mut learned = spec.extractor_parameters();
            learned.extend(spec.softmax_parameters());
            if config.signal == Signal::Cosine {
                learned.push(spec.cosine_parameters());
            }
            for parameter in learned {
                parameters.insert(parameter.name.to_string(), initial_values(&parameter, config.seed));
            }
            parameters.insert("mean".into(), mean(&images, config.mean)?);
            let crop = config.crop.without_margin();
            let model =
                Model { spec: spec.clone(), crop, mirror: config.mirror, threshold: None, trained_on, parameters };
            extractor::write_parameters(gpu, &model, &mut store)?;
            (model, RunState::new(config.margin_every)?)
        };
        let step = TrainingStep::with_micro_batch(gpu, &spec, &options, config.micro_batch, &mut store)?;
        if step.slices().count() > 1 {
            say(step.slices().to_string());
        }
        print_memory(&step, say);
        let validation = match validation.identities.is_empty() {
            true => None,
            false => {
                let draw = (config.validation_pairs, config.seed, config.mirror);
                Some(Validation::new(gpu, &model.spec, &mut store, &validation, config.crop, draw)?)
            }
        };
        let path = out.join(names::METRICS);
        let metrics = match resume {
            true => MetricsWriter::resume(&path, state.step)?,
            false => MetricsWriter::create(&path)?,
        };
        Ok(Self {
            gpu,
            config,
            out: out.into(),
            images,
            sampler,
            store,
            step,
            validation,
            model,
            state,
            metrics,
            floors: None,
            validated: None,
        })
    }

    fn floors(&mut self, say: &dyn Fn(String)) -> Result<Option<Floors>, Error> {
        let Some(validation) = &mut self.validation else { return Ok(None) };
        let floors = Floors { raw_pixels: validation.raw_pixels()?.accuracy, untrained: validation.run()?.accuracy };
        say(format!(
            "{} validation pairs; before training: raw pixels {:.1} %, untrained network {:.1} %",
            validation.pairs(),
            100.0 * floors.raw_pixels,
            100.0 * floors.untrained
        ));
        Ok(Some(floors))
    }

    fn steps(mut self, interrupt: &Interrupt, quiet: bool) -> Result<Outcome, Error> {
        let steps_per_epoch = self.sampler.steps_per_epoch();
        let total_steps = steps_per_epoch.saturating_mul(self.config.epochs);
        let first_step = self.state.step;
        let plan = TrainingPlan {
            sampler: self.sampler.clone(),
            augmentation: self.config.augmentation,
            seed: self.config.seed,
        };
        let mut batches = Prefetcher::start(self.images.clone(), plan, first_step..total_steps)?;
        let mut progress = Progress::new(Extent { first_step, total_steps, epochs: self.config.epochs }, quiet);
        let mut log = StepLog::new(steps_per_epoch, self.config.batch, &self.state);
        while let Some(batch) = batches.next() {
            let batch = batch?;
            let settings = self.settings(batch.step, total_steps, steps_per_epoch)?;
            log.settings.push_back((batch.step, settings));
            if let Some(result) = self.step.submit(&batch, &settings)? {
                self.finished(&result, &mut log, &mut progress)?;
            }
            self.state.step = batch.step + 1;
            batches.recycle(batch);
            let epoch_done = self.state.step.is_multiple_of(steps_per_epoch);
            let stop = interrupt.is_requested();
            if epoch_done || stop {
                while let Some(result) = self.step.take()? {
                    self.finished(&result, &mut log, &mut progress)?;
                }
                log.pause();
                self.state.seconds = log.seconds();
                self.state.unrecorded = log.unrecorded;
                self.read_finite_parameters()?;
                if epoch_done {
                    self.epoch_done(steps_per_epoch, total_steps, &mut progress)?;
                }
                let last = self.out.join(names::LAST);
                state::save(&last, self.gpu, &self.store, &self.model, &self.state)?;
                log.resume();
            }
            if stop && self.state.step < total_steps {
                break;
            }
        }
        progress.finish();
        self.plot(steps_per_epoch)?;
        Ok(Outcome {
            finished: self.state.step >= total_steps,
            steps: self.state.step,
            images_per_second: log.overall_speed(self.state.step - first_step),
            validated: self.validated,
            best_accuracy: self.state.best_accuracy,
            floors: self.floors,
            memory: self.step.memory(),
        })
    }

    fn settings(&mut self, step: u64, total_steps: u64, steps_per_epoch: u64) -> Result<StepSettings, Error> {
        let weights = self.config.verification.at(step, total_steps);
        Ok(StepSettings {
            learning_rate: self.config.learning_rate.rate(step, total_steps, steps_per_epoch),
            identification_weight: weights.identification,
            verification_weight: weights.verification,
            margin: self.state.margin_of(step)?,
        })
    }

    fn finished(&mut self, result: &StepResult, log: &mut StepLog, progress: &mut Progress) -> Result<(), Error> {
        if !result.loss.is_finite() || !result.identification.is_finite() {
            extractor::read_parameters(self.gpu, &self.store, &mut self.model)?;
            let what = self.first_not_finite().unwrap_or_else(|| "the loss".into());
            return Err(Error::Diverged { step: result.step + 1, what });
        }
        if self.config.signal.has_margin() {
            self.state.finished(result);
        }
        let (report, record) = log.finished(result);
        progress.step(&report);
        if let Some(record) = record {
            self.metrics.write(&Record::Train(record))?;
        }
        Ok(())
    }

    /// Brings the model up to date, to be saved. The last update can overflow though every loss so far was finite.
    fn read_finite_parameters(&mut self) -> Result<(), Error> {
        extractor::read_parameters(self.gpu, &self.store, &mut self.model)?;
        match self.first_not_finite() {
            None => Ok(()),
            Some(what) => Err(Error::Diverged { step: self.state.step, what }),
        }
    }

    /// Name of the model's first tensor that holds a number that is not finite.
    fn first_not_finite(&self) -> Option<String> {
        let mut parameters = self.model.parameters.iter();
        let (name, _) = parameters.find(|(_, values)| values.iter().any(|value| !value.is_finite()))?;
        Some(format!("tensor {name}"))
    }

    fn epoch_done(&mut self, steps_per_epoch: u64, total_steps: u64, progress: &mut Progress) -> Result<(), Error> {
        let epoch = self.state.step / steps_per_epoch;
        let due = epoch.is_multiple_of(self.config.validate_every) || self.state.step == total_steps;
        let Some(validation) = self.validation.as_mut().filter(|_| due) else { return Ok(()) };
        let validated = validation.run()?;
        self.metrics.write(&Record::Validation(ValidationReport {
            step: self.state.step,
            epoch,
            accuracy: validated.accuracy as f32,
            threshold: validated.threshold.distance as f32,
            auc: validated.auc as f32,
            eer: validated.eer as f32,
        }))?;
        // Said with its epoch, since `last.safetensors` may hold a later network.
        let mut threshold = validated.threshold.clone();
        threshold.chosen_on = format!("{} after epoch {epoch}", threshold.chosen_on);
        self.model.threshold = Some(threshold);
        let best = self.state.best_accuracy.is_none_or(|before| validated.accuracy > before);
        progress.message(&format!(
            "epoch {epoch}: validation accuracy {:.1} %, AUC {:.4}, EER {:.1} %{}",
            100.0 * validated.accuracy,
            validated.auc,
            100.0 * validated.eer,
            if best { ", the best so far" } else { "" }
        ));
        if best {
            self.state.best_accuracy = Some(validated.accuracy);
            self.model.save(&self.out.join(names::BEST))?;
        }
        self.validated = Some(validated);
        Ok(())
    }

    /// Draws the curve over all epochs and the ROC of the last validation.
    fn plot(&self, steps_per_epoch: u64) -> Result<(), Error> {
        let records = metrics::read(&self.out.join(names::METRICS))?;
        let points: Vec<CurvePoint> = records.iter().map(|record| curve_point(record, steps_per_epoch)).collect();
        if !points.is_empty() {
            report::training_curve(&self.out.join(names::CURVE), &points)?;
        }
        if let Some(validated) = &self.validated {
            let curves: [(String, Roc); 1] = [("held-out identities".into(), validated.trials.roc())];
            report::roc(&self.out.join(names::ROC), &curves, FarAxis::Linear)?;
        }
        Ok(())
    }
}

fn curve_point(record: &Record, steps_per_epoch: u64) -> CurvePoint {
    let epoch = record.step() as f64 / steps_per_epoch.max(1) as f64;
    match record {
        Record::Train(step) => CurvePoint {
            epoch,
            ident: Some(step.identification_loss.into()),
            verif: Some(step.verification_loss.into()),
            validation_accuracy: None,
        },
        Record::Validation(validation) => {
            CurvePoint { epoch, ident: None, verif: None, validation_accuracy: Some(validation.accuracy.into()) }
        }
    }
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

/// Turns results into reports: means over a few steps, and speed.
struct StepLog {
    steps_per_epoch: u64,
    batch: usize,
    /// Settings of steps whose results are not there yet.
    settings: std::collections::VecDeque<(u64, StepSettings)>,
    unrecorded: Unrecorded,
    /// Steps since the last record, or since this call began: those that the clock saw.
    new_steps: u64,
    /// Seconds before this call, and in its finished stretches.
    seconds_before: f64,
    seconds_now: f64,
    stretch: Instant,
    /// When the last record was made.
    last: Instant,
    speed: f32,
}

impl StepLog {
    fn new(steps_per_epoch: u64, batch: usize, state: &RunState) -> Self {
        let now = Instant::now();
        Self {
            steps_per_epoch,
            batch,
            settings: std::collections::VecDeque::new(),
            unrecorded: state.unrecorded,
            new_steps: 0,
            seconds_before: state.seconds,
            seconds_now: 0.0,
            stretch: now,
            last: now,
            speed: 0.0,
        }
    }

    /// Stops the clock, for a validation.
    fn pause(&mut self) {
        self.seconds_now += self.stretch.elapsed().as_secs_f64();
        self.stretch = Instant::now();
    }

    /// Starts the clock again.
    fn resume(&mut self) {
        let away = self.stretch.elapsed();
        self.stretch = Instant::now();
        self.last += away;
    }

    fn seconds(&self) -> f64 {
        self.seconds_before + self.seconds_now
    }

    fn overall_speed(&self, steps: u64) -> f64 {
        (steps * self.batch as u64) as f64 / self.seconds_now.max(1e-9)
    }

    /// The report of a step for the screen, and every few steps their mean for the file.
    fn finished(&mut self, result: &StepResult) -> (StepReport, Option<StepReport>) {
        let settings = loop {
            match self.settings.pop_front() {
                Some((step, settings)) if step == result.step => break settings,
                Some(_) => {}
                None => unreachable!("every submitted step's settings are kept until its result"),
            }
        };
        let values = [result.identification, result.verification, result.loss, result.accuracy];
        for (sum, value) in self.unrecorded.sums.iter_mut().zip(values) {
            *sum += f64::from(value);
        }
        self.unrecorded.steps += 1;
        self.new_steps += 1;
        let step = result.step + 1;
        let seconds = self.seconds() + self.stretch.elapsed().as_secs_f64();
        let report = |[identification_loss, verification_loss, total_loss, accuracy]: [f32; 4], speed| StepReport {
            step,
            epoch: result.step / self.steps_per_epoch + 1,
            identification_loss,
            verification_loss,
            total_loss,
            accuracy,
            margin: settings.margin,
            learning_rate: settings.learning_rate,
            images_per_s: speed,
            seconds: seconds as f32,
        };
        let mut record = None;
        if step.is_multiple_of(STEPS_A_RECORD) || step.is_multiple_of(self.steps_per_epoch) {
            let elapsed = self.last.elapsed().as_secs_f64();
            self.speed = (self.new_steps as f64 * self.batch as f64 / elapsed.max(1e-9)) as f32;
            let means = self.unrecorded.sums.map(|sum| (sum / self.unrecorded.steps as f64) as f32);
            record = Some(report(means, self.speed));
            self.unrecorded = Unrecorded::default();
            self.new_steps = 0;
            self.last = Instant::now();
        }
        (report(values, self.speed), record)
    }
}
