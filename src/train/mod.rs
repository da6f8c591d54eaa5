//! Training.
pub mod step;
use thiserror::Error;
/// Errors of this floor.
#[derive(Debug, Error)]
pub enum Error {
    #[error(transparent)]
    Net(#[from] crate::net::Error),
    #[error(transparent)]
    Tape(#[from] crate::tape::Error),
    #[error(transparent)]
    Gpu(#[from] crate::gpu::Error),
}
