//! The basis in which Sε is the identity and Sμ diagonal, z = T(x − mean).
//!
//! With Sε = LLᵀ and L⁻¹SμL⁻ᵀ = UΛUᵀ it is T = UᵀL⁻¹. Every matrix of the model, whatever the number
//! of images m, is then diagonal: (Sμ⁻¹ + m·Sε⁻¹)⁻¹ becomes λ/(1 + mλ), and no Sμ⁻¹ is needed, so
//! that Sμ may be of lower rank.

use crate::verify::linear_algebra::{Matrix, eigen, product, symmetrised};

#[derive(Debug, Clone, PartialEq)]
pub struct Basis {
    /// T, dimension × dimension.
    transform: Matrix,
    /// T⁻¹ = LU.
    inverse: Matrix,
    lambda: Vec<f64>,
    log_determinant: f64,
}

/// Sε is singular, as far as f64 can tell, at this dimension.
#[derive(Debug)]
pub struct Singular {
    pub at: usize,
}

/// The share of a dimension's variance that the dimensions before it must leave unexplained. Rows
/// are f32, whose rounding leaves 1e-14 of what is exactly dependent.
const INDEPENDENT: f64 = 1e-12;

impl Basis {
    /// # Errors
    /// An `s_eps` that is not positive definite, whatever the scale of its dimensions.
    pub fn of(s_mu: &Matrix, s_eps: &Matrix) -> Result<Self, Singular> {
        let lower = cholesky(s_eps)?;
        let solved = |right: &Matrix| lower.solve_lower_triangular(right).expect("the diagonal is positive");
        let whitened = symmetrised(solved(&solved(s_mu).transpose()));
        let found = eigen(whitened);
        let transposed = lower.tr_solve_lower_triangular(&found.vectors).expect("the diagonal is positive");
        Ok(Self {
            transform: transposed.transpose(),
            inverse: product(&lower, &found.vectors),
            // Rounding makes eigenvalues of a matrix of lower rank slightly negative.
            lambda: found.values.iter().map(|value| value.max(0.0)).collect(),
            log_determinant: 2.0 * lower.diagonal().iter().map(|value| value.ln()).sum::<f64>(),
        })
    }

    /// T.
    pub fn transform(&self) -> &Matrix {
        &self.transform
    }

    /// The diagonal of Sμ in this basis, descending.
    pub fn lambda(&self) -> &[f64] {
        &self.lambda
    }

    /// log|Sε|.
    pub fn log_determinant(&self) -> f64 {
        self.log_determinant
    }

    /// tr(Sε⁻¹) = ‖T‖².
    pub fn inverse_trace(&self) -> f64 {
        self.transform.norm_squared()
    }

    /// T·scatter·Tᵀ: a sum of squares in this basis.
    pub fn transformed(&self, scatter: &Matrix) -> Matrix {
        symmetrised(&self.transform * scatter * self.transform.transpose())
    }

    /// T⁻¹·covariance·T⁻ᵀ: back from this basis.
    pub fn transformed_back(&self, covariance: &Matrix) -> Matrix {
        symmetrised(product(&product(&self.inverse, covariance), &self.inverse.transpose()))
    }
}

/// L with LLᵀ = `matrix`.
fn cholesky(matrix: &Matrix) -> Result<Matrix, Singular> {
    let independent = |lower: &Matrix, at: usize| lower[(at, at)].powi(2) > INDEPENDENT * matrix[(at, at)];
    match matrix.clone().cholesky() {
        Some(found) => {
            let lower = found.unpack();
            match (0..lower.nrows()).find(|&at| !independent(&lower, at)) {
                Some(at) => Err(Singular { at }),
                None => Ok(lower),
            }
        }
        None => {
            // The first leading block that is not positive definite, found by halving.
            let (mut sound, mut broken) = (0, matrix.nrows());
            while broken - sound > 1 {
                let middle = sound.midpoint(broken);
                match matrix.view((0, 0), (middle, middle)).into_owned().cholesky() {
                    Some(_) => sound = middle,
                    None => broken = middle,
                }
            }
            Err(Singular { at: sound })
        }
    }
}
