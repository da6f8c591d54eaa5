//! LFW's protocol (Huang et al., TR 07-49 §5): each fold is judged with the threshold chosen on all
//! the others, and the report is the mean over folds with its **standard error**.

use super::Error;
use super::threshold::Criterion;
use super::trials::Trials;
use crate::data::pairs::Pair;
use serde::Serialize;
use std::collections::BTreeSet;

/// How one fold fared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FoldResult {
    pub fold: u32,
    /// The threshold on the distance that was chosen on the other folds.
    pub threshold: f64,
    /// Share of the fold's pairs that the threshold judges rightly.
    pub accuracy: f64,
}

/// The accuracy over all folds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CrossValidation {
    /// By ascending number.
    pub folds: Vec<FoldResult>,
    /// The mean of the folds' accuracies.
    pub mean: f64,
    /// σ/√k for k folds, with σ² = Σ(accuracy − mean)²/(k − 1). Not the deviation σ.
    pub standard_error: f64,
}

/// Share of the pairs, each with its distance, that `threshold` judges rightly; NaN for none.
pub fn accuracy_at<'a>(threshold: f64, trials: impl Iterator<Item = (&'a f64, &'a Pair)>) -> f64 {
    let (mut right, mut count) = (0u64, 0u64);
    for (&distance, pair) in trials {
        right += u64::from((distance <= threshold) == pair.same);
        count += 1;
    }
    right as f64 / count as f64
}

/// Judges the pairs of each fold with the best threshold by `criterion` of the other folds.
/// `distances` has one entry a pair.
///
/// # Errors
/// Slices of different lengths, fewer than two folds, a distance that is not finite, or other folds
/// that lack one kind of pair.
pub fn cross_validate(distances: &[f64], pairs: &[Pair], criterion: Criterion) -> Result<CrossValidation, Error> {
    if distances.len() != pairs.len() {
        return Err(Error::PairCount { distances: distances.len(), pairs: pairs.len() });
    }
    if let Some((pair, &distance)) = distances.iter().enumerate().find(|(_, distance)| !distance.is_finite()) {
        return Err(Error::NotFinite { pair, distance });
    }
    let numbers: BTreeSet<u32> = pairs.iter().map(|pair| pair.fold).collect();
    if numbers.len() < 2 {
        return Err(Error::TooFewFolds { folds: numbers.len() });
    }
    let trials = || distances.iter().zip(pairs);
    let judge = |fold: u32| {
        let others = trials().filter(|(_, pair)| pair.fold != fold).map(|(&distance, pair)| (distance, pair.same));
        let threshold = Trials::new(others)?.best_threshold(criterion).distance;
        let own = trials().filter(|(_, pair)| pair.fold == fold);
        Ok(FoldResult { fold, threshold, accuracy: accuracy_at(threshold, own) })
    };
    let folds: Vec<FoldResult> = numbers.into_iter().map(judge).collect::<Result<_, Error>>()?;
    let (mean, standard_error) = mean_and_standard_error(&folds);
    Ok(CrossValidation { folds, mean, standard_error })
}

fn mean_and_standard_error(folds: &[FoldResult]) -> (f64, f64) {
    let count = folds.len() as f64;
    let mean = folds.iter().map(|fold| fold.accuracy).sum::<f64>() / count;
    let squares: f64 = folds.iter().map(|fold| (fold.accuracy - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0) / count).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::judged;
    use proptest::prelude::*;

    /// (distance, same, fold)
    fn validate(trials: &[(f64, bool, u32)], criterion: Criterion) -> Result<CrossValidation, Error> {
        let distances: Vec<f64> = trials.iter().map(|trial| trial.0).collect();
        let pairs: Vec<Pair> = trials.iter().map(|&(_, same, fold)| Pair { a: 0, b: 1, same, fold }).collect();
        cross_validate(&distances, &pairs, criterion)
    }

    #[test]
    fn each_threshold_comes_from_the_other_folds() {
        // Apart, the folds are perfect at 2 and at 6; each other's thresholds cost a half.
        let trials = [(1.0, true, 0), (3.0, false, 0), (5.0, true, 4), (7.0, false, 4)];
        let result = validate(&trials, Criterion::Accuracy).unwrap();
        let found: Vec<_> = result.folds.iter().map(|f| (f.fold, f.threshold, f.accuracy)).collect();
        assert_eq!(found, [(0, 6.0, 0.5), (4, 2.0, 0.5)]);
        assert_eq!((result.mean, result.standard_error), (0.5, 0.0));
    }

    #[test]
    fn the_error_is_of_the_mean() {
        // Deviations ±0.1·√(3/4) from 0.9: σ = 0.1 with k − 1 = 3, and σ/√4 = 0.05.
        let deviation = 0.1 * 0.75f64.sqrt();
        let folds =
            [1.0, -1.0, 1.0, -1.0].map(|sign| FoldResult { fold: 0, threshold: 0.0, accuracy: 0.9 + sign * deviation });
        let (mean, error) = mean_and_standard_error(&folds);
        approx::assert_abs_diff_eq!(mean, 0.9, epsilon = 1e-15);
        approx::assert_abs_diff_eq!(error, 0.05, epsilon = 1e-15);
    }

    #[test]
    fn ten_folds_worked_by_hand() {
        // Five pairs of either kind a fold. Each fold's threshold is 2, midway between 1 and 3; the one pair
        // at 5 of every odd fold and the two of fold 4 are then judged wrongly: accuracies 1 (four times),
        // 0.9 (five times), 0.8 (once).
        let mut trials = Vec::new();
        for fold in 0..10 {
            let wrong = if fold == 4 { 2 } else { fold % 2 };
            trials.extend((0..5).map(|i| (if i < wrong { 5.0 } else { 1.0 }, true, fold)));
            trials.extend([(3.0, false, fold); 5]);
        }
        let result = validate(&trials, Criterion::Accuracy).unwrap();
        assert!(result.folds.iter().all(|fold| fold.threshold == 2.0));
        approx::assert_abs_diff_eq!(result.mean, 0.93, epsilon = 1e-15);
        // Σ(accuracy − mean)² = 4·0.07² + 5·0.03² + 0.13² = 0.041; σ² = 0.041/9; the error is σ/√10.
        approx::assert_abs_diff_eq!(result.standard_error, (0.041f64 / 90.0).sqrt(), epsilon = 1e-15);
    }

    proptest! {
        #[test]
        fn a_fold_is_judged_by_the_best_threshold_of_the_others(
            trials in prop::collection::vec((0u8..12, any::<bool>(), 0u32..3), 12..40),
        ) {
            let trials: Vec<_> = trials.into_iter().map(|(distance, same, fold)| (f64::from(distance), same, fold)).collect();
            let Ok(result) = validate(&trials, Criterion::Accuracy) else { return Err(TestCaseError::reject("one kind")) };
            for found in &result.folds {
                let split = |own: bool| -> Vec<(f64, bool)> {
                    trials.iter().filter(|t| (t.2 == found.fold) == own).map(|t| (t.0, t.1)).collect()
                };
                let (own, others) = (split(true), split(false));
                let tried = (-1..13).map(|d| judged(&others, f64::from(d)).accuracy).fold(0.0, f64::max);
                prop_assert_eq!(judged(&others, found.threshold).accuracy, tried);
                let right = own.iter().filter(|(distance, same)| (*distance <= found.threshold) == *same).count();
                prop_assert_eq!(found.accuracy, right as f64 / own.len() as f64);
            }
            let mean = result.folds.iter().map(|f| f.accuracy).sum::<f64>() / result.folds.len() as f64;
            prop_assert!((result.mean - mean).abs() < 1e-12);
        }
    }

    #[test]
    fn unusable_folds_are_errors() {
        let (near, far) = ((1.0, true, 0), (2.0, false, 0));
        assert!(matches!(validate(&[near, far], Criterion::Accuracy), Err(Error::TooFewFolds { folds: 1 })));
        let lacking = [near, far, (1.0, true, 1)];
        assert!(matches!(validate(&lacking, Criterion::Accuracy), Err(Error::OneKind { same: 1, different: 0 })));
        let diverged = [near, (f64::NAN, false, 1)];
        assert!(matches!(validate(&diverged, Criterion::Accuracy), Err(Error::NotFinite { pair: 1, .. })));
        assert!(matches!(cross_validate(&[], &[], Criterion::Accuracy), Err(Error::TooFewFolds { folds: 0 })));
        assert!(matches!(
            cross_validate(&[1.0], &[], Criterion::Accuracy),
            Err(Error::PairCount { distances: 1, pairs: 0 })
        ));
    }
}
