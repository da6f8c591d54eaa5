//! One net of a run: its pictures, model, state, records and checkpoints. Nets that are trained at once differ in all of
//! these and share the step on the device, where each has its number.

use super::config::TrainConfig;
use super::data::TrainingData;
use super::folder::names;
use super::log::StepLog;
use super::metrics::{MetricsWriter, Record, StepReport, ValidationReport};
use super::progress::Progress;
use super::run::{Floors, Member, Outcome};
use super::state::{self, RunState};
use super::step::{DeviceMemory, StepResult, StepSettings};
use super::validation::{Validated, Validation};
use super::{Error, plots};
use crate::data::loader::{Batch, Prefetcher, TrainingPlan};
use crate::data::mean::mean;
use crate::gpu::Gpu;
use crate::model::{Model, extractor};
use crate::net::initial_values;
use crate::ops::Signal;
use crate::tape::Store;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The device and what all nets have on it.
pub(super) struct Shared<'a> {
    pub gpu: &'a Gpu,
    pub store: Store,
}

/// Which of how many nets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number {
    pub net: usize,
    pub nets: usize,
}

impl Number {
    /// What is said of this net among several.
    fn prefix(self) -> String {
        if self.nets == 1 { String::new() } else { format!("net {}, ", self.net) }
    }
}

/// A net that is being trained.
pub(super) struct NetRun<'a> {
    number: Number,
    config: &'a TrainConfig,
    out: PathBuf,
    data: TrainingData,
    model: Model,
    state: RunState,
    validation: Option<NetValidation>,
    metrics: MetricsWriter,
    floors: Option<Floors>,
    validated: Option<Validated>,
    first_step: u64,
    total_steps: u64,
    log: StepLog,
    batches: Prefetcher,
    batch: Batch,
    /// Whether the batch is one of this net's steps: a net that is done waits for the others.
    active: bool,
}

/// Validation of one net.
struct NetValidation {
    validation: Validation,
    /// The net's parameters by themselves, where the store holds several nets.
    copy: Option<Store>,
}

impl NetValidation {
    /// Compares all pairs with the net's present parameters.
    fn run(&mut self, number: Number, shared: &Shared) -> Result<Validated, Error> {
        if let Some(copy) = &self.copy {
            shared.store.copy_net(shared.gpu, number.net, copy);
        }
        self.validation.run()
    }
}

impl<'a> NetRun<'a> {
    /// A net whose parameters are on the device: draws the pairs of held-out identities, compiles what embeds them, and
    /// begins, or goes on with, the records in its folder.
    ///
    /// # Errors
    /// Too few identities, pictures that cannot be read, limits of the adapter, or a folder that cannot be written.
    pub fn start(
        Member { config, folder, resume }: &'a Member,
        data: TrainingData,
        (model, state): (Model, RunState),
        number: Number,
        shared: &mut Shared,
    ) -> Result<Self, Error> {
        let validation = match data.validation.identities.is_empty() {
            true => None,
            false => {
                let mut copy = (number.nets > 1).then(Store::new);
                let store = copy.as_mut().unwrap_or(&mut shared.store);
                let draw = (config.validation_pairs, config.seed, config.mirror);
                let validation = Validation::new(shared.gpu, &model.spec, store, &data.validation, &data.cut, draw)?;
                Some(NetValidation { validation, copy })
            }
        };
        let path = folder.join(names::METRICS);
        let steps_per_epoch = data.sampler.steps_per_epoch();
        let total_steps = steps_per_epoch.saturating_mul(config.epochs);
        let plan = TrainingPlan { sampler: data.sampler.clone(), augmentation: config.augmentation, seed: config.seed };
        Ok(Self {
            metrics: match resume {
                true => MetricsWriter::resume(&path, state.step)?,
                false => MetricsWriter::create(&path)?,
            },
            batches: Prefetcher::start(data.images.clone(), plan, state.step..total_steps)?,
            log: StepLog::new(steps_per_epoch, config.batch, &state),
            number,
            config,
            out: folder.clone(),
            model,
            validation,
            floors: None,
            validated: None,
            first_step: state.step,
            total_steps,
            state,
            batch: Batch::default(),
            data,
            active: false,
        })
    }

    /// Measures what a trained network must beat.
    ///
    /// # Errors
    /// A picture that cannot be read, or a device that stopped.
    pub fn measure_floors(&mut self, shared: &Shared, say: &dyn Fn(String)) -> Result<(), Error> {
        let Some(validation) = &mut self.validation else { return Ok(()) };
        let floors = Floors {
            raw_pixels: validation.validation.raw_pixels()?.accuracy,
            untrained: validation.run(self.number, shared)?.accuracy,
        };
        say(format!(
            "{}{} validation pairs; before training: raw pixels {:.1} %, untrained network {:.1} %",
            self.number.prefix(),
            validation.validation.pairs(),
            100.0 * floors.raw_pixels,
            100.0 * floors.untrained
        ));
        self.floors = Some(floors);
        Ok(())
    }

    /// Steps that are still to be done.
    pub fn steps_left(&self) -> u64 {
        self.total_steps.saturating_sub(self.state.step)
    }

    /// The first step of this call, and all steps.
    pub fn extent(&self) -> (u64, u64) {
        (self.first_step, self.total_steps)
    }

    /// Takes the batch of the next step and returns its settings; `None` when all steps are done.
    ///
    /// # Errors
    /// A picture that cannot be read, or a distance that is not finite.
    pub fn next(&mut self) -> Result<Option<StepSettings>, Error> {
        let Some(batch) = self.batches.next() else {
            self.active = false;
            return Ok(None);
        };
        self.batches.recycle(std::mem::replace(&mut self.batch, batch?));
        self.active = true;
        let step = self.batch.step;
        let weights = self.config.verification.at(step, self.total_steps);
        let steps_per_epoch = self.data.sampler.steps_per_epoch();
        let settings = StepSettings {
            learning_rate: self.config.learning_rate.rate(step, self.total_steps, steps_per_epoch),
            identification_weight: weights.identification,
            verification_weight: weights.verification,
            margin: self.state.margin_of(step)?,
        };
        self.log.submitted(step, settings);
        Ok(Some(settings))
    }

    /// The batch of the last step that [`Self::next`] began.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Counts the step as done.
    pub fn submitted(&mut self) {
        if self.active {
            self.state.step = self.batch.step + 1;
        }
    }

    /// Whether the step that was submitted last ends an epoch of this net.
    pub fn epoch_done(&self) -> bool {
        self.active && self.state.step.is_multiple_of(self.data.sampler.steps_per_epoch())
    }

    /// Whether the last step was one of this net's.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// Takes the result of a step; `None` where it is none of this net's, which was done by then.
    ///
    /// # Errors
    /// [`Error::Diverged`], or records that cannot be written.
    pub fn finished(&mut self, result: &StepResult, shared: &Shared) -> Result<Option<StepReport>, Error> {
        if !self.log.is_waiting() {
            return Ok(None);
        }
        if !result.loss.is_finite() || !result.identification.is_finite() {
            extractor::read_parameters(shared.gpu, &shared.store, &mut self.model, self.number.net)?;
            let what = self.first_not_finite().unwrap_or_else(|| "the loss".into());
            return Err(self.diverged(result.step + 1, what));
        }
        if self.config.signal.has_margin() {
            self.state.finished(result);
        }
        let (report, record) = self.log.finished(result);
        if let Some(record) = record {
            self.metrics.write(&Record::Train(record))?;
        }
        Ok(Some(report))
    }

    /// Stops the clock.
    pub fn pause(&mut self) {
        self.log.pause();
    }

    /// Starts the clock again.
    pub fn resume(&mut self) {
        self.log.resume();
    }

    /// Saves model and state, after a validation where the step ends an epoch that has one. All results must have been
    /// taken, and the clock stopped.
    ///
    /// # Errors
    /// Parameters that are not finite, a device that stopped, files that cannot be written.
    pub fn save(&mut self, shared: &Shared, progress: &mut Progress) -> Result<(), Error> {
        self.state.seconds = self.log.seconds();
        self.state.unrecorded = self.log.unrecorded();
        // The last update can overflow though every loss so far was finite.
        extractor::read_parameters(shared.gpu, &shared.store, &mut self.model, self.number.net)?;
        if let Some(what) = self.first_not_finite() {
            return Err(self.diverged(self.state.step, what));
        }
        if self.epoch_done() {
            self.validate(shared, progress)?;
        }
        state::save(&self.out.join(names::LAST), shared.gpu, &shared.store, self.number.net, &self.model, &self.state)
    }

    fn diverged(&self, step: u64, what: String) -> Error {
        let what = if self.number.nets == 1 { what } else { format!("net {}: {what}", self.number.net) };
        Error::Diverged { step, what }
    }

    /// Name of the model's first tensor that holds a number that is not finite.
    fn first_not_finite(&self) -> Option<String> {
        let mut parameters = self.model.parameters.iter();
        let (name, _) = parameters.find(|(_, values)| values.iter().any(|value| !value.is_finite()))?;
        Some(format!("tensor {name}"))
    }

    fn validate(&mut self, shared: &Shared, progress: &mut Progress) -> Result<(), Error> {
        let epoch = self.state.step / self.data.sampler.steps_per_epoch();
        let due = epoch.is_multiple_of(self.config.validate_every) || self.state.step == self.total_steps;
        let Some(validation) = self.validation.as_mut().filter(|_| due) else { return Ok(()) };
        let validated = validation.run(self.number, shared)?;
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
            "{}epoch {epoch}: validation accuracy {:.1} %, AUC {:.4}, EER {:.1} %{}",
            self.number.prefix(),
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

    /// Draws the curves and says how the net ended.
    ///
    /// # Errors
    /// Records that cannot be read, or plots that cannot be written.
    pub fn end(self, memory: DeviceMemory) -> Result<Outcome, Error> {
        plots::draw(&self.out, self.data.sampler.steps_per_epoch(), self.validated.as_ref())?;
        Ok(Outcome {
            finished: self.state.step >= self.total_steps,
            steps: self.state.step,
            images_per_second: self.log.overall_speed(self.state.step - self.first_step),
            validated: self.validated,
            best_accuracy: self.state.best_accuracy,
            floors: self.floors,
            memory,
            run: self.out,
        })
    }
}

/// Puts a net's parameters and momentum on the device: new ones, or those of the run in its folder.
///
/// # Errors
/// A checkpoint that is damaged or of other data, or memory that does not suffice.
pub(super) fn load(
    Member { config, folder, resume }: &Member,
    data: &TrainingData,
    net: usize,
    shared: &mut Shared,
) -> Result<(Model, RunState), Error> {
    if *resume {
        let path = folder.join(names::LAST);
        let (model, state) = state::load(&path, shared.gpu, &mut shared.store, net, config.margin_every)?;
        if model.spec != data.spec || model.trained_on != data.trained_on {
            return Err(Error::OtherData { path, before: model.trained_on, now: data.trained_on.clone() });
        }
        return Ok((model, state));
    }
    let model = untrained(config, data)?;
    extractor::write_parameters(shared.gpu, &model, &mut shared.store, net)?;
    Ok((model, RunState::new(config.margin_every)?))
}

/// The model before the first step.
fn untrained(config: &TrainConfig, data: &TrainingData) -> Result<Model, Error> {
    let mut parameters = BTreeMap::new();
    let mut learned = data.spec.extractor_parameters();
    learned.extend(data.spec.softmax_parameters());
    if config.signal == Signal::Cosine {
        learned.push(data.spec.cosine_parameters());
    }
    for parameter in learned {
        parameters.insert(parameter.name.to_string(), initial_values(&parameter, config.seed));
    }
    parameters.insert("mean".into(), mean(&data.images, config.mean)?);
    Ok(Model {
        spec: data.spec.clone(),
        crop: config.crop.without_margin(),
        patch: config.patch,
        mirror: config.mirror,
        threshold: None,
        trained_on: data.trained_on.clone(),
        parameters,
    })
}
