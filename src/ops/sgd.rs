//! Stochastic gradient descent with momentum and weight decay, in place (`kernels/sgd.wgsl`).

use super::flat_workgroups;
use crate::gpu::{Kernel, Specialization, Target};
use crate::kernel;
use crate::tape::{Dispatch, Error, Io, Op, Operand, Tape, TensorType, Var};

static KERNEL: Kernel = kernel!("sgd.wgsl", "linear.wgsl", "momentum.wgsl");
const LANES: usize = 64;

/// velocity ← momentum · velocity + (gradient + weight_decay · weights); weights ← weights − rate · scale · velocity.
/// Inputs: weights, velocity, gradient (one shape, a multiple of 4 elements), [`SgdRates`] as [4] numbers, and the scale
/// [1]. The first two are overwritten.
#[derive(Debug, Clone, Copy)]
pub struct Sgd;

/// What the host sends with each run: all tensors share it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdRates {
    /// Learning rate.
    pub learning_rate: f32,
    /// Share of the velocity that is kept.
    pub momentum: f32,
    /// Pull of every weight towards 0.
    pub weight_decay: f32,
}

impl SgdRates {
    /// The rates of run `index` of `count` that make one step together, each with a part of the batch: gradients add up
    /// in the velocity, momentum and decay act once, and the last run moves the weights.
    pub fn of_part(self, index: usize, count: usize) -> Self {
        Self {
            learning_rate: if index + 1 == count { self.learning_rate } else { 0.0 },
            momentum: if index == 0 { self.momentum } else { 1.0 },
            weight_decay: if index == 0 { self.weight_decay } else { 0.0 },
        }
    }

    /// As the kernel reads them.
    pub fn values(self) -> [f32; 4] {
        [self.learning_rate, self.momentum, self.weight_decay, 0.0]
    }
}

impl Sgd {
    /// Records the update of `parameter` by `gradient` at `scale` times the learning rate in `rates` [4], with a new state
    /// tensor for the velocity. Where the operation that computes the gradient can do both ([`Op::with_update`]), and
    /// nothing reads its results yet, the gradient is not stored anywhere.
    ///
    /// # Errors
    /// Shapes that differ.
    pub fn record(tape: &mut Tape, parameter: Var, gradient: Var, rates: Var, scale: f32) -> Result<(), Error> {
        let ty = tape.ty(parameter).clone();
        let velocity = tape.state(&format!("velocity/{}", tape.name(parameter)), ty);
        let scale = tape.constant("rate scale", &[1], vec![scale]);
        if !tape.update_with_gradient(gradient, [parameter, velocity], [rates, scale])? {
            tape.apply(Sgd, &[parameter, velocity, gradient, rates, scale])?;
        }
        Ok(())
    }
}

impl Op for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        let [weights, velocity, gradient, rates, scale] = inputs else { unreachable!("recorded with five inputs") };
        if weights != velocity || weights != gradient || weights.elements() % 4 != 0 {
            return Err(Error::shape(
                self.name(),
                format!(
                    "expected weights, velocity and gradient of one shape with a multiple of 4 elements, got {:?}, {:?}, {:?}",
                    weights.dims, velocity.dims, gradient.dims
                ),
            ));
        }
        if rates.elements() != 4 || scale.elements() != 1 {
            return Err(Error::shape(self.name(), "expected four rates and one scale"));
        }
        Ok(vec![(*weights).clone(), (*velocity).clone()])
    }

    fn in_place(&self) -> &[(usize, usize)] {
        &[(0, 0), (1, 1)]
    }

    fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch> {
        let elements = io.outputs[0].elements() / 4;
        vec![Dispatch {
            kernel: &KERNEL,
            entry: "update",
            specialization: Specialization::constants(&[("ELEMENTS", elements), ("LANES", LANES)]),
            bindings: vec![Operand::Out(0), Operand::Out(1), Operand::In(2), Operand::In(3), Operand::In(4)],
            workgroups: flat_workgroups(elements, LANES, target),
        }]
    }

    fn reference(&self, _io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let [weights, velocity, gradient, rates, scale] = inputs else { unreachable!("recorded with five inputs") };
        reference(weights, velocity, gradient, rates, scale).into()
    }
}

/// The formula of [`Sgd`]: the new weights and velocity.
pub(super) fn reference(
    weights: &[f64],
    velocity: &[f64],
    gradient: &[f64],
    rates: &[f64],
    scale: &[f64],
) -> [Vec<f64>; 2] {
    let rate = rates[0] * scale[0];
    let velocity: Vec<f64> = (weights.iter().zip(velocity).zip(gradient))
        .map(|((weight, velocity), gradient)| rates[1] * velocity + (gradient + rates[2] * weight))
        .collect();
    let weights = weights.iter().zip(&velocity).map(|(weight, v)| weight - rate * v).collect();
    [weights, velocity]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Case, check, tensor};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(crate::ops::testing::config(8))]

        #[test]
        fn the_update_matches_the_reference(rows in 1usize..40, seed: u64) {
            let dims = [rows, 4];
            let inputs = vec![
                tensor(&dims, seed),
                tensor(&dims, seed ^ 1),
                tensor(&dims, seed ^ 2),
                tensor(&[4], 0).with([0.03f32, 0.9, 5e-4, 0.0].map(f64::from).to_vec()),
                tensor(&[1], 0).with(vec![2.0]),
            ];
            check(Case::new(Sgd, inputs).forward_only());
        }
    }
}
