//! What can go wrong while measuring.

use crate::{gpu, model, net, tape, train};

/// Errors of measurements.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The device floor.
    #[error(transparent)]
    Gpu(#[from] gpu::Error),
    /// A tape that does not compile.
    #[error(transparent)]
    Tape(#[from] tape::Error),
    /// A network that is refused.
    #[error(transparent)]
    Net(#[from] net::Error),
    /// A training step that does not run.
    #[error(transparent)]
    Train(#[from] train::Error),
    /// Parameters that do not reach the device.
    #[error(transparent)]
    Model(#[from] model::Error),
}
