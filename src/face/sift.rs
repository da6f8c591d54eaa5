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
