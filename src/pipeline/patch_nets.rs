//! A network for each kind of patch: which are trained, by which task, in which order, and what is missing.
//!
//! In the folder of networks, `patch-017/` is the run folder of patch 17 (see [`crate::train::run`]), with a file `DONE`
//! once it is trained to the end. Any number of processes may share the folder, each with its task index; a rerun passes
//! over what is done and goes on with what was interrupted.

use super::Error;
use super::listener::Listener;
use super::processes::Processes;
use crate::face::patches::Patch;
use crate::files::atomic_write;
use crate::train::folder::names;
use crate::train::{self, Member, Session, TrainConfig, train_members};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// Marks a network that is trained to the end.
pub const DONE: &str = "DONE";

/// What `DONE` says, as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// Name of the patch.
    pub patch: String,
    /// Steps of training.
    pub steps: u64,
    /// Accuracy of the last epoch on held-out people.
    pub accuracy: Option<f64>,
    /// Images a second in the last call.
    pub images_per_second: f64,
}

/// A task's share of the work: every `count`-th patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    pub index: usize,
    pub count: usize,
}

impl Task {
    /// All of the work.
    pub const ALL: Self = Self { index: 0, count: 1 };

    /// The task that `--task-index` and `--task-count` name, or else the variables of an array job of Slurm, Kubernetes,
    /// AWS Batch, Grid Engine or PBS (in this order); all of the work where there are none.
    ///
    /// # Errors
    /// One without the other, a number that is none, an index that is not below the count.
    pub fn choose(
        index: Option<usize>,
        count: Option<usize>,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let number = |name: &'static str| match variable(name) {
            None => Ok(None),
            Some(text) => match text.trim().parse::<usize>() {
                Ok(number) => Ok(Some(number)),
                // Grid Engine sets the variable to `undefined` where there is no array.
                Err(_) if text == "undefined" => Ok(None),
                Err(_) => Err(Error::TaskVariable { name, text }),
            },
        };
        /// Index, count, and the variable of the first index where it is not 0.
        const ARRAYS: [(&str, Option<&str>, Option<&str>); 5] = [
            ("SLURM_ARRAY_TASK_ID", Some("SLURM_ARRAY_TASK_COUNT"), Some("SLURM_ARRAY_TASK_MIN")),
            ("JOB_COMPLETION_INDEX", None, None),
            ("AWS_BATCH_JOB_ARRAY_INDEX", Some("AWS_BATCH_JOB_ARRAY_SIZE"), None),
            ("SGE_TASK_ID", Some("SGE_TASK_LAST"), Some("SGE_TASK_FIRST")),
            ("PBS_ARRAY_INDEX", None, None),
        ];
        let (mut from, mut named, mut size) = ("--task-index", index, count);
        for (variable, of, first) in ARRAYS {
            if named.is_some() {
                break;
            }
            let Some(at) = number(variable)? else { continue };
            let offset = first.map_or(Ok(None), number)?.unwrap_or(0);
            (from, named) = (variable, Some(at.saturating_sub(offset)));
            if size.is_none() {
                // Grid Engine tells the last index, others how many there are.
                let last = usize::from(variable == "SGE_TASK_ID");
                size = of.map_or(Ok(None), number)?.map(|size| (size + last).saturating_sub(last * offset));
            }
        }
        match (named, size) {
            (None, None) => Ok(Self::ALL),
            (_, Some(0)) => Err(Error::NoTasks),
            (Some(index), Some(count)) if index < count => Ok(Self { index, count }),
            (Some(index), Some(count)) => Err(Error::TaskIndex { from, index, count }),
            (Some(index), None) => Err(Error::TaskCount { from, index }),
            (None, Some(count)) => Err(Error::TaskWithoutIndex { count }),
        }
    }

    /// Its patches of `patches`.
    pub fn share(self, patches: &[Patch]) -> Vec<Patch> {
        patches.iter().skip(self.index).step_by(self.count).copied().collect()
    }
}

/// Folder of a patch's network.
pub fn folder_of(nets: &Path, patch: Patch) -> PathBuf {
    nets.join(format!("patch-{:03}", patch.index()))
}

/// File of a patch's trained network: that of the last epoch. Which epoch was the best on a few held-out people differs
/// from patch to patch, and taking it would be one more choice made on them.
pub fn model_of(nets: &Path, patch: Patch) -> PathBuf {
    folder_of(nets, patch).join(names::LAST)
}

/// How far a patch's network is.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Trained to the end.
    Done(Done),
    /// Begun, and saved at least once.
    Interrupted,
    /// Not begun.
    Missing,
}

/// How far the network of `patch` is.
///
/// # Errors
/// A mark that cannot be read.
pub fn state_of(nets: &Path, patch: Patch) -> Result<State, Error> {
    let folder = folder_of(nets, patch);
    let mark = folder.join(DONE);
    match std::fs::read(&mark) {
        Ok(bytes) => {
            let done = serde_json::from_slice(&bytes);
            Ok(State::Done(done.map_err(|error| Error::Mark { path: mark, message: error.to_string() })?))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => match folder.join(names::LAST).is_file() {
            true => Ok(State::Interrupted),
            false => Ok(State::Missing),
        },
        Err(source) => Err(Error::Read { path: mark, source }),
    }
}

/// What is to be trained where.
#[derive(Debug, Clone)]
pub struct PatchNets {
    /// Settings of all networks; the patch is set for each.
    pub base: TrainConfig,
    /// Patches of this task.
    pub patches: Vec<Patch>,
    /// Folder of networks.
    pub out: PathBuf,
    /// Most networks trained in one dispatch; only those of one input size go together.
    pub at_once: usize,
}

/// A network that is trained to the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    pub folder: PathBuf,
    pub done: Done,
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.folder.file_name().unwrap_or_default().to_string_lossy();
        write!(f, "{name}: {} steps at {:.0} images/s", self.done.steps, self.done.images_per_second)
    }
}

/// How training ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// Networks that were done before.
    pub before: usize,
    /// Networks that this call finished.
    pub now: Vec<Finished>,
    /// False after an interruption.
    pub finished: bool,
}

impl PatchNets {
    fn config(&self, patch: Patch) -> TrainConfig {
        let mut config = self.base.clone();
        // However the folder is written, and from wherever the command is given.
        config.data = std::path::absolute(&config.data).unwrap_or(config.data);
        config.take_patch(patch);
        config
    }

    /// Networks that are trained together, in order.
    ///
    /// # Errors
    /// A network in the folder that was trained with other settings.
    fn groups(&self) -> Result<(Vec<Vec<Member>>, usize), Error> {
        let mut groups: Vec<Vec<Member>> = Vec::new();
        let mut done = 0;
        for &patch in &self.patches {
            let mut config = self.config(patch);
            let folder = folder_of(&self.out, patch);
            let state = state_of(&self.out, patch)?;
            if state != State::Missing {
                let held = TrainConfig::load(&folder.join(names::CONFIG))?;
                // How a batch was cut into slices is no setting of the user's.
                config.micro_batch = config.micro_batch.or(held.micro_batch);
                if let Some(difference) = held.difference(&config) {
                    return Err(Error::OtherNetSettings { folder, difference });
                }
            }
            if matches!(state, State::Done(_)) {
                done += 1;
                continue;
            }
            let member = Member { config, folder, resume: state == State::Interrupted };
            let fits = |group: &&mut Vec<Member>| {
                let beside = &group[0].config;
                group.len() < self.at_once
                    && (beside.crop, beside.micro_batch) == (member.config.crop, member.config.micro_batch)
            };
            match groups.iter_mut().find(fits) {
                Some(group) => group.push(member),
                None => groups.push(vec![member]),
            }
        }
        Ok((groups, done))
    }

    /// Trains what is not trained yet: in this process, or in several where that is faster.
    ///
    /// # Errors
    /// As [`train_members`]; networks in the folder that were trained with other settings.
    pub fn train(&self, session: &Session, processes: &Processes, listener: &dyn Listener) -> Result<Trained, Error> {
        let (groups, before) = self.groups()?;
        let mut trained = Trained { before, now: Vec::new(), finished: true };
        let count = processes.count(session.gpu, groups.len());
        if count > 1 {
            trained.now = processes.train(count, &groups, session, listener)?;
            trained.finished = trained.now.len() == groups.iter().map(Vec::len).sum::<usize>();
            return Ok(trained);
        }
        for members in groups {
            let finished = train_group(session, &members)?;
            finished.iter().for_each(|finished| listener.say(&format!("  {finished}")));
            let all = finished.len() == members.len();
            trained.now.extend(finished);
            if !all || session.interrupt.is_requested() {
                trained.finished = false;
                break;
            }
        }
        Ok(trained)
    }
}

/// Trains networks at once, and marks those that are finished: all, or fewer after an interruption.
///
/// # Errors
/// As [`train_members`].
pub fn train_group(session: &Session, members: &[Member]) -> Result<Vec<Finished>, Error> {
    let mut all = Vec::with_capacity(members.len());
    let outcomes = train_members(session, members).map_err(|error| named(error, members))?;
    for (outcome, member) in outcomes.into_iter().zip(members) {
        if !outcome.finished {
            continue;
        }
        let done = Done {
            patch: member.config.patch.map(|patch| patch.to_string()).unwrap_or_default(),
            steps: outcome.steps,
            accuracy: outcome.validated.as_ref().map(|validated| validated.accuracy),
            images_per_second: outcome.images_per_second,
        };
        let json = serde_json::to_vec(&done).expect("plain numbers and text");
        atomic_write(&member.folder.join(DONE), &json)?;
        all.push(Finished { folder: outcome.run, done });
    }
    Ok(all)
}

/// An error that says which networks it is about.
fn named(error: train::Error, members: &[Member]) -> Error {
    let folders: Vec<String> = members.iter().map(|member| member.folder.display().to_string()).collect();
    let text = error.to_string();
    if folders.iter().any(|folder| text.contains(folder)) {
        return error.into();
    }
    Error::Network { folders: folders.join(", "), source: Box::new(error) }
}

/// What a folder of networks holds of `patches`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Collected {
    pub done: Vec<(Patch, Done)>,
    pub interrupted: Vec<Patch>,
    pub missing: Vec<Patch>,
}

/// Looks which networks are there.
///
/// # Errors
/// A folder that is missing, a mark that cannot be read.
pub fn collect(nets: &Path, patches: impl IntoIterator<Item = Patch>) -> Result<Collected, Error> {
    if !nets.is_dir() {
        return Err(Error::NoNets { path: nets.into() });
    }
    let mut collected = Collected::default();
    for patch in patches {
        match state_of(nets, patch)? {
            State::Done(done) => collected.done.push((patch, done)),
            State::Interrupted => collected.interrupted.push(patch),
            State::Missing => collected.missing.push(patch),
        }
    }
    Ok(collected)
}

/// Patches as a list such as `0-24,30`.
pub fn list_of(patches: &[Patch]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for patch in patches.iter().map(|patch| patch.index()) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == patch => *last = patch,
            _ => ranges.push((patch, patch)),
        }
    }
    let text = |(first, last): &(usize, usize)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    ranges.iter().map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::patches::parse_list;

    fn choose(index: Option<usize>, count: Option<usize>, variables: &[(&str, &str)]) -> Result<Task, Error> {
        Task::choose(index, count, &|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).into())
        })
    }

    #[test]
    fn tasks_are_named_by_flags_or_by_the_job_system() {
        let task = |index, count| Task { index, count };
        assert_eq!(choose(None, None, &[]).unwrap(), Task::ALL);
        let slurm = [("SLURM_ARRAY_TASK_ID", "7"), ("SLURM_ARRAY_TASK_COUNT", "8"), ("SLURM_ARRAY_TASK_MIN", "1")];
        assert_eq!(choose(None, None, &slurm).unwrap(), task(6, 8));
        assert_eq!(choose(Some(1), Some(2), &slurm).unwrap(), task(1, 2));
        assert_eq!(choose(None, Some(4), &[("JOB_COMPLETION_INDEX", "3")]).unwrap(), task(3, 4));
        let sge = [("SGE_TASK_ID", "3"), ("SGE_TASK_FIRST", "1"), ("SGE_TASK_LAST", "5")];
        assert_eq!(choose(None, None, &sge).unwrap(), task(2, 5));
        assert_eq!(choose(None, None, &[("SGE_TASK_ID", "undefined")]).unwrap(), Task::ALL);
        for (index, count, variables, expected) in [
            (Some(2), None, &[][..], "--task-count"),
            (None, Some(2), &[], "--task-index"),
            (Some(2), Some(2), &[], "--task-index 2: expected 0 to 1"),
            (None, None, &[("JOB_COMPLETION_INDEX", "0")], "--task-count"),
            (None, None, &[("SLURM_ARRAY_TASK_ID", "x")], "SLURM_ARRAY_TASK_ID"),
        ] {
            let message = choose(index, count, variables).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn shares_are_disjoint_and_complete() {
        let patches: Vec<Patch> = Patch::all().collect();
        let mut all: Vec<usize> =
            (0..7).flat_map(|index| Task { index, count: 7 }.share(&patches)).map(Patch::index).collect();
        all.sort_unstable();
        assert_eq!(all, (0..200).collect::<Vec<_>>());
    }

    #[test]
    fn lists_are_written_as_they_are_read() {
        for list in ["0-24,30,199", "5", "0-199", "1,3,5-6"] {
            assert_eq!(list_of(&parse_list(list).unwrap()), list);
        }
        assert_eq!(list_of(&[]), "");
    }
}
