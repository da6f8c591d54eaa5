//! Measuring: whole steps in flight, single kernels, and the ceilings of the adapter.
//!
//! | file | what |
//! |---|---|
//! | `replay.rs` | training steps or extraction passes submitted as in use: speed, host time, idle time of the device |
//! | `kernels.rs` | every operation of the networks by itself, over a list of shapes |
//! | `ceiling.rs` | what the adapter's arithmetic and memory give a loop that does nothing else |

pub mod ceiling;
mod error;
pub mod kernels;
pub mod replay;

pub use ceiling::Ceilings;
pub use error::Error;
pub use replay::{Replay, Run};
