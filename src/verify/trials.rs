//! Labelled distances, sorted once and counted per distinct distance.
//!
//! A threshold can only fall between two distinct distances, so what it does is told by a cut: how
//! many of the sorted distances lie at or below it. Pairs of equal distance are never separated.

use super::Error;
use crate::data::pairs::Pair;

/// The distances of pairs of one person and of different people; at least one of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Trials {
    /// By ascending distance, all distances distinct.
    groups: Vec<Group>,
    same: u64,
    different: u64,
}

/// The pairs of one distance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Group {
    pub distance: f64,
    pub same: u64,
    pub different: u64,
}

/// What accepting the nearest pairs up to some distance does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// How many groups are accepted: the nearest ones.
    pub accepted: usize,
    /// Pairs of one person accepted.
    pub true_acceptances: u64,
    /// Pairs of different people accepted.
    pub false_acceptances: u64,
}

impl Trials {
    /// Sorts `trials`, each a distance and whether the pair shows one person.
    ///
    /// # Errors
    /// A distance that is not finite, or not at least one pair of either kind.
    pub fn new(trials: impl IntoIterator<Item = (f64, bool)>) -> Result<Self, Error> {
        let mut sorted: Vec<(f64, bool)> = trials.into_iter().collect();
        if let Some((pair, &(distance, _))) = sorted.iter().enumerate().find(|(_, (distance, _))| !distance.is_finite())
        {
            return Err(Error::NotFinite { pair, distance });
        }
        sorted.sort_unstable_by(|(a, _), (b, _)| a.total_cmp(b));
        Self::of_sorted(sorted.into_iter().map(|(distance, is_same)| (distance, is_same, 1)))
    }

    /// Trials that are sorted already, by ascending distance, each with the number of times it counts.
    ///
    /// # Errors
    /// Not at least one pair of either kind.
    pub(super) fn of_sorted(sorted: impl Iterator<Item = (f64, bool, u64)>) -> Result<Self, Error> {
        let mut groups: Vec<Group> = Vec::with_capacity(sorted.size_hint().1.unwrap_or(0));
        let (mut same, mut different) = (0, 0);
        for (distance, is_same, times) in sorted {
            if times == 0 {
                continue;
            }
            // `==` also joins −0 and 0, which the order by bits keeps apart.
            if groups.last().is_none_or(|group| group.distance != distance) {
                groups.push(Group { distance, same: 0, different: 0 });
            }
            let at = groups.len() - 1;
            if is_same {
                groups[at].same += times;
                same += times;
            } else {
                groups[at].different += times;
                different += times;
            }
        }
        if same == 0 || different == 0 {
            return Err(Error::OneKind { same, different });
        }
        Ok(Self { groups, same, different })
    }

    /// The trials of `pairs`, given the distance of each.
    ///
    /// # Errors
    /// Slices of different lengths, and as [`Trials::new`].
    pub fn of_pairs(distances: &[f64], pairs: &[Pair]) -> Result<Self, Error> {
        if distances.len() != pairs.len() {
            return Err(Error::PairCount { distances: distances.len(), pairs: pairs.len() });
        }
        Self::new(distances.iter().zip(pairs).map(|(&distance, pair)| (distance, pair.same)))
    }

    /// The number of pairs of one person.
    pub fn same(&self) -> u64 {
        self.same
    }

    /// The number of pairs of different people.
    pub fn different(&self) -> u64 {
        self.different
    }

    pub(super) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Every cut, from accepting nothing to accepting everything.
    pub(super) fn cuts(&self) -> impl Iterator<Item = Cut> {
        let nothing = Cut { accepted: 0, true_acceptances: 0, false_acceptances: 0 };
        let mut cut = nothing;
        std::iter::once(nothing).chain(self.groups.iter().map(move |group| {
            cut.accepted += 1;
            cut.true_acceptances += group.same;
            cut.false_acceptances += group.different;
            cut
        }))
    }

    /// The threshold that makes a cut: midway between its two neighbours; the largest distance for
    /// accepting everything; the next number below the smallest for accepting nothing.
    pub(super) fn threshold_at(&self, accepted: usize) -> f64 {
        let below = accepted.checked_sub(1).map(|at| self.groups[at].distance);
        let above = self.groups.get(accepted).map(|group| group.distance);
        match (below, above) {
            (Some(below), Some(above)) => {
                let middle = 0.5 * below + 0.5 * above;
                // Between neighbouring floating-point numbers the middle rounds to either.
                if below <= middle && middle < above { middle } else { below }
            }
            (Some(largest), None) => largest,
            (None, Some(smallest)) => smallest.next_down(),
            (None, None) => unreachable!("there is at least one pair of either kind"),
        }
    }

    /// TAR of a cut: the share of the pairs of one person that it accepts.
    pub(super) fn true_acceptance_rate(&self, cut: Cut) -> f64 {
        cut.true_acceptances as f64 / self.same as f64
    }

    /// FAR of a cut: the share of the pairs of different people that it accepts.
    pub(super) fn false_acceptance_rate(&self, cut: Cut) -> f64 {
        cut.false_acceptances as f64 / self.different as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_distances_are_never_separated() {
        let trials = Trials::new([(2.0, true), (0.0, true), (-0.0, false), (2.0, false), (1.0, false)]).unwrap();
        let groups: Vec<_> = trials.groups().iter().map(|g| (g.distance, g.same, g.different)).collect();
        assert_eq!(groups, [(0.0, 1, 1), (1.0, 0, 1), (2.0, 1, 1)]);
        let cuts: Vec<_> = trials.cuts().map(|c| (c.accepted, c.true_acceptances, c.false_acceptances)).collect();
        assert_eq!(cuts, [(0, 0, 0), (1, 1, 1), (2, 1, 2), (3, 2, 3)]);
        assert_eq!((trials.same(), trials.different()), (2, 3));
    }

    #[test]
    fn thresholds_lie_between_their_neighbours() {
        let next = 1.0f64.next_up();
        for distances in [[1.0, next, 3.0], [-f64::MAX, 0.0, f64::MAX], [0.0, 5e-324, 1e-323]] {
            let trials = Trials::new(distances.map(|d| (d, d == distances[1]))).unwrap();
            for accepted in 0..=3 {
                let threshold = trials.threshold_at(accepted);
                assert_eq!(distances.iter().filter(|&&d| d <= threshold).count(), accepted, "{distances:?}");
            }
        }
        let trials = Trials::new([(1.0, true), (4.0, false)]).unwrap();
        assert_eq!(trials.threshold_at(1), 2.5);
    }

    #[test]
    fn unusable_distances_are_errors() {
        assert!(matches!(Trials::new([]), Err(Error::OneKind { same: 0, different: 0 })));
        assert!(matches!(Trials::new([(1.0, true), (2.0, true)]), Err(Error::OneKind { same: 2, different: 0 })));
        for bad in [f64::NAN, f64::INFINITY] {
            assert!(matches!(Trials::new([(1.0, true), (bad, false)]), Err(Error::NotFinite { pair: 1, .. })));
        }
        assert!(matches!(Trials::of_pairs(&[1.0], &[]), Err(Error::PairCount { distances: 1, pairs: 0 })));
    }
}
