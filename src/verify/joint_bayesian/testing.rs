//! Faces drawn from known covariances, and Joint Bayesian written out without any basis.

use crate::verify::linear_algebra::Matrix;
use nalgebra::DVector;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::f64::consts::TAU;

pub fn normal(rng: &mut ChaCha8Rng) -> f64 {
    // Box–Muller; 1 − u is never 0.
    let (u, v): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (TAU * v).cos()
}

/// A random covariance with eigenvalues of about `scale`.
pub fn covariance(dimension: usize, scale: f64, rng: &mut ChaCha8Rng) -> Matrix {
    let root = Matrix::from_fn(dimension, dimension, |_, _| normal(rng)) * (scale / dimension as f64).sqrt();
    &root * root.transpose() + Matrix::identity(dimension, dimension) * (0.1 * scale)
}

/// Rows of people with `counts[i]` images each, and their labels, off the origin.
pub struct Faces {
    pub rows: Vec<f32>,
    pub labels: Vec<u32>,
    pub dimension: usize,
}

pub fn faces(s_mu: &Matrix, s_eps: &Matrix, counts: &[usize], seed: u64) -> Faces {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let dimension = s_mu.nrows();
    let (mu_root, eps_root) = [s_mu, s_eps].map(|s| s.clone().cholesky().unwrap().unpack()).into();
    let mut draw = |root: &Matrix| root * DVector::from_fn(dimension, |_, _| normal(&mut rng));
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    for (person, &count) in counts.iter().enumerate() {
        let mu = draw(&mu_root);
        for _ in 0..count {
            rows.extend((&mu + draw(&eps_root)).iter().map(|value| (value + 0.5) as f32));
            // Labels need not be consecutive.
            labels.push(7 * person as u32 + 3);
        }
    }
    Faces { rows, labels, dimension }
}

/// Faces of a random problem: covariances, numbers of images and all from `seed`.
pub fn random_faces(people: usize, most_images: usize, dimension: usize, seed: u64) -> Faces {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (s_mu, s_eps) = (covariance(dimension, 1.0, &mut rng), covariance(dimension, 1.0, &mut rng));
    let counts: Vec<usize> = (0..people).map(|_| rng.random_range(1..=most_images)).collect();
    faces(&s_mu, &s_eps, &counts, seed)
}

/// log N(x; 0, covariance), by the book.
pub fn log_gaussian(x: &DVector<f64>, covariance: &Matrix) -> f64 {
    let cholesky = covariance.clone().cholesky().unwrap();
    let log_determinant = 2.0 * cholesky.l_dirty().diagonal().iter().map(|value| value.ln()).sum::<f64>();
    -0.5 * (x.len() as f64 * TAU.ln() + log_determinant + x.dot(&cholesky.solve(x)))
}

/// The covariance of a person's m stacked images: Sμ everywhere, and Sε on the diagonal.
pub fn stacked_covariance(s_mu: &Matrix, s_eps: &Matrix, images: usize) -> Matrix {
    let all = Matrix::from_element(images, images, 1.0);
    all.kronecker(s_mu) + Matrix::identity(images, images).kronecker(s_eps)
}

/// Images of each person less `mean`, as columns.
pub fn people(faces: &Faces, mean: &[f64]) -> Vec<Matrix> {
    let mut images: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for (row, &label) in faces.rows.chunks_exact(faces.dimension).zip(&faces.labels) {
        images.entry(label).or_default().extend(row.iter().zip(mean).map(|(&x, m)| f64::from(x) - m));
    }
    let matrix = |values: &Vec<f64>| Matrix::from_column_slice(faces.dimension, values.len() / faces.dimension, values);
    images.values().map(matrix).collect()
}

/// log p of all images, person by person.
pub fn log_likelihood(people: &[Matrix], s_mu: &Matrix, s_eps: &Matrix) -> f64 {
    let person = |images: &Matrix| {
        let stacked = DVector::from_column_slice(images.as_slice());
        log_gaussian(&stacked, &stacked_covariance(s_mu, s_eps, images.ncols()))
    };
    people.iter().map(person).sum()
}

/// One iteration of exact EM, or of the approximation, as PAPER §5 writes it.
pub fn em_by_the_book(people: &[Matrix], s_mu: &Matrix, s_eps: &Matrix, exact: bool) -> (Matrix, Matrix) {
    let dimension = s_mu.nrows();
    let inverse = |matrix: &Matrix| matrix.clone().try_inverse().unwrap();
    let (mut new_mu, mut new_eps) = (Matrix::zeros(dimension, dimension), Matrix::zeros(dimension, dimension));
    let mut count = 0.0;
    for images in people {
        let m = images.ncols() as f64;
        let v = inverse(&(inverse(s_mu) + inverse(s_eps) * m));
        let mu = &v * inverse(s_eps) * images.column_sum();
        new_mu += &mu * mu.transpose();
        for image in images.column_iter() {
            let rest = image - &mu;
            new_eps += &rest * rest.transpose();
        }
        if exact {
            new_mu += &v;
            new_eps += v * m;
        }
        count += m;
    }
    (new_mu / people.len() as f64, new_eps / count)
}
