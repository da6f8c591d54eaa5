//! The receiver operating characteristic and the numbers read from it.

use super::trials::Trials;
use serde::Serialize;

/// A point of the curve: what some threshold does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RocPoint {
    /// FAR: share of the pairs of different people that are accepted.
    pub far: f64,
    /// TAR: share of the pairs of one person that are accepted.
    pub tar: f64,
    /// The threshold on the distance; see [`Threshold::distance`](super::threshold::Threshold).
    pub threshold: f64,
}

/// The curve with the two numbers that sum it up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Roc {
    /// From (0, 0) to (1, 1), both rates never falling; only the points where the curve turns.
    pub points: Vec<RocPoint>,
    /// [`Trials::auc`].
    pub auc: f64,
    /// [`Trials::eer`].
    pub eer: f64,
}

impl Trials {
    /// The whole curve.
    pub fn roc(&self) -> Roc {
        let mut points: Vec<RocPoint> = Vec::new();
        for cut in self.cuts() {
            let point = RocPoint {
                far: self.false_acceptance_rate(cut),
                tar: self.true_acceptance_rate(cut),
                threshold: self.threshold_at(cut.accepted),
            };
            // The middle of a level or upright run adds nothing to the drawing.
            if let [.., before, last] = points[..] {
                let level = before.tar == last.tar && last.tar == point.tar;
                let upright = before.far == last.far && last.far == point.far;
                if level || upright {
                    points.pop();
                }
            }
            points.push(point);
        }
        Roc { points, auc: self.auc(), eer: self.eer() }
    }

    /// Area under the curve: the chance that a pair of one person is nearer than a pair of
    /// different people, an equal distance counting half (Mann–Whitney U/(same·different)). Exact.
    pub fn auc(&self) -> f64 {
        let mut beyond = self.different();
        let mut twice_u = 0u128;
        for group in self.groups() {
            beyond -= group.different;
            twice_u += u128::from(group.same) * (2 * u128::from(beyond) + u128::from(group.different));
        }
        twice_u as f64 / (2 * u128::from(self.same()) * u128::from(self.different())) as f64
    }

    /// Equal error rate: where FAR = FRR on the curve, whose neighbouring points are joined by
    /// straight lines.
    pub fn eer(&self) -> f64 {
        let mut before = (0.0, 1.0);
        for cut in self.cuts() {
            let (far, frr) = (self.false_acceptance_rate(cut), 1.0 - self.true_acceptance_rate(cut));
            if far >= frr {
                let (far_before, frr_before) = before;
                let (above, below) = (frr_before - far_before, far - frr);
                return far_before + above / (above + below) * (far - far_before);
            }
            before = (far, frr);
        }
        unreachable!("accepting everything has FAR 1 and FRR 0")
    }

    /// The largest TAR of a threshold whose FAR is at most `far`.
    ///
    /// `None` where a single pair of different people is already more than that share of them: the
    /// trials are too few to tell.
    pub fn tar_at_far(&self, far: f64) -> Option<f64> {
        // Quotients are compared, not `far · different`: both sides then round alike, so that 3 of
        // 10 are at most 0.3.
        let enough = 1.0 / self.different() as f64 <= far;
        enough.then(|| self.tar_within_far(far))
    }

    /// As [`Self::tar_at_far`], however few the trials.
    pub(super) fn tar_within_far(&self, far: f64) -> f64 {
        let allowed = self.cuts().take_while(|&cut| self.false_acceptance_rate(cut) <= far);
        allowed.last().map_or(0.0, |cut| self.true_acceptance_rate(cut))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::{distances_with_ties, judged};
    use proptest::prelude::*;

    fn corners(roc: &Roc) -> Vec<(f64, f64)> {
        roc.points.iter().map(|p| (p.far, p.tar)).collect()
    }

    #[test]
    fn perfect_reversed_and_constant_distances() {
        let perfect = Trials::new([(1.0, true), (2.0, true), (3.0, false), (4.0, false)]).unwrap().roc();
        assert_eq!((perfect.auc, perfect.eer), (1.0, 0.0));
        assert_eq!(corners(&perfect), [(0.0, 0.0), (0.0, 1.0), (1.0, 1.0)]);
        assert_eq!(perfect.points[1].threshold, 2.5);

        let reversed = Trials::new([(1.0, false), (2.0, false), (3.0, true), (4.0, true)]).unwrap().roc();
        assert_eq!((reversed.auc, reversed.eer), (0.0, 1.0));

        let constant = Trials::new([(1.0, false), (1.0, true), (1.0, true)]).unwrap().roc();
        assert_eq!((constant.auc, constant.eer), (0.5, 0.5));
        assert_eq!(corners(&constant), [(0.0, 0.0), (1.0, 1.0)]);
    }

    #[test]
    fn a_curve_worked_by_hand() {
        // same 1, 2, 4; different 2, 3, 5, 6.
        let same = [1.0, 2.0, 4.0].map(|d| (d, true));
        let different = [2.0, 3.0, 5.0, 6.0].map(|d| (d, false));
        let trials = Trials::new(same.into_iter().chain(different)).unwrap();
        let roc = trials.roc();
        assert_eq!(
            corners(&roc),
            [(0.0, 0.0), (0.0, 1.0 / 3.0), (0.25, 2.0 / 3.0), (0.5, 2.0 / 3.0), (0.5, 1.0), (1.0, 1.0)]
        );
        // 1 beats all 4; 2 beats 3 and ties one; 4 beats 2.
        approx::assert_abs_diff_eq!(roc.auc, (4.0 + 3.5 + 2.0) / 12.0, epsilon = 1e-15);
        // On the level part between FAR 1/4 and 1/2, FRR is 1/3.
        approx::assert_abs_diff_eq!(roc.eer, 1.0 / 3.0, epsilon = 1e-15);
    }

    #[test]
    fn tar_at_far_needs_enough_pairs_of_different_people() {
        let different = (0..10).map(|i| (f64::from(i), false));
        let trials = Trials::new(different.chain([(-1.0, true), (0.5, true), (2.5, true), (3.5, true)])).unwrap();
        assert_eq!(trials.tar_at_far(0.099), None);
        assert_eq!(trials.tar_at_far(0.1), Some(0.5));
        assert_eq!(trials.tar_at_far(0.3), Some(0.75));
        assert_eq!(trials.tar_at_far(0.399), Some(0.75));
        assert_eq!(trials.tar_at_far(1.0), Some(1.0));
        assert_eq!(trials.tar_at_far(f64::NAN), None);
    }

    proptest! {
        #[test]
        fn auc_is_the_share_of_ordered_pairs(sample in distances_with_ties()) {
            let (mut twice_ordered, mut all) = (0, 0);
            for (same, _) in sample.iter().filter(|t| t.1) {
                for (different, _) in sample.iter().filter(|t| !t.1) {
                    twice_ordered += if same < different { 2 } else { i32::from(same == different) };
                    all += 1;
                }
            }
            let roc = Trials::new(sample).unwrap().roc();
            prop_assert!((roc.auc - f64::from(twice_ordered) / f64::from(2 * all)).abs() < 1e-12);
            // The trapezoids under the drawn curve have the same area.
            let area: f64 = roc.points.windows(2).map(|w| (w[1].far - w[0].far) * (w[1].tar + w[0].tar) / 2.0).sum();
            prop_assert!((roc.auc - area).abs() < 1e-12);
        }

        #[test]
        fn points_are_what_their_thresholds_do(sample in distances_with_ties()) {
            let roc = Trials::new(sample.iter().copied()).unwrap().roc();
            for point in &roc.points {
                let judged = judged(&sample, point.threshold);
                prop_assert_eq!(point.far, judged.far);
                prop_assert!((1.0 - point.tar - judged.frr).abs() < 1e-12);
            }
            prop_assert!(roc.points.is_sorted_by(|a, b| a.far <= b.far && a.tar <= b.tar));
        }

        #[test]
        fn eer_is_bracketed_by_every_threshold(sample in distances_with_ties()) {
            let eer = Trials::new(sample.iter().copied()).unwrap().eer();
            for threshold in -1..13 {
                let judged = judged(&sample, f64::from(threshold));
                prop_assert!(judged.far.max(judged.frr) >= eer - 1e-12);
                prop_assert!(judged.far.min(judged.frr) <= eer + 1e-12);
            }
        }

        #[test]
        fn tar_at_far_is_the_best_allowed(sample in distances_with_ties(), far in 0.0f64..1.0) {
            let trials = Trials::new(sample.iter().copied()).unwrap();
            let judged = (-1..13).map(|threshold| judged(&sample, f64::from(threshold)));
            let best = judged.filter(|j| j.far <= far).map(|j| 1.0 - j.frr).fold(0.0, f64::max);
            match trials.tar_at_far(far) {
                Some(tar) => prop_assert!((tar - best).abs() < 1e-12),
                None => prop_assert!(far * (trials.different() as f64) < 1.0),
            }
        }

        #[test]
        fn monotone_maps_change_nothing(sample in distances_with_ties()) {
            let before = Trials::new(sample.iter().copied()).unwrap();
            let after = Trials::new(sample.iter().map(|&(d, same)| ((0.3 * d).exp() - 7.0, same))).unwrap();
            prop_assert_eq!(corners(&before.roc()), corners(&after.roc()));
            prop_assert_eq!((before.auc(), before.eer()), (after.auc(), after.eer()));
            prop_assert_eq!(before.tar_at_far(0.2), after.tar_at_far(0.2));
            for criterion in [super::super::threshold::Criterion::BalancedError, super::super::threshold::Criterion::Accuracy] {
                let [a, b] = [&before, &after].map(|trials| trials.best_threshold(criterion));
                prop_assert_eq!((a.accuracy, a.balanced_error()), (b.accuracy, b.balanced_error()));
            }
        }
    }
}
