//! One check for every operation: device against the f64 reference, with and without shader checks, NaN-poisoned
//! outputs and guard words; analytic gradient against finite differences; device gradient against the analytic one,
//! with an upstream gradient that is not 1; adjoint identities of linear operations; several nets in one dispatch against
//! each alone.

use crate::gpu::{Gpu, GpuOptions, Tiles};
use crate::ops::{Add, Multiply, Sum};
use crate::tape::{DType, Op, Program, ProgramOptions, Store, Tape, TensorType, Var, evaluate};
use rand::seq::index::sample;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// `cases` random cases, or `PROPTEST_CASES` where it is set.
pub fn config(cases: u32) -> proptest::test_runner::Config {
    let default = proptest::test_runner::Config::default();
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    proptest::test_runner::Config {
        cases: if asked { default.cases } else { cases },
        // Failures are reproduced from the printed input; no files appear in the source tree.
        failure_persistence: None,
        max_shrink_iters: 64,
        ..default
    }
}

/// The device with shader checks, whose kernels read buffers, and two without, whose kernels read images, where the adapter
/// has them, and buffers. Panics where there is no adapter: the suite must not pass.
pub fn gpus() -> &'static [Gpu; 3] {
    static GPUS: OnceLock<[Gpu; 3]> = OnceLock::new();
    GPUS.get_or_init(|| {
        [(true, false), (false, true), (false, false)].map(|(checks, texels)| {
            let options = GpuOptions { checks, texels: Some(texels), ..GpuOptions::default() };
            Gpu::open(&options).unwrap_or_else(|e| panic!("{e}"))
        })
    })
}

/// The device running the kernels that a hardware GPU would get.
pub fn hardware_tiles() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    let options = GpuOptions { tiles: Some(Tiles::Hardware), ..GpuOptions::default() };
    GPU.get_or_init(|| Gpu::open(&options).unwrap_or_else(|e| panic!("{e}")))
}

/// Values of an input, exactly representable on the device.
#[derive(Debug, Clone)]
pub struct Tensor {
    pub ty: TensorType,
    pub values: Vec<f64>,
}

/// Uniform floats in [−1, 1).
pub fn tensor(dims: &[usize], seed: u64) -> Tensor {
    let ty = TensorType::f32(dims);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values = (0..ty.elements()).map(|_| f64::from(rng.random_range(-1.0f32..1.0))).collect();
    Tensor { ty, values }
}

/// Whole numbers below `end`.
pub fn integers(ty: TensorType, end: u32, seed: u64) -> Tensor {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values = (0..ty.elements()).map(|_| f64::from(rng.random_range(0..end))).collect();
    Tensor { ty, values }
}

impl Tensor {
    /// Other values.
    pub fn with(mut self, values: Vec<f64>) -> Self {
        assert_eq!(values.len(), self.values.len());
        self.values = values;
        self
    }

    /// Moves values out of (−gap, gap): away from a kink at 0.
    pub fn away_from_zero(mut self, gap: f64) -> Self {
        self.values.iter_mut().for_each(|value| *value += gap.copysign(*value));
        self.round()
    }

    /// A random permutation of equally spaced values: no two are close, so no maximum is near a tie.
    pub fn well_spaced(mut self) -> Self {
        let mut order: Vec<usize> = (0..self.values.len()).collect();
        order.sort_by(|a, b| self.values[*a].total_cmp(&self.values[*b]));
        let count = order.len() as f64;
        for (rank, index) in order.into_iter().enumerate() {
            self.values[index] = 2.0 * rank as f64 / count - 1.0;
        }
        self.round()
    }

    /// Zeroes entries from `column` on in the last dimension: padding channels.
    pub fn zero_columns_from(mut self, column: usize) -> Self {
        let columns = *self.ty.dims.last().expect("a tensor has dimensions");
        for (index, value) in self.values.iter_mut().enumerate() {
            if index % columns >= column {
                *value = 0.0;
            }
        }
        self
    }

    fn round(mut self) -> Self {
        self.values.iter_mut().for_each(|value| *value = f64::from(*value as f32));
        self
    }

    /// What net number `net` of several gets: the same for net 0, other valid values for the others. Floats are scaled by
    /// a positive factor; whole numbers, whose columns may mean different things, change rows.
    fn of_net(&self, net: usize) -> Self {
        let mut tensor = self.clone();
        match self.ty.dtype {
            DType::F32 => {
                let scale = 1.0 - net as f64 / 4.0;
                tensor.values.iter_mut().for_each(|value| *value = f64::from((*value * scale) as f32));
            }
            DType::U32 | DType::U8 => {
                let row = if self.ty.dims.len() > 1 { self.ty.dims[self.ty.dims.len() - 1] } else { 1 };
                tensor.values.rotate_left(net * row % self.values.len());
            }
        }
        tensor
    }

    /// Values as the device stores them.
    fn bytes(&self) -> Vec<u8> {
        match self.ty.dtype {
            DType::F32 => self.values.iter().flat_map(|value| (*value as f32).to_le_bytes()).collect(),
            DType::U32 => self.values.iter().flat_map(|value| (*value as u32).to_le_bytes()).collect(),
            DType::U8 => self.values.iter().map(|value| *value as u8).collect(),
        }
    }
}

/// Reads a kept tensor of net `net` as f64.
fn read(program: &Program, ty: &TensorType, net: usize, var: Var) -> Vec<f64> {
    match ty.dtype {
        DType::F32 => program.read_net::<f32>(net, var).unwrap().into_iter().map(f64::from).collect(),
        DType::U32 => program.read_net::<u32>(net, var).unwrap().into_iter().map(f64::from).collect(),
        DType::U8 => program.read_net::<u8>(net, var).unwrap().into_iter().map(f64::from).collect(),
    }
}

/// An operation, its inputs and what may be expected of it.
pub struct Case {
    pub op: Arc<dyn Op>,
    pub inputs: Vec<Tensor>,
    gradients: bool,
    kinked: bool,
    linear: Option<Linearity>,
    /// Inputs that are differentiated; floats by default.
    differentiable: Vec<bool>,
    /// The only output that a loss may depend on; all float outputs by default.
    loss_output: Option<usize>,
    magnitude: f64,
}

enum Linearity {
    /// Output linear in input 0.
    Linear,
    /// Output linear in input 0 and in input 1, plus a term linear in input 2.
    Bilinear,
}

impl Case {
    pub fn new(op: impl Op + 'static, inputs: Vec<Tensor>) -> Self {
        let differentiable = inputs.iter().map(|input| input.ty.dtype == DType::F32).collect();
        Self {
            op: Arc::new(op),
            inputs,
            gradients: true,
            kinked: false,
            linear: None,
            differentiable,
            loss_output: None,
            magnitude: 1.0,
        }
    }

    /// The operation computes with numbers of this order rather than of order 1, and rounds accordingly even where its
    /// outputs are small.
    pub fn magnitude(mut self, magnitude: f64) -> Self {
        self.magnitude = magnitude;
        self
    }

    /// A gradient operation itself: it has no gradient.
    pub fn forward_only(mut self) -> Self {
        self.gradients = false;
        self
    }

    /// Piecewise smooth: finite differences that step over a kink are passed over, and integer outputs may differ in
    /// near ties.
    pub fn kinked(mut self) -> Self {
        self.kinked = true;
        self
    }

    pub fn linear(mut self) -> Self {
        self.linear = Some(Linearity::Linear);
        self
    }

    pub fn bilinear(mut self) -> Self {
        self.linear = Some(Linearity::Bilinear);
        self
    }

    /// Differentiates only these inputs.
    pub fn differentiate(mut self, inputs: &[usize]) -> Self {
        self.differentiable = (0..self.inputs.len()).map(|index| inputs.contains(&index)).collect();
        self
    }

    /// Only this output has a gradient.
    pub fn loss_output(mut self, output: usize) -> Self {
        self.loss_output = Some(output);
        self
    }

    fn record(&self) -> (Tape, Vec<Var>, Vec<Var>) {
        let mut tape = Tape::new();
        let inputs: Vec<Var> = self
            .inputs
            .iter()
            .zip(&self.differentiable)
            .enumerate()
            .map(|(index, (input, differentiable))| {
                let (name, ty) = (format!("input {index}"), input.ty.clone());
                if *differentiable { tape.differentiable_input(&name, ty) } else { tape.input(&name, ty) }
            })
            .collect();
        let outputs = tape.apply_shared(self.op.clone(), &inputs).unwrap();
        (tape, inputs, outputs)
    }

    fn given(&self, vars: &[Var]) -> HashMap<Var, Vec<f64>> {
        vars.iter().zip(&self.inputs).map(|(var, input)| (*var, input.values.clone())).collect()
    }

    /// Runs `tape` on `gpu` in guarded memory and returns the tensors `keep`.
    fn run(&self, gpu: &Gpu, tape: &Tape, inputs: &[Var], keep: &[Var]) -> Vec<Vec<f64>> {
        self.run_nets(gpu, tape, inputs, keep, 0..1).remove(0)
    }

    /// Runs `tape` for the nets `nets` at once, each with its own inputs ([`Tensor::of_net`]), and returns the tensors
    /// `keep` of each.
    fn run_nets(&self, gpu: &Gpu, tape: &Tape, inputs: &[Var], keep: &[Var], nets: Range<usize>) -> Vec<Vec<Vec<f64>>> {
        let options = ProgramOptions { guarded: true };
        let program = Program::compile(gpu, tape, &mut Store::with_nets(nets.len()), keep, options).unwrap();
        for (at, net) in nets.clone().enumerate() {
            for (var, input) in inputs.iter().zip(&self.inputs) {
                program.write_net(at, *var, &input.of_net(net).bytes()).unwrap();
            }
        }
        program.run().unwrap();
        let overrun = program.overrun_guards().unwrap();
        assert!(overrun.is_empty(), "{}: {} nets wrote outside {overrun:?}", self.op.name(), nets.len());
        let of_net = |at| keep.iter().map(|var| read(&program, tape.ty(*var), at, *var)).collect();
        (0..nets.len()).map(of_net).collect()
    }
}

/// The operation's outputs on the device without shader checks.
pub fn gpu_outputs(case: &Case) -> Vec<Vec<f64>> {
    let (tape, inputs, outputs) = case.record();
    case.run(&gpus()[1], &tape, &inputs, &outputs)
}

/// A number that random cases differ in, by which they take turns among devices.
fn turn_of(case: &Case) -> usize {
    let bits = case.inputs.iter().flat_map(|input| &input.values).map(|value| value.to_bits() >> 30);
    bits.fold(0, |turn, bits| turn ^ bits) as usize
}

/// The device without shader checks whose turn it is.
fn without_checks(case: &Case) -> &'static Gpu {
    &gpus()[1 + turn_of(case) / 4 % 2]
}

/// Everything that can be expected of `case`.
pub fn check(case: Case) {
    let [outputs, outputs_of_other_tiles] = check_forward(&case);
    if case.gradients {
        let devices =
            [(&gpus()[0], &outputs), (without_checks(&case), &outputs), (hardware_tiles(), &outputs_of_other_tiles)];
        check_gradients(&case, &devices);
    }
    check_nets(&case);
}

/// Outputs and gradients of three nets in one dispatch against those of each net alone: the same bits.
fn check_nets(case: &Case) {
    const NETS: usize = 3;
    let (mut tape, inputs, outputs) = case.record();
    let mut keep = outputs.clone();
    if case.gradients {
        let (loss, _) = with_loss(case, &mut tape, &outputs);
        let gradients = tape.backward(loss).unwrap();
        let wanted = inputs.iter().zip(&case.differentiable).filter(|(_, differentiable)| **differentiable);
        keep.extend(wanted.map(|(input, _)| gradients[input]));
    }
    // One device a case: a text of its own for several nets takes time to compile.
    let gpu = [&gpus()[0], &gpus()[1], &gpus()[2], hardware_tiles()][turn_of(case) % 4];
    let together = case.run_nets(gpu, &tape, &inputs, &keep, 0..NETS);
    for (net, found) in together.iter().enumerate() {
        let alone = case.run_nets(gpu, &tape, &inputs, &keep, net..net + 1).remove(0);
        for ((var, found), alone) in keep.iter().zip(found).zip(&alone) {
            let differing = found.iter().zip(alone).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
            let (op, name, count) = (case.op.name(), tape.name(*var), found.len());
            assert!(
                differing == 0,
                "{op}: {differing} of {count} elements of {name} differ between net {net} of {NETS} and the net alone"
            );
        }
    }
}

/// Compares the outputs with the reference; returns those of the software tiles and those of the hardware tiles.
fn check_forward(case: &Case) -> [Vec<Vec<f64>>; 2] {
    let (tape, inputs, outputs) = case.record();
    let values = evaluate(&tape, &case.given(&inputs)).unwrap();
    let with_checks = &gpus()[0];
    let found = case.run(without_checks(case), &tape, &inputs, &outputs);
    let other_tiles = case.run(hardware_tiles(), &tape, &inputs, &outputs);
    for (output, found) in outputs.iter().zip(&found).chain(outputs.iter().zip(&other_tiles)) {
        let what = format!("{} output {}", case.op.name(), tape.name(*output));
        match tape.ty(*output).dtype {
            DType::F32 => assert_close(&what, found, &values[output.0], 1e-5, case.magnitude),
            _ => {
                let differing = found.iter().zip(&values[output.0]).filter(|(a, b)| a != b).count();
                let allowed = if case.kinked { 1 + found.len() / 1000 } else { 0 };
                assert!(differing <= allowed, "{what}: {differing} of {} integers differ", found.len());
            }
        }
    }
    let checked = case.run(with_checks, &tape, &inputs, &outputs);
    for ((output, found), checked) in outputs.iter().zip(&found).zip(&checked) {
        let what = format!("{} output {} with shader checks", case.op.name(), tape.name(*output));
        // A driver compiles both texts for itself, and may fuse another multiplication with another addition in each.
        match with_checks.info().device_type {
            wgpu::DeviceType::Cpu => {
                let differing = found.iter().zip(checked).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
                assert!(differing == 0, "{what}: {differing} of {} elements have other bits", found.len());
            }
            _ => assert_close(&what, checked, found, 1e-5, case.magnitude),
        }
    }
    [found, other_tiles]
}

/// Scalar loss Σ coefficient · output over all float outputs: an upstream gradient that differs everywhere.
fn with_loss(case: &Case, tape: &mut Tape, outputs: &[Var]) -> (Var, Vec<Tensor>) {
    let mut loss = None;
    let mut coefficients = Vec::new();
    for (index, output) in outputs.iter().enumerate() {
        let ty = tape.ty(*output).clone();
        if ty.dtype != DType::F32 || case.loss_output.is_some_and(|only| only != index) {
            continue;
        }
        let coefficient = tensor(&ty.dims, 0xC0FFEE + index as u64);
        let values = coefficient.values.iter().map(|value| *value as f32).collect();
        let constant = tape.constant("coefficient", &ty.dims, values);
        let product = tape.apply1(Multiply, &[*output, constant]).unwrap();
        let sum = tape.apply1(Sum, &[product]).unwrap();
        loss = Some(match loss {
            None => sum,
            Some(before) => tape.apply1(Add, &[before, sum]).unwrap(),
        });
        coefficients.push(coefficient);
    }
    (loss.expect("a float output"), coefficients)
}

/// Analytic gradients against finite differences, and those of each device, given its outputs, against the analytic ones.
fn check_gradients(case: &Case, devices: &[(&Gpu, &Vec<Vec<f64>>)]) {
    let (mut tape, inputs, outputs) = case.record();
    let (loss, coefficients) = with_loss(case, &mut tape, &outputs);
    let gradients = tape.backward(loss).unwrap();
    let wanted: Vec<usize> = (0..inputs.len()).filter(|index| case.differentiable[*index]).collect();
    let vars: Vec<Var> = wanted.iter().map(|index| gradients[&inputs[*index]]).collect();

    let values = evaluate(&tape, &case.given(&inputs)).unwrap();
    for (index, var) in wanted.iter().zip(&vars) {
        finite_differences(case, *index, &values[var.0]);
    }

    for (gpu, device_outputs) in devices {
        // The device's own arg-maxima and ReLU pattern, so that a near tie decided the other way is not a difference.
        let mut given = case.given(&inputs);
        given.extend(outputs.iter().copied().zip(device_outputs.iter().cloned()));
        let values = evaluate(&tape, &given).unwrap();
        let found = case.run(gpu, &tape, &inputs, &vars);
        for ((index, var), found) in wanted.iter().zip(&vars).zip(&found) {
            let what = format!("{} gradient of input {index}", case.op.name());
            assert_close(&what, found, &values[var.0], 1e-5, case.magnitude);
        }
        if let Some(linearity) = &case.linear {
            adjoint(case, linearity, &device_outputs[0], &coefficients[0].values, &found);
        }
    }
}

/// Central differences of the f64 loss at a few random coordinates of input `index`, against `analytic`.
fn finite_differences(case: &Case, index: usize, analytic: &[f64]) {
    const COORDINATES: usize = 12;
    const STEP: f64 = 1e-5;
    let (mut tape, inputs, outputs) = case.record();
    let (loss, _) = with_loss(case, &mut tape, &outputs);
    let at = |coordinate: usize, step: f64| {
        let mut given = case.given(&inputs);
        given.get_mut(&inputs[index]).expect("an input")[coordinate] += step;
        evaluate(&tape, &given).unwrap()
    };
    let pattern = |values: &[Vec<f64>]| -> Vec<bool> {
        outputs.iter().flat_map(|output| values[output.0].iter().map(|value| *value == 0.0)).collect()
    };
    let integers = |values: &[Vec<f64>]| -> Vec<f64> {
        let of = |output: &&Var| tape.ty(**output).dtype != DType::F32;
        outputs.iter().filter(of).flat_map(|output| values[output.0].clone()).collect()
    };
    let scale = rms(analytic).max(1e-3);
    let mut rng = ChaCha8Rng::seed_from_u64(index as u64);
    let mut passed_over = 0;
    let count = COORDINATES.min(analytic.len());
    for coordinate in sample(&mut rng, analytic.len(), count) {
        let (above, below) = (at(coordinate, STEP), at(coordinate, -STEP));
        if case.kinked && (pattern(&above) != pattern(&below) || integers(&above) != integers(&below)) {
            passed_over += 1;
            continue;
        }
        let numeric = (above[loss.0][0] - below[loss.0][0]) / (2.0 * STEP);
        let error = (numeric - analytic[coordinate]).abs();
        // What the rounding of two large losses leaves in their small difference.
        let rounding = 8.0 * f64::EPSILON * above[loss.0][0].abs() / STEP;
        assert!(
            error <= 1e-6 * (scale + analytic[coordinate].abs()) + rounding,
            "{} gradient of input {index} at {coordinate}: finite difference {numeric}, analytic {}",
            case.op.name(),
            analytic[coordinate]
        );
    }
    assert!(passed_over * 2 <= count, "{}: {passed_over} of {count} steps cross a kink", case.op.name());
}

/// ⟨Jv, u⟩ = ⟨v, Jᵀu⟩ with v the input and u the coefficients.
fn adjoint(case: &Case, linearity: &Linearity, output: &[f64], coefficients: &[f64], gradients: &[Vec<f64>]) {
    let with_input = |index: usize| dot(&case.inputs[index].values, &gradients[index]);
    let forward = dot(output, coefficients);
    let norm = (dot(output, output) * dot(coefficients, coefficients)).sqrt();
    let sides = match linearity {
        Linearity::Linear => vec![(forward, with_input(0))],
        Linearity::Bilinear => {
            let rest = forward - with_input(2);
            vec![(rest, with_input(0)), (rest, with_input(1))]
        }
    };
    for (left, right) in sides {
        assert!((left - right).abs() <= 1e-5 * norm.max(1.0), "{}: ⟨Jv,u⟩ = {left}, ⟨v,Jᵀu⟩ = {right}", case.op.name());
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn rms(values: &[f64]) -> f64 {
    (dot(values, values) / values.len().max(1) as f64).sqrt()
}

/// Normalised squared error ≤ 1e-10 and no element off by more than `tolerance` of the root mean square (or of itself).
/// Operations compute with numbers of order `magnitude`, whose rounding in f32 shows in differences as small as 1e-7 of
/// it: a root mean square below 1e-2 of it counts as that.
pub fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: f64, magnitude: f64) {
    assert_eq!(found.len(), expected.len(), "{what}: length");
    let scale = rms(expected).max(1e-2 * magnitude);
    let mut squared = 0.0;
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs();
        // Negated so that a NaN fails.
        let fine = error <= tolerance * (scale + expected.abs());
        assert!(fine, "{what}: element {index} is {found}, expected {expected} (rms {scale})");
        squared += error * error;
    }
    let normalised = squared / (scale * scale * found.len().max(1) as f64);
    assert!(normalised <= 1e-10, "{what}: normalised squared error {normalised}");
}
