//! `cargo bench --bench verification`: what follows the networks, on random data of the paper's sizes.
//!
//! `-- joint_bayesian` measures those whose name contains it. All of it takes some minutes on 2 cores.

use criterion::{BatchSize, Criterion, SamplingMode, criterion_group, criterion_main};
use deepid2::data::pairs::Pair;
use deepid2::select::foba::{self, Trace};
use deepid2::select::groups::select_groups;
use deepid2::select::risk::{Risk, Settings, Task, VectorSlice};
use deepid2::verify::joint_bayesian::{self, JointBayesian};
use deepid2::verify::pca::Pca;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::hint::black_box;
use std::time::Duration;

/// Rows of `people` with `images` each: a person's traits, of falling variance, and noise.
fn faces(people: usize, images: usize, dimension: usize, seed: u64) -> (Vec<f32>, Vec<u32>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let scale: Vec<f32> = (0..dimension).map(|i| 1.0 / (1.0 + i as f32 / 40.0)).collect();
    let mut rows = Vec::with_capacity(people * images * dimension);
    for _ in 0..people {
        let traits: Vec<f32> = scale.iter().map(|scale| scale * rng.random_range(-1.0..1.0f32)).collect();
        for _ in 0..images {
            rows.extend(traits.iter().map(|value| value + 0.5 * rng.random_range(-1.0..1.0f32)));
        }
    }
    let labels = (0..people as u32).flat_map(|person| std::iter::repeat_n(person, images)).collect();
    (rows, labels)
}

fn joint_bayesian(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("joint_bayesian");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_millis(100));
    // Generated only where criterion's filter wants one of them.
    let mut given = None;
    let mut data = || given.get_or_insert_with(|| faces(10_000, 20, 180, 1)).clone();
    let settings = joint_bayesian::Settings { tolerance: 0.0, iterations: 50, ..Default::default() };
    group.bench_function("50 iterations, 10,000 people × 20 images × 180", |bencher| {
        let (rows, labels) = data();
        bencher.iter(|| JointBayesian::fit(&rows, &labels, 180, &settings, &mut |_| {}).expect("regular data"));
    });
    group.bench_function("prepare 13,233 rows", |bencher| {
        let (model, rows) = small_model();
        bencher.iter(|| model.prepare(black_box(&rows)).expect("whole rows"));
    });
    group.bench_function("1,000,000 pairs", |bencher| {
        let (model, rows) = small_model();
        let prepared = model.prepare(&rows).expect("whole rows");
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let pairs: Vec<(u32, u32)> =
            (0..1_000_000).map(|_| (rng.random_range(0..13_233), rng.random_range(0..13_233))).collect();
        bencher.iter(|| prepared.llr_of_pairs(black_box(&pairs)).expect("rows that exist"));
    });
    group.finish();
}

/// A model of 180 dimensions, and as many rows as LFW has pictures.
fn small_model() -> (JointBayesian, Vec<f32>) {
    let (rows, labels) = faces(4_411, 3, 180, 3);
    let settings = joint_bayesian::Settings { iterations: 3, ..Default::default() };
    (JointBayesian::fit(&rows, &labels, 180, &settings, &mut |_| {}).expect("regular data"), rows)
}

fn pca(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pca");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_millis(100));
    for people in [180, 250] {
        let images = people * 20;
        group.bench_function(format!("180 components of {images} × 4,000"), |bencher| {
            let (rows, _) = faces(people, 20, 4_000, 4);
            bencher.iter(|| Pca::fit(black_box(&rows), 4_000, 180).expect("regular data"));
        });
    }
    group.finish();
}

/// 400 vectors of 160 values, 3,600 training faces, 6,000 pairs of other people.
fn selection(criterion: &mut Criterion) {
    const VECTORS: usize = 400;
    const DIMENSION: usize = 160;
    let (people, images) = (240, 20);
    let mut group = criterion.benchmark_group("selection");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_millis(1));
    let faces_in_all = people * images;
    let make = || -> Vec<f32> {
        // Ten traits a vector of the sixty that tell people apart; the noise differs from vector to vector.
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let traits: Vec<f32> = (0..60 * people).map(|_| rng.random_range(-1.0..1.0)).collect();
        let mut values = Vec::with_capacity(VECTORS * faces_in_all * DIMENSION);
        for _ in 0..VECTORS {
            let (shown, noise): (Vec<usize>, f32) =
                ((0..10).map(|_| rng.random_range(0..60)).collect(), rng.random_range(2.0..6.0));
            let mixing: Vec<f32> = (0..10 * DIMENSION).map(|_| rng.random_range(-1.0..1.0)).collect();
            for face in 0..faces_in_all {
                let own = &traits[face / images * 60..][..60];
                values.extend(mixing.chunks_exact(10).map(|mix| {
                    let signal: f32 = mix.iter().zip(&shown).map(|(mix, &trait_)| mix * own[trait_]).sum();
                    signal + noise * rng.random_range(-1.0..1.0f32)
                }));
            }
        }
        values
    };
    let mut given = None;
    let train: Vec<u32> = (0..3_600).collect();
    let labels: Vec<u32> = train.iter().map(|face| face / images as u32).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let pairs: Vec<Pair> = (0..6_000)
        .map(|number| {
            let (a, other) = (rng.random_range(180..240u32), 180 + rng.random_range(0..60u32));
            let same = number % 2 == 0;
            let b = if same {
                a
            } else if other == a {
                180 + (a - 179) % 60
            } else {
                other
            };
            Pair { a: 20 * a + rng.random_range(0..10), b: 20 * b + rng.random_range(10..20), same, fold: 0 }
        })
        .collect();
    let task = Task { train: &train, labels: &labels, pairs: &pairs };
    let settings = Settings::default();
    group.bench_function("prepare 400 vectors, 3,600 faces, 6,000 pairs", |bencher| {
        let values = given.get_or_insert_with(make);
        let vectors = VectorSlice { values, faces: faces_in_all, dimension: DIMENSION };
        bencher.iter(|| Risk::prepare(&vectors, &task, &settings, &|_| true).map(|_| ()).expect("regular data"));
    });
    for size in [8, 25] {
        group.bench_function(format!("{size} of 400"), |bencher| {
            let values = given.get_or_insert_with(make);
            let vectors = VectorSlice { values, faces: faces_in_all, dimension: DIMENSION };
            let risk = Risk::prepare(&vectors, &task, &settings, &|_| true).expect("regular data");
            let foba = foba::Settings { size, ..Default::default() };
            let select = |traces: Vec<Trace>| {
                risk.with_objective(&|| true, |objective| {
                    select_groups(VECTORS, &[], 1, &foba, objective, traces, &mut |_| Ok(())).expect("regular data")
                })
            };
            bencher.iter_batched(Vec::new, select, BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, joint_bayesian, pca, selection);
criterion_main!(benches);
