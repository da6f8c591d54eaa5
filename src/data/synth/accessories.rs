//! Glasses, and what hides part of the face on some pictures.

use super::geometry::{Point3, surface};
use super::hair;
use super::identity::Glasses;
use super::nuisance::Occlusion;
use super::raster::{Paint, Rgb, shade};
use super::scene::{Scene, ellipse, symmetric};

/// How far glasses stand before the skin.
const STAND_OFF: f32 = 0.06;

fn lens(glasses: Glasses, centre: Point3, half: [f32; 2]) -> Vec<Point3> {
    let [x, y, z] = centre;
    match glasses {
        Glasses::Rectangular => {
            [(-1.0, -0.55), (-0.8, -0.8), (0.8, -0.8), (1.0, -0.55), (0.92, 0.6), (0.7, 0.8), (-0.7, 0.8), (-0.92, 0.6)]
                .into_iter()
                .map(|(u, v)| [x + half[0] * u, y + half[1] * v, z])
                .collect()
        }
        Glasses::None | Glasses::Round => ellipse(centre, half).into(),
    }
}

pub fn draw_glasses(scene: &mut Scene) {
    let identity = scene.identity;
    let (glasses, frame, fill) = match (scene.nuisance.occlusion, identity.glasses) {
        (Occlusion::Sunglasses, _) => (Glasses::Rectangular, [0.05; 3], 0.93),
        (_, Glasses::None) => return,
        (_, glasses) => (glasses, identity.glasses_colour, 0.0),
    };
    let [eye_x, eye_y] = scene.geometry.eye;
    let half = match glasses {
        Glasses::Rectangular => [0.235, 0.185],
        Glasses::None | Glasses::Round => [0.215, 0.215],
    };
    // Wide-set eyes look through the inner parts of the lenses, close-set through the outer ones.
    let x = eye_x.max(half[0] + 0.04);
    let y = eye_y + 0.02;
    let depth = surface(x, y)[2] + STAND_OFF;
    let paint = Paint::solid(frame);
    for side in [-1.0, 1.0] {
        let outline = lens(glasses, [side * x, y, depth], half);
        scene.blob(&outline, Paint::solid([0.08, 0.07, 0.09]).alpha(fill));
        scene.spot([side * x - 0.07, y - 0.07, depth], [0.16, 0.10], Paint::solid([1.0; 3]).alpha(0.22));
        scene.ring(&outline, 0.036, paint);
        let temple = [[side * (x + half[0]), y - 0.04, depth], [side * (identity.face_width + 0.02), y - 0.06, 0.0]];
        scene.line(&temple, |_| 0.036, paint);
    }
    let inner = x - half[0];
    let bridge = [[-inner, y - 0.02, depth], [0.0, y - 0.06, depth + 0.05], [inner, y - 0.02, depth]];
    scene.line(&bridge, |_| 0.036, paint);
}

pub fn draw_occlusion(scene: &mut Scene) {
    match scene.nuisance.occlusion {
        Occlusion::None | Occlusion::Sunglasses => {}
        Occlusion::Scarf(colour) => draw_scarf(scene, colour),
        Occlusion::Cap(colour) => draw_cap(scene, colour),
        Occlusion::Hand(side) => draw_hand(scene, side),
    }
}

fn draw_scarf(scene: &mut Scene, colour: Rgb) {
    let width = scene.identity.face_width;
    let top = scene.geometry.nose_tip[1] + 0.09;
    let half = [
        surface(0.0, top + 0.04),
        surface(0.6 * width, top + 0.02),
        [width + 0.06, top - 0.10, 0.0],
        [width + 0.14, top + 0.25, 0.0],
        [width + 0.02, 1.25, 0.0],
        [0.9 * width, 1.65, 0.0],
        [0.0, 1.75, 0.2],
    ];
    scene.blob(&symmetric(&half), Paint::solid(colour));
    for (i, tone) in [0.75, 1.2, 0.8, 1.15].into_iter().enumerate() {
        let y = top + 0.15 + 0.16 * i as f32;
        let fold = [[-width, y - 0.06, 0.0], surface(0.0, y + 0.05), [width, y - 0.10, 0.0]];
        scene.line(&fold, |t| 0.07 * (1.0 - (2.0 * t - 1.0).powi(2)), Paint::solid(shade(colour, tone)).alpha(0.7));
    }
}

fn draw_cap(scene: &mut Scene, colour: Rgb) {
    let mut cap = hair::dome(scene);
    let (width, top) = (cap[12][0], cap[6][1]);
    let rim = -scene.identity.eye_height - 0.36;
    cap.extend([surface(0.5 * width, rim + 0.03), surface(0.0, rim), surface(-0.5 * width, rim + 0.03)]);
    scene.blob(&cap, Paint::solid(colour));
    scene.line(
        &[[0.0, top, 0.0], [0.0, 0.6 * top + 0.4 * rim, 0.35], surface(0.0, rim)],
        |_| 0.02,
        Paint::solid(shade(colour, 0.7)),
    );
    let brim = [
        [0.0, rim - 0.10, 0.55],
        [0.6 * width, rim - 0.04, 0.40],
        [0.78 * width, rim + 0.10, 0.35],
        [0.0, rim + 0.10, 0.85],
    ];
    scene.blob(&symmetric(&brim), Paint::solid(shade(colour, 0.72)));
}

fn draw_hand(scene: &mut Scene, side: f32) {
    let skin = scene.identity.skin;
    let width = scene.identity.face_width;
    let (palm_x, palm_y) = (side * (0.85 * width), scene.geometry.chin + 0.12);
    let depth = 0.6;
    let wrist =
        [[palm_x, palm_y, depth], [palm_x + 0.1 * side, palm_y + 0.5, depth], [palm_x + 0.2 * side, 2.6, depth]];
    scene.line(&wrist, |_| 0.40, Paint::solid(shade(skin, 0.95)));
    scene.ellipse([palm_x, palm_y, depth], [0.27, 0.30], Paint::solid(skin));
    for (i, length) in [0.52, 0.62, 0.58, 0.44].into_iter().enumerate() {
        let x = palm_x + side * (0.13 * i as f32 - 0.21);
        let lean = side * (0.05 * i as f32 - 0.14);
        let finger: Vec<Point3> = (0..=6)
            .map(|step| {
                let t = step as f32 / 6.0;
                [x + lean * t, palm_y - 0.12 - length * t, depth]
            })
            .collect();
        let rounded = |full: f32| move |t: f32| full * (1.0 - t.powi(8)).max(0.0).sqrt();
        scene.line(&finger, rounded(0.145), Paint::solid(shade(skin, 0.62)));
        scene.line(&finger, rounded(0.115), Paint::solid(skin));
    }
}
