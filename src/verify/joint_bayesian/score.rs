//! The log-likelihood ratio (PAPER §5)
//!
//! ```text
//! LLR = ½·[x₁ᵀA x₁ + x₂ᵀA x₂ − 2·x₁ᵀG x₂ + 2·log|Sμ + Sε| − log|Sε| − log|2Sμ + Sε|]
//! ```
//!
//! In the basis of [`Basis`](super::basis::Basis) A is −λ²/((1 + λ)(1 + 2λ)) and G is −λ/(1 + 2λ). With the rows
//! y = √(λ/(1 + 2λ))·z and the terms a = ½·zᵀA z prepared once, a pair costs one dot product:
//! LLR = a₁ + a₂ + y₁·y₂ + const.

use super::{Error, JointBayesian, check_rows};
use crate::verify::pca::centred;
use rayon::prelude::*;

/// Rows prepared to be compared with each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    dimension: usize,
    /// y, rows × dimension.
    vectors: Vec<f64>,
    /// a, one a row.
    terms: Vec<f64>,
    constant: f64,
}

impl JointBayesian {
    /// log p(x1, x2 | one person) − log p(x1, x2 | two people), in nats; the same either way round.
    /// For many pairs, [`JointBayesian::prepare`] the rows.
    ///
    /// # Errors
    /// Vectors of another dimension, or values that are not finite.
    pub fn llr(&self, x1: &[f32], x2: &[f32]) -> Result<f64, Error> {
        for x in [x1, x2] {
            if x.len() != self.dimension() {
                return Err(Error::Rows { values: x.len(), dimension: self.dimension() });
            }
        }
        Ok(self.prepare(&[x1, x2].concat())?.llr(0, 1))
    }

    /// Prepares `rows` (rows × dimension) to be compared.
    ///
    /// # Errors
    /// Values that are not whole rows or not finite.
    pub fn prepare(&self, rows: &[f32]) -> Result<Prepared, Error> {
        const CHUNK: usize = 256;
        let dimension = self.dimension();
        check_rows(rows, dimension)?;
        let lambda = self.basis.lambda();
        let weights: Vec<f64> = lambda.iter().map(|l| -0.5 * l * l / ((1.0 + l) * (1.0 + 2.0 * l))).collect();
        let scales: Vec<f64> = lambda.iter().map(|l| (l / (1.0 + 2.0 * l)).sqrt()).collect();
        let prepare = |chunk: &[f32]| -> (Vec<f64>, Vec<f64>) {
            let mut z = self.basis.transform() * centred(chunk, &self.mean);
            let terms = z.column_iter().map(|z| z.iter().zip(&weights).map(|(z, w)| w * z * z).sum()).collect();
            z.column_iter_mut().for_each(|mut z| z.iter_mut().zip(&scales).for_each(|(z, s)| *z *= s));
            (z.as_slice().to_vec(), terms)
        };
        let (mut vectors, mut terms) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len() / dimension));
        // In rounds, so that what the tasks hand back is never a second copy of everything.
        for round in rows.chunks(64 * CHUNK * dimension) {
            let prepared: Vec<_> = round.par_chunks(dimension * CHUNK).map(prepare).collect();
            for (chunk_vectors, chunk_terms) in prepared {
                vectors.extend(chunk_vectors);
                terms.extend(chunk_terms);
            }
        }
        let constant = 0.5 * lambda.iter().map(|l| 2.0 * l.ln_1p() - (2.0 * l).ln_1p()).sum::<f64>();
        Ok(Prepared { dimension, vectors, terms, constant })
    }
}

impl Prepared {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.terms.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The log-likelihood ratio of rows `a` and `b`, in nats.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn llr(&self, a: usize, b: usize) -> f64 {
        self.llr_with(a, self, b)
    }

    /// The log-likelihood ratio of row `a` and row `b` of `other`, prepared by the same model, in nats.
    ///
    /// # Panics
    /// When there is no such row, or the dimensions differ.
    pub fn llr_with(&self, a: usize, other: &Prepared, b: usize) -> f64 {
        assert_eq!(self.dimension, other.dimension, "rows prepared by different models");
        self.terms[a] + other.terms[b] + dot(self.vector(a), other.vector(b)) + self.constant
    }

    /// The log-likelihood ratio of each pair of rows, in nats.
    ///
    /// # Errors
    /// A pair that names a row that is not there.
    pub fn llr_of_pairs(&self, pairs: &[(u32, u32)]) -> Result<Vec<f64>, Error> {
        let rows = self.len();
        for (pair, &(a, b)) in pairs.iter().enumerate() {
            if let Some(row) = [a, b].into_iter().find(|&row| row as usize >= rows) {
                return Err(Error::Row { pair, row, rows });
            }
        }
        Ok(pairs.par_iter().with_min_len(256).map(|&(a, b)| self.llr(a as usize, b as usize)).collect())
    }

    fn vector(&self, row: usize) -> &[f64] {
        &self.vectors[row * self.dimension..][..self.dimension]
    }
}

/// Σ aᵢbᵢ in eight running sums, which the compiler keeps in vector registers.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((a8, a_rest), (b8, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in a8.iter().zip(b8) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}
