//! The whole training step on the device: its gradient, its arithmetic, its reproducibility and its memory.

use deepid2::data::augment::Augment;
use deepid2::data::loader::Batch;
use deepid2::gpu::{Gpu, GpuOptions};
use deepid2::net::{LocalSharing, NetSpec, TrainingGraph, TrainingOptions, initial_values};
use deepid2::ops::Signal;
use deepid2::tape::{Node, Origin, Store, evaluate};
use deepid2::train::step::{StepResult, StepSettings, TrainingStep};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};

const IDENTITIES: usize = 5;
const MARGIN: usize = 2;

/// One test at a time: what one allocates would be in the other's measured memory.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn open(checks: bool) -> Gpu {
    Gpu::open(&GpuOptions { checks, ..GpuOptions::default() }).unwrap_or_else(|error| panic!("{error}"))
}

/// A network and a batch of random pictures, with every setting of a step.
struct Case {
    name: &'static str,
    spec: NetSpec,
    options: TrainingOptions,
    batch: Batch,
    settings: StepSettings,
    parameters: BTreeMap<String, Vec<f32>>,
}

impl Case {
    fn new(name: &'static str, signal: Signal, images: usize, shape: NetSpec) -> Self {
        let spec = NetSpec { identities: IDENTITIES, widths: [4, 6, 8, 8], embedding: 16, ..shape };
        let (momentum, weight_decay) = (0.0, 0.0);
        let options = TrainingOptions { images, margin: MARGIN, signal, momentum, weight_decay, rate_scales: vec![] };
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let stored = (spec.height + 2 * MARGIN) * (spec.width + 2 * MARGIN) * spec.channels;
        let pairs = images / 2;
        // The first half of the pairs show one person each; picture i pairs with picture i + pairs.
        let partner = |i: usize| if i < pairs / 2 { i } else { i + 1 };
        let labels = (0..images).map(|i| if i < pairs { i } else { partner(i - pairs) } as u32 % IDENTITIES as u32);
        let batch = Batch {
            labels: labels.collect(),
            augment: (0..images)
                .map(|i| Augment {
                    shift_y: i as i32 % 5 - 2,
                    shift_x: 1 - i as i32 % 3,
                    flip: i as u32 % 2,
                    gain: 0.9 + 0.03 * (i % 7) as f32,
                })
                .collect(),
            images: (0..images * stored).map(|_| rng.random()).collect(),
            ..Batch::default()
        };
        let mut learned = spec.extractor_parameters();
        learned.extend(spec.softmax_parameters());
        learned.push(spec.cosine_parameters());
        let mut parameters: BTreeMap<String, Vec<f32>> = learned
            .iter()
            .filter(|parameter| parameter.name != "cosine" || signal == Signal::Cosine)
            .map(|parameter| (parameter.name.to_string(), parameter.pad(&initial_values(parameter, 3))))
            .collect();
        // Larger softmax weights, so that the gradient behind them is not lost in rounding.
        parameters.get_mut("softmax.weight").unwrap().iter_mut().for_each(|weight| *weight *= 30.0);
        parameters.insert("mean".into(), spec.mean().pad(&vec![128.0; spec.mean().elements()]));
        let settings =
            StepSettings { learning_rate: 0.0, identification_weight: 1.0, verification_weight: 0.5, margin: 3.0 };
        Self { name, spec, options, batch, settings, parameters }
    }

    fn store(&self, gpu: &Gpu, parameters: &BTreeMap<String, Vec<f32>>) -> Store {
        let mut specs = deepid2::model::file::tensors_of(&self.spec);
        specs.push(self.spec.cosine_parameters());
        let mut store = Store::new();
        for spec in specs.iter().filter(|spec| parameters.contains_key(spec.name)) {
            store.write(gpu, spec.name, &spec.device_type(), &parameters[spec.name]).unwrap();
        }
        store
    }

    fn start(&self, gpu: &Gpu) -> Run<'_> {
        let mut store = self.store(gpu, &self.parameters);
        let step = TrainingStep::new(gpu, &self.spec, &self.options, &mut store).unwrap();
        Run { case: self, gpu: gpu.clone(), store, step }
    }
}

/// A compiled step with its parameters.
struct Run<'a> {
    case: &'a Case,
    gpu: Gpu,
    store: Store,
    step: TrainingStep,
}

impl Run<'_> {
    fn set(&mut self, parameters: &BTreeMap<String, Vec<f32>>) {
        let types: Vec<_> = self.store.entries().map(|(name, ty)| (name.to_string(), ty.clone())).collect();
        for (name, ty) in types {
            let zeros = vec![0.0; ty.elements()];
            self.store.write(&self.gpu, &name, &ty, parameters.get(&name).unwrap_or(&zeros)).unwrap();
        }
    }

    fn step(&mut self, learning_rate: f32) -> StepResult {
        let settings = StepSettings { learning_rate, ..self.case.settings };
        assert_eq!(self.step.submit(&self.case.batch, &settings).unwrap(), None);
        self.step.take().unwrap().unwrap()
    }

    fn loss_at(&mut self, parameters: &BTreeMap<String, Vec<f32>>) -> f64 {
        self.set(parameters);
        self.step(0.0).loss.into()
    }

    fn values(&self) -> BTreeMap<String, Vec<f32>> {
        let names = self.store.entries().map(|(name, _)| name.to_string());
        names.map(|name| (name.clone(), self.store.read(&self.gpu, &name).unwrap().unwrap())).collect()
    }
}

/// Cases of about `images` pictures a step, a multiple of 4.
fn cases(images: usize) -> Vec<Case> {
    let rgb = NetSpec { height: 31, width: 31, ..NetSpec::paper(IDENTITIES) };
    let grid = NetSpec { height: 39, conv3: LocalSharing::Grid, ..rgb.clone() };
    let gray = NetSpec { channels: 1, ..rgb.clone() };
    vec![
        Case::new("tiles, L2", Signal::L2, images, rgb),
        Case::new("grid, L1, odd batch", Signal::L1, images - 1, grid),
        Case::new("gray, cosine", Signal::Cosine, images, gray),
    ]
}

/// Moves each tensor by itself along a random direction in which its gradient has a share, and compares the central
/// difference of the loss with the inner product of gradient and direction; then all tensors at once.
#[test]
fn the_gradient_is_the_slope_of_the_loss_along_every_tensor() {
    let _alone = alone();
    let gpu = open(true);
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    for case in cases(32) {
        let mut run = case.start(&gpu);
        // Without momentum and decay, one step at rate 1 moves every parameter by its gradient.
        run.step(1.0);
        let after = run.values();
        let gradient: BTreeMap<&str, Vec<f64>> = case
            .parameters
            .iter()
            .filter(|(name, _)| *name != "mean")
            .map(|(name, before)| {
                let moved = before.iter().zip(&after[name]).map(|(before, after)| f64::from(before - after));
                (name.as_str(), moved.collect())
            })
            .collect();
        let directions: BTreeMap<&str, Vec<f64>> = gradient
            .iter()
            .map(|(name, gradient)| {
                (*name, gradient.iter().map(|g| g * rng.random_range(0.2..1.8)).collect::<Vec<_>>())
            })
            .collect();

        let mut sets: Vec<Vec<&str>> = gradient.keys().map(|name| vec![*name]).collect();
        sets.push(gradient.keys().copied().collect());
        for names in sets {
            let dot = |of: &BTreeMap<&str, Vec<f64>>| -> f64 {
                names.iter().flat_map(|name| of[name].iter().zip(&directions[name])).map(|(a, b)| a * b).sum()
            };
            let (slope, length) = (dot(&gradient), dot(&directions).sqrt());
            assert!(slope > 0.0, "{}: nothing reaches {names:?}", case.name);
            let moved = |distance: f64| {
                let mut parameters = case.parameters.clone();
                for name in &names {
                    for (value, direction) in parameters.get_mut(*name).unwrap().iter_mut().zip(&directions[name]) {
                        *value += (distance * direction) as f32;
                    }
                }
                parameters
            };
            // Kinks of ReLUs and maxima disturb a wide difference, the rounding of the loss a narrow one: the best counts.
            let differences = [1e-3, 3e-4, 1e-4, 3e-5].map(|change| {
                let eps = (change / slope).min(0.05 / length);
                (run.loss_at(&moved(eps)) - run.loss_at(&moved(-eps))) / (2.0 * eps)
            });
            let error = differences.map(|difference| (difference / slope - 1.0).abs()).into_iter().fold(1.0, f64::min);
            assert!(error < 1e-2, "{}, {names:?}: slope {slope}, central differences {differences:?}", case.name);
        }
    }
}

#[test]
fn a_step_is_what_the_f64_references_compute() {
    let _alone = alone();
    let gpu = open(true);
    for mut case in cases(8) {
        (case.options.momentum, case.options.weight_decay) = (0.9, 5e-3);
        let mut run = case.start(&gpu);
        const RATE: f32 = 0.5;
        let result = run.step(RATE);

        let graph = TrainingGraph::new(&case.spec, &case.options).unwrap();
        let settings = &case.settings;
        let words = bytemuck::cast_slice::<Augment, u32>(&case.batch.augment);
        let mut given = HashMap::from([
            (graph.pictures, case.batch.images.iter().map(|byte| f64::from(*byte)).collect::<Vec<f64>>()),
            (graph.augment, words.iter().map(|word| f64::from(*word)).collect()),
            (graph.labels, case.batch.labels.iter().map(|label| f64::from(*label)).collect()),
            (graph.rates, [RATE, case.options.momentum, case.options.weight_decay, 0.0].map(f64::from).to_vec()),
        ]);
        let weights = [settings.identification_weight, settings.verification_weight, settings.margin, 0.0];
        given.insert(graph.weights, weights.map(f64::from).to_vec());
        for var in graph.tape.vars() {
            match graph.tape.origin(var) {
                Origin::Parameter => {
                    let values = &case.parameters[graph.tape.name(var)];
                    given.insert(var, values.iter().map(|value| f64::from(*value)).collect());
                }
                Origin::State => {
                    given.insert(var, vec![0.0; graph.tape.ty(var).elements()]);
                }
                _ => {}
            }
        }
        let expected = evaluate(&graph.tape, &given).unwrap();
        let close = |what: &str, found: f64, expected: f64, scale: f64, tolerance: f64| {
            let error = (found - expected).abs();
            assert!(error <= tolerance * scale, "{}, {what}: {found}, f64: {expected}", case.name);
        };
        let loss = expected[graph.loss.index()][0];
        close("loss", result.loss.into(), loss, loss, 1e-5);

        let found = run.values();
        let mut updates = 0;
        let overwrites_parameter = |node: &&Node| {
            node.op.in_place().contains(&(0, 0)) && matches!(graph.tape.origin(node.inputs[0]), Origin::Parameter)
        };
        for node in graph.tape.nodes().iter().filter(overwrites_parameter) {
            let name = graph.tape.name(node.inputs[0]);
            let before = &case.parameters[name];
            let after = &expected[node.outputs[0].index()];
            let update = |after: f64, before: &f32| after - f64::from(*before);
            let largest = after.iter().zip(before).map(|(a, b)| update(*a, b).abs()).fold(0.0, f64::max);
            assert!(largest > 0.0, "{}: {name} does not move", case.name);
            let magnitude = before.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
            for (index, (found, expected)) in found[name].iter().zip(after).enumerate() {
                // An update is as exact as the sum it is rounded into allows.
                let scale = largest.max(f64::from(magnitude) * 1e-3);
                close(&format!("{name}[{index}]"), (*found).into(), *expected, scale, 1e-4);
            }
            updates += 1;
        }
        assert_eq!(updates, case.parameters.len() - 1, "every tensor but the mean is updated");
    }
}

#[test]
fn the_same_steps_give_the_same_bytes_with_and_without_checks() {
    let _alone = alone();
    let (unchecked, checked) = (open(false), open(true));
    assert!(!unchecked.checks() && checked.checks());
    for mut case in cases(8) {
        (case.options.momentum, case.options.weight_decay) = (0.9, 5e-4);
        let outcome = |gpu: &Gpu| {
            let mut run = case.start(gpu);
            let results: Vec<StepResult> = (0..5).map(|_| run.step(0.05)).collect();
            let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            let values: BTreeMap<String, Vec<u32>> =
                run.values().into_iter().map(|(name, values)| (name, bits(values))).collect();
            (results, values)
        };
        let first = outcome(&unchecked);
        assert!(first.0[0].loss.is_finite() && first.0[0].loss != first.0[4].loss, "{}: nothing changes", case.name);
        assert!(outcome(&unchecked) == first, "{}: a second run differs", case.name);
        assert!(outcome(&checked) == first, "{}: the checked run differs", case.name);
    }
}

/// Resident memory of this process.
#[cfg(target_os = "linux")]
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    // SAFETY: `sysconf` reads a constant of the system and has no preconditions.
    pages * unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64
}

#[cfg(target_os = "linux")]
#[test]
fn memory_stays_flat_over_a_thousand_steps() {
    let _alone = alone();
    let case = cases(8).remove(0);
    let mut run = case.start(&open(false));
    let mut steps = |count: usize| {
        for _ in 0..count {
            run.step.submit(&case.batch, &StepSettings { learning_rate: 1e-3, ..case.settings }).unwrap();
        }
        while run.step.take().unwrap().is_some() {}
        (run.step.memory(), resident_bytes())
    };
    let (device_before, host_before) = steps(200);
    let (device_after, host_after) = steps(1000);
    assert_eq!(device_before, device_after);
    let growth = host_after.saturating_sub(host_before);
    assert!(growth < 2_000_000, "resident memory grew by {growth} bytes in 1,000 steps");
}

/// Results of 5 steps, several of them under way at once, and everything in the store after them.
fn five_steps(case: &Case, gpu: &Gpu, micro_batch: Option<usize>) -> (TrainingStep, Vec<StepResult>, Values) {
    let mut store = case.store(gpu, &case.parameters);
    let mut step = TrainingStep::with_micro_batch(gpu, &case.spec, &case.options, micro_batch, &mut store).unwrap();
    let mut results = Vec::new();
    for index in 0..5 {
        let settings = StepSettings { learning_rate: 0.005, margin: 3.0 + index as f32, ..case.settings };
        results.extend(step.submit(&Batch { step: index, ..case.batch.clone() }, &settings).unwrap());
    }
    while let Some(result) = step.take().unwrap() {
        results.push(result);
    }
    let names = store.entries().map(|(name, _)| name.to_string());
    let values = names.map(|name| (name.clone(), store.read(gpu, &name).unwrap().unwrap())).collect();
    (step, results, values)
}

type Values = BTreeMap<String, Vec<f32>>;

/// The largest difference between two lists, as a share of the largest number.
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1e-30f32, |largest, value| largest.max(value.abs()));
    found.iter().zip(expected).map(|(a, b)| (a - b).abs() / largest).fold(0.0, f32::max)
}

#[test]
fn slices_of_a_batch_make_the_step_of_the_whole() {
    let _alone = alone();
    let gpu = open(false);
    let gray = NetSpec { height: 31, width: 31, channels: 1, ..NetSpec::paper(IDENTITIES) };
    let others = [("gray, no signal", Signal::None), ("gray, L2+", Signal::L2Plus), ("gray, L2−", Signal::L2Minus)];
    let others = others.map(|(name, signal)| Case::new(name, signal, 20, gray.clone()));
    for mut case in cases(20).into_iter().chain(others) {
        (case.options.momentum, case.options.weight_decay) = (0.9, 5e-3);
        let (_, expected, after) = five_steps(&case, &gpu, None);
        assert_eq!(expected.iter().map(|result| result.step).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        let identification = |step: usize| expected[step].identification;
        assert!(identification(4) != identification(0), "{}: nothing changes", case.name);
        // Slices of one size and of several, the image without a partner in a larger or a smaller one.
        for (images, slices) in [(10, 2), (8, 3), (4, 5)] {
            let (step, results, values) = five_steps(&case, &gpu, Some(images));
            let name = format!("{}, {}", case.name, step.slices());
            assert_eq!(step.slices().count(), slices, "{name}");
            for (found, expected) in results.iter().zip(&expected) {
                let numbers = |r: &StepResult| [r.loss, r.identification, r.verification, r.accuracy];
                for (found, expected) in numbers(found).iter().zip(numbers(expected)) {
                    assert!((found - expected).abs() <= 1e-5 * expected.abs(), "{name}: {found}, whole: {expected}");
                }
                let split = |r: &StepResult| r.distances.iter().copied().unzip::<f32, bool, Vec<_>, Vec<_>>();
                let ((found, found_same), (expected, expected_same)) = (split(found), split(expected));
                assert_eq!(found_same, expected_same);
                assert!(difference(&found, &expected) <= 1e-5, "{name}: {found:?}, whole: {expected:?}");
            }
            assert_eq!(results.len(), expected.len());
            assert!(values.keys().eq(after.keys()));
            for (tensor, found) in &values {
                let error = difference(found, &after[tensor]);
                assert!(error <= 1e-5, "{name}: {tensor} differs by {error} of its largest number");
            }
        }
    }
}
