//! The margin m of the verification signal: not learned, but reset from time to time to the
//! distance that tells the latest pairs apart best.
//!
//! DeepID2 §2: were m learned with the network it would collapse to zero, so it is held fixed and
//! updated every N ≈ 200,000 training pairs to the threshold on the feature distance that minimises
//! the verification error of those pairs. The error is balanced, (FRR + FAR)/2. Until the first
//! update m = 0: same pairs pull and different pairs do not push.

use crate::verify::threshold::Criterion;
use crate::verify::trials::Trials;

/// Pairs between updates in the paper (DeepID2 §2).
pub const PAPER_PAIRS: usize = 200_000;
/// Most pairs between updates, 800 MB of them: far more than any use, little enough to hold.
const MAX_PAIRS: usize = 100_000_000;

/// Why pairs cannot be tracked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("--margin-every {pairs}: expected from 2 to {MAX_PAIRS} pairs")]
    Every { pairs: usize },
    #[error(
        "a pair's feature distance is {distance}: training has diverged; lower --learning-rate and start again or resume from an earlier checkpoint"
    )]
    Diverged { distance: f32 },
    #[error("saved margin {margin}: expected a number from 0; the checkpoint is damaged, use another")]
    SavedMargin { margin: f32 },
    #[error(
        "saved pairs of the margin: expected (distance, 1 or 0) one after another, found {found}; the checkpoint is damaged, use another"
    )]
    SavedPairs { found: String },
}

/// A threshold on the distance: a pair counts as the same person where its distance is below it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    pub value: f32,
    /// (FRR + FAR)/2 of the pairs it was chosen on; below ½.
    pub balanced_error: f64,
}

/// What a resumed run needs to go on exactly as the uninterrupted one.
#[derive(Debug, Clone, PartialEq)]
pub struct MarginState {
    pub margin: f32,
    /// The pairs since the last update, oldest first: distance, then 1 (same) or 0 (different).
    /// Pairs × 2.
    pub pairs: Vec<f32>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Pair {
    distance: f32,
    same: bool,
}

/// Collects the distances of training pairs and resets the margin after every N of them.
///
/// At most N pairs are held: those since the last update are the last N when the next is due.
#[derive(Debug, Clone, PartialEq)]
pub struct MarginTracker {
    every: usize,
    margin: f32,
    pairs: Vec<Pair>,
}

impl MarginTracker {
    /// A tracker with margin 0 that updates it after every `every` pairs.
    ///
    /// # Errors
    /// An `every` outside 2 to 100 million.
    pub fn new(every: usize) -> Result<Self, Error> {
        if !(2..=MAX_PAIRS).contains(&every) {
            return Err(Error::Every { pairs: every });
        }
        Ok(Self { every, margin: 0.0, pairs: Vec::new() })
    }

    /// A tracker that goes on from `state`. With a smaller `every` than before, the next update
    /// may use more pairs than that, once.
    ///
    /// # Errors
    /// An `every` out of range, or a state that no tracker gave.
    pub fn resume(every: usize, state: &MarginState) -> Result<Self, Error> {
        let mut tracker = Self::new(every)?;
        if !(state.margin >= 0.0 && state.margin.is_finite()) {
            return Err(Error::SavedMargin { margin: state.margin });
        }
        tracker.margin = state.margin;
        let (pairs, rest) = state.pairs.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(Error::SavedPairs { found: format!("{} numbers", state.pairs.len()) });
        }
        for &[distance, same] in pairs {
            if !distance.is_finite() || (same != 0.0 && same != 1.0) {
                return Err(Error::SavedPairs { found: format!("({distance}, {same})") });
            }
            tracker.pairs.push(Pair { distance, same: same == 1.0 });
        }
        Ok(tracker)
    }

    /// The state to save.
    pub fn state(&self) -> MarginState {
        let numbers = |pair: &Pair| [pair.distance, f32::from(u8::from(pair.same))];
        MarginState { margin: self.margin, pairs: self.pairs.iter().flat_map(numbers).collect() }
    }

    /// The margin in force: 0 before the first update.
    pub fn margin(&self) -> f32 {
        self.margin
    }

    /// Takes the next training pair. Where an update is due and its pairs can be told apart better
    /// than by chance, resets the margin and returns the threshold that it now is.
    ///
    /// # Errors
    /// A distance that is not a finite number.
    pub fn push(&mut self, distance: f32, same: bool) -> Result<Option<Threshold>, Error> {
        if !distance.is_finite() {
            return Err(Error::Diverged { distance });
        }
        self.pairs.push(Pair { distance, same });
        if self.pairs.len() < self.every {
            return Ok(None);
        }
        let best = best_threshold(&self.pairs);
        self.pairs.clear();
        if let Some(threshold) = best {
            self.margin = threshold.value;
        }
        Ok(best)
    }

    /// Takes the pairs of a step: distance, and whether both pictures show one person. Returns the
    /// last update among them.
    ///
    /// # Errors
    /// A distance that is not a finite number.
    pub fn push_batch(&mut self, pairs: &[(f32, bool)]) -> Result<Option<Threshold>, Error> {
        let mut update = None;
        for &(distance, same) in pairs {
            update = self.push(distance, same)?.or(update);
        }
        Ok(update)
    }
}

/// The threshold with the least balanced error; the lowest of several. Exact, by sorting.
///
/// Nothing where no threshold beats the ½ of calling all pairs the same: only same or only
/// different pairs, all distances equal, or different pairs nearer than same ones.
fn best_threshold(pairs: &[Pair]) -> Option<Threshold> {
    let trials = Trials::new(pairs.iter().map(|pair| (f64::from(pair.distance), pair.same))).ok()?;
    let best = trials.best_threshold(Criterion::BalancedError);
    let balanced_error = best.balanced_error();
    // Midway between two floats, and rounded up: the lower of them stays below the margin.
    let rounded = best.distance as f32;
    let value = if f64::from(rounded) < best.distance { rounded.next_up() } else { rounded };
    (balanced_error < 0.5).then_some(Threshold { value, balanced_error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// (FRR + FAR)/2 at a threshold, as defined.
    fn balanced_error(pairs: &[(f32, bool)], threshold: f32) -> f64 {
        let rate = |same: bool, wrong: &dyn Fn(f32) -> bool| {
            let of_kind = pairs.iter().filter(|pair| pair.1 == same);
            of_kind.clone().filter(|pair| wrong(pair.0)).count() as f64 / of_kind.count() as f64
        };
        0.5 * (rate(true, &|d| d >= threshold) + rate(false, &|d| d < threshold))
    }

    fn tracked(pairs: &[(f32, bool)]) -> (MarginTracker, Option<Threshold>) {
        let mut tracker = MarginTracker::new(pairs.len()).unwrap();
        tracker.margin = 7.5;
        let mut update = None;
        for &(distance, same) in pairs {
            assert_eq!(update, None, "before all pairs are in");
            update = tracker.push(distance, same).unwrap();
        }
        (tracker, update)
    }

    #[test]
    fn separable_pairs_give_the_middle_of_the_gap() {
        let (tracker, update) = tracked(&[(3.0, true), (8.0, false), (1.0, true), (4.0, false)]);
        assert_eq!(tracker.margin(), 3.5);
        assert_eq!(update, Some(Threshold { value: 3.5, balanced_error: 0.0 }));
    }

    #[test]
    fn the_error_is_balanced_not_counted() {
        // At 2.5 two pairs of twelve are wrong, FRR 2/10 and FAR 0; at 14.5 only one, but FAR 1/2.
        let mut pairs = vec![(1.0, true); 8];
        pairs.extend([(4.0, false), (8.0, true), (9.0, true), (20.0, false)]);
        let (tracker, update) = tracked(&pairs);
        assert_eq!(tracker.margin(), 2.5);
        assert!((update.unwrap().balanced_error - 0.1).abs() < 1e-15);
    }

    #[test]
    fn equal_distances_are_never_cut_and_equal_errors_take_the_lowest() {
        let (tracker, _) = tracked(&[(1.0, true), (2.0, true), (2.0, false), (3.0, false)]);
        assert_eq!(tracker.margin(), 1.5);
        let (tracker, _) = tracked(&[(0.0, true), (0.0, true), (0.0, false), (2.0, false)]);
        assert_eq!(tracker.margin(), 1.0);
    }

    #[test]
    fn adjacent_floats_are_still_told_apart() {
        for bits in [1.0f32.to_bits(), 1.0f32.to_bits() + 1, 0] {
            let (below, above) = (f32::from_bits(bits), f32::from_bits(bits + 1));
            let (tracker, update) = tracked(&[(above, false), (below, true)]);
            assert!(below < tracker.margin() && tracker.margin() <= above);
            assert_eq!(update.unwrap().balanced_error, 0.0);
        }
    }

    #[test]
    fn pairs_that_say_nothing_keep_the_old_margin() {
        for pairs in [
            &[(1.0, true), (2.0, true), (3.0, true)][..],
            &[(1.0, false), (2.0, false)],
            &[(2.0, true), (2.0, false), (2.0, false)],
            &[(1.0, false), (2.0, true)],
            &[(-0.0, true), (0.0, false)],
        ] {
            let (tracker, update) = tracked(pairs);
            assert_eq!((tracker.margin(), update), (7.5, None), "{pairs:?}");
            assert!(tracker.state().pairs.is_empty());
        }
    }

    #[test]
    fn only_the_last_pairs_count_and_the_margin_starts_at_zero() {
        let mut tracker = MarginTracker::new(4).unwrap();
        assert_eq!(tracker.margin(), 0.0);
        assert_eq!(tracker.push_batch(&[(1.0, true), (2.0, true), (5.0, false)]).unwrap(), None);
        assert_eq!(tracker.margin(), 0.0);
        // The fourth pair completes the first four; the fifth begins the next.
        let update = tracker.push_batch(&[(3.0, true), (90.0, false)]).unwrap().unwrap();
        assert_eq!((update.value, tracker.margin()), (4.0, 4.0));
        tracker.push_batch(&[(10.0, true), (20.0, true), (80.0, false)]).unwrap();
        assert_eq!(tracker.margin(), 50.0);
    }

    #[test]
    fn bad_requests_are_errors() {
        for every in [0, 1, MAX_PAIRS + 1, usize::MAX] {
            let message = MarginTracker::new(every).unwrap_err().to_string();
            assert!(message.starts_with(&format!("--margin-every {every}")), "{message}");
        }
        let mut tracker = MarginTracker::new(PAPER_PAIRS).unwrap();
        for distance in [f32::NAN, f32::INFINITY] {
            assert!(matches!(tracker.push(distance, true), Err(Error::Diverged { .. })));
        }
        assert!(tracker.state().pairs.is_empty());
        let resume = |margin, pairs: &[f32]| MarginTracker::resume(4, &MarginState { margin, pairs: pairs.into() });
        assert!(matches!(resume(-1.0, &[]), Err(Error::SavedMargin { .. })));
        assert!(matches!(resume(f32::NAN, &[]), Err(Error::SavedMargin { .. })));
        for pairs in [&[1.0][..], &[1.0, 0.5], &[f32::NAN, 1.0], &[1.0, f32::NAN]] {
            assert!(matches!(resume(1.0, pairs), Err(Error::SavedPairs { .. })), "{pairs:?}");
        }
        assert!(resume(1.0, &[1.0, 0.0, 2.0, 1.0]).is_ok());
    }

    #[test]
    fn a_smaller_interval_on_resuming_updates_at_once() {
        let state = MarginState { margin: 1.0, pairs: vec![2.0, 1.0, 3.0, 1.0, 6.0, 0.0] };
        let mut tracker = MarginTracker::resume(2, &state).unwrap();
        assert_eq!(tracker.push(5.0, false).unwrap().unwrap().value, 4.0);
        assert!(tracker.state().pairs.is_empty());
    }

    fn some_pairs(most: usize) -> impl Strategy<Value = Vec<(f32, bool)>> {
        // Few distinct values among many, so that ties are the rule, or any values.
        let distance = prop_oneof![(0u8..12).prop_map(f32::from), 0.0f32..100.0];
        proptest::collection::vec((distance, any::<bool>()), 2..most)
    }

    proptest! {
        #[test]
        fn no_threshold_is_better(pairs in some_pairs(60)) {
            prop_assume!(pairs.iter().any(|pair| pair.1) && pairs.iter().any(|pair| !pair.1));
            // Every distance as a threshold, and one beyond all, covers all that thresholds can do.
            let candidates = pairs.iter().map(|pair| pair.0).chain([f32::MAX]);
            let least = candidates.map(|t| balanced_error(&pairs, t)).fold(f64::INFINITY, f64::min);
            let (tracker, update) = tracked(&pairs);
            match update {
                Some(threshold) => {
                    prop_assert_eq!(tracker.margin(), threshold.value);
                    prop_assert!((balanced_error(&pairs, threshold.value) - least).abs() < 1e-12);
                    prop_assert!((threshold.balanced_error - least).abs() < 1e-12);
                }
                None => prop_assert!(least >= 0.5 - 1e-12),
            }
        }

        #[test]
        fn a_resumed_tracker_is_the_uninterrupted_one(pairs in some_pairs(80), every in 2usize..20, cut in 0usize..80) {
            let cut = cut.min(pairs.len());
            let mut whole = MarginTracker::new(every).unwrap();
            let mut first = whole.clone();
            for &(distance, same) in &pairs[..cut] {
                first.push(distance, same).unwrap();
                prop_assert!(first.pairs.len() < every);
            }
            let mut second = MarginTracker::resume(every, &first.state()).unwrap();
            let mut margins = Vec::new();
            for (i, &(distance, same)) in pairs.iter().enumerate() {
                whole.push(distance, same).unwrap();
                if i >= cut {
                    second.push(distance, same).unwrap();
                    margins.push((whole.margin().to_bits(), second.margin().to_bits()));
                }
            }
            prop_assert!(margins.iter().all(|(a, b)| a == b));
            prop_assert_eq!(whole, second);
        }
    }
}
