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
    share_arithmetic(&mut best);
    Ok(Some(best))
}

/// Operations and shapes are in front of the bracket that names the kernel.
fn operation(dispatch: &StepProfile) -> &str {
    dispatch.label.split(" (").next().unwrap_or_default()
}

/// A profile books an operation's arithmetic on its first dispatch, which may only prepare that of the others: here it is
/// shared out by their times, so that each has the rate of the operation as a whole.
fn share_arithmetic(dispatches: &mut [StepProfile]) {
    for of_one in dispatches.chunk_by_mut(|a, b| operation(a) == operation(b)) {
        let flops: u64 = of_one.iter().map(|dispatch| dispatch.flops).sum();
        let milliseconds: f64 = of_one.iter().map(|dispatch| dispatch.milliseconds).sum();
        if milliseconds > 0.0 {
            for dispatch in of_one {
                dispatch.flops = (flops as f64 * dispatch.milliseconds / milliseconds) as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arithmetic_of_an_operation_is_shared_out_by_time() {
        let dispatch =
            |label: &str, milliseconds, flops| StepProfile { label: label.into(), milliseconds, flops, bytes: 1 };
        let mut dispatches = [
            dispatch("gradient 3×4 (filter.wgsl:all)", 1.0, 800),
            dispatch("gradient 3×4 (gradient.wgsl:all)", 3.0, 0),
            dispatch("gradient 5×4 (gradient.wgsl:all)", 2.0, 70),
        ];
        share_arithmetic(&mut dispatches);
        assert_eq!(dispatches.map(|dispatch| dispatch.flops), [200, 600, 70]);
    }
}
