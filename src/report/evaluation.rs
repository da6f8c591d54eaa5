//! What was measured on pairs, as parts of a page.

use super::Error;
use super::card::{Evaluation, OperatingPoint};
use super::det::{DetCurve, det_svg};
use super::histogram::{Histogram, histogram_svg};
use super::html::{Figure, PairGroup, Picture, ShownPair};
use super::number::{Number, rate};
use super::roc::{FarAxis, roc_svg};
use crate::data::pairs::PairList;
use crate::verify::evaluated::Evaluated;
use crate::verify::extremes::Extremes;
use std::path::Path;

/// Accuracy, AUC, EER and the TARs, with their intervals.
pub fn numbers(evaluated: &Evaluated) -> Vec<Number> {
    let Evaluated { summary, intervals, folds, .. } = evaluated;
    let how = if folds.is_some() { "threshold from the other folds" } else { "threshold chosen on the same pairs" };
    let mut numbers = vec![
        Number::share("Accuracy", evaluated.accuracy())
            .with_standard_error(folds.as_ref().map(|folds| folds.standard_error))
            .with_interval(intervals.accuracy)
            .with_note(how),
        Number::plain("AUC", summary.auc).with_interval(intervals.auc),
        Number::share("EER", summary.eer).with_interval(intervals.eer),
    ];
    for (at, interval) in summary.tar_at_far.iter().zip(intervals.tar_at_far) {
        let name = format!("TAR at FAR {}", rate(at.far));
        numbers.push(match at.tar {
            Some(tar) => Number::share(name, tar).with_interval(interval),
            None => Number::unmeasurable(name, format!("with {} pairs of different people", summary.different)),
        });
    }
    numbers
}

/// ROC and DET curves of all, and the histogram of the first with `threshold`.
///
/// # Errors
/// None evaluated.
pub fn curves(all: &[&Evaluated], list: &PairList, threshold: Option<f64>, axis: &str) -> Result<Vec<Figure>, Error> {
    let roc: Vec<_> = all.iter().map(|one| (one.name.clone(), one.trials.roc())).collect();
    let det = |one: &&Evaluated| DetCurve { name: one.name.clone(), points: one.trials.det(), eer: one.summary.eer };
    let det: Vec<DetCurve> = all.iter().map(det).collect();
    let mut figures = vec![
        Figure {
            title: "ROC".into(),
            svg: roc_svg(&roc, FarAxis::Logarithmic)?,
            caption: "Dashed: guessing, and where both errors are equally frequent.".into(),
        },
        Figure {
            title: "DET".into(),
            svg: det_svg(&det)?,
            caption: "Both errors on normal-deviate axes. Dashed: where they are equally frequent.".into(),
        },
    ];
    if let Some(first) = all.first() {
        let [same, different] = first.by_kind(list);
        figures.push(Figure {
            title: format!("Distances by the {}", first.name),
            svg: histogram_svg(&Histogram { same: &same, different: &different, threshold, axis })?,
            caption: "Where the two histograms overlap, errors are made whatever the threshold.".into(),
        });
    }
    Ok(figures)
}

/// The pairs of `extremes` as pictures no higher than `height` pixels.
///
/// # Errors
/// A picture that cannot be read.
pub fn pair_groups(
    extremes: &Extremes,
    distances: &[f64],
    list: &PairList,
    height: u32,
) -> Result<Vec<PairGroup>, Error> {
    let groups = [
        ("Wrong: one person, rejected", "Pairs of one person farthest beyond the threshold.", &extremes.wrong_same),
        (
            "Wrong: different people, accepted",
            "Pairs of different people farthest below the threshold.",
            &extremes.wrong_different,
        ),
        ("Right: one person, accepted", "The nearest pairs of one person.", &extremes.right_same),
        ("Right: different people, rejected", "The farthest pairs of different people.", &extremes.right_different),
    ];
    let shown = |&number: &usize| {
        let pair = list.pairs[number];
        let picture = |side: u32| {
            let path = &list.pictures[side as usize];
            Picture::thumbnail(path, height, &short_name(path))
        };
        Ok(ShownPair { pictures: [picture(pair.a)?, picture(pair.b)?], distance: distances[number] })
    };
    groups
        .into_iter()
        .map(|(title, note, numbers)| {
            let pairs = numbers.iter().map(shown).collect::<Result<_, Error>>()?;
            Ok(PairGroup { title: title.into(), note: note.into(), pairs })
        })
        .collect()
}

/// The numbers for a model card.
pub fn card_evaluation(evaluated: &Evaluated, on: impl Into<String>) -> Evaluation {
    Evaluation {
        on: on.into(),
        same: evaluated.summary.same,
        different: evaluated.summary.different,
        people: Some(evaluated.intervals.people as u64),
        numbers: numbers(evaluated),
    }
}

/// What a threshold that was chosen on `chosen_on` does to the pairs.
pub fn operating_point(
    evaluated: &Evaluated,
    threshold: f64,
    chosen_on: impl Into<String>,
    measured_on: impl Into<String>,
) -> OperatingPoint {
    let judged = evaluated.trials.judged_at(threshold);
    let (same, different) = (evaluated.summary.same, evaluated.summary.different);
    let count = |share: f64, all: u64| (share * all as f64).round() as u64;
    OperatingPoint {
        threshold,
        is_score: false,
        chosen_on: chosen_on.into(),
        measured_on: measured_on.into(),
        different,
        false_matches: count(judged.false_acceptance_rate, different),
        same,
        false_non_matches: count(judged.false_rejection_rate, same),
    }
}

/// The file with its folder: `person/picture.jpg`.
fn short_name(path: &Path) -> String {
    let parts: Vec<_> = path.components().rev().take(2).map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::evaluated::testing::example;
    use crate::verify::extremes::extremes;

    #[test]
    fn numbers_say_how_they_were_measured_and_what_could_not_be() {
        let (_, evaluated) = example(4);
        let texts: Vec<String> = numbers(&evaluated).iter().map(ToString::to_string).collect();
        assert!(texts[0].starts_with("Accuracy 9") && texts[0].contains(" ± "), "{texts:?}");
        assert!(texts[0].contains("95 % interval") && texts[0].contains("from the other folds"), "{texts:?}");
        assert!(texts[3].starts_with("TAR at FAR 10 % "), "{texts:?}");
        assert_eq!(texts[5], "TAR at FAR 0.1 % not measurable (with 40 pairs of different people)");
        assert!(numbers(&example(1).1)[0].to_string().contains("on the same pairs"));
    }

    #[test]
    fn the_card_counts_errors() {
        let (list, evaluated) = example(4);
        let point = operating_point(&evaluated, 8.75, "validation pairs", "pairs.txt");
        let wrong = |same: bool| {
            let all = evaluated.distances.iter().zip(&list.pairs);
            all.filter(|(d, pair)| pair.same == same && (**d <= 8.75) != same).count() as u64
        };
        assert_eq!((point.false_matches, point.false_non_matches), (wrong(false), wrong(true)));
        assert!(wrong(true) > 0 && wrong(false) > 0);
        let evaluation = card_evaluation(&evaluated, "pairs.txt");
        assert_eq!((evaluation.same, evaluation.people, evaluation.numbers.len()), (40, Some(40), 6));
    }

    #[test]
    fn pairs_become_pictures_and_curves_figures() {
        let folder = tempfile::tempdir().unwrap();
        let (mut list, evaluated) = example(4);
        for picture in &mut list.pictures {
            *picture = folder.path().join(&picture);
            std::fs::create_dir_all(picture.parent().unwrap()).unwrap();
            image::RgbImage::new(4, 300).save(&picture).unwrap();
        }
        let extremes = extremes(&evaluated.distances, &list.pairs, 8.75, 2).unwrap();
        let groups = pair_groups(&extremes, &evaluated.distances, &list, 100).unwrap();
        assert_eq!(groups.iter().map(|g| g.pairs.len()).collect::<Vec<_>>(), [2; 4]);
        let first = &groups[2].pairs[0];
        let number = extremes.right_same[0];
        assert_eq!(first.distance, evaluated.distances[number]);
        assert_eq!(first.pictures[1].caption(), format!("person_{number}/1.png"));

        let figures = curves(&[&evaluated, &evaluated], &list, Some(8.75), "distance").unwrap();
        assert_eq!(figures.len(), 3);
        assert!(figures[2].svg.as_str().contains("threshold 8.75"));
        std::fs::remove_file(&list.pictures[2 * number]).unwrap();
        let message = pair_groups(&extremes, &evaluated.distances, &list, 100).unwrap_err().to_string();
        assert!(message.contains("0.png"), "{message}");
    }
}
