//! Beards and moustaches. They lie under the mouth, which is drawn after them.

use super::geometry::{Point3, surface};
use super::identity::Beard;
use super::raster::{Mask, Paint, shade};
use super::scene::{Scene, symmetric};

pub fn draw_beard(scene: &mut Scene, face: &Mask) {
    let hair = Paint::solid(shade(scene.identity.hair, 0.85));
    let on_skin = hair.clip(face);
    match scene.identity.beard {
        Beard::None => {}
        Beard::Stubble => draw_whiskers(scene, on_skin.alpha(0.32)),
        Beard::Moustache => draw_moustache(scene, on_skin.alpha(0.93)),
        Beard::Goatee => {
            draw_tuft(scene, hair.alpha(0.93));
            draw_moustache(scene, on_skin.alpha(0.93));
        }
        Beard::Full => {
            draw_fringe_of_jaw(scene, hair);
            draw_whiskers(scene, on_skin.alpha(0.95));
        }
    }
}

/// Cheeks, jaw and upper lip. The outer edge lies beyond the face: clip it.
fn draw_whiskers(scene: &mut Scene, paint: Paint) {
    let (geometry, width) = (scene.geometry, scene.identity.face_width);
    let ([_, tip_y], [corner_x, _]) = (geometry.nose_tip, geometry.mouth_corner);
    let half = [
        surface(0.0, tip_y + 0.10),
        surface(corner_x + 0.04, tip_y + 0.15),
        surface(0.70 * width, tip_y + 0.06),
        surface(0.88 * width, -0.02),
        [width + 0.05, -0.05, 0.0],
        [width + 0.1, 0.5, 0.0],
        [0.6 * width, geometry.chin + 0.1, 0.0],
        [0.0, geometry.chin + 0.15, 0.0],
    ];
    scene.blob(&symmetric(&half), paint);
}

fn draw_moustache(scene: &mut Scene, paint: Paint) {
    let geometry = scene.geometry;
    let ([_, tip_y], [corner_x, corner_y], top) = (geometry.nose_tip, geometry.mouth_corner, geometry.lips[0]);
    let half = [
        surface(0.0, tip_y + 0.105),
        surface(0.6 * corner_x, tip_y + 0.12),
        surface(corner_x + 0.05, corner_y + 0.02),
        surface(0.55 * corner_x, top + 0.015),
        surface(0.0, top + 0.005),
    ];
    scene.blob(&symmetric(&half), paint);
}

/// A goatee's chin.
fn draw_tuft(scene: &mut Scene, paint: Paint) {
    let (top, chin) = (scene.geometry.lips[3] + 0.03, scene.geometry.chin);
    let half: [Point3; 5] = [
        surface(0.0, top),
        surface(0.16, top + 0.03),
        [0.24, 0.5 * (top + chin), 0.2],
        [0.17, chin - 0.01, 0.05],
        [0.0, chin + 0.05, 0.05],
    ];
    scene.blob(&symmetric(&half), paint);
}

/// What stands out below the jaw of a full beard.
fn draw_fringe_of_jaw(scene: &mut Scene, paint: Paint) {
    let (identity, chin) = (scene.identity, scene.geometry.chin);
    let (width, jaw) = (identity.face_width, identity.face_width * identity.jaw);
    let half = [
        [0.0, 0.7 * chin, 0.1],
        [0.8 * jaw, 0.6 * chin, 0.0],
        [0.98 * jaw, 0.62 * chin, 0.0],
        [0.75 * jaw, 0.93 * chin, 0.0],
        [0.4 * width, chin + 0.08, 0.0],
        [0.0, chin + 0.12, 0.0],
    ];
    scene.blob(&symmetric(&half), paint);
}
