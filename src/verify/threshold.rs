//! The best threshold, found by trying every cut of the sorted distances.
//!
//! Errors are compared as whole numbers, so ties are exact. Of equally good cuts the one at the
//! smallest distance wins: the strictest, with the fewest false acceptances.

use super::trials::{Cut, Trials};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;

/// What the best threshold is best at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Criterion {
    /// Smallest (FRR + FAR)/2: how DeepID2's margin is set (PAPER §2); both kinds of pairs count
    /// the same whatever their numbers.
    #[default]
    BalancedError,
    /// Most pairs judged rightly: what LFW reports.
    Accuracy,
}

/// A threshold and what it does to some trials.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// Pairs at most this far apart are accepted as one person. One chosen on the trials lies midway
    /// between two observed distances, save for accepting everything or nothing.
    pub distance: f64,
    /// Share of all pairs judged rightly.
    pub accuracy: f64,
    /// FAR: share of the pairs of different people that are accepted.
    pub false_acceptance_rate: f64,
    /// FRR: share of the pairs of one person that are rejected.
    pub false_rejection_rate: f64,
}

impl Threshold {
    /// (FRR + FAR)/2.
    pub fn balanced_error(&self) -> f64 {
        0.5 * (self.false_acceptance_rate + self.false_rejection_rate)
    }
}

impl Trials {
    /// The best threshold by `criterion`; of equally good ones, the strictest.
    pub fn best_threshold(&self, criterion: Criterion) -> Threshold {
        let merit = |cut: &Cut| -> i128 {
            let (accepted, wrongly) = (i128::from(cut.true_acceptances), i128::from(cut.false_acceptances));
            match criterion {
                // 1 − FRR − FAR = TAR − FAR, over the common denominator same·different.
                Criterion::BalancedError => accepted * i128::from(self.different()) - wrongly * i128::from(self.same()),
                Criterion::Accuracy => accepted - wrongly,
            }
        };
        let best = self.cuts().max_by_key(|cut| (merit(cut), Reverse(cut.accepted)));
        let cut = best.expect("accepting nothing is a cut");
        self.describe(cut, self.threshold_at(cut.accepted))
    }

    /// What accepting pairs at most `distance` apart does, a threshold that was chosen elsewhere.
    pub fn judged_at(&self, distance: f64) -> Threshold {
        let accepted = self.groups().partition_point(|group| group.distance <= distance);
        let cut = self.cuts().nth(accepted).expect("a cut for every number of groups");
        self.describe(cut, distance)
    }

    fn describe(&self, cut: Cut, distance: f64) -> Threshold {
        let right = cut.true_acceptances + self.different() - cut.false_acceptances;
        Threshold {
            distance,
            accuracy: right as f64 / (self.same() + self.different()) as f64,
            false_acceptance_rate: self.false_acceptance_rate(cut),
            false_rejection_rate: (self.same() - cut.true_acceptances) as f64 / self.same() as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::{distances_with_ties, judged};
    use proptest::prelude::*;

    #[test]
    fn separable_distances_are_cut_midway() {
        let trials = Trials::new([(0.5, true), (1.0, true), (2.0, false), (9.0, false)]).unwrap();
        for criterion in [Criterion::BalancedError, Criterion::Accuracy] {
            let best = trials.best_threshold(criterion);
            assert_eq!((best.distance, best.accuracy, best.balanced_error()), (1.5, 1.0, 0.0));
        }
    }

    #[test]
    fn criteria_differ_where_the_kinds_do_in_number() {
        // One pair of the same person at 2; different people at 1 (one) and at 3 (eight).
        let trials = Trials::new([(2.0, true), (1.0, false)].into_iter().chain([(3.0, false); 8])).unwrap();
        let balanced = trials.best_threshold(Criterion::BalancedError);
        assert_eq!((balanced.distance, balanced.false_rejection_rate), (2.5, 0.0));
        approx::assert_abs_diff_eq!(balanced.balanced_error(), 1.0 / 18.0);
        // Accepting nothing is as accurate (9 of 10), and stricter.
        let accurate = trials.best_threshold(Criterion::Accuracy);
        assert_eq!((accurate.distance, accurate.accuracy), (1.0f64.next_down(), 0.9));
    }

    #[test]
    fn of_equally_good_thresholds_the_strictest_wins() {
        // Cuts after 1 and after 3 both make one error.
        let trials = Trials::new([(1.0, true), (2.0, false), (3.0, true), (4.0, false)]).unwrap();
        for criterion in [Criterion::BalancedError, Criterion::Accuracy] {
            assert_eq!(trials.best_threshold(criterion).distance, 1.5);
        }
        // Nothing is better than a guess: everything is rejected.
        let trials = Trials::new([(7.0, true), (7.0, false)]).unwrap();
        let best = trials.best_threshold(Criterion::BalancedError);
        assert_eq!((best.false_acceptance_rate, best.balanced_error()), (0.0, 0.5));
    }

    proptest! {
        #[test]
        fn no_other_threshold_is_better(sample in distances_with_ties()) {
            let trials = Trials::new(sample.iter().copied()).unwrap();
            let tried = sample.iter().flat_map(|&(d, _)| [d - 0.5, d, d + 0.5]);
            let (balanced, accuracy) = tried.map(|t| judged(&sample, t)).map(|j| (j.balanced_error, j.accuracy))
                .fold((f64::INFINITY, 0.0f64), |(b, a), (balanced, accuracy)| (b.min(balanced), a.max(accuracy)));

            let best = trials.best_threshold(Criterion::BalancedError);
            prop_assert!((best.balanced_error() - balanced).abs() < 1e-12);
            let best = trials.best_threshold(Criterion::Accuracy);
            prop_assert_eq!(best.accuracy, accuracy);
        }

        #[test]
        fn a_threshold_does_what_it_says(sample in distances_with_ties()) {
            let trials = Trials::new(sample.iter().copied()).unwrap();
            for criterion in [Criterion::BalancedError, Criterion::Accuracy] {
                let best = trials.best_threshold(criterion);
                let judged = judged(&sample, best.distance);
                prop_assert_eq!(best.accuracy, judged.accuracy);
                prop_assert_eq!(best.false_acceptance_rate, judged.far);
                prop_assert_eq!(best.false_rejection_rate, judged.frr);
                prop_assert_eq!(trials.judged_at(best.distance), best);
            }
        }

        #[test]
        fn a_threshold_chosen_elsewhere_is_judged(sample in distances_with_ties(), distance in -1.0f64..13.0) {
            let found = Trials::new(sample.iter().copied()).unwrap().judged_at(distance);
            let judged = judged(&sample, distance);
            prop_assert_eq!((found.distance, found.accuracy), (distance, judged.accuracy));
            prop_assert_eq!((found.false_acceptance_rate, found.false_rejection_rate), (judged.far, judged.frr));
        }
    }
}
