//! Dispatches of `kernels/reduce.wgsl`: sums in a fixed order.

use super::flat_workgroups;
use crate::gpu::{Kernel, Specialization, Target};
use crate::kernel;
use crate::tape::{Dispatch, Operand};

static KERNEL: Kernel = kernel!("reduce.wgsl", "linear.wgsl");
const LANES: usize = 64;

/// total[i] = Σ_s partial[s, i] over `partials` slices of `elements`.
pub fn sum_partials(from: Operand, to: Operand, partials: usize, elements: usize, target: &Target) -> Dispatch {
    Dispatch {
        kernel: &KERNEL,
        entry: "sum_partials",
        specialization: Specialization::constants(&[("ELEMENTS", elements), ("PARTIALS", partials), ("LANES", LANES)]),
        bindings: vec![from, to],
        workgroups: flat_workgroups(elements, LANES, target),
    }
}

/// total[0] = Σ_i partial[i] over `elements`, by one workgroup.
pub fn sum_all(from: Operand, to: Operand, elements: usize) -> Dispatch {
    Dispatch {
        kernel: &KERNEL,
        entry: "sum_all",
        specialization: Specialization::constants(&[("ELEMENTS", elements), ("LANES", LANES)]),
        bindings: vec![from, to],
        workgroups: [1, 1, 1],
    }
}
