//! Loops that only compute and loops that only copy (`kernels/ceiling.wgsl`): what `deepid2 bench` measures the other
//! kernels against. No network uses them and they have no gradient.

use super::flat_workgroups;
use crate::gpu::{Kernel, Specialization, Target};
use crate::kernel;
use crate::tape::{DType, Dispatch, Error, Io, Op, Operand, TensorType};

static KERNEL: Kernel = kernel!("ceiling.wgsl", "linear.wgsl");
/// Multiply-adds of a chain in one iteration of the loop, STEPS in the kernel.
const STEPS: usize = 16;
/// TERM of the kernel.
const TERM: f64 = 0.125;

/// Whole vectors of floats in, the same out.
fn vectors(op: &'static str, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
    let input = inputs[0];
    if input.dtype != DType::F32 || input.elements() == 0 || !input.elements().is_multiple_of(4) {
        return Err(Error::shape(op, format!("expected floats, a multiple of 4 of them, got {:?}", input.dims)));
    }
    Ok(vec![input.clone()])
}

fn lanes(target: &Target) -> usize {
    if target.software { 64 } else { 256 }
}

fn dispatch(
    entry: &'static str,
    constants: &[(&'static str, usize)],
    io: Io,
    copies: usize,
    target: &Target,
) -> Vec<Dispatch> {
    let (vecs, lanes) = (io.outputs[0].elements() / 4, lanes(target));
    vec![Dispatch {
        kernel: &KERNEL,
        entry,
        specialization: Specialization::constants(&[("VECS", vecs), ("LANES", lanes)]).with(constants),
        bindings: vec![Operand::In(0), Operand::Out(0)],
        workgroups: flat_workgroups(vecs.div_ceil(copies), lanes, target),
    }]
}

/// y = Σ_c s_c where each of `chains` sums starts at x / (c + 2) and becomes its square and a term 16 · `rounds` times.
#[derive(Debug, Clone, Copy)]
pub struct MultiplyAdd {
    /// Sums an invocation that do not depend on each other.
    pub chains: usize,
    /// Iterations of 16 multiply-adds.
    pub rounds: usize,
}

impl Op for MultiplyAdd {
    fn name(&self) -> &'static str {
        "multiply_add"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        vectors(self.name(), inputs)
    }

    fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch> {
        let constants = [("CHAINS", self.chains), ("ROUNDS", self.rounds), ("STEPS", STEPS)];
        dispatch("multiply_add", &constants, io, 1, target)
    }

    fn flops(&self, io: Io) -> u64 {
        2 * (io.outputs[0].elements() * self.chains * self.rounds * STEPS) as u64
    }

    fn reference(&self, _io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let chain = |start: f64| (0..self.rounds * STEPS).fold(start, |sum, _| sum * sum + TERM);
        vec![inputs[0].iter().map(|x| (0..self.chains).map(|c| chain(x / (c + 2) as f64)).sum()).collect()]
    }
}

/// y = x, `vectors` vectors of four an invocation.
#[derive(Debug, Clone, Copy)]
pub struct Copy {
    /// Vectors an invocation.
    pub vectors: usize,
}

impl Op for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        vectors(self.name(), inputs)
    }

    fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch> {
        dispatch("copy", &[("COPIES", self.vectors)], io, self.vectors, target)
    }

    fn reference(&self, _io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![inputs[0].to_vec()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Case, check, tensor};
    use crate::tape::Tape;

    #[test]
    fn the_loops_compute_what_they_claim_to() {
        // One vector, a ragged workgroup, several workgroups.
        for (elements, seed) in [(4, 1), (260, 2), (4096, 3)] {
            for (chains, rounds) in [(1, 1), (3, 2), (8, 1)] {
                check(Case::new(MultiplyAdd { chains, rounds }, vec![tensor(&[elements], seed)]).forward_only());
            }
            for vectors in [1, 4] {
                check(Case::new(Copy { vectors }, vec![tensor(&[elements], seed)]).forward_only());
            }
        }
    }

    #[test]
    fn operations_are_counted() {
        let ty = TensorType::f32(&[8]);
        let io = Io { inputs: &[&ty], outputs: &[&ty] };
        // A multiplication and an addition, 16 times in each of 5 rounds, in 3 chains of 8 numbers.
        assert_eq!(MultiplyAdd { chains: 3, rounds: 5 }.flops(io), 2 * 16 * 5 * 3 * 8);
    }

    #[test]
    fn ragged_vectors_are_refused() {
        let mut tape = Tape::new();
        let x = tape.input("x", TensorType::f32(&[6]));
        let message = tape.apply1(Copy { vectors: 1 }, &[x]).unwrap_err().to_string();
        assert!(message.contains("copy") && message.contains("multiple of 4"), "{message}");
    }
}
