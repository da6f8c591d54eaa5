//! Maximum likelihood of Sμ and Sε by expectation-maximisation (PAPER §5).
//!
//! With V = (Sμ⁻¹ + m·Sε⁻¹)⁻¹ and μ̂ = V·Sε⁻¹·Σx for a person with m images:
//!
//! ```text
//! Sμ = 1/C Σ over people (μ̂μ̂ᵀ + V)
//! Sε = 1/N Σ over people [Σ over images (x − μ̂)(x − μ̂)ᵀ + m·V]
//! ```
//!
//! In the basis of [`Basis`], with z = T·Σx, μ̂ is λ/(1 + mλ)·z, V is λ/(1 + mλ), and the images'
//! mean less μ̂ is z/(m(1 + mλ)): an iteration needs [`Statistics`] and no image.
//!
//! Shrinkage s is the mode under a prior on Sε, not a repair afterwards: with the scale τ = tr(W)/(d(N − C))
//!
//! ```text
//! log p(Sε) = −½·ν·[log|Sε| + τ·tr(Sε⁻¹)] + const,   ν = N·s/(1 − s)
//! ```
//!
//! the M-step becomes Sε = (1 − s)·Sε + s·τ·I exactly, and EM climbs the log-likelihood plus this.

use super::basis::{Basis, Singular};
use super::statistics::{Group, Statistics};
use super::{Error, Matrix};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// Which EM. Written `exact` or `approximate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Em {
    /// The one above: the likelihood never falls.
    #[default]
    Exact,
    /// What most public code does: V is left out of both sums, as if every μ̂ were certain. People
    /// with few images then look alike, so that Sμ shrinks from iteration to iteration, what it
    /// loses is in neither covariance, and the likelihood soon falls. Kept for comparison.
    Approximate,
}

/// How Joint Bayesian is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub em: Em,
    /// At most so many iterations, at least 1.
    pub iterations: usize,
    /// Stop when an iteration changes the objective by at most so many nats an image.
    pub tolerance: f64,
    /// The share, from 0 to below 1, of a multiple of the identity in Sε.
    pub shrinkage: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { em: Em::Exact, iterations: 100, tolerance: 1e-4, shrinkage: 0.0 }
    }
}

impl Settings {
    /// Checks every field.
    ///
    /// # Errors
    /// The first that is out of range.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |name, value, expected| Err(Error::Setting { name, value, expected });
        if self.iterations == 0 {
            return refuse("iterations", 0.0, "at least 1");
        }
        if !(self.tolerance >= 0.0 && self.tolerance.is_finite()) {
            return refuse("tolerance", self.tolerance, "a number of nats an image, 0 or more");
        }
        if !(0.0..1.0).contains(&self.shrinkage) {
            return refuse("shrinkage", self.shrinkage, "a share from 0 to below 1");
        }
        Ok(())
    }
}

/// Where the fit stands.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Iteration {
    /// 0 before the first.
    pub number: usize,
    /// log p of all training rows, in nats.
    pub log_likelihood: f64,
    /// What exact EM climbs: the log-likelihood, plus the log-prior of the shrinkage where there is any.
    pub objective: f64,
}

/// Sμ, Sε and their basis.
pub(super) fn fit(
    statistics: &Statistics,
    settings: &Settings,
    on_iteration: &mut dyn FnMut(&Iteration),
) -> Result<(Matrix, Matrix, Basis), Error> {
    let shrinkage = Shrinkage::of(statistics, settings.shrinkage);
    let basis_of = |s_mu: &Matrix, s_eps: &Matrix| {
        Basis::of(s_mu, s_eps).map_err(|Singular { at }| Error::Singular {
            at: at + 1,
            dimension: statistics.dimension(),
            images: statistics.images,
            people: statistics.people,
            shrinkage: settings.shrinkage,
        })
    };
    let (mut s_mu, mut s_eps) = start(statistics, &shrinkage);
    let mut basis = basis_of(&s_mu, &s_eps)?;
    let mut expectation = Expectation::of(statistics, &basis);
    let mut objective = expectation.log_likelihood + shrinkage.log_prior(&basis);
    on_iteration(&Iteration { number: 0, log_likelihood: expectation.log_likelihood, objective });
    for number in 1..=settings.iterations {
        (s_mu, s_eps) = expectation.maximised(statistics, &basis, settings.em);
        s_eps = shrinkage.applied(s_eps);
        basis = basis_of(&s_mu, &s_eps)?;
        expectation = Expectation::of(statistics, &basis);
        let before = std::mem::replace(&mut objective, expectation.log_likelihood + shrinkage.log_prior(&basis));
        on_iteration(&Iteration { number, log_likelihood: expectation.log_likelihood, objective });
        if (objective - before).abs() <= settings.tolerance * statistics.images as f64 {
            break;
        }
    }
    Ok((s_mu, s_eps, basis))
}

/// The pooled covariance within people, and that of people's means. EM never leaves the directions
/// that Sμ spans, and the means of few people span few: a hundredth of a sphere opens the others.
fn start(statistics: &Statistics, shrinkage: &Shrinkage) -> (Matrix, Matrix) {
    let dimension = statistics.dimension();
    let s_eps = &statistics.within / (statistics.images - statistics.people) as f64;
    let mut s_mu = Matrix::zeros(dimension, dimension);
    for Group { images_each, sums, .. } in &statistics.groups {
        s_mu += sums / ((images_each * images_each * statistics.people) as f64);
    }
    let opening = 0.01 * s_mu.trace() / dimension as f64;
    (s_mu + Matrix::identity(dimension, dimension) * opening, shrinkage.applied(s_eps))
}

struct Shrinkage {
    share: f64,
    /// τ.
    scale: f64,
    /// ν.
    weight: f64,
}

impl Shrinkage {
    fn of(statistics: &Statistics, share: f64) -> Self {
        let differences = statistics.dimension() * (statistics.images - statistics.people);
        let scale = statistics.within.trace() / differences as f64;
        Self { share, scale, weight: statistics.images as f64 * share / (1.0 - share) }
    }

    fn applied(&self, mut s_eps: Matrix) -> Matrix {
        s_eps *= 1.0 - self.share;
        for i in 0..s_eps.nrows() {
            s_eps[(i, i)] += self.share * self.scale;
        }
        s_eps
    }

    fn log_prior(&self, basis: &Basis) -> f64 {
        if self.weight == 0.0 {
            return 0.0;
        }
        -0.5 * self.weight * (basis.log_determinant() + self.scale * basis.inverse_trace())
    }
}

/// The statistics in the basis of the model's covariances, and how likely the rows are there.
pub(super) struct Expectation {
    within: Matrix,
    /// T·Q_m·Tᵀ, group by group.
    sums: Vec<Matrix>,
    /// Of all rows, in nats.
    pub log_likelihood: f64,
}

impl Expectation {
    /// A person's images, turned so that the first is their mean times √m, are independent: that one
    /// is N(0, Sε + m·Sμ), the other m − 1 are N(0, Sε). In the basis the variances are 1 + mλ and 1.
    pub(super) fn of(statistics: &Statistics, basis: &Basis) -> Self {
        let within = basis.transformed(&statistics.within);
        let sums: Vec<Matrix> = statistics.groups.par_iter().map(|group| basis.transformed(&group.sums)).collect();
        let mut squares = within.trace();
        let mut determinants = statistics.images as f64 * basis.log_determinant();
        for (group, sums) in statistics.groups.iter().zip(&sums) {
            let m = group.images_each as f64;
            for (lambda, sum) in basis.lambda().iter().zip(sums.diagonal().iter()) {
                squares += sum / (m * (1.0 + m * lambda));
                determinants += group.people as f64 * (m * lambda).ln_1p();
            }
        }
        let values = (statistics.images * statistics.dimension()) as f64;
        Self { within, sums, log_likelihood: -0.5 * (values * TAU.ln() + determinants + squares) }
    }

    /// The M-step: Sμ and Sε without shrinkage.
    fn maximised(&self, statistics: &Statistics, basis: &Basis, em: Em) -> (Matrix, Matrix) {
        let dimension = statistics.dimension();
        let (mut s_mu, mut s_eps) = (Matrix::zeros(dimension, dimension), self.within.clone());
        for (group, sums) in statistics.groups.iter().zip(&self.sums) {
            let (m, people) = (group.images_each as f64, group.people as f64);
            let variance: Vec<f64> = basis.lambda().iter().map(|lambda| lambda / (1.0 + m * lambda)).collect();
            let rest: Vec<f64> = basis.lambda().iter().map(|lambda| 1.0 / (1.0 + m * lambda)).collect();
            for column in 0..dimension {
                for row in 0..dimension {
                    let sum = sums[(row, column)];
                    s_mu[(row, column)] += variance[row] * variance[column] * sum;
                    s_eps[(row, column)] += rest[row] * rest[column] / m * sum;
                }
                if em == Em::Exact {
                    s_mu[(column, column)] += people * variance[column];
                    s_eps[(column, column)] += people * m * variance[column];
                }
            }
        }
        s_mu /= statistics.people as f64;
        s_eps /= statistics.images as f64;
        (basis.transformed_back(&s_mu), basis.transformed_back(&s_eps))
    }
}
