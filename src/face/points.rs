//! The 21 landmarks by which faces are aligned.

/// The number of landmarks, as many as DeepID2 aligns by (§3 of the paper).
pub const LANDMARKS: usize = 21;

/// (x, y) of each landmark in pixels, x to the right and y down. Pixel centres lie at whole
/// numbers, the first at (0, 0). Landmarks may lie outside the picture.
pub type Shape = [[f32; 2]; LANDMARKS];

/// The landmarks in the order of all files. The paper does not list its own; these are a usual
/// subset of the 68 points of 300-W, plus the pupils. Left and right are the picture's.
pub const LANDMARK_NAMES: [&str; LANDMARKS] = [
    "left brow outer end",
    "left brow middle",
    "left brow inner end",
    "right brow inner end",
    "right brow middle",
    "right brow outer end",
    "left eye outer corner",
    "left pupil",
    "left eye inner corner",
    "right eye inner corner",
    "right pupil",
    "right eye outer corner",
    "nose bridge",
    "left nose wing",
    "nose tip",
    "right nose wing",
    "left mouth corner",
    "upper lip middle",
    "lower lip middle",
    "right mouth corner",
    "chin",
];

/// For each landmark, the one that takes its place in the mirrored picture.
pub const MIRRORED_LANDMARKS: [usize; LANDMARKS] =
    [5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 12, 15, 14, 13, 19, 17, 18, 16, 20];

/// Points in the annotation scheme of 300-W, which numbers them from 0 along the jaw, brows, nose,
/// eyes and mouth.
pub const IBUG_POINTS: usize = 68;

/// Where each landmark is among the 68 points of 300-W: the mean of the points from the first to
/// the second number. A pupil is taken as the mean of its eye's outline.
pub const OF_IBUG: [(usize, usize); LANDMARKS] = [
    (17, 17),
    (19, 19),
    (21, 21),
    (22, 22),
    (24, 24),
    (26, 26),
    (36, 36),
    (36, 41),
    (39, 39),
    (42, 42),
    (42, 47),
    (45, 45),
    (27, 27),
    (31, 31),
    (30, 30),
    (35, 35),
    (48, 48),
    (51, 51),
    (57, 57),
    (54, 54),
    (8, 8),
];

/// Positions of landmarks that functions name.
pub const LEFT_EYE_OUTER: usize = 6;
pub const LEFT_PUPIL: usize = 7;
pub const RIGHT_PUPIL: usize = 10;
pub const RIGHT_EYE_OUTER: usize = 11;

/// The 21 landmarks of a face annotated with the 68 points of 300-W.
pub fn from_ibug(points: &[[f32; 2]; IBUG_POINTS]) -> Shape {
    OF_IBUG.map(|(first, last)| {
        let group = &points[first..=last];
        [0, 1].map(|axis| group.iter().map(|point| point[axis]).sum::<f32>() / group.len() as f32)
    })
}

/// The shape in the mirror image of a picture that is `width` pixels wide.
pub fn mirrored(shape: &Shape, width: usize) -> Shape {
    MIRRORED_LANDMARKS.map(|twin| [width as f32 - 1.0 - shape[twin][0], shape[twin][1]])
}

/// Landmarks that lie outside of a picture of this size.
pub fn outside(shape: &Shape, width: u32, height: u32) -> usize {
    let inside = |at: f32, pixels: u32| (-0.5..=pixels as f32 - 0.5).contains(&at);
    shape.iter().filter(|[x, y]| !inside(*x, width) || !inside(*y, height)).count()
}

/// The distance of the two pupils.
pub fn pupil_distance(shape: &Shape) -> f32 {
    distance(shape[LEFT_PUPIL], shape[RIGHT_PUPIL])
}

/// The distance of the outer corners of the eyes: the inter-ocular distance by which the 300-W
/// challenge divides errors.
pub fn outer_eye_distance(shape: &Shape) -> f32 {
    distance(shape[LEFT_EYE_OUTER], shape[RIGHT_EYE_OUTER])
}

/// The Euclidean distance of two points.
pub fn distance(a: [f32; 2], b: [f32; 2]) -> f32 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_mirror_pairs_agree() {
        for (index, &twin) in MIRRORED_LANDMARKS.iter().enumerate() {
            assert_eq!(MIRRORED_LANDMARKS[twin], index);
            let name = LANDMARK_NAMES[index];
            let mirrored_name = match name.split_once(' ') {
                Some(("left", part)) => format!("right {part}"),
                Some(("right", part)) => format!("left {part}"),
                _ => name.to_string(),
            };
            assert_eq!(LANDMARK_NAMES[twin], mirrored_name);
        }
        assert_eq!(LANDMARK_NAMES[LEFT_PUPIL], "left pupil");
        assert_eq!(LANDMARK_NAMES[RIGHT_PUPIL], "right pupil");
        assert_eq!(LANDMARK_NAMES[LEFT_EYE_OUTER], "left eye outer corner");
        assert_eq!(LANDMARK_NAMES[RIGHT_EYE_OUTER], "right eye outer corner");
    }

    #[test]
    fn pupils_are_the_middle_of_the_eyes_and_other_points_are_taken_as_they_are() {
        let points: [[f32; 2]; IBUG_POINTS] = std::array::from_fn(|i| [i as f32, 100.0 - i as f32]);
        let shape = from_ibug(&points);
        assert_eq!(shape[LEFT_PUPIL], [38.5, 61.5]);
        assert_eq!(shape[RIGHT_PUPIL], [44.5, 55.5]);
        assert_eq!((shape[0], shape[14], shape[20]), ([17.0, 83.0], [30.0, 70.0], [8.0, 92.0]));
    }

    #[test]
    fn mirroring_twice_changes_nothing_and_pixel_0_becomes_the_last() {
        let mut shape: Shape = std::array::from_fn(|i| [i as f32, 3.0 * i as f32]);
        shape[LEFT_PUPIL] = [0.0, 5.0];
        let mirror = mirrored(&shape, 64);
        assert_eq!(mirror[RIGHT_PUPIL], [63.0, 5.0]);
        assert_eq!(mirrored(&mirror, 64), shape);
        assert_eq!(pupil_distance(&mirror), pupil_distance(&shape));
        assert_eq!(outer_eye_distance(&mirror), outer_eye_distance(&shape));
    }
}
