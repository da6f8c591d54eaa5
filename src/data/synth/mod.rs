//! Procedural faces: a data set of people who do not exist, drawn by our own rasteriser.
//!
//! | file | purpose |
//! |---|---|
//! | [`identity`] | what all pictures of a person share |
//! | [`nuisance`] | pose, expression, light, camera, background, occlusion of one picture |
//! | [`geometry`] | places of the features, the 21 landmarks |
//! | [`raster`] | anti-aliased shapes and curves |
//! | [`scene`] | shapes given in head coordinates |
//! | [`face`], [`hair`], [`accessories`] | the drawing |
//! | [`camera`] | light, background, blur, noise |
//! | [`landmarks`] | the side file |
//! | [`writer`] | a folder of pictures |
//!
//! They need no download and no consent, and every landmark is known exactly. Identity is spread
//! over some fifty parameters that are drawn independently or nearly so; what a camera and a
//! moment change is drawn afresh for each picture.
//!
//! A picture is a pure function of (seed, identity, image, size): person 7 is the same however
//! many people there are, picture 3 the same however many pictures, whatever the number of
//! threads. Between platforms the last bit of a sine may differ, and with it a few bytes.

mod accessories;
mod camera;
mod face;
mod geometry;
mod hair;
mod identity;
mod landmarks;
mod nuisance;
mod raster;
mod scene;
mod writer;

pub use geometry::{LANDMARK_NAMES, LANDMARKS, MIRRORED_LANDMARKS};
pub use landmarks::{Landmarks, format_pts};
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
    face::draw_body(&mut scene);
    hair::draw_skull(&mut scene);
    let skin = face::draw_skin(&mut scene);
    face::draw_complexion(&mut scene, &skin);
    face::draw_eyes(&mut scene, &skin);
    face::draw_brows(&mut scene, &skin);
    face::draw_nose(&mut scene, &skin);
    face::draw_beard(&mut scene, &skin);
    face::draw_mouth(&mut scene, &skin);
    hair::draw_front(&mut scene);
    face::draw_ear_rings(&mut scene);
    accessories::draw_glasses(&mut scene);
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
