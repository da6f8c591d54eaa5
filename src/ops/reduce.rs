//! Dispatches of `kernels/reduce.wgsl`: sums in a fixed order.

use super::flat_workgroups;
use crate::gpu::{Kernel, Specialization, Target};
use crate::kernel;
use crate::tape::{DType, Dispatch, Operand, TensorType};

static KERNEL: Kernel = kernel!("reduce.wgsl", "linear.wgsl", "zero.wgsl", "relu.wgsl");
const LANES: usize = 64;

/// Scratch of [`split`]: `splits` copies of the result, or none.
pub fn partials(result: &TensorType, splits: usize) -> Vec<TensorType> {
    let dims = [&[splits], result.dims.as_slice()].concat();
    if splits == 1 { vec![] } else { vec![TensorType { dims, dtype: DType::F32 }] }
}

/// A sum in `splits` parts (split-K): `parts` makes the dispatch that writes them to the operand it is given, which is
/// output 0 where there is one part; otherwise scratch 0, and output 0 is their sum.
pub fn split(
    splits: usize,
    elements: usize,
    target: &Target,
    parts: impl FnOnce(Operand) -> Dispatch,
) -> Vec<Dispatch> {
    match splits {
        1 => vec![parts(Operand::Out(0))],
        _ => vec![parts(Operand::Scratch(0)), sum_partials(splits, elements, false, target)],
    }
}

/// Output 0 as the sum of `partials` in scratch 0, through a ReLU or not.
pub fn sum_partials(partials: usize, elements: usize, relu: bool, target: &Target) -> Dispatch {
    Dispatch {
        kernel: &KERNEL,
        entry: "sum_partials",
        specialization: Specialization::constants(&[
            ("ELEMENTS", elements),
            ("PARTIALS", partials),
            ("RELU", usize::from(relu)),
            ("LANES", LANES),
        ]),
        bindings: vec![Operand::Scratch(0), Operand::Out(0)],
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
