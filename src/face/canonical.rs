//! The frame that all faces are brought to: its size, and where the landmarks of an average face lie in it.

use super::points::{LEFT_PUPIL, RIGHT_PUPIL, Shape};
use super::similarity::{Error, Similarity};

/// Columns of an aligned picture.
pub const WIDTH: u32 = 160;
/// Rows of an aligned picture.
pub const HEIGHT: u32 = 192;
/// Distance of the canonical pupils in pixels: an aligned picture is 4 of them wide and 4.8 high, which leaves room for
/// hair and chin.
pub const PUPIL_DISTANCE: f32 = 40.0;
/// The middle between the canonical pupils.
pub const PUPILS_MIDDLE: [f32; 2] = [79.5, 84.0];

/// Where the landmarks of an average face lie in the frame, in the order of
/// [`LANDMARK_NAMES`](super::points::LANDMARK_NAMES).
///
/// This is the mean of HELEN and AFW annotations, symmetrised: the 68 points of the 300-W scheme of 1,207 faces, brought
/// to the 21 landmarks ([`from_ibug`](super::points::from_ibug)), averaged by generalised Procrustes analysis (each shape
/// is fitted to the mean by a similarity, the mean taken again until it rests), averaged with its own mirror image, and
/// placed with its pupils 40 pixels apart about [`PUPILS_MIDDLE`]. A point of those faces lies 4.1 pixels from its place
/// here (root mean square).
#[rustfmt::skip]
pub const SHAPE: Shape = [
    [ 42.25,  76.16], // left brow outer end
    [ 55.83,  68.99], // left brow middle
    [ 72.17,  72.92], // left brow inner end
    [ 86.83,  72.92], // right brow inner end
    [103.17,  68.99], // right brow middle
    [116.75,  76.16], // right brow outer end
    [ 51.52,  84.07], // left eye outer corner
    [ 59.50,  84.00], // left pupil
    [ 67.86,  85.16], // left eye inner corner
    [ 91.14,  85.16], // right eye inner corner
    [ 99.50,  84.00], // right pupil
    [107.48,  84.07], // right eye outer corner
    [ 79.50,  82.60], // nose bridge
    [ 69.98, 111.44], // left nose wing
    [ 79.50, 105.68], // nose tip
    [ 89.02, 111.44], // right nose wing
    [ 61.80, 125.85], // left mouth corner
    [ 79.50, 122.79], // upper lip middle
    [ 79.50, 135.44], // lower lip middle
    [ 97.20, 125.85], // right mouth corner
    [ 79.50, 156.39], // chin
];

/// The similarity that brings a face with these landmarks to the frame: the best fit of all 21 to [`SHAPE`].
///
/// # Errors
/// Landmarks that are all one point, or not finite.
pub fn to_frame(landmarks: &Shape) -> Result<Similarity, Error> {
    Similarity::fit(landmarks, &SHAPE)
}

/// The mirror image of a point of the frame.
pub fn mirrored([x, y]: [f32; 2]) -> [f32; 2] {
    [WIDTH as f32 - 1.0 - x, y]
}

/// The canonical pupils, left and right.
pub fn pupils() -> [[f32; 2]; 2] {
    [SHAPE[LEFT_PUPIL], SHAPE[RIGHT_PUPIL]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::points::MIRRORED_LANDMARKS;
    use approx::assert_abs_diff_eq;

    #[test]
    fn the_shape_is_its_own_mirror_image() {
        for (landmark, &twin) in MIRRORED_LANDMARKS.iter().enumerate() {
            let [x, y] = mirrored(SHAPE[twin]);
            assert_abs_diff_eq!(SHAPE[landmark][0], x, epsilon = 1e-4);
            assert_abs_diff_eq!(SHAPE[landmark][1], y, epsilon = 1e-4);
        }
    }

    #[test]
    fn the_pupils_lie_where_the_frame_says() {
        let [left, right] = pupils();
        assert_eq!((right[0] - left[0], right[1] - left[1]), (PUPIL_DISTANCE, 0.0));
        assert_eq!([(left[0] + right[0]) / 2.0, (left[1] + right[1]) / 2.0], PUPILS_MIDDLE);
        assert_eq!(PUPILS_MIDDLE[0], (WIDTH - 1) as f32 / 2.0);
        assert!(SHAPE.iter().all(|&[x, y]| x > 0.0 && x < WIDTH as f32 - 1.0 && y > 0.0 && y < HEIGHT as f32 - 1.0));
    }

    #[test]
    fn features_follow_one_another_as_in_a_face() {
        let y = |landmark: usize| SHAPE[landmark][1];
        // Brow, pupil, nose tip, upper lip, lower lip, chin.
        assert!([1, 7, 14, 17, 18, 20].windows(2).all(|pair| y(pair[0]) < y(pair[1])));
    }

    #[test]
    fn a_face_is_brought_to_its_place_from_anywhere() {
        let away = Similarity::try_from([0.7, -0.4, 30.0, 200.0]).unwrap();
        let found = to_frame(&away.apply_shape(&SHAPE)).unwrap();
        for (point, expected) in found.apply_shape(&away.apply_shape(&SHAPE)).iter().zip(SHAPE) {
            assert_abs_diff_eq!(point[0], expected[0], epsilon = 1e-3);
            assert_abs_diff_eq!(point[1], expected[1], epsilon = 1e-3);
        }
        assert!(to_frame(&[[5.0; 2]; 21]).is_err());
    }
}
