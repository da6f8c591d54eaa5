//! Runs a tape on the CPU in f64 through the operations' references.

use super::{Error, Origin, Tape, Var};
use std::collections::HashMap;

/// Values of every tensor, given those of inputs, parameters and states. A computed tensor that is given too keeps that
/// value: tests feed a backward pass the arg-maxima that the device found. Operations in place leave the old value of
/// their input readable under its own [`Var`].
///
/// # Errors
/// [`Error::Missing`] for a tensor without a value, [`Error::Mismatch`] for one of the wrong length.
pub fn evaluate(tape: &Tape, given: &HashMap<Var, Vec<f64>>) -> Result<Vec<Vec<f64>>, Error> {
    let mut values: Vec<Vec<f64>> = Vec::with_capacity(tape.tensors.len());
    for (index, tensor) in tape.tensors.iter().enumerate() {
        let value = match (given.get(&Var(index)), &tensor.origin) {
            (Some(value), _) => value.clone(),
            (None, Origin::Constant(value)) => value.iter().map(|x| f64::from(*x)).collect(),
            (None, Origin::Computed { .. } | Origin::Nowhere) => Vec::new(),
            (None, _) => return Err(Error::Missing(tensor.name.clone())),
        };
        if !matches!(tensor.origin, Origin::Computed { .. } | Origin::Nowhere) && value.len() != tensor.ty.elements() {
            return Err(Error::Mismatch {
                name: tensor.name.clone(),
                expected: vec![tensor.ty.elements()],
                found: vec![value.len()],
            });
        }
        values.push(value);
    }
    for node in &tape.nodes {
        let inputs: Vec<&[f64]> = node.inputs.iter().map(|input| values[input.0].as_slice()).collect();
        let outputs = tape.with_io(node, |io| node.op.reference(io, &inputs));
        for (output, value) in node.outputs.iter().zip(outputs) {
            debug_assert_eq!(value.len(), tape.ty(*output).elements(), "{}", tape.name(*output));
            if !given.contains_key(output) {
                values[output.0] = value;
            }
        }
    }
    Ok(values)
}
