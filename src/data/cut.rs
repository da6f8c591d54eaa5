//! What is cut out of each picture of a data set: its middle, or a patch of an aligned face.

use super::crop::{self, CropSpec, crop_into};
use super::decode::decode_upright;
use crate::face::canonical::{HEIGHT, WIDTH};
use crate::face::index::{self, AlignedFaces};
use crate::face::patch_cut::{PatchCut, Side};
use crate::face::patches::Patch;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why nothing can be cut from a picture. Every message names its file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Picture(#[from] crop::Error),
    #[error(transparent)]
    Index(#[from] index::Error),
    #[error("{path}: {width}×{height} pixels, expected an aligned picture of {WIDTH}×{HEIGHT}; align its folder again")]
    Size { path: PathBuf, width: u32, height: u32 },
}

/// What is cut.
#[derive(Debug, Clone)]
pub enum Cut {
    /// A window about the picture's middle.
    Centre(CropSpec),
    /// A patch of an aligned face.
    Patch { cut: PatchCut, faces: Arc<AlignedFaces> },
}

impl From<CropSpec> for Cut {
    fn from(spec: CropSpec) -> Self {
        Self::Centre(spec)
    }
}

impl Cut {
    /// The middle of pictures by `spec`, or `patch` of them with the margin of `spec`.
    ///
    /// # Errors
    /// For a patch, pictures that do not lie in folders of aligned pictures.
    pub fn new(spec: CropSpec, patch: Option<Patch>, pictures: &[PathBuf]) -> Result<Self, Error> {
        Ok(match patch {
            None => Self::Centre(spec),
            Some(patch) => Self::Patch {
                cut: PatchCut { patch, margin: spec.margin },
                faces: Arc::new(AlignedFaces::of_pictures(pictures)?),
            },
        })
    }

    /// The same without a margin: what validation sees.
    #[must_use]
    pub fn without_margin(&self) -> Self {
        match self {
            Self::Centre(spec) => Self::Centre(spec.without_margin()),
            Self::Patch { cut, faces } => Self::Patch { cut: PatchCut { margin: 0, ..*cut }, faces: Arc::clone(faces) },
        }
    }

    /// Size of what is cut.
    #[must_use]
    pub fn spec(&self) -> CropSpec {
        match self {
            Self::Centre(spec) => *spec,
            Self::Patch { cut, .. } => cut.spec(),
        }
    }

    /// The windows of a picture: a second one where its mirror image is not cut from the same.
    #[must_use]
    pub fn sides(&self) -> &'static [Side] {
        match self {
            Self::Patch { cut, .. } if cut.patch.is_paired() => &[Side::Own, Side::Counterpart],
            _ => &[Side::Own],
        }
    }

    /// The window that a picture, mirrored or not, is cut from.
    #[must_use]
    pub fn side(&self, mirrored: bool) -> Side {
        if mirrored && self.sides().len() > 1 { Side::Counterpart } else { Side::Own }
    }

    /// Cuts windows of the picture in the file `path` into `out`, one after another: u8, rows × columns × channels each,
    /// margin included.
    ///
    /// # Errors
    /// A picture that cannot be read; for a patch, one that is not an aligned picture.
    ///
    /// # Panics
    /// When `out` is not as long as all windows together.
    pub fn load_into(&self, path: &Path, sides: &[Side], out: &mut [u8]) -> Result<(), Error> {
        let bytes = self.spec().stored_bytes();
        assert_eq!(out.len(), sides.len() * bytes, "a buffer for all windows");
        let picture = decode_upright(path).map_err(crop::Error::from)?;
        match self {
            Self::Centre(spec) => out.chunks_exact_mut(bytes).for_each(|out| crop_into(&picture, spec, out)),
            Self::Patch { cut, faces } => {
                let landmarks = &faces.get(path)?.landmarks;
                let picture = picture.into_rgb8();
                let (width, height) = picture.dimensions();
                if (width, height) != (WIDTH, HEIGHT) {
                    return Err(Error::Size { path: path.into(), width, height });
                }
                for (side, out) in sides.iter().zip(out.chunks_exact_mut(bytes)) {
                    cut.cut(&picture, landmarks, *side, out);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::Dataset;
    use crate::face::index::testing::aligned_folder;

    fn cut(patch: &str, pictures: &[PathBuf]) -> Result<Cut, Error> {
        Cut::new(CropSpec { margin: 1, ..CropSpec::default() }, Some(patch.parse().unwrap()), pictures)
    }

    #[test]
    fn sides_are_two_for_paired_patches_only() {
        let root = tempfile::tempdir().unwrap();
        aligned_folder(root.path(), &[1]);
        let pictures = Dataset::open(root.path()).unwrap().flatten().0;
        let paired = cut("pupil@1.4 RGB", &pictures).unwrap();
        assert_eq!(paired.sides(), [Side::Own, Side::Counterpart]);
        assert_eq!([false, true].map(|mirrored| paired.side(mirrored)), [Side::Own, Side::Counterpart]);
        let middle = cut("chin@1.7 gray", &pictures).unwrap();
        assert_eq!((middle.sides(), middle.side(true)), (&[Side::Own][..], Side::Own));
        let spec = middle.spec();
        assert_eq!((spec.height, spec.width, spec.channels, spec.margin), (31, 39, 1, 1));
        assert_eq!(middle.without_margin().spec(), spec.without_margin());
        let centre = Cut::from(CropSpec::default());
        assert_eq!((centre.sides(), centre.side(true)), (&[Side::Own][..], Side::Own));
    }

    #[test]
    fn pictures_that_are_not_aligned_are_refused_by_name() {
        let root = tempfile::tempdir().unwrap();
        aligned_folder(root.path(), &[1]);
        let pictures = Dataset::open(root.path()).unwrap().flatten().0;
        let paired = cut("pupil@1.4 RGB", &pictures).unwrap();
        image::RgbImage::new(160, 191).save(&pictures[0]).unwrap();
        let mut out = vec![0; paired.spec().stored_bytes()];
        let message = paired.load_into(&pictures[0], &[Side::Own], &mut out).unwrap_err().to_string();
        assert!(message.contains("000.png: 160×191 pixels, expected an aligned picture of 160×192"), "{message}");
        let elsewhere = [tempfile::tempdir().unwrap().path().join("a/b.png")];
        assert!(cut("pupil@1.4 RGB", &elsewhere).unwrap_err().to_string().contains("run `deepid2 align`"));
    }
}
