//! SIFT descriptors (Lowe, *Distinctive image features from scale-invariant keypoints*, 2004, §6)
//! of patches at given places, sizes and angles.
//!
//! A patch is [`SAMPLES`]² samples of the luma, with one more on each side for the gradients. Each
//! sample's gradient is added to a histogram of 4×4 cells × 8 orientations, weighted by a Gaussian
//! about the patch's middle and shared between the nearest cells (bilinear) and the two nearest
//! orientations. Lowe shares the gradient's length by angle; here the gradient is written as the sum
//! of two vectors along the neighbouring multiples of 45°, which takes no trigonometry and gives the
//! same bits on every machine. The histogram is scaled to length 1, clipped at 0.2 and scaled again:
//! brightness does not change it, nor does contrast.

/// Numbers in a descriptor: cell row, cell column, orientation, the last fastest.
pub const DESCRIPTOR: usize = CELLS * CELLS * ORIENTATIONS;

/// Samples along a side of a patch.
pub const SAMPLES: usize = 20;

/// Samples along a side with one more at each end.
pub const PATCH_SIDE: usize = SAMPLES + 2;

/// Luma of the samples, row by row.
pub type Patch = [f32; PATCH_SIDE * PATCH_SIDE];

const CELLS: usize = 4;
const ORIENTATIONS: usize = 8;
/// Lowe's limit on one number, which keeps a single strong edge from drowning the rest.
const CLIP: f32 = 0.2;
/// Length of the histogram, in grey levels, below which a patch counts as flat: what is left then is
/// rounding and noise, and is not blown up.
const FLAT: f32 = 1.0;

/// How a sample is shared between the cells along one axis: the first of two neighbouring cells of
/// five (one outside at each end is dropped), and the weight of each.
struct Share {
    cell: usize,
    weights: [f32; 2],
}

/// The shares of all samples; the Gaussian is in the weights.
pub struct Sift {
    shares: [Share; SAMPLES],
}

impl Default for Sift {
    fn default() -> Self {
        Self::new()
    }
}

impl Sift {
    /// Computes the shares. The Gaussian's σ is half the patch's side, as in Lowe's paper.
    pub fn new() -> Self {
        let half = SAMPLES as f32 / 2.0;
        Self {
            shares: std::array::from_fn(|sample| {
                let from_middle = (sample as f32 + 0.5 - half) / half;
                let gaussian = (-0.5 * from_middle * from_middle).exp();
                // Cell c of the padded row has its middle at c − ½ cells from the patch's edge.
                let at = (sample as f32 + 0.5) * CELLS as f32 / SAMPLES as f32 + 0.5;
                let cell = at.floor();
                let second = at - cell;
                Share { cell: cell as usize, weights: [gaussian * (1.0 - second), gaussian * second] }
            }),
        }
    }

    /// The descriptor of a patch.
    ///
    /// # Panics
    /// When `out` has not [`DESCRIPTOR`] numbers.
    pub fn describe(&self, patch: &Patch, out: &mut [f32]) {
        /// Cells with those outside the patch, which are dropped in the end.
        const PADDED: usize = CELLS + 2;
        let mut histogram = [[[0.0f32; ORIENTATIONS]; PADDED]; PADDED];
        for (y, row_share) in self.shares.iter().enumerate() {
            let mut row = [[0.0f32; ORIENTATIONS]; PADDED];
            let lines = &patch[y * PATCH_SIDE..(y + 3) * PATCH_SIDE];
            for (x, share) in self.shares.iter().enumerate() {
                let dx = lines[PATCH_SIDE + x + 2] - lines[PATCH_SIDE + x];
                let dy = lines[2 * PATCH_SIDE + x + 1] - lines[x + 1];
                let [(axis, along_axis), (diagonal, along_diagonal)] = orientations(dx, dy);
                let [first, second] = share.weights;
                row[share.cell][axis] += first * along_axis;
                row[share.cell][diagonal] += first * along_diagonal;
                row[share.cell + 1][axis] += second * along_axis;
                row[share.cell + 1][diagonal] += second * along_diagonal;
            }
            for (cells, weight) in histogram[row_share.cell..].iter_mut().zip(row_share.weights) {
                for (sum, value) in cells.as_flattened_mut().iter_mut().zip(row.as_flattened()) {
                    *sum += weight * value;
                }
            }
        }
        assert_eq!(out.len(), DESCRIPTOR, "a descriptor's numbers");
        for (target, cells) in out.chunks_exact_mut(CELLS * ORIENTATIONS).zip(&histogram[1..]) {
            target.copy_from_slice(cells[1..=CELLS].as_flattened());
        }
        scale_to_one(out, FLAT);
        for value in out.iter_mut() {
            *value = value.min(CLIP);
        }
        // At least one number is 1 / √128 or more unless the patch is flat; then this changes nothing.
        if out.iter().any(|&value| value >= CLIP) {
            scale_to_one(out, 0.0);
        }
    }
}

/// A gradient as the sum of two vectors along neighbouring multiples of 45°: each multiple with the
/// vector's length. Multiple 0 points to the right, 2 down.
fn orientations(dx: f32, dy: f32) -> [(usize, f32); 2] {
    let (along_x, along_y) = (dx.abs(), dy.abs());
    let (left, up) = (usize::from(dx < 0.0), usize::from(dy < 0.0));
    let axis = if along_x >= along_y { 4 * left } else { 2 + 4 * up };
    // Right-down 1, left-down 3, left-up 5, right-up 7.
    let diagonal = 1 + 2 * left + up * (6 - 4 * left);
    let diagonal_length = std::f32::consts::SQRT_2 * along_x.min(along_y);
    [(axis, (along_x - along_y).abs()), (diagonal, diagonal_length)]
}

/// Divides by the Euclidean length, or by `least` where the length is smaller.
fn scale_to_one(values: &mut [f32], least: f32) {
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt().max(least);
    if length > 0.0 {
        for value in values {
            *value /= length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::array::from_fn;

    fn described(patch: &Patch) -> [f32; DESCRIPTOR] {
        let mut out = [0.0; DESCRIPTOR];
        Sift::new().describe(patch, &mut out);
        out
    }

    fn patch_of(luma: impl Fn(f32, f32) -> f32) -> Patch {
        let middle = (PATCH_SIDE as f32 - 1.0) / 2.0;
        from_fn(|i| luma((i % PATCH_SIDE) as f32 - middle, (i / PATCH_SIDE) as f32 - middle))
    }

    /// A ramp that rises by `slope` a sample in the direction `degrees` clockwise from the right.
    fn ramp(degrees: f32, slope: f32) -> Patch {
        let (sin, cos) = degrees.to_radians().sin_cos();
        patch_of(|x, y| 100.0 + slope * (cos * x + sin * y))
    }

    fn random_patch() -> impl Strategy<Value = Patch> {
        proptest::collection::vec(0.0f32..255.0, PATCH_SIDE * PATCH_SIDE).prop_map(|values| from_fn(|i| values[i]))
    }

    fn assert_close(a: &[f32], b: &[f32], tolerance: f32) {
        for (i, (a, b)) in a.iter().zip(b).enumerate() {
            assert!((a - b).abs() <= tolerance, "{i}: {a} {b}");
        }
    }

    #[test]
    fn a_ramp_falls_into_the_bin_of_its_direction() {
        for bin in 0..ORIENTATIONS {
            let out = described(&ramp(45.0 * bin as f32, 3.0));
            for (i, value) in out.iter().enumerate() {
                assert_eq!(*value > 0.01, i % ORIENTATIONS == bin, "bin {bin}, {i}: {value}");
            }
            assert!((out.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-5);
            // The cells in the middle weigh more than those in the corners (the strongest are clipped), and
            // all four corners alike.
            let cell = |row: usize, column: usize| out[(row * CELLS + column) * ORIENTATIONS + bin];
            assert!(cell(1, 1) >= cell(0, 1) && cell(1, 1) > cell(0, 0) && cell(0, 1) >= cell(0, 0));
            for (row, column) in [(0, 3), (3, 0), (3, 3)] {
                assert!((cell(row, column) - cell(0, 0)).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn a_ramp_between_two_directions_is_shared_equally() {
        for bin in 0..ORIENTATIONS {
            let out = described(&ramp(45.0 * bin as f32 + 22.5, 3.0));
            for cell in out.chunks_exact(ORIENTATIONS) {
                let next = (bin + 1) % ORIENTATIONS;
                assert!(cell[bin] > 0.01 && (cell[bin] - cell[next]).abs() < 1e-4);
                assert!((0..ORIENTATIONS).all(|other| other == bin || other == next || cell[other] < 1e-4));
            }
        }
    }

    #[test]
    fn gradients_are_the_sum_of_their_two_parts() {
        for step in 0..720 {
            let (sin, cos) = (0.5 * step as f32).to_radians().sin_cos();
            let parts = orientations(7.0 * cos, 7.0 * sin);
            let sum = [0, 1].map(|axis| {
                let along = |bin: usize| (45.0 * bin as f32 - 90.0 * axis as f32).to_radians().cos();
                parts.iter().map(|&(bin, length)| length * along(bin)).sum::<f32>()
            });
            assert!((sum[0] - 7.0 * cos).abs() < 1e-4 && (sum[1] - 7.0 * sin).abs() < 1e-4, "{step}: {sum:?}");
            assert!(parts.iter().all(|&(_, length)| length >= 0.0));
            // Neighbouring bins.
            assert!([1, 7].contains(&((parts[0].0 + 8 - parts[1].0) % 8)));
        }
    }

    #[test]
    fn a_single_gradient_is_shared_between_cells_as_computed_by_hand() {
        // One sample (8, 3) brighter to its right than to its left, seen by the two samples at its
        // sides too: samples (7, 3) and (9, 3) get +10 and −10 along x, (8, 2) and (8, 4) along y.
        let mut patch: Patch = [50.0; PATCH_SIDE * PATCH_SIDE];
        patch[(3 + 1) * PATCH_SIDE + 8 + 1] = 60.0;
        let out = described(&patch);
        let half = SAMPLES as f64 / 2.0;
        let weight = |x: usize, y: usize, row: usize, column: usize| {
            let along = |sample: usize, cell: usize| {
                let position = (sample as f64 + 0.5) / (SAMPLES / CELLS) as f64;
                let gaussian = (-((sample as f64 + 0.5 - half) / half).powi(2) / 2.0).exp();
                gaussian * (1.0 - (position - (cell as f64 + 0.5)).abs()).max(0.0)
            };
            10.0 * along(x, column) * along(y, row)
        };
        let mut expected = [0.0f64; DESCRIPTOR];
        for row in 0..CELLS {
            for column in 0..CELLS {
                for (x, y, bin) in [(7, 3, 0), (9, 3, 4), (8, 2, 2), (8, 4, 6)] {
                    expected[(row * CELLS + column) * ORIENTATIONS + bin] += weight(x, y, row, column);
                }
            }
        }
        for limit in [0.2, f64::INFINITY] {
            let length = expected.iter().map(|value| value * value).sum::<f64>().sqrt();
            expected.iter_mut().for_each(|value| *value = (*value / length).min(limit));
        }
        for (i, (found, expected)) in out.iter().zip(expected).enumerate() {
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{i}: {found} {expected}");
        }
    }

    #[test]
    fn flat_patches_have_no_descriptor() {
        assert_eq!(described(&[200.0; PATCH_SIDE * PATCH_SIDE]), [0.0; DESCRIPTOR]);
        let hardly = described(&patch_of(|x, _| 200.0 + 1e-5 * x));
        assert!(hardly.iter().all(|value| *value < 1e-2));
    }

    proptest! {
        #[test]
        fn brightness_and_contrast_change_nothing(patch in random_patch(), gain in 0.2f32..4.0, offset in -50.0f32..50.0) {
            let other: Patch = from_fn(|i| gain * patch[i] + offset);
            assert_close(&described(&patch), &described(&other), 1e-4);
        }

        #[test]
        fn a_quarter_turn_turns_cells_and_bins(patch in random_patch()) {
            // What was to the right is now below.
            let turned: Patch = from_fn(|i| {
                let (row, column) = (i / PATCH_SIDE, i % PATCH_SIDE);
                patch[(PATCH_SIDE - 1 - column) * PATCH_SIDE + row]
            });
            let (upright, turned) = (described(&patch), described(&turned));
            let expected: [f32; DESCRIPTOR] = from_fn(|i| {
                let (row, column, bin) = (i / ORIENTATIONS / CELLS, i / ORIENTATIONS % CELLS, i % ORIENTATIONS);
                upright[((CELLS - 1 - column) * CELLS + row) * ORIENTATIONS + (bin + 6) % ORIENTATIONS]
            });
            assert_close(&turned, &expected, 1e-5);
        }
    }
}
