//! Filled shapes with exact anti-aliasing on a transparent canvas, and the curves that outline them.
//!
//! A polygon's coverage of a pixel is the signed area between its edges and the pixel's right
//! side, summed along the row: an edge adds to the pixel that it crosses the part of the row's
//! height that lies to its right, and the rest to the next pixel, so that a running sum gives the
//! covered area exactly. No supersampling, one pass over the bounding box.

/// Picture coordinates: x to the right, y down, in pixels; pixel i covers [i, i + 1).
pub type Point = [f32; 2];

/// Red, green and blue as displayed (gamma-coded), 0 to 1.
pub type Rgb = [f32; 3];

/// Segments that a spline draws between two of its control points.
const STEPS: usize = 6;

/// How much of each pixel a shape covers, 0 to 1, row by row.
pub struct Mask(Vec<f32>);

/// What a shape is filled with.
#[derive(Clone, Copy)]
pub struct Paint<'a> {
    pub colour: Rgb,
    /// 0 (nothing) to 1 (opaque).
    pub alpha: f32,
    /// Where set, the shape shows only inside it.
    pub clip: Option<&'a Mask>,
}

impl<'a> Paint<'a> {
    /// Opaque and not clipped.
    pub fn solid(colour: Rgb) -> Self {
        Self { colour, alpha: 1.0, clip: None }
    }

    pub fn alpha(self, alpha: f32) -> Self {
        Self { alpha, ..self }
    }

    pub fn clip(self, mask: &'a Mask) -> Self {
        Self { clip: Some(mask), ..self }
    }
}

/// A square picture of premultiplied RGBA, transparent at first.
pub struct Canvas {
    size: usize,
    pixels: Vec<[f32; 4]>,
    /// Signed areas of the shape being filled, (size + 2) a row; zero between fills.
    areas: Vec<f32>,
}

impl Canvas {
    pub fn new(size: usize) -> Self {
        Self { size, pixels: vec![[0.0; 4]; size * size], areas: vec![0.0; (size + 2) * size] }
    }

    /// Premultiplied RGBA, row by row.
    pub fn pixels(&self) -> &[[f32; 4]] {
        &self.pixels
    }

    /// Fills the closed polygon `outline`.
    pub fn fill(&mut self, outline: &[Point], paint: Paint) {
        let pixels = &mut self.pixels;
        sweep(outline, self.size, &mut self.areas, |at, coverage| over(&mut pixels[at], at, coverage, &paint));
    }

    /// The coverage of the closed polygon `outline`, to clip by.
    pub fn mask(&mut self, outline: &[Point]) -> Mask {
        let mut mask = vec![0.0; self.size * self.size];
        sweep(outline, self.size, &mut self.areas, |at, coverage| mask[at] = coverage);
        Mask(mask)
    }

    /// A soft elliptical spot about `centre` with the half-axes `u` and `v`: the paint's alpha in
    /// the middle, falling as (1 − r²)² to nothing at the ellipse.
    pub fn spot(&mut self, centre: Point, u: Point, v: Point, paint: Paint) {
        let determinant = u[0] * v[1] - u[1] * v[0];
        if determinant.abs() < 1e-6 {
            return;
        }
        let half = |axis: usize| u[axis].hypot(v[axis]);
        let range = |axis: usize| pixel_range(centre[axis] - half(axis), centre[axis] + half(axis), self.size);
        for y in range(1) {
            for x in range(0) {
                let (dx, dy) = (x as f32 + 0.5 - centre[0], y as f32 + 0.5 - centre[1]);
                let a = (dx * v[1] - dy * v[0]) / determinant;
                let b = (dy * u[0] - dx * u[1]) / determinant;
                let falloff = (1.0 - a * a - b * b).max(0.0);
                let at = y * self.size + x;
                over(&mut self.pixels[at], at, falloff * falloff, &paint);
            }
        }
    }
}

/// Porter and Duff's `over`, of paint that covers `coverage` of the pixel.
fn over(pixel: &mut [f32; 4], at: usize, coverage: f32, paint: &Paint) {
    let alpha = coverage * paint.alpha * paint.clip.map_or(1.0, |mask| mask.0[at]);
    for (channel, colour) in pixel.iter_mut().zip([paint.colour[0], paint.colour[1], paint.colour[2], 1.0]) {
        *channel += alpha * (colour - *channel);
    }
}

/// The pixels that touch [low, high].
fn pixel_range(low: f32, high: f32, size: usize) -> std::ops::Range<usize> {
    // A float to integer cast saturates: what lies left of the picture becomes 0.
    let end = (high.ceil() as usize).min(size);
    (low.floor() as usize).min(end)..end
}

/// Calls `pixel(index, coverage)` for each pixel that the polygon covers in part or in whole.
/// `areas` must be zero and is zero afterwards.
fn sweep(outline: &[Point], size: usize, areas: &mut [f32], mut pixel: impl FnMut(usize, f32)) {
    let stride = size + 2;
    let extent =
        |axis: usize| outline.iter().fold((f32::MAX, f32::MIN), |(low, high), p| (low.min(p[axis]), high.max(p[axis])));
    let ((left, right), (top, bottom)) = (extent(0), extent(1));
    if outline.len() < 3 || right <= 0.0 || left >= size as f32 {
        return;
    }
    for (i, &from) in outline.iter().enumerate() {
        add_edge(from, outline[(i + 1) % outline.len()], size, areas);
    }
    let columns = pixel_range(left, right, size);
    for y in pixel_range(top, bottom, size) {
        let row = &mut areas[y * stride..(y + 1) * stride];
        let mut sum = 0.0;
        for x in columns.clone() {
            sum += row[x];
            let coverage = f32::abs(sum).min(1.0);
            // Rounding leaves dust of the order of 1e-7 beyond the polygon's right edge.
            if coverage > 1e-4 {
                pixel(y * size + x, coverage);
            }
        }
        row[columns.start..(columns.end + 2).min(stride)].fill(0.0);
    }
}

/// Adds the signed areas of one edge, row by row. What lies beyond the left or right side of the
/// picture is moved onto that side.
fn add_edge(from: Point, to: Point, size: usize, areas: &mut [f32]) {
    let (sign, upper, lower) = if from[1] < to[1] { (1.0, from, to) } else { (-1.0, to, from) };
    let rows = pixel_range(upper[1], lower[1], size);
    let slope = (lower[0] - upper[0]) / (lower[1] - upper[1]);
    let side = size as f32;
    for y in rows {
        let (y0, y1) = (upper[1].max(y as f32), lower[1].min(y as f32 + 1.0));
        let height = sign * (y1 - y0);
        if y1 <= y0 {
            continue;
        }
        let x_at = |y: f32| (upper[0] + (y - upper[1]) * slope).clamp(0.0, side);
        let (xa, xb) = (x_at(y0).min(x_at(y1)), x_at(y0).max(x_at(y1)));
        let row = &mut areas[y * (size + 2)..(y + 1) * (size + 2)];
        let (first, last) = (xa as usize, xb as usize);
        for x in first..=last {
            let (a, b) = (xa.max(x as f32), xb.min(x as f32 + 1.0));
            let part = if first == last { height } else { height * (b - a) / (xb - xa) };
            let beyond = 0.5 * (a + b) - x as f32;
            row[x] += part * (1.0 - beyond);
            row[x + 1] += part * beyond;
        }
    }
}

/// A smooth closed curve through `points` (uniform Catmull–Rom).
pub fn closed_curve(points: &[Point]) -> Vec<Point> {
    let n = points.len();
    (0..n).flat_map(|i| segment(points[(i + n - 1) % n], points[i], points[(i + 1) % n], points[(i + 2) % n])).collect()
}

/// A smooth curve through `points` from the first to the last (uniform Catmull–Rom, the end
/// points doubled).
pub fn open_curve(points: &[Point]) -> Vec<Point> {
    let n = points.len();
    let mut curve: Vec<Point> = (0..n.saturating_sub(1))
        .flat_map(|i| segment(points[i.saturating_sub(1)], points[i], points[i + 1], points[(i + 2).min(n - 1)]))
        .collect();
    curve.extend(points.last());
    curve
}

/// The Catmull–Rom segment from `b` to `c`, `c` excluded.
fn segment(a: Point, b: Point, c: Point, d: Point) -> impl Iterator<Item = Point> {
    (0..STEPS).map(move |step| {
        let t = step as f32 / STEPS as f32;
        [0, 1].map(|k| {
            let (p, q, r, s) = (a[k], b[k], c[k], d[k]);
            q + 0.5 * t * (r - p + t * (2.0 * p - 5.0 * q + 4.0 * r - s + t * (3.0 * (q - r) + s - p)))
        })
    })
}

/// The outline of a brush stroke along `path`; `width(t)` is its full width at the fraction `t` of
/// the path's points.
pub fn stroke(path: &[Point], width: impl Fn(f32) -> f32) -> Vec<Point> {
    let n = path.len();
    let side = |i: usize, sign: f32| {
        let (before, after) = (path[i.saturating_sub(1)], path[(i + 1).min(n - 1)]);
        let (dx, dy) = (after[0] - before[0], after[1] - before[1]);
        let half = 0.5 * sign * width(i as f32 / (n - 1).max(1) as f32) / dx.hypot(dy).max(1e-6);
        [path[i][0] - dy * half, path[i][1] + dx * half]
    };
    (0..n).map(|i| side(i, 1.0)).chain((0..n).rev().map(|i| side(i, -1.0))).collect()
}

/// `from` at t = 0, `to` at t = 1.
pub fn mix(from: Rgb, to: Rgb, t: f32) -> Rgb {
    [0, 1, 2].map(|k| from[k] + t * (to[k] - from[k]))
}

/// The colour with its brightness multiplied.
pub fn shade(colour: Rgb, factor: f32) -> Rgb {
    colour.map(|c| (c * factor).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    fn coverage(size: usize, outline: &[Point]) -> Vec<f32> {
        let mut canvas = Canvas::new(size);
        canvas.fill(outline, Paint::solid([1.0; 3]));
        assert!(canvas.areas.iter().all(|&area| area == 0.0), "the scratch is left dirty");
        canvas.pixels.iter().map(|p| p[3]).collect()
    }

    #[test]
    fn a_rectangle_covers_its_exact_fractions() {
        let covered = coverage(4, &[[0.5, 1.25], [2.75, 1.25], [2.75, 3.0], [0.5, 3.0]]);
        let (columns, rows) = ([0.5, 1.0, 0.75, 0.0], [0.0, 0.75, 1.0, 0.0]);
        for y in 0..4 {
            for x in 0..4 {
                assert_abs_diff_eq!(covered[4 * y + x], columns[x] * rows[y], epsilon = 1e-6);
            }
        }
    }

    #[test]
    fn coverage_sums_to_the_area_in_either_direction() {
        let mut triangle = vec![[1.3, 0.7], [14.2, 5.1], [4.9, 15.6]];
        let area = 0.5 * ((14.2 - 1.3) * (15.6 - 0.7) - (4.9 - 1.3) * (5.1 - 0.7));
        for _ in 0..2 {
            let sum: f32 = coverage(16, &triangle).iter().sum();
            assert_abs_diff_eq!(sum, area, epsilon = 1e-3);
            triangle.reverse();
        }
    }

    #[test]
    fn shapes_are_cut_at_the_sides_of_the_picture() {
        let covered = coverage(5, &[[-10.0, -10.0], [20.0, -10.0], [20.0, 20.0], [-10.0, 20.0]]);
        assert!(covered.iter().all(|&c| c == 1.0));
        for away in [[-9.0, 2.0], [9.0, 2.0], [2.0, -9.0], [2.0, 9.0]] {
            let outline = [[0.0, 0.0], [3.0, 0.0], [1.0, 3.0]].map(|p: Point| [p[0] + away[0], p[1] + away[1]]);
            assert!(coverage(5, &outline).iter().all(|&c| c == 0.0), "{away:?}");
        }
    }

    #[test]
    fn paint_is_laid_over_and_clipped() {
        let mut canvas = Canvas::new(2);
        let left = canvas.mask(&[[0.0, 0.0], [1.0, 0.0], [1.0, 2.0], [0.0, 2.0]]);
        let all = [[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]];
        canvas.fill(&all, Paint::solid([0.2, 0.4, 0.6]));
        canvas.fill(&all, Paint::solid([1.0, 0.0, 0.0]).alpha(0.5).clip(&left));
        for (pixel, expected) in canvas.pixels().iter().zip([[0.6, 0.2, 0.3, 1.0], [0.2, 0.4, 0.6, 1.0]]) {
            for (found, wanted) in pixel.iter().zip(expected) {
                assert_abs_diff_eq!(*found, wanted, epsilon = 1e-6);
            }
        }
    }

    #[test]
    fn a_spot_is_strongest_in_its_middle_and_ends_at_its_ellipse() {
        let mut canvas = Canvas::new(9);
        canvas.spot([4.5, 4.5], [4.0, 0.0], [0.0, 2.0], Paint::solid([1.0; 3]).alpha(0.5));
        let alpha = |x: usize, y: usize| canvas.pixels[9 * y + x][3];
        assert_abs_diff_eq!(alpha(4, 4), 0.5, epsilon = 1e-6);
        assert!(alpha(6, 4) > 0.0 && alpha(6, 4) < 0.5 && alpha(5, 4) > alpha(4, 5));
        assert_eq!((alpha(8, 4), alpha(4, 6)), (0.0, 0.0));
    }

    #[test]
    fn curves_pass_through_their_points_and_strokes_have_their_width() {
        let points = [[0.0, 0.0], [4.0, 1.0], [6.0, 5.0], [1.0, 6.0]];
        for curve in [open_curve(&points), closed_curve(&points)] {
            assert!(points.iter().all(|point| curve.contains(point)));
        }
        let line = stroke(&[[2.0, 3.0], [10.0, 3.0]], |t| 1.0 + t);
        assert_eq!(line, [[2.0, 3.5], [10.0, 4.0], [10.0, 2.0], [2.0, 2.5]]);
    }
}
