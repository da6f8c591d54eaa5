//! Intervals of what was measured on pairs, by resampling **people**.
//!
//! Pairs that share a person are not independent: one face that looks like many others spoils all
//! its pairs at once, and an interval from resampling pairs would be too narrow. So people are drawn
//! with replacement, as many as there are. A pair of different people then counts as often as the
//! *product* of how often its two people were drawn, a pair of one person as often as that person.
//! All numbers are measured anew with these weights, the thresholds of folds included, and the
//! interval lies between the percentiles of the replicates (Efron & Tibshirani, *An Introduction to
//! the Bootstrap*, 1993, §13.3).
//!
//! Sources: the vertex bootstrap of Snijders & Borgatti (Connections 22(2), 1999), without the pairs
//! of a person with their own copy; the product of weights is the pigeonhole bootstrap of Owen
//! (Annals of Applied Statistics 1(2), 2007). Both for face verification: Fogliato, Patil & Perona,
//! *Confidence Intervals for Error Rates in 1:1 Matching Tasks*, arXiv 2306.01198.
//!
//! What belongs to a single pair of different people, not to either person, enters with the variance
//! of a product, (1+1)(1+1) − 1 = 3 times its own. Where most people are in one or two pairs only, as
//! in LFW, the intervals are therefore rather too wide than too narrow. Thresholds of folds that are
//! chosen on reweighted pairs are noisier, too, so that the interval of the accuracy reaches further
//! down than up.

use super::Error;
use super::summary::REPORTED_FARS;
use super::threshold::Criterion;
use super::trials::Trials;
use crate::data::pairs::Pair;
use crate::data::{Purpose, random_stream};
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How the bootstrap is run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// How often people are drawn anew.
    pub replicates: u32,
    pub seed: u64,
    /// The share of replicates inside of an interval.
    pub confidence: f64,
}

impl Default for Bootstrap {
    /// 1,000 replicates, 95 %.
    fn default() -> Self {
        Self { replicates: 1000, seed: 1, confidence: 0.95 }
    }
}

/// Which accuracy the interval is of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AccuracyOf {
    /// Mean over folds, each judged with the best threshold of the others
    /// ([`cross_validate`](super::folds::cross_validate) by [`Criterion::Accuracy`]).
    OtherFolds,
    /// At one distance, held fixed.
    Threshold(f64),
}

/// A percentile interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// Intervals of the numbers that are usually reported. One is `None` where fewer than half of the
/// replicates had pairs to measure it on, or where the trials themselves are too few.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    pub bootstrap: Bootstrap,
    /// How many people were drawn from: those in at least one pair.
    pub people: usize,
    pub accuracy: Option<Interval>,
    pub auc: Option<Interval>,
    pub eer: Option<Interval>,
    /// At each of [`REPORTED_FARS`].
    pub tar_at_far: [Option<Interval>; 3],
}

/// Intervals of the numbers that `pairs` with their `distances` give; `people` has the person on each
/// picture, as in [`People::of_picture`](super::people::People). The same for any number of threads.
///
/// # Errors
/// Slices of different lengths, a distance that is not finite, not at least one pair of either kind,
/// a pair whose person is not known, no replicates, or a confidence that is no share.
pub fn intervals(
    distances: &[f64],
    pairs: &[Pair],
    people: &[u32],
    accuracy_of: AccuracyOf,
    bootstrap: Bootstrap,
) -> Result<Intervals, Error> {
    let Bootstrap { replicates, seed, confidence } = bootstrap;
    if replicates == 0 {
        return Err(Error::NoReplicates { replicates });
    }
    if !(confidence > 0.0 && confidence < 1.0) {
        return Err(Error::Confidence { confidence });
    }
    let measurable = Trials::of_pairs(distances, pairs)?;
    let sample = Sample::new(distances, pairs, people)?;
    let measured: Vec<Measured> = (0..replicates)
        .into_par_iter()
        .filter_map(|replicate| {
            let mut rng = random_stream(seed, Purpose::Bootstrap, replicate.into());
            let count = sample.people as u32;
            let mut drawn = vec![0u64; sample.people];
            (0..count).for_each(|_| drawn[rng.random_range(0..count) as usize] += 1);
            sample.measure(&sample.weights(&drawn), accuracy_of)
        })
        .collect();
    let interval = |number: &dyn Fn(&Measured) -> Option<f64>| {
        let numbers: Vec<f64> = measured.iter().filter_map(number).collect();
        (2 * numbers.len() >= replicates as usize).then(|| percentiles(numbers, confidence))
    };
    let tar = |at: usize| {
        measurable.tar_at_far(REPORTED_FARS[at])?;
        interval(&|m| Some(m.tar_at_far[at]))
    };
    Ok(Intervals {
        bootstrap,
        people: sample.people,
        accuracy: interval(&|m| m.accuracy),
        auc: interval(&|m| Some(m.auc)),
        eer: interval(&|m| Some(m.eer)),
        tar_at_far: [tar(0), tar(1), tar(2)],
    })
}

/// Pairs with their distances, sorted once for all replicates.
struct Sample {
    /// By ascending distance.
    distances: Vec<f64>,
    pairs: Vec<Pair>,
    /// The people on the two pictures of each pair, numbered without gaps.
    sides: Vec<[usize; 2]>,
    people: usize,
    /// The numbers of the folds, ascending.
    folds: Vec<u32>,
}

/// What one replicate gives. There is no accuracy where some fold's others lack one kind of pair.
#[derive(Debug, PartialEq)]
struct Measured {
    accuracy: Option<f64>,
    auc: f64,
    eer: f64,
    tar_at_far: [f64; 3],
}

impl Sample {
    fn new(distances: &[f64], pairs: &[Pair], people: &[u32]) -> Result<Self, Error> {
        let mut sorted: Vec<(f64, usize, Pair)> =
            distances.iter().zip(pairs).enumerate().map(|(i, (&distance, &pair))| (distance, i, pair)).collect();
        sorted.sort_by(|(a, ..), (b, ..)| a.total_cmp(b));
        let person = |pair: usize, picture: u32| {
            let known = people.get(picture as usize).copied();
            known.ok_or(Error::NoPerson { pair, picture, pictures: people.len() })
        };
        let named: Vec<[u32; 2]> = sorted
            .iter()
            .map(|&(_, i, pair)| Ok([person(i, pair.a)?, person(i, pair.b)?]))
            .collect::<Result<_, Error>>()?;
        let mut numbers: Vec<u32> = named.iter().flatten().copied().collect();
        numbers.sort_unstable();
        numbers.dedup();
        let dense = |name: u32| numbers.partition_point(|&number| number < name);
        let mut folds: Vec<u32> = pairs.iter().map(|pair| pair.fold).collect();
        folds.sort_unstable();
        folds.dedup();
        Ok(Self {
            distances: sorted.iter().map(|&(distance, ..)| distance).collect(),
            pairs: sorted.iter().map(|&(.., pair)| pair).collect(),
            sides: named.into_iter().map(|side| side.map(dense)).collect(),
            people: numbers.len(),
            folds,
        })
    }

    /// How often each pair counts when each person was drawn as often as `drawn` says.
    fn weights(&self, drawn: &[u64]) -> Vec<u64> {
        self.sides.iter().map(|&[a, b]| if a == b { drawn[a] } else { drawn[a] * drawn[b] }).collect()
    }

    /// The numbers with each pair counted as often as its weight; `None` where one kind is absent.
    fn measure(&self, weights: &[u64], accuracy_of: AccuracyOf) -> Option<Measured> {
        let counted = |wanted: &dyn Fn(&Pair) -> bool| {
            let all = self.distances.iter().zip(&self.pairs).zip(weights);
            let trials = all.map(|((&d, pair), &weight)| (d, pair.same, if wanted(pair) { weight } else { 0 }));
            Trials::of_sorted(trials).ok()
        };
        let trials = counted(&|_| true)?;
        let accuracy = match accuracy_of {
            AccuracyOf::Threshold(distance) => self.accuracy_at(distance, weights, None),
            AccuracyOf::OtherFolds => self.mean_over_folds(weights, |fold| {
                Some(counted(&|pair| pair.fold != fold)?.best_threshold(Criterion::Accuracy).distance)
            }),
        };
        let tar_at_far = REPORTED_FARS.map(|far| trials.tar_within_far(far));
        Some(Measured { accuracy, auc: trials.auc(), eer: trials.eer(), tar_at_far })
    }

    /// The mean over the folds that count at all, each judged at its `threshold`.
    fn mean_over_folds(&self, weights: &[u64], threshold: impl Fn(u32) -> Option<f64>) -> Option<f64> {
        let (mut sum, mut count) = (0.0, 0);
        for &fold in &self.folds {
            if let Some(accuracy) = self.accuracy_at(threshold(fold)?, weights, Some(fold)) {
                sum += accuracy;
                count += 1;
            }
        }
        (count > 0).then(|| sum / f64::from(count))
    }

    /// Share of the weight that `threshold` judges rightly, in one fold or in all.
    fn accuracy_at(&self, threshold: f64, weights: &[u64], fold: Option<u32>) -> Option<f64> {
        let (mut right, mut all) = (0u64, 0u64);
        for ((&distance, pair), &weight) in self.distances.iter().zip(&self.pairs).zip(weights) {
            if fold.is_none_or(|fold| pair.fold == fold) {
                right += if (distance <= threshold) == pair.same { weight } else { 0 };
                all += weight;
            }
        }
        (all > 0).then(|| right as f64 / all as f64)
    }
}

/// The interval that leaves the same share of `numbers` on both sides; between two of them it is
/// interpolated (Hyndman & Fan's definition 7).
fn percentiles(mut numbers: Vec<f64>, confidence: f64) -> Interval {
    numbers.sort_unstable_by(f64::total_cmp);
    let last = numbers.len() - 1;
    let quantile = |share: f64| {
        let place = share * last as f64;
        let below = (place as usize).min(last);
        let above = (below + 1).min(last);
        numbers[below] + (place - below as f64) * (numbers[above] - numbers[below])
    };
    let beyond = 0.5 * (1.0 - confidence);
    Interval { low: quantile(beyond), high: quantile(1.0 - beyond) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::folds::{accuracy_at, cross_validate};
    use proptest::prelude::*;
    use rand_chacha::ChaCha8Rng;

    /// Person p has pictures 2p and 2p + 1; all are compared with all, the same persons once.
    /// People p and q are in fold p % folds of a same pair, and (p + q) % folds of a different one.
    fn round_robin(people: u32, folds: u32) -> (Vec<Pair>, Vec<u32>) {
        let mut pairs: Vec<Pair> =
            (0..people).map(|p| Pair { a: 2 * p, b: 2 * p + 1, same: true, fold: p % folds }).collect();
        for q in 0..people {
            pairs.extend((0..q).map(|p| Pair { a: 2 * p, b: 2 * q, same: false, fold: (p + q) % folds }));
        }
        (pairs, (0..2 * people).map(|picture| picture / 2).collect())
    }

    /// Box and Muller's standard normal variable.
    fn normal(rng: &mut ChaCha8Rng) -> f64 {
        let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    #[test]
    fn perfect_separation_leaves_no_doubt() {
        let (pairs, people) = round_robin(12, 3);
        let distances: Vec<f64> =
            (0..).zip(&pairs).map(|(i, p)| f64::from(i) + if p.same { 0.0 } else { 100.0 }).collect();
        for accuracy_of in [AccuracyOf::OtherFolds, AccuracyOf::Threshold(50.0)] {
            let found = intervals(&distances, &pairs, &people, accuracy_of, Bootstrap::default()).unwrap();
            let certain = |value| Some(Interval { low: value, high: value });
            assert_eq!((found.accuracy, found.auc, found.eer), (certain(1.0), certain(1.0), certain(0.0)));
            // 66 pairs of different people say nothing of FAR 0.01.
            assert_eq!(found.tar_at_far, [certain(1.0), None, None]);
            assert_eq!(found.people, 12);
        }
    }

    #[test]
    fn pairs_count_as_their_people_were_drawn() {
        let (pairs, people) = round_robin(3, 1);
        let sample = Sample::new(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], &pairs, &people).unwrap();
        // Same 0, 1, 2, then different 0–1, 0–2, 1–2.
        assert_eq!(sample.weights(&[3, 2, 0]), [3, 2, 0, 6, 0, 0]);
    }

    #[test]
    fn percentiles_are_interpolated() {
        let numbers = vec![4.0, 0.0, 3.0, 1.0, 2.0];
        assert_eq!(percentiles(numbers.clone(), 0.5), Interval { low: 1.0, high: 3.0 });
        let Interval { low, high } = percentiles(numbers, 0.95);
        approx::assert_abs_diff_eq!(low, 0.1, epsilon = 1e-12);
        approx::assert_abs_diff_eq!(high, 3.9, epsilon = 1e-12);
    }

    /// How often, of `repeats` samples drawn anew, the interval holds the true AUC. Distances of one
    /// person are N(0, 1); those of different people N(1.5, 1), of which `shared` of the variance
    /// belongs to the two people and the rest to the pair. The AUC is Φ(1.5/√2) whatever is shared.
    fn coverage(pairs: &[Pair], people: &[u32], shared: f64, repeats: u64) -> f64 {
        let truth = 0.855_578_5;
        let settings = Bootstrap { replicates: 200, ..Bootstrap::default() };
        let held = (0..repeats).filter(|&repeat| {
            let mut rng = random_stream(77, Purpose::Bootstrap, repeat);
            let of_person: Vec<f64> = people.iter().map(|_| normal(&mut rng)).collect();
            let distances: Vec<f64> = pairs
                .iter()
                .map(|pair| {
                    let own = normal(&mut rng);
                    if pair.same {
                        return own;
                    }
                    let [a, b] = [pair.a, pair.b].map(|side| of_person[people[side as usize] as usize]);
                    1.5 + (0.5 * shared).sqrt() * (a + b) + (1.0 - shared).sqrt() * own
                })
                .collect();
            let found = intervals(&distances, pairs, people, AccuracyOf::Threshold(0.75), settings).unwrap();
            found.auc.is_some_and(|interval| interval.low <= truth && truth <= interval.high)
        });
        held.count() as f64 / repeats as f64
    }

    #[test]
    fn intervals_hold_the_truth_as_often_as_they_say() {
        let (pairs, people) = round_robin(40, 1);
        // 400 repeats: a standard error of 1.1 % about 95 %, and the percentiles of 200 replicates and
        // of only 40 people are a little narrow.
        for shared in [0.0, 0.5, 0.9] {
            let held = coverage(&pairs, &people, shared, 400);
            assert!((0.90..=0.98).contains(&held), "{shared}: {held}");
        }
        // Each person in a single pair: too wide, as announced, never too narrow.
        let apart: Vec<Pair> = (0..200).map(|i| Pair { a: 2 * i, b: 2 * i + 1, same: i % 2 == 0, fold: 0 }).collect();
        let people: Vec<u32> =
            (0..400).map(|picture| if (picture / 2) % 2 == 0 { picture / 2 * 2 } else { picture }).collect();
        let held = coverage(&apart, &people, 0.5, 400);
        assert!(held >= 0.93, "{held}");
    }

    #[test]
    fn resampling_pairs_instead_would_be_too_narrow() {
        // With 0.9 of the variance shared, an interval that takes pairs for independent fails often:
        // the same pairs with every picture its own person.
        let (pairs, people) = round_robin(40, 1);
        let settings = Bootstrap { replicates: 400, ..Bootstrap::default() };
        let mut rng = random_stream(5, Purpose::Bootstrap, 0);
        let of_person: Vec<f64> = (0..40).map(|_| normal(&mut rng)).collect();
        let distances: Vec<f64> = pairs
            .iter()
            .map(|p| {
                let [a, b] = [p.a, p.b].map(|side| of_person[people[side as usize] as usize]);
                if p.same { normal(&mut rng) } else { 1.5 + 0.7 * (a + b) + 0.3 * normal(&mut rng) }
            })
            .collect();
        let width = |people: &[u32]| {
            let found = intervals(&distances, &pairs, people, AccuracyOf::Threshold(0.75), settings).unwrap();
            let Interval { low, high } = found.accuracy.unwrap();
            high - low
        };
        // A pair of different people for each pair of pictures: pairs that share no one.
        let (spread, alone): (Vec<Pair>, Vec<u32>) = (
            (0..).zip(&pairs).map(|(i, &p)| Pair { a: 2 * i, b: 2 * i + 1, ..p }).collect(),
            (0..).zip(&pairs).flat_map(|(i, p)| if p.same { [2 * i; 2] } else { [2 * i, 2 * i + 1] }).collect(),
        );
        let by_pair = intervals(&distances, &spread, &alone, AccuracyOf::Threshold(0.75), settings).unwrap();
        let by_pair = by_pair.accuracy.map(|i| i.high - i.low).unwrap();
        assert!(width(&people) > 1.5 * by_pair, "{} {by_pair}", width(&people));
    }

    #[test]
    fn seeds_repeat_and_threads_do_not_matter() {
        let (pairs, people) = round_robin(10, 2);
        let distances: Vec<f64> = (0..pairs.len()).map(|i| (i * 7919 % 101) as f64).collect();
        let run = |seed, threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let settings = Bootstrap { replicates: 100, seed, ..Bootstrap::default() };
            pool.install(|| intervals(&distances, &pairs, &people, AccuracyOf::OtherFolds, settings).unwrap())
        };
        assert_eq!(run(1, 1), run(1, 3));
        assert_ne!(run(1, 1).auc, run(2, 1).auc);
    }

    #[test]
    fn unusable_input_is_an_error() {
        let (pairs, people) = round_robin(3, 1);
        let distances = vec![1.0; pairs.len()];
        let run = |people: &[u32], bootstrap| {
            intervals(&distances, &pairs, people, AccuracyOf::OtherFolds, bootstrap).map(|_| ())
        };
        let none = Bootstrap { replicates: 0, ..Bootstrap::default() };
        assert!(matches!(run(&people, none), Err(Error::NoReplicates { .. })));
        for confidence in [0.0, 1.0, f64::NAN] {
            let settings = Bootstrap { confidence, ..Bootstrap::default() };
            assert!(matches!(run(&people, settings), Err(Error::Confidence { .. })));
        }
        let refused = run(&people[..4], Bootstrap::default());
        assert!(matches!(refused, Err(Error::NoPerson { pair: 2, picture: 4, pictures: 4 })), "{refused:?}");
        // One fold has no others: there is no accuracy, but the rest.
        let found = intervals(&distances, &pairs, &people, AccuracyOf::OtherFolds, Bootstrap::default()).unwrap();
        assert!(found.accuracy.is_none() && found.auc.is_some());
    }

    proptest! {
        #[test]
        fn weights_of_one_give_the_plain_numbers(
            drawn in prop::collection::vec((0u8..12, any::<bool>(), 0u32..3, 0u32..8, 0u32..8), 12..40),
        ) {
            let distances: Vec<f64> = drawn.iter().map(|d| f64::from(d.0)).collect();
            let pairs: Vec<Pair> =
                drawn.iter().map(|&(_, same, fold, a, b)| Pair { a, b, same, fold }).collect();
            let people: Vec<u32> = (0..8).collect();
            let (Ok(trials), Ok(folds)) =
                (Trials::of_pairs(&distances, &pairs), cross_validate(&distances, &pairs, Criterion::Accuracy))
            else { return Err(TestCaseError::reject("one kind")) };
            let sample = Sample::new(&distances, &pairs, &people).unwrap();
            let ones = sample.weights(&vec![1; sample.people]);
            let found = sample.measure(&ones, AccuracyOf::OtherFolds).unwrap();
            prop_assert_eq!((found.auc, found.eer), (trials.auc(), trials.eer()));
            prop_assert_eq!(found.accuracy, Some(folds.mean));
            for (far, tar) in REPORTED_FARS.into_iter().zip(found.tar_at_far) {
                if let Some(plain) = trials.tar_at_far(far) {
                    prop_assert_eq!(tar, plain);
                }
            }
            let at = sample.measure(&ones, AccuracyOf::Threshold(5.0)).unwrap().accuracy;
            prop_assert_eq!(at, Some(accuracy_at(5.0, distances.iter().zip(&pairs))));
        }

        #[test]
        fn a_weight_is_that_many_copies(
            drawn in prop::collection::vec((0u8..9, any::<bool>(), 0u32..2, 0u64..4), 4..24),
        ) {
            let sample = |copies: bool| {
                let rows = drawn.iter().flat_map(|row| {
                    std::iter::repeat_n(row, if copies { row.3 as usize } else { 1 })
                });
                let (distances, rest): (Vec<f64>, Vec<(Pair, u64)>) = rows
                    .map(|&(d, same, fold, weight)| (f64::from(d), (Pair { a: 0, b: 1, same, fold }, weight)))
                    .unzip();
                let (pairs, weights): (Vec<Pair>, Vec<u64>) = rest.into_iter().unzip();
                (distances, pairs, weights)
            };
            let (distances, pairs, weights) = sample(false);
            let whole = Sample::new(&distances, &pairs, &[0, 1]).unwrap();
            // The weights in the sorted order; a stable sort, as the sample's.
            let mut order: Vec<usize> = (0..distances.len()).collect();
            order.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]));
            let weights: Vec<u64> = order.into_iter().map(|i| weights[i]).collect();
            let (distances, pairs, _) = sample(true);
            let copied = Sample::new(&distances, &pairs, &[0, 1]).unwrap();
            prop_assert_eq!(
                whole.measure(&weights, AccuracyOf::Threshold(4.0)),
                copied.measure(&vec![1; pairs.len()], AccuracyOf::Threshold(4.0))
            );
        }
    }
}
