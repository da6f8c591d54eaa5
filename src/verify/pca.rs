//! Principal component analysis: DeepID2 §3.3 reduces the 4,000 values of 25 vectors to 180.
//!
//! The components are the leading eigenvectors of the covariance, dimension × dimension, or, where
//! there are fewer rows than dimensions, come from those of the rows' Gram matrix, which has the
//! same eigenvalues other than 0 (Turk and Pentland, 1991). Everything is computed in f64.

use super::linear_algebra::{Matrix, SelfProduct, leading_eigenpairs, product};
use super::matrices::{self, NamedMatrix, find};
use rayon::prelude::*;

/// Why there are no principal components.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{values} values are not a whole number of rows of dimension {dimension}")]
    Rows { values: usize, dimension: usize },
    #[error("row {row} holds {value}; expected finite numbers: the embeddings have diverged")]
    NotFinite { row: usize, value: f32 },
    #[error("{components} PCA dimensions of vectors of dimension {dimension}; ask for 1 to {dimension}")]
    Components { components: usize, dimension: usize },
    #[error(
        "{images} images for {components} PCA dimensions; {images} images span at most {} around their mean: add images, or ask for fewer dimensions",
        images.saturating_sub(1)
    )]
    TooFewImages { images: usize, components: usize },
    #[error(
        "the vectors of the {images} images vary in {rank} directions only, but {components} PCA dimensions are asked for; ask for at most {rank}, or add different images"
    )]
    Rank { images: usize, rank: usize, components: usize },
    #[error(transparent)]
    Matrices(#[from] matrices::Error),
}

/// An eigenvalue below this share of the largest is rounding, not variance: rows are f32, whose
/// rounding alone makes variances of 1e-15 of the values' squares.
const NEGLIGIBLE: f64 = 1e-13;
/// Rows converted to f64 at a time.
const CHUNK: usize = 1024;

/// A fitted projection y = Wᵀ(x − mean) with orthonormal columns of W.
#[derive(Debug, Clone, PartialEq)]
pub struct Pca {
    mean: Vec<f64>,
    /// dimension × components.
    components: Matrix,
    eigenvalues: Vec<f64>,
    total_variance: f64,
}

impl Pca {
    /// Finds the `components` directions of largest variance of `rows` (rows × `dimension`). In each
    /// direction, the largest entry by magnitude is positive.
    ///
    /// # Errors
    /// Values that are not whole rows or not finite, and more components than the dimension, the
    /// number of images less one, or the directions in which they vary.
    pub fn fit(rows: &[f32], dimension: usize, components: usize) -> Result<Self, Error> {
        let images = check(rows, dimension)?;
        if components == 0 || components > dimension {
            return Err(Error::Components { components, dimension });
        }
        if images <= components {
            return Err(Error::TooFewImages { images, components });
        }
        let mean = mean(rows, dimension);
        let few_rows = images < dimension;
        let mut scatter = if few_rows { gram(rows, &mean) } else { scatter(rows, &mean) };
        scatter /= (images - 1) as f64;
        let total_variance = scatter.trace();
        let found = leading_eigenpairs(&scatter, components);
        drop(scatter);
        let rank = found.values.iter().take_while(|&&value| value > NEGLIGIBLE * found.values[0].max(0.0)).count();
        if rank < components {
            return Err(Error::Rank { images, rank, components });
        }
        let mut directions = if few_rows { from_gram(rows, &mean, &found.vectors) } else { found.vectors };
        fix_signs(&mut directions);
        Ok(Self { mean, components: directions, eigenvalues: found.values.as_slice().to_vec(), total_variance })
    }

    /// As [`Self::fit`], with at most `most` components: fewer where the rows vary in fewer directions, as those of units
    /// that a ReLU never lets through do not. `None` where they do not vary at all.
    ///
    /// # Errors
    /// Values that are not whole rows or not finite.
    pub fn fit_at_most(rows: &[f32], dimension: usize, most: usize) -> Result<Option<Self>, Error> {
        let images = check(rows, dimension)?;
        let wanted = most.min(dimension).min(images.saturating_sub(1)).max(1);
        match Self::fit(rows, dimension, wanted) {
            Err(Error::Rank { rank: 0, .. }) => Ok(None),
            Err(Error::Rank { rank, .. }) => Self::fit(rows, dimension, rank).map(Some),
            fitted => fitted.map(Some),
        }
    }

    /// Values of a row before projection.
    pub fn dimension(&self) -> usize {
        self.mean.len()
    }

    /// Values of a row after projection.
    pub fn components(&self) -> usize {
        self.eigenvalues.len()
    }

    /// The mean of the rows it was fitted on.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Direction number `component`, of length 1.
    pub fn direction(&self, component: usize) -> &[f64] {
        let dimension = self.dimension();
        &self.components.as_slice()[component * dimension..][..dimension]
    }

    /// The variance along each direction, descending; of the sample, over images − 1.
    pub fn eigenvalues(&self) -> &[f64] {
        &self.eigenvalues
    }

    /// The share of all variance that each direction has.
    pub fn explained_variance(&self) -> Vec<f64> {
        self.eigenvalues.iter().map(|value| value / self.total_variance).collect()
    }

    /// Projects `rows` (rows × dimension) to rows × components, computing in f64.
    ///
    /// # Errors
    /// Values that are not whole rows or not finite.
    pub fn project(&self, rows: &[f32]) -> Result<Vec<f32>, Error> {
        check(rows, self.dimension())?;
        let (dimension, components) = (self.dimension(), self.components());
        let transposed = self.components.transpose();
        let project = |chunk: &[f32]| -> Vec<f32> {
            let projected = &transposed * centred(chunk, &self.mean);
            projected.iter().map(|&value| value as f32).collect()
        };
        let chunks: Vec<Vec<f32>> = rows.par_chunks(dimension * CHUNK / 4).map(project).collect();
        let mut out = Vec::with_capacity(rows.len() / dimension * components);
        chunks.iter().for_each(|chunk| out.extend_from_slice(chunk));
        Ok(out)
    }

    /// Everything that [`Pca::from_matrices`] needs.
    pub fn to_matrices(&self) -> Vec<NamedMatrix> {
        let row = |name, values: Vec<f64>| NamedMatrix { name, rows: 1, columns: values.len(), values };
        vec![
            row("pca.mean", self.mean.clone()),
            // A direction a row; column-major storage of directions in columns is just that.
            NamedMatrix {
                name: "pca.directions",
                rows: self.components(),
                columns: self.dimension(),
                values: self.components.as_slice().to_vec(),
            },
            row("pca.eigenvalues", self.eigenvalues.clone()),
            row("pca.total_variance", vec![self.total_variance]),
        ]
    }

    /// The projection that [`Pca::to_matrices`] described, to the last bit.
    ///
    /// # Errors
    /// Matrices that are missing, of shapes that do not fit each other, or not finite.
    pub fn from_matrices(matrices: &[NamedMatrix]) -> Result<Self, Error> {
        let directions = find(matrices, "pca.directions", None, None)?;
        let (components, dimension) = (directions.rows, directions.columns);
        Ok(Self {
            mean: find(matrices, "pca.mean", Some(1), Some(dimension))?.values.clone(),
            components: Matrix::from_column_slice(dimension, components, &directions.values),
            eigenvalues: find(matrices, "pca.eigenvalues", Some(1), Some(components))?.values.clone(),
            total_variance: find(matrices, "pca.total_variance", Some(1), Some(1))?.values[0],
        })
    }
}

/// The number of rows.
fn check(rows: &[f32], dimension: usize) -> Result<usize, Error> {
    if dimension == 0 || !rows.len().is_multiple_of(dimension) {
        return Err(Error::Rows { values: rows.len(), dimension });
    }
    match rows.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(Error::NotFinite { row: at / dimension, value: rows[at] }),
        None => Ok(rows.len() / dimension),
    }
}

/// The mean row.
pub(super) fn mean(rows: &[f32], dimension: usize) -> Vec<f64> {
    let mut sums = vec![0.0; dimension];
    for row in rows.chunks_exact(dimension) {
        sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    let count = (rows.len() / dimension) as f64;
    sums.iter_mut().for_each(|sum| *sum /= count);
    sums
}

/// Rows less the mean, as columns.
pub(super) fn centred(rows: &[f32], mean: &[f64]) -> Matrix {
    let dimension = mean.len();
    let values = rows.chunks_exact(dimension).flat_map(|row| row.iter().zip(mean).map(|(&x, m)| f64::from(x) - m));
    Matrix::from_iterator(dimension, rows.len() / dimension, values)
}

/// Σ (x − mean)(x − mean)ᵀ, dimension × dimension.
pub(super) fn scatter(rows: &[f32], mean: &[f64]) -> Matrix {
    let mut sum = SelfProduct::new(mean.len());
    for chunk in rows.chunks(mean.len() * CHUNK) {
        sum.add(&centred(chunk, mean).transpose());
    }
    sum.finish()
}

/// (xᵢ − mean)·(xⱼ − mean), images × images.
fn gram(rows: &[f32], mean: &[f64]) -> Matrix {
    let (dimension, images) = (mean.len(), rows.len() / mean.len());
    let mut sum = SelfProduct::new(images);
    for start in (0..dimension).step_by(CHUNK) {
        let taken = CHUNK.min(dimension - start);
        let value = |i: usize, image: usize| f64::from(rows[image * dimension + start + i]) - mean[start + i];
        sum.add(&Matrix::from_fn(taken, images, value));
    }
    sum.finish()
}

/// The eigenvectors of the covariance, X·u made orthonormal, from those of the Gram matrix, u. They
/// are orthogonal already but for rounding, which the small eigenvalues magnify.
fn from_gram(rows: &[f32], mean: &[f64], vectors: &Matrix) -> Matrix {
    let dimension = mean.len();
    let mut directions = Matrix::zeros(dimension, vectors.ncols());
    for (at, chunk) in rows.chunks(dimension * CHUNK).enumerate() {
        let part = vectors.rows(at * CHUNK, chunk.len() / dimension).into_owned();
        directions += product(&centred(chunk, mean), &part);
    }
    directions.qr().q()
}

fn fix_signs(directions: &mut Matrix) {
    for mut column in directions.column_iter_mut() {
        let largest =
            column.iter().fold(0.0f64, |largest, &value| if value.abs() > largest.abs() { value } else { largest });
        if largest < 0.0 {
            column.neg_mut();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Rows whose variance falls from dimension to dimension, off the origin, in turned axes.
    fn rows(images: usize, dimension: usize, decay: f64, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let axes = Matrix::from_fn(dimension, dimension, |_, _| rng.random_range(-1.0..1.0)).qr().q();
        let latent = Matrix::from_fn(dimension, images, |i, _| decay.powi(i as i32) * rng.random_range(-1.0..1.0));
        (axes * latent).iter().enumerate().map(|(i, value)| (value + 0.3 * (i % dimension) as f64) as f32).collect()
    }

    /// Singular values and right singular vectors of the centred rows, by nalgebra.
    fn svd(rows: &[f32], dimension: usize) -> (Vec<f64>, Matrix) {
        let svd = centred(rows, &mean(rows, dimension)).svd(true, false);
        (svd.singular_values.iter().copied().collect(), svd.u.unwrap())
    }

    fn agrees_with_svd(rows: &[f32], dimension: usize, components: usize, tolerance: f64) {
        let pca = Pca::fit(rows, dimension, components).unwrap();
        let (singular, axes) = svd(rows, dimension);
        let images = rows.len() / dimension;
        for (component, value) in singular.iter().enumerate().take(components) {
            let variance = value.powi(2) / (images - 1) as f64;
            approx::assert_relative_eq!(pca.eigenvalues()[component], variance, max_relative = tolerance);
            let cosine: f64 =
                pca.direction(component).iter().zip(axes.column(component).iter()).map(|(a, b)| a * b).sum();
            approx::assert_abs_diff_eq!(cosine.abs(), 1.0, epsilon = tolerance);
        }
        let gram = pca.components.transpose() * &pca.components;
        approx::assert_abs_diff_eq!(gram, Matrix::identity(components, components), epsilon = 1e-12);
        let total: f64 = singular.iter().map(|value| value.powi(2) / (images - 1) as f64).sum();
        approx::assert_relative_eq!(pca.explained_variance()[0], pca.eigenvalues()[0] / total, max_relative = 1e-9);
    }

    #[test]
    fn both_routes_agree_with_the_svd() {
        agrees_with_svd(&rows(60, 12, 0.8, 1), 12, 12, 1e-9);
        agrees_with_svd(&rows(20, 50, 0.9, 2), 50, 19, 1e-7);
        agrees_with_svd(&rows(30, 30, 0.9, 3), 30, 29, 1e-7);
    }

    #[test]
    fn large_matrices_agree_with_the_svd() {
        agrees_with_svd(&rows(700, 560, 0.99, 4), 560, 20, 1e-6);
        agrees_with_svd(&rows(560, 700, 0.99, 5), 700, 20, 1e-6);
    }

    #[test]
    fn equal_eigenvalues_of_a_large_matrix_are_all_found() {
        // Every axis twice, with either sign: the covariance is a multiple of the identity, on
        // which a Krylov space never grows.
        let dimension = 600;
        let mut rows = vec![0.0f32; 2 * dimension * dimension];
        for axis in 0..dimension {
            rows[2 * axis * dimension + axis] = 1.0;
            rows[(2 * axis + 1) * dimension + axis] = -1.0;
        }
        let pca = Pca::fit(&rows, dimension, 10).unwrap();
        let variance = 2.0 / (2 * dimension - 1) as f64;
        for &value in pca.eigenvalues() {
            approx::assert_relative_eq!(value, variance, max_relative = 1e-9);
        }
        let gram = pca.components.transpose() * &pca.components;
        approx::assert_abs_diff_eq!(gram, Matrix::identity(10, 10), epsilon = 1e-12);
    }

    proptest! {
        #[test]
        fn projections_are_uncorrelated_with_variances_that_fall(
            images in 3usize..40, dimension in 1usize..20, seed: u64,
        ) {
            let rows = rows(images, dimension, 0.9, seed);
            let components = dimension.min(images - 1);
            let pca = Pca::fit(&rows, dimension, components).unwrap();
            let projected = pca.project(&rows).unwrap();
            let covariance = scatter(&projected, &mean(&projected, components)) / (images - 1) as f64;
            let expected = Matrix::from_diagonal(&pca.eigenvalues().to_vec().into());
            let scale = pca.eigenvalues()[0];
            prop_assert!((covariance - expected).amax() < 1e-5 * scale);
            prop_assert!(pca.eigenvalues().is_sorted_by(|a, b| a >= b));
            prop_assert!((pca.explained_variance().iter().sum::<f64>() - 1.0).abs() < 1e-9);
            for component in 0..components {
                let extreme = pca.direction(component).iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()));
                prop_assert!(extreme > Some(0.0));
            }
        }
    }

    #[test]
    fn a_projection_survives_its_matrices_and_the_number_of_threads() {
        let rows = rows(700, 600, 0.99, 6);
        let fit = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Pca::fit(&rows, 600, 12).unwrap())
        };
        let pca = fit(1);
        assert_eq!(pca, fit(3));
        let again = Pca::from_matrices(&pca.to_matrices()).unwrap();
        assert_eq!(again, pca);
        let mut damaged = pca.to_matrices();
        damaged[0].values.pop();
        assert!(Pca::from_matrices(&damaged).unwrap_err().to_string().contains("pca.mean"));
    }

    #[test]
    fn what_cannot_be_fitted_is_named() {
        let message =
            |rows: &[f32], dimension, components| Pca::fit(rows, dimension, components).unwrap_err().to_string();
        let some = rows(5, 8, 0.9, 7);
        let few = message(&some, 8, 6);
        assert!(few.contains("5 images for 6 PCA dimensions") && few.contains("at most 4"), "{few}");
        assert!(message(&some, 8, 9).contains("ask for 1 to 8"));
        assert!(message(&some, 8, 0).contains("ask for 1 to 8"));
        assert!(message(&some, 7, 2).contains("40 values are not a whole number of rows of dimension 7"));
        assert!(message(&[], 0, 1).contains("dimension 0"));
        assert!(message(&[], 3, 1).contains("0 images"));
        let mut broken = some.clone();
        broken[9] = f32::NAN;
        assert!(message(&broken, 8, 2).contains("row 1 holds NaN"));
        let twice = [some[..8].to_vec(), some[..16].to_vec(), some[..16].to_vec()].concat();
        let same = message(&twice, 8, 3);
        assert!(same.contains("5 images vary in 1 directions only") && same.contains("at most 1"), "{same}");
        assert!(message(&[1.0; 12], 3, 2).contains("vary in 0 directions"));
        assert!(Pca::fit(&some, 8, 2).unwrap().project(&some[..9]).is_err());
    }
}
