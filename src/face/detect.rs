//! Where the faces of a photograph are: SeetaFace's funnel-structured cascade (Wu et al.,
//! *Funnel-structured cascade for multi-view face detection with alignment awareness*, 2017),
//! through the `rustface` crate. Its model is part of the binary; licence and origin:
//! `fixtures/seetaface/`.

use super::picture::{Gray, Picture, Window};
use serde::{Deserialize, Serialize};

static SEETAFACE: &[u8] = include_bytes!("../../fixtures/seetaface/seeta_fd_frontal_v1.0.bin");

/// The side of the cascade's window: no smaller face is found in the picture that it is given.
const CASCADE_WINDOW: f64 = 40.0;

/// Why faces cannot be looked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("min_face is {value}: expected pixels, a number from 8 to 10000")]
    MinFace { value: f32 },
    #[error("longest_side is {value}: expected 40 to 4096 pixels")]
    LongestSide { value: usize },
    #[error("padding is {value}: expected a share of the picture's shorter side from 0 to 1")]
    Padding { value: f32 },
    #[error("threshold is {value}: expected a positive number")]
    Threshold { value: f64 },
}

/// The square around a face, in pixels of the picture. It may reach beyond the picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FaceBox {
    /// Left edge; pixel centres lie at whole numbers, so the left edge of the picture is −0.5.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    pub width: f32,
    pub height: f32,
    /// The detector's confidence: above its threshold, some 30 for a clear frontal face; 0 for a
    /// box that was not detected.
    pub score: f32,
}

impl FaceBox {
    /// The square in the middle of a picture whose side is `share` of the picture's shorter side:
    /// where the face is in a picture that was cropped to it.
    pub fn central(picture: &Picture, share: f32) -> Self {
        let (width, height) = (picture.width as f32, picture.height as f32);
        let side = share * width.min(height);
        Self { x: (width - side) / 2.0 - 0.5, y: (height - side) / 2.0 - 0.5, width: side, height: side, score: 0.0 }
    }

    /// The middle of the box.
    pub fn centre(&self) -> [f32; 2] {
        [self.x + self.width / 2.0, self.y + self.height / 2.0]
    }

    /// The mean of the two sides.
    pub fn side(&self) -> f32 {
        (self.width + self.height) / 2.0
    }
}

/// How to look for faces.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectSettings {
    /// Width of the smallest face looked for, in pixels of the picture. Below 40 the picture is
    /// enlarged for it, as far as `longest_side` allows; above, it is shrunk, which is faster.
    pub min_face: f32,
    /// The picture that is searched has at most this many pixels on its longer side: larger
    /// photographs are shrunk, and the smallest face found grows with them.
    pub longest_side: usize,
    /// Edge pixels are repeated outside the picture, this share of its shorter side on each side,
    /// so that faces that fill the picture are found.
    pub padding: f32,
    /// Detections of a lower score are dropped. Lower finds more faces and more that are none.
    pub threshold: f64,
}

impl Default for DetectSettings {
    fn default() -> Self {
        Self { min_face: 40.0, longest_side: 640, padding: 0.1, threshold: 2.0 }
    }
}

impl DetectSettings {
    /// Checks every field.
    ///
    /// # Errors
    /// A number outside the range that its message gives.
    pub fn check(&self) -> Result<(), Error> {
        let Self { min_face, longest_side, padding, threshold } = *self;
        if !(8.0..=10_000.0).contains(&min_face) {
            return Err(Error::MinFace { value: min_face });
        }
        if !(CASCADE_WINDOW as usize..=4096).contains(&longest_side) {
            return Err(Error::LongestSide { value: longest_side });
        }
        if !(0.0..=1.0).contains(&padding) {
            return Err(Error::Padding { value: padding });
        }
        if !(threshold > 0.0 && threshold.is_finite()) {
            return Err(Error::Threshold { value: threshold });
        }
        Ok(())
    }

    /// The picture that is searched: padded, shrunk or enlarged.
    fn window(&self, gray: &Gray) -> Window {
        let (width, height) = (gray.width as f64, gray.height as f64);
        let pad = (f64::from(self.padding) * width.min(height)).round();
        let (width, height) = (width + 2.0 * pad, height + 2.0 * pad);
        let scale = (f64::from(self.min_face) / CASCADE_WINDOW).max(width.max(height) / self.longest_side as f64);
        // A side of 2 at least: what is smaller the cascade cannot resample.
        let side = |length: f64| ((length / scale).round() as usize).max(2);
        Window { left: -pad, top: -pad, scale, width: side(width), height: side(height) }
    }
}

/// SeetaFace's cascade, read from the binary. Searching does not change it: threads share one.
pub struct Detector {
    model: rustface::Model,
}

impl Default for Detector {
    fn default() -> Self {
        Self::new()
    }
}

impl Detector {
    /// Reads the cascade, a few milliseconds.
    pub fn new() -> Self {
        let model = rustface::read_model(SEETAFACE).expect("the model in the binary is whole");
        Self { model }
    }

    /// The faces of `picture`, the largest first. A pure function of its arguments.
    ///
    /// # Errors
    /// Settings outside their ranges.
    pub fn detect(&self, picture: &Picture, settings: &DetectSettings) -> Result<Vec<FaceBox>, Error> {
        self.detect_in(&picture.gray(), settings)
    }

    /// [`Self::detect`] where the luma is at hand.
    ///
    /// # Errors
    /// As [`Self::detect`].
    pub fn detect_in(&self, gray: &Gray, settings: &DetectSettings) -> Result<Vec<FaceBox>, Error> {
        settings.check()?;
        let window = settings.window(gray);
        let searched = gray.resample(&window);
        let bytes: Vec<u8> = searched.pixels.iter().map(|&value| (value + 0.5) as u8).collect();
        let mut cascade = rustface::create_detector_with_model(self.model.clone());
        cascade.set_score_thresh(settings.threshold);
        let image = rustface::ImageData::new(&bytes, searched.width as u32, searched.height as u32);
        let mut faces: Vec<FaceBox> = cascade
            .detect(&image)
            .iter()
            .map(|face| {
                let found = face.bbox();
                let scale = window.scale as f32;
                let [x, y] = window.source([found.x() as f32 - 0.5, found.y() as f32 - 0.5]);
                FaceBox {
                    x,
                    y,
                    width: found.width() as f32 * scale,
                    height: found.height() as f32 * scale,
                    score: face.score() as f32,
                }
            })
            .collect();
        faces
            .sort_by(|a, b| (b.width, b.score).partial_cmp(&(a.width, a.score)).expect("sizes and scores are numbers"));
        Ok(faces)
    }
}
