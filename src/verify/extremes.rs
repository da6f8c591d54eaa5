//! The pairs that are judged most confidently, rightly and wrongly: what to look at first.

use super::Error;
use crate::data::pairs::Pair;

/// Numbers of pairs, the most confident of each kind first: those farthest from the threshold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extremes {
    /// Pairs of one person that are accepted.
    pub right_same: Vec<usize>,
    /// Pairs of different people that are rejected.
    pub right_different: Vec<usize>,
    /// Pairs of one person that are rejected.
    pub wrong_same: Vec<usize>,
    /// Pairs of different people that are accepted.
    pub wrong_different: Vec<usize>,
}

/// At most `count` pairs of each kind, judged at `threshold`; of equally distant ones, the first.
///
/// # Errors
/// Slices of different lengths.
pub fn extremes(distances: &[f64], pairs: &[Pair], threshold: f64, count: usize) -> Result<Extremes, Error> {
    if distances.len() != pairs.len() {
        return Err(Error::PairCount { distances: distances.len(), pairs: pairs.len() });
    }
    let of_kind = |same: bool, accepted: bool| {
        let mut kind: Vec<usize> =
            (0..pairs.len()).filter(|&i| pairs[i].same == same && (distances[i] <= threshold) == accepted).collect();
        kind.sort_by(|&a, &b| (distances[b] - threshold).abs().total_cmp(&(distances[a] - threshold).abs()));
        kind.truncate(count);
        kind
    };
    Ok(Extremes {
        right_same: of_kind(true, true),
        right_different: of_kind(false, false),
        wrong_same: of_kind(true, false),
        wrong_different: of_kind(false, true),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_farthest_from_the_threshold_come_first() {
        let trials = [
            (1.0, true),
            (4.0, true),
            (9.0, true),
            (2.0, false),
            (7.0, false),
            (8.0, false),
            (0.5, true),
            (8.0, false),
        ];
        let distances: Vec<f64> = trials.iter().map(|t| t.0).collect();
        let pairs: Vec<Pair> = trials.iter().map(|t| Pair { a: 0, b: 1, same: t.1, fold: 0 }).collect();
        let found = extremes(&distances, &pairs, 5.0, 2).unwrap();
        assert_eq!((found.right_same, found.right_different), (vec![6, 0], vec![5, 7]));
        assert_eq!((found.wrong_same, found.wrong_different), (vec![2], vec![3]));
        assert!(matches!(extremes(&distances, &pairs[1..], 5.0, 2), Err(Error::PairCount { .. })));
    }
}
