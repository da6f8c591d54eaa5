//! What is done to each number of a DeepID2 vector before PCA.

use serde::{Deserialize, Serialize};

/// A function of each number.
///
/// The numbers come out of a ReLU: many are 0, and the larger a unit's mean, the more it varies. Joint Bayesian takes them
/// for Gaussian with one covariance for all people; after the square root they are nearer to that (the distance of roots is
/// Hellinger's, as in Arandjelović and Zisserman, CVPR 2012, for SIFT).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transform {
    /// The numbers as they are, as in the paper.
    None,
    /// Square root of the magnitude, with the sign.
    #[default]
    SquareRoot,
}

impl Transform {
    /// Rows of transformed numbers.
    #[must_use]
    pub fn applied(self, mut rows: Vec<f32>) -> Vec<f32> {
        if self == Self::SquareRoot {
            rows.iter_mut().for_each(|value| *value = value.abs().sqrt().copysign(*value));
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_keep_signs_and_what_is_not_finite() {
        let rows = vec![4.0, -9.0, 0.0, f32::INFINITY];
        assert_eq!(Transform::None.applied(rows.clone()), rows);
        assert_eq!(Transform::SquareRoot.applied(rows), [2.0, -3.0, 0.0, f32::INFINITY]);
        assert!(Transform::SquareRoot.applied(vec![f32::NAN])[0].is_nan());
    }
}
