//! A picture resampled to the frame in which all faces have their eyes, nose and mouth in one place.
//!
//! Where the picture is enlarged, it is interpolated linearly between its four nearest pixels. Where it is shrunk, that
//! would skip pixels and alias; then every pixel of the picture counts that lies within one pixel of the frame, by a
//! triangle along each axis *of the frame*, so that a turned face is filtered as an upright one is. Shrinking by more
//! than two would make the triangle wide, so the picture is first averaged in squares of 2, 4, 8 … pixels until less
//! than a factor of two is left. At a scale of one without a turn the filter is the linear interpolation.
//!
//! Outside the picture the nearest edge pixel is repeated.

use super::canonical::{HEIGHT, WIDTH};
use super::similarity::Similarity;
use image::RgbImage;

/// The sum over a square of 2¹² pixels still fits 32 bits; no picture that can be decoded has a face that needs more.
const MOST_HALVINGS: f64 = 12.0;

/// A face in the frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Aligned {
    /// [`WIDTH`] × [`HEIGHT`] pixels.
    pub picture: RgbImage,
    /// Share of its pixels, 0 to 1, that lie outside the source and repeat its edge.
    pub outside: f32,
}

/// Resamples the upright `picture` by `to_frame`, which takes its points (pixel centres at whole numbers) to the frame.
///
/// # Panics
/// When the picture has no pixels.
pub fn align(picture: &RgbImage, to_frame: &Similarity) -> Aligned {
    assert!(picture.width() > 0 && picture.height() > 0, "a decoded picture has pixels");
    let from_frame = to_frame.inverse();
    let mut source = Source { pixels: picture.as_raw(), width: picture.width(), height: picture.height() };
    let mut to_source = from_frame;
    let halvings = from_frame.scale().log2().floor().clamp(0.0, MOST_HALVINGS) as u32;
    let averaged;
    if halvings > 0 {
        let (pixels, width, height, to_averaged) = average(&source, &from_frame, 1 << halvings);
        averaged = pixels;
        source = Source { pixels: &averaged, width, height };
        to_source = from_frame.then(&to_averaged);
    }
    let mut out = RgbImage::new(WIDTH, HEIGHT);
    let triangles = (to_source.scale() > 1.0).then(|| Triangles::new(&to_source));
    for (x, y, pixel) in out.enumerate_pixels_mut() {
        let at = to_source.apply_f64([f64::from(x), f64::from(y)]);
        let colour = triangles.as_ref().map_or_else(|| source.interpolate(at), |filter| source.filter(at, filter));
        pixel.0 = colour.map(|value| (value + 0.5) as u8);
    }
    Aligned { picture: out, outside: outside(picture, &from_frame) }
}

/// Share of the frame's pixels whose centres lie outside the picture.
fn outside(picture: &RgbImage, from_frame: &Similarity) -> f32 {
    let within = |at: f64, side: u32| (-0.5..=f64::from(side) - 0.5).contains(&at);
    let positions = (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| [f64::from(x), f64::from(y)]));
    let count = positions
        .filter(|&position| {
            let [x, y] = from_frame.apply_f64(position);
            !(within(x, picture.width()) && within(y, picture.height()))
        })
        .count();
    count as f32 / (WIDTH * HEIGHT) as f32
}

/// The filter of a frame pixel: triangles along both axes of the frame that reach to the neighbouring pixels.
struct Triangles {
    /// A step of a source pixel along x is (a, b) in the frame; along y, (−b, a).
    a: f32,
    b: f32,
    /// How far the filter reaches along the source's axes.
    reach: f64,
}

impl Triangles {
    fn new(to_source: &Similarity) -> Self {
        let [a, b, ..]: [f64; 4] = to_source.inverse().into();
        let [x, y, ..]: [f64; 4] = (*to_source).into();
        Self { a: a as f32, b: b as f32, reach: x.abs() + y.abs() }
    }
}

/// Interleaved RGB pixels.
struct Source<'a> {
    pixels: &'a [u8],
    width: u32,
    height: u32,
}

impl Source<'_> {
    /// The row `y`, or the edge's where the picture has none.
    fn row(&self, y: i64) -> &[[u8; 3]] {
        let row = y.clamp(0, i64::from(self.height) - 1) as usize * self.width as usize;
        &self.pixels.as_chunks::<3>().0[row..row + self.width as usize]
    }

    fn column(&self, x: i64) -> usize {
        x.clamp(0, i64::from(self.width) - 1) as usize
    }

    /// Linear interpolation.
    fn interpolate(&self, [x, y]: [f64; 2]) -> [f32; 3] {
        let (left, top) = (x.floor(), y.floor());
        let (right_share, bottom_share) = ((x - left) as f32, (y - top) as f32);
        let columns = [self.column(left as i64), self.column(left as i64 + 1)];
        let rows = [self.row(top as i64), self.row(top as i64 + 1)];
        std::array::from_fn(|channel| {
            let [upper, lower] = rows.map(|row| {
                let [a, b] = columns.map(|column| f32::from(row[column][channel]));
                a + right_share * (b - a)
            });
            upper + bottom_share * (lower - upper)
        })
    }

    /// The mean of the pixels about (x, y) that lie within one pixel of the frame along both of its axes, weighted by
    /// triangles. The frame must not enlarge: then there is one.
    fn filter(&self, [x, y]: [f64; 2], &Triangles { a, b, reach }: &Triangles) -> [f32; 3] {
        let mut sums = [0.0f32; 3];
        let mut total = 0.0;
        let (first, last) = ((x - reach).ceil() as i64, (x + reach).floor() as i64);
        for row in (y - reach).ceil() as i64..=(y + reach).floor() as i64 {
            let dy = (row as f64 - y) as f32;
            let pixels = self.row(row);
            for column in first..=last {
                let dx = (column as f64 - x) as f32;
                // The pixel's place in the frame, relative to the frame's pixel.
                let (u, v) = (a * dx - b * dy, b * dx + a * dy);
                let weight = (1.0 - u.abs()).max(0.0) * (1.0 - v.abs()).max(0.0);
                if weight > 0.0 {
                    total += weight;
                    let pixel = pixels[self.column(column)];
                    for (sum, value) in sums.iter_mut().zip(pixel) {
                        *sum += weight * f32::from(value);
                    }
                }
            }
        }
        sums.map(|sum| sum / total)
    }
}

/// Averages the part of `source` that the frame needs in squares of `side` pixels: pixels, width, height, and the
/// similarity from the source to them.
fn average(source: &Source, from_frame: &Similarity, side: u32) -> (Vec<u8>, u32, u32, Similarity) {
    let corners = [[0, 0], [WIDTH, 0], [0, HEIGHT], [WIDTH, HEIGHT]]
        .map(|corner| from_frame.apply_f64(corner.map(|number| f64::from(number) - 0.5)));
    // The filter reaches less than two frame pixels beyond the frame, along both axes.
    let reach = 3.0 * from_frame.scale();
    let squares = |axis: usize, length: u32| {
        let ends = corners.map(|corner| corner[axis]);
        let low = ends.iter().copied().fold(f64::INFINITY, f64::min) - reach;
        let high = ends.iter().copied().fold(f64::NEG_INFINITY, f64::max) + reach;
        // At least one square, of edge pixels where the frame lies beside the picture altogether.
        let last = i64::from(length.div_ceil(side)) - 1;
        let first = ((low / f64::from(side)).floor() as i64).clamp(0, last);
        let end = ((high / f64::from(side)).ceil() as i64).clamp(first + 1, last + 1);
        (first, end)
    };
    let (left, right) = squares(0, source.width);
    let (top, bottom) = squares(1, source.height);
    let (width, height) = ((right - left) as usize, (bottom - top) as usize);
    let area = side * side;
    let mut pixels = Vec::with_capacity(width * height * 3);
    let mut sums = vec![[0u32; 3]; width];
    for square_row in top..bottom {
        sums.fill([0; 3]);
        for y in 0..i64::from(side) {
            let row = source.row(square_row * i64::from(side) + y);
            for (square, sum) in (left..right).zip(&mut sums) {
                let start = square * i64::from(side);
                for x in 0..i64::from(side) {
                    let pixel = row[source.column(start + x)];
                    for (sum, value) in sum.iter_mut().zip(pixel) {
                        *sum += u32::from(value);
                    }
                }
            }
        }
        pixels.extend(sums.as_flattened().iter().map(|sum| ((sum + area / 2) / area) as u8));
    }
    // The centre of square 0 of an axis lies at (side − 1)/2.
    let scale = 1.0 / f64::from(side);
    let shift = |first: i64| (0.5 - f64::from(side) / 2.0) * scale - first as f64;
    let transform = Similarity::try_from([scale, 0.0, shift(left), shift(top)]).expect("a positive scale");
    (pixels, width as u32, height as u32, transform)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use std::f64::consts::{FRAC_PI_2, TAU};

    /// The similarity that shows a picture `scale` times as large, turned by `angle`, with `centre` in the frame's middle.
    fn view(scale: f64, angle: f64, centre: [f64; 2]) -> Similarity {
        let (a, b) = (scale * angle.cos(), scale * angle.sin());
        let [x, y] = centre;
        [a, b, 79.5 - (a * x - b * y), 95.5 - (b * x + a * y)].try_into().unwrap()
    }

    fn grey(width: u32, height: u32, value: impl Fn(f64, f64) -> f64) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([value(f64::from(x), f64::from(y)).round() as u8; 3]))
    }

    /// Largest distance from `expected`, which is given frame coordinates.
    fn worst(aligned: &Aligned, expected: impl Fn(f64, f64) -> f64) -> f64 {
        let pixels = aligned.picture.enumerate_pixels();
        pixels.map(|(x, y, p)| (f64::from(p[0]) - expected(f64::from(x), f64::from(y))).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn the_identity_copies_and_a_quarter_turn_turns() {
        let picture = RgbImage::from_fn(160, 192, |x, y| Rgb([x as u8, y as u8, (x * y) as u8]));
        let copy = align(&picture, &Similarity::IDENTITY);
        assert_eq!((copy.picture, copy.outside), (picture.clone(), 0.0));

        let wide = image::imageops::rotate270(&picture);
        // The left edge of `wide` becomes the top of the frame.
        let quarter = view(1.0, FRAC_PI_2, [95.5, 79.5]);
        let turned = align(&wide, &quarter);
        let worst = turned.picture.as_raw().iter().zip(picture.as_raw()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst <= Some(1), "{worst:?}");
    }

    #[test]
    fn a_ramp_is_exact_at_every_scale_and_turn() {
        let ramp = grey(1100, 1100, |x, y| 20.0 + 0.11 * x + 0.1 * y);
        for scale in [2.5, 1.0, 0.9, 0.6, 0.51, 0.26] {
            for angle in [0.0, 0.3, -0.7, 2.0] {
                let to_frame = view(scale, angle, [550.0, 550.0]);
                let aligned = align(&ramp, &to_frame);
                let back = to_frame.inverse();
                let error = worst(&aligned, |x, y| {
                    let [x, y] = back.apply_f64([x, y]);
                    20.0 + 0.11 * x + 0.1 * y
                });
                assert!(error < 1.6, "scale {scale}, angle {angle}: {error}");
                assert_eq!(aligned.outside, 0.0);
            }
        }
    }

    #[test]
    fn a_wave_keeps_its_phase_when_shrunk_and_turned() {
        // A period of 12 frame pixels, along a slanted direction of the source.
        for (scale, angle) in [(2.0, 0.2), (1.0, 0.4), (0.8, 0.0), (0.7, -0.5), (0.4, 0.3), (0.3, 1.2), (0.13, -0.4)] {
            let frequency = TAU / 12.0 * scale;
            let wave = |x: f64, y: f64| (frequency * (0.8 * x + 0.6 * y)).sin();
            let picture = grey(2000, 2000, |x, y| 127.5 + 100.0 * wave(x, y));
            let to_frame = view(scale, angle, [1003.2, 995.7]);
            let aligned = align(&picture, &to_frame);
            let back = to_frame.inverse();
            let (mut sine, mut cosine) = (0.0, 0.0);
            for (x, y, pixel) in aligned.picture.enumerate_pixels() {
                let [u, v] = back.apply_f64([f64::from(x), f64::from(y)]);
                let phase = frequency * (0.8 * u + 0.6 * v);
                let value = (f64::from(pixel[0]) - 127.5) / 100.0;
                sine += value * phase.sin();
                cosine += value * phase.cos();
            }
            let amplitude = 2.0 * sine.hypot(cosine) / f64::from(WIDTH * HEIGHT);
            let phase = cosine.atan2(sine);
            assert!(phase.abs() < 0.01, "scale {scale}, angle {angle}: off by {phase} rad");
            assert!((0.85..1.01).contains(&amplitude), "scale {scale}, angle {angle}: amplitude {amplitude}");
        }
    }

    #[test]
    fn what_the_frame_cannot_show_becomes_flat() {
        let checkerboard = grey(1200, 1200, |x, y| if (x + y) % 2.0 == 0.0 { 0.0 } else { 255.0 });
        let stripes = grey(1200, 1200, |x, _| if x % 2.0 == 0.0 { 0.0 } else { 255.0 });
        for angle in [0.0, 0.1, 0.5, std::f64::consts::FRAC_PI_4] {
            for (scale, levels) in [(0.25, 2.0), (0.3, 2.0), (0.55, 24.0)] {
                let to_frame = view(scale, angle, [600.3, 600.1]);
                let error = worst(&align(&checkerboard, &to_frame), |_, _| 127.5);
                assert!(error <= levels, "checkerboard at {scale}, turned {angle}: {error}");
            }
            let error = worst(&align(&stripes, &view(0.25, angle, [600.3, 600.1])), |_, _| 127.5);
            assert!(error <= 2.0, "stripes turned {angle}: {error}");
        }
    }

    #[test]
    fn edges_are_repeated_and_counted() {
        // The picture fills the frame's middle 80 columns and all rows.
        let picture = RgbImage::from_fn(80, 192, |x, _| Rgb([if x < 40 { 10 } else { 200 }, 0, 90]));
        let shifted = Similarity::try_from([1.0, 0.0, 40.0, 0.0]).unwrap();
        let aligned = align(&picture, &shifted);
        assert_eq!(aligned.outside, 0.5);
        assert!((0..192).all(|y| aligned.picture.get_pixel(0, y).0 == [10, 0, 90]));
        assert!((0..192).all(|y| aligned.picture.get_pixel(159, y).0 == [200, 0, 90]));

        // A huge picture, all of it beside the frame.
        let beside = align(&RgbImage::from_pixel(3000, 40, Rgb([1, 2, 3])), &view(0.1, 0.3, [-9e3, 1e4]));
        assert_eq!(beside.outside, 1.0);
        assert!(beside.picture.pixels().all(|pixel| pixel.0 == [1, 2, 3]));
        let one = align(&RgbImage::from_pixel(1, 1, Rgb([7, 8, 9])), &view(3.0, 0.0, [0.0, 0.0]));
        assert!(one.picture.pixels().all(|pixel| pixel.0 == [7, 8, 9]) && one.outside > 0.999);
    }
}
