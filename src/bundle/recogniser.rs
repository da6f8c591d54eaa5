//! Photographs to comparable faces: detection, landmarks, alignment, the chosen patches through their networks, PCA.

use super::Error;
use super::make::network;
use super::manifest::{LANDMARKS, MANIFEST, Manifest, VERIFIER};
use crate::face::aligner::{AlignedFace, Aligner, FaceChoice, Landmarks, Search};
use crate::face::patches::Patch;
use crate::gpu::Gpu;
use crate::model::Model;
use crate::pipeline::extractors::{FacePicture, PatchExtractor};
use crate::pipeline::vectors::SIDES;
use crate::pipeline::verifier::Verifier;
use crate::report::hashes::sha256_of;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// Photographs that are decoded and aligned at once.
const CHUNK: usize = 128;

/// What a recogniser is made of.
pub struct Parts<'a> {
    /// File of the landmark model.
    pub landmarks: PathBuf,
    pub verifier: Verifier,
    /// File of a patch's network.
    pub network: &'a dyn Fn(Patch) -> PathBuf,
    pub faces: FaceChoice,
    pub search: Search,
}

/// Networks and verifier on the device, ready to work.
pub struct Recogniser {
    pub verifier: Verifier,
    aligner: Aligner,
    extractors: Vec<PatchExtractor>,
}

/// A face of a photograph.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundFace {
    /// The photograph.
    pub path: PathBuf,
    /// Left, top, width and height of the face in it.
    pub bounds: [f32; 4],
    /// Whether the detector found it, or the middle of the photograph was taken for a face.
    pub detected: bool,
    /// The face's row in [`Faces::reduced`].
    pub row: usize,
}

/// Faces of many photographs, reduced.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Faces {
    pub found: Vec<FoundFace>,
    /// Photographs without a face that can be used, and why.
    pub rejected: Vec<(PathBuf, String)>,
    /// For each group of the verifier, rows of reduced vectors.
    pub reduced: Vec<Vec<f32>>,
}

/// A bundle that is open.
pub struct Bundle {
    pub manifest: Manifest,
    /// SHA-256 of the manifest, which names all else.
    pub digest: String,
    /// Which faces of a photograph are taken and where they are looked for, as JSON.
    pub finding: String,
    pub recogniser: Recogniser,
}

impl Bundle {
    /// Opens the bundle `folder` for passes of `images` faces; `choice` replaces the bundle's own, `search` makes of it where
    /// faces are looked for.
    ///
    /// # Errors
    /// A bundle that is damaged, half-copied or of another version; limits of the adapter.
    pub fn open(
        gpu: &Gpu,
        folder: &Path,
        images: usize,
        choice: Option<FaceChoice>,
        search: impl FnOnce(Search) -> Search,
    ) -> Result<Self, Error> {
        let manifest = Manifest::open(folder)?;
        let parts = Parts {
            landmarks: folder.join(LANDMARKS),
            verifier: Verifier::load(&folder.join(VERIFIER))?,
            network: &|patch| folder.join(network(patch)),
            faces: choice.unwrap_or(manifest.faces),
            search: search(manifest.search),
        };
        manifest.expect(folder, parts.verifier.patches().into_iter().map(network))?;
        let finding = serde_json::to_string(&(parts.faces, parts.search)).expect("plain numbers and text");
        let recogniser = Recogniser::assemble(gpu, parts, images)?;
        let (_, digest) = sha256_of(&folder.join(MANIFEST))?;
        Ok(Self { manifest, digest, finding, recogniser })
    }
}

impl Recogniser {
    /// Whether faces are looked for.
    pub fn detects(&self) -> bool {
        self.aligner.detects()
    }

    /// A recogniser of parts that are in no bundle yet.
    ///
    /// # Errors
    /// Parts that are missing, damaged or do not fit each other; limits of the adapter.
    pub fn assemble(gpu: &Gpu, parts: Parts, images: usize) -> Result<Self, Error> {
        let aligner = Aligner::new(Landmarks::open(&parts.landmarks)?, parts.faces, parts.search)?;
        let verifier = parts.verifier;
        let mut extractors = Vec::new();
        for patch in verifier.patches() {
            extractors.push(PatchExtractor::new(gpu, patch, &Model::load(&(parts.network)(patch))?, images)?);
        }
        Ok(Self { verifier, aligner, extractors })
    }

    /// The faces of `photographs`; `progress` is told how many are done.
    ///
    /// # Errors
    /// A device that stopped. What is wrong with a photograph is a rejection.
    pub fn faces(&mut self, photographs: &[PathBuf], progress: &dyn Fn(usize)) -> Result<Faces, Error> {
        let mut faces = Faces { reduced: vec![Vec::new(); self.verifier.groups.len()], ..Faces::default() };
        for (number, chunk) in photographs.chunks(CHUNK).enumerate() {
            let aligned: Vec<Result<Vec<AlignedFace>, String>> =
                chunk.par_iter().map(|path| self.aligner.align_file(path)).collect();
            let mut pictures = Vec::new();
            for (path, aligned) in chunk.iter().zip(aligned) {
                match aligned {
                    Err(reason) => faces.rejected.push((path.clone(), reason)),
                    Ok(of_photograph) => {
                        for AlignedFace { bounds, landmarks, aligned, .. } in of_photograph {
                            let detected = bounds.score > 0.0;
                            let bounds = [bounds.x, bounds.y, bounds.width, bounds.height];
                            faces.found.push(FoundFace {
                                path: path.clone(),
                                bounds,
                                detected,
                                row: faces.found.len(),
                            });
                            pictures.push(FacePicture { picture: aligned.picture, landmarks });
                        }
                    }
                }
            }
            for (all, new) in faces.reduced.iter_mut().zip(self.reduce(&pictures)?) {
                all.extend(new);
            }
            progress((number * CHUNK + chunk.len()).min(photographs.len()));
        }
        Ok(faces)
    }

    /// The one face of a photograph.
    ///
    /// # Errors
    /// No face, or several.
    pub fn only_face(&mut self, photograph: &Path) -> Result<Faces, Error> {
        let faces = self.faces(&[photograph.to_path_buf()], &|_| {})?;
        match (&faces.found[..], faces.rejected.first()) {
            (_, Some((path, reason))) => Err(Error::of_photograph(path, reason)),
            ([_], None) => Ok(faces),
            (found, None) => Err(Error::SeveralFaces { path: photograph.into(), faces: found.len() }),
        }
    }

    /// Aligned faces to reduced vectors, a matrix a group of the verifier.
    ///
    /// # Errors
    /// A device that stopped, or vectors that are not finite.
    pub fn reduce(&mut self, pictures: &[FacePicture]) -> Result<Vec<Vec<f32>>, Error> {
        if pictures.is_empty() {
            return Ok(vec![Vec::new(); self.verifier.groups.len()]);
        }
        let mut of_patch = Vec::with_capacity(self.extractors.len());
        for extractor in &mut self.extractors {
            of_patch.push((extractor.patch().index(), extractor.vectors(pictures)?));
        }
        let dimension = self.verifier.dimension;
        let rows = &mut |chosen: &[usize]| {
            let width = chosen.len() * dimension;
            let mut rows = vec![0.0; pictures.len() * width];
            for (at, vector) in chosen.iter().enumerate() {
                let found = of_patch.iter().find(|(patch, _)| *patch == vector / SIDES);
                let (_, values) = found.expect("an extractor for each of the verifier's patches");
                for (face, row) in rows.chunks_exact_mut(width).enumerate() {
                    let start = (face * SIDES + vector % SIDES) * dimension;
                    row[at * dimension..][..dimension].copy_from_slice(&values[start..start + dimension]);
                }
            }
            Ok(rows)
        };
        Ok(self.verifier.reduce(rows)?)
    }
}
