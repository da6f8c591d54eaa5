//! Procedural faces: a data set of people who do not exist, drawn by our own rasteriser.
//!
//! | file | purpose |
//! |---|---|
//! | `identity.rs` | what all pictures of a person share |
//! | `nuisance.rs` | pose, expression, light, camera, background, occlusion of one picture |
//! | `geometry.rs` | places of the features, the 21 landmarks |
//! | `raster.rs` | anti-aliased shapes and curves |
//! | `scene.rs` | shapes given in head coordinates |
//! | `skin.rs`, `features.rs`, `beard.rs`, `hair.rs`, `accessories.rs` | the drawing |
//! | `camera.rs` | light, background, blur, noise |
//! | `landmarks.rs` | the side file |
//! | `writer.rs` | a folder of pictures |
//!
//! They need no download and no consent, and every landmark is known exactly. Identity is spread
//! over some fifty parameters that are drawn independently or nearly so; what a camera and a
//! moment change is drawn afresh for each picture.
//!
//! A picture is a pure function of (seed, identity, image, size): person 7 is the same however
//! many people there are, picture 3 the same however many pictures, whatever the number of
//! threads. Between platforms the last bit of a sine may differ, and with it a few bytes.

mod accessories;
mod beard;
mod camera;
mod features;
mod geometry;
mod hair;
mod identity;
mod landmarks;
mod nuisance;
mod raster;
mod scene;
mod skin;
mod writer;

pub use crate::face::points::{LANDMARK_NAMES, LANDMARKS, MIRRORED_LANDMARKS, Shape as Landmarks};
pub use landmarks::format_pts;
pub use writer::{Error, SPEC_FILE, SynthSpec, Written, write_dataset};

use super::{Purpose, random_stream};
use geometry::Geometry;
use identity::Identity;
use image::{RgbImage, imageops};
use nuisance::Nuisance;
use raster::Canvas;
use scene::Scene;

/// A drawn face.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    pub pixels: RgbImage,
    /// (x, y) of each of [`LANDMARK_NAMES`], in pixels; pixel centres lie at whole numbers, the
    /// first at 0. One that is covered, or outside the picture, is where it would be seen.
    pub landmarks: Landmarks,
    /// What the picture is stored with: the losses of compression are part of the nuisance.
    pub jpeg_quality: u8,
}

/// Draws picture `image` of person `identity` under `seed`, `size` pixels wide and high.
///
/// The face is about as large as in a face detector's window enlarged 1.7 times: a centred crop of
/// two thirds of the width and four fifths of the height holds face and hair.
///
/// A pure function of its arguments.
pub fn render(seed: u64, identity: u32, image: u32, size: u32) -> Picture {
    let person = Identity::draw(&mut random_stream(seed, Purpose::SynthIdentity, identity.into()));
    let stream = u64::from(identity) << 32 | u64::from(image);
    let nuisance = Nuisance::draw(&mut random_stream(seed, Purpose::SynthPicture, stream));
    let mut noise = random_stream(seed, Purpose::SynthNoise, stream);
    let geometry = Geometry::new(&person, &nuisance.expression);
    let head = draw_head(&person, &nuisance, &geometry, size);
    let Nuisance { background, light, camera, pose, .. } = &nuisance;
    Picture {
        pixels: camera::develop(&head, background, light, camera, pose, size as usize, &mut noise),
        landmarks: landmarks::project(&geometry, pose, size),
        jpeg_quality: camera.jpeg_quality,
    }
}

/// Paints the head, from back to front, on a transparent canvas.
fn draw_head(identity: &Identity, nuisance: &Nuisance, geometry: &Geometry, size: u32) -> Canvas {
    let canvas = Canvas::new(size as usize);
    let mut scene = Scene { canvas, identity, nuisance, geometry, size: size as f32 };
    hair::draw_back(&mut scene);
    skin::draw_body(&mut scene);
    hair::draw_skull(&mut scene);
    let face = skin::draw_skin(&mut scene);
    skin::draw_complexion(&mut scene, &face);
    features::draw_eyes(&mut scene, &face);
    features::draw_brows(&mut scene, &face);
    features::draw_nose(&mut scene, &face);
    beard::draw_beard(&mut scene, &face);
    features::draw_mouth(&mut scene, &face);
    accessories::draw_glasses(&mut scene);
    hair::draw_front(&mut scene);
    skin::draw_ear_rings(&mut scene);
    accessories::draw_occlusion(&mut scene);
    scene.canvas
}

/// One row a person, one column a picture.
pub fn contact_sheet(spec: &SynthSpec, identities: u32, images: u32) -> RgbImage {
    let mut sheet = RgbImage::new(images * spec.size, identities * spec.size);
    for identity in 0..identities {
        for image in 0..images {
            let picture = render(spec.seed, identity, image, spec.size);
            let (x, y) = (image * spec.size, identity * spec.size);
            imageops::replace(&mut sheet, &picture.pixels, x.into(), y.into());
        }
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::identity::{Beard, Crown, Glasses, Length};
    use super::nuisance::{Expression, Light, Occlusion, Pose};
    use super::*;
    use approx::assert_abs_diff_eq;

    const NEUTRAL: Expression =
        Expression { smile: 0.0, mouth_open: 0.0, brow_raise: 0.0, eye_closure: 0.0, gaze: [0.0; 2] };

    fn person(number: u32) -> Identity {
        Identity::draw(&mut random_stream(3, Purpose::SynthIdentity, number.into()))
    }

    fn circumstances(number: u32) -> Nuisance {
        Nuisance::draw(&mut random_stream(3, Purpose::SynthPicture, number.into()))
    }

    /// Nothing in front of skin, eyes and mouth.
    fn bare(identity: Identity) -> Identity {
        let (moles, freckles) = (Vec::new(), Vec::new());
        let (crown, length) = (Crown::Bald, Length::Short);
        Identity { moles, freckles, crown, length, beard: Beard::None, glasses: Glasses::None, ..identity }
    }

    fn uncovered(nuisance: Nuisance) -> Nuisance {
        Nuisance { occlusion: Occlusion::None, ..nuisance }
    }

    #[test]
    fn a_picture_is_a_pure_function_of_its_four_numbers() {
        let picture = render(7, 2, 5, 64);
        assert_eq!((picture.pixels.width(), picture.pixels.height()), (64, 64));
        assert_eq!(picture, render(7, 2, 5, 64));
        for other in [render(8, 2, 5, 64), render(7, 3, 5, 64), render(7, 2, 6, 64), render(7, 5, 2, 64)] {
            assert_ne!(picture.pixels, other.pixels);
            assert_ne!(picture.landmarks, other.landmarks);
        }
        // Person and picture do not run into each other's random streams.
        assert_ne!(render(7, 0, 1, 64).landmarks, render(7, 1, 0, 64).landmarks);
    }

    #[test]
    fn landmarks_scale_with_the_picture() {
        let (small, large) = (render(7, 2, 5, 64), render(7, 2, 5, 192));
        for (s, l) in small.landmarks.iter().zip(large.landmarks) {
            for (s, l) in s.iter().zip(l) {
                assert_abs_diff_eq!(3.0 * (s + 0.5), l + 0.5, epsilon = 1e-3);
            }
        }
    }

    #[test]
    fn landmarks_follow_a_mirrored_pose() {
        for number in 0..20 {
            let Nuisance { pose, expression, .. } = circumstances(number);
            let mirrored_pose =
                Pose { yaw: -pose.yaw, roll: -pose.roll, centre: [1.0 - pose.centre[0], pose.centre[1]], ..pose };
            let mirrored_gaze = Expression { gaze: [-expression.gaze[0], expression.gaze[1]], ..expression };
            let project = |expression, pose| landmarks::project(&Geometry::new(&person(number), expression), pose, 100);
            let (found, mirrored) = (project(&expression, &pose), project(&mirrored_gaze, &mirrored_pose));
            for (i, [x, y]) in found.into_iter().enumerate() {
                let [mirrored_x, mirrored_y] = mirrored[MIRRORED_LANDMARKS[i]];
                // The mirror image of a pixel's centre c is at 99 − c.
                assert_abs_diff_eq!(x, 99.0 - mirrored_x, epsilon = 1e-3);
                assert_abs_diff_eq!(y, mirrored_y, epsilon = 1e-3);
            }
        }
        assert!((0..LANDMARKS).all(|i| MIRRORED_LANDMARKS[MIRRORED_LANDMARKS[i]] == i));
        let swapped = |name: &str| name.replace("left", "L").replace("right", "left").replace('L', "right");
        assert!((0..LANDMARKS).all(|i| swapped(LANDMARK_NAMES[i]) == LANDMARK_NAMES[MIRRORED_LANDMARKS[i]]));
    }

    #[test]
    fn landmarks_turn_with_the_head() {
        let Nuisance { pose, expression, .. } = circumstances(4);
        let geometry = Geometry::new(&person(4), &expression);
        let straight = landmarks::project(&geometry, &Pose { roll: 0.0, ..pose }, 100);
        let rolled = landmarks::project(&geometry, &Pose { roll: 0.3, ..pose }, 100);
        let (sin, cos) = 0.3f32.sin_cos();
        let centre = pose.centre.map(|c| 100.0 * c - 0.5);
        for (s, r) in straight.iter().zip(rolled) {
            let (dx, dy) = (s[0] - centre[0], s[1] - centre[1]);
            assert_abs_diff_eq!(r[0], centre[0] + dx * cos - dy * sin, epsilon = 1e-3);
            assert_abs_diff_eq!(r[1], centre[1] + dx * sin + dy * cos, epsilon = 1e-3);
        }
    }

    #[test]
    fn every_face_has_its_features_in_order_and_in_the_picture() {
        for number in 0..300 {
            let geometry = Geometry::new(&person(number), &circumstances(number).expression);
            let marks = geometry.landmarks();
            let (x, y) = (|i: usize| marks[i][0], |i: usize| marks[i][1]);
            let down = [y(4), y(9), y(14), y(17), y(18), y(20)];
            assert!(down.is_sorted_by(|a, b| a < b), "person {number}: {down:?}");
            assert!(x(3) < x(4) && x(4) < x(5) && 0.0 < x(9) && x(9) < x(10) && x(10) < x(11), "person {number}");
            for [x, y] in render(3, number, number, 32).landmarks {
                assert!((-0.5..31.5).contains(&x) && (-0.5..31.5).contains(&y), "person {number}: {x} {y}");
            }
        }
    }

    /// The premultiplied colour of the head at a landmark, nearest pixel.
    fn colour_at(head: &Canvas, size: u32, [x, y]: [f32; 2]) -> [f32; 4] {
        head.pixels()[y.round() as usize * size as usize + x.round() as usize]
    }

    #[test]
    fn landmarks_lie_on_what_is_drawn() {
        const SIZE: u32 = 256;
        for number in 0..12 {
            let lips = [0.8, 0.0, 0.0];
            let identity = Identity { skin: [0.9, 0.8, 0.7], lips, eye_opening: 0.08, ..bare(person(number)) };
            let mut nuisance = uncovered(circumstances(number));
            nuisance.expression = Expression { gaze: nuisance.expression.gaze, ..NEUTRAL };
            let geometry = Geometry::new(&identity, &nuisance.expression);
            let head = draw_head(&identity, &nuisance, &geometry, SIZE);
            let marks = landmarks::project(&geometry, &nuisance.pose, SIZE);
            for pupil in [7, 10] {
                let [r, g, b, _] = colour_at(&head, SIZE, marks[pupil]);
                assert!(r.max(g).max(b) < 0.15, "person {number}, pupil {pupil}: {r} {g} {b}");
            }
            for brow in [1, 4] {
                let found = colour_at(&head, SIZE, marks[brow]);
                for (found, wanted) in found.iter().zip(identity.brow_colour) {
                    assert!((found - wanted).abs() < 0.15, "person {number}, brow {brow}: {found} {wanted}");
                }
            }
            // Inside the lips it is red, outside it is not.
            let [top, bottom] = [marks[17], marks[18]];
            let between = |t: f32| [0, 1].map(|k| top[k] + t * (bottom[k] - top[k]));
            let green = |t: f32| colour_at(&head, SIZE, between(t))[1];
            assert!(green(0.15) < 0.25 && green(0.85) < 0.3, "person {number}: {} {}", green(0.15), green(0.85));
            let lip = bottom[1] - top[1];
            assert!(green(-3.0 / lip) > 0.25 && green(1.0 + 3.0 / lip) > 0.25, "person {number}");
        }
    }

    #[test]
    fn the_chin_lies_on_the_outline_of_the_face() {
        const SIZE: u32 = 256;
        for number in 0..12 {
            let (identity, nuisance) = (bare(person(number)), circumstances(number));
            let geometry = Geometry::new(&identity, &nuisance.expression);
            let canvas = Canvas::new(SIZE as usize);
            let (identity, nuisance, geometry) = (&identity, &nuisance, &geometry);
            let mut scene = Scene { canvas, identity, nuisance, geometry, size: SIZE as f32 };
            skin::draw_skin(&mut scene);
            let chin = landmarks::project(geometry, &nuisance.pose, SIZE)[20];
            // Two pixels along the face's own vertical decide between inside and outside.
            let (sin, cos) = nuisance.pose.roll.sin_cos();
            let beside = |step: f32| [chin[0] - step * sin, chin[1] + step * cos];
            assert!(colour_at(&scene.canvas, SIZE, beside(-2.0))[3] > 0.999, "person {number}");
            assert_eq!(colour_at(&scene.canvas, SIZE, beside(2.0))[3], 0.0, "person {number}");
        }
    }

    #[test]
    fn people_differ_under_the_same_circumstances() {
        const SIZE: u32 = 48;
        let nuisance = Nuisance { expression: NEUTRAL, ..uncovered(circumstances(1)) };
        let heads: Vec<Canvas> = (0..24)
            .map(|number| {
                let identity = person(number);
                draw_head(&identity, &nuisance, &Geometry::new(&identity, &NEUTRAL), SIZE)
            })
            .collect();
        for (i, a) in heads.iter().enumerate() {
            for (j, b) in heads[..i].iter().enumerate() {
                let differences =
                    a.pixels().iter().flatten().zip(b.pixels().iter().flatten()).map(|(a, b)| (a - b).abs());
                let mean = differences.sum::<f32>() / (SIZE * SIZE * 4) as f32;
                assert!(mean > 0.02, "persons {i} and {j} differ by {mean} only");
            }
        }
    }

    #[test]
    fn light_falls_from_its_side() {
        let mut nuisance = uncovered(circumstances(2));
        nuisance.pose = Pose { yaw: 0.0, pitch: 0.0, roll: 0.0, scale: 0.35, centre: [0.5, 0.5] };
        let identity = bare(person(2));
        let geometry = Geometry::new(&identity, &NEUTRAL);
        let head = draw_head(&identity, &nuisance, &geometry, 64);
        let brightness = |side: f32| {
            let light = Light { direction: [0.8 * side, 0.0, 0.6], contrast: 0.6, gain: 0.8, tint: [1.0; 3] };
            let Nuisance { background, camera, pose, .. } = &nuisance;
            let camera = nuisance::Camera { noise: 0.0, blur: 0.0, ..*camera };
            let mut rng = random_stream(1, Purpose::SynthNoise, 0);
            let picture = camera::develop(&head, background, &light, &camera, pose, 64, &mut rng);
            [picture.get_pixel(20, 32)[1], picture.get_pixel(43, 32)[1]]
        };
        let ([left, right], [left_of_left, right_of_left]) = (brightness(1.0), brightness(-1.0));
        assert!(
            right > left + 20 && left_of_left > right_of_left + 20,
            "{left} {right} {left_of_left} {right_of_left}"
        );
    }

    #[test]
    fn drawing_version_1_still_draws_the_same() {
        // When this fails, the drawing changed on purpose or not: if it did, DRAWING_VERSION must
        // change too, or an interrupted data set would be continued with other faces. Tolerances
        // leave room for another platform's sine.
        let picture = render(1, 0, 0, 64);
        let mean = picture.pixels.as_raw().iter().map(|&v| f64::from(v)).sum::<f64>() / (64.0 * 64.0 * 3.0);
        assert_abs_diff_eq!(mean, 98.1396, epsilon = 0.05);
        assert_abs_diff_eq!(picture.landmarks[20][0], 28.4757, epsilon = 0.01);
        assert_abs_diff_eq!(picture.landmarks[20][1], 48.9551, epsilon = 0.01);
    }

    #[test]
    fn a_contact_sheet_has_a_row_for_each_person() {
        let spec = SynthSpec { seed: 4, size: 40, ..SynthSpec::default() };
        let sheet = contact_sheet(&spec, 2, 3);
        assert_eq!((sheet.width(), sheet.height()), (120, 80));
        let tile = imageops::crop_imm(&sheet, 80, 40, 40, 40).to_image();
        assert_eq!(tile, render(4, 1, 2, 40).pixels);
    }
}
