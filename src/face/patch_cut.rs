//! A patch cut out of an aligned picture: the network's input.

use super::patches::{Patch, Window};
use super::points::Shape;
use crate::data::crop::{CropScale, CropSpec, resample_taps, triangle_taps};
use image::RgbImage;

/// Which window of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The window as it is.
    Own,
    /// The window on the other side of the face ([`Patch::counterpart`]), not yet mirrored.
    Counterpart,
}

/// How a patch is cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PatchCut {
    pub patch: Patch,
    /// Extra input pixels on each side, room for random shifts.
    pub margin: u32,
}

impl PatchCut {
    /// Size of what is cut. The scale in it says nothing: the patch has its own.
    #[must_use]
    pub fn spec(&self) -> CropSpec {
        let (height, width) = self.patch.input();
        let (channels, margin) = (self.patch.channels(), self.margin);
        CropSpec { height, width, channels, scale: CropScale::Fit(1.0), margin }
    }

    /// Cuts the window of `side` from an aligned `picture` with these landmarks into `out`: u8, rows × columns ×
    /// channels with the margin included. Shrunk and enlarged as [`crop`](crate::data::crop) does, edge pixels repeated
    /// outside of the picture.
    ///
    /// # Panics
    /// When `out` is not [`CropSpec::stored_bytes`] long.
    pub fn cut(&self, picture: &RgbImage, landmarks: &Shape, side: Side, out: &mut [u8]) {
        let spec = self.spec();
        assert_eq!(out.len(), spec.stored_bytes(), "a patch's buffer has the patch's size");
        let window = match side {
            Side::Own => self.patch.window(landmarks),
            Side::Counterpart => self.patch.counterpart(landmarks),
        };
        let Window { centre: [x, y], width, .. } = window;
        let scale = f64::from(width) / f64::from(spec.width);
        let taps = |source_side: u32, centre: f32, outputs: usize| {
            // Pixel 0 covers [0, 1) there, and is centred on 0 here.
            let start = f64::from(centre) + 0.5 - 0.5 * outputs as f64 * scale;
            triangle_taps(source_side, start, outputs, scale)
        };
        let columns = taps(picture.width(), x, spec.stored_width());
        let rows = taps(picture.height(), y, spec.stored_height());
        resample_taps::<3>(picture.as_raw(), picture.width(), &columns, &rows, spec.channels, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::canonical::{HEIGHT, SHAPE, WIDTH};
    use crate::face::points::mirrored;
    use image::{Rgb, imageops};

    fn cut(patch: Patch, margin: u32, picture: &RgbImage, landmarks: &Shape, side: Side) -> Vec<u8> {
        let cut = PatchCut { patch, margin };
        let mut out = vec![0; cut.spec().stored_bytes()];
        cut.cut(picture, landmarks, side, &mut out);
        out
    }

    /// A crooked face: no landmark is where the canonical shape has it.
    fn crooked() -> Shape {
        std::array::from_fn(|i| [SHAPE[i][0] + 2.5 + 0.3 * i as f32, SHAPE[i][1] - 0.4 * i as f32])
    }

    fn texture() -> RgbImage {
        RgbImage::from_fn(WIDTH, HEIGHT, |x, y| {
            let wave =
                |period: f32, phase: f32| (128.0 + 90.0 * ((x as f32 + 0.7 * y as f32) / period + phase).sin()) as u8;
            Rgb([wave(3.0, 0.0), wave(7.0, 1.0), (x * 3 + y) as u8])
        })
    }

    #[test]
    fn the_mirror_image_of_the_counterpart_is_the_window_of_the_mirrored_face() {
        let (picture, landmarks) = (texture(), crooked());
        let flipped = imageops::flip_horizontal(&picture);
        let flipped_landmarks = mirrored(&landmarks, WIDTH as usize);
        for patch in Patch::all() {
            let odd = cut(patch, 2, &picture, &landmarks, Side::Counterpart);
            let even = cut(patch, 2, &flipped, &flipped_landmarks, Side::Own);
            let channels = patch.channels() as usize;
            let row = (patch.input().1 as usize + 4) * channels;
            let turned = odd.chunks_exact(row).flat_map(|row| row.chunks_exact(channels).rev().flatten());
            // Sums in another order round differently.
            let worst = turned.zip(&even).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(worst <= Some(1), "{patch}: {worst:?}");
        }
    }

    #[test]
    fn windows_show_the_place_they_name() {
        // Red is x, green is y.
        let picture = RgbImage::from_fn(WIDTH, HEIGHT, |x, y| Rgb([x as u8, y as u8, 0]));
        let landmarks = crooked();
        for patch in Patch::all().filter(|patch| patch.channels() == 3) {
            for (side, window) in
                [(Side::Own, patch.window(&landmarks)), (Side::Counterpart, patch.counterpart(&landmarks))]
            {
                let out = cut(patch, 1, &picture, &landmarks, side);
                let (rows, columns) = (patch.input().0 as usize + 2, patch.input().1 as usize + 2);
                let scale = window.width / patch.input().1 as f32;
                let at =
                    |i: usize, outputs: usize, centre: f32| centre + (i as f32 - (outputs as f32 - 1.0) / 2.0) * scale;
                for (i, pixel) in out.chunks_exact(3).enumerate() {
                    let (x, y) = (at(i % columns, columns, window.centre[0]), at(i / columns, rows, window.centre[1]));
                    // Near the edges, which are repeated, the filter is lopsided.
                    let well_inside = |at: f32, side: u32| at > 6.0 && at < side as f32 - 7.0;
                    if well_inside(x, WIDTH) && well_inside(y, HEIGHT) {
                        let error = (f32::from(pixel[0]) - x).abs().max((f32::from(pixel[1]) - y).abs());
                        assert!(error < 0.51, "{patch}: {pixel:?} at {x}, {y}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_window_on_the_middle_line_has_one_side_and_gray_is_luma() {
        let (picture, landmarks) = (texture(), crooked());
        let sides = |patch: Patch| [Side::Own, Side::Counterpart].map(|side| cut(patch, 0, &picture, &landmarks, side));
        for patch in Patch::all() {
            let [own, other] = sides(patch);
            assert_eq!(patch.is_paired(), own != other, "{patch}");
        }
        let [rgb, gray] = [0, 1].map(|kind| sides(Patch::new(150 + kind).unwrap()).into_iter().next().unwrap());
        for (colour, luma) in rgb.chunks_exact(3).zip(gray) {
            let expected = 0.299 * f32::from(colour[0]) + 0.587 * f32::from(colour[1]) + 0.114 * f32::from(colour[2]);
            assert!((expected - f32::from(luma)).abs() <= 1.0);
        }
    }

    #[test]
    fn landmarks_far_outside_give_edge_pixels() {
        let picture = RgbImage::from_fn(WIDTH, HEIGHT, |x, _| Rgb([if x == 0 { 77 } else { 5 }; 3]));
        let outside = [[-1e6f32, 3e6]; 21];
        let patch: Patch = "pupil@0.8 RGB".parse().unwrap();
        assert!(cut(patch, 0, &picture, &outside, Side::Own).iter().all(|&value| value == 77));
    }
}
