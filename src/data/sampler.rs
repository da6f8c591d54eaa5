//! Identity-balanced pairs for a training step: the samples of Algorithm 1 of DeepID2, a batch at
//! a time.
//!
//! A batch of B pictures holds P = ⌊B/2⌋ pairs: picture i pairs with picture i + P. The first pairs
//! are the same-identity ones. With odd B the last picture has no partner.
//!
//! Every draw is independent and uniform over identities first, pictures second, so people with
//! many pictures do not dominate. There is no bookkeeping of what was seen: a batch is a pure
//! function of (seed, step), which makes a resumed run exact; that a picture is seen once an epoch
//! holds on average only.

use super::dataset::Dataset;
use super::{Purpose, random_stream};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::ops::Range;

/// Why pairs cannot be drawn.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("batch of {batch}: a step needs at least one pair, so at least 2 pictures")]
    Batch { batch: usize },
    #[error("--same-ratio {ratio}: expected a share of pairs from 0 to 1")]
    SameRatio { ratio: f64 },
    #[error("{identities} identity to train on; pairs of different people need at least 2")]
    TooFewIdentities { identities: usize },
    #[error("no identity has two pictures, so there is no pair of the same person; add pictures or set --same-ratio 0")]
    NoSamePair,
}

/// Draws the pictures of each step.
#[derive(Debug, Clone)]
pub struct PairSampler {
    /// Picture numbers of each identity, in the numbering of [`Dataset::flatten`].
    pictures: Vec<Range<u32>>,
    /// Identities with at least two pictures.
    repeated: Vec<u32>,
    batch: usize,
    same_ratio: f64,
    seed: u64,
}

impl PairSampler {
    /// A sampler of batches of `batch` pictures of `dataset`, of whose pairs the share
    /// `same_ratio` shows one person.
    ///
    /// # Errors
    /// A batch below 2, a ratio outside [0, 1], fewer than two identities, or no identity with two
    /// pictures while same pairs are asked for.
    pub fn new(dataset: &Dataset, batch: usize, same_ratio: f64, seed: u64) -> Result<Self, Error> {
        if batch < 2 {
            return Err(Error::Batch { batch });
        }
        if !(0.0..=1.0).contains(&same_ratio) {
            return Err(Error::SameRatio { ratio: same_ratio });
        }
        let identities = dataset.identities.len();
        if identities < 2 {
            return Err(Error::TooFewIdentities { identities });
        }
        let mut first = 0u32;
        let pictures: Vec<Range<u32>> = dataset
            .identities
            .iter()
            .map(|identity| {
                let start = first;
                first += identity.images.len() as u32;
                start..first
            })
            .collect();
        let repeated: Vec<u32> =
            (0u32..).zip(&pictures).filter(|(_, p)| p.len() >= 2).map(|(label, _)| label).collect();
        if repeated.is_empty() && same_ratio > 0.0 {
            return Err(Error::NoSamePair);
        }
        Ok(Self { pictures, repeated, batch, same_ratio, seed })
    }

    /// Pictures a step.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Steps of an epoch: as many as draw each picture once on average, rounded up.
    pub fn steps_per_epoch(&self) -> u64 {
        let images = self.pictures.last().map_or(0, |pictures| pictures.end);
        u64::from(images).div_ceil(self.batch as u64)
    }

    /// Overwrites `indices` with the picture numbers of `step` and `labels` with their identities;
    /// returns how many of the pairs, the first ones, are of the same identity.
    ///
    /// That count is `same_ratio`·P exactly where it is whole, and otherwise one of its two
    /// neighbours, such that it is right on average.
    pub fn draw(&self, step: u64, indices: &mut Vec<u32>, labels: &mut Vec<u32>) -> usize {
        let mut rng = random_stream(self.seed, Purpose::BatchPairs, step);
        let pairs = self.batch / 2;
        let wanted = self.same_ratio * pairs as f64;
        let same = ((wanted + rng.random::<f64>()).floor() as usize).min(pairs);

        indices.clear();
        indices.resize(self.batch, 0);
        labels.clear();
        labels.resize(self.batch, 0);
        for pair in 0..pairs {
            let [a, b] = if pair < same { self.same(&mut rng) } else { self.different(&mut rng) };
            (labels[pair], indices[pair]) = a;
            (labels[pair + pairs], indices[pair + pairs]) = b;
        }
        if self.batch % 2 == 1 {
            let label = rng.random_range(0..self.pictures.len() as u32);
            labels[self.batch - 1] = label;
            indices[self.batch - 1] = self.picture(label, &mut rng);
        }
        same
    }

    /// Two pictures of one identity, as (label, picture).
    fn same(&self, rng: &mut ChaCha8Rng) -> [(u32, u32); 2] {
        let label = self.repeated[rng.random_range(0..self.repeated.len() as u32) as usize];
        let Range { start, end } = self.pictures[label as usize];
        let [a, b] = two_of(end - start, rng);
        [(label, start + a), (label, start + b)]
    }

    /// A picture of each of two identities, as (label, picture).
    fn different(&self, rng: &mut ChaCha8Rng) -> [(u32, u32); 2] {
        two_of(self.pictures.len() as u32, rng).map(|label| (label, self.picture(label, rng)))
    }

    fn picture(&self, label: u32, rng: &mut ChaCha8Rng) -> u32 {
        rng.random_range(self.pictures[label as usize].clone())
    }
}

/// Two different numbers below `count`, ordered pairs being equally likely.
fn two_of(count: u32, rng: &mut ChaCha8Rng) -> [u32; 2] {
    let a = rng.random_range(0..count);
    let b = rng.random_range(0..count - 1);
    [a, b + u32::from(b >= a)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::Identity;

    fn people(counts: &[usize]) -> Dataset {
        let identity = |(i, &count): (usize, &usize)| Identity {
            name: i.to_string(),
            images: (0..count).map(|k| format!("{i}/{k}.jpg").into()).collect(),
        };
        Dataset { identities: counts.iter().enumerate().map(identity).collect() }
    }

    fn draw(sampler: &PairSampler, step: u64) -> (Vec<u32>, Vec<u32>, usize) {
        let (mut indices, mut labels) = (vec![9; 2], Vec::new());
        let same = sampler.draw(step, &mut indices, &mut labels);
        (indices, labels, same)
    }

    #[test]
    fn pairs_are_what_they_claim() {
        let dataset = people(&[1, 5, 2, 1, 30]);
        let (_, truth) = dataset.flatten();
        for batch in [2, 7, 64] {
            let sampler = PairSampler::new(&dataset, batch, 0.5, 3).unwrap();
            for step in 0..200 {
                let (indices, labels, same) = draw(&sampler, step);
                assert_eq!((indices.len(), labels.len()), (batch, batch));
                assert!(indices.iter().zip(&labels).all(|(&i, &l)| truth[i as usize] == l));
                let pairs = batch / 2;
                for pair in 0..pairs {
                    assert_eq!(labels[pair] == labels[pair + pairs], pair < same);
                    assert_ne!(indices[pair], indices[pair + pairs]);
                }
            }
        }
    }

    #[test]
    fn same_count_is_exact_when_whole_and_right_on_average_otherwise() {
        let dataset = people(&[4; 10]);
        let counts = |batch, ratio| -> Vec<usize> {
            let sampler = PairSampler::new(&dataset, batch, ratio, 1).unwrap();
            (0..1000).map(|step| draw(&sampler, step).2).collect()
        };
        assert!(counts(128, 0.5).iter().all(|&same| same == 32));
        assert!(counts(128, 1.0).iter().all(|&same| same == 64));
        assert!(counts(128, 0.0).iter().all(|&same| same == 0));
        let total: usize = counts(2, 0.5).iter().sum();
        assert!((430..570).contains(&total), "{total} of 1000 with standard deviation 16");
    }

    #[test]
    fn identities_are_balanced_not_pictures() {
        let dataset = people(&[2, 98]);
        let sampler = PairSampler::new(&dataset, 64, 0.5, 2).unwrap();
        let first: usize =
            (0..200).map(|step| draw(&sampler, step).1.iter().filter(|&&label| label == 0).count()).sum();
        assert!((6000..6800).contains(&first), "{first} of 12800");
        let used: std::collections::HashSet<u32> = (0..200).flat_map(|step| draw(&sampler, step).0).collect();
        assert_eq!(used.len(), 100, "every picture has its turn");
    }

    #[test]
    fn a_step_depends_on_seed_and_step_only() {
        let dataset = people(&[5; 20]);
        let sampler = PairSampler::new(&dataset, 32, 0.5, 42).unwrap();
        let forward: Vec<_> = (0..9).map(|step| draw(&sampler, step)).collect();
        let again = PairSampler::new(&dataset, 32, 0.5, 42).unwrap();
        let backward: Vec<_> = (0..9).rev().map(|step| draw(&again, step)).collect();
        assert!(forward.iter().eq(backward.iter().rev()));
        assert!(forward.windows(2).all(|w| w[0] != w[1]));
        let other = PairSampler::new(&dataset, 32, 0.5, 43).unwrap();
        assert_ne!(draw(&other, 0), forward[0]);
    }

    #[test]
    fn an_epoch_rounds_up() {
        for (counts, batch, steps) in [(&[5, 5][..], 2, 5), (&[5, 6], 2, 6), (&[1, 2], 128, 1)] {
            let sampler = PairSampler::new(&people(counts), batch, 0.5, 0).unwrap();
            assert_eq!(sampler.steps_per_epoch(), steps);
        }
    }

    #[test]
    fn impossible_requests_are_errors() {
        let dataset = people(&[3, 3]);
        assert!(matches!(PairSampler::new(&dataset, 1, 0.5, 0), Err(Error::Batch { batch: 1 })));
        for ratio in [-0.1, 1.1, f64::NAN] {
            assert!(matches!(PairSampler::new(&dataset, 8, ratio, 0), Err(Error::SameRatio { .. })));
        }
        assert!(matches!(PairSampler::new(&people(&[9]), 8, 1.0, 0), Err(Error::TooFewIdentities { identities: 1 })));
        let singles = people(&[1, 1, 1]);
        assert!(matches!(PairSampler::new(&singles, 8, 0.5, 0), Err(Error::NoSamePair)));
        let (_, _, same) = draw(&PairSampler::new(&singles, 8, 0.0, 0).unwrap(), 0);
        assert_eq!(same, 0);
    }
}
