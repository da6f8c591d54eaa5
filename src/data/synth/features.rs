//! Eyes, eyebrows, nose and mouth.

use super::geometry::{Point3, surface};
use super::nuisance::Expression;
use super::raster::{Mask, Paint, Rgb, mix, shade};
use super::scene::Scene;

const DARK: Rgb = [0.10, 0.07, 0.06];
const WHITE: Rgb = [1.0, 1.0, 1.0];

pub fn draw_eyes(scene: &mut Scene, face: &Mask) {
    let (identity, geometry) = (scene.identity, scene.geometry);
    let [eye_x, eye_y] = geometry.eye;
    let (half, open) = (identity.eye_width, geometry.opening);
    let skin_line = Paint::solid(shade(identity.skin, 0.45)).clip(face);
    for (side, pupil) in [-1.0, 1.0].into_iter().zip(geometry.pupils) {
        // Right-side coordinates (x towards the ear) on the skin.
        let place = |x: f32, y: f32| surface(side * x, y);
        let [inner, outer] = [geometry.eye_inner, geometry.eye_outer];
        let slope = (outer[1] - inner[1]) / (2.0 * half);
        let lid = |t: f32, height: f32| place(eye_x + t * half, eye_y + slope * t * half + height * open);
        let upper = [
            place(inner[0], inner[1]),
            lid(-0.55, -0.85),
            lid(0.0, -1.15),
            lid(0.55, -0.95),
            place(outer[0], outer[1]),
        ];
        let lower = [lid(0.5, 0.62), lid(0.0, 0.85), lid(-0.5, 0.6)];
        let almond: Vec<Point3> = upper.iter().chain(&lower).copied().collect();
        scene.blob(&almond, Paint::solid([0.95, 0.94, 0.92]).clip(face));
        let inside = scene.mask(&almond);
        let clipped = |colour| Paint::solid(colour).clip(&inside);
        let at = surface(pupil[0], pupil[1]);
        let radius = identity.iris_radius;
        scene.ellipse(at, [radius; 2], clipped(shade(identity.iris, 0.55)));
        scene.ellipse(at, [0.82 * radius; 2], clipped(identity.iris));
        scene.ellipse(at, [0.42 * radius; 2], clipped([0.03; 3]));
        let glint = [at[0] - 0.3 * radius, at[1] - 0.35 * radius, at[2]];
        scene.ellipse(glint, [0.25 * radius; 2], clipped(WHITE).alpha(0.9));
        // The upper lid's shadow on the eyeball.
        scene.line(&upper, |_| 0.035, clipped(DARK).alpha(0.35));

        let crease: Vec<Point3> = upper[1..].iter().map(|&[x, y, z]| [x, y - 0.045, z]).collect();
        scene.line(&crease, |t| 0.018 * (1.0 - t * t) + 0.006, skin_line.alpha(0.6));
        let lashes = 0.016 + 0.028 * identity.lashes;
        scene.line(&upper, |t| lashes * (0.4 + 0.6 * t), Paint::solid(DARK).clip(face).alpha(0.95));
        if identity.lashes > 0.55 {
            let flick = [
                place(outer[0] - 0.25 * half, outer[1] - 0.3 * open),
                place(outer[0], outer[1]),
                place(outer[0] + 0.05, outer[1] - 0.035),
            ];
            scene.line(&flick, |t| 0.03 * (1.0 - t) + 0.004, Paint::solid(DARK).clip(face));
        }
        let under: Vec<Point3> = std::iter::once(upper[4]).chain(lower).chain([upper[0]]).collect();
        scene.line(&under, |_| 0.012, skin_line.alpha(0.6));
    }
}

pub fn draw_brows(scene: &mut Scene, face: &Mask) {
    let (identity, brow) = (scene.identity, scene.geometry.brow);
    let paint = Paint::solid(identity.brow_colour).clip(face).alpha(0.9);
    for side in [-1.0, 1.0] {
        let path = brow.map(|[x, y]| surface(side * x, y));
        // Thin at the outer end, blunt at the inner.
        let thickness = identity.brow_thickness;
        scene.line(&path, |t| thickness * (0.25 + 1.5 * t - 0.75 * t * t), paint);
    }
}

pub fn draw_nose(scene: &mut Scene, face: &Mask) {
    let (identity, geometry) = (scene.identity, scene.geometry);
    let dark = Paint::solid(shade(identity.skin, 0.42)).clip(face);
    let light = Paint::solid(mix(identity.skin, WHITE, 0.6)).clip(face);
    let [_, tip_y] = geometry.nose_tip;
    let [wing_x, wing_y] = geometry.nose_wing;
    let bridge_y = geometry.nose_bridge[1];
    let nose = |x: f32, y: f32| geometry.on_nose([x, y]);
    for side in [-1.0, 1.0] {
        let x = side * (0.55 * wing_x + 0.02);
        let flank =
            [nose(side * 0.075, bridge_y - 0.04), nose(0.8 * x, 0.5 * (bridge_y + tip_y)), nose(x, tip_y - 0.07)];
        scene.line(&flank, |t| 0.03 + 0.03 * t, dark.alpha(0.22 * identity.nose_ridge));
        scene.spot(nose(1.25 * x, tip_y - 0.02), [0.09, 0.13], dark.alpha(0.30));
        let wing = [
            nose(side * 0.80 * wing_x, tip_y - 0.065),
            nose(side * wing_x, wing_y),
            nose(side * 0.70 * wing_x, tip_y + 0.07),
        ];
        scene.line(&wing, |t| 0.012 + 0.02 * t, dark.alpha(0.75));
        scene.ellipse(nose(side * 0.45 * wing_x, tip_y + 0.055), [0.28 * wing_x, 0.022], dark.alpha(0.85));
    }
    let base = [nose(-0.35 * wing_x, tip_y + 0.06), nose(0.0, tip_y + 0.085), nose(0.35 * wing_x, tip_y + 0.06)];
    scene.line(&base, |_| 0.016, dark.alpha(0.6));
    scene.spot(nose(0.0, tip_y + 0.14), [1.2 * wing_x, 0.08], dark.alpha(0.3));
    let ridge = [nose(0.0, bridge_y), nose(0.0, 0.5 * (bridge_y + tip_y)), nose(0.0, tip_y - 0.04)];
    scene.line(&ridge, |t| 0.03 + 0.03 * t, light.alpha(0.28 * identity.nose_ridge));
    scene.spot(nose(0.0, tip_y - 0.01), [0.45 * wing_x, 0.07], light.alpha(0.65));
}

pub fn draw_mouth(scene: &mut Scene, face: &Mask) {
    let (identity, geometry) = (scene.identity, scene.geometry);
    let [corner_x, corner_y] = geometry.mouth_corner;
    let [top, upper_edge, lower_edge, bottom] = geometry.lips;
    let bow = 0.25 * (upper_edge - top);
    let corner = surface(corner_x, corner_y);
    // A parabola from the corner to its height on the middle line; x is 1 at the corner.
    let along = |x: f32, height: f32| height + (corner_y - height) * x * x;
    let edge = |height: f32| {
        let y = along(0.55, height);
        symmetric_arc([corner, surface(0.55 * corner_x, y)], surface(0.0, height))
    };
    let (upper, lower) = (edge(upper_edge), edge(lower_edge));
    let clipped = |colour| Paint::solid(colour).clip(face);
    if lower_edge - upper_edge > 0.01 {
        let cavity: Vec<Point3> = upper.iter().chain(lower[1..4].iter().rev()).copied().collect();
        scene.blob(&cavity, clipped([0.25, 0.06, 0.07]));
        let inside = scene.mask(&cavity);
        // Only a smile or a wide open mouth bares the teeth.
        let Expression { smile, mouth_open, .. } = scene.nuisance.expression;
        let bared = (0.2 + smile).max(0.5 * mouth_open).clamp(0.0, 1.0);
        let teeth: Vec<Point3> = upper.iter().map(|&[x, y, z]| [0.9 * x, y + 0.02, z]).collect();
        scene.line(
            &teeth,
            |t| 0.075 * bared * (1.0 - (2.0 * t - 1.0).powi(4)),
            Paint::solid([0.95, 0.94, 0.90]).clip(&inside),
        );
    }
    let upper_lip: Vec<Point3> = [
        corner,
        surface(0.5 * corner_x, along(0.5, top) - 0.3 * bow),
        surface(0.2 * corner_x, top - bow),
        surface(0.0, top),
        surface(-0.2 * corner_x, top - bow),
        surface(-0.5 * corner_x, along(0.5, top) - 0.3 * bow),
    ]
    .into_iter()
    .chain(upper.iter().rev().copied())
    .collect();
    scene.blob(&upper_lip, clipped(shade(identity.lips, 0.88)));
    let lower_lip: Vec<Point3> =
        symmetric_arc([corner, surface(0.58 * corner_x, along(0.52, bottom))], surface(0.0, bottom))
            .into_iter()
            .chain(lower.iter().rev().copied())
            .collect();
    scene.blob(&lower_lip, clipped(identity.lips));
    let shine = mix(identity.lips, WHITE, 0.6);
    scene.spot(
        surface(0.0, 0.5 * (lower_edge + bottom)),
        [0.5 * corner_x, 0.5 * identity.lower_lip],
        clipped(shine).alpha(0.5),
    );
    let dark = clipped(shade(identity.lips, 0.35));
    if lower_edge - upper_edge <= 0.01 {
        scene.line(&upper, |t| 0.008 + 0.016 * (1.0 - (2.0 * t - 1.0).powi(2)), dark.alpha(0.9));
    }
    for side in [-1.0, 1.0] {
        scene.spot(surface(side * corner_x, corner_y), [0.045, 0.04], dark.alpha(0.8));
    }
    let shadow = clipped(shade(identity.skin, 0.45));
    scene.spot(surface(0.0, bottom + 0.05), [0.6 * corner_x, 0.05], shadow.alpha(0.4));
}

/// Corner, flank, middle, and the mirror images: five points from the right to the left.
fn symmetric_arc([corner, flank]: [Point3; 2], middle: Point3) -> [Point3; 5] {
    let mirror = |[x, y, z]: Point3| [-x, y, z];
    [corner, flank, middle, mirror(flank), mirror(corner)]
}
