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

use crate::net::TrainingOptions;
use crate::ops::Signal;
use crate::tape::StepProfile;

/// Margin of the stored pictures, as in training.
const MARGIN: usize = 3;

/// The step that is measured: the L2 signal, momentum and weight decay as in training.
fn training_options(images: usize) -> TrainingOptions {
    TrainingOptions {
        images,
        margin: MARGIN,
        signal: Signal::L2,
        momentum: 0.9,
        weight_decay: 5e-4,
        rate_scales: vec![],
    }
}

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

/// A profile books an operation's arithmetic on its first dispatch, which may only prepare that of the others: here it is
/// shared out by their times, so that each has the rate of the operation as a whole.
fn share_arithmetic(dispatches: &mut [StepProfile]) {
    for of_one in dispatches.chunk_by_mut(|a, b| a.node == b.node) {
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
            |node, milliseconds, flops| StepProfile { node, label: "a".into(), milliseconds, flops, bytes: 1 };
        let mut dispatches = [dispatch(4, 1.0, 800), dispatch(4, 3.0, 0), dispatch(5, 2.0, 70)];
        share_arithmetic(&mut dispatches);
        assert_eq!(dispatches.map(|dispatch| dispatch.flops), [200, 600, 70]);
    }
}
