//! Everything that is usually reported of a set of trials, ready to be written as JSON.

use super::threshold::{Criterion, Threshold};
use super::trials::Trials;
use serde::Serialize;

/// The false acceptance rates at which the true acceptance rate is reported.
pub const REPORTED_FARS: [f64; 3] = [1e-1, 1e-2, 1e-3];

/// TAR at one FAR.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TarAtFar {
    pub far: f64,
    /// `None` where there are not enough pairs of different people; see [`Trials::tar_at_far`].
    pub tar: Option<f64>,
}

/// The numbers that describe how well distances tell people apart. Its thresholds were chosen on
/// the same trials that they describe: for an accuracy to report, see
/// [`cross_validate`](super::folds::cross_validate).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The number of pairs of one person.
    pub same: u64,
    /// The number of pairs of different people.
    pub different: u64,
    /// [`Trials::auc`].
    pub auc: f64,
    /// [`Trials::eer`].
    pub eer: f64,
    /// At each of [`REPORTED_FARS`].
    pub tar_at_far: [TarAtFar; 3],
    pub most_accurate: Threshold,
    pub least_balanced_error: Threshold,
}

impl Trials {
    /// All of [`Summary`].
    pub fn summary(&self) -> Summary {
        Summary {
            same: self.same(),
            different: self.different(),
            auc: self.auc(),
            eer: self.eer(),
            tar_at_far: REPORTED_FARS.map(|far| TarAtFar { far, tar: self.tar_at_far(far) }),
            most_accurate: self.best_threshold(Criterion::Accuracy),
            least_balanced_error: self.best_threshold(Criterion::BalancedError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_holds_each_number_in_its_place() {
        let different = (0..100).map(|i| (f64::from(i), false));
        let trials = Trials::new(different.chain([(-3.0, true), (-2.0, true), (0.5, true), (200.0, true)])).unwrap();
        let summary = trials.summary();
        assert_eq!((summary.same, summary.different), (4, 100));
        assert_eq!((summary.auc, summary.eer), (trials.auc(), trials.eer()));
        assert_eq!(summary.tar_at_far.map(|t| t.tar), [Some(0.75), Some(0.75), None]);
        // Accepting 0.5 takes 0 with it, which gains nothing in count but in balance.
        assert_eq!(summary.most_accurate.distance, -1.0);
        assert_eq!(summary.least_balanced_error.distance, 0.75);
        let json = serde_json::to_value(&summary).unwrap();
        assert_eq!(json["tar_at_far"][2]["tar"], serde_json::Value::Null);
    }
}
