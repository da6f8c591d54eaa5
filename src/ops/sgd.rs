//! Stochastic gradient descent with momentum and weight decay, in place (`kernels/sgd.wgsl`).

use super::flat_workgroups;
use crate::gpu::{Kernel, Specialization, Target};
use crate::kernel;
use crate::tape::{Dispatch, Error, Io, Op, Operand, Tape, TensorType, Var};

static KERNEL: Kernel = kernel!("sgd.wgsl", "linear.wgsl");
const LANES: usize = 64;

/// velocity ← momentum · velocity + (gradient + weight_decay · weights); weights ← weights − rate · scale · velocity.
/// Inputs: weights, velocity, gradient (one shape, a multiple of 4 elements), learning rate [1], and
/// (momentum, weight decay, scale). The first two are overwritten.
#[derive(Debug, Clone, Copy)]
pub struct Sgd;

/// What stays the same over a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdRates {
    /// Share of the velocity that is kept.
    pub momentum: f32,
    /// Pull of every weight towards 0.
    pub weight_decay: f32,
    /// Factor of the learning rate for this tensor.
    pub scale: f32,
}

impl Sgd {
    /// Records the update of `parameter` by `gradient`, with a new state tensor for the velocity.
    ///
    /// # Errors
    /// Shapes that differ.
    pub fn record(
        tape: &mut Tape,
        parameter: Var,
        gradient: Var,
        learning_rate: Var,
        rates: SgdRates,
    ) -> Result<(), Error> {
        let ty = tape.ty(parameter).clone();
        let velocity = tape.state(&format!("velocity/{}", tape.name(parameter)), ty);
        let values = vec![rates.momentum, rates.weight_decay, rates.scale];
        let rates = tape.constant("sgd rates", &[3], values);
        tape.apply(Sgd, &[parameter, velocity, gradient, learning_rate, rates])?;
        Ok(())
    }
}

impl Op for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        let [weights, velocity, gradient, rate, rates] = inputs else { unreachable!("recorded with five inputs") };
        if weights != velocity || weights != gradient || weights.elements() % 4 != 0 {
            return Err(Error::shape(
                self.name(),
                format!(
                    "expected weights, velocity and gradient of one shape with a multiple of 4 elements, got {:?}, {:?}, {:?}",
                    weights.dims, velocity.dims, gradient.dims
                ),
            ));
        }
        if rate.elements() != 1 || rates.elements() != 3 {
            return Err(Error::shape(self.name(), "expected one learning rate and three fixed rates"));
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
        let [momentum, weight_decay, scale] = [inputs[4][0], inputs[4][1], inputs[4][2]];
        let velocity: Vec<f64> = (inputs[0].iter().zip(inputs[1]).zip(inputs[2]))
            .map(|((weight, velocity), gradient)| momentum * velocity + (gradient + weight_decay * weight))
            .collect();
        let weights = inputs[0].iter().zip(&velocity).map(|(weight, v)| weight - inputs[3][0] * scale * v).collect();
        vec![weights, velocity]
    }
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
                tensor(&[1], 0).with(vec![f64::from(0.03f32)]),
                tensor(&[3], 0).with(vec![f64::from(0.9f32), f64::from(5e-4f32), 2.0]),
            ];
            check(Case::new(Sgd, inputs).forward_only());
        }
    }
}
