//! The contact sheet of a face's 200 patches.

use super::patch_cut::{PatchCut, Side};
use super::patches::{ALL_REGIONS, Patch, REGIONS, SCALES, Window};
use super::points::Shape;
use font8x8::{BASIC_FONTS, UnicodeFonts};
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

const PAPER: Rgb<u8> = Rgb([255; 3]);
const INK: Rgb<u8> = Rgb([30; 3]);
/// Colours of the windows, the closest first.
const SCALE_COLOURS: [Rgb<u8>; SCALES] =
    [Rgb([255, 64, 64]), Rgb([255, 170, 0]), Rgb([70, 220, 70]), Rgb([60, 170, 255]), Rgb([225, 110, 255])];
/// Side of a letter.
const LETTER: u32 = 8;
/// The face beside its patches is half as large as the aligned picture.
const FACE: (u32, u32) = (80, 96);
/// Room for the largest patch and a gap.
const CELL: u32 = 52;
/// A line of text above, the face, and a gap.
const ROW: u32 = 12 + FACE.1 + 8;
const GAP: u32 = 8;
const COLUMN: u32 = FACE.0 + GAP + 2 * SCALES as u32 * CELL + 2 * GAP;
/// Columns of regions.
const COLUMNS: u32 = 2;
const ROWS: u32 = (REGIONS as u32).div_ceil(COLUMNS);

/// Draws all patches of an aligned picture in their own pixels: for each region its name, the face with the windows of
/// the five scales, and the patches, RGB and then gray, with their scale below.
pub fn contact_sheet(picture: &RgbImage, landmarks: &Shape) -> RgbImage {
    let mut sheet = RgbImage::from_pixel(COLUMNS * COLUMN + GAP, ROWS * ROW + GAP, PAPER);
    for (number, region) in ALL_REGIONS.iter().enumerate() {
        let number_u32 = number as u32;
        let (left, top) = (GAP + number_u32 / ROWS * COLUMN, GAP + number_u32 % ROWS * ROW);
        let first = number * SCALES * 2;
        let sides = if region.is_paired() { ", and its counterpart on the right" } else { "" };
        let (rows, columns) = region.input;
        let title = format!("{number} {} ({first}-{}), {rows}x{columns}{sides}", region.name, first + 2 * SCALES - 1);
        write_text(&mut sheet, left, top, &title, INK);
        let mut face = imageops::resize(picture, FACE.0, FACE.1, FilterType::Triangle);
        let patches: Vec<Patch> = Patch::all().filter(|patch| patch.region_index() == number).collect();
        for patch in patches.iter().filter(|patch| patch.channels() == 3) {
            outline(&mut face, patch.window(landmarks), SCALE_COLOURS[patch.scale()]);
        }
        let top = top + 12;
        imageops::replace(&mut sheet, &face, left.into(), top.into());
        for patch in patches {
            let gray = patch.channels() == 1;
            let place = patch.scale() as u32 + if gray { SCALES as u32 } else { 0 };
            let x = left + FACE.0 + GAP + place * CELL + if gray { GAP } else { 0 };
            imageops::replace(&mut sheet, &pixels(patch, picture, landmarks), x.into(), top.into());
            let name = format!("@{:.1}", patch.relative_width());
            write_text(&mut sheet, x, top + rows + 3, &name, darker(SCALE_COLOURS[patch.scale()]));
        }
    }
    sheet
}

/// The colour of text on white: dark enough to read.
fn darker(colour: Rgb<u8>) -> Rgb<u8> {
    Rgb(colour.0.map(|value| value / 2))
}

/// A patch in its own pixels, in RGB.
fn pixels(patch: Patch, picture: &RgbImage, landmarks: &Shape) -> RgbImage {
    let cut = PatchCut { patch, margin: 0 };
    let mut bytes = vec![0; cut.spec().stored_bytes()];
    cut.cut(picture, landmarks, Side::Own, &mut bytes);
    if patch.channels() == 1 {
        bytes = bytes.iter().flat_map(|&value| [value; 3]).collect();
    }
    let (rows, columns) = patch.input();
    RgbImage::from_raw(columns, rows, bytes).expect("three bytes a pixel")
}

/// The border of a window of the aligned picture, on the smaller `face`.
fn outline(face: &mut RgbImage, window: Window, colour: Rgb<u8>) {
    let scale = face.width() as f32 / super::canonical::WIDTH as f32;
    let edge = |centre: f32, length: f32, sign: f32, side: u32| {
        // A window that reaches beyond the picture is shown to its edge.
        ((centre + sign * length / 2.0 + 0.5) * scale).round().clamp(0.0, side as f32 - 1.0) as u32
    };
    let [x, y] = window.centre;
    let (left, right) = (edge(x, window.width, -1.0, face.width()), edge(x, window.width, 1.0, face.width()));
    let (top, bottom) = (edge(y, window.height, -1.0, face.height()), edge(y, window.height, 1.0, face.height()));
    for x in left..=right {
        face.put_pixel(x, top, colour);
        face.put_pixel(x, bottom, colour);
    }
    for y in top..=bottom {
        face.put_pixel(left, y, colour);
        face.put_pixel(right, y, colour);
    }
}

/// Writes a line in 8×8 letters; what lies outside of the picture is cut off.
fn write_text(picture: &mut RgbImage, left: u32, top: u32, text: &str, colour: Rgb<u8>) {
    for (column, letter) in (0..).map(|i| left + i * LETTER).zip(text.chars()) {
        let rows = BASIC_FONTS.get(letter).unwrap_or_default();
        for (y, row) in (top..).zip(rows) {
            for x in (0..LETTER).filter(|x| row >> x & 1 == 1) {
                if let Some(pixel) = picture.get_pixel_mut_checked(column + x, y) {
                    *pixel = colour;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::canonical::{HEIGHT, SHAPE, WIDTH};

    #[test]
    fn the_sheet_holds_every_patch_as_the_network_sees_it() {
        let picture = RgbImage::from_fn(WIDTH, HEIGHT, |x, y| Rgb([x as u8, y as u8, ((3 * x) ^ (5 * y)) as u8]));
        let sheet = contact_sheet(&picture, &SHAPE);
        let holds = |patch: &RgbImage, x: u32, y: u32| {
            imageops::crop_imm(&sheet, x, y, patch.width(), patch.height()).to_image() == *patch
        };
        for patch in Patch::all() {
            let expected = pixels(patch, &picture, &SHAPE);
            let (region, gray) = (patch.region_index() as u32, u32::from(patch.channels() == 1));
            let x = GAP + region / ROWS * COLUMN + FACE.0 + GAP + (patch.scale() as u32 + 5 * gray) * CELL + gray * GAP;
            let y = GAP + region % ROWS * ROW + 12;
            assert!(holds(&expected, x, y), "{patch}");
        }
        // Windows are drawn in all five colours.
        for colour in SCALE_COLOURS {
            assert!(sheet.pixels().filter(|&&pixel| pixel == colour).count() > 500);
        }
    }

    #[test]
    fn text_is_readable_and_cut_off_at_the_edge() {
        let mut picture = RgbImage::from_pixel(20, 8, PAPER);
        write_text(&mut picture, 0, 0, "|..é", INK);
        let ink = |x: u32| (0..8).filter(|&y| *picture.get_pixel(x, y) == INK).count();
        // A bar in the first letter's middle, nothing beyond the two points.
        assert!(ink(3) >= 6 && ink(0) == 0);
        write_text(&mut picture, 15, 5, "W", INK);
    }
}
