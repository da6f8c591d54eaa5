//! Twenty training steps against PyTorch: `fixtures/training_20_steps/make.py` made the expected values.

use deepid2::data::augment::Augment;
use deepid2::data::loader::Batch;
use deepid2::gpu::{Gpu, GpuOptions};
use deepid2::model::file::tensors_of;
use deepid2::net::{NetSpec, TrainingOptions};
use deepid2::ops::Signal;
use deepid2::tape::Store;
use deepid2::train::step::{StepSettings, TrainingStep};
use safetensors::SafeTensors;

const FIXTURE: &[u8] = include_bytes!("../fixtures/training_20_steps/fixture.safetensors");
const BATCH: usize = 8;

fn floats(file: &SafeTensors, name: &str) -> Vec<f32> {
    let (values, _) = file.tensor(name).unwrap().data().as_chunks::<4>();
    values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn integers(file: &SafeTensors, name: &str) -> Vec<usize> {
    let (values, _) = file.tensor(name).unwrap().data().as_chunks::<4>();
    values.iter().map(|bytes| i32::from_le_bytes(*bytes) as usize).collect()
}

fn assert_relative(what: &str, found: f32, expected: f32, tolerance: f32) {
    let error = (found - expected).abs();
    assert!(error <= tolerance * expected.abs(), "{what}: found {found}, expected {expected}");
}

#[test]
fn twenty_steps_follow_pytorch() {
    let file = SafeTensors::deserialize(FIXTURE).unwrap();
    let gpu = Gpu::open(&GpuOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    let spec = NetSpec { height: 39, width: 31, widths: [4, 6, 8, 10], embedding: 16, ..NetSpec::paper(7) };
    let mut store = Store::new();
    for parameter in tensors_of(&spec) {
        let name = if parameter.name == "mean" { "mean".into() } else { format!("initial/{}", parameter.name) };
        let values = floats(&file, &name);
        store.write(&gpu, parameter.name, &parameter.device_type(), &parameter.pad(&values)).unwrap();
    }
    let options = TrainingOptions {
        images: BATCH,
        margin: 0,
        signal: Signal::L2,
        momentum: 0.9,
        weight_decay: 5e-4,
        rate_scales: vec![],
    };
    let mut step = TrainingStep::new(&gpu, &spec, &options, &mut store).unwrap();

    let pictures = file.tensor("pictures").unwrap();
    let picture_bytes = 39 * 31 * 3;
    let (batches, labels) = (integers(&file, "batches"), integers(&file, "labels"));
    let [rates, lambdas, margins] = ["learning_rate", "lambda", "margin"].map(|name| floats(&file, name));
    let [identification, verification, total] =
        ["losses/identification", "losses/verification", "losses/total"].map(|name| floats(&file, name));
    let distances = floats(&file, "distances");
    for at in 0..rates.len() {
        let chosen = &batches[at * BATCH..(at + 1) * BATCH];
        let batch = Batch {
            step: at as u64,
            labels: labels[at * BATCH..(at + 1) * BATCH].iter().map(|label| *label as u32).collect(),
            augment: vec![Augment::NONE; BATCH],
            images: chosen
                .iter()
                .flat_map(|picture| &pictures.data()[picture * picture_bytes..(picture + 1) * picture_bytes])
                .copied()
                .collect(),
            ..Batch::default()
        };
        let settings = StepSettings {
            learning_rate: rates[at],
            identification_weight: 1.0,
            verification_weight: lambdas[at],
            margin: margins[at],
        };
        assert_eq!(step.submit(&batch, &settings).unwrap(), None);
        let result = step.take().unwrap().unwrap();
        assert_relative(&format!("identification loss of step {at}"), result.identification, identification[at], 1e-4);
        assert_relative(&format!("verification loss of step {at}"), result.verification, verification[at], 1e-4);
        assert_relative(&format!("loss of step {at}"), result.loss, total[at], 1e-4);
        for (pair, (distance, same)) in result.distances.iter().enumerate() {
            assert_relative(
                &format!("distance {pair} of step {at}"),
                *distance,
                distances[at * BATCH / 2 + pair],
                1e-4,
            );
            assert_eq!(*same, pair < 2);
        }
    }

    for parameter in tensors_of(&spec).iter().filter(|parameter| parameter.name != "mean") {
        let found = parameter.strip(&store.read(&gpu, parameter.name).unwrap().unwrap());
        let expected = floats(&file, &format!("final/{}", parameter.name));
        let largest = expected.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let error = (found - expected).abs();
            assert!(error <= 1e-4 * largest, "{} [{index}]: found {found}, expected {expected}", parameter.name);
        }
    }
}
