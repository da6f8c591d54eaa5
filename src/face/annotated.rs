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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::synth::format_pts;
    use std::fs;

    #[test]
    fn pictures_with_landmarks_are_found_at_any_depth() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        fs::create_dir_all(&deep).unwrap();
        let shape: Shape = std::array::from_fn(|i| [i as f32, 2.0 * i as f32]);
        for picture in [folder.path().join("z.jpg"), deep.join("1.png"), deep.join("without.png")] {
            fs::write(&picture, "never decoded").unwrap();
            if !picture.ends_with("without.png") {
                fs::write(picture.with_extension("pts"), format_pts(&shape)).unwrap();
            }
        }
        let found = open(folder.path()).unwrap();
        let pictures: Vec<_> = found.faces.iter().map(|face| face.picture.clone()).collect();
        assert_eq!((pictures, found.without), (vec![deep.join("1.png"), folder.path().join("z.jpg")], 1));
        assert_eq!(found.faces[0].shape, shape);

        fs::write(deep.join("1.pts"), "version: 1\nn_points: 21\n{\n1 x\n").unwrap();
        let message = open(folder.path()).unwrap_err().to_string();
        assert!(message.contains("1.pts, line 4"), "{message}");
        fs::remove_file(deep.join("1.pts")).unwrap();
        fs::remove_file(folder.path().join("z.pts")).unwrap();
        let message = open(folder.path()).unwrap_err().to_string();
        assert!(message.contains("none of its 3 pictures"), "{message}");
        assert!(matches!(open(&folder.path().join("none")), Err(Error::Pictures(_))));
    }

    #[test]
    fn sides_are_disjoint_complete_and_a_function_of_the_seed() {
        let faces: Vec<Annotated> = (0..50)
            .map(|i| Annotated { picture: format!("{i:02}.jpg").into(), shape: [[i as f32, 0.0]; 21] })
            .collect();
        let (train, held_out) = hold_out(faces.clone(), 0.2, 7).unwrap();
        assert_eq!((train.len(), held_out.len()), (40, 10));
        let mut both = [train.clone(), held_out.clone()].concat();
        both.sort_by(|a, b| a.picture.cmp(&b.picture));
        assert_eq!(both, faces);
        assert_eq!(hold_out(faces.clone(), 0.2, 7).unwrap(), (train, held_out.clone()));
        assert_ne!(hold_out(faces.clone(), 0.2, 8).unwrap().1, held_out);
        assert_eq!(hold_out(faces.clone(), 0.0, 1).unwrap().0, faces);
        for share in [-0.1, 1.0, f64::NAN] {
            assert!(matches!(hold_out(faces.clone(), share, 1), Err(Error::Share { .. })));
        }
        for share in [0.001, 0.999] {
            assert!(matches!(hold_out(faces.clone(), share, 1), Err(Error::TooFew { .. })));
        }
    }
}
