//! What changes from picture to picture of one synthetic person.

use super::raster::{Rgb, mix};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::f32::consts::TAU;

/// Where the head is and how it is turned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pose {
    /// Turn to the right of the picture, nod downwards and clockwise tilt, in radians.
    pub yaw: f32,
    pub pitch: f32,
    pub roll: f32,
    /// Pixels a head unit, and the head's centre, both as fractions of the picture's side.
    pub scale: f32,
    pub centre: [f32; 2],
}

impl Pose {
    /// From head coordinates (x right, y down, z towards the viewer) to the picture, orthographic.
    pub fn project(&self, [x, y, z]: [f32; 3], size: f32) -> [f32; 2] {
        let ((sin_yaw, cos_yaw), (sin_pitch, cos_pitch)) = (self.yaw.sin_cos(), self.pitch.sin_cos());
        let (sin_roll, cos_roll) = self.roll.sin_cos();
        let (x, z) = (x * cos_yaw + z * sin_yaw, z * cos_yaw - x * sin_yaw);
        let y = y * cos_pitch + z * sin_pitch;
        let (x, y) = (x * cos_roll - y * sin_roll, x * sin_roll + y * cos_roll);
        [size * (self.centre[0] + self.scale * x), size * (self.centre[1] + self.scale * y)]
    }
}

/// What the face does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expression {
    /// −0.5 (frown) to 1.
    pub smile: f32,
    /// 0 (closed) to 1.
    pub mouth_open: f32,
    /// −1 (lowered) to 1.
    pub brow_raise: f32,
    /// 0 (open) to 1.
    pub eye_closure: f32,
    /// Shift of the pupils, as a fraction of the room they have, along each axis.
    pub gaze: [f32; 2],
}

/// What hides part of the face.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Occlusion {
    None,
    Sunglasses,
    /// Over mouth and chin.
    Scarf(Rgb),
    /// Over the hair and forehead.
    Cap(Rgb),
    /// A hand at one cheek: −1 left, 1 right.
    Hand(f32),
}

/// Light on the head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Light {
    /// Unit vector towards the lamp: x right, y down, z towards the viewer.
    pub direction: [f32; 3],
    /// Part of the light that comes from the lamp rather than from everywhere.
    pub contrast: f32,
    pub gain: f32,
    /// Gains of red, green and blue.
    pub tint: Rgb,
}

/// What the camera does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Camera {
    /// Standard deviation of the blur, as a fraction of the picture's side.
    pub blur: f32,
    /// Standard deviation of the sensor's noise, of 1.
    pub noise: f32,
    pub saturation: f32,
    pub jpeg_quality: u8,
}

/// A wall with a gradient and a few soft spots.
#[derive(Debug, Clone, PartialEq)]
pub struct Background {
    pub colours: [Rgb; 2],
    /// Direction of the gradient, in radians.
    pub angle: f32,
    /// (centre, radius) as fractions of the side, and colour.
    pub spots: Vec<([f32; 2], f32, Rgb)>,
}

/// Everything that is particular to one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Nuisance {
    pub pose: Pose,
    pub expression: Expression,
    pub light: Light,
    pub camera: Camera,
    pub background: Background,
    pub clothes: Rgb,
    pub occlusion: Occlusion,
    /// Shift of the hair volume: no hair falls twice the same way.
    pub hair_shift: f32,
}

fn unit(vector: [f32; 3]) -> [f32; 3] {
    let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
    vector.map(|v| v / length)
}

/// Bell-shaped on (−1, 1), standard deviation 1/3.
fn bell(rng: &mut ChaCha8Rng) -> f32 {
    (0..3).map(|_| rng.random_range(-1.0f32..1.0)).sum::<f32>() / 3.0
}

fn colour(rng: &mut ChaCha8Rng) -> Rgb {
    let hue = [0, 1, 2].map(|_| rng.random_range(0.1f32..0.9));
    let grey = rng.random_range(0.1..0.9);
    mix([grey; 3], hue, 0.5)
}

impl Nuisance {
    /// Draws the circumstances of a picture.
    pub fn draw(rng: &mut ChaCha8Rng) -> Self {
        let pose = Pose {
            yaw: 0.50 * bell(rng),
            pitch: 0.32 * bell(rng),
            roll: 0.25 * bell(rng),
            scale: 0.35 * (1.0 + 0.11 * bell(rng)),
            centre: [0.5 + 0.055 * bell(rng), 0.5 + 0.055 * bell(rng)],
        };
        let expression = Expression {
            smile: rng.random_range(-0.4..1.0),
            mouth_open: if rng.random_bool(0.35) { rng.random_range(0.15..1.0) } else { 0.0 },
            brow_raise: 1.4 * bell(rng),
            eye_closure: match rng.random_range(0..20) {
                0 => 1.0,
                1..=5 => rng.random_range(0.2..0.5),
                _ => rng.random_range(0.0..0.15),
            },
            gaze: [1.2 * bell(rng), bell(rng)],
        };
        let around = rng.random_range(0.0..TAU);
        let sideways: f32 = rng.random_range(0.2..0.95);
        let warmth = 0.14 * bell(rng);
        let light = Light {
            // Lamps are rarely below the face.
            direction: unit([
                sideways * around.cos(),
                sideways * (0.6 * around.sin() - 0.4),
                (1.0 - sideways * sideways).sqrt(),
            ]),
            contrast: rng.random_range(0.1..0.75),
            gain: 1.0 + 0.6 * bell(rng),
            tint: [1.0 + warmth, 1.0 + 0.05 * bell(rng), 1.0 - warmth],
        };
        let camera = Camera {
            blur: if rng.random_bool(0.3) { rng.random_range(0.002..0.009) } else { 0.0 },
            noise: rng.random_range(0.0f32..0.17).powi(2),
            saturation: 1.0 + 0.7 * bell(rng),
            jpeg_quality: rng.random_range(55..=95),
        };
        let spots = (0..rng.random_range(0..6))
            .map(|_| ([rng.random(), rng.random()], rng.random_range(0.1..0.5), colour(rng)))
            .collect();
        let background = Background { colours: [colour(rng), colour(rng)], angle: rng.random_range(0.0..TAU), spots };
        let occlusion = match rng.random_range(0..100) {
            0..4 => Occlusion::Sunglasses,
            4..8 => Occlusion::Scarf(colour(rng)),
            8..12 => Occlusion::Cap(colour(rng)),
            12..15 => Occlusion::Hand(if rng.random_bool(0.5) { 1.0 } else { -1.0 }),
            _ => Occlusion::None,
        };
        let (clothes, hair_shift) = (colour(rng), bell(rng));
        Self { pose, expression, light, camera, background, clothes, occlusion, hair_shift }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    const STRAIGHT: Pose = Pose { yaw: 0.0, pitch: 0.0, roll: 0.0, scale: 0.25, centre: [0.5, 0.5] };

    fn assert_at(pose: Pose, point: [f32; 3], expected: [f32; 2]) {
        let found = pose.project(point, 100.0);
        assert_abs_diff_eq!(found[0], expected[0], epsilon = 1e-3);
        assert_abs_diff_eq!(found[1], expected[1], epsilon = 1e-3);
    }

    #[test]
    fn a_pose_turns_nods_and_tilts() {
        use std::f32::consts::{FRAC_PI_2, FRAC_PI_6};
        assert_at(STRAIGHT, [1.0, -0.4, 9.0], [75.0, 40.0]);
        // What is nearer moves with the turn, by depth · sin.
        assert_at(Pose { yaw: FRAC_PI_6, ..STRAIGHT }, [0.0, 0.2, 1.0], [62.5, 55.0]);
        assert_at(Pose { pitch: FRAC_PI_6, ..STRAIGHT }, [0.2, 0.0, 1.0], [55.0, 62.5]);
        // Clockwise as seen: what is at the right goes down.
        assert_at(Pose { roll: FRAC_PI_2, ..STRAIGHT }, [1.0, 0.0, 0.0], [50.0, 75.0]);
    }

    #[test]
    fn circumstances_vary_and_most_faces_are_uncovered() {
        use rand::SeedableRng;
        let drawn: Vec<Nuisance> = (0..2000).map(|seed| Nuisance::draw(&mut ChaCha8Rng::seed_from_u64(seed))).collect();
        let spread = |value: fn(&Nuisance) -> f32| {
            let values = drawn.iter().map(value);
            values.clone().fold(f32::MIN, f32::max) - values.fold(f32::MAX, f32::min)
        };
        assert!(spread(|n| n.pose.yaw) > 0.6 && spread(|n| n.pose.yaw) < 1.0);
        assert!(spread(|n| n.pose.roll) > 0.3 && spread(|n| n.pose.roll) < 0.5);
        assert!(spread(|n| n.light.gain) > 0.7);
        assert!(drawn.iter().all(|n| {
            let length: f32 = n.light.direction.iter().map(|d| d * d).sum();
            (length - 1.0).abs() < 1e-5 && n.light.direction[2] > 0.0
        }));
        // 300 expected, standard deviation 16.
        let covered = drawn.iter().filter(|n| n.occlusion != Occlusion::None).count();
        assert!((235..365).contains(&covered), "{covered}");
        let closed = drawn.iter().filter(|n| n.expression.eye_closure == 1.0).count();
        assert!((60..140).contains(&closed), "{closed}");
    }
}
