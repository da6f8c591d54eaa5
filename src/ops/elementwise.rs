//! Elementwise operations and the two that connect tensors with single numbers (`kernels/elementwise.wgsl`,
//! `kernels/reduce.wgsl`).

use super::{flat_workgroups, reduce};
use crate::gpu::{Kernel, Specialization, Target};
use crate::kernel;
use crate::tape::{DType, Dispatch, Error, Gradient, Io, Op, Operand, Tape, TensorType, Var};

static KERNEL: Kernel = kernel!("elementwise.wgsl", "linear.wgsl", "relu.wgsl");
const LANES: usize = 64;

/// One invocation an element of `out`, bindings in the order of `bindings`.
fn dispatch(entry: &'static str, bindings: Vec<Operand>, out: &TensorType, target: &Target) -> Vec<Dispatch> {
    vec![Dispatch {
        kernel: &KERNEL,
        entry,
        specialization: Specialization::constants(&[("ELEMENTS", out.elements()), ("LANES", LANES)]),
        bindings,
        workgroups: flat_workgroups(out.elements(), LANES, target),
    }]
}

fn binary(entry: &'static str, io: Io, target: &Target) -> Vec<Dispatch> {
    dispatch(entry, vec![Operand::In(0), Operand::In(1), Operand::Out(0)], io.outputs[0], target)
}

/// Checks that all inputs are floats of one shape, which is the output's too.
fn same_shapes(op: &'static str, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
    let first = inputs[0];
    if inputs.iter().any(|ty| *ty != first || ty.dtype != DType::F32) {
        let shapes: Vec<_> = inputs.iter().map(|ty| &ty.dims).collect();
        return Err(Error::shape(op, format!("expected floats of one shape, got {shapes:?}")));
    }
    Ok(vec![first.clone()])
}

/// c = a + b.
#[derive(Debug, Clone, Copy)]
pub struct Add;

impl Op for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        same_shapes(self.name(), inputs)
    }

    fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch> {
        binary("add", io, target)
    }

    fn flops(&self, io: Io) -> u64 {
        io.outputs[0].elements() as u64
    }

    fn backward(&self, _tape: &mut Tape, grad: &Gradient) -> Result<Vec<Option<Var>>, Error> {
        Ok(vec![grad.upstream[0]; 2])
    }

    fn reference(&self, _io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![inputs[0].iter().zip(inputs[1]).map(|(a, b)| a + b).collect()]
    }
}

/// c = a · b, element by element.
#[derive(Debug, Clone, Copy)]
pub struct Multiply;

impl Op for Multiply {
    fn name(&self) -> &'static str {
        "multiply"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        same_shapes(self.name(), inputs)
    }

    fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch> {
        binary("multiply", io, target)
    }

    fn flops(&self, io: Io) -> u64 {
        io.outputs[0].elements() as u64
    }

    fn backward(&self, tape: &mut Tape, grad: &Gradient) -> Result<Vec<Option<Var>>, Error> {
        let upstream = grad.upstream_of(0, self.name())?;
        let mut gradients = vec![None, None];
        for (slot, other) in [(0, 1), (1, 0)] {
            if grad.wanted[slot] {
                gradients[slot] = Some(tape.apply1(Multiply, &[upstream, grad.inputs[other]])?);
            }
        }
        Ok(gradients)
    }

    fn reference(&self, _io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![inputs[0].iter().zip(inputs[1]).map(|(a, b)| a * b).collect()]
    }
}

/// c = max(0, a); the gradient at exactly 0 is 0.
#[derive(Debug, Clone, Copy)]
pub struct Relu;

impl Op for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        same_shapes(self.name(), inputs)
    }

    fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch> {
        dispatch("relu", vec![Operand::In(0), Operand::Out(0)], io.outputs[0], target)
    }

    fn backward(&self, tape: &mut Tape, grad: &Gradient) -> Result<Vec<Option<Var>>, Error> {
        // The output is positive exactly where the input is, and the input's memory is free earlier.
        let upstream = grad.upstream_of(0, self.name())?;
        Ok(vec![Some(tape.apply1(ReluGrad, &[grad.outputs[0], upstream])?)])
    }

    fn reference(&self, _io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![inputs[0].iter().map(|a| if *a <= 0.0 { 0.0 } else { *a }).collect()]
    }
}

/// Second input where the first is positive, else 0.
#[derive(Debug, Clone, Copy)]
pub struct ReluGrad;

impl Op for ReluGrad {
    fn name(&self) -> &'static str {
        "relu_grad"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        same_shapes(self.name(), inputs)
    }

    fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch> {
        binary("relu_grad", io, target)
    }

    fn reference(&self, _io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![inputs[0].iter().zip(inputs[1]).map(|(a, b)| if *a > 0.0 { *b } else { 0.0 }).collect()]
    }
}

/// Sum of all elements, as a tensor of shape [1].
#[derive(Debug, Clone, Copy)]
pub struct Sum;

impl Op for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        same_shapes(self.name(), inputs)?;
        Ok(vec![TensorType::f32(&[1])])
    }

    fn dispatches(&self, io: Io, _target: &Target) -> Vec<Dispatch> {
        vec![reduce::sum_all(Operand::In(0), Operand::Out(0), io.inputs[0].elements())]
    }

    fn flops(&self, io: Io) -> u64 {
        io.inputs[0].elements() as u64
    }

    fn backward(&self, tape: &mut Tape, grad: &Gradient) -> Result<Vec<Option<Var>>, Error> {
        let upstream = grad.upstream_of(0, self.name())?;
        let dims = tape.ty(grad.inputs[0]).dims.clone();
        Ok(vec![Some(tape.apply1(Broadcast { dims }, &[upstream])?)])
    }

    fn reference(&self, _io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![vec![inputs[0].iter().sum()]]
    }
}

/// One number, everywhere in a tensor of shape `dims`.
#[derive(Debug, Clone)]
pub struct Broadcast {
    /// The output's shape.
    pub dims: Vec<usize>,
}

impl Op for Broadcast {
    fn name(&self) -> &'static str {
        "broadcast"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        if inputs[0].elements() != 1 {
            return Err(Error::shape(self.name(), format!("expected one element, got {:?}", inputs[0].dims)));
        }
        Ok(vec![TensorType::f32(&self.dims)])
    }

    fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch> {
        dispatch("broadcast", vec![Operand::In(0), Operand::Out(0)], io.outputs[0], target)
    }

    fn backward(&self, tape: &mut Tape, grad: &Gradient) -> Result<Vec<Option<Var>>, Error> {
        Ok(vec![Some(tape.apply1(Sum, &[grad.upstream_of(0, self.name())?])?)])
    }

    fn reference(&self, io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![vec![inputs[0][0]; io.outputs[0].elements()]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Case, check, gpu_outputs, tensor};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(crate::ops::testing::config(12))]

        #[test]
        fn elementwise_operations_match_their_references(
            (channels, batch) in (1usize..5, prop::sample::select(vec![1usize, 4, 68])),
            seed: u64,
        ) {
            let dims = [channels, 3, batch];
            let pair = || vec![tensor(&dims, seed), tensor(&dims, seed ^ 1)];
            check(Case::new(Add, pair()));
            check(Case::new(Multiply, pair()));
            check(Case::new(Relu, vec![tensor(&dims, seed).away_from_zero(0.01)]));
            check(Case::new(ReluGrad, pair()).forward_only());
            // Multiples of 1/4096, whose sums f32 holds exactly: random terms may cancel to less than their rounding.
            let mut terms = tensor(&dims, seed);
            terms.values.iter_mut().for_each(|value| *value = (*value * 4096.0).round() / 4096.0);
            check(Case::new(Sum, vec![terms]).linear());
            check(Case::new(Broadcast { dims: dims.to_vec() }, vec![tensor(&[1], seed)]).linear());
        }
    }

    #[test]
    fn relu_is_shut_at_zero_and_passes_nan_on() {
        let values = vec![0.0, -0.0, f64::NAN, -1.0, 2.0];
        let out = gpu_outputs(&Case::new(Relu, vec![tensor(&[5], 0).with(values)]));
        assert_eq!(out[0][..2], [0.0, 0.0]);
        assert!(out[0][2].is_nan(), "a NaN must reach the loss, where training stops on it");
        assert_eq!(out[0][3..], [0.0, 2.0]);
    }

    #[test]
    fn shapes_that_differ_are_refused() {
        let mut tape = Tape::new();
        let a = tape.input("a", TensorType::f32(&[2, 3]));
        let b = tape.input("b", TensorType::f32(&[3, 2]));
        let message = tape.apply1(Add, &[a, b]).unwrap_err().to_string();
        assert!(message.contains("add") && message.contains("[2, 3]") && message.contains("[3, 2]"), "{message}");
    }
}
