//! Where the faces of a photograph are: SeetaFace's funnel-structured cascade (Wu et al.,
//! *Funnel-structured cascade for multi-view face detection with alignment awareness*, 2017),
//! through the `rustface` crate. Its model is part of the binary; licence and origin:
//! `fixtures/seetaface/`.

use super::picture::{Gray, Picture, Window};
use serde::{Deserialize, Serialize};

static SEETAFACE: &[u8] = include_bytes!("../../fixtures/seetaface/seeta_fd_frontal_v1.0.bin");

/// The side of the cascade's window: no smaller face is found in the picture that it is given.
const CASCADE_WINDOW: f64 = 40.0;

/// Sizes and paddings of the further searches, relative to those of the first.
const RETRIES: [(f32, f32); 3] = [(0.87, 0.0), (0.75, 0.25), (1.15, 0.1)];

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
    #[error("--face-share {value}: expected a share of the picture's shorter side above 0, at most 2")]
    Central { value: f32 },
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
    /// Where nothing is found, the picture is searched again in three other sizes, one of them with
    /// more padding: the cascade's steps in place and size are coarse, and a face that falls between
    /// them in one size does not in another.
    pub retry: bool,
}

impl Default for DetectSettings {
    fn default() -> Self {
        Self { min_face: 40.0, longest_side: 640, padding: 0.0, threshold: 2.0, retry: true }
    }
}

impl DetectSettings {
    /// Checks every field.
    ///
    /// # Errors
    /// A number outside the range that its message gives.
    pub fn check(&self) -> Result<(), Error> {
        let Self { min_face, longest_side, padding, threshold, retry: _ } = *self;
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

/// Where faces are taken to be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaceSource {
    /// The largest face that the detector finds.
    Largest(DetectSettings),
    /// Every face that the detector finds.
    All(DetectSettings),
    /// One in the middle of the picture, in a square of this share of its shorter side: for pictures
    /// that were cropped to the face.
    Central(f32),
}

impl FaceSource {
    /// Checks the settings.
    ///
    /// # Errors
    /// A number outside the range that its message gives.
    pub fn check(&self) -> Result<(), Error> {
        match self {
            Self::Largest(settings) | Self::All(settings) => settings.check(),
            Self::Central(share) if *share > 0.0 && *share <= 2.0 => Ok(()),
            Self::Central(share) => Err(Error::Central { value: *share }),
        }
    }

    /// The faces of a picture, the largest first; none where the detector finds none.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn faces(&self, detector: &Detector, picture: &Picture) -> Result<Vec<FaceBox>, Error> {
        self.check()?;
        match self {
            Self::Largest(settings) => {
                let mut faces = detector.detect(picture, settings)?;
                faces.truncate(1);
                Ok(faces)
            }
            Self::All(settings) => detector.detect(picture, settings),
            Self::Central(share) => Ok(vec![FaceBox::central(picture, *share)]),
        }
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
        let mut faces = self.search(gray, settings);
        if settings.retry {
            for (size, padding) in RETRIES {
                if !faces.is_empty() {
                    break;
                }
                let min_face = size * settings.min_face;
                faces =
                    self.search(gray, &DetectSettings { min_face, padding: settings.padding + padding, ..*settings });
            }
        }
        Ok(faces)
    }

    /// Searches the picture in one size.
    fn search(&self, gray: &Gray, settings: &DetectSettings) -> Vec<FaceBox> {
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
        faces
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::synth::render;

    fn synthetic(identity: u32, size: u32) -> Picture {
        image::DynamicImage::from(render(1, identity, 0, size).pixels).into()
    }

    fn blank(width: usize, height: usize) -> Picture {
        Picture { width, height, rgb: vec![128; 3 * width * height] }
    }

    #[test]
    fn boxes_follow_the_picture() {
        let detector = Detector::new();
        let settings = DetectSettings::default();
        let found = |picture: &Picture, settings: &DetectSettings| detector.detect(picture, settings).unwrap();
        // The first synthetic face that looks enough like one.
        let (picture, face) = (0..20)
            .map(|identity| synthetic(identity, 128))
            .find_map(|picture| found(&picture, &settings).first().copied().map(|face| (picture, face)))
            .expect("SeetaFace takes some synthetic faces for faces");
        assert!(face.side() > 40.0 && distance(face.centre(), [63.5, 63.5]) < 32.0, "{face:?}");

        // Moved by (37, 21) into a larger picture: the box moves with it, to a step of the cascade.
        let mut larger = blank(210, 180);
        for (row, line) in picture.rgb.chunks_exact(3 * 128).enumerate() {
            let at = 3 * ((row + 21) * 210 + 37);
            larger.rgb[at..at + 3 * 128].copy_from_slice(line);
        }
        let moved = found(&larger, &settings)[0];
        let expected = [face.centre()[0] + 37.0, face.centre()[1] + 21.0];
        assert!(distance(moved.centre(), expected) < 0.15 * face.side(), "{moved:?}");
        assert!((moved.side() / face.side()).ln().abs() < 0.3, "{moved:?}");

        // In a search of half the size, the box is still in pixels of the picture.
        let coarse = found(&larger, &DetectSettings { longest_side: 150, ..settings });
        assert!(distance(coarse[0].centre(), expected) < 0.15 * face.side(), "{coarse:?}");
        let largest = FaceSource::Largest(settings).faces(&detector, &larger).unwrap();
        assert_eq!(largest, [moved]);
        assert_eq!(FaceSource::All(settings).faces(&detector, &larger).unwrap(), found(&larger, &settings));
    }

    fn distance(a: [f32; 2], b: [f32; 2]) -> f32 {
        crate::face::points::distance(a, b)
    }

    #[test]
    fn pictures_without_a_face_and_pictures_of_any_size_have_none() {
        let detector = Detector::new();
        for (width, height) in [(128, 128), (1, 1), (2, 2), (1, 700), (700, 1), (39, 41), (3, 2000)] {
            let found = detector.detect(&blank(width, height), &DetectSettings::default()).unwrap();
            assert!(found.is_empty(), "{width}×{height}: {found:?}");
        }
    }

    #[test]
    fn the_central_box_is_a_square_in_the_middle() {
        let detector = Detector::new();
        let faces = FaceSource::Central(0.5).faces(&detector, &blank(100, 60)).unwrap();
        assert_eq!(faces, [FaceBox { x: 34.5, y: 14.5, width: 30.0, height: 30.0, score: 0.0 }]);
        assert_eq!(faces[0].centre(), [49.5, 29.5]);
        for share in [0.0, -1.0, f32::NAN, 2.5] {
            assert!(matches!(FaceSource::Central(share).faces(&detector, &blank(9, 9)), Err(Error::Central { .. })));
        }
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let good = DetectSettings::default();
        for (bad, name) in [
            (DetectSettings { min_face: 3.0, ..good }, "min_face"),
            (DetectSettings { longest_side: 0, ..good }, "longest_side"),
            (DetectSettings { padding: f32::NAN, ..good }, "padding"),
            (DetectSettings { threshold: 0.0, ..good }, "threshold"),
        ] {
            let message = Detector::new().detect(&blank(50, 50), &bad).unwrap_err().to_string();
            assert!(message.starts_with(name), "{message}");
        }
    }
}
