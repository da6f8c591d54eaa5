//! `deepid2 bench`: a training step on random pictures, timed kernel by kernel.

use anyhow::Result;
use clap::Args;
use deepid2::data::augment::Augment;
use deepid2::data::crop::CropSpec;
use deepid2::data::loader::Batch;
use deepid2::gpu::Gpu;
use deepid2::model::extractor::write_parameters;
use deepid2::model::{Model, file::tensors_of};
use deepid2::net::{NetSpec, TrainingOptions, initial_values};
use deepid2::ops::Signal;
use deepid2::tape::{StepProfile, Store};
use deepid2::train::step::{StepSettings, TrainingStep};
use std::process::ExitCode;
use std::time::Instant;

/// Margin of the stored pictures, as in training.
const MARGIN: u32 = 3;
/// Steps before the clock starts: pipelines are compiled, caches are warm.
const WARM_UP_STEPS: usize = 3;

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Pictures a step
    #[arg(long, allow_negative_numbers = true, default_value_t = 128, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    batch: u32,
    /// Classes of the softmax
    #[arg(long, allow_negative_numbers = true, default_value_t = 8192)]
    identities: usize,
    /// Timed repeats
    #[arg(long, allow_negative_numbers = true, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeats: u32,
    /// Steps in one repeat
    #[arg(long, allow_negative_numbers = true, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    steps: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Times steps, then every dispatch of one.
pub fn run(args: &BenchArgs, gpu: &Gpu) -> Result<ExitCode> {
    let spec = NetSpec::paper(args.identities);
    let batch = args.batch as usize;
    spec.check()?;
    let options = TrainingOptions {
        images: batch,
        margin: MARGIN as usize,
        signal: Signal::L2,
        momentum: 0.9,
        weight_decay: 5e-4,
        rate_scales: vec![],
    };
    let mut store = Store::new();
    write_parameters(gpu, &untrained(&spec), &mut store, 0)?;
    let started = Instant::now();
    let mut step = TrainingStep::new(gpu, &spec, &options, &mut store)?;
    let compile_seconds = started.elapsed().as_secs_f64();
    let batch_data = random_batch(&spec, batch);
    // The rate is tiny: the same pictures again and again must not end in numbers that are slow to compute with.
    let settings =
        StepSettings { learning_rate: 1e-5, identification_weight: 1.0, verification_weight: 0.05, margin: 1.0 };
    let mut run_steps = |count: usize| -> Result<f64> {
        let started = Instant::now();
        for _ in 0..count {
            step.submit(&batch_data, &settings)?;
        }
        while step.take()?.is_some() {}
        Ok((count * batch) as f64 / started.elapsed().as_secs_f64())
    };
    run_steps(WARM_UP_STEPS)?;
    let mut speeds = (0..args.repeats).map(|_| run_steps(args.steps as usize)).collect::<Result<Vec<f64>>>()?;
    speeds.sort_by(f64::total_cmp);
    let profile = step.profile()?;
    let memory = step.memory();
    let [median, best] = [speeds[speeds.len() / 2], speeds[speeds.len() - 1]];
    if args.json {
        let kernels: Vec<_> = profile.iter().flatten().map(kernel_json).collect();
        println!(
            "{}",
            serde_json::json!({
                "adapter": gpu.info().name,
                "driver": gpu.info().driver_info,
                "batch": batch,
                "slices": step.slices().count(),
                "identities": args.identities,
                "images_per_s_median": median,
                "images_per_s_best": best,
                "compile_seconds": compile_seconds,
                "dispatches": step.dispatches(),
                "bytes": { "parameters": memory.parameters, "activations": memory.activations, "staging": memory.staging },
                "kernels": kernels,
            })
        );
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} ({:?}, {})", gpu.info().name, gpu.info().backend, gpu.info().driver_info);
    println!(
        "training step, batch {batch}, {} identities, RGB 55×47: {median:.0} images/s (median of {}; best {best:.0}); {} dispatches, pipelines and memory ready in {compile_seconds:.1} s",
        args.identities,
        args.repeats,
        step.dispatches()
    );
    if step.slices().count() > 1 {
        println!("{}", step.slices());
    }
    println!(
        "GPU memory: parameters {:.1} MB, activations {:.1} MB ({:.1} MB without sharing; {:.0} KB an image), staging {:.1} MB",
        memory.parameters as f64 / 1e6,
        memory.activations as f64 / 1e6,
        memory.unshared_activations as f64 / 1e6,
        memory.activations as f64 / 1e3 / batch as f64,
        memory.staging as f64 / 1e6
    );
    match profile {
        Some(profile) => print_table(&profile),
        None => println!("this adapter has no timestamps: no times by kernel"),
    }
    Ok(ExitCode::SUCCESS)
}

fn untrained(spec: &NetSpec) -> Model {
    Model {
        spec: spec.clone(),
        crop: CropSpec::default(),
        mirror: false,
        threshold: None,
        trained_on: "nothing".into(),
        parameters: tensors_of(spec).iter().map(|p| (p.name.to_string(), initial_values(p, 1))).collect(),
    }
}

fn random_batch(spec: &NetSpec, batch: usize) -> Batch {
    let crop = CropSpec { margin: MARGIN, ..CropSpec::default() };
    let bytes = batch * crop.stored_bytes();
    let labels = (0..batch as u32).map(|n| n % (batch as u32 / 2).max(1) % spec.identities as u32).collect();
    Batch {
        step: 0,
        indices: vec![0; batch],
        labels,
        augment: vec![Augment::NONE; batch],
        images: (0..bytes as u64).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect(),
        used: batch,
        same_pairs: batch / 2,
    }
}

fn kernel_json(step: &StepProfile) -> serde_json::Value {
    serde_json::json!({
        "kernel": step.label, "milliseconds": step.milliseconds, "flops": step.flops, "bytes": step.bytes
    })
}

fn print_table(profile: &[StepProfile]) {
    let total: f64 = profile.iter().map(|step| step.milliseconds).sum();
    let mut sorted: Vec<&StepProfile> = profile.iter().collect();
    sorted.sort_by(|a, b| b.milliseconds.total_cmp(&a.milliseconds));
    println!(
        "{:<72} {:>9} {:>7} {:>9} {:>7}",
        "operation, shape of the result (kernel:entry)", "ms", "share", "GFLOP/s", "GB/s"
    );
    for step in sorted {
        // Nanoseconds and operations: the quotient is in thousands of millions a second.
        let nanoseconds = step.milliseconds * 1e6;
        println!(
            "{:<72} {:>9.3} {:>6.1}% {:>9.1} {:>7.2}",
            step.label,
            step.milliseconds,
            100.0 * step.milliseconds / total,
            step.flops as f64 / nanoseconds,
            step.bytes as f64 / nanoseconds
        );
    }
    println!("{:<72} {total:>9.3}", "all dispatches");
}
