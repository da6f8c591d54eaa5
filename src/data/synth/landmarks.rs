//! The landmarks of a picture and their side file.

use super::geometry::Geometry;
use super::nuisance::Pose;
use crate::face::points::{LANDMARKS, Shape};
use std::fmt::Write;

/// The landmarks of `geometry` as the picture shows them.
pub fn project(geometry: &Geometry, pose: &Pose, size: u32) -> Shape {
    // The projection's pixel 0 covers [0, 1): its centre is at ½.
    geometry.landmarks().map(|point| pose.project(point, size as f32).map(|c| c - 0.5))
}

/// The landmarks as a `.pts` file in the style of 300-W, whose coordinates count from 1: the
/// centre of the picture's first pixel is `1 1`.
pub fn format_pts(landmarks: &Shape) -> String {
    let mut text = format!("version: 1\nn_points: {LANDMARKS}\n{{\n");
    for [x, y] in landmarks {
        writeln!(text, "{:.3} {:.3}", x + 1.0, y + 1.0).expect("a string takes whatever is written");
    }
    text.push_str("}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn side_files_count_from_one() {
        let mut landmarks = [[0.0, 0.0]; LANDMARKS];
        landmarks[1] = [10.25, 126.5];
        let text = format_pts(&landmarks);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..5], ["version: 1", "n_points: 21", "{", "1.000 1.000", "11.250 127.500"]);
        assert_eq!((lines.len(), lines[24]), (25, "}"));
    }
}
