//! `deepid2 train`.

use super::percent;
use super::train_patches::{self, PatchList, PatchTraining};
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use deepid2::data::augment::Augmentation;
use deepid2::data::crop::CropScale;
use deepid2::data::mean::MeanKind;
use deepid2::face::patches::Patch;
use deepid2::gpu::{self, Gpu};
use deepid2::net::LocalSharing;
use deepid2::ops::Signal;
use deepid2::pipeline::processes::Processes;
use deepid2::train::config::RateScale;
use deepid2::train::folder::{self, names};
use deepid2::train::interrupt;
use deepid2::train::schedule::{Lambda, Schedule};
use deepid2::train::{Outcome, TrainConfig, train_nets};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Most networks at once: as many as the paper has patches, and a few more.
const MAX_NETS: i64 = 256;

#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Folder with a sub-folder per identity (jpg, png, pgm, ppm, bmp, webp), a list file of `path identity` lines, or the
    /// folder of CelebA; CelebA#A and CelebA#B are its two parts. Given several times, a network is trained on each, all
    /// at once and with one seed
    #[arg(long, value_name = "DIR|LIST", required_unless_present_any = ["config", "resume"])]
    data: Vec<PathBuf>,
    /// Networks trained at once, each to the bit as alone, in RUN/net-0, RUN/net-1 and so on; on one --data, with the
    /// seeds SEED, SEED+1 and so on [default: one for each --data; with --patches, 8 on a
    /// graphics card and 1 elsewhere]
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=MAX_NETS))]
    nets: Option<u16>,
    /// A network for each of these patches of aligned faces, such as 0-24,30 (`deepid2 patches list`), in
    /// RUN/patch-000 and so on; the same command goes on where it was stopped. --nets says how many are trained at once
    #[arg(long, value_name = "LIST", value_parser = train_patches::patch_list, conflicts_with_all = ["resume", "patch", "size", "gray", "crop_scale"])]
    patches: Option<PatchList>,
    /// Which of --task-count shares of --patches to train, from 0; without it, that of the job array: SLURM_ARRAY_TASK_ID,
    /// JOB_COMPLETION_INDEX, AWS_BATCH_JOB_ARRAY_INDEX, SGE_TASK_ID or PBS_ARRAY_INDEX
    #[arg(long, value_name = "INDEX", requires = "patches", allow_negative_numbers = true)]
    task_index: Option<usize>,
    /// Shares that --patches are divided into; without it, as many as SLURM, AWS Batch or Grid Engine say
    #[arg(long, value_name = "COUNT", requires = "patches", allow_negative_numbers = true)]
    task_count: Option<usize>,
    /// With --patches, processes that train networks, each with a share of the processor's cores [default: one a core on
    /// lavapipe, Mesa's software driver, unless LP_NUM_THREADS is set, and 1 elsewhere]
    #[arg(long, requires = "patches", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    processes: Option<u16>,
    /// Train on this patch of aligned pictures, a number or a name of `deepid2 patches list`; --data is then a folder that
    /// `deepid2 align` made
    #[arg(long, value_name = "PATCH")]
    patch: Option<Patch>,
    /// Folder for results; must not hold a run unless --resume
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// Go on with the run in --out, with its own settings
    #[arg(long)]
    resume: bool,
    /// Start from the settings of a config.toml; other flags change them
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    config: Option<PathBuf>,
    /// No progress
    #[arg(long)]
    quiet: bool,

    /// Times each picture is seen on average [default: 60]
    #[arg(long, allow_negative_numbers = true)]
    epochs: Option<u64>,
    /// Pictures a step [default: 64]
    #[arg(long, allow_negative_numbers = true)]
    batch: Option<usize>,
    /// Most pictures that run at once: a larger batch runs in slices, with the same result but for rounding [default: as many as the adapter takes]
    #[arg(long, allow_negative_numbers = true, value_name = "PICTURES")]
    micro_batch: Option<usize>,
    /// Seed of everything random [default: 1]
    #[arg(long, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Share of pairs that show one person [default: 0.5]
    #[arg(long, allow_negative_numbers = true, value_name = "SHARE")]
    same_ratio: Option<f64>,
    /// Share of identities held out for validation; 0 for none [default: 0.2]
    #[arg(long, allow_negative_numbers = true, value_name = "SHARE")]
    validation_fraction: Option<f64>,
    /// Most held-out pairs compared [default: 4000]
    #[arg(long, allow_negative_numbers = true, value_name = "PAIRS")]
    validation_pairs: Option<usize>,
    /// Epochs between validations [default: 1]
    #[arg(long, allow_negative_numbers = true, value_name = "EPOCHS")]
    validate_every: Option<u64>,

    /// Learning rate of the first step [default: 0.02]
    #[arg(long, allow_negative_numbers = true, value_name = "RATE")]
    learning_rate: Option<f32>,
    /// constant, step:EPOCHS:FACTOR, cosine or cosine:FLOOR [default: cosine]
    #[arg(long)]
    schedule: Option<Schedule>,
    /// Momentum of SGD [default: 0.9]
    #[arg(long, allow_negative_numbers = true)]
    momentum: Option<f32>,
    /// Weight decay [default: 0.002]
    #[arg(long, allow_negative_numbers = true)]
    weight_decay: Option<f32>,
    /// Factor of the learning rate of tensors whose names start with TENSORS, such as softmax=2; may be repeated
    #[arg(long, value_name = "TENSORS=FACTOR", value_parser = rate_scale)]
    rate_scale: Vec<RateScale>,

    /// Verification signal: none, l2, l2+, l2-, l1 or cosine [default: l2]
    #[arg(long)]
    signal: Option<Signal>,
    /// Weight of the verification signal; `inf` trains it alone [default: 0.05]
    #[arg(long, allow_negative_numbers = true)]
    lambda: Option<Lambda>,
    /// Share of all steps that trains identification alone first [default: 0.1]
    #[arg(long, allow_negative_numbers = true, value_name = "SHARE")]
    warm_up: Option<f64>,
    /// Pairs between updates of the margin [default: 6400; the paper: about 200000]
    #[arg(long, allow_negative_numbers = true, value_name = "PAIRS")]
    margin_every: Option<usize>,

    /// Input of the network, HEIGHTxWIDTH, both 8k+7 from 31 [default: 55x47]
    #[arg(long, value_parser = size)]
    size: Option<(u32, u32)>,
    /// Grey input instead of RGB
    #[arg(long)]
    gray: bool,
    /// Centre crop: source pixels an input pixel, `fit`, or `fit:FRACTION` [default: fit]
    #[arg(long, allow_negative_numbers = true, value_name = "SCALE")]
    crop_scale: Option<CropScale>,
    /// What is subtracted from the input [default: image]
    #[arg(long)]
    mean: Option<MeanArg>,
    /// Output channels of conv1 to conv4 [default: 20,40,60,80]
    #[arg(long, value_parser = widths)]
    widths: Option<[usize; 4]>,
    /// Length of the DeepID2 vector [default: 160]
    #[arg(long, allow_negative_numbers = true)]
    embedding: Option<usize>,
    /// Regions of conv3: tiles of 2×2 neurons, or a 2×2 grid [default: tiles]
    #[arg(long)]
    conv3: Option<Conv3Arg>,

    /// No random changes of training pictures
    #[arg(long, conflicts_with_all = ["shift", "no_flip", "brightness"])]
    no_augment: bool,
    /// Largest random shift in input pixels [default: 3]
    #[arg(long, allow_negative_numbers = true, value_name = "PIXELS")]
    shift: Option<u32>,
    /// Do not mirror training pictures at random
    #[arg(long)]
    no_flip: bool,
    /// Range of random brightness, 0.1 for ±10 % [default: 0.1]
    #[arg(long, allow_negative_numbers = true)]
    brightness: Option<f32>,
    /// Embed the picture alone rather than the picture plus its mirror image
    #[arg(long)]
    no_mirror: bool,
    /// Memory for decoded pictures; more are decoded again for each batch [default: 2048]
    #[arg(long, allow_negative_numbers = true, value_name = "MB")]
    cache_megabytes: Option<u64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum MeanArg {
    /// One value for every pixel and channel
    Image,
    /// One value for every channel
    Pixel,
    /// Nothing
    None,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Conv3Arg {
    Tiles,
    Grid,
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let sides = text.split_once(['x', '×']).and_then(|(h, w)| Some((h.parse().ok()?, w.parse().ok()?)));
    sides.ok_or_else(|| "expected HEIGHTxWIDTH such as 55x47".into())
}

fn widths(text: &str) -> Result<[usize; 4], String> {
    let numbers: Option<Vec<usize>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    numbers
        .and_then(|numbers| numbers.try_into().ok())
        .ok_or_else(|| "expected four numbers such as 20,40,60,80".into())
}

fn rate_scale(text: &str) -> Result<RateScale, String> {
    let parsed = text
        .split_once('=')
        .and_then(|(tensors, factor)| Some(RateScale { tensors: tensors.into(), factor: factor.parse().ok()? }));
    parsed.ok_or_else(|| "expected TENSORS=FACTOR such as softmax=2".into())
}

impl TrainArgs {
    /// The settings of each network.
    fn configs(&self) -> Result<Vec<TrainConfig>> {
        let held = if self.resume { folder::nets_of(&self.out) } else { None };
        let nets = match (self.nets, self.data.len()) {
            (Some(nets), 0 | 1) => nets.into(),
            (Some(nets), folders) if usize::from(nets) != folders => {
                bail!(
                    "--nets {nets} with {folders} times --data: expected one --data for all networks, or one for each"
                )
            }
            (_, folders) => held.unwrap_or(1).max(folders),
        };
        (0..nets).map(|net| self.config(net, held)).collect()
    }

    /// The settings of network `net`; the run that is to be resumed holds `held` networks, where it holds several.
    fn config(&self, net: usize, held: Option<usize>) -> Result<TrainConfig> {
        let run = if held.is_some() { folder::of_net(&self.out, net) } else { self.out.clone() };
        let base = match (&self.config, self.resume) {
            (Some(path), _) => Some(path.clone()),
            (None, true) => Some(run.join(names::CONFIG)).filter(|path| path.is_file()),
            (None, false) => None,
        };
        let mut config = base.map_or_else(|| Ok(TrainConfig::default()), |path| TrainConfig::load(&path))?;
        fn set<T: Clone>(setting: &mut T, flag: &Option<T>) {
            if let Some(value) = flag {
                *setting = value.clone();
            }
        }
        set(&mut config.data, &self.data.get(net).or(self.data.first()).cloned());
        set(&mut config.epochs, &self.epochs);
        set(&mut config.batch, &self.batch);
        set(&mut config.micro_batch, &self.micro_batch.map(Some));
        // Networks on one folder have seeds of their own, which a run that is resumed holds already.
        let own_seed = self.data.len() < 2 && !(self.resume && self.seed.is_none());
        set(&mut config.seed, &self.seed);
        if own_seed {
            config.seed = config.seed.saturating_add(net as u64);
        }
        set(&mut config.same_ratio, &self.same_ratio);
        set(&mut config.validation_fraction, &self.validation_fraction);
        set(&mut config.validation_pairs, &self.validation_pairs);
        set(&mut config.validate_every, &self.validate_every);
        set(&mut config.learning_rate.base, &self.learning_rate);
        set(&mut config.learning_rate.schedule, &self.schedule);
        set(&mut config.momentum, &self.momentum);
        set(&mut config.weight_decay, &self.weight_decay);
        set(&mut config.signal, &self.signal);
        set(&mut config.verification.lambda, &self.lambda);
        set(&mut config.verification.warm_up, &self.warm_up);
        set(&mut config.margin_every, &self.margin_every);
        set(&mut config.crop.scale, &self.crop_scale);
        set(&mut config.network.widths, &self.widths);
        set(&mut config.network.embedding, &self.embedding);
        set(&mut config.cache_megabytes, &self.cache_megabytes);
        set(&mut config.augmentation.shift, &self.shift);
        set(&mut config.augmentation.brightness, &self.brightness);
        if !self.rate_scale.is_empty() {
            config.rate_scale = self.rate_scale.clone();
        }
        if let Some((height, width)) = self.size {
            (config.crop.height, config.crop.width) = (height, width);
        }
        if self.gray {
            config.crop.channels = 1;
        }
        if let Some(mean) = self.mean {
            config.mean = match mean {
                MeanArg::Image => MeanKind::Image,
                MeanArg::Pixel => MeanKind::Pixel,
                MeanArg::None => MeanKind::None,
            };
        }
        if let Some(conv3) = self.conv3 {
            config.network.conv3 = match conv3 {
                Conv3Arg::Tiles => LocalSharing::Tiles,
                Conv3Arg::Grid => LocalSharing::Grid,
            };
        }
        if self.no_augment {
            config.augmentation = Augmentation::OFF;
        }
        if self.no_flip {
            config.augmentation.flip = false;
        }
        if self.no_mirror {
            config.mirror = false;
        }
        config.crop.margin = config.augmentation.shift;
        if let Some(patch) = self.patch.or(config.patch) {
            if self.size.is_some() || self.gray || self.crop_scale.is_some() {
                bail!(
                    "the patch `{patch}` has its own size, channels and scale: leave out --size, --gray and --crop-scale"
                );
            }
            config.take_patch(patch);
        }
        if config.data.as_os_str().is_empty() && !self.resume {
            bail!("--data is missing: give a folder with a sub-folder per identity");
        }
        Ok(config)
    }
}

/// Trains, and says how it went and what to do next.
pub fn run(args: &TrainArgs, open: impl FnOnce() -> Result<Gpu, gpu::Error>, processes: Processes) -> Result<ExitCode> {
    if let Some(PatchList(patches)) = &args.patches {
        if args.data.len() > 1 {
            bail!("--patches with {} times --data: expected one aligned folder", args.data.len());
        }
        let training = PatchTraining {
            base: args.config(0, None)?,
            patches,
            task: train_patches::task(args.task_index, args.task_count)?,
            out: &args.out,
            at_once: args.nets.map(usize::from),
            processes: Processes { count: args.processes.map(usize::from), ..processes },
            quiet: args.quiet,
        };
        return train_patches::run(training, &open()?, &interrupt::installed()?);
    }
    let configs = args.configs()?;
    configs.iter().try_for_each(TrainConfig::check)?;
    let gpu = open()?;
    if !args.quiet {
        let info = gpu.info();
        // A log that nobody reads is no reason to stop.
        let _ = writeln!(
            io::stderr(),
            "{} ({:?}); the first step waits for its kernels to compile",
            info.name,
            info.backend
        );
    }
    let outcomes = train_nets(&gpu, &configs, &args.out, args.resume, &interrupt::installed()?, args.quiet)?;
    // Nothing is left to lose now.
    super::end_quietly_on_closed_pipes();
    let finished = outcomes.iter().all(|outcome| outcome.finished);
    if finished {
        outcomes.iter().for_each(report);
        if outcomes.len() > 1 {
            let speed: f64 = outcomes.iter().map(|outcome| outcome.images_per_second).sum();
            println!("{} networks at {speed:.0} images/s in all", outcomes.len());
        }
    } else {
        let steps = outcomes.iter().map(|outcome| outcome.steps).max().unwrap_or_default();
        println!("stopped after step {steps}; go on with: deepid2 train --out {} --resume", args.out.display());
    }
    Ok(if finished { ExitCode::SUCCESS } else { ExitCode::from(interrupt::EXIT_STATUS as u8) })
}

fn report(outcome: &Outcome) {
    let run = outcome.run.display();
    println!("{} steps at {:.0} images/s", outcome.steps, outcome.images_per_second);
    if let (Some(validated), Some(best)) = (&outcome.validated, outcome.best_accuracy) {
        println!(
            "held-out identities: accuracy {}, AUC {:.4}, EER {} (best epoch: accuracy {})",
            percent(validated.accuracy),
            validated.auc,
            percent(validated.eer),
            percent(best)
        );
    }
    if let Some(floors) = outcome.floors {
        println!(
            "for comparison: raw pixels {}, untrained network {}",
            percent(floors.raw_pixels),
            percent(floors.untrained)
        );
    }
    let model = if outcome.best_accuracy.is_some() { names::BEST } else { names::LAST };
    println!("model {run}/{model}, curves {run}/{} and {run}/{}", names::CURVE, names::ROC);
    println!("try: deepid2 verify {run}/{model} A.jpg B.jpg");
}
