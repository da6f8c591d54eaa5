//! A bundle: one folder with all that turns photographs into verdicts.
//!
//! | file in the folder | what |
//! |---|---|
//! | `bundle.json` | [`Manifest`]: version, hash of each file, model card |
//! | `landmarks.safetensors` | the landmark model |
//! | `networks/patch-PPP.safetensors` | a network for each patch that the verifier needs |
//! | `verifier.safetensors` | PCA, Joint Bayesian, fusion and threshold |
//!
//! The face detector and the table of patches are part of the program.
//!
//! | source file | purpose |
//! |---|---|
//! | [`manifest`] | `bundle.json` |
//! | [`make`](mod@make) | putting a bundle together |
//! | [`recogniser`] | photographs to comparable faces |
//! | [`gallery`] | a folder of photographs with an index file, and the best matches in it |
//! | [`evaluate`] | the scores of a list of pairs |
//! | [`cluster`](mod@cluster) | photographs grouped by person |

pub mod cluster;
pub mod evaluate;
pub mod gallery;
pub mod make;
pub mod manifest;
pub mod recogniser;

pub use make::make;
pub use manifest::Manifest;
pub use recogniser::{Bundle, Recogniser};

use crate::face::aligner::NO_FACE;
use crate::{data, face, files, gpu, model, pipeline, report};
use std::path::{Path, PathBuf};

/// Why a bundle cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{path}: not a bundle (it holds no bundle.json: never finished, or half-copied); give one that `deepid2 bundle` or `deepid2 pipeline` made, or copy it again"
    )]
    NoBundle { path: PathBuf },
    #[error(
        "{path}: a bundle of version {found}, this program reads version {}; make it again, or use the program that made it",
        manifest::VERSION
    )]
    Version { path: PathBuf, found: u32 },
    #[error("{path}: not what this version writes ({message}); the file is damaged, copy the bundle again")]
    Manifest { path: PathBuf, message: String },
    #[error("{path}: its bundle.json does not list {file}: damaged or tampered with; copy the bundle again")]
    NotListed { path: PathBuf, file: String },
    #[error("{path}: {file} is missing: the bundle is half-copied; copy it again")]
    MissingFile { path: PathBuf, file: String },
    #[error(
        "{path}: not the file that the bundle was made with (its SHA-256 differs): damaged or tampered with; copy the bundle again"
    )]
    Changed { path: PathBuf },
    #[error("{path}: already exists; give another folder for the bundle, or remove this one")]
    Exists { path: PathBuf },
    #[error("{path}: cannot be read: {source}; check the path")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: {source}; choose a folder that you may write to, on a disk with room")]
    Write { path: PathBuf, source: std::io::Error },
    #[error(
        "{path}: no face found; give a picture with one face that can be seen well, or pass --no-detect where it is cropped to the face"
    )]
    NoFace { path: PathBuf },
    #[error("{path}: {reason}")]
    Unusable { path: PathBuf, reason: String },
    #[error("{path}: {faces} faces in it; give a picture of one person, or pass --face largest")]
    SeveralFaces { path: PathBuf, faces: usize },
    #[error("{path}: not an index of this bundle ({reason}); remove it, or give another --index")]
    Index { path: PathBuf, reason: &'static str },
    #[error("{path}: none of its {pictures} pictures shows a face that can be used")]
    NoFaces { path: PathBuf, pictures: usize },
    #[error(transparent)]
    Dataset(#[from] data::dataset::Error),
    #[error(transparent)]
    Aligner(#[from] face::aligner::Error),
    #[error(transparent)]
    Landmarks(#[from] face::landmark_model::Error),
    #[error(transparent)]
    Pipeline(#[from] pipeline::Error),
    #[error(transparent)]
    Model(#[from] model::Error),
    #[error(transparent)]
    Checkpoint(#[from] model::checkpoint::Error),
    #[error(transparent)]
    Report(#[from] report::Error),
    #[error(transparent)]
    File(#[from] files::Error),
    #[error(transparent)]
    Gpu(#[from] gpu::Error),
}

impl Error {
    /// What is wrong with a photograph, for a reason that aligning gave.
    fn of_photograph(path: &Path, reason: &str) -> Self {
        match reason {
            NO_FACE => Self::NoFace { path: path.into() },
            reason => Self::Unusable { path: path.into(), reason: reason.into() },
        }
    }
}

/// Whether `path` is to be taken for a bundle rather than for a model file.
pub fn is_bundle(path: &Path) -> bool {
    path.is_dir()
}
