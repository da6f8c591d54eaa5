//! How detected boxes and annotated landmarks lie to each other.

use super::annotated::Annotated;
use super::detect::{DetectSettings, Detector, FaceBox};
use super::picture::Gray;
use super::points::{Shape, distance};
use super::sdm::{Placement, Pose};

/// Detected faces from which the placement's mean and spread are taken; fewer are not trusted.
const ENOUGH_DETECTED: usize = 20;
/// Placement of faces in SeetaFace's boxes and its spread, where a data set has too few that are
/// detected. Measured on 949 photographs of HELEN and AFW.
const USUAL: (Placement, Spread) =
    (Placement { scale: 0.395, shift: [0.0, -0.01] }, Spread { scale: 0.085, shift: [0.08, 0.043] });

/// How much placements differ between faces: standard deviations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Of the logarithm of the scale.
    pub scale: f32,
    /// Of the shift, over the box's side.
    pub shift: [f32; 2],
}

/// The box that the detector finds about annotated landmarks, if it finds one.
pub fn detected(detector: &Detector, gray: &Gray, shape: &Shape) -> Option<FaceBox> {
    let found = detector.detect_in(gray, &DetectSettings::default()).expect("the default settings are in range");
    found.into_iter().find(|found| surrounds(found, shape))
}

/// Whether a box is that of the face: about as large as the landmarks' extent, and about them.
fn surrounds(found: &FaceBox, shape: &Shape) -> bool {
    let [(left, right), (top, bottom)] = [0, 1].map(|axis| {
        let values = shape.iter().map(|point| point[axis]);
        (values.clone().fold(f32::INFINITY, f32::min), values.fold(f32::NEG_INFINITY, f32::max))
    });
    let size = (right - left).max(bottom - top);
    let centre = [(left + right) / 2.0, (top + bottom) / 2.0];
    (0.7..2.2).contains(&(found.side() / size)) && distance(found.centre(), centre) < 0.4 * found.side()
}

/// The box in which the mean shape comes nearest to `shape`.
pub fn best_box(mean: &Shape, shape: &Shape, placement: &Placement) -> FaceBox {
    let pose = Pose::nearest(mean, shape);
    let side = pose.scale() / placement.scale;
    let [x, y] = [0, 1].map(|k| pose.shift[k] - side * placement.shift[k] - side / 2.0);
    FaceBox { x, y, width: side, height: side, score: 0.0 }
}

/// Mean and spread of the placements of the detected faces.
pub fn placements(mean: &Shape, faces: &[Annotated], boxes: &[Option<FaceBox>]) -> (Placement, Spread) {
    let measured: Vec<[f64; 3]> = faces
        .iter()
        .zip(boxes)
        .filter_map(|(face, found)| {
            let (found, pose) = ((*found)?, Pose::nearest(mean, &face.shape));
            let (side, centre) = (found.side(), found.centre());
            let shift = [0, 1].map(|k| (pose.shift[k] - centre[k]) / side);
            Some([(pose.scale() / side).ln(), shift[0], shift[1]].map(f64::from))
        })
        .collect();
    if measured.len() < ENOUGH_DETECTED {
        return USUAL;
    }
    let count = measured.len() as f64;
    let means = [0, 1, 2].map(|axis| measured.iter().map(|one| one[axis]).sum::<f64>() / count);
    let deviation = |axis: usize| {
        let squares = measured.iter().map(|one| (one[axis] - means[axis]).powi(2));
        (squares.sum::<f64>() / (count - 1.0)).sqrt() as f32
    };
    // Faces are as often turned to the left as to the right, and mirror images are trained on: the
    // mean shape sits in the middle.
    let placement = Placement { scale: means[0].exp() as f32, shift: [0.0, means[2] as f32] };
    (placement, Spread { scale: deviation(0), shift: [deviation(1), deviation(2)] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::draw::SCHEME;
    use crate::face::sdm::{middle, start};
    use std::path::PathBuf;

    /// The scheme's shape about the origin, scaled, at a place.
    fn face(scale: f32, at: [f32; 2]) -> Shape {
        let centre = middle(&SCHEME);
        SCHEME.map(|point| [0, 1].map(|k| scale * (point[k] - centre[k]) + at[k]))
    }

    #[test]
    fn the_best_box_starts_at_the_shape_itself() {
        let mean = face(1.0, [0.0, 0.0]);
        let shape = face(37.0, [80.5, 61.25]);
        let found = best_box(&mean, &shape, &USUAL.0);
        for (a, b) in start(&mean, &found, &USUAL.0).iter().zip(&shape) {
            assert!(distance(*a, *b) < 1e-3, "{a:?} {b:?}");
        }
        assert!(surrounds(&found, &shape));
        assert!(!surrounds(&FaceBox { x: found.x + found.width, ..found }, &shape));
        assert!(!surrounds(&FaceBox { width: 4.0 * found.width, height: 4.0 * found.height, ..found }, &shape));
    }

    #[test]
    fn placement_and_spread_come_from_the_boxes_that_were_found() {
        let mean = face(1.0, [0.0, 0.0]);
        let truth = Placement { scale: 0.42, shift: [0.0, -0.03] };
        // Each twice, moved to the right and to the left.
        let faces: Vec<Annotated> = (0..40)
            .map(|i| Annotated { picture: PathBuf::new(), shape: face(20.0 + (i / 2) as f32, [50.0, 60.0]) })
            .collect();
        let boxes: Vec<Option<FaceBox>> = faces
            .iter()
            .enumerate()
            .map(|(i, face)| {
                let found = best_box(&mean, &face.shape, &truth);
                Some(FaceBox { x: found.x + if i % 2 == 0 { 0.1 } else { -0.1 } * found.width, ..found })
            })
            .collect();
        let (placement, spread) = placements(&mean, &faces, &boxes);
        assert!((placement.scale - truth.scale).abs() < 1e-5 && placement.shift[0] == 0.0);
        assert!((placement.shift[1] - truth.shift[1]).abs() < 1e-5);
        // √(40 · 0.1² / 39)
        assert!(spread.scale < 1e-5 && (spread.shift[0] - 0.101_274).abs() < 1e-5 && spread.shift[1] < 1e-5);
        assert_eq!(placements(&mean, &faces, &vec![None; 40]), USUAL);
    }
}
