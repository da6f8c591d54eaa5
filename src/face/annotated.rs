//! Pictures with landmarks: a `.pts` file of the same name beside each, in folders of any depth.

use super::points::Shape;
use super::pts;
use crate::data::dataset::{self, find_images};
use crate::data::{Purpose, random_stream};
use rand::seq::SliceRandom;
use std::path::{Path, PathBuf};

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Pictures(#[from] dataset::Error),
    #[error(transparent)]
    Landmarks(#[from] pts::Error),
    #[error("{path}: none of its {pictures} pictures has landmarks; put a .pts file of the picture's name beside each")]
    NoLandmarks { path: PathBuf, pictures: usize },
    #[error("a hold-out of {share}: expected a share of the pictures from 0 to below 1, such as 0.2")]
    Share { share: f64 },
    #[error(
        "{pictures} pictures with landmarks, {held_out} of them to be held out: too few; add pictures or change the hold-out"
    )]
    TooFew { pictures: usize, held_out: usize },
}

/// A picture and its landmarks.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotated {
    pub picture: PathBuf,
    pub shape: Shape,
}

/// The annotated pictures of a folder.
#[derive(Debug, Clone, PartialEq)]
pub struct AnnotatedFolder {
    /// Sorted by path.
    pub faces: Vec<Annotated>,
    /// Pictures without a `.pts` file.
    pub without: usize,
}

/// Reads all landmarks below the folder `path`; no picture is decoded.
///
/// # Errors
/// A folder that cannot be read or has no annotated picture, or a bad `.pts` file.
pub fn open(path: &Path) -> Result<AnnotatedFolder, Error> {
    let pictures = find_images(path)?;
    let mut faces = Vec::new();
    for picture in &pictures {
        let landmarks = picture.with_extension("pts");
        if landmarks.is_file() {
            faces.push(Annotated { picture: picture.clone(), shape: pts::read(&landmarks)? });
        }
    }
    if faces.is_empty() {
        return Err(Error::NoLandmarks { path: path.into(), pictures: pictures.len() });
    }
    let without = pictures.len() - faces.len();
    Ok(AnnotatedFolder { faces, without })
}

/// Divides pictures at random: a pure function of the seed, the share and their number. Returns
/// those to train on and those held out, each in their former order.
///
/// # Errors
/// A share outside [0, 1), or too few pictures to have one on each side.
pub fn hold_out(faces: Vec<Annotated>, share: f64, seed: u64) -> Result<(Vec<Annotated>, Vec<Annotated>), Error> {
    if !(0.0..1.0).contains(&share) {
        return Err(Error::Share { share });
    }
    let count = (share * faces.len() as f64).round() as usize;
    if count == faces.len() || (share > 0.0 && count == 0) {
        return Err(Error::TooFew { pictures: faces.len(), held_out: count });
    }
    let mut order: Vec<usize> = (0..faces.len()).collect();
    order.shuffle(&mut random_stream(seed, Purpose::LandmarkFolds, 0));
    let mut is_held_out = vec![false; faces.len()];
    for &index in &order[..count] {
        is_held_out[index] = true;
    }
    let mut sides = (Vec::new(), Vec::new());
    for (face, held_out) in faces.into_iter().zip(is_held_out) {
        if held_out { sides.1.push(face) } else { sides.0.push(face) }
    }
    Ok(sides)
}
