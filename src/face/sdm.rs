//! The Supervised Descent Method (Xiong and De la Torre, *Supervised descent method and its
//! applications to face alignment*, 2013): landmarks start as the mean shape in the face's box, and
//! each stage moves them by a linear function of the SIFT descriptors about them:
//!
//!   x ← x + Wᵀφ(x) + b
//!
//! The stage works in the frame of the mean shape: the similarity transform that takes the mean shape
//! nearest to the present one (least squares) gives the patches their size and angle, and the
//! displacement is measured along its axes in units of its pupil distance. So a face that is turned in
//! the plane, or larger than its box says, is upright and of the right size from the second stage on.

use super::detect::FaceBox;
use super::picture::{Gray, Window};
use super::points::{LANDMARKS, Shape};
use super::sift::{DESCRIPTOR, PATCH_SIDE, Patch, SAMPLES, Sift};

/// Numbers that a stage's regression starts from, without the constant.
pub const FEATURES: usize = LANDMARKS * DESCRIPTOR;
/// Numbers that it gives: the displacement of every landmark.
pub const OUTPUTS: usize = 2 * LANDMARKS;

/// Pupil distance, in pixels, of the mean shape in the resampled picture that the stages look at.
const PUPIL_DISTANCE: f64 = 48.0;
/// Side of that picture: 5⅓ pupil distances.
const FRAME_SIDE: usize = 256;
/// Halvings of that picture: large patches are sampled from a smaller one.
const LEVELS: usize = 3;

/// Where the mean shape lies in a face's box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// Pupil distance over the box's side.
    pub scale: f32,
    /// From the box's middle to the middle of the shape, over the box's side.
    pub shift: [f32; 2],
}

/// One regression of the cascade.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Side of the patches in pupil distances.
    pub window: f32,
    /// [`FEATURES`] rows of [`OUTPUTS`] numbers: (x, y) of each landmark.
    pub weights: Vec<f32>,
    /// [`OUTPUTS`] numbers.
    pub bias: Vec<f32>,
}

/// A trained cascade.
#[derive(Debug, Clone, PartialEq)]
pub struct Cascade {
    /// The mean shape, its middle (the mean of the landmarks) at the origin and its pupil distance 1.
    pub mean: Shape,
    pub placement: Placement,
    pub stages: Vec<Stage>,
}

impl Cascade {
    /// The landmarks of the face in `face`, in pixels of the picture. A pure function of its
    /// arguments; any box gives some shape, so see to it that a face is in it.
    ///
    /// # Panics
    /// When the picture has no pixels.
    pub fn fit(&self, gray: &Gray, face: &FaceBox) -> Shape {
        let frame = Frame::new(gray, face, &self.placement);
        let mut shape = start(&self.mean, face, &self.placement).map(|point| frame.window.place(point));
        let sift = Sift::new();
        let mut features = vec![0.0; FEATURES];
        for stage in &self.stages {
            let pose = Pose::nearest(&self.mean, &shape);
            frame.describe(&sift, &shape, &pose, stage.window, &mut features);
            shape = pose.moved(&shape, &stage.displacement(&features));
        }
        shape.map(|point| frame.window.source(point))
    }
}

impl Stage {
    /// Wᵀφ + b.
    pub fn displacement(&self, features: &[f32]) -> [f32; OUTPUTS] {
        let mut sum: [f32; OUTPUTS] = std::array::from_fn(|output| self.bias[output]);
        for (&feature, row) in features.iter().zip(self.weights.as_chunks::<OUTPUTS>().0) {
            for (sum, weight) in sum.iter_mut().zip(row) {
                *sum += feature * weight;
            }
        }
        sum
    }
}

/// The mean shape placed in a face's box.
pub fn start(mean: &Shape, face: &FaceBox, placement: &Placement) -> Shape {
    let side = face.side();
    let middle = face.centre();
    mean.map(|point| [0, 1].map(|k| middle[k] + side * (placement.shift[k] + placement.scale * point[k])))
}

/// p ↦ (a·x − b·y, b·x + a·y) + shift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pose {
    pub a: f32,
    pub b: f32,
    pub shift: [f32; 2],
}

impl Pose {
    /// The transform that takes `from`, whose middle is the origin, nearest to `to`.
    pub fn nearest(from: &Shape, to: &Shape) -> Self {
        let shift = middle(to);
        let (mut a, mut b, mut length) = (0.0, 0.0, 0.0);
        for (p, q) in from.iter().zip(to) {
            let q = [q[0] - shift[0], q[1] - shift[1]];
            a += p[0] * q[0] + p[1] * q[1];
            b += p[0] * q[1] - p[1] * q[0];
            length += p[0] * p[0] + p[1] * p[1];
        }
        Self { a: a / length, b: b / length, shift }
    }

    /// How lengths grow.
    pub fn scale(&self) -> f32 {
        self.a.hypot(self.b)
    }

    /// A vector turned and stretched.
    pub fn turn(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        [self.a * x - self.b * y, self.b * x + self.a * y]
    }

    /// The vector that [`Self::turn`] takes to this one.
    pub fn turn_back(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let square = self.a * self.a + self.b * self.b;
        [(self.a * x + self.b * y) / square, (self.a * y - self.b * x) / square]
    }

    /// `shape` moved by a displacement that is measured in the frame of the mean shape.
    pub fn moved(&self, shape: &Shape, displacement: &[f32; OUTPUTS]) -> Shape {
        let steps = displacement.as_chunks::<2>().0;
        std::array::from_fn(|i| {
            let [dx, dy] = self.turn(steps[i]);
            [shape[i][0] + dx, shape[i][1] + dy]
        })
    }
}

/// The mean of the landmarks.
pub fn middle(shape: &Shape) -> [f32; 2] {
    [0, 1].map(|axis| shape.iter().map(|point| point[axis]).sum::<f32>() / LANDMARKS as f32)
}

/// The surroundings of a face, resampled so that the mean shape in its box has a pupil distance of
/// [`PUPIL_DISTANCE`] pixels, and halved repeatedly.
pub struct Frame {
    /// Where it lies in the picture.
    pub window: Window,
    levels: Vec<Gray>,
}

impl Frame {
    /// Resamples the picture about the mean shape in the box.
    pub fn new(gray: &Gray, face: &FaceBox, placement: &Placement) -> Self {
        let window = Self::window(face, placement);
        Self::from_gray(gray.resample(&window), window)
    }

    /// What [`Self::new`] resamples.
    pub fn window(face: &FaceBox, placement: &Placement) -> Window {
        // A box without a size would give a frame without one.
        let side = f64::from(face.side()).max(1.0);
        let scale = (side * f64::from(placement.scale) / PUPIL_DISTANCE).max(1e-3);
        let reach = scale * FRAME_SIDE as f64 / 2.0;
        let at = |axis: usize| f64::from(face.centre()[axis]) + side * f64::from(placement.shift[axis]) + 0.5 - reach;
        Window { left: at(0), top: at(1), scale, width: FRAME_SIDE, height: FRAME_SIDE }
    }

    /// Halves a picture that was resampled already.
    pub fn from_gray(gray: Gray, window: Window) -> Self {
        let mut levels = vec![gray];
        for _ in 1..LEVELS {
            let half = halved(levels.last().expect("the first level"));
            levels.push(half);
        }
        Self { window, levels }
    }

    /// The descriptors about all landmarks of `shape`, given in pixels of the frame.
    pub fn describe(&self, sift: &Sift, shape: &Shape, pose: &Pose, window: f32, features: &mut [f32]) {
        let step = window * pose.scale() / SAMPLES as f32;
        let level = (step.log2().round().max(0.0) as usize).min(LEVELS - 1);
        let shrink = (1u32 << level) as f32;
        // Steps to the right and down in the patch, in pixels of the level.
        let [right, down] = [[1.0, 0.0], [0.0, 1.0]]
            .map(|axis| pose.turn(axis).map(|length| length * window / SAMPLES as f32 / shrink));
        let mut patch: Patch = [0.0; PATCH_SIDE * PATCH_SIDE];
        for (&[x, y], out) in shape.iter().zip(features.chunks_exact_mut(DESCRIPTOR)) {
            let middle = [x, y].map(|at| (at + 0.5) / shrink - 0.5);
            sample(&self.levels[level], middle, right, down, &mut patch);
            sift.describe(&patch, out);
        }
    }
}

/// The mean of every 2×2 pixels.
fn halved(gray: &Gray) -> Gray {
    let (width, height) = (gray.width / 2, gray.height / 2);
    let mut pixels = Vec::with_capacity(width * height);
    for rows in gray.pixels.chunks_exact(2 * gray.width) {
        let (above, below) = rows.split_at(gray.width);
        let pairs = above.chunks_exact(2).zip(below.chunks_exact(2));
        pixels.extend(pairs.map(|(a, b)| 0.25 * (a[0] + a[1] + b[0] + b[1])));
    }
    Gray { width, height, pixels }
}

/// Samples a grid of points bilinearly; outside the picture the nearest edge pixel is repeated.
fn sample(gray: &Gray, middle: [f32; 2], right: [f32; 2], down: [f32; 2], patch: &mut Patch) {
    let (last_x, last_y) = (gray.width as f32 - 1.0, gray.height as f32 - 1.0);
    let reach = (PATCH_SIDE as f32 - 1.0) / 2.0;
    for (row, line) in patch.chunks_exact_mut(PATCH_SIDE).enumerate() {
        let v = row as f32 - reach;
        for (column, value) in line.iter_mut().enumerate() {
            let u = column as f32 - reach;
            // NaN, which an overflowing shape could give, becomes 0 here.
            let x = (middle[0] + u * right[0] + v * down[0]).max(0.0).min(last_x);
            let y = (middle[1] + u * right[1] + v * down[1]).max(0.0).min(last_y);
            let (x0, y0) = (x as usize, y as usize);
            let (fx, fy) = (x - x0 as f32, y - y0 as f32);
            let at = y0 * gray.width + x0;
            let to_right = usize::from(x0 + 1 < gray.width);
            let to_below = if y0 + 1 < gray.height { gray.width } else { 0 };
            let pixels = &gray.pixels;
            let above = pixels[at] + fx * (pixels[at + to_right] - pixels[at]);
            let at = at + to_below;
            let below = pixels[at] + fx * (pixels[at + to_right] - pixels[at]);
            *value = above + fy * (below - above);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::draw::SCHEME;
    use crate::face::points::distance;
    use proptest::prelude::*;

    fn mean() -> Shape {
        let centre = middle(&SCHEME);
        SCHEME.map(|point| [point[0] - centre[0], point[1] - centre[1]])
    }

    const PLACEMENT: Placement = Placement { scale: 0.4, shift: [0.0, 0.02] };

    /// A cascade that moves every landmark by a small linear function of what it sees.
    fn cascade() -> Cascade {
        let weights = (0..FEATURES * OUTPUTS).map(|i| 0.02 * ((i as f32 * 12.9898).sin() * 0.5)).collect();
        let bias = (0..OUTPUTS).map(|i| 0.05 * (i as f32).sin()).collect();
        Cascade { mean: mean(), placement: PLACEMENT, stages: vec![Stage { window: 0.8, weights, bias }] }
    }

    /// Smooth blobs: resampling them hardly changes them.
    fn blobs(width: usize, height: usize, scale: f32, shift: [f32; 2]) -> Gray {
        let luma = |x: f32, y: f32| 128.0 + 60.0 * ((0.11 * x).sin() + (0.07 * y + 0.05 * x).cos());
        let at = |i: usize| [((i % width) as f32 - shift[0]) / scale, ((i / width) as f32 - shift[1]) / scale];
        let pixels = (0..width * height).map(at).map(|[x, y]| luma(x, y)).collect();
        Gray { width, height, pixels }
    }

    proptest! {
        #[test]
        fn the_nearest_similarity_is_found(a in -3.0f32..3.0, b in 0.1f32..3.0, x in -50.0f32..50.0, y in -50.0f32..50.0) {
            let truth = Pose { a, b, shift: [x, y] };
            let to = mean().map(|point| { let [u, v] = truth.turn(point); [u + x, v + y] });
            let found = Pose::nearest(&mean(), &to);
            prop_assert!((found.a - a).abs() < 1e-3 && (found.b - b).abs() < 1e-3);
            prop_assert!((found.shift[0] - x).abs() < 1e-3 && (found.shift[1] - y).abs() < 1e-3);
            let back = found.turn_back(found.turn([0.3, -0.7]));
            prop_assert!((back[0] - 0.3).abs() < 1e-4 && (back[1] + 0.7).abs() < 1e-4);
        }
    }

    #[test]
    fn the_fit_follows_the_picture_and_the_box() {
        let cascade = cascade();
        let (small, large) = (blobs(160, 150, 1.0, [0.0; 2]), blobs(420, 400, 2.0, [31.0, 17.0]));
        let face = FaceBox { x: 40.0, y: 35.0, width: 80.0, height: 80.0, score: 1.0 };
        let moved = FaceBox { x: 2.0 * 40.0 + 31.0, y: 2.0 * 35.0 + 17.0, width: 160.0, height: 160.0, score: 1.0 };
        let start = start(&cascade.mean, &face, &PLACEMENT);
        let (a, b) = (cascade.fit(&small, &face), cascade.fit(&large, &moved));
        assert!(a.iter().zip(&start).any(|(a, b)| distance(*a, *b) > 1.0), "the stage moves something");
        for (a, b) in a.iter().zip(&b) {
            let expected = [2.0 * a[0] + 31.0, 2.0 * a[1] + 17.0];
            assert!(distance(expected, *b) < 0.3, "{expected:?} {b:?}");
        }
    }

    #[test]
    fn boxes_outside_the_picture_and_of_no_size_give_finite_shapes() {
        let cascade = cascade();
        let gray = blobs(50, 40, 1.0, [0.0; 2]);
        for (x, y, side) in [(-500.0, 900.0, 30.0), (10.0, 10.0, 0.0), (-5.0, -5.0, 4000.0), (49.0, 39.0, 1e-3)] {
            let face = FaceBox { x, y, width: side, height: side, score: 0.0 };
            for gray in [&gray, &blobs(1, 1, 1.0, [0.0; 2])] {
                let shape = cascade.fit(gray, &face);
                assert!(shape.as_flattened().iter().all(|value| value.is_finite()), "{face:?}");
            }
        }
    }

    #[test]
    fn a_turned_pose_samples_the_turned_patch() {
        let gray = blobs(FRAME_SIDE, FRAME_SIDE, 1.0, [0.0; 2]);
        // The same picture turned by a quarter: what was to the right is below.
        let turned = Gray {
            pixels: (0..FRAME_SIDE * FRAME_SIDE)
                .map(|i| gray.pixels[(FRAME_SIDE - 1 - i % FRAME_SIDE) * FRAME_SIDE + i / FRAME_SIDE])
                .collect(),
            ..gray
        };
        let window = Window { left: 0.0, top: 0.0, scale: 1.0, width: FRAME_SIDE, height: FRAME_SIDE };
        let centre = (FRAME_SIDE as f32 - 1.0) / 2.0;
        let shape = mean().map(|[x, y]| [centre + 40.0 * x, centre + 40.0 * y]);
        let shape_turned = shape.map(|[x, y]| [2.0 * centre - y, x]);
        let describe = |gray: &Gray, shape: &Shape| {
            let pose = Pose::nearest(&mean(), shape);
            let mut features = vec![0.0; FEATURES];
            Frame::from_gray(gray.clone(), window).describe(&Sift::new(), shape, &pose, 0.8, &mut features);
            features
        };
        for (a, b) in describe(&gray, &shape).iter().zip(describe(&turned, &shape_turned)) {
            assert!((a - b).abs() < 2e-3, "{a} {b}");
        }
    }
}
