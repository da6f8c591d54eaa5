//! The places of a face's features in head coordinates, and its 21 landmarks.
//!
//! Head coordinates: the origin is in the middle of the head, x to the right of the picture, y
//! down, z towards the viewer. The head reaches from about −1 (skull) to 1 (chin). Features lie on
//! an ellipsoid, so that a turn of the head moves them against the outline of the face, which lies
//! in the plane z = 0.

use super::identity::Identity;
use super::nuisance::Expression;
use crate::face::points::LANDMARKS;

/// A point in head coordinates.
pub type Point3 = [f32; 3];

/// How far the nose's tip stands out of the ellipsoid.
const NOSE_HEIGHT: f32 = 0.15;

/// Depth of the skin's surface at (x, y).
pub fn surface(x: f32, y: f32) -> Point3 {
    let inside: f32 = 1.0 - (x / 0.86).powi(2) - (y / 1.25).powi(2);
    [x, y, 0.52 * inside.max(0.0).sqrt()]
}

/// The features of one face with one expression. Paired features are given for the right side;
/// the left is their mirror image but for the gaze.
pub struct Geometry {
    /// Outer end, middle, inner end of the eyebrow's centre line.
    pub brow: [[f32; 2]; 3],
    pub eye: [f32; 2],
    pub eye_outer: [f32; 2],
    pub eye_inner: [f32; 2],
    /// Half the height of the eye as it is open now.
    pub opening: f32,
    /// Left and right.
    pub pupils: [[f32; 2]; 2],
    pub nose_bridge: [f32; 2],
    pub nose_tip: [f32; 2],
    pub nose_wing: [f32; 2],
    pub mouth_corner: [f32; 2],
    /// On the middle line: top of the upper lip, its lower edge, the upper edge of the lower lip
    /// and its bottom.
    pub lips: [f32; 4],
    pub chin: f32,
}

impl Geometry {
    pub fn new(identity: &Identity, expression: &Expression) -> Self {
        let Identity { eye_spacing, eye_width, brow_length, brow_angle, .. } = *identity;
        let Expression { smile, mouth_open, brow_raise, eye_closure, gaze } = *expression;
        let eye_y = -identity.eye_height;
        let tilt = 0.5 * identity.eye_tilt * eye_width;
        let brow_y = eye_y - identity.brow_height - 0.045 * brow_raise;
        let brow_x = eye_spacing + 0.015;
        // A smile pushes the lower lids up.
        let opening = identity.eye_opening * (1.0 - eye_closure) * (1.0 - 0.15 * smile.max(0.0));
        let gaze = [gaze[0] * 0.35 * eye_width, gaze[1] * 0.25 * identity.eye_opening];
        let tip_y = eye_y + identity.nose_length;
        let mouth_y = tip_y + identity.mouth_gap - 0.015 * smile;
        let gap = 0.17 * mouth_open;
        let mouth_x = identity.mouth_width * (1.0 + 0.16 * smile - 0.12 * mouth_open);
        // A wide smile thins the lips.
        let thin = 1.0 - 0.2 * smile.max(0.0);
        Self {
            brow: [
                [brow_x + 1.05 * brow_length, brow_y - 0.3 * brow_angle + 0.02],
                [brow_x, brow_y - identity.brow_arch],
                [brow_x - 0.95 * brow_length, brow_y + brow_angle],
            ],
            eye: [eye_spacing, eye_y],
            eye_outer: [eye_spacing + eye_width, eye_y - tilt],
            eye_inner: [eye_spacing - eye_width, eye_y + tilt],
            opening,
            pupils: [[-eye_spacing + gaze[0], eye_y + gaze[1]], [eye_spacing + gaze[0], eye_y + gaze[1]]],
            nose_bridge: [0.0, eye_y + 0.02],
            nose_tip: [0.0, tip_y],
            nose_wing: [identity.nose_width * (1.0 + 0.1 * smile.max(0.0)), tip_y + 0.025],
            mouth_corner: [mouth_x, mouth_y - 0.075 * smile + identity.mouth_droop + 0.3 * gap],
            lips: [
                mouth_y - identity.upper_lip * thin,
                mouth_y,
                mouth_y + gap,
                mouth_y + gap + identity.lower_lip * thin,
            ],
            chin: mouth_y + identity.chin_length + 0.75 * gap,
        }
    }

    /// A point of the nose, which stands out of the face more and more towards its tip.
    pub fn on_nose(&self, [x, y]: [f32; 2]) -> Point3 {
        let [_, _, z] = surface(x, y);
        let down = ((y - self.nose_bridge[1]) / (self.nose_tip[1] - self.nose_bridge[1])).clamp(0.0, 1.0);
        let wing = (x / self.nose_wing[0]).abs().min(1.0);
        [x, y, z + NOSE_HEIGHT * down * (1.0 - 0.7 * wing)]
    }

    /// The chin's lowest point, on the outline of the face.
    pub fn on_chin(&self) -> Point3 {
        [0.0, self.chin, 0.0]
    }

    /// The landmarks in the order of [`LANDMARK_NAMES`](crate::face::points::LANDMARK_NAMES).
    pub fn landmarks(&self) -> [Point3; LANDMARKS] {
        let right = |[x, y]: [f32; 2]| surface(x, y);
        let left = |[x, y]: [f32; 2]| surface(-x, y);
        let [wing_x, wing_y] = self.nose_wing;
        [
            left(self.brow[0]),
            left(self.brow[1]),
            left(self.brow[2]),
            right(self.brow[2]),
            right(self.brow[1]),
            right(self.brow[0]),
            left(self.eye_outer),
            right(self.pupils[0]),
            left(self.eye_inner),
            right(self.eye_inner),
            right(self.pupils[1]),
            right(self.eye_outer),
            self.on_nose(self.nose_bridge),
            self.on_nose([-wing_x, wing_y]),
            self.on_nose(self.nose_tip),
            self.on_nose([wing_x, wing_y]),
            left(self.mouth_corner),
            surface(0.0, self.lips[0]),
            surface(0.0, self.lips[3]),
            right(self.mouth_corner),
            self.on_chin(),
        ]
    }
}
