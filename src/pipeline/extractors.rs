//! DeepID2 vectors of aligned faces by the networks of several patches.

use super::Error;
use super::vectors::SIDES;
use crate::data::augment::Augment;
use crate::face::Shape;
use crate::face::patch_cut::{PatchCut, Side};
use crate::face::patches::Patch;
use crate::gpu::Gpu;
use crate::model::{Extractor, Model};
use image::RgbImage;
use rayon::prelude::*;

/// The picture of a face in the frame of [`crate::face::canonical`].
#[derive(Debug, Clone, PartialEq)]
pub struct FacePicture {
    pub picture: RgbImage,
    /// In the frame.
    pub landmarks: Shape,
}

/// A patch and its network on the device.
pub struct PatchExtractor {
    patch: Patch,
    extractor: Extractor,
}

impl PatchExtractor {
    /// The network `model` of `patch`, for batches of `images` pictures.
    ///
    /// # Errors
    /// A network whose input is not the patch's; a batch that the adapter's limits forbid.
    pub fn new(gpu: &Gpu, patch: Patch, model: &Model, images: usize) -> Result<Self, Error> {
        let cut = PatchCut { patch, margin: 0 }.spec();
        let (crop, spec) = (model.crop, &model.spec);
        let of_network = (crop.height, crop.width, crop.channels);
        if of_network != (cut.height, cut.width, cut.channels) || spec.channels != cut.channels as usize {
            return Err(Error::OtherInput {
                patch,
                expected: (cut.height, cut.width, cut.channels),
                found: of_network,
            });
        }
        Ok(Self { patch, extractor: Extractor::of_model(gpu, model, images)? })
    }

    /// The patch.
    pub fn patch(&self) -> Patch {
        self.patch
    }

    /// Numbers in a vector.
    pub fn dimension(&self) -> usize {
        self.extractor.dimension()
    }

    /// [faces, 2, dimension]: for each face the vector of the patch, and that of its mirrored counterpart.
    ///
    /// # Errors
    /// A device that stopped.
    pub fn vectors(&mut self, faces: &[FacePicture]) -> Result<Vec<f32>, Error> {
        let dimension = self.dimension();
        let mut vectors = vec![0.0; faces.len() * SIDES * dimension];
        let sides = [(Side::Own, Augment::NONE), (Side::Counterpart, Augment::MIRRORED)];
        for (at, (side, augment)) in sides.into_iter().enumerate() {
            let of_side = self.extractor.vectors(&self.windows(faces, side), augment)?;
            for (face, vector) in of_side.chunks_exact(dimension).enumerate() {
                let start = (face * SIDES + at) * dimension;
                vectors[start..start + dimension].copy_from_slice(vector);
            }
        }
        Ok(vectors)
    }

    /// What the network sees of each face before it is mirrored.
    fn windows(&self, faces: &[FacePicture], side: Side) -> Vec<u8> {
        let cut = PatchCut { patch: self.patch, margin: 0 };
        let bytes = cut.spec().stored_bytes();
        let mut windows = vec![0; faces.len() * bytes];
        windows
            .par_chunks_exact_mut(bytes)
            .zip(faces)
            .for_each(|(out, face)| cut.cut(&face.picture, &face.landmarks, side, out));
        windows
    }
}
