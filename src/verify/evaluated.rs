//! All that is measured of one verifier on one list of pairs.

use super::Error;
use super::bootstrap::{AccuracyOf, Bootstrap, Intervals, intervals};
use super::folds::{CrossValidation, cross_validate};
use super::people::People;
use super::summary::Summary;
use super::threshold::Criterion;
use super::trials::Trials;
use crate::data::pairs::PairList;

/// Distances of a list's pairs with everything that is reported of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// The verifier, such as `network`.
    pub name: String,
    /// One a pair.
    pub distances: Vec<f64>,
    pub trials: Trials,
    pub summary: Summary,
    /// Absent where there is one fold only.
    pub folds: Option<CrossValidation>,
    pub intervals: Intervals,
}

impl Evaluated {
    /// Measures the `distances` of the pairs of `list`.
    ///
    /// With one fold, the interval of the accuracy is that at the best threshold, held fixed: of the
    /// doubt about the threshold it knows nothing.
    ///
    /// # Errors
    /// Another number of distances than pairs, distances that are not finite, or pairs of one kind.
    pub fn new(
        name: impl Into<String>,
        distances: Vec<f64>,
        list: &PairList,
        people: &People,
        bootstrap: Bootstrap,
    ) -> Result<Self, Error> {
        let trials = Trials::of_pairs(&distances, &list.pairs)?;
        let summary = trials.summary();
        let (folds, accuracy_of) = match list.folds {
            1 => (None, AccuracyOf::Threshold(summary.most_accurate.distance)),
            _ => (Some(cross_validate(&distances, &list.pairs, Criterion::Accuracy)?), AccuracyOf::OtherFolds),
        };
        let intervals = intervals(&distances, &list.pairs, &people.of_picture, accuracy_of, bootstrap)?;
        Ok(Self { name: name.into(), distances, trials, summary, folds, intervals })
    }

    /// The accuracy to report: the mean over folds, or that at the best threshold where there is one
    /// fold only, which flatters.
    pub fn accuracy(&self) -> f64 {
        self.folds.as_ref().map_or(self.summary.most_accurate.accuracy, |folds| folds.mean)
    }

    /// The distances of pairs of one person, and of different people.
    pub fn by_kind(&self, list: &PairList) -> [Vec<f64>; 2] {
        [true, false].map(|same| {
            let all = self.distances.iter().zip(&list.pairs);
            all.filter(|(_, pair)| pair.same == same).map(|(&distance, _)| distance).collect()
        })
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::data::pairs::Pair;

    /// 40 people with two pictures each, a folder a person; nearly all pairs are judged rightly.
    pub fn example(folds: u32) -> (PairList, Evaluated) {
        let person = |p: u32| (0..2).map(move |i| format!("faces/person_{p}/{i}.png").into());
        let pictures = (0..40).flat_map(person).collect();
        let same = (0..40).map(|p| Pair { a: 2 * p, b: 2 * p + 1, same: true, fold: p % folds });
        let next = |p: u32| (p + folds) % 40;
        let different = (0..40).map(|p| Pair { a: 2 * p, b: 2 * next(p), same: false, fold: p % folds });
        let list = PairList { pictures, pairs: same.chain(different).collect(), folds };
        let distance = |(i, pair): (u32, &Pair)| f64::from(i * 7 % 10) + if pair.same { 0.0 } else { 8.5 };
        let distances = (0..).zip(&list.pairs).map(distance).collect();
        let bootstrap = Bootstrap { replicates: 50, ..Bootstrap::default() };
        let evaluated = Evaluated::new("network", distances, &list, &People::of(&list), bootstrap).unwrap();
        (list, evaluated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_of_the_same_pairs() {
        let (list, found) = testing::example(4);
        assert_eq!(found.accuracy(), found.folds.as_ref().unwrap().mean);
        assert_eq!((found.summary.same, found.summary.different, found.intervals.people), (40, 40, 40));
        let [same, different] = found.by_kind(&list);
        assert_eq!((same.len(), different.len()), (40, 40));
        assert!(same.iter().all(|distance| *distance <= 9.0) && different.iter().all(|distance| *distance >= 8.5));
        let interval = found.intervals.auc.unwrap();
        assert!(interval.low <= found.summary.auc && found.summary.auc <= interval.high);

        let (_, one) = testing::example(1);
        assert!(one.folds.is_none());
        assert_eq!(one.accuracy(), one.summary.most_accurate.accuracy);
        assert!(one.intervals.accuracy.is_some());
    }
}
