//! What an operation must provide.

use super::{Error, Tape, TensorType, Var};
use crate::gpu::{Kernel, Specialization, Target};
use std::fmt::Debug;
use std::sync::Arc;

/// Types of the tensors around one recorded operation.
#[derive(Debug, Clone, Copy)]
pub struct Io<'a> {
    /// Its inputs.
    pub inputs: &'a [&'a TensorType],
    /// Its outputs.
    pub outputs: &'a [&'a TensorType],
}

/// A tensor as a dispatch binds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operand {
    /// The operation's input of this index, read only.
    In(usize),
    /// The operation's output of this index. An in-place operation binds only the output.
    Out(usize),
    /// Scratch memory of this index in [`Op::scratch`], alive for this operation only.
    Scratch(usize),
}

/// One dispatch: a kernel, its specialisation, its bindings 0, 1, … and the number of workgroups.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// The WGSL file.
    pub kernel: &'static Kernel,
    /// Entry point in it.
    pub entry: &'static str,
    /// Constants and uniforms.
    pub specialization: Specialization,
    /// What is bound at `@binding(0)`, `@binding(1)`, …
    pub bindings: Vec<Operand>,
    /// Workgroups along x, y, z. An operation leaves z at 1: it counts nets where a program runs several.
    pub workgroups: [u32; 3],
}

impl Dispatch {
    /// The same for another operation, whose operand for each of its own `operand_of` says.
    pub(crate) fn rebound(mut self, operand_of: impl Fn(Operand) -> Operand) -> Self {
        self.bindings.iter_mut().for_each(|binding| *binding = operand_of(*binding));
        self
    }
}

/// An operation: shapes, dispatches, gradient and f64 reference in one place.
pub trait Op: Debug + Send + Sync {
    /// Name in errors, profiles and tests.
    fn name(&self) -> &'static str;

    /// Output types from input types.
    ///
    /// # Errors
    /// [`Error::Shape`] that names what was expected.
    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error>;

    /// What the device runs, in order.
    fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch>;

    /// Scratch memory its dispatches share.
    fn scratch(&self, _io: Io, _target: &Target) -> Vec<TensorType> {
        Vec::new()
    }

    /// `(output, input)` pairs that are the same memory: the operation overwrites that input.
    fn in_place(&self) -> &[(usize, usize)] {
        &[]
    }

    /// For an operation whose first output is the gradient of a parameter: the operation that updates the parameter by it
    /// ([`crate::ops::Sgd`]) without storing it. Its inputs are weights and velocity, which it overwrites, then this
    /// operation's, then rates and scale; its outputs weights and velocity, then this operation's other ones.
    fn with_update(&self) -> Option<Arc<dyn Op>> {
        None
    }

    /// Multiply-adds and other arithmetic of one run, counted as two floating-point operations each.
    fn flops(&self, _io: Io) -> u64 {
        0
    }

    /// Records the gradients of the wanted inputs. `upstream[i]` is the gradient of the loss with respect to
    /// `outputs[i]`, absent where nothing depends on it. Every rule must use the upstream gradient.
    ///
    /// # Errors
    /// [`Error::NotDifferentiable`] unless overridden.
    fn backward(&self, _tape: &mut Tape, _grad: &Gradient) -> Result<Vec<Option<Var>>, Error> {
        Err(Error::NotDifferentiable { op: self.name() })
    }

    /// The formula as written, plain loops in f64: outputs from inputs. Bytes and integers are given as f64 too.
    fn reference(&self, io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>>;
}

/// What [`Op::backward`] may use.
#[derive(Debug)]
pub struct Gradient<'a> {
    /// The recorded inputs.
    pub inputs: &'a [Var],
    /// The recorded outputs.
    pub outputs: &'a [Var],
    /// ∂loss/∂output of each output that the loss depends on.
    pub upstream: &'a [Option<Var>],
    /// Which inputs need a gradient.
    pub wanted: &'a [bool],
}

impl Gradient<'_> {
    /// The upstream gradient of the only differentiable output.
    ///
    /// # Errors
    /// [`Error::NotDifferentiable`] when the loss reaches `op` only through another output.
    pub fn upstream_of(&self, output: usize, op: &'static str) -> Result<Var, Error> {
        self.upstream[output].ok_or(Error::NotDifferentiable { op })
    }
}
