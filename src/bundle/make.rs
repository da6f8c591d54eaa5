//! Putting a bundle together: in a folder beside its place, renamed when it is whole.

use super::Error;
use super::manifest::{LANDMARKS, Manifest, VERIFIER, VERSION};
use crate::face::aligner::{FaceChoice, Search};
use crate::face::patches::Patch;
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
    // Removed again when anything fails.
    let unfinished = tempfile::Builder::new().prefix(".bundle-").tempdir_in(parent).map_err(writing)?;
    let folder = unfinished.path();
    std::fs::create_dir(folder.join("networks")).map_err(writing)?;
    let copy = |from: &Path, name: &str| {
        std::fs::copy(from, folder.join(name)).map_err(|source| Error::Read { path: from.into(), source })
    };
    copy(parts.landmarks, LANDMARKS)?;
    copy(parts.verifier, VERIFIER)?;
    let mut files = vec![LANDMARKS.to_string(), VERIFIER.to_string()];
    for patch in Verifier::load(&folder.join(VERIFIER))?.patches() {
        let model = Model::load(&patch_nets::model_of(parts.nets, patch))?.extractor_only();
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
    manifest.write(folder, &files)?;
    let finished = unfinished.keep();
    std::fs::rename(&finished, out).map_err(|source| {
        // The error that matters is that of the renaming.
        let _ = std::fs::remove_dir_all(&finished);
        writing(source)
    })?;
    set_permissions(out).map_err(writing)
}

/// Temporary folders are their owner's alone; a bundle is as open as any new folder.
#[cfg(unix)]
fn set_permissions(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let usual = folder.join("networks").metadata()?.permissions().mode();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(usual))
}

#[cfg(not(unix))]
fn set_permissions(_: &Path) -> std::io::Result<()> {
    Ok(())
}
