//! How far a model's landmarks are from the annotated ones.

use super::annotated::Annotated;
use super::boxes::{best_box, detected};
use super::detect::Detector;
use super::landmark_model::HeldOut;
use super::picture::Picture;
use super::points::{LANDMARKS, distance, outer_eye_distance, pupil_distance};
use super::sdm::Cascade;
use crate::data::crop;
use rayon::prelude::*;
use serde::Serialize;
use std::path::PathBuf;

/// Error over the distance of the outer eye corners beyond which a face counts as failed.
pub const FAILURE: f64 = 0.1;

/// The errors of one face.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FaceError {
    pub picture: PathBuf,
    /// Whether the detector found the face. Elsewhere the box is the one that places the mean shape
    /// best.
    pub detected: bool,
    /// Mean distance of the landmarks over the distance of the outer eye corners.
    pub over_eye_corners: f64,
    /// The same over the distance of the pupils.
    pub over_pupils: f64,
    /// Distance of each landmark over the distance of the outer eye corners.
    pub landmarks: [f64; LANDMARKS],
}

/// Fits every face and measures it. The faces come back in their order.
///
/// # Errors
/// A picture that cannot be decoded.
pub fn measure(
    cascade: &Cascade,
    faces: &[Annotated],
    progress: &(dyn Fn() + Sync),
) -> Result<Vec<FaceError>, crop::Error> {
    let detector = Detector::new();
    faces
        .par_iter()
        .map(|Annotated { picture, shape }| {
            let gray = Picture::open(picture)?.gray();
            let found = detected(&detector, &gray, shape);
            let face = found.unwrap_or_else(|| best_box(&cascade.mean, shape, &cascade.placement));
            let fitted = cascade.fit(&gray, &face);
            let corners = f64::from(outer_eye_distance(shape)).max(f64::MIN_POSITIVE);
            let landmarks = std::array::from_fn(|i| f64::from(distance(fitted[i], shape[i])) / corners);
            let over_eye_corners = landmarks.iter().sum::<f64>() / LANDMARKS as f64;
            let pupils = f64::from(pupil_distance(shape)).max(f64::MIN_POSITIVE);
            progress();
            Ok(FaceError {
                picture: picture.clone(),
                detected: found.is_some(),
                over_eye_corners,
                over_pupils: over_eye_corners * corners / pupils,
                landmarks,
            })
        })
        .collect()
}

/// Means over faces. `None` where there are none.
pub fn summary(errors: &[FaceError]) -> Option<HeldOut> {
    let count = errors.len() as f64;
    let mean = |of: &dyn Fn(&FaceError) -> f64| errors.iter().map(of).sum::<f64>() / count;
    (!errors.is_empty()).then(|| HeldOut {
        pictures: errors.len(),
        detected: errors.iter().filter(|error| error.detected).count(),
        error_over_eye_corners: mean(&|error| error.over_eye_corners),
        error_over_pupils: mean(&|error| error.over_pupils),
        failures: mean(&|error| if error.over_eye_corners > FAILURE { 1.0 } else { 0.0 }),
    })
}

/// The mean error of each landmark over the distance of the outer eye corners.
pub fn by_landmark(errors: &[FaceError]) -> [f64; LANDMARKS] {
    std::array::from_fn(|i| errors.iter().map(|error| error.landmarks[i]).sum::<f64>() / errors.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(over_eye_corners: f64, detected: bool) -> FaceError {
        let landmarks = std::array::from_fn(|i| if i == 20 { 2.0 * over_eye_corners } else { over_eye_corners });
        FaceError {
            picture: PathBuf::new(),
            detected,
            over_eye_corners,
            over_pupils: 1.5 * over_eye_corners,
            landmarks,
        }
    }

    #[test]
    fn faces_count_alike_and_failures_are_beyond_a_tenth() {
        let errors = [error(0.02, true), error(0.1, true), error(0.18, false), error(0.02, true)];
        let summary = summary(&errors).unwrap();
        assert_eq!((summary.pictures, summary.detected, summary.failures), (4, 3, 0.25));
        assert!((summary.error_over_eye_corners - 0.08).abs() < 1e-12);
        assert!((summary.error_over_pupils - 0.12).abs() < 1e-12);
        let landmarks = by_landmark(&errors);
        assert!((landmarks[0] - 0.08).abs() < 1e-12 && (landmarks[20] - 0.16).abs() < 1e-12);
        assert_eq!(super::summary(&[]), None);
    }
}
