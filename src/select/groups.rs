//! Several selections one after the other, each from the elements that none has taken yet: DeepID2
//! §4.3 repeats its selection six times, and fuses the seven scores.

use super::foba::{Error, Objective, Settings, Trace, select};

/// Selects `groups` times `settings.size` of the elements 0..`elements` that are not `excluded`,
/// going on from `traces`, one a group begun, which are none at first. `on_step` gets all traces
/// after each step, to save and to show them; its error ends the selection.
///
/// # Errors
/// As [`select`], and too few elements for all groups.
pub fn select_groups<E: std::error::Error + Send + 'static>(
    elements: usize,
    excluded: &[usize],
    groups: usize,
    settings: &Settings,
    objective: &Objective<E>,
    mut traces: Vec<Trace>,
    on_step: &mut dyn FnMut(&[Trace]) -> Result<(), E>,
) -> Result<Vec<Trace>, Error<E>> {
    if groups == 0 {
        return Err(Error::Setting { name: "groups", value: 0.0, expected: "at least 1" });
    }
    let available = (0..elements).filter(|element| !excluded.contains(element)).count();
    if groups.checked_mul(settings.size).is_none_or(|needed| needed > available) {
        return Err(Error::TooFew { groups, size: settings.size, available });
    }
    if traces.len() > groups {
        let detail = "belongs to a group that is not asked for";
        return Err(Error::Trace { step: 1, detail });
    }
    let mut taken = excluded.to_vec();
    for group in 0..groups {
        if traces.len() == group {
            traces.push(Trace::default());
        }
        let trace = std::mem::take(&mut traces[group]);
        let on_group_step = &mut |trace: &Trace| {
            traces[group].clone_from(trace);
            on_step(&traces)
        };
        let done = select(elements, &taken, settings, objective, trace, on_group_step)?;
        taken.extend(done.selected());
        traces[group] = done;
    }
    Ok(traces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// Element i lowers the risk by 1/(i + 1), whatever else is selected.
    fn risk(set: &[usize]) -> Result<f64, Infallible> {
        Ok(10.0 - set.iter().map(|&element| 1.0 / (element + 1) as f64).sum::<f64>())
    }

    fn run(groups: usize, traces: Vec<Trace>, seen: &mut Vec<Vec<Trace>>) -> Result<Vec<Trace>, Error<Infallible>> {
        let settings = Settings { size: 3, nu: 0.5 };
        let mut on_step = |traces: &[Trace]| {
            seen.push(traces.to_vec());
            Ok(())
        };
        select_groups(11, &[1], groups, &settings, &Objective { risk: &risk, screen: None }, traces, &mut on_step)
    }

    #[test]
    fn groups_share_nothing_and_resume_anywhere() {
        let mut seen = Vec::new();
        let traces = run(3, Vec::new(), &mut seen).unwrap();
        let selected: Vec<Vec<usize>> = traces.iter().map(Trace::selected).collect();
        assert_eq!(selected, [[0, 2, 3], [4, 5, 6], [7, 8, 9]]);
        assert_eq!(seen.len(), 9);
        for half in seen.clone() {
            let mut rest = Vec::new();
            assert_eq!(run(3, half, &mut rest).unwrap(), traces);
            assert!(rest.len() < 9);
        }
    }

    #[test]
    fn groups_that_cannot_be_filled_are_refused_at_once() {
        let mut seen = Vec::new();
        let message = run(4, Vec::new(), &mut seen).unwrap_err().to_string();
        assert!(message.contains("4 × 3 elements to select, but there are 10"), "{message}");
        assert!(run(0, Vec::new(), &mut seen).unwrap_err().to_string().contains("`groups` is 0"));
        let traces = run(3, Vec::new(), &mut Vec::new()).unwrap();
        assert!(run(2, traces.clone(), &mut seen).unwrap_err().to_string().contains("not asked for"));
        // The second group's elements are the first's here.
        let twice = vec![traces[0].clone(), traces[0].clone()];
        assert!(matches!(run(3, twice, &mut seen), Err(Error::Trace { step: 1, .. })));
        assert!(seen.is_empty());
    }
}
