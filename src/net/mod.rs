//! The DeepID2 network: sizes, parameters, initial values, and its description as tape calls.
//!
//! | file | purpose |
//! |---|---|
//! | [`spec`] | sizes of every layer (PAPER: DeepID2, figure 2) |
//! | [`parameters`] | names, shapes and initial values of the learned tensors |
//! | [`graph`] | forward pass, training step and extractor as tapes |

pub mod graph;
pub mod parameters;
pub mod spec;

pub use graph::{ExtractorGraph, TrainingGraph, TrainingOptions};
pub use parameters::{ParameterSpec, initial_values};
pub use spec::{LocalSharing, NetSpec};

use crate::tape;
use thiserror::Error;

/// Errors of this floor.
#[derive(Debug, Error)]
pub enum Error {
    /// A side that the layers do not divide.
    #[error(
        "network input of {height}×{width}: expected sides of the form 8k + 7 from 31 (31, 39, 47, 55, 63, …), so that every convolution and pool fits without rounding"
    )]
    Side {
        /// Rows asked for.
        height: usize,
        /// Columns asked for.
        width: usize,
    },
    /// Neither colour nor grey.
    #[error("network input of {channels} channels: expected 3 (RGB) or 1 (grey)")]
    Channels {
        /// Channels asked for.
        channels: usize,
    },
    /// Too few or too many classes.
    #[error("{identities} identities to train on: expected 2 to 100,000; use a data set of as many")]
    Identities {
        /// Identities asked for.
        identities: usize,
    },
    /// A layer without channels, or with more than any use.
    #[error("--widths: a layer of {channels} channels; expected 1 to {MAX_CHANNELS}", MAX_CHANNELS = spec::MAX_CHANNELS)]
    Width {
        /// Channels asked for.
        channels: usize,
    },
    /// An empty DeepID2 vector, or one longer than any use.
    #[error("--embedding {length}: expected 1 to {MAX_EMBEDDING}", MAX_EMBEDDING = spec::MAX_EMBEDDING)]
    Embedding {
        /// Length asked for.
        length: usize,
    },
    /// A tape could not be recorded.
    #[error(transparent)]
    Tape(#[from] tape::Error),
}
