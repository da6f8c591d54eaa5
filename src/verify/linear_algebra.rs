//! Matrix products and eigenvectors for PCA and Joint Bayesian: nalgebra's, split over rayon.
//!
//! How the work is split depends on the matrices' sizes alone, and sums are added in one order, so
//! that results are the same to the last bit whatever the number of threads.

use nalgebra::{DMatrix, DMatrixViewMut, DVector, SymmetricEigen};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

pub(crate) type Matrix = DMatrix<f64>;

/// Rows or columns of a result that one task computes. Fewer than 64, and matrixmultiply would pack
/// the other operand into its blocks for longer than it multiplies.
fn task_size(size: usize) -> usize {
    size.div_ceil(8).clamp(64, 256)
}

/// a · b.
pub(crate) fn product(a: &Matrix, b: &Matrix) -> Matrix {
    let (rows, columns) = (a.nrows(), b.ncols());
    let mut out = Matrix::zeros(rows, columns);
    if rows == 0 || columns == 0 {
        return out;
    }
    if columns > rows {
        let width = task_size(columns);
        out.as_mut_slice().par_chunks_mut(width * rows).enumerate().for_each(|(task, values)| {
            let taken = values.len() / rows;
            DMatrixViewMut::from_slice(values, rows, taken).gemm(1.0, a, &b.columns(task * width, taken), 0.0);
        });
    } else {
        let height = task_size(rows);
        let starts: Vec<usize> = (0..rows).step_by(height).collect();
        let blocks: Vec<Matrix> = starts.par_iter().map(|&start| a.rows(start, height.min(rows - start)) * b).collect();
        for (&start, block) in starts.iter().zip(&blocks) {
            out.rows_mut(start, block.nrows()).copy_from(block);
        }
    }
    out
}

/// aᵀ · b. nalgebra multiplies by a transpose in place with dot products, which is many times
/// slower than a transposed copy and a blocked product.
pub(crate) fn transpose_product(a: &Matrix, b: &Matrix) -> Matrix {
    product(&a.transpose(), b)
}

/// Σ over batches of x·xᵀ, where each batch is given as its transpose xᵀ (terms × order).
///
/// Only blocks on and above the diagonal are computed; [`SelfProduct::finish`] mirrors them.
pub(crate) struct SelfProduct(Matrix);

impl SelfProduct {
    pub(crate) fn new(order: usize) -> Self {
        Self(Matrix::zeros(order, order))
    }

    /// Adds x·xᵀ for `transposed` = xᵀ.
    pub(crate) fn add(&mut self, transposed: &Matrix) {
        let order = self.0.nrows();
        if order == 0 {
            return;
        }
        let (x, width) = (transposed.transpose(), task_size(order));
        self.0.as_mut_slice().par_chunks_mut(width * order).enumerate().for_each(|(task, values)| {
            let (start, taken) = (task * width, values.len() / order);
            let mut block = DMatrixViewMut::from_slice(values, order, taken);
            block.rows_mut(0, start + taken).gemm(
                1.0,
                &x.rows(0, start + taken),
                &transposed.columns(start, taken),
                1.0,
            );
        });
    }

    pub(crate) fn finish(mut self) -> Matrix {
        mirror(&mut self.0);
        self.0
    }
}

/// Copies what lies above the diagonal below it.
fn mirror(matrix: &mut Matrix) {
    for column in 0..matrix.ncols() {
        for row in 0..column {
            matrix[(column, row)] = matrix[(row, column)];
        }
    }
}

/// (a + aᵀ)/2: what rounding made of a symmetric matrix.
pub(crate) fn symmetrised(mut matrix: Matrix) -> Matrix {
    for column in 0..matrix.ncols() {
        for row in 0..column {
            let mean = 0.5 * (matrix[(row, column)] + matrix[(column, row)]);
            matrix[(row, column)] = mean;
            matrix[(column, row)] = mean;
        }
    }
    matrix
}

/// The eigenvalues of a symmetric matrix, descending, and the eigenvectors as columns.
pub(crate) struct Eigen {
    pub values: DVector<f64>,
    pub vectors: Matrix,
}

/// All eigenpairs of the symmetric matrix `a`, whose values must be finite.
pub(crate) fn eigen(a: Matrix) -> Eigen {
    let SymmetricEigen { eigenvalues, eigenvectors } = SymmetricEigen::new(a);
    let mut order: Vec<usize> = (0..eigenvalues.len()).collect();
    order.sort_by(|&i, &j| eigenvalues[j].total_cmp(&eigenvalues[i]));
    Eigen { values: eigenvalues.select_rows(&order), vectors: eigenvectors.select_columns(&order) }
}

/// Up to this order all eigenpairs are computed, although few are wanted: it takes a second.
const DENSE_ORDER: usize = 512;
/// Vectors by which the Krylov basis grows at once.
const BLOCK: usize = 64;
/// A pair has converged when ‖Av − θv‖ is at most this share of the largest eigenvalue.
const RESIDUAL: f64 = 1e-9;
/// Restarts after which all eigenpairs are computed instead: slow, and certain.
const RESTARTS: usize = 100;

/// The `wanted` largest eigenpairs of the symmetric positive semi-definite matrix `a`, whose values
/// must be finite.
///
/// Large matrices go through a block Lanczos method with thick restarts (Wu and Simon, SIAM J. Matrix
/// Anal. Appl. 22(2), 2000; Krylov–Schur of a symmetric matrix) and full reorthogonalisation: almost
/// all of it is products of large matrices, where reduction to tridiagonal form is bound by memory
/// and nalgebra's takes minutes at order 4,000. The starting vectors are random under a fixed seed.
pub(crate) fn leading_eigenpairs(a: &Matrix, wanted: usize) -> Eigen {
    let order = a.nrows();
    if order > DENSE_ORDER
        && 4 * wanted + 4 * BLOCK < order
        && let Some(found) = restarted_lanczos(a, wanted)
    {
        return found;
    }
    let Eigen { values, vectors } = eigen(a.clone());
    Eigen { values: values.rows(0, wanted).into_owned(), vectors: vectors.columns(0, wanted).into_owned() }
}

fn restarted_lanczos(a: &Matrix, wanted: usize) -> Option<Eigen> {
    let order = a.nrows();
    let (kept, largest) = (wanted + BLOCK, 2 * wanted + 4 * BLOCK);
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut random = || Matrix::from_fn(order, BLOCK, |_, _| rng.random_range(-1.0..1.0));
    // `basis` has orthonormal columns, `image` is a·basis, `projected` is basisᵀ·a·basis.
    let mut basis = Matrix::zeros(order, 0);
    let (mut image, mut projected) = (basis.clone(), Matrix::zeros(0, 0));
    let mut block = random();
    for _ in 0..RESTARTS {
        while basis.ncols() < largest {
            let next = orthonormalised(block, &basis, &mut random);
            let next_image = product(a, &next);
            let old = basis.ncols();
            basis = beside(&basis, &next);
            let coupling = transpose_product(&basis, &next_image);
            projected = projected.resize(old + BLOCK, old + BLOCK, 0.0);
            projected.columns_mut(old, BLOCK).copy_from(&coupling);
            mirror(&mut projected);
            image = beside(&image, &next_image);
            block = next_image;
        }
        let Eigen { values, vectors } = eigen(projected);
        let chosen = vectors.columns(0, kept).into_owned();
        block = orthonormalised(block, &basis, &mut random);
        basis = product(&basis, &chosen);
        image = product(&image, &chosen);
        let residual =
            (0..wanted).map(|i| (image.column(i) - basis.column(i) * values[i]).norm()).fold(0.0f64, f64::max);
        if residual <= RESIDUAL * values[0] {
            let vectors = basis.columns(0, wanted).into_owned();
            return Some(Eigen { values: values.rows(0, wanted).into_owned(), vectors });
        }
        projected = Matrix::from_diagonal(&values.rows(0, kept).into_owned());
    }
    None
}

fn beside(left: &Matrix, right: &Matrix) -> Matrix {
    let values = left.as_slice().iter().chain(right.as_slice()).copied().collect();
    Matrix::from_vec(left.nrows(), left.ncols() + right.ncols(), values)
}

/// `block` made orthonormal and orthogonal to `basis`. Where the block lies (almost) in the span of
/// the basis, as when the Krylov space is exhausted, random directions take its place.
fn orthonormalised(block: Matrix, basis: &Matrix, random: &mut impl FnMut() -> Matrix) -> Matrix {
    const NEGLIGIBLE: f64 = 1e-8;
    let transposed = basis.transpose();
    let mut block = block;
    loop {
        let before: Vec<f64> = block.column_iter().map(|column| column.norm()).collect();
        let scale = before.iter().fold(0.0f64, |a, &b| a.max(b));
        // Twice is enough (Kahan; Parlett, The Symmetric Eigenvalue Problem, §6.9).
        for _ in 0..2 {
            if basis.ncols() > 0 {
                block -= product(basis, &product(&transposed, &block));
            }
        }
        let qr = block.qr();
        let r = qr.r();
        let mut q = qr.q();
        let lost: Vec<usize> = (0..q.ncols()).filter(|&i| r[(i, i)].abs() <= NEGLIGIBLE * scale).collect();
        if lost.is_empty() {
            // What was small before the division by its norm is orthogonal to the basis to as many digits fewer.
            let weakest = (0..q.ncols()).map(|i| r[(i, i)].abs()).fold(f64::INFINITY, f64::min);
            if weakest > 0.1 * scale {
                return q;
            }
            block = q;
            continue;
        }
        let fresh = random();
        for column in lost {
            q.set_column(column, &fresh.column(column).normalize());
        }
        block = q;
    }
}
