//! LFW's View 1 (Huang et al., TR 07-49 §2): the threshold is chosen on the pairs of
//! `pairsDevTrain.txt` and judged on those of `pairsDevTest.txt`.
//!
//! View 1 is for developing a method: as many looks at it as one likes. What is published is View 2,
//! see [`folds`](super::folds).

use super::threshold::{Criterion, Threshold};
use super::trials::Trials;
use serde::{Deserialize, Serialize};

/// A threshold chosen on one list of pairs, and what it does to another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct View1 {
    /// On the pairs that it was chosen on.
    pub chosen: Threshold,
    /// The same distance on the other pairs; its accuracy is the one to report.
    pub tested: Threshold,
    /// How many pairs it was chosen on.
    pub training_pairs: u64,
    /// How many pairs it was tested on.
    pub test_pairs: u64,
}

/// Chooses the threshold with the best accuracy on `training` and judges `test` with it.
pub fn view1(training: &Trials, test: &Trials) -> View1 {
    let chosen = training.best_threshold(Criterion::Accuracy);
    View1 {
        chosen,
        tested: test.judged_at(chosen.distance),
        training_pairs: training.same() + training.different(),
        test_pairs: test.same() + test.different(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_pairs_have_no_say_in_the_threshold() {
        let training = Trials::new([(1.0, true), (2.0, true), (4.0, false), (5.0, false)]).unwrap();
        // By themselves they would be cut at 6, without an error.
        let test = Trials::new([(2.5, true), (3.5, true), (5.0, true), (7.0, false)]).unwrap();
        let found = view1(&training, &test);
        assert_eq!((found.chosen.distance, found.chosen.accuracy), (3.0, 1.0));
        assert_eq!((found.tested.distance, found.tested.accuracy), (3.0, 0.5));
        approx::assert_abs_diff_eq!(found.tested.false_rejection_rate, 2.0 / 3.0, epsilon = 1e-15);
        assert_eq!((found.training_pairs, found.test_pairs), (4, 4));
    }
}
