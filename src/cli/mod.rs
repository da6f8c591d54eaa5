//! Command line: one file a subcommand.

mod align;
mod bench;
mod cluster;
mod dataset;
mod demo;
mod detect;
mod devices;
mod embed;
mod eval;
mod extract;
mod find;
mod fit;
mod info;
mod landmarks;
mod patches;
mod photographs;
mod pipeline;
mod screen;
mod select;
mod synth;
mod train;
mod train_patches;
mod train_worker;
mod verify;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use deepid2::data::crop::{CropScale, CropSpec};
use deepid2::data::cut::Cut;
use deepid2::files::atomic_write;
use deepid2::gpu::{Gpu, GpuOptions, Tiles};
use deepid2::model::Model;
use deepid2::pipeline::processes::Processes;
use image::{ImageFormat, RgbImage};
use std::ffi::OsString;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Side of the square that is taken for the face where none is looked for, as a share of the picture's shorter side.
const FACE_SHARE: f32 = 0.6;

/// Trains DeepID2 face-verification networks on any GPU with handwritten kernels, and verifies faces with them.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
pub struct Cli {
    /// Index or part of the name of the GPU adapter (see `deepid2 devices`); by default the most capable
    #[arg(long, global = true, value_name = "NAME|INDEX")]
    adapter: Option<String>,
    /// Kernels' tiles, `software` or `hardware`; by default those of the adapter's kind
    #[arg(long, global = true, value_name = "KIND")]
    tiles: Option<Tiles>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the GPU adapters of this system
    Devices,
    /// Draw a folder of synthetic faces
    Synth(synth::SynthArgs),
    /// Look for faults in a data set: unreadable pictures, duplicates, people in training and test
    #[command(subcommand)]
    Dataset(dataset::DatasetCommand),
    /// Run all stages from photographs to a bundle and a report, or go on with them
    Pipeline(Box<pipeline::PipelineArgs>),
    /// Find the faces in photographs
    Detect(detect::DetectArgs),
    /// Train, measure and paint the landmarks of faces
    Landmarks(Box<landmarks::LandmarksArgs>),
    /// Bring the faces of photographs to one place
    Align(align::AlignArgs),
    /// List and draw the 200 patches of a face that networks are trained on
    #[command(subcommand)]
    Patches(patches::PatchesCommand),
    /// Train a network on a folder of faces
    Train(Box<train::TrainArgs>),
    /// Train what standard input asks for
    #[command(name = deepid2::pipeline::processes::WORKER, hide = true)]
    TrainWorker,
    /// Say which networks of `train --patches` are there, and which are missing
    Collect(train_patches::CollectArgs),
    /// Write the vectors of aligned faces by the networks of many patches
    Extract(extract::ExtractArgs),
    /// Choose vectors by forward-backward greedy selection
    Select(select::SelectArgs),
    /// Fit PCA, Joint Bayesian, fusion and threshold to chosen vectors
    Fit(Box<fit::FitArgs>),
    /// Put all that verifying photographs needs into one folder
    Bundle(fit::BundleArgs),
    /// Check a bundle and print its model card
    Info(info::InfoArgs),
    /// Find a person in a folder of photographs
    Find(find::FindArgs),
    /// Group the faces of a folder of photographs by person
    Cluster(cluster::ClusterArgs),
    /// Tell whether two pictures show one person
    Verify(verify::VerifyArgs),
    /// Write the embeddings of all pictures of a folder
    Embed(embed::EmbedArgs),
    /// Measure verification accuracy on pairs of pictures
    Eval(eval::EvalArgs),
    /// Time training steps, extraction and kernels on this machine's GPU
    Bench(bench::BenchArgs),
    /// Make faces, train on them and verify people never seen in training
    Demo(demo::DemoArgs),
}

/// Runs a subcommand.
pub fn run(cli: Cli) -> Result<ExitCode> {
    let open =
        || Gpu::open(&GpuOptions { adapter: cli.adapter.clone(), checks: false, tiles: cli.tiles, texels: None });
    let processes = processes(cli.adapter.as_deref(), cli.tiles);
    if !matches!(
        cli.command,
        Command::Train(_)
            | Command::TrainWorker
            | Command::Extract(_)
            | Command::Select(_)
            | Command::Pipeline(_)
            | Command::Demo(_)
            | Command::Align(_)
    ) {
        end_quietly_on_closed_pipes();
    }
    match cli.command {
        Command::Devices => devices::run(cli.tiles),
        Command::Synth(args) => synth::run(&args),
        Command::Dataset(command) => dataset::run(&command),
        Command::Align(args) => align::run(&args),
        Command::Patches(command) => patches::run(&command),
        Command::Train(args) => train::run(&args, open, processes?),
        Command::TrainWorker => train_worker::run(&open()?),
        Command::Pipeline(args) => pipeline::run(&args, open, processes?),
        Command::Collect(args) => train_patches::run_collect(&args),
        Command::Extract(args) => extract::run(&args, open),
        Command::Select(args) => select::run(&args),
        Command::Fit(args) => fit::run(&args),
        Command::Bundle(args) => fit::run_bundle(&args),
        Command::Info(args) => info::run(&args),
        Command::Find(args) => find::run(&args, open),
        Command::Cluster(args) => cluster::run(&args, open),
        Command::Verify(args) => verify::run(&args, open),
        Command::Embed(args) => embed::run(&args, open),
        Command::Eval(args) => eval::run(&args, open),
        Command::Bench(args) => bench::run(&args, || Ok(open()?)),
        Command::Detect(args) => detect::run(&args),
        Command::Landmarks(args) => landmarks::run(&args),
        Command::Demo(args) => demo::run(&args, &open()?, processes?),
    }
}

/// How this program starts itself to train beside itself, on the same adapter.
fn processes(adapter: Option<&str>, tiles: Option<Tiles>) -> Result<Processes> {
    let program = std::env::current_exe().context("the path of this program cannot be found out")?;
    let mut options = Vec::new();
    for (flag, value) in [("--adapter", adapter.map(String::from)), ("--tiles", tiles.map(|tiles| tiles.to_string()))] {
        options.extend(value.map(|value| OsString::from(format!("{flag}={value}"))));
    }
    Ok(Processes { program, options, count: None })
}

/// The error and its causes on one line; a cause that its parent already prints is left out.
pub fn describe(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// How pictures that a model verifies are cut, where it differs from the pictures it was trained on.
#[derive(Debug, Args)]
struct CropArgs {
    /// For models: source pixels an input pixel, `fit`, or `fit:FRACTION`; by default as in training
    #[arg(long, allow_negative_numbers = true, value_name = "SCALE")]
    crop_scale: Option<CropScale>,
}

impl CropArgs {
    /// Refuses what a bundle would ignore.
    fn refuse_for_bundle(&self) -> Result<()> {
        match self.crop_scale {
            Some(scale) => bail!("--crop-scale {scale}: a bundle cuts its own patches; leave the option out"),
            None => Ok(()),
        }
    }

    /// What `model` takes of `pictures`.
    fn cut(&self, model: &Model, pictures: &[PathBuf]) -> Result<Cut> {
        if let (Some(scale), Some(patch)) = (self.crop_scale, model.patch) {
            bail!(
                "--crop-scale {scale}: the model takes the patch `{patch}` of aligned pictures, which has its own scale"
            );
        }
        let spec = CropSpec { scale: self.crop_scale.unwrap_or(model.crop.scale), ..model.crop };
        Ok(Cut::new(spec, model.patch, pictures)?)
    }
}

/// Writes a drawing, in whole or not at all.
fn write_png(path: &Path, drawing: &RgbImage) -> Result<()> {
    let mut png = Cursor::new(Vec::new());
    drawing.write_to(&mut png, ImageFormat::Png).context("the drawing cannot be encoded")?;
    Ok(atomic_write(path, png.get_ref())?)
}

/// A number that is neither infinite nor NaN.
fn finite(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(|| "expected a finite number".into())
}

/// 0.9312 as `93.1 %`.
fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// `deepid2 … | head` ends like any other program when `head` has seen enough, not with a panic.
fn end_quietly_on_closed_pipes() {
    #[cfg(unix)]
    // SAFETY: SIG_DFL installs no code of ours; Rust's start-up had set SIG_IGN.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}
