//! Neck, skin, ears, and what lies on the skin.

use super::geometry::{Point3, surface};
use super::raster::{Mask, Paint, Rgb, mix, shade};
use super::scene::{Scene, symmetric};

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
