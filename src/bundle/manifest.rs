//! `bundle.json`: what a bundle holds, the hash of each of its files, and its model card.

use super::Error;
use crate::face::aligner::{FaceChoice, Search};
use crate::files::atomic_write;
use crate::report::card::ModelCard;
use crate::report::hashes::sha256_of;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Component, Path};

/// File name in a bundle.
pub const MANIFEST: &str = "bundle.json";
/// The version of the format that this program reads and writes.
pub const VERSION: u32 = 2;
/// The file of the landmark model.
pub const LANDMARKS: &str = "landmarks.safetensors";
/// The file of the verifier.
pub const VERIFIER: &str = "verifier.safetensors";

/// What a bundle says of itself. It is written last: a bundle without it is half-copied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`VERSION`].
    pub version: u32,
    /// The program that made it.
    pub made_by: String,
    /// The face detector, which is part of the program.
    pub detector: String,
    /// Where faces are looked for.
    pub search: Search,
    /// Which face of a photograph is taken.
    pub faces: FaceChoice,
    /// SHA-256 of each file, by its path in the bundle.
    pub files: BTreeMap<String, String>,
    pub card: ModelCard,
}

/// Only the version, so that a later one is told from a damaged file.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl Manifest {
    /// Reads the manifest of the bundle `folder` and checks every file against its hash.
    ///
    /// # Errors
    /// No bundle, one of another version, a file that is missing (half-copied) or changed.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(MANIFEST);
        let bytes = std::fs::read(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => Error::NoBundle { path: folder.into() },
            _ => Error::Read { path: path.clone(), source },
        })?;
        let damaged = |error: serde_json::Error| Error::Manifest { path: path.clone(), message: error.to_string() };
        let Versioned { version } = serde_json::from_slice(&bytes).map_err(damaged)?;
        if version != VERSION {
            return Err(Error::Version { path: folder.into(), found: version });
        }
        let manifest: Self = serde_json::from_slice(&bytes).map_err(damaged)?;
        manifest.expect(folder, [LANDMARKS, VERIFIER])?;
        for (name, expected) in &manifest.files {
            if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
                return Err(Error::Manifest { path, message: format!("`{name}` is no path below the bundle") });
            }
            let file = folder.join(name);
            if !file.is_file() {
                return Err(Error::MissingFile { path: folder.into(), file: name.clone() });
            }
            if sha256_of(&file)?.1 != *expected {
                return Err(Error::Changed { path: file });
            }
        }
        Ok(manifest)
    }

    /// Makes sure that the hashes of these files are known.
    ///
    /// # Errors
    /// The first whose is not.
    pub fn expect(&self, folder: &Path, files: impl IntoIterator<Item = impl AsRef<str>>) -> Result<(), Error> {
        match files.into_iter().find(|file| !self.files.contains_key(file.as_ref())) {
            Some(file) => Err(Error::NotListed { path: folder.into(), file: file.as_ref().into() }),
            None => Ok(()),
        }
    }

    /// Writes the manifest of the bundle `folder`, with the hash of each of `files`.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn write(mut self, folder: &Path, files: &[String]) -> Result<(), Error> {
        for name in files {
            self.files.insert(name.clone(), sha256_of(&folder.join(name))?.1);
        }
        let json = serde_json::to_string_pretty(&self).expect("plain numbers and text, which JSON can hold");
        Ok(atomic_write(&folder.join(MANIFEST), json.as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    fn manifest() -> Manifest {
        Manifest {
            version: VERSION,
            made_by: "a test".into(),
            detector: "none".into(),
            search: Search::Middle { share: 0.6 },
            faces: FaceChoice::Largest,
            files: BTreeMap::new(),
            card: ModelCard::new("A card", "Says nothing."),
        }
    }

    fn bundle() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("networks")).unwrap();
        let files = [LANDMARKS, VERIFIER, "networks/patch-000.safetensors"].map(String::from);
        for name in &files {
            fs::write(folder.path().join(name), name).unwrap();
        }
        manifest().write(folder.path(), &files).unwrap();
        folder
    }

    fn refused(folder: &Path, expected: &[&str]) {
        let message = Manifest::open(folder).unwrap_err().to_string();
        assert!(expected.iter().all(|part| message.contains(part)), "{message}");
    }

    #[test]
    fn what_is_written_is_opened_while_every_file_is_as_it_was() {
        let folder = bundle();
        let opened = Manifest::open(folder.path()).unwrap();
        assert_eq!(Manifest { files: BTreeMap::new(), ..opened.clone() }, manifest());
        assert_eq!(opened.files.len(), 3);
        let network = folder.path().join("networks/patch-000.safetensors");
        fs::write(&network, "networks/patch-000.safetensorz").unwrap();
        refused(folder.path(), &["patch-000.safetensors: not the file", "SHA-256 differs"]);
        fs::remove_file(&network).unwrap();
        refused(folder.path(), &["networks/patch-000.safetensors is missing", "half-copied"]);
    }

    #[test]
    fn files_that_are_no_manifest_of_this_version_are_told_apart() {
        let folder = bundle();
        let path = folder.path().join(MANIFEST);
        let text = fs::read_to_string(&path).unwrap();
        // A later version may hold anything else.
        fs::write(&path, r#"{"version": 7, "anything": []}"#).unwrap();
        refused(folder.path(), &["a bundle of version 7, this program reads version 2"]);
        for damaged in ["", "{", r#"{"version": 2}"#, r#"{"version": "1"}"#, &text[..text.len() - 9]] {
            fs::write(&path, damaged).unwrap();
            refused(folder.path(), &["bundle.json: not what this version writes", "copy the bundle again"]);
        }
        fs::remove_file(&path).unwrap();
        refused(folder.path(), &["not a bundle", "bundle.json"]);
        refused(&folder.path().join("none"), &["none: not a bundle"]);
    }

    #[test]
    fn files_that_are_missing_are_not_listed() {
        let folder = tempfile::tempdir().unwrap();
        let message = manifest().write(folder.path(), &["gone".into()]).unwrap_err().to_string();
        assert!(message.contains("gone") && !folder.path().join(MANIFEST).exists(), "{message}");
    }
}
