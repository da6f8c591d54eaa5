//! Autograd: a [`Tape`] records operations, [`Tape::backward`] appends the operations that compute gradients, and a
//! [`Program`] compiles the tape once and replays it, for one net or for several of one shape at once.

mod backward;
mod error;
mod interpret;
mod nets;
mod operation;
mod plan;
mod program;
mod record;
mod schedule;
mod sources;
mod store;
mod types;

pub use error::Error;
pub use interpret::evaluate;
pub use operation::{Dispatch, Gradient, Io, Op, Operand};
pub use plan::{MemoryPlan, plan};
pub use program::{Program, ProgramOptions, StepProfile};
pub use record::{Node, Origin, Tape, Var};
pub use sources::{Source, sources};
pub use store::Store;
pub use types::{DType, TensorType};
