//! A photograph in memory.

use crate::data::crop::{self, LUMA, triangle_taps};
use image::DynamicImage;
use std::path::Path;

/// A decoded, upright photograph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    /// Rows from top to bottom, pixels from left to right, three bytes each: R, G, B.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// Decodes a picture of any kind that [`crop::decode`] takes and turns it upright.
    ///
    /// # Errors
    /// A missing, empty, corrupt, truncated or unknown picture.
    pub fn open(path: &Path) -> Result<Self, crop::Error> {
        Ok(crop::decode(path)?.into())
    }

    /// The luma (BT.601) of every pixel.
    pub fn gray(&self) -> Gray {
        let [red, green, blue] = LUMA;
        let luma = |&[r, g, b]: &[u8; 3]| red * f32::from(r) + green * f32::from(g) + blue * f32::from(b);
        Gray { width: self.width, height: self.height, pixels: self.rgb.as_chunks().0.iter().map(luma).collect() }
    }

    /// The picture as the `image` crate has it.
    ///
    /// # Panics
    /// When `rgb` is not three bytes a pixel.
    pub fn to_image(&self) -> image::RgbImage {
        image::RgbImage::from_raw(self.width as u32, self.height as u32, self.rgb.clone()).expect("three bytes a pixel")
    }
}

impl From<DynamicImage> for Picture {
    /// Transparency is dropped; grey becomes R = G = B; 16 bits become 8.
    fn from(picture: DynamicImage) -> Self {
        let rgb = picture.into_rgb8();
        Self { width: rgb.width() as usize, height: rgb.height() as usize, rgb: rgb.into_raw() }
    }
}

/// The luma of a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Gray {
    pub width: usize,
    pub height: usize,
    /// Row by row, 0 to 255.
    pub pixels: Vec<f32>,
}

/// A rectangle of a picture to be resampled, in pixels, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// The window's left and top edge, to the right of and below those of the picture.
    pub left: f64,
    pub top: f64,
    /// Pixels of the source in one pixel of the result.
    pub scale: f64,
    /// Size of the result.
    pub width: usize,
    pub height: usize,
}

impl Window {
    /// Where a point of the source (pixel centres at whole numbers) lies in the result.
    pub fn place(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let to = |at: f32, start: f64| ((f64::from(at) + 0.5 - start) / self.scale - 0.5) as f32;
        [to(x, self.left), to(y, self.top)]
    }

    /// Where a point of the result lies in the source.
    pub fn source(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let from = |at: f32, start: f64| ((f64::from(at) + 0.5) * self.scale + start - 0.5) as f32;
        [from(x, self.left), from(y, self.top)]
    }
}

impl Gray {
    /// Resamples a window with the triangle filter of [`crop`]: averaging where it shrinks, linear
    /// where it enlarges. Outside the picture the nearest edge pixel is repeated.
    ///
    /// # Panics
    /// When the picture has no pixels.
    pub fn resample(&self, window: &Window) -> Gray {
        let columns = triangle_taps(self.width as u32, window.left, window.width, window.scale);
        let rows = triangle_taps(self.height as u32, window.top, window.height, window.scale);
        let first_row = rows.iter().map(|taps| taps.first).min().unwrap_or(0);
        let end_row = rows.iter().map(|taps| taps.first + taps.weights.len()).max().unwrap_or(0);
        let mut narrow = Vec::with_capacity((end_row - first_row) * window.width);
        for row in first_row..end_row {
            let source = &self.pixels[row * self.width..(row + 1) * self.width];
            narrow.extend(columns.iter().map(|taps| {
                taps.weights.iter().zip(&source[taps.first..]).map(|(weight, value)| weight * value).sum::<f32>()
            }));
        }
        let mut pixels = vec![0.0; window.width * window.height];
        for (target, taps) in pixels.chunks_exact_mut(window.width.max(1)).zip(&rows) {
            let lines = narrow[(taps.first - first_row) * window.width..].chunks_exact(window.width);
            for (weight, line) in taps.weights.iter().zip(lines) {
                for (sum, value) in target.iter_mut().zip(line) {
                    *sum += weight * value;
                }
            }
        }
        Gray { width: window.width, height: window.height, pixels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Luma, Rgb, RgbImage};

    #[test]
    fn pictures_of_every_kind_become_rgb_and_luma() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.png");
        RgbImage::from_fn(3, 2, |x, y| Rgb([100 * x as u8, 50 * y as u8, 7])).save(&path).unwrap();
        let picture = Picture::open(&path).unwrap();
        assert_eq!((picture.width, picture.height), (3, 2));
        assert_eq!(picture.rgb[5 * 3..], [200, 50, 7]);
        let gray = picture.gray();
        assert_eq!((gray.width, gray.height, gray.pixels.len()), (3, 2, 6));
        assert!((gray.pixels[5] - (0.299 * 200.0 + 0.587 * 50.0 + 0.114 * 7.0)).abs() < 1e-4);
        assert_eq!(picture.to_image().into_raw(), picture.rgb);

        image::ImageBuffer::from_fn(2, 2, |x, _| Luma([if x == 0 { 0u16 } else { 65_535 }])).save(&path).unwrap();
        assert_eq!(Picture::open(&path).unwrap().rgb, [0, 0, 0, 255, 255, 255, 0, 0, 0, 255, 255, 255]);
        assert!(Picture::open(&folder.path().join("none.jpg")).unwrap_err().to_string().contains("none.jpg"));
    }

    #[test]
    fn windows_of_a_ramp_are_ramps_and_edges_are_repeated() {
        let ramp = |x: f32, y: f32| 2.0 * x + 3.0 * y;
        let pixels = (0..40 * 30).map(|i| ramp((i % 40) as f32, (i / 40) as f32)).collect();
        let gray = Gray { width: 40, height: 30, pixels };
        for scale in [0.4, 1.0, 1.7] {
            let window = Window { left: 5.3, top: 4.9, scale, width: 11, height: 9 };
            let out = gray.resample(&window);
            for (i, &value) in out.pixels.iter().enumerate() {
                let at = [(i % 11) as f32, (i / 11) as f32];
                let [x, y] = window.source(at);
                // Taps that sample a triangle between whole pixels are not quite symmetric.
                assert!(
                    (value - ramp(x, y)).abs() < if scale > 1.0 { 0.5 } else { 1e-3 },
                    "scale {scale}: {value} at {x}, {y}"
                );
                let back = window.place([x, y]);
                assert!((back[0] - at[0]).abs() < 1e-4 && (back[1] - at[1]).abs() < 1e-4);
            }
        }
        let copy = gray.resample(&Window { left: 0.0, top: 0.0, scale: 1.0, width: 40, height: 30 });
        assert_eq!(copy, gray);
        let outside = gray.resample(&Window { left: -20.0, top: -20.0, scale: 1.0, width: 3, height: 3 });
        assert!(outside.pixels.iter().all(|&value| value == gray.pixels[0]));
    }
}
