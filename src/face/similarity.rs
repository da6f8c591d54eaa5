//! Similarity transforms of the plane (turn, one scale, shift) and their least-squares fit.

use super::points::Shape;
use serde::{Deserialize, Serialize};

/// Why no transform can be fitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{from} points cannot be fitted to {to}: expected as many of both, and at least two")]
    Count { from: usize, to: usize },
    #[error(
        "all points are one point, or not numbers: no scale and no turn follow from them; give at least two places"
    )]
    Degenerate,
}

/// (x, y) ↦ (a·x − b·y + tx, b·x + a·y + ty): a turn by atan2(b, a) and a scale of √(a² + b²), never a reflection.
///
/// Only transforms that can be inverted are made: a² + b² > 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "[f64; 4]", into = "[f64; 4]")]
pub struct Similarity {
    a: f64,
    b: f64,
    tx: f64,
    ty: f64,
}

impl TryFrom<[f64; 4]> for Similarity {
    type Error = Error;

    /// From `[a, b, tx, ty]`.
    fn try_from([a, b, tx, ty]: [f64; 4]) -> Result<Self, Error> {
        let square = a * a + b * b;
        let sane = square > 0.0 && [square, tx, ty].iter().all(|number| number.is_finite());
        if sane { Ok(Self { a, b, tx, ty }) } else { Err(Error::Degenerate) }
    }
}

impl From<Similarity> for [f64; 4] {
    fn from(Similarity { a, b, tx, ty }: Similarity) -> Self {
        [a, b, tx, ty]
    }
}

impl Similarity {
    /// Leaves every point where it is.
    pub const IDENTITY: Self = Self { a: 1.0, b: 0.0, tx: 0.0, ty: 0.0 };

    /// The similarity that takes `from` to `to` with the least sum of squared distances (Umeyama, IEEE T-PAMI 13(4),
    /// 1991, eq. 34 to 43).
    ///
    /// In the plane the singular value decomposition has a closed form: with p and q the points less their means,
    /// a = Σ p·q / Σ |p|² and b = Σ p×q / Σ |p|².
    ///
    /// # Errors
    /// Fewer than two points, or not as many of both; points that are all one, on either side, or not finite.
    pub fn fit(from: &[[f32; 2]], to: &[[f32; 2]]) -> Result<Self, Error> {
        if from.len() != to.len() || from.len() < 2 {
            return Err(Error::Count { from: from.len(), to: to.len() });
        }
        let (from_mean, to_mean) = (mean(from), mean(to));
        let (mut dot, mut cross, mut square) = (0.0, 0.0, 0.0);
        for (p, q) in from.iter().zip(to) {
            let [px, py] = less(*p, from_mean);
            let [qx, qy] = less(*q, to_mean);
            dot += px * qx + py * qy;
            cross += px * qy - py * qx;
            square += px * px + py * py;
        }
        let (a, b) = (dot / square, cross / square);
        let tx = to_mean[0] - (a * from_mean[0] - b * from_mean[1]);
        let ty = to_mean[1] - (b * from_mean[0] + a * from_mean[1]);
        [a, b, tx, ty].try_into()
    }

    /// The image of a point.
    #[must_use]
    pub fn apply(&self, point: [f32; 2]) -> [f32; 2] {
        self.apply_f64(point.map(f64::from)).map(|number| number as f32)
    }

    /// [`Self::apply`] in double precision.
    #[must_use]
    pub fn apply_f64(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.a * x - self.b * y + self.tx, self.b * x + self.a * y + self.ty]
    }

    /// The images of all landmarks of a face.
    #[must_use]
    pub fn apply_shape(&self, shape: &Shape) -> Shape {
        shape.map(|point| self.apply(point))
    }

    /// The transform that takes every image back.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let square = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / square, -self.b / square);
        Self { a, b, tx: -(a * self.tx - b * self.ty), ty: -(b * self.tx + a * self.ty) }
    }

    /// This transform, and then `next`.
    #[must_use]
    pub fn then(&self, next: &Self) -> Self {
        let [tx, ty] = next.apply_f64([self.tx, self.ty]);
        Self { a: next.a * self.a - next.b * self.b, b: next.b * self.a + next.a * self.b, tx, ty }
    }

    /// The factor of all lengths.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.a.hypot(self.b)
    }

    /// The turn in radians from x to y: clockwise as a picture shows it.
    #[must_use]
    pub fn angle(&self) -> f64 {
        self.b.atan2(self.a)
    }
}

fn mean(points: &[[f32; 2]]) -> [f64; 2] {
    let sum = points.iter().fold([0.0, 0.0], |[x, y], p| [x + f64::from(p[0]), y + f64::from(p[1])]);
    sum.map(|total| total / points.len() as f64)
}

fn less([x, y]: [f32; 2], mean: [f64; 2]) -> [f64; 2] {
    [f64::from(x) - mean[0], f64::from(y) - mean[1]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;
    use proptest::prelude::*;

    const SQUARE: [[f32; 2]; 4] = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]];

    fn similarity(scale: f64, angle: f64, tx: f64, ty: f64) -> Similarity {
        [scale * angle.cos(), scale * angle.sin(), tx, ty].try_into().unwrap()
    }

    fn error(transform: &Similarity, from: &[[f32; 2]], to: &[[f32; 2]]) -> f64 {
        let distance = |(p, q): (&[f32; 2], &[f32; 2])| {
            let [x, y] = transform.apply_f64(p.map(f64::from));
            (x - f64::from(q[0])).powi(2) + (y - f64::from(q[1])).powi(2)
        };
        from.iter().zip(to).map(distance).sum()
    }

    #[test]
    fn a_quarter_turn_of_a_square_doubled_and_moved_is_found() {
        // (x, y) ↦ (−2y + 5, 2x − 3).
        let to = SQUARE.map(|[x, y]| [5.0 - 2.0 * y, 2.0 * x - 3.0]);
        let found: [f64; 4] = Similarity::fit(&SQUARE, &to).unwrap().into();
        assert_eq!(found, [0.0, 2.0, 5.0, -3.0]);
    }

    #[test]
    fn a_reflection_is_not_fitted_by_one() {
        // Umeyama's own example (figure 1 of the paper): a triangle and its mirror image, turned.
        let from = [[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]];
        let to = [[0.0, 0.0], [-1.0, 0.0], [0.0, 2.0]];
        let fitted = Similarity::fit(&from, &to).unwrap();
        // The paper gives c = 0.721, R = [[0.832, 0.555], [−0.555, 0.832]], t = (−0.800, 0.400).
        let [a, b, tx, ty]: [f64; 4] = fitted.into();
        assert_abs_diff_eq!(fitted.scale(), 0.721, epsilon = 5e-4);
        assert_abs_diff_eq!(a / fitted.scale(), 0.832, epsilon = 5e-4);
        assert_abs_diff_eq!(b / fitted.scale(), -0.555, epsilon = 5e-4);
        assert_abs_diff_eq!(tx, -0.8, epsilon = 5e-4);
        assert_abs_diff_eq!(ty, 0.4, epsilon = 5e-4);
    }

    #[test]
    fn points_that_fix_no_scale_are_refused() {
        let one = [[3.0, 4.0]; 4];
        assert_eq!(Similarity::fit(&one, &SQUARE), Err(Error::Degenerate));
        assert_eq!(Similarity::fit(&SQUARE, &one), Err(Error::Degenerate));
        assert_eq!(Similarity::fit(&SQUARE, &[[f32::NAN; 2]; 4]), Err(Error::Degenerate));
        assert_eq!(Similarity::fit(&SQUARE, &SQUARE[..3]), Err(Error::Count { from: 4, to: 3 }));
        assert_eq!(Similarity::fit(&SQUARE[..1], &SQUARE[..1]), Err(Error::Count { from: 1, to: 1 }));
        assert!(Similarity::try_from([0.0, 0.0, 1.0, 1.0]).is_err());
        assert!(Similarity::try_from([1.0, 0.0, f64::INFINITY, 1.0]).is_err());
    }

    #[test]
    fn json_is_the_four_numbers() {
        let transform = similarity(0.3, 1.1, -7.25, 1e3);
        let text = serde_json::to_string(&transform).unwrap();
        assert_eq!(serde_json::from_str::<Similarity>(&text).unwrap(), transform);
        assert_eq!(serde_json::to_string(&Similarity::IDENTITY).unwrap(), "[1.0,0.0,0.0,0.0]");
        assert!(serde_json::from_str::<Similarity>("[0,0,1,1]").is_err());
    }

    prop_compose! {
        fn transforms()(scale in 0.05f64..20.0, angle in -3.1f64..3.1, tx in -500.0f64..500.0, ty in -500.0f64..500.0)
            -> Similarity { similarity(scale, angle, tx, ty) }
    }

    prop_compose! {
        /// Points that do not lie too close together.
        fn clouds()(mut points in prop::collection::vec([-100.0f32..100.0, -100.0f32..100.0], 3..30)) -> Vec<[f32; 2]> {
            points.push([150.0, -20.0]);
            points.push([-150.0, 40.0]);
            points
        }
    }

    proptest! {
        #[test]
        fn a_transform_is_recovered_within_the_noise(transform in transforms(), points in clouds(), seed in 0u32..1000) {
            // Noise of ±1 % of a length of 100, drawn from a cheap hash.
            let noise = |i: usize| f64::from((i as u32 * 7919 + seed * 104_729) % 2001) / 1000.0 - 1.0;
            let exact: Vec<[f32; 2]> = points.iter().map(|&p| transform.apply(p)).collect();
            let noisy: Vec<[f32; 2]> = exact.iter().enumerate().map(|(i, &[x, y])| {
                [x + (transform.scale() * noise(2 * i)) as f32, y + (transform.scale() * noise(2 * i + 1)) as f32]
            }).collect();
            let found = Similarity::fit(&points, &exact).unwrap();
            for &p in &points {
                let ([x, y], [u, v]) = (transform.apply(p), found.apply(p));
                let tolerance = (1e-4 * (1.0 + transform.scale() * 200.0)) as f32;
                prop_assert!((x - u).abs() < tolerance && (y - v).abs() < tolerance);
            }
            let fitted = Similarity::fit(&points, &noisy).unwrap();
            prop_assert!((fitted.scale() / transform.scale() - 1.0).abs() < 0.02);
            // No neighbour fits better: this is the least-squares optimum.
            let least = error(&fitted, &points, &noisy);
            let step = 1e-3 * transform.scale();
            for change in [[step, 0.0, 0.0, 0.0], [0.0, step, 0.0, 0.0], [0.0, 0.0, step, 0.0], [0.0, 0.0, 0.0, step]] {
                for sign in [-1.0, 1.0] {
                    let numbers: [f64; 4] = fitted.into();
                    let moved: [f64; 4] = std::array::from_fn(|i| numbers[i] + sign * change[i]);
                    prop_assert!(error(&moved.try_into().unwrap(), &points, &noisy) > least);
                }
            }
        }

        #[test]
        fn inverse_and_composition_agree_with_application(first in transforms(), second in transforms(), x in -99.0f64..99.0, y in -99.0f64..99.0) {
            let close = |p: [f64; 2], q: [f64; 2], size: f64| (p[0] - q[0]).abs() < 1e-9 * size && (p[1] - q[1]).abs() < 1e-9 * size;
            let back = first.inverse().apply_f64(first.apply_f64([x, y]));
            prop_assert!(close(back, [x, y], 1e5));
            let both = first.then(&second).apply_f64([x, y]);
            prop_assert!(close(both, second.apply_f64(first.apply_f64([x, y])), 1e5));
            prop_assert!((first.then(&second).scale() / (first.scale() * second.scale()) - 1.0).abs() < 1e-12);
            prop_assert!(close(first.then(&first.inverse()).apply_f64([x, y]), [x, y], 1e5));
        }
    }
}
