//! Several nets in one dispatch train as each alone does, to the bit.

use deepid2::data::augment::Augmentation;
use deepid2::gpu::{Gpu, GpuOptions};
use deepid2::model::file::tensors_of;
use deepid2::net::{LocalSharing, NetSpec, ParameterSpec, TrainingGraph, TrainingOptions, initial_values};
use deepid2::ops::Signal;
use deepid2::tape::{Program, ProgramOptions, Store};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::ops::Range;

const STEPS: u64 = 5;
const NETS: usize = 3;

/// A network and how it is trained.
struct Case {
    spec: NetSpec,
    options: TrainingOptions,
}

/// What is left after training: losses, parts and pair records of each step, then every tensor of the store, as bits.
#[derive(PartialEq)]
struct Trained {
    steps: Vec<[Vec<u32>; 3]>,
    tensors: BTreeMap<String, Vec<u32>>,
}

fn bits(values: Vec<f32>) -> Vec<u32> {
    values.into_iter().map(f32::to_bits).collect()
}

impl Case {
    fn learned(&self) -> Vec<ParameterSpec> {
        let mut learned = tensors_of(&self.spec);
        if self.options.signal == Signal::Cosine {
            learned.push(self.spec.cosine_parameters());
        }
        learned
    }

    /// Trains the nets `nets` at once; each has its own first weights, pictures, labels, changes, rates and margins.
    fn train(&self, gpu: &Gpu, nets: Range<usize>) -> Vec<Trained> {
        let graph = TrainingGraph::new(&self.spec, &self.options).unwrap();
        let mut store = Store::with_nets(nets.len());
        for (at, net) in nets.clone().enumerate() {
            for parameter in self.learned() {
                let mut values = initial_values(&parameter, net as u64);
                if parameter.name == "mean" {
                    values.fill(120.0 + net as f32);
                }
                let values = parameter.pad(&values);
                store.write_net(gpu, at, parameter.name, &parameter.device_type(), &values).unwrap();
            }
        }
        let keep = [graph.loss, graph.parts, graph.pairs];
        let program = Program::compile(gpu, &graph.tape, &mut store, &keep, ProgramOptions::default()).unwrap();
        assert_eq!(program.nets(), nets.len());
        let mut steps: Vec<Vec<[Vec<u32>; 3]>> = vec![vec![]; nets.len()];
        for step in 0..STEPS {
            for (at, net) in nets.clone().enumerate() {
                let images = self.options.images;
                let mut rng = ChaCha8Rng::seed_from_u64(step * NETS as u64 + net as u64);
                let bytes: Vec<u8> = (0..graph.tape.ty(graph.pictures).elements()).map(|_| rng.random()).collect();
                let identities = self.spec.identities as u32;
                let labels: Vec<u32> = (0..images).map(|_| rng.random_range(0..identities)).collect();
                let mut augment = Vec::new();
                let change = Augmentation { shift: self.options.margin as u32, flip: true, brightness: 0.2 };
                change.draw(net as u64, step, images, &mut augment);
                program.write_net(at, graph.pictures, &bytes).unwrap();
                program.write_net(at, graph.augment, bytemuck::cast_slice::<_, u32>(&augment)).unwrap();
                program.write_net(at, graph.labels, &labels).unwrap();
                program.write_net(at, graph.weights, &[1.0f32, 0.05, 0.5 + net as f32, 0.0]).unwrap();
                program.write_net(at, graph.rates, &[0.01f32 * (1.0 + net as f32), 0.9, 5e-4, 0.0]).unwrap();
            }
            program.run().unwrap();
            for (at, steps) in steps.iter_mut().enumerate() {
                steps.push(keep.map(|var| bits(program.read_net(at, var).unwrap())));
            }
        }
        let tensors = |net| {
            let value = |name: &str| bits(store.read_net(gpu, net, name).unwrap().unwrap());
            store.entries().map(|(name, _)| (name.to_string(), value(name))).collect()
        };
        steps.into_iter().enumerate().map(|(net, steps)| Trained { steps, tensors: tensors(net) }).collect()
    }
}

/// One whose fully connected weights are a uniform buffer for one net, but too large for three; and one of odd sizes.
fn cases() -> [Case; 2] {
    let options = TrainingOptions {
        images: 5,
        margin: 1,
        signal: Signal::L2,
        momentum: 0.9,
        weight_decay: 5e-4,
        rate_scales: vec![],
    };
    let wide = NetSpec { height: 39, width: 31, widths: [4, 6, 8, 8], ..NetSpec::paper(6) };
    let odd = NetSpec {
        height: 31,
        width: 39,
        channels: 1,
        identities: 5,
        widths: [5, 6, 7, 9],
        embedding: 18,
        conv3: LocalSharing::Grid,
    };
    [
        Case { spec: wide, options: options.clone() },
        Case { spec: odd, options: TrainingOptions { signal: Signal::Cosine, images: 7, ..options } },
    ]
}

#[test]
fn nets_trained_at_once_are_bit_identical_to_each_trained_alone() {
    let gpu = Gpu::open(&GpuOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    for case in cases() {
        let together = case.train(&gpu, 0..NETS);
        for (net, together) in together.iter().enumerate() {
            let alone = case.train(&gpu, net..net + 1).remove(0);
            assert_eq!(together.steps, alone.steps, "net {net}: losses, parts or pairs");
            for (name, values) in &alone.tensors {
                assert!(*values == together.tensors[name], "net {net}: {name} differs");
            }
            let losses: Vec<f32> = alone.steps.iter().map(|[loss, ..]| f32::from_bits(loss[0])).collect();
            assert!(losses.iter().all(|loss| loss.is_finite() && *loss > 0.0), "net {net}: {losses:?}");
        }
        let weights = |net: usize| &together[net].tensors["conv2.weight"];
        assert!(weights(0) != weights(1) && weights(1) != weights(2), "nets that are one are no test");
    }
}
