//! Joint Bayesian (Chen et al., ECCV 2012): a face is x = mean + μ + ε, where μ ~ N(0, Sμ) is one for
//! all pictures of a person and ε ~ N(0, Sε) is each picture's own. Two pictures are compared by
//!
//! ```text
//! LLR = log p(x₁, x₂ | one person) − log p(x₁, x₂ | two people)
//! ```
//!
//! | file | purpose |
//! |---|---|
//! | [`statistics`] | what EM needs of the rows: within-person scatter and sums by number of images |
//! | [`basis`] | the basis in which Sε is the identity and Sμ diagonal |
//! | [`em`] | fitting by exact EM, or by the widely copied approximation |
//! | [`score`] | the log-likelihood ratio, of one pair and of many |
//!
//! Everything is computed in f64. Results are the same to the last bit whatever the number of threads.

mod basis;
mod em;
mod score;
mod statistics;

pub use em::{Em, Iteration, Settings};
pub use score::Prepared;

use super::linear_algebra::Matrix;
use super::matrices::{self, NamedMatrix, find};
use basis::Basis;
use statistics::Statistics;

/// Why Joint Bayesian cannot be fitted or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{values} values are not a whole number of rows of dimension {dimension}")]
    Rows { values: usize, dimension: usize },
    #[error("{labels} identity labels for {rows} rows; expected one each")]
    Labels { labels: usize, rows: usize },
    #[error("row {row} holds {value}; expected finite numbers: the embeddings have diverged")]
    NotFinite { row: usize, value: f32 },
    #[error("pictures of {people} people; Joint Bayesian needs at least 2 people: add identities")]
    TooFewPeople { people: usize },
    #[error(
        "none of the {people} people has more than one picture, so that nothing shows how pictures of one person differ; add pictures"
    )]
    OnePictureEach { people: usize },
    #[error(
        "the within-person covariance is singular (at dimension {at} of {dimension}): {images} pictures of {people} people give {} differences within people; set the shrinkage above {shrinkage}, use fewer PCA dimensions, or add pictures",
        images - people
    )]
    Singular { at: usize, dimension: usize, images: usize, people: usize, shrinkage: f64 },
    #[error("setting `{name}` is {value}; expected {expected}")]
    Setting { name: &'static str, value: f64, expected: &'static str },
    #[error("the covariance `s_eps` is not positive definite; the model file is damaged, use another")]
    NotPositiveDefinite,
    #[error("pair {pair} names row {row}, but there are {rows}")]
    Row { pair: usize, row: u32, rows: usize },
    #[error(transparent)]
    Matrices(#[from] matrices::Error),
}

/// A fitted model: the training mean and the two covariances.
#[derive(Debug, Clone, PartialEq)]
pub struct JointBayesian {
    mean: Vec<f64>,
    s_mu: Matrix,
    s_eps: Matrix,
    /// Made of `s_mu` and `s_eps`.
    basis: Basis,
}

impl JointBayesian {
    /// Fits the covariances to `rows` (rows × `dimension`), row i of which shows person `labels[i]`.
    /// `on_iteration` hears the log-likelihood at the start and after each iteration.
    ///
    /// # Errors
    /// Rows, labels or settings that make no sense, fewer than two people, one picture each, and a
    /// within-person covariance that is singular in spite of the shrinkage.
    pub fn fit(
        rows: &[f32],
        labels: &[u32],
        dimension: usize,
        settings: &Settings,
        on_iteration: &mut dyn FnMut(&Iteration),
    ) -> Result<Self, Error> {
        settings.check()?;
        let (mean, statistics) = Statistics::of(rows, labels, dimension)?;
        let (s_mu, s_eps, basis) = em::fit(&statistics, settings, on_iteration)?;
        Ok(Self { mean, s_mu, s_eps, basis })
    }

    /// The model with a known mean and known covariances, `s_mu` and `s_eps` dimension × dimension,
    /// of which the lower triangle counts.
    ///
    /// # Errors
    /// Lengths that do not fit, values that are not finite, or an `s_eps` that is not positive definite.
    pub fn from_covariances(mean: &[f64], s_mu: &[f64], s_eps: &[f64]) -> Result<Self, Error> {
        let dimension = mean.len();
        let square =
            |name, values: &[f64]| NamedMatrix { name, rows: dimension, columns: dimension, values: values.into() };
        let mean = NamedMatrix { name: "jb.mean", rows: 1, columns: dimension, values: mean.into() };
        Self::from_matrices(&[mean, square("jb.s_mu", s_mu), square("jb.s_eps", s_eps)])
    }

    /// Values of a row.
    pub fn dimension(&self) -> usize {
        self.mean.len()
    }

    /// The mean of the training rows, which scores subtract.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Sμ, the covariance of people, dimension × dimension and symmetric.
    pub fn s_mu(&self) -> &[f64] {
        self.s_mu.as_slice()
    }

    /// Sε, the covariance of the pictures of a person, dimension × dimension and symmetric.
    pub fn s_eps(&self) -> &[f64] {
        self.s_eps.as_slice()
    }

    /// The generalised eigenvalues of Sμ over Sε, descending: how much more people differ than the
    /// pictures of one person, direction by direction.
    pub fn ratios(&self) -> &[f64] {
        self.basis.lambda()
    }

    /// log p(rows) of people with these pictures under the model, summed over all people, in nats.
    ///
    /// # Errors
    /// Rows or labels that make no sense.
    pub fn log_likelihood(&self, rows: &[f32], labels: &[u32]) -> Result<f64, Error> {
        let statistics = Statistics::around(rows, labels, &self.mean)?;
        Ok(em::Expectation::of(&statistics, &self.basis).log_likelihood)
    }

    /// Everything that [`JointBayesian::from_matrices`] needs.
    pub fn to_matrices(&self) -> Vec<NamedMatrix> {
        let matrix =
            |name, rows, values: &[f64]| NamedMatrix { name, rows, columns: self.dimension(), values: values.into() };
        vec![
            matrix("jb.mean", 1, &self.mean),
            matrix("jb.s_mu", self.dimension(), self.s_mu()),
            matrix("jb.s_eps", self.dimension(), self.s_eps()),
        ]
    }

    /// The model that [`JointBayesian::to_matrices`] described, to the last bit.
    ///
    /// # Errors
    /// Matrices that are missing, of shapes that do not fit, not finite, or not those of a model.
    pub fn from_matrices(matrices: &[NamedMatrix]) -> Result<Self, Error> {
        let mean = find(matrices, "jb.mean", Some(1), None)?.values.clone();
        let dimension = mean.len();
        let square = |name| -> Result<Matrix, Error> {
            let found = find(matrices, name, Some(dimension), Some(dimension))?;
            // Row-major or column-major: it is symmetric.
            Ok(Matrix::from_row_slice(dimension, dimension, &found.values))
        };
        let (s_mu, s_eps) = (square("jb.s_mu")?, square("jb.s_eps")?);
        let basis = Basis::of(&s_mu, &s_eps).map_err(|_| Error::NotPositiveDefinite)?;
        Ok(Self { mean, s_mu, s_eps, basis })
    }
}

/// The number of rows.
fn check_rows(rows: &[f32], dimension: usize) -> Result<usize, Error> {
    if dimension == 0 || !rows.len().is_multiple_of(dimension) {
        return Err(Error::Rows { values: rows.len(), dimension });
    }
    match rows.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(Error::NotFinite { row: at / dimension, value: rows[at] }),
        None => Ok(rows.len() / dimension),
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
