//! `deepid2 bench ceiling`: what the adapter gives loops that do one thing only.

use super::record::{Measured, Record, Stamp};
use anyhow::{Result, bail};
use clap::Args;
use deepid2::bench::Ceilings;
use deepid2::gpu::Gpu;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct CeilingArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Measures and prints.
pub fn run(args: &CeilingArgs, gpu: &Gpu) -> Result<ExitCode> {
    let Some(ceilings) = Ceilings::measure(gpu)? else {
        bail!(
            "{} has no timestamps, without which its ceilings cannot be measured; choose another adapter with --adapter",
            gpu.info().name
        )
    };
    let stamp = Stamp::now(gpu);
    if args.json {
        Record { stamp, result: Measured::Ceiling(ceilings) }.print()?;
    } else {
        println!("{}, {}; {}", stamp.adapter, stamp.driver, stamp.machine);
        println!("multiply-add loop: {:.1} GFLOP/s ({} vectors of sums)", ceilings.gflops, ceilings.chains);
        println!("copy loop: {:.2} GB/s read and written", ceilings.gbytes);
    }
    Ok(ExitCode::SUCCESS)
}
