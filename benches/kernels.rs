//! `cargo bench`: the device time of every operation of the paper's network, with criterion's statistics.
//!
//! `cargo bench -- conv_pool` measures those whose name contains `conv_pool`. By default the shapes are those of batch
//! 64; DEEPID2_BENCH_SHAPES=all adds batches 128 and 256 and other networks, as `deepid2 bench kernels` has them, and
//! takes several minutes. DEEPID2_ADAPTER chooses the adapter, as `--adapter` does.

use criterion::{Criterion, SamplingMode};
use deepid2::bench::Error;
use deepid2::bench::kernels::{Shapes, cases};
use deepid2::gpu::{Gpu, GpuOptions};
use deepid2::tape::StepProfile;
use std::time::Duration;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .configure_from_args();
    let adapter = std::env::var("DEEPID2_ADAPTER").ok();
    let gpu = Gpu::open(&GpuOptions { adapter, ..GpuOptions::default() }).unwrap_or_else(|error| panic!("{error}"));
    let mut shapes = vec![Shapes::paper(64)];
    if std::env::var("DEEPID2_BENCH_SHAPES").is_ok_and(|wanted| wanted == "all") {
        shapes.extend([128, 256].map(Shapes::paper));
        shapes.extend(Shapes::others());
    }
    for case in cases(&shapes).unwrap_or_else(|error| panic!("{error}")) {
        let mut group = criterion.benchmark_group(&case.network);
        group.sampling_mode(SamplingMode::Flat);
        // Compiled only where criterion's filter wants the case.
        let mut compiled = None;
        group.bench_function(&case.name, |bencher| {
            let kernel = compiled
                .get_or_insert_with(|| case.compile(&gpu).unwrap_or_else(|error| panic!("{}: {error}", case.name)));
            bencher.iter_custom(|runs| (0..runs).map(|_| device_time(&kernel.run())).sum());
        });
    }
    criterion.final_summary();
}

/// What the device's timestamps say of all dispatches of one run.
fn device_time(run: &Result<Option<Vec<StepProfile>>, Error>) -> Duration {
    match run {
        Ok(Some(dispatches)) => {
            Duration::from_secs_f64(dispatches.iter().map(|dispatch| dispatch.milliseconds).sum::<f64>() * 1e-3)
        }
        Ok(None) => panic!("this adapter has no timestamps; choose another with DEEPID2_ADAPTER"),
        Err(error) => panic!("{error}"),
    }
}
