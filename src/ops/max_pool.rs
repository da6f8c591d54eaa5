//! 2×2 max-pooling on its own (`kernels/max_pool.wgsl`): for layers whose weight tiles a pooling window would straddle.

use super::flat_workgroups;
use super::geometry::codes;
use crate::gpu::{Kernel, Specialization, Target};
use crate::kernel;
use crate::tape::{DType, Dispatch, Error, Gradient, Io, Op, Operand, Tape, TensorType, Var};

static KERNEL: Kernel = kernel!("max_pool.wgsl", "linear.wgsl", "codes.wgsl");
const LANES: usize = 64;

/// Code of a pooled value that no gradient passes.
pub(super) const CODE_SHUT: f64 = 4.0;

/// Maximum of each 2×2 window, and as one byte its position in scan order; the first maximum wins a tie.
/// Input [channels, height, width, images] with even sides.
#[derive(Debug, Clone, Copy)]
pub struct MaxPool;

fn constants(full: &TensorType) -> Specialization {
    Specialization::constants(&[
        ("BATCH_VECS", full.dims[3] / 4),
        ("POOLED_WIDTH", full.dims[2] / 2),
        ("ELEMENTS", full.elements() / 16),
        ("LANES", LANES),
    ])
}

impl Op for MaxPool {
    fn name(&self) -> &'static str {
        "max_pool"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        match inputs[0].activation() {
            Some([channels, height, width, batch]) if height % 2 == 0 && width % 2 == 0 => {
                let pooled = TensorType::f32(&[channels, height / 2, width / 2, batch]);
                let codes = codes(&pooled);
                Ok(vec![pooled, codes])
            }
            _ => Err(Error::shape(
                self.name(),
                format!(
                    "expected floats [channels, height, width, images] with even sides and images a multiple of 4, got {:?}",
                    inputs[0].dims
                ),
            )),
        }
    }

    fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch> {
        vec![Dispatch {
            kernel: &KERNEL,
            entry: "forward",
            specialization: constants(io.inputs[0]),
            bindings: vec![Operand::In(0), Operand::Out(0), Operand::Out(1)],
            workgroups: flat_workgroups(io.outputs[0].elements() / 4, LANES, target),
        }]
    }

    fn backward(&self, tape: &mut Tape, grad: &Gradient) -> Result<Vec<Option<Var>>, Error> {
        let upstream = grad.upstream_of(0, self.name())?;
        Ok(vec![Some(tape.apply1(MaxPoolGrad, &[upstream, grad.outputs[1]])?)])
    }

    fn reference(&self, io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let (pooled, code) = reference::forward(io.inputs[0], inputs[0]);
        vec![pooled, code]
    }
}

/// Upstream at the position of each window's maximum, 0 elsewhere. Inputs: upstream, code.
#[derive(Debug, Clone, Copy)]
struct MaxPoolGrad;

impl Op for MaxPoolGrad {
    fn name(&self) -> &'static str {
        "max_pool_grad"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        let dims = &inputs[0].dims;
        Ok(vec![TensorType { dims: vec![dims[0], dims[1] * 2, dims[2] * 2, dims[3]], dtype: DType::F32 }])
    }

    fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch> {
        vec![Dispatch {
            kernel: &KERNEL,
            entry: "backward",
            specialization: constants(io.outputs[0]),
            bindings: vec![Operand::In(0), Operand::In(1), Operand::Out(0)],
            workgroups: flat_workgroups(io.inputs[0].elements() / 4, LANES, target),
        }]
    }

    fn reference(&self, io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![reference::backward(io.outputs[0], inputs[0], inputs[1])]
    }
}

/// Plain loops in f64.
pub(super) mod reference {
    use super::TensorType;
    use crate::ops::geometry::at;

    /// Index into the full tensor of position `code` of each window, in the order of the pooled tensor.
    fn windows(full: &TensorType) -> impl Iterator<Item = [usize; 4]> + '_ {
        let [channels, height, width, batch] = full.activation().expect("an activation");
        (0..channels).flat_map(move |c| {
            (0..height / 2).flat_map(move |p| {
                (0..width / 2).flat_map(move |q| {
                    (0..batch).map(move |n| {
                        [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(a, b)| at(full, c, 2 * p + a, 2 * q + b, n))
                    })
                })
            })
        })
    }

    /// Maxima and codes.
    pub fn forward(full: &TensorType, values: &[f64]) -> (Vec<f64>, Vec<f64>) {
        windows(full)
            .map(|window| {
                let mut best = 0;
                for position in 1..4 {
                    if values[window[position]] > values[window[best]] {
                        best = position;
                    }
                }
                (values[window[best]], best as f64)
            })
            .unzip()
    }

    /// Upstream where the code points; code 4 points nowhere.
    pub fn backward(full: &TensorType, upstream: &[f64], code: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; full.elements()];
        for ((window, value), code) in windows(full).zip(upstream).zip(code) {
            if let Some(index) = window.get(*code as usize) {
                out[*index] = *value;
            }
        }
        out
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
        fn pooling_and_its_gradient_match_the_reference(
            channels in 1usize..4,
            (rows, columns) in (1usize..4, 1usize..4),
            batch in prop::sample::select(vec![4usize, 8, 68]),
            seed: u64,
        ) {
            check(Case::new(MaxPool, vec![tensor(&[channels, 2 * rows, 2 * columns, batch], seed).well_spaced()]));
        }
    }

    #[test]
    fn the_first_maximum_wins_a_tie() {
        // Window rows [[a, b], [c, d]]; one image counts, the other three repeat it.
        for (window, code) in [([1.0, 1.0, 1.0, 1.0], 0.0), ([0.0, 2.0, 2.0, 1.0], 1.0), ([0.0, -1.0, 3.0, 3.0], 2.0)] {
            let values = window.iter().flat_map(|value| [*value; 4]).collect();
            let out = gpu_outputs(&Case::new(MaxPool, vec![tensor(&[1, 2, 2, 4], 0).with(values)]));
            assert_eq!(out[1], [code; 4], "{window:?}");
        }
    }
}
