//! Split of a data set into training and validation identities.
//!
//! Face verification is judged on people that training never saw (PAPER: DeepID2 §4), so whole
//! identities move, never single pictures.

use super::dataset::Dataset;
use super::{Purpose, random_stream};
use rand::seq::SliceRandom;

/// Fewest identities on either side: one gives no pair of different people.
const MIN_IDENTITIES: usize = 2;

/// Why a data set cannot be split.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("--validation-fraction {fraction}: expected a number above 0 and below 1")]
    Fraction { fraction: f64 },
    #[error(
        "{identities} identities cannot be split into training and validation with at least 2 on each side; add people until there are 4"
    )]
    TooFewIdentities { identities: usize },
}

/// The two sides of a split; their identities are disjoint and sorted as in the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    pub training: Dataset,
    pub validation: Dataset,
}

/// Holds out ⌊`fraction` · identities⌋ identities chosen by `seed`, though at least two, and leaves
/// at least two to train on.
///
/// # Errors
/// A `fraction` outside (0, 1), or fewer than four identities.
pub fn split_identities(dataset: &Dataset, fraction: f64, seed: u64) -> Result<Split, Error> {
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(Error::Fraction { fraction });
    }
    let identities = dataset.identities.len();
    if identities < 2 * MIN_IDENTITIES {
        return Err(Error::TooFewIdentities { identities });
    }
    let wanted = (identities as f64 * fraction).floor() as usize;
    let held_out = wanted.clamp(MIN_IDENTITIES, identities - MIN_IDENTITIES);

    let mut order: Vec<usize> = (0..identities).collect();
    order.shuffle(&mut random_stream(seed, Purpose::Split, 0));
    let (validation, training) = order.split_at_mut(held_out);
    Ok(Split { training: subset(dataset, training), validation: subset(dataset, validation) })
}

fn subset(dataset: &Dataset, chosen: &mut [usize]) -> Dataset {
    chosen.sort_unstable();
    Dataset { identities: chosen.iter().map(|&i| dataset.identities[i].clone()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::Identity;

    fn people(count: usize) -> Dataset {
        let identity = |i| Identity { name: format!("{i:03}"), images: vec![format!("{i}.jpg").into()] };
        Dataset { identities: (0..count).map(identity).collect() }
    }

    #[test]
    fn sides_are_disjoint_complete_sorted_and_repeatable() {
        let dataset = people(218);
        let split = split_identities(&dataset, 0.2, 7).unwrap();
        assert_eq!((split.training.identities.len(), split.validation.identities.len()), (175, 43));
        assert!(split.training.identities.is_sorted_by_key(|i| i.name.clone()));
        let mut union = split.training.identities.clone();
        union.extend(split.validation.identities.clone());
        union.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(union, dataset.identities);
        assert_eq!(split, split_identities(&dataset, 0.2, 7).unwrap());
        assert_ne!(split, split_identities(&dataset, 0.2, 8).unwrap());
    }

    #[test]
    fn each_side_keeps_two_identities() {
        for (count, fraction, held_out) in [(4, 0.01, 2), (4, 0.99, 2), (10, 0.01, 2), (10, 0.99, 8)] {
            let split = split_identities(&people(count), fraction, 1).unwrap();
            assert_eq!(split.validation.identities.len(), held_out);
        }
        assert!(matches!(split_identities(&people(3), 0.5, 1), Err(Error::TooFewIdentities { identities: 3 })));
        for fraction in [0.0, 1.0, -0.1, f64::NAN, f64::INFINITY] {
            assert!(matches!(split_identities(&people(9), fraction, 1), Err(Error::Fraction { .. })));
        }
    }
}
