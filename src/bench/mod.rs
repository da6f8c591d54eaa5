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

use crate::tape::StepProfile;

/// The shortest time of each dispatch in `repeats` runs of `profile`: other work on the machine only slows a dispatch
/// down. `None` where the adapter has no timestamps.
fn fastest(
    repeats: usize,
    profile: impl Fn() -> Result<Option<Vec<StepProfile>>, Error>,
) -> Result<Option<Vec<StepProfile>>, Error> {
    let Some(mut best) = profile()? else { return Ok(None) };
    for _ in 1..repeats {
        for (best, run) in best.iter_mut().zip(profile()?.unwrap_or_default()) {
            best.milliseconds = best.milliseconds.min(run.milliseconds);
        }
    }
    Ok(Some(best))
}
