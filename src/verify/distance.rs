//! Distances between embeddings.

use super::Error;
use crate::data::pairs::Pair;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How two embeddings are compared. Written `euclidean` or `cosine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distance {
    /// ‖a − b‖₂, the distance that the verification signal trains (DeepID2 §2, eq. 2).
    #[default]
    Euclidean,
    /// 1 − a·b/(‖a‖‖b‖), from 0 to 2. The cosine with a zero vector, which ReLU features can be,
    /// counts as 0.
    Cosine,
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Euclidean => "euclidean",
            Self::Cosine => "cosine",
        })
    }
}

impl FromStr for Distance {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "euclidean" => Ok(Self::Euclidean),
            "cosine" => Ok(Self::Cosine),
            _ => Err(Error::UnknownDistance { text: text.into() }),
        }
    }
}

impl Distance {
    /// The distance of two vectors of one length, summed in f64.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn between(self, a: &[f32], b: &[f32]) -> f64 {
        assert_eq!(a.len(), b.len(), "embeddings of different dimensions");
        let pairs = || a.iter().zip(b).map(|(&a, &b)| (f64::from(a), f64::from(b)));
        match self {
            Self::Euclidean => pairs().map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt(),
            Self::Cosine => {
                let (dot, a2, b2) =
                    pairs().fold((0.0, 0.0, 0.0), |(dot, a2, b2), (a, b)| (dot + a * b, a2 + a * a, b2 + b * b));
                let norms = f64::sqrt(a2) * f64::sqrt(b2);
                let cosine = if norms == 0.0 { 0.0 } else { dot / norms };
                // Rounding can put the cosine of parallel vectors just beyond 1.
                1.0 - cosine.clamp(-1.0, 1.0)
            }
        }
    }

    /// The distance of each pair; row i of `embeddings` (rows × `dimension`) belongs to picture i.
    ///
    /// # Errors
    /// Embeddings that are not whole rows, or a pair that names a picture without a row.
    pub fn of_pairs(self, embeddings: &[f32], dimension: usize, pairs: &[Pair]) -> Result<Vec<f64>, Error> {
        if dimension == 0 || !embeddings.len().is_multiple_of(dimension) {
            return Err(Error::EmbeddingShape { values: embeddings.len(), dimension });
        }
        let rows = embeddings.len() / dimension;
        let row = |pair: usize, picture: u32| {
            let start = picture as usize * dimension;
            embeddings.get(start..start + dimension).ok_or(Error::PictureNumber { pair, picture, rows })
        };
        pairs.iter().enumerate().map(|(i, pair)| Ok(self.between(row(i, pair.a)?, row(i, pair.b)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_have_their_textbook_values() {
        assert_eq!(Distance::Euclidean.between(&[1.0, 2.0, 3.0], &[1.0, 5.0, 7.0]), 5.0);
        assert_eq!(Distance::Cosine.between(&[1.0, 0.0], &[0.0, 3.0]), 1.0);
        approx::assert_abs_diff_eq!(
            Distance::Cosine.between(&[1.0, 1.0], &[2.0, 0.0]),
            1.0 - 0.5f64.sqrt(),
            epsilon = 1e-15
        );
        approx::assert_abs_diff_eq!(Distance::Cosine.between(&[1.0, 2.0], &[-2.0, -4.0]), 2.0, epsilon = 1e-15);
        assert_eq!(Distance::Cosine.between(&[0.0, 0.0], &[1.0, 0.0]), 1.0);
        let near_one = [0.1f32, 0.2, 0.3, 0.7];
        assert!(Distance::Cosine.between(&near_one, &near_one) >= 0.0);
    }

    #[test]
    fn names_read_back() {
        for distance in [Distance::Euclidean, Distance::Cosine] {
            assert_eq!(distance.to_string().parse::<Distance>().unwrap(), distance);
        }
        assert!(matches!("l2".parse::<Distance>(), Err(Error::UnknownDistance { .. })));
    }

    #[test]
    fn pairs_take_their_rows() {
        let pair = |a, b| Pair { a, b, same: true, fold: 0 };
        let embeddings = [0.0, 0.0, 3.0, 4.0, 0.0, 1.0];
        let distances = |pairs: &[Pair]| Distance::Euclidean.of_pairs(&embeddings, 2, pairs);
        assert_eq!(distances(&[pair(0, 1), pair(2, 0)]).unwrap(), [5.0, 1.0]);
        assert!(matches!(
            distances(&[pair(0, 1), pair(0, 3)]),
            Err(Error::PictureNumber { pair: 1, picture: 3, rows: 3 })
        ));
        for dimension in [0, 4] {
            let refused = Distance::Euclidean.of_pairs(&embeddings, dimension, &[]);
            assert!(matches!(refused, Err(Error::EmbeddingShape { .. })));
        }
    }
}
