//! The ceilings of an adapter, by its own measurement.

use super::Error;
use crate::gpu::Gpu;
use crate::ops::ceiling::{Copy, MultiplyAdd};
use crate::tape::{Op, Program, ProgramOptions, StepProfile, Store, Tape, TensorType};
use serde::{Deserialize, Serialize};

/// Best of a few loops.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ceilings {
    /// Thousand millions of floating-point operations a second; a multiply-add is two.
    pub gflops: f64,
    /// Independent vectors of sums of the best arithmetic loop.
    pub chains: usize,
    /// Thousand millions of bytes a second, read and written.
    pub gbytes: f64,
}

/// Which ceiling a kernel is nearer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Arithmetic.
    Arithmetic,
    /// Memory.
    Memory,
}

impl Bound {
    /// One word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Arithmetic => "arithmetic",
            Self::Memory => "memory",
        }
    }
}

/// Runs of each loop; the fastest counts, because other work on the machine only slows a loop down.
const REPEATS: usize = 5;
/// A loop shorter than this measures how a dispatch starts.
const LONG_ENOUGH_MS: f64 = 8.0;
const MOST_ROUNDS: usize = 4096;

impl Ceilings {
    /// Measures both; `None` where the adapter has no timestamps.
    ///
    /// # Errors
    /// An allocation that fails or a device that stopped.
    pub fn measure(gpu: &Gpu) -> Result<Option<Self>, Error> {
        let software = gpu.target().software;
        // Invocations by the thousand fill a few cores; a large GPU holds hundreds of thousands at once.
        let elements = 4 * if software { 1 << 12 } else { 1 << 20 };
        let mut rounds = 16;
        loop {
            let Some(probe) = fastest(gpu, MultiplyAdd { chains: 4, rounds }, elements, 1)? else { return Ok(None) };
            if probe.milliseconds >= LONG_ENOUGH_MS || rounds >= MOST_ROUNDS {
                break;
            }
            rounds *= 2;
        }
        let mut best = Self { gflops: 0.0, chains: 0, gbytes: 0.0 };
        for chains in [2, 3, 4, 8] {
            let Some(run) = fastest(gpu, MultiplyAdd { chains, rounds }, elements, REPEATS)? else { return Ok(None) };
            let gflops = rate(run.flops, run.milliseconds);
            if gflops > best.gflops {
                (best.gflops, best.chains) = (gflops, chains);
            }
        }
        // Far more than any cache holds: 64 MiB to and from a few cores, 256 MiB on a card.
        let most = gpu.target().storage_bytes.min(if software { 64 << 20 } else { 256 << 20 });
        let elements = most as usize / 4 / 4 * 4;
        for vectors in [1, 4] {
            let Some(run) = fastest(gpu, Copy { vectors }, elements, REPEATS)? else { return Ok(None) };
            best.gbytes = best.gbytes.max(rate(run.bytes, run.milliseconds));
        }
        Ok(Some(best))
    }

    /// The share of the nearer ceiling that `flops` operations on `bytes` bytes in `milliseconds` reach. A kernel whose
    /// tensors stay in caches can pass the memory ceiling.
    pub fn fraction(&self, flops: u64, bytes: u64, milliseconds: f64) -> (f64, Bound) {
        let arithmetic = rate(flops, milliseconds) / self.gflops;
        let memory = rate(bytes, milliseconds) / self.gbytes;
        if arithmetic >= memory { (arithmetic, Bound::Arithmetic) } else { (memory, Bound::Memory) }
    }
}

/// Thousand millions a second: a count in milliseconds.
pub fn rate(count: u64, milliseconds: f64) -> f64 {
    count as f64 / (milliseconds * 1e6)
}

/// The fastest of `repeats` runs of `op` on `elements` floats, after one that is not counted.
fn fastest(gpu: &Gpu, op: impl Op + 'static, elements: usize, repeats: usize) -> Result<Option<StepProfile>, Error> {
    let mut tape = Tape::new();
    let x = tape.input("x", TensorType::f32(&[elements]));
    let y = tape.apply1(op, &[x])?;
    let program = Program::compile(gpu, &tape, &mut Store::new(), &[y], ProgramOptions::default())?;
    program.profile()?;
    Ok(super::fastest(repeats, || Ok(program.profile()?))?.map(|mut dispatches| dispatches.remove(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_ceiling_is_named() {
        let ceilings = Ceilings { gflops: 100.0, chains: 4, gbytes: 10.0 };
        // 50 million operations and 1 million bytes in a millisecond: 50 GFLOP/s, 1 GB/s.
        assert_eq!(ceilings.fraction(50_000_000, 1_000_000, 1.0), (0.5, Bound::Arithmetic));
        assert_eq!(ceilings.fraction(0, 9_000_000, 1.0), (0.9, Bound::Memory));
    }
}
