//! Training around the GPU's step: what the step is told, what is kept and what is shown.
//!
//! | file | purpose |
//! |---|---|
//! | [`schedule`] | learning rate and weights of the two signals at a step |
//! | [`margin`] | the margin of the verification signal, reset from the latest pairs |
//! | [`checkpoint`] | named tensors and text in safetensors files |
//! | [`metrics`] | the record of a run: `metrics.jsonl` |
//! | [`progress`] | the bar or the lines that a user watches |
//! | [`interrupt`] | Ctrl-C and SIGTERM stop a run between two steps |
//!
//! Steps are counted as steps *done*: the schedule is asked for step 0 first, and the report and the
//! checkpoint made after that step carry 1.

pub mod checkpoint;
pub mod interrupt;
pub mod margin;
pub mod metrics;
pub mod progress;
pub mod schedule;
