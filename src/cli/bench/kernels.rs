//! `deepid2 bench kernels`: every operation of the networks by itself.

use super::record::{KernelRecord, KernelRow, KernelsRecord, Measured, Record, Stamp};
use anyhow::{Result, bail};
use clap::Args;
use deepid2::bench::Ceilings;
use deepid2::bench::kernels::{Shapes, cases};
use deepid2::gpu::Gpu;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct KernelsArgs {
    /// Batches of the paper's network
    #[arg(long, allow_negative_numbers = true, value_delimiter = ',', default_value = "64,128,256", value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    batch: Vec<u32>,
    /// Leave out the small, the narrow and the wide network
    #[arg(long)]
    paper_only: bool,
    /// Only operations whose name, shape or network contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Timed runs of each operation; the fastest counts
    #[arg(long, allow_negative_numbers = true, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeats: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Measures each operation and prints a row for each of its dispatches.
pub fn run(args: &KernelsArgs, gpu: &Gpu) -> Result<ExitCode> {
    let mut shapes: Vec<Shapes> = args.batch.iter().map(|batch| Shapes::paper(*batch as usize)).collect();
    if !args.paper_only {
        shapes.extend(Shapes::others());
    }
    let wanted = args.filter.as_deref().unwrap_or_default();
    let mut chosen = cases(&shapes)?;
    chosen.retain(|case| case.name.contains(wanted) || case.network.contains(wanted));
    if chosen.is_empty() {
        bail!("--filter {wanted:?} matches no operation; try conv_pool, sgd or `batch 64`");
    }
    let stamp = Stamp::now(gpu);
    let Some(ceilings) = Ceilings::measure(gpu)? else {
        bail!("{} has no timestamps, so that its kernels cannot be timed; choose another with --adapter", stamp.adapter)
    };
    if !args.json {
        println!("{}, {}; {}", stamp.adapter, stamp.driver, stamp.machine);
        println!("ceilings: {:.1} GFLOP/s, {:.2} GB/s", ceilings.gflops, ceilings.gbytes);
        println!("{:<72} {:>9} {:>9} {:>7}  of the ceiling", "operation, shape of the result", "ms", "GFLOP/s", "GB/s");
    }
    let mut rows = Vec::new();
    let mut network = String::new();
    for case in chosen {
        for profile in case.compile(gpu)?.fastest(args.repeats as usize)?.unwrap_or_default() {
            let kernel = KernelRecord::from(&profile);
            if !args.json {
                if case.network != network {
                    network.clone_from(&case.network);
                    println!("{network}");
                }
                println!(
                    "  {:<70} {:>9.3} {:>9.1} {:>7.2}  {}",
                    kernel.kernel,
                    kernel.milliseconds,
                    kernel.gflops(),
                    kernel.gbytes(),
                    kernel.share_of(&ceilings)
                );
            }
            rows.push(KernelRow { network: case.network.clone(), kernel });
        }
    }
    if args.json {
        let ceilings = Some(ceilings);
        Record { stamp, result: Measured::Kernels(KernelsRecord { ceilings, rows }) }.print()?;
    }
    Ok(ExitCode::SUCCESS)
}
