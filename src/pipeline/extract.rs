//! The extraction stage: all faces of an aligned folder through the networks of many patches, streamed to disk.
//!
//! Pictures are decoded once for all networks that are on the device at once, a chunk at a time on rayon's threads while
//! the device works on the chunk before, so memory stays flat whatever the number of faces. Each network's vectors go to a
//! file of their own ([`super::vectors`]); what is interrupted goes on at the first face that not all of them have.

use super::Error;
use super::extractors::{FacePicture, PatchExtractor};
use super::patch_nets::{self, State};
use super::people::HoldOut;
use super::vectors::{self, Origin, VectorWriter};
use crate::data::decode::decode_upright;
use crate::face::index::{AlignedFace, AlignedFaces, INDEX};
use crate::face::patches::Patch;
use crate::gpu::Gpu;
use crate::model::Model;
use crate::report::hashes::sha256_of;
use crate::train::TrainConfig;
use crate::train::folder::names;
use crate::train::interrupt::Interrupt;
use rayon::prelude::*;
use std::path::PathBuf;

/// Faces that are decoded at once: 24 MB of pictures.
const CHUNK: usize = 256;

/// What is extracted.
#[derive(Debug, Clone)]
pub struct ExtractSettings {
    /// Aligned folder.
    pub faces: PathBuf,
    /// Folder of networks.
    pub nets: PathBuf,
    /// Folder of vectors.
    pub out: PathBuf,
    pub patches: Vec<Patch>,
    /// Pictures a pass.
    pub batch: usize,
    /// Networks that are on the device at once.
    pub at_once: usize,
}

/// What extraction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extracted {
    /// Faces of the aligned folder.
    pub faces: usize,
    /// Files that were there before.
    pub before: usize,
    /// Files that this call finished.
    pub written: usize,
    /// False after an interruption.
    pub finished: bool,
}

/// Extracts; `progress` is told faces × networks done in this call, and all that there are to do.
///
/// # Errors
/// A network that is not trained to the end or does not fit its patch; a picture that cannot be read; a disk that is full;
/// a device that stopped.
pub fn extract(
    gpu: &Gpu,
    settings: &ExtractSettings,
    interrupt: &Interrupt,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Extracted, Error> {
    let index = AlignedFaces::open(&settings.faces)?;
    let faces = index.faces();
    let list = sha256_of(&settings.faces.join(INDEX))?.1;
    std::fs::create_dir_all(&settings.out)
        .map_err(|source| Error::CreateFolder { path: settings.out.clone(), source })?;
    let mut extracted = Extracted { faces: faces.len(), finished: true, ..Extracted::default() };
    let mut waiting = Vec::new();
    for &patch in &settings.patches {
        let State::Done(_) = patch_nets::state_of(&settings.nets, patch)? else {
            return Err(Error::NetNotDone { patch, nets: settings.nets.clone() });
        };
        let path = patch_nets::model_of(&settings.nets, patch);
        let model = Model::load(&path)?;
        let config = TrainConfig::load(&patch_nets::folder_of(&settings.nets, patch).join(names::CONFIG))?;
        let held_out = HoldOut { seed: config.seed, fraction: config.validation_fraction };
        let origin = Origin { patch: patch.index(), model: model.digest(), faces: list.clone(), held_out };
        let out = vectors::path(&settings.out, patch.index());
        match VectorWriter::begin(&out, &origin, faces.len(), model.spec.embedding)? {
            Some(writer) => waiting.push((patch, path, writer)),
            None => extracted.before += 1,
        }
    }
    let total: usize = waiting.iter().map(|(.., writer)| faces.len() - writer.done()).sum();
    let mut done = 0;
    while !waiting.is_empty() {
        let mut nets = Vec::new();
        for (patch, path, writer) in waiting.drain(..settings.at_once.clamp(1, waiting.len())) {
            nets.push((PatchExtractor::new(gpu, patch, &Model::load(&path)?, settings.batch)?, writer));
        }
        let start = nets.iter().map(|(_, writer)| writer.done()).min().unwrap_or(faces.len());
        nets.iter_mut().try_for_each(|(_, writer)| writer.keep(start))?;
        let mut chunks = faces[start..].chunks(CHUNK);
        let mut next = chunks.next().map(decode).transpose()?;
        while let Some(pictures) = next.take() {
            if interrupt.is_requested() {
                extracted.finished = false;
                return Ok(extracted);
            }
            next = std::thread::scope(|scope| {
                let ahead = chunks.next().map(|chunk| scope.spawn(|| decode(chunk)));
                for (extractor, writer) in &mut nets {
                    writer.append(&extractor.vectors(&pictures)?)?;
                    done += pictures.len();
                    progress(done, total);
                }
                ahead.map(|thread| thread.join().expect("decoding returns its errors")).transpose()
            })?;
        }
        for (_, writer) in nets {
            writer.finish()?;
            extracted.written += 1;
        }
    }
    Ok(extracted)
}

/// The aligned pictures of `faces`.
///
/// # Errors
/// The first picture that cannot be read.
pub fn decode(faces: &[AlignedFace]) -> Result<Vec<FacePicture>, Error> {
    let pictures: Vec<Result<FacePicture, Error>> = faces
        .par_iter()
        .map(|face| {
            Ok(FacePicture { picture: decode_upright(&face.path)?.into_rgb8(), landmarks: face.face.landmarks })
        })
        .collect();
    pictures.into_iter().collect()
}
