//! Dispatches of `kernels/reduce.wgsl`: sums in a fixed order.

use super::flat_workgroups;
use crate::gpu::{Kernel, Specialization, Target};
use crate::kernel;
use crate::tape::{DType, Dispatch, Operand, TensorType};

static KERNEL: Kernel = kernel!("reduce.wgsl", "linear.wgsl", "zero.wgsl", "relu.wgsl");
const LANES: usize = 64;

/// Scratch of [`split`]: `splits` copies of each result, or none.
pub fn partials<const N: usize>(results: [&TensorType; N], splits: usize) -> Vec<TensorType> {
    let copies = |result: &TensorType| [&[splits], result.dims.as_slice()].concat();
    match splits {
        1 => vec![],
        _ => results.map(|result| TensorType { dims: copies(result), dtype: DType::F32 }).into(),
    }
}

/// Sums in `splits` parts (split-K): `parts` makes the dispatch that writes those of each of `results` to the operand it
/// is given, which is an output where there is one part; otherwise scratch, and the outputs are their sums. Outputs are
/// numbered from 0, scratch from `scratch` on.
pub fn split<const N: usize>(
    splits: usize,
    results: [&TensorType; N],
    scratch: usize,
    target: &Target,
    parts: impl FnOnce([Operand; N]) -> Dispatch,
) -> Vec<Dispatch> {
    let number: [usize; N] = std::array::from_fn(|number| number);
    if splits == 1 {
        return vec![parts(number.map(Operand::Out))];
    }
    let sum = |number: usize| {
        let operands = [Operand::Scratch(scratch + number), Operand::Out(number)];
        sum_partials(operands, splits, results[number], false, target)
    };
    let first = parts(number.map(|number| Operand::Scratch(scratch + number)));
    std::iter::once(first).chain(number.map(sum)).collect()
}

/// The second operand, of type `result`, as the sum of `partials` in the first, through a ReLU or not.
pub fn sum_partials(
    operands: [Operand; 2],
    partials: usize,
    result: &TensorType,
    relu: bool,
    target: &Target,
) -> Dispatch {
    let elements = result.elements();
    Dispatch {
        kernel: &KERNEL,
        entry: "sum_partials",
        specialization: Specialization::constants(&[
            ("ELEMENTS", elements),
            ("PARTIALS", partials),
            ("RELU", usize::from(relu)),
            ("LANES", LANES),
        ]),
        bindings: operands.into(),
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
