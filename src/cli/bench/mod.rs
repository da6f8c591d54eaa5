//! `deepid2 bench`: what the engine reaches on this machine's GPU, and beside others.

mod ceiling;
mod compare;
mod kernels;
mod record;
mod report;
mod step;

use anyhow::Result;
use clap::{Args, Subcommand};
use deepid2::gpu::Gpu;
use std::process::ExitCode;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BenchArgs {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    step: step::StepArgs,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Whole steps: speed, time by kernel, host time, idle time and memory (what plain `bench` does)
    Step(step::StepArgs),
    /// Every operation by itself, over a list of shapes
    Kernels(kernels::KernelsArgs),
    /// What the adapter gives a loop that only computes, and one that only copies
    Ceiling(ceiling::CeilingArgs),
    /// The engine in turn with another program that does the same work
    Compare(compare::CompareArgs),
    /// Tables from a folder of JSON results
    Report(report::ReportArgs),
}

/// Runs one of the measurements; `open` opens the adapter where one is needed.
pub fn run(args: &BenchArgs, open: impl FnOnce() -> Result<Gpu>) -> Result<ExitCode> {
    match &args.what {
        None => step::run(&args.step, &open()?),
        Some(What::Step(args)) => step::run(args, &open()?),
        Some(What::Kernels(args)) => kernels::run(args, &open()?),
        Some(What::Ceiling(args)) => ceiling::run(args, &open()?),
        Some(What::Compare(args)) => compare::run(args, &open()?),
        Some(What::Report(args)) => report::run(args),
    }
}
