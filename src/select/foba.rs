//! Forward-backward greedy selection (FoBa; T. Zhang, NIPS 2008, algorithm 2; IEEE T-IT 57(7), 2011).
//!
//! Forward: add the element that leaves the lowest risk, and note the gain δ[k] of reaching size k.
//! Backward: while removing the cheapest element costs less than ν·δ[k], remove it. What the
//! backward step takes away was once the best choice and has become redundant.
//!
//! Two deviations, both because a number of elements is asked for rather than a gain at which to stop.
//! A step that gains nothing is taken all the same, and no backward step follows it. And where a
//! cheap stand-in of the risk is given, it chooses which candidates the risk itself is worked out for.
//!
//! Every removal leaves a set of lower risk than the last set of its size, so that the search ends.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Why a selection cannot be made. `E` is the error of the risk.
#[derive(Debug, thiserror::Error)]
pub enum Error<E: std::error::Error + 'static> {
    #[error("setting `{name}` is {value}; expected {expected}")]
    Setting { name: &'static str, value: f64, expected: &'static str },
    #[error(
        "{groups} × {size} elements to select, but there are {available}; ask for fewer, or provide more candidates"
    )]
    TooFew { groups: usize, size: usize, available: usize },
    #[error("element {element} is excluded, but elements are numbered below {elements}")]
    Excluded { element: usize, elements: usize },
    #[error(
        "step {step} of the saved selection {detail}; it was made from other candidates or settings: delete it to start again"
    )]
    Trace { step: usize, detail: &'static str },
    #[error("the risk of the set {set:?} is {risk}; expected a finite number")]
    NotFinite { set: Vec<usize>, risk: f64 },
    #[error(transparent)]
    Risk(E),
}

/// How elements are selected.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How many to select: 25 in DeepID2 §3.3.
    pub size: usize,
    /// ν: an element is removed when that costs less than this share of the last gain.
    pub nu: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { size: 25, nu: 0.5 }
    }
}

/// A function of a set of elements, given in ascending order.
pub type SetFunction<'a, E> = &'a (dyn Fn(&[usize]) -> Result<f64, E> + Sync);

/// What is minimised.
pub struct Objective<'a, E> {
    /// The risk of a set, also of the empty one.
    pub risk: SetFunction<'a, E>,
    /// Without, the risk of every candidate is worked out in every step.
    pub screen: Option<Screen<'a, E>>,
}

/// A cheap stand-in of the risk.
pub struct Screen<'a, E> {
    /// Ranks sets of one size about as the risk does.
    pub risk: SetFunction<'a, E>,
    /// The risk is worked out for so many of the best, at least 1.
    pub shortlist: usize,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Add,
    Remove,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub action: Action,
    pub element: usize,
    /// Of the set after the step.
    pub risk: f64,
}

/// The steps so far: all that a selection needs to go on, and what a log shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// The risk of the empty set; `None` before the first step.
    pub empty_risk: Option<f64>,
    pub steps: Vec<Step>,
}

impl Trace {
    /// The selected elements, in the order of their addition.
    pub fn selected(&self) -> Vec<usize> {
        let mut selected = Vec::new();
        for step in &self.steps {
            match step.action {
                Action::Add => selected.push(step.element),
                Action::Remove => selected.retain(|&element| element != step.element),
            }
        }
        selected
    }

    /// The risk after the last step.
    pub fn risk(&self) -> Option<f64> {
        self.steps.last().map(|step| step.risk).or(self.empty_risk)
    }
}

/// Selects `settings.size` of the elements 0..`elements` that are not `excluded`, going on from
/// `trace`, which is empty at first. `on_step` gets the trace after each step, to save and to show it;
/// its error ends the selection.
///
/// Of equally good elements the one with the lowest number is taken. Risks are worked out in parallel,
/// and the result does not depend on the number of threads.
///
/// # Errors
/// Settings that make no sense, too few elements, a trace of something else, a risk that fails or is
/// not finite.
pub fn select<E: std::error::Error + Send + 'static>(
    elements: usize,
    excluded: &[usize],
    settings: &Settings,
    objective: &Objective<E>,
    trace: Trace,
    on_step: &mut dyn FnMut(&Trace) -> Result<(), E>,
) -> Result<Trace, Error<E>> {
    let mut search = Search::new(elements, excluded, settings, objective, trace)?;
    if search.trace.empty_risk.is_none() {
        search.trace.empty_risk = Some(evaluated(objective.risk, &[])?);
    }
    loop {
        while search.backward()? {
            on_step(&search.trace).map_err(Error::Risk)?;
        }
        if search.selected.len() == settings.size {
            return Ok(search.trace);
        }
        search.forward()?;
        on_step(&search.trace).map_err(Error::Risk)?;
    }
}

struct Search<'a, E: std::error::Error + 'static> {
    settings: &'a Settings,
    objective: &'a Objective<'a, E>,
    trace: Trace,
    /// Ascending.
    selected: Vec<usize>,
    /// Those neither selected nor excluded, ascending.
    candidates: Vec<usize>,
    /// δ[k] at k − 1.
    gains: Vec<f64>,
}

impl<'a, E: std::error::Error + Send + 'static> Search<'a, E> {
    fn new(
        elements: usize,
        excluded: &[usize],
        settings: &'a Settings,
        objective: &'a Objective<'a, E>,
        trace: Trace,
    ) -> Result<Self, Error<E>> {
        check(settings, objective)?;
        if let Some(&element) = excluded.iter().find(|&&element| element >= elements) {
            return Err(Error::Excluded { element, elements });
        }
        let candidates: Vec<usize> = (0..elements).filter(|element| !excluded.contains(element)).collect();
        if candidates.len() < settings.size {
            return Err(Error::TooFew { groups: 1, size: settings.size, available: candidates.len() });
        }
        let mut search = Self { settings, objective, trace, selected: Vec::new(), candidates, gains: Vec::new() };
        search.replay()?;
        Ok(search)
    }

    /// Repeats the steps of the trace.
    fn replay(&mut self) -> Result<(), Error<E>> {
        let steps = self.trace.steps.clone();
        let damaged = |step, detail| Error::Trace { step, detail };
        let mut risk = match self.trace.empty_risk {
            Some(risk) => risk,
            None if steps.is_empty() => return Ok(()),
            None => return Err(damaged(1, "follows no risk of the empty set")),
        };
        for (number, step) in (1..).zip(&steps) {
            if !step.risk.is_finite() {
                return Err(damaged(number, "has no finite risk"));
            }
            let possible = match step.action {
                Action::Add => self.selected.len() < self.settings.size && self.candidates.contains(&step.element),
                Action::Remove => self.selected.contains(&step.element),
            };
            if !possible {
                return Err(damaged(number, "is not possible with these candidates and this size"));
            }
            self.apply(*step, risk);
            risk = step.risk;
        }
        Ok(())
    }

    /// `before` is the risk before the step.
    fn apply(&mut self, step: Step, before: f64) {
        let (from, to) = match step.action {
            Action::Add => (&mut self.candidates, &mut self.selected),
            Action::Remove => (&mut self.selected, &mut self.candidates),
        };
        from.retain(|&element| element != step.element);
        let at = to.partition_point(|&element| element < step.element);
        to.insert(at, step.element);
        self.gains.truncate(self.selected.len());
        if step.action == Action::Add {
            self.gains.push(before - step.risk);
        }
    }

    fn take(&mut self, step: Step) {
        let before = self.risk();
        self.apply(step, before);
        self.trace.steps.push(step);
    }

    fn risk(&self) -> f64 {
        self.trace.risk().expect("the empty set's risk comes before any step")
    }

    fn forward(&mut self) -> Result<(), Error<E>> {
        let (element, risk) = self.best(&self.candidates, |element| {
            let mut set = self.selected.clone();
            set.insert(set.partition_point(|&other| other < element), element);
            set
        })?;
        self.take(Step { action: Action::Add, element, risk });
        Ok(())
    }

    /// Removes the cheapest element if that is cheap enough; whether it did.
    fn backward(&mut self) -> Result<bool, Error<E>> {
        let gain = self.gains.last().copied().unwrap_or(0.0);
        // Removing what was just added costs all of its gain.
        let newest = self.trace.steps.last().filter(|step| step.action == Action::Add).map(|step| step.element);
        let removable: Vec<usize> = self.selected.iter().copied().filter(|&element| Some(element) != newest).collect();
        if gain <= 0.0 || self.selected.len() < 2 || removable.is_empty() {
            return Ok(false);
        }
        let (element, risk) =
            self.best(&removable, |element| self.selected.iter().copied().filter(|&other| other != element).collect())?;
        let cheap = risk - self.risk() < self.settings.nu * gain;
        if cheap {
            self.take(Step { action: Action::Remove, element, risk });
        }
        Ok(cheap)
    }

    /// The element of `choices` whose set has the lowest risk, and that risk.
    fn best(&self, choices: &[usize], set: impl Fn(usize) -> Vec<usize> + Sync) -> Result<(usize, f64), Error<E>> {
        let ranked = |function: SetFunction<E>, choices: &[usize]| -> Result<Vec<(usize, f64)>, Error<E>> {
            let risks: Vec<Result<f64, Error<E>>> =
                choices.par_iter().map(|&element| evaluated(function, &set(element))).collect();
            let risks: Vec<f64> = risks.into_iter().collect::<Result<_, _>>()?;
            let mut ranked: Vec<(usize, f64)> = choices.iter().copied().zip(risks).collect();
            // Stable, so that of equal risks the lowest number stays first.
            ranked.sort_by(|a, b| a.1.total_cmp(&b.1));
            Ok(ranked)
        };
        let shortlist = match &self.objective.screen {
            Some(screen) if screen.shortlist < choices.len() => {
                let mut best: Vec<usize> =
                    ranked(screen.risk, choices)?.iter().take(screen.shortlist).map(|choice| choice.0).collect();
                best.sort_unstable();
                best
            }
            _ => choices.to_vec(),
        };
        Ok(ranked(self.objective.risk, &shortlist)?[0])
    }
}

fn check<E: std::error::Error>(settings: &Settings, objective: &Objective<E>) -> Result<(), Error<E>> {
    let refuse = |name, value, expected| Err(Error::Setting { name, value, expected });
    if settings.size == 0 {
        return refuse("size", 0.0, "at least 1");
    }
    if !(0.0..1.0).contains(&settings.nu) {
        return refuse("nu", settings.nu, "a share from 0, which never removes, to below 1");
    }
    if objective.screen.as_ref().is_some_and(|screen| screen.shortlist == 0) {
        return refuse("shortlist", 0.0, "at least 1");
    }
    Ok(())
}

fn evaluated<E: std::error::Error>(function: SetFunction<E>, set: &[usize]) -> Result<f64, Error<E>> {
    let risk = function(set).map_err(Error::Risk)?;
    // −0 and 0 are one risk, and `total_cmp` tells them apart.
    if risk.is_finite() { Ok(risk + 0.0) } else { Err(Error::NotFinite { set: set.into(), risk }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{DMatrix, DVector};
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn selected(
        elements: usize,
        excluded: &[usize],
        settings: Settings,
        risk: &(dyn Fn(&[usize]) -> f64 + Sync),
    ) -> Trace {
        let risk = |set: &[usize]| Ok::<f64, Infallible>(risk(set));
        let objective = Objective { risk: &risk, screen: None };
        select(elements, excluded, &settings, &objective, Trace::default(), &mut |_| Ok(())).unwrap()
    }

    /// Mean squared residual of `target` regressed on some columns of `columns`.
    fn regression_risk(columns: &DMatrix<f64>, target: &DVector<f64>, set: &[usize]) -> f64 {
        if set.is_empty() {
            return target.norm_squared() / target.len() as f64;
        }
        let chosen = columns.select_columns(set);
        let solution = chosen.clone().svd(true, true).solve(target, 1e-12).unwrap();
        (target - chosen * solution).norm_squared() / target.len() as f64
    }

    fn noise(rows: usize, columns: usize, seed: u64) -> DMatrix<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        DMatrix::from_fn(rows, columns, |_, _| rng.random_range(-1.0..1.0))
    }

    fn subsets(elements: usize, size: usize) -> Vec<Vec<usize>> {
        (0u32..1 << elements)
            .filter(|bits| bits.count_ones() as usize == size)
            .map(|bits| (0..elements).filter(|element| bits >> element & 1 == 1).collect())
            .collect()
    }

    /// The first column is nearly the sum of two others that make up the target: the best single
    /// choice, and redundant once both are in.
    fn misleading() -> (DMatrix<f64>, DVector<f64>) {
        let mut columns = noise(200, 6, 1);
        let target = columns.column(1) + columns.column(2) + 0.2 * columns.column(5);
        let mixture = columns.column(1) + columns.column(2) + 0.6 * noise(200, 1, 2).column(0);
        columns.set_column(0, &mixture);
        (columns, target)
    }

    #[test]
    fn the_backward_step_mends_what_forward_alone_gets_wrong() {
        let (columns, target) = misleading();
        let risk = |set: &[usize]| regression_risk(&columns, &target, set);
        let forward = selected(6, &[], Settings { size: 3, nu: 0.0 }, &risk);
        assert_eq!(forward.selected()[0], 0);
        assert!(forward.steps.iter().all(|step| step.action == Action::Add));
        let both = selected(6, &[], Settings { size: 3, nu: 0.5 }, &risk);
        let steps: Vec<(Action, usize)> = both.steps.iter().map(|step| (step.action, step.element)).collect();
        assert!(steps.contains(&(Action::Remove, 0)), "{steps:?}");
        let mut found = both.selected();
        found.sort_unstable();
        assert_eq!(found, [1, 2, 5]);
        assert!(both.risk() < forward.risk());
        let best = subsets(6, 3).iter().map(|set| risk(set)).fold(f64::INFINITY, f64::min);
        assert_eq!(both.risk(), Some(best));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn orthogonal_columns_are_selected_as_exhaustive_search_does(size in 1usize..6, seed: u64) {
            // With orthogonal columns gains add up, and greedy is optimal.
            let columns = noise(12, 8, seed).qr().q();
            let target = noise(12, 1, seed ^ 1).column(0).into_owned();
            let risk = |set: &[usize]| regression_risk(&columns, &target, set);
            let best = subsets(8, size).into_iter().min_by(|a, b| risk(a).total_cmp(&risk(b))).unwrap();
            let mut found = selected(8, &[], Settings { size, nu: 0.5 }, &risk).selected();
            found.sort_unstable();
            prop_assert_eq!(found, best);
        }

        #[test]
        fn few_true_columns_among_many_are_found_as_by_exhaustive_search(seed: u64) {
            // Sparse recovery, the setting of Zhang's theorem: well-conditioned columns, little noise.
            let columns = noise(120, 10, seed);
            let target = columns.column(2) * 3.0 - columns.column(5) * 2.0 + columns.column(9) * 1.5
                + noise(120, 1, !seed).column(0) * 0.1;
            let risk = |set: &[usize]| regression_risk(&columns, &target, set);
            let best = subsets(10, 3).into_iter().min_by(|a, b| risk(a).total_cmp(&risk(b))).unwrap();
            let mut found = selected(10, &[], Settings { size: 3, nu: 0.5 }, &risk).selected();
            found.sort_unstable();
            prop_assert_eq!(found, best);
        }

        #[test]
        fn any_risk_ends_with_the_size_asked_for(size in 1usize..7, nu in 0.0f64..1.0, seed: u64) {
            let risk = |set: &[usize]| {
                let mut rng = ChaCha8Rng::seed_from_u64(seed ^ set.iter().fold(0, |bits, element| bits | 1 << element));
                f64::from(rng.random_range(0..5u32))
            };
            let trace = selected(9, &[3, 7], Settings { size, nu }, &risk);
            let found = trace.selected();
            prop_assert_eq!(found.len(), size);
            prop_assert!(!found.contains(&3) && !found.contains(&7));
            let mut sorted = found.clone();
            sorted.sort_unstable();
            prop_assert_eq!(trace.risk(), Some(risk(&sorted)));
            // Wherever it was interrupted, it goes on to the same end.
            let result = |set: &[usize]| Ok::<f64, Infallible>(risk(set));
            let objective = Objective { risk: &result, screen: None };
            for done in 0..=trace.steps.len() {
                let half = Trace { steps: trace.steps[..done].to_vec(), ..trace.clone() };
                let text = serde_json::to_string(&half).unwrap();
                let read = serde_json::from_str(&text).unwrap();
                let resumed = select(9, &[3, 7], &Settings { size, nu }, &objective, read, &mut |_| Ok(())).unwrap();
                prop_assert_eq!(&resumed, &trace);
            }
        }
    }

    #[test]
    fn equal_risks_go_to_the_lowest_number() {
        let trace = selected(5, &[0], Settings { size: 2, nu: 0.5 }, &|_| 1.0);
        assert_eq!(trace.selected(), [1, 2]);
    }

    #[test]
    fn a_screen_spares_the_risk() {
        let (columns, target) = misleading();
        let evaluations = AtomicUsize::new(0);
        let risk = |set: &[usize]| {
            evaluations.fetch_add(1, Ordering::Relaxed);
            Ok::<f64, Infallible>(regression_risk(&columns, &target, set))
        };
        // Blurred: it ranks as the risk does but for near ties.
        let screen = |set: &[usize]| Ok((100.0 * regression_risk(&columns, &target, set)).round());
        let settings = Settings { size: 3, nu: 0.5 };
        let screened = Objective { risk: &risk, screen: Some(Screen { risk: &screen, shortlist: 2 }) };
        let mut steps = 0;
        let count = |trace: &Trace| {
            steps += 1;
            assert_eq!(trace.steps.len(), steps);
            Ok(())
        };
        let found = select(6, &[], &settings, &screened, Trace::default(), &mut { count }).unwrap();
        let few = evaluations.swap(0, Ordering::Relaxed);
        let full =
            select(6, &[], &settings, &Objective { risk: &risk, screen: None }, Trace::default(), &mut |_| Ok(()));
        assert_eq!(found, full.unwrap());
        assert!(few < evaluations.into_inner(), "{few}");
    }

    #[test]
    fn what_cannot_be_selected_is_named() {
        #[derive(Debug, thiserror::Error)]
        #[error("the disk is full")]
        struct Full;
        let flat = |_: &[usize]| Ok::<f64, Full>(1.0);
        let run = |excluded: &[usize], settings: Settings, risk: SetFunction<Full>, shortlist, trace| {
            let screen = Some(Screen { risk, shortlist });
            let on_step = &mut |trace: &Trace| if trace.steps.len() == 3 { Err(Full) } else { Ok(()) };
            select(4, excluded, &settings, &Objective { risk, screen }, trace, on_step).unwrap_err().to_string()
        };
        let (plain, new) = (Settings { size: 3, nu: 0.5 }, Trace::default);
        assert!(run(&[], Settings { size: 0, ..plain }, &flat, 9, new()).contains("`size` is 0"));
        assert!(run(&[], Settings { nu: 1.0, ..plain }, &flat, 9, new()).contains("`nu` is 1"));
        assert!(run(&[], plain, &flat, 0, new()).contains("`shortlist` is 0"));
        assert!(run(&[4], plain, &flat, 9, new()).contains("element 4 is excluded"));
        assert!(run(&[0, 1], plain, &flat, 9, new()).contains("1 × 3 elements to select, but there are 2"));
        assert_eq!(run(&[], plain, &flat, 9, new()), "the disk is full");
        assert_eq!(run(&[], plain, &|_| Err(Full), 9, new()), "the disk is full");
        let diverged = run(&[], plain, &|set| Ok(if set.len() == 2 { f64::NAN } else { 1.0 }), 9, new());
        assert!(diverged.contains("the risk of the set [0, 1] is NaN"), "{diverged}");
        let step = |action, element, risk| Step { action, element, risk };
        for (empty_risk, steps, part) in [
            (None, vec![step(Action::Add, 0, 1.0)], "step 1 of the saved selection follows no risk"),
            (Some(2.0), vec![step(Action::Add, 0, f64::NAN)], "no finite risk"),
            (
                Some(2.0),
                vec![step(Action::Add, 0, 1.0), step(Action::Add, 0, 1.0)],
                "step 2 of the saved selection is not",
            ),
            (Some(2.0), vec![step(Action::Remove, 0, 1.0)], "is not possible"),
            (Some(2.0), vec![step(Action::Add, 9, 1.0)], "is not possible"),
        ] {
            let message = run(&[], plain, &flat, 9, Trace { empty_risk, steps });
            assert!(message.contains(part) && message.contains("delete it"), "{message}");
        }
    }
}
