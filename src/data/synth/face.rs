//! Skin, ears, neck and the features of a face.

use super::geometry::{Point3, surface};
use super::identity::Beard;
use super::nuisance::Expression;
use super::raster::{Mask, Paint, Rgb, mix, shade};
use super::scene::{Scene, symmetric};

const DARK: Rgb = [0.10, 0.07, 0.06];
const WHITE: Rgb = [1.0, 1.0, 1.0];

/// The right half of the face's outline, from the top of the skull to the chin.
fn outline(scene: &Scene) -> [Point3; 8] {
    let (identity, chin) = (scene.identity, scene.geometry.chin);
    let width = identity.face_width;
    let (jaw, chin_width) = (width * identity.jaw, width * identity.chin_width);
    [
        [0.0, -1.0, 0.0],
        [0.62 * width * identity.forehead, -0.90, 0.0],
        [width * identity.forehead, -0.52, 0.0],
        [width, -0.02, 0.0],
        [0.35 * width + 0.65 * jaw, 0.36 * chin, 0.0],
        [0.88 * jaw + 0.04 * chin_width, 0.68 * chin, 0.0],
        [chin_width, 0.955 * chin, 0.0],
        scene.geometry.on_chin(),
    ]
}

/// Neck and shoulders, behind the head.
pub fn draw_body(scene: &mut Scene) {
    let width = scene.identity.face_width;
    let (skin, clothes) = (scene.identity.skin, scene.nuisance.clothes);
    let neck = 0.62 * width;
    scene.blob(
        &symmetric(&[[neck, 0.4, -0.2], [0.92 * neck, 1.0, -0.2], [1.1 * neck, 1.4, -0.2], [neck, 2.0, -0.2]]),
        Paint::solid(shade(skin, 0.84)),
    );
    let chin = scene.geometry.chin;
    scene.spot([0.0, chin, -0.2], [0.95 * width, 0.4], Paint::solid(shade(skin, 0.4)).alpha(0.42));
    scene.blob(
        &symmetric(&[
            [0.0, 1.62, -0.2],
            [0.8 * neck, 1.46, -0.2],
            [1.15 * neck, 1.30, -0.2],
            [1.2, 1.50, -0.2],
            [1.75, 1.95, -0.2],
            [1.6, 2.8, -0.2],
            [0.0, 2.8, -0.2],
        ]),
        Paint::solid(clothes),
    );
}

/// Height of the ears' middle.
fn ear_height(scene: &Scene) -> f32 {
    0.17 - scene.identity.eye_height
}

/// Ear rings hang before the hair.
pub fn draw_ear_rings(scene: &mut Scene) {
    let identity = scene.identity;
    let Some(colour) = identity.ear_rings else { return };
    let y = ear_height(scene) + identity.ear_size + 0.05;
    for side in [-1.0, 1.0] {
        let x = side * (0.98 * identity.face_width + identity.ear_stick_out);
        scene.ellipse([x, y, -0.05], [0.045, 0.065], Paint::solid(colour));
        scene.ellipse([x - 0.012, y - 0.02, -0.05], [0.015, 0.02], Paint::solid(WHITE).alpha(0.7));
    }
}

/// Skin, and ears where hair does not cover them; returns the face's mask, which clips all that lies on it.
pub fn draw_skin(scene: &mut Scene) -> Mask {
    let identity = scene.identity;
    let skin = identity.skin;
    let ear_y = ear_height(scene);
    let sides: &[f32] = if identity.length.covers_ears() { &[] } else { &[-1.0, 1.0] };
    for &side in sides {
        let x = side * (0.95 * identity.face_width + identity.ear_stick_out);
        let half = [0.06 + 0.5 * identity.ear_stick_out, identity.ear_size];
        scene.ellipse([x, ear_y, -0.05], half, Paint::solid(shade(skin, 0.93)));
        let inner = [0.5 * half[0], 0.6 * half[1]];
        scene.ellipse([x, ear_y, -0.05], inner, Paint::solid(shade(skin, 0.68)).alpha(0.7));
    }
    let outline = symmetric(&outline(scene));
    scene.blob(&outline, Paint::solid(skin));
    scene.mask(&outline)
}

/// Soft shading of the skin, blush, wrinkles, freckles, moles.
pub fn draw_complexion(scene: &mut Scene, face: &Mask) {
    let (identity, geometry) = (scene.identity, scene.geometry);
    let dark = Paint::solid(shade(identity.skin, 0.45)).clip(face);
    let light = Paint::solid(mix(identity.skin, WHITE, 0.5)).clip(face);
    let width = identity.face_width;
    let [eye_x, eye_y] = geometry.eye;
    let [_, tip_y] = geometry.nose_tip;
    for side in [-1.0, 1.0] {
        let socket = surface(side * 0.94 * eye_x, eye_y - 0.05);
        scene.spot(socket, [1.5 * identity.eye_width, 0.17], dark.alpha(0.32));
        let lid = Paint::solid(mix([0.30, 0.22, 0.45], identity.iris, 0.4)).clip(face);
        scene.spot(
            surface(side * eye_x, eye_y - 0.07),
            [1.3 * identity.eye_width, 0.12],
            lid.alpha(1.4 * identity.eye_shadow),
        );
        let cheek = surface(side * 0.62 * width, tip_y - 0.02);
        scene.spot(cheek, [0.28, 0.22], Paint::solid([0.86, 0.30, 0.28]).clip(face).alpha(identity.blush));
        scene.spot(surface(side * 0.58 * width, tip_y - 0.16), [0.22, 0.12], light.alpha(0.25));
        scene.spot([side * width, 0.62 * geometry.chin, 0.0], [0.32, 0.5], dark.alpha(0.35));
        scene.spot([side * width, -0.45, 0.0], [0.3, 0.45], dark.alpha(0.25));
        for &[x, y] in &identity.freckles {
            let at = surface(side * (0.5 + 0.38 * x) * width, tip_y - 0.12 + 0.16 * y);
            scene.ellipse(at, [0.017, 0.017], Paint::solid([0.50, 0.27, 0.15]).clip(face).alpha(0.65));
        }
    }
    scene.spot(surface(0.0, -0.6), [0.4, 0.22], light.alpha(0.22));
    scene.spot(surface(0.0, geometry.chin - 0.12), [0.16, 0.09], light.alpha(0.25));
    for &[x, y] in &identity.moles {
        scene.ellipse(surface(x, y), [0.026, 0.026], Paint::solid([0.22, 0.12, 0.09]).clip(face).alpha(0.9));
    }
    draw_wrinkles(scene, dark);
}

fn draw_wrinkles(scene: &mut Scene, dark: Paint) {
    let (identity, geometry) = (scene.identity, scene.geometry);
    let old = ((identity.age - 0.45) / 0.55).max(0.0);
    let smile = scene.nuisance.expression.smile.max(0.0);
    let taper = |t: f32| 0.022 * (1.0 - (2.0 * t - 1.0).powi(2));
    let [wing_x, wing_y] = geometry.nose_wing;
    let [corner_x, corner_y] = geometry.mouth_corner;
    for side in [-1.0, 1.0] {
        let fold = [
            surface(side * (wing_x + 0.03), wing_y),
            surface(side * (0.5 * (wing_x + corner_x) + 0.10), 0.5 * (wing_y + corner_y)),
            surface(side * (corner_x + 0.07), corner_y + 0.04),
        ];
        scene.line(&fold, taper, dark.alpha(0.75 * old + 0.35 * smile));
        let [x, y] = geometry.eye;
        let half = identity.eye_width;
        let bag = [
            surface(side * (x - 0.9 * half), y + 0.09),
            surface(side * x, y + 0.14),
            surface(side * (x + 0.8 * half), y + 0.10),
        ];
        scene.line(&bag, taper, dark.alpha(0.7 * old));
    }
    for y in [0.14, 0.24] {
        let y = geometry.brow[1][1] - y;
        let line = [surface(-0.32, y), surface(0.0, y - 0.025), surface(0.32, y)];
        let raised = scene.nuisance.expression.brow_raise.max(0.0);
        scene.line(&line, taper, dark.alpha(old * (0.35 + 0.4 * raised).min(0.8)));
    }
}

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

pub fn draw_beard(scene: &mut Scene, face: &Mask) {
    let (identity, geometry) = (scene.identity, scene.geometry);
    let hair = Paint::solid(shade(identity.hair, 0.85)).clip(face);
    let (corner, tip_y) = (geometry.mouth_corner, geometry.nose_tip[1]);
    let width = identity.face_width;
    let jaw = |alpha: f32, scene: &mut Scene| {
        let half: Vec<Point3> =
            [[width + 0.05, -0.05, 0.0], [width + 0.1, 0.5, 0.0], [0.6 * width, geometry.chin + 0.1, 0.0]]
                .into_iter()
                .chain([[0.0, geometry.chin + 0.15, 0.0]])
                .collect();
        let inner = [
            surface(0.0, tip_y + 0.10),
            surface(corner[0] + 0.04, tip_y + 0.15),
            surface(0.70 * width, tip_y + 0.06),
            surface(0.88 * width, -0.02),
        ];
        let points: Vec<Point3> = inner.into_iter().chain(half).collect();
        scene.blob(&symmetric(&points), hair.alpha(alpha));
    };
    let moustache = |scene: &mut Scene| {
        let top = geometry.lips[0];
        let half = [
            surface(0.0, tip_y + 0.105),
            surface(0.6 * corner[0], tip_y + 0.12),
            surface(corner[0] + 0.05, corner[1] + 0.02),
            surface(0.55 * corner[0], top + 0.015),
            surface(0.0, top + 0.005),
        ];
        scene.blob(&symmetric(&half), hair.alpha(0.93));
    };
    match identity.beard {
        Beard::None => {}
        Beard::Stubble => jaw(0.32, scene),
        Beard::Moustache => moustache(scene),
        Beard::Goatee => {
            let top = geometry.lips[3] + 0.03;
            let chin = geometry.chin;
            let half = [
                surface(0.0, top),
                surface(0.16, top + 0.03),
                [0.24, 0.5 * (top + chin), 0.2],
                [0.17, chin - 0.01, 0.05],
                [0.0, chin + 0.05, 0.05],
            ];
            scene.blob(&symmetric(&half), Paint { clip: None, ..hair }.alpha(0.93));
            moustache(scene);
        }
        Beard::Full => {
            let chin = geometry.chin;
            let rim = [
                [0.0, 0.7 * chin, 0.1],
                [0.8 * width * identity.jaw, 0.6 * chin, 0.0],
                [0.98 * width * identity.jaw, 0.62 * chin, 0.0],
                [0.75 * width * identity.jaw, 0.93 * chin, 0.0],
                [0.4 * width, chin + 0.08, 0.0],
                [0.0, chin + 0.12, 0.0],
            ];
            scene.blob(&symmetric(&rim), Paint { clip: None, ..hair });
            jaw(0.95, scene);
        }
    }
}
