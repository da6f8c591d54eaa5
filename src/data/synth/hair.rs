//! Hair in front of and behind the face.

use super::geometry::{Point3, surface};
use super::identity::{Crown, Length};
use super::raster::{Paint, Point, mix, shade};
use super::scene::Scene;
use std::f32::consts::{FRAC_PI_2, PI};

/// The hair's outline from the left temple over the top to the right temple, `lift` off the
/// skull; t runs from 0 to 1, and `reach` says how far down the temples it goes (in radians).
fn shell(width: f32, lift: f32, reach: f32, t: f32) -> [f32; 2] {
    let (sin, cos) = ((2.0 * t - 1.0) * (FRAC_PI_2 + reach)).sin_cos();
    // A superellipse: squarer than a circle, as skulls are.
    let square = |v: f32| v.signum() * v.abs().powf(0.8);
    [(width + 0.02 + 0.8 * lift) * square(sin), -0.25 - (0.76 + lift) * square(cos)]
}

/// What falls behind the neck and shoulders.
pub fn draw_back(scene: &mut Scene) {
    let identity = scene.identity;
    let width = identity.face_width + 0.06 + 0.14 * identity.hair_volume + 0.03 * scene.nuisance.hair_shift;
    let bottom = match identity.length {
        Length::Short => return,
        Length::Bun => {
            let paint = Paint::solid(shade(identity.hair, 0.85));
            scene.ellipse([0.0, -1.18 - 0.1 * identity.hair_volume, -0.1], [0.30, 0.24], paint);
            return;
        }
        Length::Bob => 0.62,
        Length::Long | Length::Wavy => 1.75,
    };
    let wave = if identity.length == Length::Wavy { 0.075 } else { 0.0 };
    let side = |sign: f32| {
        (0..=12).map(move |i| {
            let t = i as f32 / 12.0;
            let spread =
                width + 0.12 * t + wave * (4.5 * PI * t).sin() - if bottom < 1.0 { 0.24 * t.powi(5) } else { 0.0 };
            [sign * spread, -0.4 + t * (bottom + 0.4), -0.15]
        })
    };
    let top = (1..8).map(|i| {
        let [x, y] = shell(width, 0.08, 0.0, i as f32 / 8.0);
        [x, y, -0.15]
    });
    let right: Vec<Point3> = side(1.0).collect();
    let left = right.iter().rev().map(|&[x, y, z]| [-x, y, z]);
    let outline: Vec<Point3> = left.chain(top).chain(right.iter().copied()).collect();
    scene.blob(&outline, Paint::solid(shade(identity.hair, 0.72)));
}

/// The hair that covers the skull, behind the face: what shows beside a narrow forehead.
pub fn draw_skull(scene: &mut Scene) {
    let identity = scene.identity;
    if identity.crown == Crown::Bald {
        return;
    }
    let lift = 0.7 * lift(scene);
    let outline: Vec<Point> = (0..=16)
        .map(|i| {
            let [x, y] = shell(identity.face_width, lift, 0.0, i as f32 / 16.0);
            scene.at([x, y, -0.06])
        })
        .chain([1.0, -1.0].map(|side| scene.at([0.95 * side * identity.face_width, 0.05 - identity.eye_height, -0.06])))
        .collect();
    scene.canvas.fill(&outline, Paint::solid(shade(identity.hair, 0.8)));
}

/// Height of the hairline at −1 ≤ x ≤ 1 (fractions of the face's width).
fn hairline(crown: Crown, eye_y: f32, high: f32, parting: f32, x: f32) -> f32 {
    let across = x * parting;
    match crown {
        Crown::Receding => high - 0.10 + 0.10 * (7.0 * x).cos() * (1.0 - x.abs()) + 0.55 * x.powi(6),
        Crown::SideParting => {
            let parted = high - 0.10;
            let sweep = if across < 0.35 { 0.40 * (0.35 - across) } else { 0.7 * (across - 0.35) };
            parted + sweep + 0.25 * x.powi(6)
        }
        Crown::MiddleParting => high - 0.14 + 0.62 * x.abs().powf(0.85),
        Crown::Fringe => eye_y - 0.30 - 0.03 * (1.0 - x * x) + 0.012 * (20.0 * x).sin() + 0.12 * x.powi(6),
        Crown::SweptBack => high - 0.10 + 0.42 * x.powi(4),
        Crown::Spiky => high + 0.05 * (16.0 * x).sin() + 0.30 * x.powi(6),
        Crown::Bald | Crown::Cropped | Crown::Curly => high + 0.30 * x.powi(6),
    }
}

/// How far the hair stands off the skull.
fn lift(scene: &Scene) -> f32 {
    let full = scene.identity.hair_volume + 0.15 * scene.nuisance.hair_shift;
    match scene.identity.crown {
        Crown::Bald => 0.0,
        Crown::Cropped | Crown::Receding => 0.03 + 0.03 * full,
        Crown::Curly => 0.12 + 0.16 * full,
        Crown::Spiky => 0.08 + 0.08 * full,
        Crown::SideParting | Crown::MiddleParting | Crown::Fringe | Crown::SweptBack => 0.06 + 0.13 * full,
    }
}

/// The upper part of the hair's outline, from left to right: what a cap sits on.
pub fn dome(scene: &Scene) -> Vec<Point3> {
    // Caps press the hair down.
    let lift = 0.03 + 0.75 * lift(scene);
    (0..=12)
        .map(|i| {
            let [x, y] = shell(scene.identity.face_width, lift, -0.15, i as f32 / 12.0);
            [x, y, 0.0]
        })
        .collect()
}

/// What grows from the forehead and falls before the ears.
pub fn draw_front(scene: &mut Scene) {
    const POINTS: usize = 28;
    let identity = scene.identity;
    let (crown, width) = (identity.crown, identity.face_width);
    if crown == Crown::Bald {
        return;
    }
    let eye_y = -identity.eye_height;
    let lift = lift(scene);
    let high = eye_y - identity.hairline;
    let sideburn = match identity.length {
        Length::Short | Length::Bun => eye_y + 0.06,
        Length::Bob => 0.52,
        Length::Long | Length::Wavy => 0.95,
    };
    let outer: Vec<Point3> = (0..=POINTS)
        .map(|i| {
            let t = i as f32 / POINTS as f32;
            let spike = if crown == Crown::Spiky && i % 2 == 1 { 0.13 } else { 0.0 };
            let [x, y] = shell(width, lift + spike * (PI * t).sin(), 0.0, t);
            [x, y, -0.03]
        })
        .collect();
    // Up to just inside the outline, where the locks take over.
    let inner: Vec<Point3> = (0..=POINTS)
        .map(|i| {
            let x = 0.96 * (2.0 * i as f32 / POINTS as f32 - 1.0);
            let [x, y, z] = surface(x * width, hairline(crown, eye_y, high, identity.parting, x));
            [x, y, z + 0.02]
        })
        .collect();
    draw_locks(scene, width + 0.02 + 0.8 * lift, sideburn);
    let outline: Vec<Point> = outer.iter().chain(inner.iter().rev()).map(|&p| scene.at(p)).collect();
    scene.canvas.fill(&outline, Paint::solid(identity.hair));
    let hair = scene.canvas.mask(&outline);
    let light = Paint::solid(mix(identity.hair, [1.0, 0.95, 0.85], 0.35)).clip(&hair);
    let dark = Paint::solid(shade(identity.hair, 0.55)).clip(&hair);
    if crown == Crown::Curly {
        draw_curls(scene, &outer, &inner);
        return;
    }
    for i in 1..POINTS {
        let (paint, strength) = if i % 3 == 0 { (light, 0.20) } else { (dark, 0.28) };
        let middle: Point3 = [0, 1, 2].map(|k| 0.5 * (outer[i][k] + inner[i][k]));
        let root = [middle[0], middle[1] - 0.02, middle[2] + 0.12];
        scene.line(&[outer[i], root, inner[i]], |t| 0.026 - 0.016 * t, paint.alpha(strength));
    }
    scene.spot([-0.15 * identity.parting, -0.92 - 0.5 * lift, 0.2], [0.5, 0.16], light.alpha(0.35));
}

/// Side hair from the temples down to `bottom`, tapering; `outer` is half the hair's width.
fn draw_locks(scene: &mut Scene, outer: f32, bottom: f32) {
    let identity = scene.identity;
    let inner = 0.93 * identity.face_width;
    // Short hair ends in sideburns on the cheek, long hair in points that fall outwards.
    let tip = if identity.length.covers_ears() { 0.4 * inner + 0.6 * outer } else { inner + 0.02 };
    let middle = 0.6 * bottom - 0.4 * 0.25;
    for side in [-1.0, 1.0] {
        let lock = [
            [side * inner, -0.5, 0.0],
            [side * outer, -0.32, -0.03],
            [side * outer, middle, -0.02],
            [side * tip, bottom, 0.0],
            [side * inner, middle, 0.0],
        ];
        scene.blob(&lock, Paint::solid(identity.hair));
        if identity.length.covers_ears() {
            let paint = Paint::solid(shade(identity.hair, 0.7)).alpha(0.5);
            for at in [0.35, 0.65] {
                let x = side * (inner + at * (outer - inner));
                scene.line(&[[x, -0.3, 0.0], [x, middle, 0.0], [side * tip, bottom, 0.0]], |t| 0.02 * (1.0 - t), paint);
            }
        }
    }
}

/// Overlapping round curls along the outline and the hairline.
fn draw_curls(scene: &mut Scene, outer: &[Point3], inner: &[Point3]) {
    let hair = scene.identity.hair;
    for (i, (rim, line)) in outer.iter().zip(inner).enumerate() {
        for (step, at) in [0.0f32, 0.35, 0.7, 0.95].into_iter().enumerate() {
            let centre = [0, 1, 2].map(|k| rim[k] + at * (line[k] - rim[k]));
            let tone = [0.75, 1.0, 1.3][(i + 2 * step) % 3];
            scene.ellipse(centre, [0.085, 0.085], Paint::solid(shade(hair, tone)).alpha(0.85));
        }
    }
}
