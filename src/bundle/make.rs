//! Putting a bundle together: in a folder beside its place, renamed when it is whole.

use super::Error;
use super::manifest::{LANDMARKS, Manifest, VERIFIER, VERSION};
use crate::face::aligner::{FaceChoice, Search};
use crate::face::landmark_model::LandmarkModel;
use crate::face::patches::Patch;
use crate::files::atomic_write;
use crate::model::Model;
use crate::pipeline::patch_nets;
use crate::pipeline::verifier::Verifier;
use crate::report::card::ModelCard;
use std::collections::BTreeMap;
use std::path::Path;

/// What a bundle is made of.
#[derive(Debug, Clone)]
pub struct Parts<'a> {
    /// The landmark model's file.
    pub landmarks: &'a Path,
    /// Folder of networks.
    pub nets: &'a Path,
    /// The verifier's file.
    pub verifier: &'a Path,
    pub search: Search,
    pub faces: FaceChoice,
    pub card: ModelCard,
}

/// The file of a patch's network in a bundle.
pub fn network(patch: Patch) -> String {
    format!("networks/patch-{:03}.safetensors", patch.index())
}

/// Makes the bundle `out`. Of each network only what extraction needs is kept: not the softmax, nor the momentum.
///
/// # Errors
/// An `out` that exists, a part that is missing or damaged, a disk that is full. No partial bundle is left.
pub fn make(parts: &Parts, out: &Path) -> Result<(), Error> {
    if out.exists() {
        return Err(Error::Exists { path: out.into() });
    }
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let writing = |source| Error::Write { path: out.into(), source };
    std::fs::create_dir_all(parent).map_err(writing)?;
    // One name, so that what a killed call left is found and removed by the next.
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = parent.join(format!(".{name}.partial"));
    remove(&unfinished).map_err(writing)?;
    let made = fill(parts, &unfinished);
    if made.is_err() {
        // The error that matters is the first.
        let _ = remove(&unfinished);
        return made;
    }
    std::fs::rename(&unfinished, out).map_err(writing)
}

fn remove(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Writes a whole bundle to the new folder `folder`.
fn fill(parts: &Parts, folder: &Path) -> Result<(), Error> {
    let networks = folder.join("networks");
    std::fs::create_dir_all(&networks).map_err(|source| Error::Write { path: networks, source })?;
    // A bundle that cannot be used is not worth finishing.
    LandmarkModel::load(parts.landmarks)?;
    let copy = |from: &Path, name: &str| -> Result<(), Error> {
        let bytes = std::fs::read(from).map_err(|source| Error::Read { path: from.into(), source })?;
        Ok(atomic_write(&folder.join(name), &bytes)?)
    };
    copy(parts.landmarks, LANDMARKS)?;
    copy(parts.verifier, VERIFIER)?;
    let mut files = vec![LANDMARKS.to_string(), VERIFIER.to_string()];
    let verifier = Verifier::load(parts.verifier)?;
    for patch in verifier.patches() {
        let path = patch_nets::model_of(parts.nets, patch);
        let model = Model::load(&path)?;
        verifier.check_network(patch.index(), &model.digest(), &path)?;
        let model = model.extractor_only();
        model.save(&folder.join(network(patch)))?;
        files.push(network(patch));
    }
    let manifest = Manifest {
        version: VERSION,
        made_by: concat!("deepid2 ", env!("CARGO_PKG_VERSION")).into(),
        detector: "SeetaFace frontal 1.0, in the program".into(),
        search: parts.search,
        faces: parts.faces,
        files: BTreeMap::new(),
        card: parts.card.clone(),
    };
    manifest.write(folder, &files)
}
