//! The worked example of `CONTRIBUTING.md`: y = x², written as a newcomer writes an operation.

use deepid2::gpu::{Gpu, GpuOptions, Kernel, Specialization, Target, kernel::LINEAR};
use deepid2::ops::{Multiply, Sum, flat_workgroups};
use deepid2::tape::{
    DType, Dispatch, Error, Gradient, Io, Op, Operand, Program, ProgramOptions, Store, Tape, TensorType, Var, evaluate,
};
use std::collections::HashMap;

static KERNEL: Kernel = Kernel::new("contributing_example.wgsl", include_str!("contributing_example.wgsl"), &[LINEAR]);
const LANES: usize = 64;

/// One invocation an element of the only output.
fn dispatch(entry: &'static str, bindings: Vec<Operand>, io: Io, target: &Target) -> Vec<Dispatch> {
    let elements = io.outputs[0].elements();
    vec![Dispatch {
        kernel: &KERNEL,
        entry,
        specialization: Specialization::constants(&[("ELEMENTS", elements), ("LANES", LANES)]),
        bindings,
        workgroups: flat_workgroups(elements, LANES, target),
    }]
}

/// Checks that all inputs are floats of one shape, which is the output's too.
fn same_shapes(op: &'static str, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
    if inputs.iter().any(|ty| *ty != inputs[0] || ty.dtype != DType::F32) {
        return Err(Error::shape(op, format!("expected floats of one shape, got {inputs:?}")));
    }
    Ok(vec![inputs[0].clone()])
}

/// y = x², element by element.
#[derive(Debug, Clone, Copy)]
pub struct Square;

impl Op for Square {
    fn name(&self) -> &'static str {
        "square"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        same_shapes(self.name(), inputs)
    }

    fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch> {
        dispatch("square", vec![Operand::In(0), Operand::Out(0)], io, target)
    }

    fn flops(&self, io: Io) -> u64 {
        io.outputs[0].elements() as u64
    }

    fn backward(&self, tape: &mut Tape, grad: &Gradient) -> Result<Vec<Option<Var>>, Error> {
        let upstream = grad.upstream_of(0, self.name())?;
        Ok(vec![Some(tape.apply1(SquareGrad, &[grad.inputs[0], upstream])?)])
    }

    fn reference(&self, _io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![inputs[0].iter().map(|x| x * x).collect()]
    }
}

/// dx = 2 · x · dy: the gradient of [`Square`] from its input x and the upstream gradient dy.
#[derive(Debug, Clone, Copy)]
pub struct SquareGrad;

impl Op for SquareGrad {
    fn name(&self) -> &'static str {
        "square_grad"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
        same_shapes(self.name(), inputs)
    }

    fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch> {
        dispatch("square_grad", vec![Operand::In(0), Operand::In(1), Operand::Out(0)], io, target)
    }

    fn flops(&self, io: Io) -> u64 {
        2 * io.outputs[0].elements() as u64
    }

    fn reference(&self, _io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![inputs[0].iter().zip(inputs[1]).map(|(x, dy)| 2.0 * x * dy).collect()]
    }
}

/// Multiples of 1/16 in [−1, 1]: their squares, products and small sums are exact in f32.
fn values(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7 + seed) % 33) as f32 / 16.0 - 1.0).collect()
}

/// Σ coefficient · square(x): every element of the square has another upstream gradient, and none is 1 throughout.
struct Example {
    tape: Tape,
    x: Var,
    y: Var,
    loss: Var,
    dx: Var,
}

impl Example {
    fn record(dims: &[usize]) -> Self {
        let mut tape = Tape::new();
        let x = tape.differentiable_input("x", TensorType::f32(dims));
        let y = tape.apply1(Square, &[x]).unwrap();
        let coefficient = tape.constant("coefficient", dims, values(dims.iter().product(), 5));
        let weighted = tape.apply1(Multiply, &[y, coefficient]).unwrap();
        let loss = tape.apply1(Sum, &[weighted]).unwrap();
        let dx = tape.backward(loss).unwrap()[&x];
        Self { tape, x, y, loss, dx }
    }

    /// On the device, in guarded memory: outputs start as NaN and writes past the end of a tensor are found.
    fn compile(&self, gpu: &Gpu) -> Program {
        let keep = [self.y, self.loss, self.dx];
        Program::compile(gpu, &self.tape, &mut Store::new(), &keep, ProgramOptions { guarded: true }).unwrap()
    }

    fn run(&self, program: &Program, x: &[f32]) -> [Vec<f32>; 3] {
        program.write(self.x, x).unwrap();
        program.run().unwrap();
        assert_eq!(program.overrun_guards().unwrap(), Vec::<String>::new());
        [self.y, self.loss, self.dx].map(|var| program.read(var).unwrap())
    }
}

fn close(found: f32, expected: f64) -> bool {
    (f64::from(found) - expected).abs() <= 1e-6 * (1.0 + expected.abs())
}

#[test]
fn square_and_its_gradient_match_the_reference_and_finite_differences() {
    let gpu = Gpu::open(&GpuOptions { checks: true, ..GpuOptions::default() }).unwrap();
    for dims in [vec![1], vec![3, 5, 4], vec![67]] {
        let example = Example::record(&dims);
        let program = example.compile(&gpu);
        let x = values(dims.iter().product(), 0);
        let [y, _, dx] = example.run(&program, &x);

        let given = HashMap::from([(example.x, x.iter().map(|x| f64::from(*x)).collect())]);
        let reference = evaluate(&example.tape, &given).unwrap();
        for (found, var) in [(&y, example.y), (&dx, example.dx)] {
            let expected = &reference[var.index()];
            assert!(found.iter().zip(expected).all(|(a, b)| close(*a, *b)), "{found:?} is not {expected:?}");
        }

        // A central difference of a square has no truncation error, so the step can be wide.
        const STEP: f32 = 0.25;
        for index in 0..x.len() {
            let loss_at = |step: f32| {
                let mut moved = x.clone();
                moved[index] += step;
                f64::from(example.run(&program, &moved)[1][0])
            };
            let slope = (loss_at(STEP) - loss_at(-STEP)) / f64::from(2.0 * STEP);
            assert!(close(dx[index], slope), "∂loss/∂x[{index}] is {}, finite differences say {slope}", dx[index]);
        }
    }
}

#[test]
fn square_refuses_integers() {
    let mut tape = Tape::new();
    let labels = tape.input("labels", TensorType::u32(&[4]));
    let message = tape.apply1(Square, &[labels]).unwrap_err().to_string();
    assert!(message.contains("square") && message.contains("floats"), "{message}");
}
