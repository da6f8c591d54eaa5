//! What can go wrong while a tape is recorded or compiled.

use crate::gpu;
use thiserror::Error;

/// Errors of the tape.
#[derive(Debug, Error)]
pub enum Error {
    /// Inputs that an operation cannot take.
    #[error("{op}: {reason}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// What was expected and what came.
        reason: String,
    },
    /// A gradient was asked through an operation that has none.
    #[error("{op} has no gradient: it is itself part of a backward pass, or its result is not differentiable")]
    NotDifferentiable {
        /// The operation.
        op: &'static str,
    },
    /// Gradients start from a single number.
    #[error("backward starts from a tensor of one element, but {name} has shape {dims:?}; reduce it first")]
    NotScalar {
        /// Name of the variable.
        name: String,
        /// Its shape.
        dims: Vec<usize>,
    },
    /// An in-place operation would destroy a value that is still needed.
    #[error("{op} overwrites {name} in place, but {reader} reads it afterwards; record {op} after {reader}")]
    OverwrittenTooEarly {
        /// The in-place operation.
        op: &'static str,
        /// The tensor.
        name: String,
        /// The later reader.
        reader: &'static str,
    },
    /// A tensor of a store, or a value fed to the interpreter, has another size.
    #[error("tensor {name}: {expected:?} elements expected, {found:?} found")]
    Mismatch {
        /// Name of the tensor.
        name: String,
        /// Expected shape or size.
        expected: Vec<usize>,
        /// What was there.
        found: Vec<usize>,
    },
    /// The z of a dispatch counts nets.
    #[error(
        "{op}: the z of its dispatch is {z}, but counts nets where there are several; fold it into x and y, as `flat_workgroups` does"
    )]
    ThirdDimension {
        /// The operation.
        op: &'static str,
        /// Its workgroups along z.
        z: u32,
    },
    /// The interpreter met an input nobody gave a value.
    #[error("no value was given for {0}")]
    Missing(String),
    /// The device refused.
    #[error(transparent)]
    Gpu(#[from] gpu::Error),
}

impl Error {
    /// A shape error of `op`.
    pub fn shape(op: &'static str, reason: impl Into<String>) -> Self {
        Self::Shape { op, reason: reason.into() }
    }
}
