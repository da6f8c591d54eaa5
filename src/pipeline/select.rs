//! The selection stage: forward-backward greedy choice of vectors (DeepID2 §3.3), once for each group, each from what no
//! other has taken (§4.3).
//!
//! PCA and Joint Bayesian of the risk are fitted to the people that networks were trained on; the risk is that of pairs of
//! held-out people. After each step the choice so far is saved to `NAME.partial`, from which an interrupted run goes on.

use super::Error;
use super::fit::VectorFolder;
use super::people::{People, Side};
use super::selection::Selection;
use super::vectors::SIDES;
use crate::face::patches::Patch;
use crate::files::atomic_write;
use crate::select::foba::{self, Action, Trace};
use crate::select::groups::select_groups;
use crate::select::risk::{self, Risk, Task, Vectors};
use crate::train::interrupt::Interrupt;
use crate::verify::transform::Transform;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

/// How vectors are chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelectSettings {
    /// Vectors in a group.
    pub size: usize,
    /// Groups.
    pub groups: usize,
    /// ν of the backward steps.
    pub nu: f64,
    /// Held-out pairs that the risk is of.
    pub pairs: usize,
    /// What is done to the vectors' numbers before PCA.
    pub transform: Transform,
    pub risk: risk::Settings,
}

impl Default for SelectSettings {
    /// As in the paper: 7 groups of 25 vectors, ν = ½.
    fn default() -> Self {
        let foba::Settings { size, nu } = foba::Settings::default();
        Self { size, groups: 7, nu, pairs: 6_000, transform: Transform::default(), risk: risk::Settings::default() }
    }
}

impl SelectSettings {
    /// Fewer vectors and groups where the patches do not give so many.
    #[must_use]
    pub fn fitting(mut self, patches: usize) -> Self {
        let candidates = SIDES * patches;
        self.size = self.size.min(candidates).max(1);
        self.groups = self.groups.min(candidates / self.size).max(1);
        self
    }

    /// Makes sure that the patches give enough vectors.
    ///
    /// # Errors
    /// More vectors asked for than there are.
    pub fn check(&self, patches: usize) -> Result<(), Error> {
        let candidates = SIDES * patches;
        if self.size == 0 || self.groups == 0 || self.size.saturating_mul(self.groups) > candidates {
            return Err(Error::TooFewVectors { size: self.size, groups: self.groups, candidates });
        }
        Ok(())
    }
}

/// The candidates' vectors on disk.
struct Candidates<'a> {
    vectors: &'a VectorFolder,
    patches: &'a [Patch],
    dimension: usize,
    faces: usize,
    transform: Transform,
}

impl Candidates<'_> {
    /// The number of an element among all 400 vectors.
    fn vector(&self, element: usize) -> usize {
        SIDES * self.patches[element / SIDES].index() + element % SIDES
    }
}

impl Vectors for Candidates<'_> {
    fn count(&self) -> usize {
        SIDES * self.patches.len()
    }

    fn dimension(&self) -> usize {
        self.dimension
    }

    fn faces(&self) -> usize {
        self.faces
    }

    fn rows(&self, element: usize) -> io::Result<Cow<'_, [f32]>> {
        let vector = self.vector(element);
        let vectors = self.vectors.of_patch(vector / SIDES).map_err(io::Error::other)?;
        if vectors.dimension != self.dimension {
            return Err(io::Error::other("its vectors are longer or shorter than the others'"));
        }
        let rows = (0..self.faces).flat_map(|face| vectors.vector(face, vector % SIDES)).copied().collect();
        Ok(Cow::Owned(self.transform.applied(rows)))
    }
}

/// What an interrupted selection leaves.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unfinished {
    settings: SelectSettings,
    patches: Vec<usize>,
    seed: u64,
    /// SHA-256 of the list of faces.
    faces: String,
    traces: Vec<Trace>,
}

/// What is chosen from.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    pub vectors: &'a VectorFolder,
    pub patches: &'a [Patch],
    pub people: &'a People,
}

/// Chooses, and saves the choice to `out`; `None` after an interruption. `say` hears each step.
///
/// # Errors
/// Vectors that are missing, too few of them, pairs that cannot be drawn, a risk that cannot be worked out, a file that
/// cannot be written.
pub fn select(
    inputs: &Inputs,
    settings: &SelectSettings,
    out: &Path,
    interrupt: &Interrupt,
    say: &dyn Fn(String),
) -> Result<Option<Selection>, Error> {
    let Inputs { vectors, patches, people } = *inputs;
    let seed = vectors.held_out().seed;
    settings.check(patches.len())?;
    let Some(first) = patches.first() else { return Err(Error::NothingChosen) };
    let dimension = vectors.of_patch(first.index())?.dimension;
    let candidates =
        Candidates { vectors, patches, dimension, faces: people.of_face.len(), transform: settings.transform };
    let train: Vec<u32> = people.faces(Side::Training).into_iter().map(|face| face as u32).collect();
    let labels: Vec<u32> = train.iter().map(|&face| people.of_face[face as usize]).collect();
    let pairs = people.held_out_pairs(settings.pairs, seed)?;
    let task = Task { train: &train, labels: &labels, pairs: &pairs };
    let going_on = || !interrupt.is_requested();
    let risk = match Risk::prepare(&candidates, &task, &settings.risk, &|_| going_on()) {
        Err(risk::Error::Stopped) => return Ok(None),
        prepared => prepared?,
    };

    let partial = partial(out);
    let held = Unfinished {
        settings: settings.clone(),
        patches: patches.iter().map(|patch| patch.index()).collect(),
        seed,
        faces: vectors.faces().into(),
        traces: Vec::new(),
    };
    let traces = resume(&partial, &held)?;
    let mut said = traces.iter().map(|trace| trace.steps.len()).sum::<usize>();
    let mut on_step = |traces: &[Trace]| {
        let saved = Unfinished { traces: traces.to_vec(), ..held.clone() };
        let json = serde_json::to_vec(&saved).expect("plain numbers, which JSON can hold");
        atomic_write(&partial, &json)?;
        let steps = traces.iter().map(|trace| trace.steps.len()).sum::<usize>();
        if let Some(step) = traces.last().and_then(|trace| trace.steps.last()).filter(|_| steps > said) {
            let vector = candidates.vector(step.element);
            let patch = patches[step.element / SIDES];
            let sign = if step.action == Action::Add { '+' } else { '−' };
            let mirrored = if vector % SIDES == 1 { " mirrored" } else { "" };
            say(format!("group {}: {sign} vector {vector} ({patch}{mirrored}), risk {:.4}", traces.len(), step.risk));
            said = steps;
        }
        Ok(())
    };
    let one = foba::Settings { size: settings.size, nu: settings.nu };
    let selected = risk.with_objective(&going_on, |objective| {
        select_groups(candidates.count(), &[], settings.groups, &one, objective, traces, &mut on_step)
    });
    let traces = match selected {
        Err(foba::Error::Risk(risk::Error::Stopped)) => return Ok(None),
        selected => selected?,
    };
    let groups = traces.iter().map(|trace| trace.selected().into_iter().map(|e| candidates.vector(e)).collect());
    let selection = Selection::new(groups.collect());
    selection.save(out)?;
    // The choice is saved: what is left of the way to it is only in the way.
    let _ = std::fs::remove_file(&partial);
    Ok(Some(selection))
}

fn partial(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_os_string();
    name.push(".partial");
    out.with_file_name(name)
}

/// The traces of an interrupted selection from the same candidates with the same settings; none where there is none.
fn resume(partial: &Path, wanted: &Unfinished) -> Result<Vec<Trace>, Error> {
    let Ok(bytes) = std::fs::read(partial) else { return Ok(Vec::new()) };
    let held: Unfinished = serde_json::from_slice(&bytes)
        .map_err(|error| Error::NotSelection { path: partial.into(), message: error.to_string() })?;
    let same = (&held.settings, &held.patches, held.seed, &held.faces)
        == (&wanted.settings, &wanted.patches, wanted.seed, &wanted.faces);
    if same { Ok(held.traces) } else { Err(Error::OtherSelection { path: partial.into() }) }
}

#[cfg(test)]
mod tests {
    use super::super::fit::testing::{PATCHES, drawn};
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn a_choice_that_is_stopped_after_every_step_ends_as_the_uninterrupted_one() {
        let (folder, vectors, people) = drawn(16, 3, 6);
        let patches = PATCHES.map(|patch| Patch::new(patch).unwrap());
        let inputs = Inputs { vectors: &vectors, patches: &patches, people: &people };
        let settings = SelectSettings { size: 2, groups: 2, ..SelectSettings::default() };
        let [whole, stopped] = ["whole.json", "stopped.json"].map(|name| folder.path().join(name));
        let said = RefCell::new(Vec::new());
        let say = |text: String| said.borrow_mut().push(text);
        let expected = select(&inputs, &settings, &whole, &Interrupt::default(), &say).unwrap().unwrap();
        let mut chosen: Vec<usize> = expected.groups().concat();
        chosen.sort_unstable();
        assert_eq!(chosen, [6, 7, 100, 101], "each of the four vectors once");
        assert_eq!(Selection::load(&whole).unwrap(), expected);

        let mut calls = 0;
        let steps = RefCell::new(Vec::new());
        let found = loop {
            let interrupt = Interrupt::default();
            let stop = |text: String| {
                steps.borrow_mut().push(text);
                interrupt.request();
            };
            calls += 1;
            if let Some(found) = select(&inputs, &settings, &stopped, &interrupt, &stop).unwrap() {
                break found;
            }
            assert!(!stopped.exists() && partial(&stopped).is_file());
        };
        assert!(calls > 2, "stopped {calls} times");
        assert_eq!(found, expected);
        assert_eq!(*steps.borrow(), *said.borrow(), "no step is made twice");
        assert!(std::fs::read(&whole).unwrap() == std::fs::read(&stopped).unwrap() && !partial(&stopped).exists());
    }

    #[test]
    fn what_another_choice_left_is_refused() {
        let (folder, vectors, people) = drawn(16, 3, 6);
        let patches = PATCHES.map(|patch| Patch::new(patch).unwrap());
        let inputs = Inputs { vectors: &vectors, patches: &patches, people: &people };
        let settings = SelectSettings { size: 2, groups: 2, ..SelectSettings::default() };
        let out = folder.path().join("selection.json");
        let interrupt = Interrupt::default();
        let stop = |_: String| {
            interrupt.request();
        };
        assert!(select(&inputs, &settings, &out, &interrupt, &stop).unwrap().is_none());
        let refused = |inputs: &Inputs, settings: &SelectSettings, expected: &str| {
            let error = select(inputs, settings, &out, &Interrupt::default(), &|_| {}).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        refused(&inputs, &SelectSettings { nu: 0.4, ..settings.clone() }, "other settings");
        refused(&Inputs { patches: &patches[..1], ..inputs }, &settings, "2 groups of 2 vectors");
        let one = SelectSettings { size: 1, ..settings.clone() };
        refused(&Inputs { patches: &patches[..1], ..inputs }, &one, "other settings");
        std::fs::write(partial(&out), "{}").unwrap();
        refused(&inputs, &settings, "selection.json.partial: not a choice of vectors");
    }
}
