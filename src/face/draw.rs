//! Landmarks painted on pictures, and the list of the 21 as a drawing.

use super::detect::FaceBox;
use super::picture::Picture;
use super::points::{LANDMARK_NAMES, Shape, pupil_distance};
use image::{Rgb, RgbImage, imageops};
use std::fmt::Write;

/// Landmarks that belong together.
const LINES: [&[usize]; 7] =
    [&[0, 1, 2], &[3, 4, 5], &[6, 7, 8], &[9, 10, 11], &[12, 14], &[13, 14, 15], &[16, 17, 19, 18, 16]];

/// The mean of the faces of HELEN and AFW and their mirror images: pupils level, their middle at the
/// origin, their distance 1.
pub const SCHEME: Shape = [
    [-0.93, -0.20],
    [-0.59, -0.38],
    [-0.18, -0.28],
    [0.18, -0.28],
    [0.59, -0.38],
    [0.93, -0.20],
    [-0.70, 0.0],
    [-0.50, 0.0],
    [-0.29, 0.03],
    [0.29, 0.03],
    [0.50, 0.0],
    [0.70, 0.0],
    [0.0, -0.04],
    [-0.24, 0.69],
    [0.0, 0.54],
    [0.24, 0.69],
    [-0.44, 1.05],
    [0.0, 0.97],
    [0.0, 1.29],
    [0.44, 1.05],
    [0.0, 1.82],
];

const POINT: Rgb<u8> = Rgb([86, 220, 120]);
const LINE: Rgb<u8> = Rgb([86, 180, 233]);
const BOX: Rgb<u8> = Rgb([230, 159, 0]);
const TEXT: Rgb<u8> = Rgb([255, 255, 255]);
const SHADOW: Rgb<u8> = Rgb([0, 0, 0]);
/// Pixels between the pupils that leave room for the numbers.
const ROOMY: f32 = 130.0;
/// No side grows beyond this to make room.
const LARGEST_SIDE: usize = 2048;

/// A face to paint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Painted {
    pub face: Option<FaceBox>,
    pub shape: Shape,
}

/// The picture with the faces' boxes, landmarks, their numbers and lines between those that belong
/// together; enlarged by a whole number where the faces are small. What lies outside is not painted.
pub fn paint(picture: &Picture, faces: &[Painted]) -> RgbImage {
    let smallest = faces.iter().map(|face| pupil_distance(&face.shape)).fold(f32::INFINITY, f32::min).max(1.0);
    let room = LARGEST_SIDE / picture.width.max(picture.height).max(1);
    let factor = ((ROOMY / smallest).ceil() as usize).clamp(1, room.max(1));
    let size = |side: usize| (side * factor) as u32;
    let mut canvas = imageops::resize(
        &picture.to_image(),
        size(picture.width),
        size(picture.height),
        imageops::FilterType::Triangle,
    );
    let place = |point: [f32; 2]| point.map(|at| (at + 0.5) * factor as f32 - 0.5);
    for Painted { face, shape } in faces {
        if let Some(FaceBox { x, y, width, height, .. }) = *face {
            let corners = [[x, y], [x + width, y], [x + width, y + height], [x, y + height], [x, y]].map(place);
            corners.windows(2).for_each(|ends| stroke(&mut canvas, ends[0], ends[1], 1.0, BOX));
        }
        let points = shape.map(place);
        for ends in LINES.iter().flat_map(|line| line.windows(2)) {
            stroke(&mut canvas, points[ends[0]], points[ends[1]], 0.8, LINE);
        }
        for (number, &[x, y]) in points.iter().enumerate() {
            stroke(&mut canvas, [x, y], [x, y], 2.5, POINT);
            write_number(&mut canvas, number, [x + 4.0, y - 12.0]);
        }
    }
    canvas
}

/// A line with round ends, its edges smoothed; a dot where the ends coincide.
fn stroke(canvas: &mut RgbImage, from: [f32; 2], to: [f32; 2], radius: f32, colour: Rgb<u8>) {
    let reach = radius + 1.0;
    // Saturating casts keep far-off and undefined points harmless.
    let range = |a: f32, b: f32, side: u32| {
        let low = (a.min(b) - reach).floor().clamp(0.0, side as f32) as u32;
        low..((a.max(b) + reach).ceil() + 1.0).clamp(low as f32, side as f32) as u32
    };
    let along = [to[0] - from[0], to[1] - from[1]];
    let square = along[0] * along[0] + along[1] * along[1];
    for y in range(from[1], to[1], canvas.height()) {
        for x in range(from[0], to[0], canvas.width()) {
            let offset = [x as f32 - from[0], y as f32 - from[1]];
            let share = (offset[0] * along[0] + offset[1] * along[1]) / square.max(1e-6);
            let share = share.clamp(0.0, 1.0);
            let distance = (offset[0] - share * along[0]).hypot(offset[1] - share * along[1]);
            let cover = (radius + 0.5 - distance).clamp(0.0, 1.0);
            let pixel = canvas.get_pixel_mut(x, y);
            for (value, ink) in pixel.0.iter_mut().zip(colour.0) {
                *value = (f32::from(*value) + cover * (f32::from(ink) - f32::from(*value)) + 0.5) as u8;
            }
        }
    }
}

/// The digits 0 to 9, five rows of three pixels, the highest bit to the left.
const DIGITS: [[u8; 5]; 10] = [
    [7, 5, 5, 5, 7],
    [2, 6, 2, 2, 7],
    [7, 1, 7, 4, 7],
    [7, 1, 3, 1, 7],
    [5, 5, 7, 1, 1],
    [7, 4, 7, 1, 7],
    [7, 4, 7, 5, 7],
    [7, 1, 2, 2, 2],
    [7, 5, 7, 5, 7],
    [7, 5, 7, 1, 7],
];

/// Writes a number with its upper left corner at `at`, each pixel of a digit 2×2, with a shadow.
fn write_number(canvas: &mut RgbImage, number: usize, [left, top]: [f32; 2]) {
    let mut dot = |x: f32, y: f32, colour| {
        let inside = x >= 0.0 && y >= 0.0 && x < canvas.width() as f32 && y < canvas.height() as f32;
        if inside {
            canvas.put_pixel(x as u32, y as u32, colour);
        }
    };
    for (colour, offset) in [(SHADOW, 1.0), (TEXT, 0.0)] {
        for (place, digit) in number.to_string().bytes().enumerate() {
            for (row, bits) in DIGITS[usize::from(digit - b'0')].iter().enumerate() {
                for column in (0..3).filter(|column| bits >> (2 - column) & 1 == 1) {
                    let (x, y) = (2 * (4 * place + column), 2 * row);
                    for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                        dot(left + offset + (x + dx) as f32, top + offset + (y + dy) as f32, colour);
                    }
                }
            }
        }
    }
}

/// The 21 landmarks on the mean face, with their numbers and names, as SVG.
pub fn scheme() -> String {
    const SIZE: [f32; 2] = [760.0, 480.0];
    const SCALE: f32 = 180.0;
    const MIDDLE: [f32; 2] = [230.0, 110.0];
    let place = |index: usize| [0, 1].map(|k| MIDDLE[k] + SCALE * SCHEME[index][k]);
    let [width, height] = SIZE;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"15\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    let mut add = |element: std::fmt::Arguments<'_>| {
        svg.write_fmt(element).expect("a string takes whatever is written");
        svg.push('\n');
    };
    for line in LINES {
        let points: Vec<String> = line.iter().map(|&i| place(i)).map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
        add(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"#56b4e9\" stroke-width=\"2\"/>",
            points.join(" ")
        ));
    }
    for (index, name) in LANDMARK_NAMES.iter().enumerate() {
        let [x, y] = place(index);
        add(format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"#0072b2\"/>"));
        add(format_args!("<text x=\"{:.1}\" y=\"{:.1}\" fill=\"#3c3c3c\">{index}</text>", x + 6.0, y - 6.0));
        let row = 30.0 + 20.5 * index as f32;
        add(format_args!("<text x=\"505\" y=\"{row:.1}\" fill=\"#3c3c3c\" text-anchor=\"end\">{index}</text>"));
        add(format_args!("<text x=\"517\" y=\"{row:.1}\" fill=\"#3c3c3c\">{name}</text>"));
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::points::{LANDMARKS, mirrored};

    fn at(scale: f32, [x, y]: [f32; 2]) -> Shape {
        SCHEME.map(|point| [scale * point[0] + x, scale * point[1] + y])
    }

    #[test]
    fn points_are_painted_where_they_are_and_nothing_far_from_them_changes() {
        let picture = Picture { width: 120, height: 100, rgb: vec![90; 120 * 100 * 3] };
        let shape = at(30.0, [59.5, 40.0]);
        let face = FaceBox { x: 20.0, y: 10.0, width: 80.0, height: 80.0, score: 1.0 };
        let painted = paint(&picture, &[Painted { face: Some(face), shape }]);
        // ⌈130 / 30⌉ times as large.
        assert_eq!(painted.dimensions(), (600, 500));
        for [x, y] in shape.map(|point| point.map(|at| ((at + 0.5) * 5.0 - 0.5).round() as u32)) {
            assert_eq!(*painted.get_pixel(x, y), POINT, "{x} {y}");
        }
        assert_eq!(*painted.get_pixel(102, 200), BOX);
        assert_eq!(*painted.get_pixel(5, 490), Rgb([90; 3]));
    }

    #[test]
    fn faces_outside_the_picture_and_broken_ones_are_harmless() {
        let picture = Picture { width: 40, height: 30, rgb: vec![90; 40 * 30 * 3] };
        for shape in [at(20.0, [-500.0, 900.0]), at(1e30, [0.0, 0.0]), [[f32::NAN; 2]; LANDMARKS]] {
            let painted = paint(&picture, &[Painted { face: None, shape }]);
            assert!(painted.width() >= 40);
        }
        assert_eq!(paint(&picture, &[]).into_raw(), picture.rgb);
    }

    #[test]
    fn the_scheme_is_symmetric_and_names_all() {
        // mirrored() maps x to width − 1 − x: a width of 1 mirrors about the origin.
        assert_eq!(mirrored(&SCHEME, 1), SCHEME);
        let svg = scheme();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for (index, name) in LANDMARK_NAMES.iter().enumerate() {
            assert!(svg.contains(&format!(">{name}<")) && svg.contains(&format!(">{index}<")));
        }
    }
}
