//! A photograph to its aligned faces: detect, find landmarks, align.

use super::align::{Aligned, align};
use super::canonical;
use super::detect::{self, DetectSettings, Detector, FaceBox};
use super::landmark_model::{self, LandmarkModel};
use super::picture::Picture;
use super::points::{Shape, outside, pupil_distance};
use super::pts;
use super::similarity::Similarity;
use crate::report::hashes::sha256_of;
use image::RgbImage;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Pupils closer than this many pixels hold no face to recognise; so small, a fit of landmarks has failed.
const MIN_PUPIL_DISTANCE: f32 = 4.0;

/// The reason of a rejection where the detector finds nothing.
pub const NO_FACE: &str = "no face found";

/// Why an aligner cannot be made. What is wrong with a photograph is said in words, as the reason of its rejection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Detect(#[from] detect::Error),
    #[error(transparent)]
    Model(#[from] landmark_model::Error),
    #[error(transparent)]
    Hash(#[from] crate::report::Error),
    #[error("--face-share {share}: expected a share of the picture's shorter side, from 0.05 to 1")]
    Share { share: f32 },
}

/// Which faces of a photograph are taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaceChoice {
    /// The largest.
    #[default]
    Largest,
    /// The one nearest to the middle of the picture: data sets are cropped about their person.
    Central,
    /// Every one, the largest first, as `NAME.face1.png`, `NAME.face2.png` and so on.
    All,
}

/// Where faces are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Search {
    /// With the detector; a photograph without a face is rejected.
    Detect(DetectSettings),
    /// With the detector; where it finds none, in the middle square that is `share` of the shorter side.
    DetectOrMiddle { settings: DetectSettings, share: f32 },
    /// In the middle square that is `share` of the shorter side: the pictures are cropped to their faces.
    Middle { share: f32 },
}

/// Where landmarks come from.
pub enum Landmarks {
    /// The `.pts` file beside each photograph. No face is looked for.
    Pts,
    /// A trained cascade, and the SHA-256 of its file.
    Model { model: Box<LandmarkModel>, checksum: String },
}

impl Landmarks {
    /// Loads a model.
    ///
    /// # Errors
    /// A file that is no landmark model.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let model = Box::new(LandmarkModel::load(path)?);
        Ok(Self::Model { model, checksum: sha256_of(path)?.1 })
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Self::Pts => "pts".into(),
            Self::Model { checksum, .. } => format!("model {checksum}"),
        }
    }
}

/// A face brought to the frame.
#[derive(Debug, Clone, PartialEq)]
pub struct AlignedFace {
    /// Where it was found, in the photograph.
    pub bounds: FaceBox,
    /// Its landmarks in the aligned picture.
    pub landmarks: Shape,
    /// From the photograph to the aligned picture.
    pub transform: Similarity,
    pub aligned: Aligned,
}

/// Finds and aligns faces. Threads share one.
pub struct Aligner {
    pub(super) landmarks: Landmarks,
    pub(super) faces: FaceChoice,
    pub(super) search: Search,
    detector: Detector,
}

impl Aligner {
    /// An aligner.
    ///
    /// # Errors
    /// Settings out of range.
    pub fn new(landmarks: Landmarks, faces: FaceChoice, search: Search) -> Result<Self, Error> {
        match search {
            Search::Detect(settings) | Search::DetectOrMiddle { settings, .. } => settings.check()?,
            Search::Middle { .. } => {}
        }
        match search {
            Search::DetectOrMiddle { share, .. } | Search::Middle { share } if !(0.05..=1.0).contains(&share) => {
                return Err(Error::Share { share });
            }
            _ => {}
        }
        Ok(Self { landmarks, faces, search, detector: Detector::new() })
    }

    /// Whether it looks for faces, or takes the middle of every picture for one.
    pub fn detects(&self) -> bool {
        !matches!(self.search, Search::Middle { .. })
    }

    /// The aligned faces of the photograph in the file `path`; the reason where there is none.
    ///
    /// # Errors
    /// In words, without the path: no face, a picture that cannot be read, landmarks that make no face.
    pub fn align_file(&self, path: &Path) -> Result<Vec<AlignedFace>, String> {
        // Where the photographs lie is not part of the result.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let prefixes = [format!("{}: ", path.display()), folder.map_or(String::new(), |f| format!("{}/", f.display()))];
        let reason = |error: String| {
            String::from(prefixes.iter().find_map(|prefix| error.strip_prefix(prefix)).unwrap_or(&error))
        };
        let picture = Picture::open(path).map_err(|error| reason(error.to_string()))?;
        let found = match &self.landmarks {
            Landmarks::Pts => {
                let pts = path.with_extension("pts");
                let landmarks = pts::read(&pts).map_err(|error| reason(error.to_string()))?;
                vec![(bounding_box(&landmarks), landmarks)]
            }
            Landmarks::Model { model, .. } => {
                let gray = picture.gray();
                let boxes = self.boxes(&picture, &gray).map_err(|error| error.to_string())?;
                boxes.into_iter().map(|face| (face, model.fit(&gray, &face))).collect()
            }
        };
        let (width, height) = (picture.width, picture.height);
        let pixels = RgbImage::from_raw(width as u32, height as u32, picture.rgb).expect("three bytes a pixel");
        found.into_iter().map(|(bounds, landmarks)| align_face(&pixels, bounds, &landmarks)).collect()
    }

    fn boxes(&self, picture: &Picture, gray: &super::picture::Gray) -> Result<Vec<FaceBox>, String> {
        let detect = |settings| self.detector.detect_in(gray, settings).map_err(|error| error.to_string());
        let mut found = match &self.search {
            Search::Detect(settings) | Search::DetectOrMiddle { settings, .. } => detect(settings)?,
            Search::Middle { .. } => Vec::new(),
        };
        match self.search {
            Search::DetectOrMiddle { share, .. } | Search::Middle { share } if found.is_empty() => {
                found.push(FaceBox::central(picture, share));
            }
            _ => {}
        }
        let middle = [(picture.width as f32 - 1.0) / 2.0, (picture.height as f32 - 1.0) / 2.0];
        let off = |face: &FaceBox| super::points::distance(face.centre(), middle);
        match self.faces {
            FaceChoice::All => {}
            FaceChoice::Largest => found.truncate(1),
            // The first of equals: the largest.
            FaceChoice::Central => {
                found = found.into_iter().min_by(|a, b| off(a).total_cmp(&off(b))).into_iter().collect()
            }
        }
        if found.is_empty() { Err(NO_FACE.into()) } else { Ok(found) }
    }
}

/// The smallest upright rectangle about the landmarks.
fn bounding_box(landmarks: &Shape) -> FaceBox {
    let [x, y] = [0, 1].map(|axis| landmarks.iter().map(|p| p[axis]).fold(f32::INFINITY, f32::min));
    let [right, bottom] = [0, 1].map(|axis| landmarks.iter().map(|p| p[axis]).fold(f32::NEG_INFINITY, f32::max));
    FaceBox { x, y, width: right - x, height: bottom - y, score: 0.0 }
}

/// Aligns one face by its landmarks in the photograph.
///
/// # Errors
/// Landmarks that make no face, in words.
pub fn align_face(picture: &RgbImage, bounds: FaceBox, landmarks: &Shape) -> Result<AlignedFace, String> {
    if !landmarks.iter().flatten().all(|number| number.is_finite()) {
        return Err("landmarks are not finite".into());
    }
    let outside = outside(landmarks, picture.width(), picture.height());
    if outside > landmarks.len() / 2 {
        return Err(format!("{outside} of {} landmarks lie outside of the picture", landmarks.len()));
    }
    let pupils = pupil_distance(landmarks);
    if pupils < MIN_PUPIL_DISTANCE {
        return Err(format!("the pupils lie {pupils:.1} pixels apart, expected at least {MIN_PUPIL_DISTANCE}"));
    }
    let transform = canonical::to_frame(landmarks).map_err(|error| error.to_string())?;
    let aligned = align(picture, &transform);
    Ok(AlignedFace { bounds, landmarks: transform.apply_shape(landmarks), transform, aligned })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::face::canonical::SHAPE;
    use crate::face::landmark_model::Provenance;
    use crate::face::sdm::{Cascade, Placement};
    use crate::face::training::TrainSettings;

    /// A cascade without a stage: it takes the canonical shape's place in the box for the face.
    pub fn by_model(search: Search, faces: FaceChoice) -> Aligner {
        let mean = SHAPE.map(|[x, y]| [(x - 79.5) / 40.0, (y - 84.0) / 40.0]);
        let cascade = Cascade { mean, placement: Placement { scale: 0.4, shift: [0.0, -0.1] }, stages: vec![] };
        let provenance = Provenance {
            trained_on: "nothing".into(),
            pictures: 0,
            hold_out: 0.0,
            settings: TrainSettings::default(),
            held_out: None,
        };
        let model = Box::new(LandmarkModel { cascade, provenance });
        Aligner::new(Landmarks::Model { model, checksum: "1".into() }, faces, search).unwrap()
    }

    #[test]
    fn no_face_is_rejected_or_looked_for_in_the_middle() {
        let root = tempfile::tempdir().unwrap();
        let source = root.path().join("photo.png");
        RgbImage::from_fn(120, 90, |x, y| image::Rgb([x as u8, y as u8, 9])).save(&source).unwrap();
        let settings = DetectSettings::default();
        let rejected = by_model(Search::Detect(settings), FaceChoice::Largest).align_file(&source);
        assert_eq!(rejected.unwrap_err(), "no face found");
        for search in [Search::DetectOrMiddle { settings, share: 0.8 }, Search::Middle { share: 0.8 }] {
            let faces = by_model(search, FaceChoice::Central).align_file(&source).unwrap();
            let [AlignedFace { bounds, .. }] = faces[..] else { panic!("{} faces", faces.len()) };
            assert_eq!([bounds.x, bounds.y, bounds.width, bounds.height, bounds.score], [23.5, 8.5, 72.0, 72.0, 0.0]);
        }
        let gone = by_model(Search::Middle { share: 0.5 }, FaceChoice::All).align_file(&root.path().join("none.png"));
        let reason = gone.unwrap_err();
        assert!(reason.starts_with("cannot be read"), "{reason}");
        assert!(Aligner::new(Landmarks::Pts, FaceChoice::All, Search::Middle { share: 2.0 }).is_err());
    }

    #[test]
    fn landmarks_that_make_no_face_are_rejected() {
        let picture = RgbImage::new(160, 192);
        let bounds = bounding_box(&SHAPE);
        assert!(align_face(&picture, bounds, &SHAPE).is_ok());
        let reason = |landmarks: &Shape| align_face(&picture, bounds, landmarks).unwrap_err();
        assert_eq!(reason(&SHAPE.map(|[x, y]| [x + 200.0, y])), "21 of 21 landmarks lie outside of the picture");
        assert!(reason(&SHAPE.map(|[x, y]| [x / 20.0, y / 20.0])).contains("pupils lie 2.0 pixels apart"));
        assert!(reason(&[[f32::NAN; 2]; 21]).contains("not finite"));
    }
}
