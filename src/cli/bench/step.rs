//! `deepid2 bench step`: whole steps, timed as a whole and dispatch by dispatch.

use super::record::{Bytes, KernelRecord, Measured, Record, Spread, Stamp, StepRecord, Work};
use anyhow::Result;
use clap::Args;
use deepid2::bench::{Ceilings, Replay, Run};
use deepid2::gpu::Gpu;
use deepid2::net::NetSpec;
use std::process::ExitCode;
use std::time::Instant;

/// Steps before the clock starts: pipelines are compiled, caches are warm.
pub const WARM_UP_STEPS: usize = 3;
/// Steps with timestamps around each dispatch; the shortest time of each counts.
const PROFILES: usize = 3;

#[derive(Debug, Args)]
pub struct StepArgs {
    /// Pictures a step; several, as in 64,128,256, for a row each
    #[arg(long, allow_negative_numbers = true, value_delimiter = ',', default_value = "128", value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    batch: Vec<u32>,
    /// Classes of the softmax; several for a row each
    #[arg(long, allow_negative_numbers = true, value_delimiter = ',', default_value = "8192")]
    identities: Vec<usize>,
    /// Extract DeepID2 vectors instead of training
    #[arg(long)]
    forward_only: bool,
    /// Networks trained at once, each with a batch of its own; several for a row each
    #[arg(long, allow_negative_numbers = true, value_delimiter = ',', default_value = "1", conflicts_with = "forward_only", value_parser = clap::value_parser!(u32).range(1..=1000))]
    nets: Vec<u32>,
    /// Timed repeats
    #[arg(long, allow_negative_numbers = true, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeats: u32,
    /// Steps in one repeat
    #[arg(long, allow_negative_numbers = true, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    steps: u32,
    /// Do not measure the adapter's ceilings
    #[arg(long)]
    no_ceiling: bool,
    /// Print one JSON object for each row
    #[arg(long)]
    json: bool,
}

/// One size of step under measurement.
struct Subject {
    work: Work,
    replay: Replay,
    compile_seconds: f64,
    runs: Vec<Run>,
}

/// Measures each combination of batch and identities. The repeats of all go round in turn, so that a machine which
/// slows down slows all of them.
pub fn run(args: &StepArgs, gpu: &Gpu) -> Result<ExitCode> {
    let stamp = Stamp::now(gpu);
    let mut subjects = Vec::new();
    for work in works(args) {
        let started = Instant::now();
        let mut replay = compile(gpu, &work)?;
        let compile_seconds = started.elapsed().as_secs_f64();
        replay.run(WARM_UP_STEPS)?;
        subjects.push(Subject { work, replay, compile_seconds, runs: Vec::new() });
    }
    for _ in 0..args.repeats {
        for subject in &mut subjects {
            subject.runs.push(subject.replay.run(args.steps as usize)?);
        }
    }
    let ceilings = if args.no_ceiling { None } else { Ceilings::measure(gpu)? };
    let rows = subjects.into_iter().map(|subject| subject.summary(ceilings)).collect::<Result<Vec<_>>>()?;
    if args.json {
        for row in rows {
            Record { stamp: stamp.clone(), result: Measured::Step(row) }.print()?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}, {}; {}", stamp.adapter, stamp.driver, stamp.machine);
    rows.iter().for_each(print_row);
    if let [row] = rows.as_slice() {
        print_kernels(row);
    }
    print_linearity(&rows);
    Ok(ExitCode::SUCCESS)
}

/// Each combination of batch, identities and nets.
fn works(args: &StepArgs) -> Vec<Work> {
    // An extractor has no softmax.
    let identities = if args.forward_only { &args.identities[..1] } else { &args.identities };
    let mut works = Vec::new();
    for batch in &args.batch {
        for identities in identities {
            works.extend(args.nets.iter().map(|nets| Work {
                batch: *batch as usize,
                identities: *identities,
                forward_only: args.forward_only,
                nets: *nets as usize,
            }));
        }
    }
    works
}

/// The step that `work` describes, compiled.
pub fn compile(gpu: &Gpu, work: &Work) -> Result<Replay> {
    let spec = NetSpec::paper(work.identities);
    Ok(if work.forward_only {
        Replay::extraction(gpu, &spec, work.batch)?
    } else {
        Replay::training(gpu, &spec, work.batch, work.nets)?
    })
}

impl Subject {
    fn summary(self, ceilings: Option<Ceilings>) -> Result<StepRecord> {
        let Self { work, replay, compile_seconds, runs } = self;
        let kernels = replay.profile(PROFILES)?.unwrap_or_default();
        let memory = replay.memory();
        let of = |value: &dyn Fn(&Run) -> f64| Spread::of(runs.iter().map(value).collect());
        let median = |value: &dyn Fn(&Run) -> f64| of(value).map_or(f64::NAN, |spread| spread.median);
        let idle: Option<Vec<f64>> = runs.iter().map(Run::idle_share).collect();
        Ok(StepRecord {
            work,
            images_per_s_median: median(&Run::images_per_second),
            images_per_s_best: of(&Run::images_per_second).map_or(f64::NAN, |spread| spread.most),
            compile_seconds,
            dispatches: replay.dispatches(),
            slices: replay.slices(),
            host_ms_a_step: median(&|run| 1e3 * run.host_seconds / run.steps as f64),
            submitting_ms_a_step: median(&|run| 1e3 * run.submitting_seconds / run.steps as f64),
            waiting_ms_a_step: median(&|run| 1e3 * run.waiting_seconds() / run.steps as f64),
            device_idle_share: idle.and_then(Spread::of).map(|spread| spread.median),
            bytes: Bytes { parameters: memory.parameters, activations: memory.activations, staging: memory.staging },
            ceilings,
            kernels: kernels.iter().map(KernelRecord::from).collect(),
        })
    }
}

fn print_row(row: &StepRecord) {
    let StepRecord { work, bytes, .. } = row;
    println!(
        "{}: {:.0} images/s (best {:.0}); {} dispatches, compiled in {:.1} s",
        work.describe(),
        row.images_per_s_median,
        row.images_per_s_best,
        row.dispatches,
        row.compile_seconds
    );
    if row.slices > 1 {
        println!("  in {} slices, because the adapter does not take the batch whole", row.slices);
    }
    let idle = match row.device_idle_share {
        Some(share) => format!("the device was idle for {:.2} % of the time", 100.0 * share),
        None => "idle time unknown (it takes two steps, and timestamps between passes)".into(),
    };
    println!(
        "  host: {:.2} ms a step to upload and encode, {:.2} ms inside submission, {:.2} ms waiting for results; {idle}",
        row.host_ms_a_step, row.submitting_ms_a_step, row.waiting_ms_a_step
    );
    println!(
        "  GPU memory: {:.1} MB at the peak: parameters {:.1}, activations {:.1} ({:.0} KB an image), staging {:.1}",
        bytes.total() as f64 / 1e6,
        bytes.parameters as f64 / 1e6,
        bytes.activations as f64 / 1e6,
        bytes.activations as f64 / 1e3 / work.images() as f64,
        bytes.staging as f64 / 1e6
    );
}

fn print_kernels(row: &StepRecord) {
    if row.kernels.is_empty() {
        println!("this adapter has no timestamps: no times by kernel, no ceilings");
        return;
    }
    if let Some(ceilings) = &row.ceilings {
        println!("  ceilings: {:.1} GFLOP/s, {:.2} GB/s", ceilings.gflops, ceilings.gbytes);
    }
    let total: f64 = row.kernels.iter().map(|kernel| kernel.milliseconds).sum();
    let mut sorted: Vec<&KernelRecord> = row.kernels.iter().collect();
    sorted.sort_by(|a, b| b.milliseconds.total_cmp(&a.milliseconds));
    println!(
        "{:<72} {:>9} {:>7} {:>9} {:>7}  of the ceiling",
        "operation, shape of the result (kernel:entry)", "ms", "share", "GFLOP/s", "GB/s"
    );
    for kernel in sorted {
        println!(
            "{:<72} {:>9.3} {:>6.1}% {:>9.1} {:>7.2}  {}",
            kernel.kernel,
            kernel.milliseconds,
            100.0 * kernel.milliseconds / total,
            kernel.gflops(),
            kernel.gbytes(),
            row.ceilings.as_ref().map(|ceilings| kernel.share_of(ceilings)).unwrap_or_default()
        );
    }
    println!("{:<72} {total:>9.3}", "all dispatches");
}

/// How far cost is from growing linearly: with the batch or the nets, images/s stay; with identities, the time of an
/// image lies on a line.
fn print_linearity(rows: &[StepRecord]) {
    for (at, row) in rows.iter().enumerate() {
        // Rows that differ from this one, the first of them, in one number only.
        let others = |same: &dyn Fn(&Work) -> bool| -> Vec<&StepRecord> {
            let first = rows.iter().position(|other| same(&other.work)) == Some(at);
            if first { rows.iter().filter(|other| same(&other.work)).collect() } else { Vec::new() }
        };
        let Work { batch, identities, nets, .. } = row.work;
        let with_nets = if nets > 1 { format!("{nets} nets, batch") } else { "batch".into() };
        print_speeds(&with_nets, &others(&|work| work.identities == identities && work.nets == nets), |work| {
            work.batch
        });
        print_speeds(
            &format!("batch {batch}, nets"),
            &others(&|work| work.identities == identities && work.batch == batch),
            |work| work.nets,
        );
        let people = others(&|work| work.batch == batch && work.nets == nets);
        let points: Vec<[f64; 2]> =
            people.iter().map(|row| [row.work.identities as f64, 1e6 / row.images_per_s_median]).collect();
        if let Some(line) = Line::through(&points).filter(|_| points.len() > 2) {
            println!(
                "batch {batch}: an image takes {:.0} µs + {:.1} µs for each 1,000 identities; at most {:.1} % off that line",
                line.at_zero,
                1e3 * line.slope,
                100.0 * line.worst
            );
        }
    }
}

/// Speeds relative to that of the first row.
fn print_speeds(what: &str, rows: &[&StepRecord], size: fn(&Work) -> usize) {
    if let [first, .., last] = rows {
        let relative = rows.iter().map(|row| row.images_per_s_median / first.images_per_s_median).collect();
        if let Some(Spread { least, most, .. }) = Spread::of(relative) {
            let from = size(&first.work);
            println!(
                "{what} {from} to {}: images/s from {least:.2} to {most:.2} of those of {what} {from}",
                size(&last.work)
            );
        }
    }
}

/// Least-squares line.
struct Line {
    at_zero: f64,
    slope: f64,
    /// Largest distance of a point from the line, as a share of the point.
    worst: f64,
}

impl Line {
    /// Through `[x, y]` points; `None` where all x are one.
    fn through(points: &[[f64; 2]]) -> Option<Self> {
        let count = points.len() as f64;
        let mean = |axis: usize| points.iter().map(|point| point[axis]).sum::<f64>() / count;
        let (x, y) = (mean(0), mean(1));
        let spread: f64 = points.iter().map(|point| (point[0] - x).powi(2)).sum();
        let slope = points.iter().map(|point| (point[0] - x) * (point[1] - y)).sum::<f64>() / spread;
        let at_zero = y - slope * x;
        let off = |point: &[f64; 2]| (at_zero + slope * point[0] - point[1]).abs() / point[1];
        let worst = points.iter().map(off).fold(0.0, f64::max);
        (spread > 0.0).then_some(Self { at_zero, slope, worst })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_through_points_and_name_the_worst() {
        let line = Line::through(&[[0.0, 1.0], [1.0, 3.0], [2.0, 5.0]]).unwrap();
        assert_eq!((line.at_zero, line.slope, line.worst), (1.0, 2.0, 0.0));
        let bent = Line::through(&[[0.0, 3.0], [1.0, 6.0], [2.0, 3.0]]).unwrap();
        assert_eq!((bent.at_zero, bent.slope), (4.0, 0.0));
        assert!((bent.worst - 1.0 / 3.0).abs() < 1e-12);
        assert!(Line::through(&[[1.0, 1.0], [1.0, 2.0]]).is_none());
    }
}
