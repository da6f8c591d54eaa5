//! From the results of steps to reports: means over a few steps, and speed.

use super::metrics::StepReport;
use super::state::{RunState, Unrecorded};
use super::step::{StepResult, StepSettings};
use std::collections::VecDeque;
use std::time::Instant;

/// Steps that a line of `metrics.jsonl` sums up.
const STEPS_A_RECORD: u64 = 10;

/// Turns results into reports: means over a few steps, and speed.
pub(super) struct StepLog {
    steps_per_epoch: u64,
    batch: usize,
    /// Settings of steps whose results are not there yet.
    settings: VecDeque<(u64, StepSettings)>,
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
    /// A log that goes on from `state`.
    pub fn new(steps_per_epoch: u64, batch: usize, state: &RunState) -> Self {
        let now = Instant::now();
        Self {
            steps_per_epoch,
            batch,
            settings: VecDeque::new(),
            unrecorded: state.unrecorded,
            new_steps: 0,
            seconds_before: state.seconds,
            seconds_now: 0.0,
            stretch: now,
            last: now,
            speed: 0.0,
        }
    }

    /// Takes note of the settings of a step that was submitted.
    pub fn submitted(&mut self, step: u64, settings: StepSettings) {
        self.settings.push_back((step, settings));
    }

    /// Whether a step was submitted whose result is still to come.
    pub fn is_waiting(&self) -> bool {
        !self.settings.is_empty()
    }

    /// The steps that no record sums up yet.
    pub fn unrecorded(&self) -> Unrecorded {
        self.unrecorded
    }

    /// Stops the clock, for a validation.
    pub fn pause(&mut self) {
        self.seconds_now += self.stretch.elapsed().as_secs_f64();
        self.stretch = Instant::now();
    }

    /// Starts the clock again.
    pub fn resume(&mut self) {
        let away = self.stretch.elapsed();
        self.stretch = Instant::now();
        self.last += away;
    }

    /// Seconds of training so far, those before this call included.
    pub fn seconds(&self) -> f64 {
        self.seconds_before + self.seconds_now
    }

    /// Pictures a second over `steps` steps of this call.
    pub fn overall_speed(&self, steps: u64) -> f64 {
        (steps * self.batch as u64) as f64 / self.seconds_now.max(1e-9)
    }

    /// The report of a step for the screen, and every few steps their mean for the file.
    pub fn finished(&mut self, result: &StepResult) -> (StepReport, Option<StepReport>) {
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
