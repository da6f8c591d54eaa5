//! What a resumed run needs beside the model: in `last.safetensors`, as more tensors and entries of a model file.
//!
//! | tensor | shape | what |
//! |---|---|---|
//! | `velocity/NAME` | as `NAME` | momentum of SGD |
//! | `margin.pairs` | [pairs, 2] | distances since the margin's last update, and 1 for same |
//! | `margin.pending` | [steps, pairs, 2] | those of the last few steps, which the margin has not seen yet |
//!
//! | entry | what |
//! |---|---|
//! | `step` | steps done |
//! | `margin` | the margin in force |
//! | `seconds` | seconds of training so far |
//! | `best_accuracy` | best validation accuracy so far |
//! | `unrecorded` | [`Unrecorded`] as JSON: the steps since the last line of `metrics.jsonl` |

use super::Error;
use super::margin::{MarginState, MarginTracker};
use super::step::StepResult;
use crate::gpu::Gpu;
use crate::model::checkpoint::{self, NamedTensor};
use crate::model::{self, Model, extractor};
use crate::net::ParameterSpec;
use crate::tape::Store;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::Path;

/// Results reach the margin this many steps late, whenever the device delivered them: the margin of a step is then the
/// same in a run that was interrupted and in one that was not.
pub const MARGIN_LAG: u64 = 4;

/// Progress of a run.
#[derive(Debug, Clone)]
pub struct RunState {
    /// Steps done.
    pub step: u64,
    /// Seconds of training so far.
    pub seconds: f64,
    /// Best validation accuracy so far.
    pub best_accuracy: Option<f64>,
    /// The margin and its pairs.
    pub margin: MarginTracker,
    /// Results that the margin has not seen yet, by step.
    pub pending: VecDeque<PendingPairs>,
    /// Steps that no record sums up yet.
    pub unrecorded: Unrecorded,
}

/// Sums over the steps since the last record of metrics, so that the next is the one of an uninterrupted run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Unrecorded {
    /// Number of steps.
    pub steps: u64,
    /// Identification, verification and total loss, and accuracy.
    pub sums: [f64; 4],
}

/// Distances of one step's pairs.
#[derive(Debug, Clone, PartialEq)]
pub struct PendingPairs {
    /// The step.
    pub step: u64,
    /// Distance, and whether the pair is of one person.
    pub pairs: Vec<(f32, bool)>,
}

impl RunState {
    /// At the start.
    ///
    /// # Errors
    /// As [`MarginTracker::new`].
    pub fn new(margin_every: usize) -> Result<Self, Error> {
        Ok(Self {
            step: 0,
            seconds: 0.0,
            best_accuracy: None,
            margin: MarginTracker::new(margin_every)?,
            pending: VecDeque::new(),
            unrecorded: Unrecorded::default(),
        })
    }

    /// Takes a finished step's pairs.
    pub fn finished(&mut self, result: &StepResult) {
        self.pending.push_back(PendingPairs { step: result.step, pairs: result.distances.clone() });
    }

    /// The margin of step `step`: updated from the pairs of all steps up to [`MARGIN_LAG`] before it.
    ///
    /// # Errors
    /// A distance that is not finite.
    pub fn margin_of(&mut self, step: u64) -> Result<f32, Error> {
        while self.pending.front().is_some_and(|pairs| pairs.step + MARGIN_LAG <= step) {
            let Some(pairs) = self.pending.pop_front() else { break };
            self.margin.push_batch(&pairs.pairs)?;
        }
        Ok(self.margin.margin())
    }
}

/// Saves model and state of net `net` of `store` to `path`.
///
/// # Errors
/// A device that stopped, or a file that cannot be written.
pub fn save(path: &Path, gpu: &Gpu, store: &Store, net: usize, model: &Model, state: &RunState) -> Result<(), Error> {
    let (mut tensors, mut metadata) = model.contents();
    for spec in learned(model) {
        let name = velocity(spec.name);
        if let Some(values) = store.read_net(gpu, net, &name)? {
            tensors.push(NamedTensor { name, values: spec.strip(&values), dims: spec.dims });
        }
    }
    let margin = state.margin.state();
    tensors.push(NamedTensor {
        name: "margin.pairs".into(),
        dims: vec![margin.pairs.len() / 2, 2],
        values: margin.pairs,
    });
    let pairs = state.pending.front().map_or(0, |pending| pending.pairs.len());
    let values = state.pending.iter().flat_map(|pending| &pending.pairs);
    tensors.push(NamedTensor {
        name: "margin.pending".into(),
        dims: vec![state.pending.len(), pairs, 2],
        values: values.flat_map(|(distance, same)| [*distance, f32::from(u8::from(*same))]).collect(),
    });
    metadata.insert("step".into(), state.step.to_string());
    metadata.insert("seconds".into(), state.seconds.to_string());
    metadata.insert("margin".into(), margin.margin.to_string());
    let unrecorded = serde_json::to_string(&state.unrecorded).expect("plain numbers, which JSON can hold");
    metadata.insert("unrecorded".into(), unrecorded);
    if let Some(accuracy) = state.best_accuracy {
        metadata.insert("best_accuracy".into(), accuracy.to_string());
    }
    Ok(checkpoint::save(path, &tensors, &metadata)?)
}

/// Loads model and state from `path`, and puts parameters and momentum on the device, as those of net `net`.
///
/// # Errors
/// A file that is damaged, or of a model without the state of a run.
pub fn load(
    path: &Path,
    gpu: &Gpu,
    store: &mut Store,
    net: usize,
    margin_every: usize,
) -> Result<(Model, RunState), Error> {
    let (model, mut file) = Model::load_with_rest(path)?;
    extractor::write_parameters(gpu, &model, store, net)?;
    for spec in learned(&model) {
        let values = file.take(&velocity(spec.name), &spec.dims)?;
        store.write_net(gpu, net, &velocity(spec.name), &spec.device_type(), &spec.pad(&values))?;
    }
    let dims = |file: &checkpoint::Checkpoint, name: &str| file.dims(name).map(<[usize]>::to_vec).unwrap_or_default();
    let pairs_dims = dims(&file, "margin.pairs");
    let pairs = file.take("margin.pairs", &pairs_dims)?;
    let pending_dims = dims(&file, "margin.pending");
    let pending = file.take("margin.pending", &pending_dims)?;
    let step: u64 = file.value("step", "a whole number")?;
    let margin = file.value("margin", "a number")?;
    let steps = pending_dims.first().copied().unwrap_or(0);
    let a_step = pending.len() / steps.max(1);
    let pending = (0..steps)
        .map(|index| PendingPairs {
            step: (step + index as u64).saturating_sub(steps as u64),
            pairs: pending[index * a_step..(index + 1) * a_step]
                .chunks_exact(2)
                .map(|pair| (pair[0], pair[1] == 1.0))
                .collect(),
        })
        .collect();
    let best_accuracy = match file.metadata.contains_key("best_accuracy") {
        true => Some(file.value("best_accuracy", "a number")?),
        false => None,
    };
    let state = RunState {
        step,
        seconds: file.value("seconds", "a number")?,
        best_accuracy,
        margin: MarginTracker::resume(margin_every, &MarginState { margin, pairs })?,
        pending,
        unrecorded: model::file::entry(path, &file, "unrecorded")?,
    };
    Ok((model, state))
}

/// Tensors that SGD changes.
fn learned(model: &Model) -> Vec<ParameterSpec> {
    let mut all = model.spec.extractor_parameters();
    all.extend(model.spec.softmax_parameters());
    if model.parameters.contains_key("cosine") {
        all.push(model.spec.cosine_parameters());
    }
    all
}

fn velocity(name: &str) -> String {
    format!("velocity/{name}")
}
