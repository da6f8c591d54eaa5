//! Training: the step on the device and everything around it.
//!
//! | file | purpose |
//! |---|---|
//! | [`config`] | every setting of a run; `config.toml` |
//! | [`step`] | the step on the device: uploads, submissions, results read late |
//! | [`slices`] | a batch cut into slices that fit the adapter |
//! | [`run`] | the loop over steps and epochs |
//! | [`state`] | what a resumed run needs beside the model |
//! | [`validation`] | verification of identities that training never saw |
//! | [`schedule`] | learning rate and weights of the two signals at a step |
//! | [`margin`] | the margin of the verification signal, reset from the latest pairs |
//! | [`metrics`] | the record of a run: `metrics.jsonl` |
//! | [`progress`] | the bar or the lines that a user watches |
//! | [`interrupt`] | Ctrl-C and SIGTERM stop a run between two steps |
//!
//! Steps are counted as steps *done*: the schedule is asked for step 0 first, and the report and the
//! checkpoint made after that step carry 1.

pub mod config;
pub mod interrupt;
pub mod margin;
pub mod metrics;
pub mod progress;
pub mod run;
pub mod schedule;
pub mod slices;
pub mod state;
pub mod step;
pub mod validation;

pub use config::TrainConfig;
pub use run::{Outcome, train};

use crate::{data, files, gpu, model, net, report, tape, verify};
use std::path::PathBuf;
use thiserror::Error;

/// Why training cannot start or go on.
#[derive(Debug, Error)]
pub enum Error {
    #[error(
        "{run} already holds a training run; give another --out, or --resume to go on with it, or remove the folder"
    )]
    RunExists { run: PathBuf },
    #[error("{run} holds no run to resume ({missing} is missing); give the folder of a run, or leave --resume out")]
    NothingToResume { run: PathBuf, missing: &'static str },
    #[error(
        "the run in {run} ended before its first checkpoint, so there is nothing to resume; leave --resume out to begin it again"
    )]
    NoCheckpointYet { run: PathBuf },
    #[error(
        "{path} cannot be resumed with other data: it was trained on {before}, and there are {now} now; restore the data, or start a new run in another --out"
    )]
    OtherData { path: PathBuf, before: String, now: String },
    #[error(
        "{run} cannot be resumed with other settings: {difference}; leave the setting out, or start a new run in another --out"
    )]
    OtherSettings { run: PathBuf, difference: String },
    #[error("{path}: cannot be created: {source}; choose a folder that you may write to, on a disk with room")]
    CreateFolder { path: PathBuf, source: std::io::Error },
    #[error("{path}: {message}; fix the line, or remove the file's entry")]
    ConfigFile { path: PathBuf, message: String },
    #[error("{flag} {value}: expected {expected}")]
    Setting { flag: &'static str, value: String, expected: &'static str },
    #[error("--rate-scale {tensors}: no tensor's name starts so; expected the beginning of one of {names}")]
    RateScaleName { tensors: String, names: String },
    #[error(
        "step {step}: {what} is not a finite number, so training has diverged; the checkpoints of earlier epochs are kept. Lower --learning-rate, or --lambda, and start again"
    )]
    Diverged { step: u64, what: String },
    #[error(
        "slices of --micro-batch {images} pictures do not fit: {source}. The largest that fit this adapter have {largest}: pass --micro-batch {largest}"
    )]
    MicroBatchTooLarge { images: usize, largest: usize, source: gpu::Error },
    #[error(
        "the network does not fit, whatever the batch: {source}. Lower --widths, --embedding or --size, or train on fewer identities"
    )]
    NetworkTooLarge { source: gpu::Error },
    #[error(transparent)]
    Dataset(#[from] data::dataset::Error),
    #[error(transparent)]
    Split(#[from] data::split::Error),
    #[error(transparent)]
    Sampler(#[from] data::sampler::Error),
    #[error(transparent)]
    Augment(#[from] data::augment::Error),
    #[error(transparent)]
    Store(#[from] data::store::Error),
    #[error(transparent)]
    Crop(#[from] data::crop::Error),
    #[error(transparent)]
    Loader(#[from] data::loader::Error),
    #[error(transparent)]
    Pairs(#[from] data::pairs::Error),
    #[error(transparent)]
    Schedule(#[from] schedule::Error),
    #[error(transparent)]
    Margin(#[from] margin::Error),
    #[error(transparent)]
    Checkpoint(#[from] model::checkpoint::Error),
    #[error(transparent)]
    Metrics(#[from] metrics::Error),
    #[error(transparent)]
    File(#[from] files::Error),
    #[error(transparent)]
    Model(#[from] model::Error),
    #[error(transparent)]
    Verify(#[from] verify::Error),
    #[error(transparent)]
    Report(#[from] report::Error),
    #[error(transparent)]
    Net(#[from] net::Error),
    #[error(transparent)]
    Tape(#[from] tape::Error),
    #[error(transparent)]
    Gpu(#[from] gpu::Error),
}
