//! A picture file becomes a fixed-size crop: decode (see [`decode`]), cut the centre, resample.
//!
//! The crop is a window about the picture's centre, measured in source pixels and in general not a
//! whole number of them. It is resampled with a triangle filter as wide as the output pixel (no
//! narrower than a source pixel), so that it averages when it shrinks and interpolates linearly
//! when it enlarges. Outside the picture the nearest edge pixel is repeated.

use super::decode::{self, decode_upright};
use image::DynamicImage;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// Luma weights of R, G and B, ITU-R BT.601 (those of JPEG's own luma).
pub(crate) const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

/// Why a crop cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Picture(#[from] decode::Error),
    #[error("crop of {height}×{width}: expected sides of 1 to {MAX_SIDE} pixels, margin included")]
    Size { height: u32, width: u32 },
    #[error("crop with {channels} channels: expected 3 (RGB) or 1 (grey)")]
    Channels { channels: u32 },
    #[error(
        "crop scale `{text}`: expected source pixels an output pixel such as 1.99, or `fit`, or `fit:FRACTION` such as fit:0.8; numbers from 0.001 to 1000"
    )]
    Scale { text: String },
}

/// Largest side of a crop: far beyond any network's input, small enough to multiply safely.
const MAX_SIDE: u32 = 8192;

/// How large the window is that becomes the crop. Written `1.99`, `fit` or `fit:0.8`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CropScale {
    /// Source pixels an output pixel, for pictures that all show the face at one size.
    SourcePixels(f64),
    /// The window is this fraction of the largest centred window of the crop's shape that the
    /// picture holds (margin not counted), for pictures of any size.
    Fit(f64),
}

impl CropScale {
    fn is_sane(self) -> bool {
        let (Self::SourcePixels(number) | Self::Fit(number)) = self;
        (0.001..=1000.0).contains(&number)
    }
}

impl fmt::Display for CropScale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SourcePixels(pixels) => write!(f, "{pixels}"),
            Self::Fit(1.0) => write!(f, "fit"),
            Self::Fit(fraction) => write!(f, "fit:{fraction}"),
        }
    }
}

impl FromStr for CropScale {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let scale = match text.strip_prefix("fit") {
            Some("") => Some(Self::Fit(1.0)),
            Some(rest) => rest.strip_prefix(':').and_then(|n| n.parse().ok()).map(Self::Fit),
            None => text.parse().ok().map(Self::SourcePixels),
        };
        scale.filter(|scale| scale.is_sane()).ok_or_else(|| Error::Scale { text: text.into() })
    }
}

impl TryFrom<String> for CropScale {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<CropScale> for String {
    fn from(scale: CropScale) -> Self {
        scale.to_string()
    }
}

/// What is cut from every picture of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CropSpec {
    /// Rows of the network's input.
    pub height: u32,
    /// Columns of the network's input.
    pub width: u32,
    /// 3 (RGB) or 1 (grey).
    pub channels: u32,
    /// Size of the window; its centre is the picture's.
    pub scale: CropScale,
    /// Extra output pixels on each side, room for random shifts.
    pub margin: u32,
}

impl Default for CropSpec {
    /// The whole-face input of the paper: 55×47 RGB (PAPER §1), of the largest window that fits.
    fn default() -> Self {
        Self { height: 55, width: 47, channels: 3, scale: CropScale::Fit(1.0), margin: 0 }
    }
}

impl CropSpec {
    /// The same window without the margin: what validation sees.
    #[must_use]
    pub fn without_margin(self) -> Self {
        Self { margin: 0, ..self }
    }

    /// Rows of the stored crop, margin included.
    pub fn stored_height(&self) -> usize {
        (self.height + 2 * self.margin) as usize
    }

    /// Columns of the stored crop, margin included.
    pub fn stored_width(&self) -> usize {
        (self.width + 2 * self.margin) as usize
    }

    /// Bytes of the stored crop: `stored_height · stored_width · channels`.
    pub fn stored_bytes(&self) -> usize {
        self.stored_height() * self.stored_width() * self.channels as usize
    }

    /// Checks every field.
    ///
    /// # Errors
    /// A side of zero or beyond 8192 pixels, channels other than 1 and 3, a scale that is not a
    /// sane positive number.
    pub fn check(&self) -> Result<(), Error> {
        let side_fits =
            |side: u32| side >= 1 && self.margin <= MAX_SIDE && side.saturating_add(2 * self.margin) <= MAX_SIDE;
        if !side_fits(self.height) || !side_fits(self.width) {
            return Err(Error::Size { height: self.height, width: self.width });
        }
        if !matches!(self.channels, 1 | 3) {
            return Err(Error::Channels { channels: self.channels });
        }
        if !self.scale.is_sane() {
            return Err(Error::Scale { text: self.scale.to_string() });
        }
        Ok(())
    }

    /// Source pixels an output pixel in a picture of `height`×`width`.
    fn source_pixels(&self, height: u32, width: u32) -> f64 {
        match self.scale {
            CropScale::SourcePixels(pixels) => pixels,
            CropScale::Fit(fraction) => {
                let rows = f64::from(height) / f64::from(self.height);
                let columns = f64::from(width) / f64::from(self.width);
                fraction * rows.min(columns)
            }
        }
    }
}

/// Reads the picture `path` and writes its crop to `out`: u8, rows × columns × channels
/// (interleaved), [`CropSpec::stored_bytes`] long.
///
/// # Errors
/// A bad `spec`; a missing, empty, corrupt, truncated or unknown picture.
///
/// # Panics
/// When `out` has another length.
pub fn load_crop_into(path: &Path, spec: &CropSpec, out: &mut [u8]) -> Result<(), Error> {
    spec.check()?;
    let picture = decode_upright(path)?;
    crop_into(&picture, spec, out);
    Ok(())
}

/// [`load_crop_into`] into a new vector.
///
/// # Errors
/// As [`load_crop_into`].
pub fn load_crop(path: &Path, spec: &CropSpec) -> Result<Vec<u8>, Error> {
    spec.check()?;
    let mut out = vec![0; spec.stored_bytes()];
    load_crop_into(path, spec, &mut out)?;
    Ok(out)
}

/// Cuts and resamples a decoded picture; layout of `out` as in [`load_crop_into`].
///
/// Grey is BT.601 luma of the resampled colours.
///
/// # Panics
/// When `out` is not [`CropSpec::stored_bytes`] long.
pub fn crop_into(picture: &DynamicImage, spec: &CropSpec, out: &mut [u8]) {
    assert_eq!(out.len(), spec.stored_bytes(), "a crop's buffer has the crop's size");
    if picture.color().has_color() {
        match picture {
            DynamicImage::ImageRgb8(rgb) => resample::<3>(rgb.as_raw(), rgb.dimensions(), spec, out),
            other => {
                let rgb = other.to_rgb8();
                resample::<3>(rgb.as_raw(), rgb.dimensions(), spec, out);
            }
        }
    } else {
        match picture {
            DynamicImage::ImageLuma8(grey) => {
                resample::<1>(grey.as_raw(), grey.dimensions(), spec, out);
            }
            other => {
                let grey = other.to_luma8();
                resample::<1>(grey.as_raw(), grey.dimensions(), spec, out);
            }
        }
    }
}

/// Weights of one output pixel along one axis, over source pixels `first..first + weights.len()`.
pub(crate) struct Taps {
    pub first: usize,
    pub weights: Vec<f32>,
}

/// Triangle-filter taps of a centred window of `outputs` pixels, `scale` source pixels each.
fn centred_taps(source_side: u32, outputs: usize, scale: f64) -> Vec<Taps> {
    let window_start = (f64::from(source_side) - outputs as f64 * scale) / 2.0;
    triangle_taps(source_side, window_start, outputs, scale)
}

/// Triangle-filter taps of a window of `outputs` pixels, `scale` source pixels each, whose left edge lies
/// `window_start` source pixels to the right of the picture's.
pub(crate) fn triangle_taps(source_side: u32, window_start: f64, outputs: usize, scale: f64) -> Vec<Taps> {
    let last = i64::from(source_side) - 1;
    let radius = scale.max(1.0);
    (0..outputs)
        .map(|output| {
            let centre = window_start + (output as f64 + 0.5) * scale;
            // Source pixel s covers [s, s + 1); its centre is s + ½.
            let from = (centre - radius - 0.5).floor() as i64;
            let to = (centre + radius - 0.5).ceil() as i64;
            let first = from.clamp(0, last);
            let mut weights = vec![0.0f64; (to.clamp(0, last) - first + 1) as usize];
            for source in from..=to {
                let distance = (source as f64 + 0.5 - centre).abs() / radius;
                // Clamping the index repeats the edge pixel outside the picture.
                weights[(source.clamp(0, last) - first) as usize] += (1.0 - distance).max(0.0);
            }
            let sum: f64 = weights.iter().sum();
            Taps { first: first as usize, weights: weights.iter().map(|weight| (weight / sum) as f32).collect() }
        })
        .collect()
}

/// Separable resampling of an interleaved picture with `C` channels: along the rows, then the
/// columns.
fn resample<const C: usize>(source: &[u8], (source_width, source_height): (u32, u32), spec: &CropSpec, out: &mut [u8]) {
    let scale = spec.source_pixels(source_height, source_width);
    let columns = centred_taps(source_width, spec.stored_width(), scale);
    let rows = centred_taps(source_height, spec.stored_height(), scale);
    resample_taps::<C>(source, source_width, &columns, &rows, spec.channels, out);
}

/// Separable resampling of an interleaved picture with `C` channels to `rows` × `columns` × `channels`.
pub(crate) fn resample_taps<const C: usize>(
    source: &[u8],
    source_width: u32,
    columns: &[Taps],
    rows: &[Taps],
    channels: u32,
    out: &mut [u8],
) {
    let first_row = rows.iter().map(|taps| taps.first).min().unwrap_or(0);
    let end_row = rows.iter().map(|taps| taps.first + taps.weights.len()).max().unwrap_or(0);

    let narrow_row = columns.len() * C;
    let mut narrow = vec![0.0f32; (end_row - first_row) * narrow_row];
    let source_row = source_width as usize * C;
    for (target, row) in narrow.chunks_exact_mut(narrow_row).zip(first_row..) {
        let pixels = source[row * source_row..(row + 1) * source_row].as_chunks::<C>().0;
        for (pixel, taps) in target.as_chunks_mut::<C>().0.iter_mut().zip(columns) {
            for (weight, value) in taps.weights.iter().zip(&pixels[taps.first..]) {
                for channel in 0..C {
                    pixel[channel] += weight * f32::from(value[channel]);
                }
            }
        }
    }

    let mut row = vec![0.0f32; narrow_row];
    for (target, taps) in out.chunks_exact_mut(columns.len() * channels as usize).zip(rows) {
        row.fill(0.0);
        let start = (taps.first - first_row) * narrow_row;
        for (weight, line) in taps.weights.iter().zip(narrow[start..].chunks_exact(narrow_row)) {
            for (sum, value) in row.iter_mut().zip(line) {
                *sum += weight * value;
            }
        }
        write_row::<C>(&row, channels, target);
    }
}

/// Rounds a row of `C`-channel pixels to u8, converting to `channels` channels.
fn write_row<const C: usize>(row: &[f32], channels: u32, target: &mut [u8]) {
    let round = |value: f32| (value + 0.5) as u8;
    let pixels = row.as_chunks::<C>().0;
    match (C, channels) {
        (1, 3) => {
            for (pixel, rgb) in pixels.iter().zip(target.as_chunks_mut::<3>().0) {
                *rgb = [round(pixel[0]); 3];
            }
        }
        (3, 1) => {
            for (pixel, grey) in pixels.iter().zip(target) {
                *grey = round(pixel.iter().zip(LUMA).map(|(value, weight)| value * weight).sum());
            }
        }
        _ => {
            for (value, byte) in row.iter().zip(target) {
                *byte = round(*value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, ImageBuffer, Luma, Rgb, RgbImage};

    fn grey_spec(height: u32, width: u32, scale: CropScale) -> CropSpec {
        CropSpec { height, width, channels: 1, scale, margin: 0 }
    }

    fn crop(picture: &DynamicImage, spec: &CropSpec) -> Vec<u8> {
        let mut out = vec![0; spec.stored_bytes()];
        crop_into(picture, spec, &mut out);
        out
    }

    /// Value 2·x + y: linear, so that any symmetric normalised filter gives it back at its centre.
    fn ramp(width: u32, height: u32) -> DynamicImage {
        GrayImage::from_fn(width, height, |x, y| Luma([(2 * x + y) as u8])).into()
    }

    #[test]
    fn unit_scale_copies_the_centre() {
        let picture = ramp(20, 14);
        let out = crop(&picture, &grey_spec(6, 8, CropScale::SourcePixels(1.0)));
        let expected: Vec<u8> = (0..6).flat_map(|y| (0..8).map(move |x| 2 * (x + 6) + (y + 4))).collect();
        assert_eq!(out, expected);
    }

    #[test]
    fn fractional_windows_sample_a_ramp_at_the_right_place() {
        let picture = ramp(80, 60);
        for scale in [0.37, 0.5, 1.0, 1.5, 1.9909, 2.0, 3.3] {
            let spec = grey_spec(11, 13, CropScale::SourcePixels(scale));
            let out = crop(&picture, &spec);
            for y in 0..11 {
                for x in 0..13 {
                    // Output centre, in source pixels, less the half pixel of the source centre.
                    let source_x = 40.0 + (x as f64 + 0.5 - 6.5) * scale - 0.5;
                    let source_y = 30.0 + (y as f64 + 0.5 - 5.5) * scale - 0.5;
                    let expected = 2.0 * source_x + source_y;
                    let found = f64::from(out[y * 13 + x]);
                    assert!((found - expected).abs() < 0.75, "scale {scale}, ({y}, {x}): {found} {expected}");
                }
            }
        }
    }

    #[test]
    fn shrinking_averages_instead_of_picking() {
        // A one-pixel checkerboard aliases to 0 or 255 unless it is averaged.
        let picture: DynamicImage =
            GrayImage::from_fn(64, 64, |x, y| Luma([if (x + y) % 2 == 0 { 255 } else { 0 }])).into();
        for scale in [2.0, 3.0, 3.7] {
            let out = crop(&picture, &grey_spec(8, 8, CropScale::SourcePixels(scale)));
            assert!(out.iter().all(|v| (110..=145).contains(v)), "scale {scale}: {out:?}");
        }
    }

    #[test]
    fn outside_the_picture_the_edge_repeats() {
        let picture = ramp(4, 4);
        let out = crop(&picture, &grey_spec(8, 8, CropScale::SourcePixels(1.0)));
        for (index, value) in out.into_iter().enumerate() {
            let clamp = |at: usize| at.saturating_sub(2).min(3) as u8;
            assert_eq!(value, 2 * clamp(index % 8) + clamp(index / 8));
        }
        // A picture of one pixel and a window far larger than the picture.
        let dot: DynamicImage = GrayImage::from_pixel(1, 1, Luma([77])).into();
        assert!(crop(&dot, &grey_spec(5, 9, CropScale::SourcePixels(40.0))).iter().all(|&v| v == 77));
    }

    #[test]
    fn margin_surrounds_the_same_centre_crop() {
        let picture = ramp(50, 60);
        for scale in [CropScale::SourcePixels(1.3), CropScale::Fit(0.7)] {
            let bare = CropSpec { channels: 1, scale, ..CropSpec::default() };
            let wide = CropSpec { margin: 3, ..bare };
            let (inner, outer) = (crop(&picture, &bare), crop(&picture, &wide));
            assert_eq!((wide.stored_height(), wide.stored_width()), (61, 53));
            for y in 0..55 {
                assert_eq!(inner[y * 47..(y + 1) * 47], outer[(y + 3) * 53 + 3..(y + 3) * 53 + 50]);
            }
        }
    }

    #[test]
    fn fit_is_the_largest_window_of_the_shape() {
        // 55×47 in 100×200 (height×width): the rows decide.
        let spec = CropSpec::default();
        assert_eq!(spec.source_pixels(100, 200), 100.0 / 55.0);
        assert_eq!(spec.source_pixels(200, 100), 100.0 / 47.0);
        let half = CropSpec { scale: CropScale::Fit(0.5), ..spec };
        assert_eq!(half.source_pixels(100, 200), 50.0 / 55.0);
    }

    #[test]
    fn channels_convert_both_ways() {
        let colour: DynamicImage = RgbImage::from_pixel(9, 9, Rgb([200, 100, 50])).into();
        let spec = CropSpec { height: 3, width: 3, ..CropSpec::default() };
        assert_eq!(crop(&colour, &spec), [200, 100, 50].repeat(9));
        // 0.299·200 + 0.587·100 + 0.114·50 = 124.2
        assert_eq!(crop(&colour, &CropSpec { channels: 1, ..spec }), [124; 9]);
        let deep: DynamicImage = ImageBuffer::from_pixel(9, 9, Luma([257u16 * 90])).into();
        assert_eq!(crop(&deep, &spec), [90; 27]);
        let alpha = DynamicImage::ImageRgba8(ImageBuffer::from_pixel(9, 9, image::Rgba([1, 2, 3, 4])));
        assert_eq!(crop(&alpha, &spec), [1, 2, 3].repeat(9));
    }

    #[test]
    fn scale_reads_back_what_it_writes() {
        for (text, scale) in [
            ("1.99", CropScale::SourcePixels(1.99)),
            ("2", CropScale::SourcePixels(2.0)),
            ("fit", CropScale::Fit(1.0)),
            ("fit:0.8", CropScale::Fit(0.8)),
        ] {
            assert_eq!(text.parse::<CropScale>().unwrap(), scale);
            assert_eq!(scale.to_string(), text);
        }
        for text in ["", "fit:", "fit0.8", "0", "-1", "nan", "inf", "fit:0", "1e9", "auto"] {
            assert!(matches!(text.parse::<CropScale>(), Err(Error::Scale { .. })), "{text}");
        }
    }

    #[test]
    fn nonsense_specs_are_refused() {
        let good = CropSpec::default();
        for bad in [
            CropSpec { height: 0, ..good },
            CropSpec { width: u32::MAX, ..good },
            CropSpec { margin: u32::MAX, ..good },
            CropSpec { channels: 2, ..good },
            CropSpec { scale: CropScale::Fit(f64::NAN), ..good },
        ] {
            assert!(load_crop(Path::new("unread.jpg"), &bad).is_err(), "{bad:?}");
            assert!(bad.check().is_err());
        }
    }
}
