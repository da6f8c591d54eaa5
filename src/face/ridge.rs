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

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers without a pattern, from −1 to 1.
    fn noise(seed: u32, count: usize) -> Vec<f32> {
        let mut state = seed;
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect()
    }

    #[test]
    fn a_linear_function_is_recovered_across_tiles_and_blocks() {
        const FEATURES: usize = TILE + 10;
        let (weights, bias) = (noise(1, FEATURES * 2), [3.0, -5.0]);
        let mut equations = NormalEquations::new(FEATURES, 2);
        for block in 0..5 {
            let x = noise(100 + block, 120 * FEATURES);
            let y: Vec<f32> = x
                .chunks_exact(FEATURES)
                .flat_map(|row| {
                    [0, 1].map(|k| bias[k] + row.iter().zip(weights.chunks(2)).map(|(x, w)| x * w[k]).sum::<f32>())
                })
                .collect();
            equations.add(&x, &y);
        }
        let solution = equations.solve(1e-9).unwrap();
        for (found, expected) in solution.weights.iter().zip(&weights).chain(solution.bias.iter().zip(&bias)) {
            assert!((found - expected).abs() < 2e-3, "{found} {expected}");
        }
    }

    #[test]
    fn one_feature_shrinks_as_the_closed_form_says() {
        // x = ±1 and y = 2·x + 1: the weight is 2 · var / (var + penalty), the bias stays free.
        let mut equations = NormalEquations::new(1, 1);
        equations.add(&[1.0, -1.0], &[3.0, -1.0]);
        let solution = equations.solve(0.25).unwrap();
        assert!((solution.weights[0] - 2.0 / 1.25).abs() < 1e-6 && (solution.bias[0] - 1.0).abs() < 1e-6);
    }

    #[test]
    fn singular_equations_have_no_solution() {
        let mut equations = NormalEquations::new(2, 1);
        equations.add(&[1.0, 1.0, 2.0, 2.0], &[1.0, 2.0]);
        assert_eq!(equations.solve(0.0), None);
        let mut equations = NormalEquations::new(1, 1);
        equations.add(&[f32::NAN, 1.0], &[1.0, 2.0]);
        assert_eq!(equations.solve(1.0), None);
    }
}
