//! A trained network and how it is used: the model file, and the extractor that turns pictures into embeddings.
//!
//! | file | purpose |
//! |---|---|
//! | [`checkpoint`] | named tensors and text in safetensors files |
//! | [`file`](mod@file) | what a model file holds, its documented names, loading and saving |
//! | [`extraction`] | the forward pass on the device, several under way at once |
//! | [`extractor`] | pictures to embeddings |

pub mod checkpoint;
pub mod extraction;
pub mod extractor;
pub mod file;

pub use extraction::ExtractionStep;
pub use extractor::Extractor;
pub use file::{ChosenThreshold, Model};

use crate::{data, gpu, net, tape};
use std::path::PathBuf;
use thiserror::Error;

/// Why a model cannot be read, written or run.
#[derive(Debug, Error)]
pub enum Error {
    #[error(
        "{path}: its entry `{key}` is not what this version writes ({message}); use a model that `deepid2 train` saved"
    )]
    Entry { path: PathBuf, key: &'static str, message: String },
    #[error("{path}: a file of kind `{found}`, expected `{expected}`; use a model that `deepid2 train` saved")]
    Kind { path: PathBuf, found: String, expected: &'static str },
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    #[error(transparent)]
    Crop(#[from] data::crop::Error),
    #[error(transparent)]
    Cut(#[from] data::cut::Error),
    #[error(transparent)]
    Store(#[from] data::store::Error),
    #[error(transparent)]
    Loader(#[from] data::loader::Error),
    #[error(transparent)]
    Net(#[from] net::Error),
    #[error(transparent)]
    Tape(#[from] tape::Error),
    #[error(transparent)]
    Gpu(#[from] gpu::Error),
}
