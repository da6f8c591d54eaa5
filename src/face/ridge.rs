//! Ridge regression by its normal equations. Rows come in blocks and are forgotten, so memory holds
//! the square of the features' number whatever the rows' number is.

use nalgebra::{DMatrix, Dyn};
use rayon::prelude::*;

/// Features of one tile of the Gram matrix.
const TILE: usize = 384;

/// XᵀX and XᵀY, where X has a column of ones in front.
///
/// The result does not depend on the number of threads: each tile of XᵀX is summed by one of them,
/// over the rows in their order.
pub struct NormalEquations {
    /// Features with the constant.
    columns: usize,
    outputs: usize,
    rows: usize,
    /// Tiles (i, j ≤ i) of the lower triangle, row by row.
    tiles: Vec<DMatrix<f64>>,
    right: DMatrix<f64>,
}

/// What a regression found: y ≈ weightsᵀ·x + bias.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// A row a feature.
    pub weights: Vec<f32>,
    pub bias: Vec<f32>,
}

impl NormalEquations {
    pub fn new(features: usize, outputs: usize) -> Self {
        let columns = features + 1;
        let tiles = tile_places(columns).map(|(i, j)| DMatrix::zeros(width(columns, i), width(columns, j))).collect();
        Self { columns, outputs, rows: 0, tiles, right: DMatrix::zeros(columns, outputs) }
    }

    /// Adds rows: `x` holds their features and `y` their outputs, row by row.
    ///
    /// # Panics
    /// When `x` and `y` are not whole rows of one number.
    pub fn add(&mut self, x: &[f32], y: &[f32]) {
        let rows = y.len() / self.outputs;
        assert_eq!((x.len(), y.len()), (rows * (self.columns - 1), rows * self.outputs), "whole rows");
        let across = DMatrix::from_fn(self.columns, rows, |column, row| match column {
            0 => 1.0,
            _ => x[row * (self.columns - 1) + column - 1],
        });
        let along = across.transpose();
        let columns = self.columns;
        let places: Vec<(usize, usize)> = tile_places(columns).collect();
        self.tiles.par_iter_mut().zip(places).for_each(|(tile, (i, j))| {
            let product: DMatrix<f32> =
                across.rows(i * TILE, width(columns, i)) * along.columns(j * TILE, width(columns, j));
            tile.zip_apply(&product, |sum, value| *sum += f64::from(value));
        });
        let targets = DMatrix::from_row_slice(rows, self.outputs, y);
        self.right.zip_apply(&(across * targets), |sum, value| *sum += f64::from(value));
        self.rows += rows;
    }

    /// Minimises the mean squared error plus `penalty` times the squared weights (the bias is free).
    ///
    /// Returns nothing where the equations are singular: only without a penalty, or with values that
    /// are not finite.
    pub fn solve(self, penalty: f64) -> Option<Solution> {
        let mut gram = DMatrix::zeros(self.columns, self.columns);
        for ((i, j), tile) in tile_places(self.columns).zip(&self.tiles) {
            gram.view_mut((i * TILE, j * TILE), tile.shape()).copy_from(tile);
        }
        for column in 1..self.columns {
            gram[(column, column)] += penalty * self.rows as f64;
        }
        let solution = nalgebra::linalg::Cholesky::<f64, Dyn>::new(gram)?.solve(&self.right);
        let row = |column: usize| solution.row(column).iter().map(|&value| value as f32).collect::<Vec<_>>();
        Some(Solution { weights: (1..self.columns).flat_map(row).collect(), bias: row(0) })
    }
}

fn tile_places(columns: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..columns.div_ceil(TILE)).flat_map(|i| (0..=i).map(move |j| (i, j)))
}

/// Features of the tiles in row `index`.
fn width(columns: usize, index: usize) -> usize {
    TILE.min(columns - index * TILE)
}
