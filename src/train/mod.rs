//! Training: the step on the device and everything around it.
//!
//! | file | purpose |
//! |---|---|
//! | [`config`] | every setting of a run; `config.toml` |
//! | [`step`] | the step on the device: uploads, submissions, results read late |
//! | [`slices`] | a batch cut into slices that fit the adapter |
//! | [`run`] | the loop over steps and epochs, of one net or of several at once |
//! | `net` | one net of a run: its model, state, records and checkpoints |
//! | `data` | the pictures that a net is trained and validated on |
//! | `plots` | the curves in a run's folder |
//! | `log` | reports from the results of steps |
//! | [`folder`] | where the results of a run, or of each of its nets, lie |
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
mod data;
pub mod folder;
pub mod interrupt;
mod log;
pub mod margin;
pub mod metrics;
mod net;
mod plots;
pub mod progress;
pub mod run;
pub mod schedule;
pub mod slices;
pub mod state;
pub mod step;
pub mod validation;

pub use config::TrainConfig;
pub use run::{Member, Outcome, Session, train, train_members, train_nets};

use crate::{files, gpu, model, report, tape, verify};
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
    #[error(
        "{run} holds a run of {held} networks at once, not {nets}; give --nets {held} or leave --nets out to go on with it"
    )]
    OtherNets { run: PathBuf, held: usize, nets: usize },
    #[error(
        "net {net} cannot be trained in the same dispatches as net 0: {difference}, and only their data and seeds may differ; train it in a run of its own"
    )]
    NetSettings { net: usize, difference: String },
    #[error(
        "net {net} cannot be trained in the same dispatches as net 0: it has {other}, net 0 has {first}, and the softmax of both must have as many identities. Give folders of as many people, and the same --validation-fraction"
    )]
    NetsDiffer { net: usize, first: String, other: String },
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
    #[error(
        "--nets {nets}: so many networks at once do not fit: {source}. The most that fit this adapter are {largest}: pass --nets {largest}, or a smaller --batch"
    )]
    TooManyNets { nets: usize, largest: usize, source: gpu::Error },
    #[error(transparent)]
    Dataset(#[from] crate::data::dataset::Error),
    #[error(transparent)]
    Split(#[from] crate::data::split::Error),
    #[error(transparent)]
    Sampler(#[from] crate::data::sampler::Error),
    #[error(transparent)]
    Augment(#[from] crate::data::augment::Error),
    #[error(transparent)]
    Store(#[from] crate::data::store::Error),
    #[error(transparent)]
    Crop(#[from] crate::data::crop::Error),
    #[error(transparent)]
    Cut(#[from] crate::data::cut::Error),
    #[error(transparent)]
    Loader(#[from] crate::data::loader::Error),
    #[error(transparent)]
    Pairs(#[from] crate::data::pairs::Error),
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
    Net(#[from] crate::net::Error),
    #[error(transparent)]
    Tape(#[from] tape::Error),
    #[error(transparent)]
    Gpu(#[from] gpu::Error),
}
