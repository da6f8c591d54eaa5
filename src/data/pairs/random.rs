//! Balanced pairs of a data set, drawn by a seed.
//!
//! As in LFW (TR 07-49 §3), people are drawn before pictures, so that those with many pictures do
//! not dominate, no pair is drawn twice, and no person appears in two folds: a threshold chosen on
//! some folds has not seen the people of the others.

use super::{Builder, Error, PairList};
use crate::data::dataset::{Dataset, Identity};
use crate::data::{Purpose, random_stream};
use rand::RngExt;
use rand::seq::{SliceRandom, index};
use rand_chacha::ChaCha8Rng;
use std::path::PathBuf;

/// Draws at most `max_pairs` distinct pairs of `dataset`, half of one person and half of different
/// people in every fold.
///
/// Where there are fewer pairs than asked for, all of the scarcer kind are taken. There are at most
/// `folds` folds: fewer where each could not have a pair of either kind. They are equally large
/// unless the people of one do not give its share; the others then give more.
///
/// # Errors
/// Fewer than 2 pairs or 1 fold asked for, fewer than two identities, or none with two pictures.
pub fn random_pairs(dataset: &Dataset, max_pairs: usize, folds: u32, seed: u64) -> Result<PairList, Error> {
    if max_pairs < 2 {
        return Err(Error::PairCount { pairs: max_pairs });
    }
    if folds == 0 {
        return Err(Error::FoldCount { folds });
    }
    dataset.check_pairs_possible()?;
    let mut rng = random_stream(seed, Purpose::EvaluationPairs, 0);
    let folds = deal_identities(dataset, (folds as usize).min(max_pairs / 2), &mut rng);

    let capacities: Vec<usize> =
        folds.iter().map(|people| same_capacity(people).min(different_capacity(people))).collect();
    let shares = share(max_pairs / 2, &capacities, &mut rng);
    let mut builder = Builder::default();
    for ((people, amount), fold) in folds.iter().zip(shares).zip(0..) {
        for [a, b] in same_pairs(people, amount, &mut rng) {
            builder.push(a, b, true, fold);
        }
        for [a, b] in different_pairs(people, amount, &mut rng) {
            builder.push(a, b, false, fold);
        }
    }
    Ok(builder.finish(folds.len() as u32))
}

/// The people of each fold: at least two, at least one of them with two pictures.
fn deal_identities<'a>(dataset: &'a Dataset, folds: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<&'a Identity>> {
    let mut people: Vec<&Identity> = dataset.identities.iter().collect();
    people.shuffle(rng);
    // Those with two pictures are dealt first, so that every fold has its share of them.
    people.sort_by_key(|person| person.images.len() < 2);
    let repeated = people.partition_point(|person| person.images.len() >= 2);
    let folds = folds.min(repeated).min(people.len() / 2);
    let mut dealt = vec![Vec::new(); folds];
    for (i, person) in people.into_iter().enumerate() {
        dealt[i % folds].push(person);
    }
    dealt
}

fn same_capacity(people: &[&Identity]) -> usize {
    people.iter().map(|person| two_of(person.images.len())).sum()
}

/// Σ_{i<j} mᵢmⱼ = ((Σm)² − Σm²)/2 for people with m pictures.
fn different_capacity(people: &[&Identity]) -> usize {
    let pictures: usize = people.iter().map(|person| person.images.len()).sum();
    let squares: usize = people.iter().map(|person| person.images.len().pow(2)).sum();
    (pictures.pow(2) - squares) / 2
}

/// `amount` distinct pairs of pictures of one person, as evenly over the people as they have them.
fn same_pairs(people: &[&Identity], amount: usize, rng: &mut ChaCha8Rng) -> Vec<[PathBuf; 2]> {
    let capacities: Vec<usize> = people.iter().map(|person| two_of(person.images.len())).collect();
    let shares = share(amount, &capacities, rng);
    let mut pairs = Vec::with_capacity(amount);
    for ((person, capacity), share) in people.iter().zip(capacities).zip(shares) {
        for number in index::sample(rng, capacity, share) {
            pairs.push(nth_pair(number).map(|picture| person.images[picture].clone()));
        }
    }
    pairs
}

/// `amount` distinct pairs of pictures of different people, as evenly over the pairs of people as
/// they have them.
fn different_pairs(people: &[&Identity], amount: usize, rng: &mut ChaCha8Rng) -> Vec<[PathBuf; 2]> {
    let pairs_of_people = two_of(people.len());
    if amount <= pairs_of_people {
        let chosen = index::sample(rng, pairs_of_people, amount);
        let mut picture_of = |person: usize| {
            let images = &people[person].images;
            images[rng.random_range(0..images.len() as u32) as usize].clone()
        };
        return chosen.into_iter().map(|number| nth_pair(number).map(&mut picture_of)).collect();
    }
    // Each pair of people is met at least once, so going through all of them is no detour.
    let images = |number: usize| nth_pair(number).map(|person| &people[person].images);
    let capacity = |number| images(number).map(Vec::len).into_iter().product();
    let capacities: Vec<usize> = (0..pairs_of_people).map(capacity).collect();
    let shares = share(amount, &capacities, rng);
    let mut pairs = Vec::with_capacity(amount);
    for (number, share) in shares.into_iter().enumerate() {
        let [a, b] = images(number);
        for cell in index::sample(rng, capacities[number], share) {
            pairs.push([a[cell / b.len()].clone(), b[cell % b.len()].clone()]);
        }
    }
    pairs
}

/// Shares `total` among bins as evenly as their capacities allow; which of the equally entitled get
/// one more is random. The shares sum to `total`, or to all capacities where that is less.
fn share(total: usize, capacities: &[usize], rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut ascending = capacities.to_vec();
    ascending.sort_unstable();
    let (mut remaining, mut open) = (total, ascending.len());
    for capacity in ascending {
        let level = remaining / open;
        if capacity > level {
            let unfilled: Vec<usize> = (0..capacities.len()).filter(|&bin| capacities[bin] > level).collect();
            let mut shares: Vec<usize> = capacities.iter().map(|&capacity| capacity.min(level)).collect();
            for lucky in index::sample(rng, unfilled.len(), remaining % open) {
                shares[unfilled[lucky]] += 1;
            }
            return shares;
        }
        remaining -= capacity;
        open -= 1;
    }
    capacities.to_vec()
}

/// The number of pairs among `count` things.
fn two_of(count: usize) -> usize {
    count * count.saturating_sub(1) / 2
}

/// Pair `number` in the order (0,1), (0,2), (1,2), (0,3), …: [a, b] with a < b and
/// number = b(b − 1)/2 + a, so b = ⌊(1 + √(8·number + 1))/2⌋.
fn nth_pair(number: usize) -> [usize; 2] {
    let b = (8 * number + 1).isqrt().div_ceil(2);
    [number - two_of(b), b]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;
    use std::path::Path;

    fn people(counts: &[usize]) -> Dataset {
        let identity = |(i, &count): (usize, &usize)| Identity {
            name: format!("{i:04}"),
            images: (0..count).map(|k| format!("{i:04}/{k}.jpg").into()).collect(),
        };
        Dataset { identities: counts.iter().enumerate().map(identity).collect() }
    }

    fn person(picture: &Path) -> &str {
        picture.parent().unwrap().to_str().unwrap()
    }

    /// Everything that must hold of any result; returns the pairs of one person in each fold.
    fn check(list: &PairList) -> Vec<usize> {
        let unique: HashSet<_> = list.pictures.iter().collect();
        assert_eq!(unique.len(), list.pictures.len());
        let mut seen = HashSet::new();
        let mut fold_of = std::collections::HashMap::new();
        let mut balance = vec![(0, 0); list.folds as usize];
        for pair in &list.pairs {
            assert!(seen.insert((pair.a.min(pair.b), pair.a.max(pair.b))), "a pair was drawn twice");
            let [a, b] = [pair.a, pair.b].map(|i| list.pictures[i as usize].as_path());
            assert_ne!(a, b);
            assert_eq!(person(a) == person(b), pair.same);
            for picture in [a, b] {
                assert_eq!(*fold_of.entry(person(picture)).or_insert(pair.fold), pair.fold, "a person in two folds");
            }
            let (same, different) = &mut balance[pair.fold as usize];
            *(if pair.same { same } else { different }) += 1;
        }
        assert!(balance.iter().all(|&(same, different)| same == different && same > 0), "{balance:?}");
        balance.into_iter().map(|(same, _)| same).collect()
    }

    #[test]
    fn folds_are_balanced_disjoint_and_repeatable() {
        let counts: Vec<usize> = (0..200).map(|i| 1 + i % 7).collect();
        let dataset = people(&counts);
        let list = random_pairs(&dataset, 1000, 10, 3).unwrap();
        assert_eq!(check(&list), [50; 10]);
        assert_eq!(list, random_pairs(&dataset, 1000, 10, 3).unwrap());
        assert_ne!(list, random_pairs(&dataset, 1000, 10, 4).unwrap());
        assert_eq!(random_pairs(&dataset, 1001, 10, 3).unwrap().pairs.len(), 1000);
    }

    #[test]
    fn people_with_many_pictures_do_not_dominate() {
        let mut counts = vec![3; 40];
        counts[0] = 500;
        let list = random_pairs(&people(&counts), 160, 1, 1).unwrap();
        check(&list);
        let of_first = |same| {
            let first = |i: u32| person(&list.pictures[i as usize]) == "0000";
            list.pairs.iter().filter(|p| p.same == same && (first(p.a) || first(p.b))).count()
        };
        assert_eq!(of_first(true), 2, "80 pairs over 40 people");
        assert!(of_first(false) <= 39, "at most one with each other person");
    }

    #[test]
    fn all_pairs_are_taken_where_there_are_fewer() {
        // 3 + 1 + 0 same pairs; 3·2 + 3·1 + 2·1 different ones.
        let list = random_pairs(&people(&[3, 2, 1]), 1_000_000, 1, 0).unwrap();
        assert_eq!(check(&list), [4]);
        // 45 same pairs but only 10 different ones.
        let list = random_pairs(&people(&[10, 1]), 1_000_000, 1, 0).unwrap();
        assert_eq!(check(&list), [10]);
    }

    #[test]
    fn folds_shrink_to_what_the_people_allow() {
        for (counts, folds) in [(&[2, 2, 2, 2, 2][..], 2), (&[2, 1, 1, 1, 1, 1], 1), (&[9, 9], 1), (&[2; 20], 10)] {
            let list = random_pairs(&people(counts), 100, 10, 5).unwrap();
            check(&list);
            assert_eq!(list.folds, folds);
        }
    }

    #[test]
    fn impossible_requests_are_errors() {
        let dataset = people(&[2, 2]);
        assert!(matches!(random_pairs(&dataset, 1, 10, 0), Err(Error::PairCount { pairs: 1 })));
        assert!(matches!(random_pairs(&dataset, 10, 0, 0), Err(Error::FoldCount { folds: 0 })));
        assert!(matches!(random_pairs(&people(&[9]), 10, 1, 0), Err(Error::Dataset(_))));
        assert!(matches!(random_pairs(&people(&[1, 1]), 10, 1, 0), Err(Error::Dataset(_))));
    }

    #[test]
    fn pairs_are_numbered_without_gaps() {
        let mut number = 0;
        for b in 1..60 {
            for a in 0..b {
                assert_eq!(nth_pair(number), [a, b]);
                number += 1;
            }
        }
        assert_eq!(two_of(60), number);
        assert_eq!(nth_pair(two_of(1_000_000) - 1), [999_998, 999_999]);
    }

    proptest! {
        #[test]
        fn shares_are_even_and_complete(
            total in 0usize..60, capacities in prop::collection::vec(0usize..12, 1..8), seed in 0u64..9,
        ) {
            let shares = share(total, &capacities, &mut random_stream(seed, Purpose::EvaluationPairs, 0));
            prop_assert_eq!(shares.iter().sum::<usize>(), total.min(capacities.iter().sum()));
            let highest = shares.iter().max().copied().unwrap_or(0);
            for (share, capacity) in shares.into_iter().zip(capacities) {
                prop_assert!(share <= capacity);
                prop_assert!(share == capacity || share + 1 >= highest);
            }
        }

        #[test]
        fn any_data_set_gives_sound_pairs(
            counts in prop::collection::vec(1usize..6, 2..12), pairs in 2usize..60, folds in 1u32..5, seed in 0u64..9,
        ) {
            prop_assume!(counts.iter().any(|&count| count >= 2));
            let dataset = people(&counts);
            let list = random_pairs(&dataset, pairs, folds, seed).unwrap();
            check(&list);
            prop_assert!(list.pairs.len() <= pairs);
        }
    }
}
