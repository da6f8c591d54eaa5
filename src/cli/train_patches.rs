//! `deepid2 train --patches` and `deepid2 collect`.

use super::percent;
use super::screen::Screen;
use anyhow::Result;
use clap::Args;
use deepid2::face::patches::{Patch, parse_list};
use deepid2::gpu::Gpu;
use deepid2::pipeline::listener::{Listener, Silent};
use deepid2::pipeline::patch_nets::{Collected, PatchNets, Task, collect, list_of};
use deepid2::pipeline::processes::Processes;
use deepid2::train::interrupt::{self, Interrupt};
use deepid2::train::{Session, TrainConfig};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Patches in rising order, as clap takes them.
#[derive(Debug, Clone)]
pub struct PatchList(pub Vec<Patch>);

/// Parses `0-24,30`.
pub fn patch_list(text: &str) -> Result<PatchList, deepid2::face::patches::Error> {
    parse_list(text).map(PatchList)
}

/// The task that the flags or the variables of a job array name.
pub fn task(index: Option<usize>, count: Option<usize>) -> Result<Task> {
    Ok(Task::choose(index, count, &|name| std::env::var(name).ok())?)
}

/// What is trained by `train --patches`.
pub struct PatchTraining<'a> {
    pub base: TrainConfig,
    pub patches: &'a [Patch],
    pub task: Task,
    pub out: &'a Path,
    /// Networks at once; by default as many as suit the adapter.
    pub at_once: Option<usize>,
    pub processes: Processes,
    pub quiet: bool,
}

/// Networks at once on a graphics card, where one alone leaves most of it idle. On a processor more than one only cost
/// memory.
const AT_ONCE_ON_HARDWARE: usize = 8;

/// Trains the networks of a task.
pub fn run(training: PatchTraining, gpu: &Gpu, interrupt: &Interrupt) -> Result<ExitCode> {
    let PatchTraining { base, patches, task, out, at_once, processes, quiet } = training;
    let share = task.share(patches);
    if !quiet && task.count > 1 {
        eprintln!("task {} of {}: patches {}", task.index, task.count, list_of(&share));
    }
    let at_once = at_once.unwrap_or_else(|| default_at_once(gpu));
    let nets = PatchNets { base, patches: share.clone(), out: out.into(), at_once };
    let session = Session { gpu, interrupt, quiet, processes: 1 };
    let screen = Screen::new();
    let listener: &dyn Listener = if quiet { &Silent } else { &screen };
    let trained = nets.train(&session, &processes, listener)?;
    screen.clear();
    super::end_quietly_on_closed_pipes();
    let done = trained.before + trained.now.len();
    println!("{done} of {} networks are done, {} of them now; {}", share.len(), trained.now.len(), out.display());
    if trained.finished {
        return Ok(ExitCode::SUCCESS);
    }
    println!("stopped; the same command goes on");
    Ok(ExitCode::from(interrupt::EXIT_STATUS as u8))
}

/// Networks that are trained at once where the user does not say.
pub fn default_at_once(gpu: &Gpu) -> usize {
    if gpu.info().device_type == wgpu::DeviceType::Cpu { 1 } else { AT_ONCE_ON_HARDWARE }
}

#[derive(Debug, Args)]
pub struct CollectArgs {
    /// Folder of networks that `deepid2 train --patches` made
    nets: PathBuf,
    /// Patches to look for, such as 0-24,30
    #[arg(long, value_name = "LIST", default_value = "0-199", value_parser = patch_list)]
    patches: PatchList,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Says which networks are there; ends with status 1 where some are missing.
pub fn run_collect(args: &CollectArgs) -> Result<ExitCode> {
    let Collected { done, interrupted, missing } = collect(&args.nets, args.patches.0.iter().copied())?;
    let complete = interrupted.is_empty() && missing.is_empty();
    if args.json {
        let numbers = |patches: &[Patch]| patches.iter().map(|patch| patch.index()).collect::<Vec<_>>();
        let done: Vec<_> = done
            .iter()
            .map(|(patch, done)| serde_json::json!({ "patch": patch.index(), "name": done.patch, "steps": done.steps, "accuracy": done.accuracy }))
            .collect();
        println!(
            "{}",
            serde_json::json!({ "done": done, "interrupted": numbers(&interrupted), "missing": numbers(&missing) })
        );
    } else {
        for (patch, done) in &done {
            let accuracy = done.accuracy.map_or_else(|| "not validated".into(), |a| format!("held out {}", percent(a)));
            println!("{:>3}  {:<22} {:>7} steps  {accuracy}", patch.index(), done.patch, done.steps);
        }
        println!("{} of {} networks are done", done.len(), args.patches.0.len());
        for (what, patches) in [("interrupted", &interrupted), ("missing", &missing)] {
            if !patches.is_empty() {
                println!("{what}: {}; train them with --patches {}", patches.len(), list_of(patches));
            }
        }
    }
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
