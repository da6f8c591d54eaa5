//! `deepid2 pipeline`.

use super::align::FaceArg;
use super::fit::FitSettingsArgs;
use super::percent;
use super::screen::Screen;
use super::train_patches::{PatchList, default_at_once, patch_list};
use anyhow::{Result, bail};
use clap::Args;
use deepid2::face::aligner::Search;
use deepid2::face::detect::DetectSettings;
use deepid2::face::patches::Patch;
use deepid2::gpu::{self, Gpu};
use deepid2::pipeline::processes::Processes;
use deepid2::pipeline::run::{Outcome, Training, names, run as run_pipeline};
use deepid2::pipeline::select::SelectSettings;
use deepid2::pipeline::settings::{LandmarkSource, PipelineSettings, SETTINGS, TestPairs};
use deepid2::train::TrainConfig;
use deepid2::train::interrupt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct PipelineArgs {
    /// Folder of the run; without --data, the run in it goes on with its own settings
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// Photographs: a folder with a sub-folder per person; others than those of the run in --out are refused
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Landmark model that `deepid2 landmarks train` made
    #[arg(long, value_name = "FILE", conflicts_with = "landmark_data", requires = "data")]
    landmarks: Option<PathBuf>,
    /// Pictures with .pts files beside them, to train a landmark model on
    #[arg(long, requires = "data", value_name = "DIR")]
    landmark_data: Option<PathBuf>,
    /// Patches whose networks are trained, such as 0-24,30 (`deepid2 patches list`) [default: 0-199]
    #[arg(long, requires = "data", value_name = "LIST", value_parser = patch_list)]
    patches: Option<PatchList>,
    /// Which face of a photograph is the person's: the largest, or the one nearest to its middle
    #[arg(long, requires = "data", value_enum, default_value = "largest")]
    face: FaceArg,
    /// The pictures are cropped to their faces: take the square in their middle instead of looking for faces
    #[arg(long, requires = "data")]
    no_detect: bool,
    /// Where no face is found, take the square in the middle instead of rejecting the picture
    #[arg(long, requires = "data", conflicts_with = "no_detect")]
    or_middle: bool,
    /// Side of the square in the middle, as a share of the picture's shorter side
    #[arg(long, requires = "data", allow_negative_numbers = true, value_name = "SHARE", default_value_t = super::FACE_SHARE)]
    face_share: f32,
    /// Test pairs, in LFW's format or `path path 0|1` lines
    #[arg(long, value_name = "FILE", requires = "test_data")]
    test_pairs: Option<PathBuf>,
    /// Photographs of the test pairs; without --test-pairs, a folder with a sub-folder per person to draw pairs from
    #[arg(long, requires = "data", value_name = "DIR")]
    test_data: Option<PathBuf>,
    /// Vectors in a group [default: 25, or as many as the patches give]
    #[arg(long, requires = "data", value_name = "VECTORS")]
    size: Option<usize>,
    /// Groups of vectors, each of those that no other has taken [default: 7, or as many as the patches give]
    #[arg(long, requires = "data")]
    groups: Option<usize>,
    #[command(flatten)]
    fit: FitSettingsArgs,
    /// Settings of all networks, as a run of `deepid2 train` keeps them; data, patch and input size are set by the pipeline
    #[arg(long, requires = "data", value_name = "FILE")]
    train_config: Option<PathBuf>,
    /// Times each picture is seen by a network [default: 60]
    #[arg(long, requires = "data")]
    epochs: Option<u64>,
    /// Seed of everything random [default: 1]
    #[arg(long, requires = "data")]
    seed: Option<u64>,
    /// Networks trained at once [default: 8 on a graphics card, 1 elsewhere]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    nets: Option<u16>,
    /// Processes that train networks, each with a share of the processor's cores [default: one a core on lavapipe, Mesa's
    /// software driver, unless LP_NUM_THREADS is set, and 1 elsewhere]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    processes: Option<u16>,
    /// No progress of training
    #[arg(long)]
    quiet: bool,
}

impl PipelineArgs {
    fn settings(&self) -> Result<PipelineSettings> {
        let held = self.out.join(SETTINGS);
        let Some(data) = &self.data else {
            if held.is_file() {
                return Ok(PipelineSettings::load(&held)?);
            }
            bail!("--data is missing: give a folder with a sub-folder of photographs for each person");
        };
        if matches!(self.face, FaceArg::All) {
            bail!("--face all: a photograph's bystanders would count as its person; choose largest or central");
        }
        let landmarks = match (&self.landmarks, &self.landmark_data) {
            (Some(model), _) => LandmarkSource::Model(absolute(model)),
            (None, Some(folder)) => LandmarkSource::TrainOn(absolute(folder)),
            (None, None) => bail!(
                "landmarks are needed to align faces: give --landmarks FILE, a model that `deepid2 landmarks train` made, or --landmark-data DIR, pictures with .pts files beside them"
            ),
        };
        let mut train = match &self.train_config {
            Some(path) => TrainConfig::load(path)?,
            None => TrainConfig::default(),
        };
        if let Some(epochs) = self.epochs {
            train.epochs = epochs;
        }
        if let Some(seed) = self.seed {
            train.seed = seed;
        }
        let patches: Vec<usize> = match &self.patches {
            Some(PatchList(patches)) => patches.iter().map(|patch| patch.index()).collect(),
            None => Patch::all().map(Patch::index).collect(),
        };
        let fit = self.fit.settings();
        let mut select = SelectSettings { transform: fit.transform, ..SelectSettings::default() };
        select.size = self.size.unwrap_or(select.size);
        select.groups = self.groups.unwrap_or(select.groups);
        if self.size.is_none() && self.groups.is_none() {
            select = select.fitting(patches.len());
        }
        // Better now than after days of training.
        select.check(patches.len())?;
        Ok(PipelineSettings {
            data: absolute(data),
            landmarks,
            faces: self.face.into(),
            search: match (self.no_detect, self.or_middle) {
                (true, _) => Search::Middle { share: self.face_share },
                (false, true) => Search::DetectOrMiddle { settings: DetectSettings::default(), share: self.face_share },
                (false, false) => Search::Detect(DetectSettings::default()),
            },
            patches,
            test: self
                .test_data
                .as_deref()
                .map(|data| TestPairs { pairs: self.test_pairs.as_deref().map(absolute), data: absolute(data) }),
            train,
            select,
            fit,
        })
    }
}

/// One way to write a path, so that a run goes on however the command names its inputs and from wherever it is given.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into()).components().collect()
}

/// Runs the pipeline, or goes on with it.
pub fn run(
    args: &PipelineArgs,
    open: impl FnOnce() -> Result<Gpu, gpu::Error>,
    processes: Processes,
) -> Result<ExitCode> {
    let settings = args.settings()?;
    settings.train.check()?;
    let interrupt = interrupt::installed()?;
    let gpu = open()?;
    let training = Training {
        at_once: args.nets.map_or_else(|| default_at_once(&gpu), usize::from),
        processes: Processes { count: args.processes.map(usize::from), ..processes },
        quiet: args.quiet,
    };
    let screen = Screen::new();
    let outcome = run_pipeline(&gpu, &settings, &args.out, &training, &interrupt, &screen)?;
    screen.clear();
    super::end_quietly_on_closed_pipes();
    let Outcome { finished: true, reported: Some(reported) } = outcome else {
        println!("stopped; go on with: deepid2 pipeline --out {}", args.out.display());
        return Ok(ExitCode::from(interrupt::EXIT_STATUS as u8));
    };
    println!("held-out people (used to choose vectors and threshold): accuracy {}", percent(reported.held_out));
    if let Some((accuracy, error)) = reported.test {
        let error = error.map_or(String::new(), |error| format!(" ± {}", percent(error)));
        println!("test pairs: accuracy {}{error}", percent(accuracy));
    }
    let bundle = args.out.join(names::BUNDLE);
    println!("report {}, bundle {}", args.out.join(names::REPORT).display(), bundle.display());
    println!("try: deepid2 verify {} A.jpg B.jpg", bundle.display());
    Ok(ExitCode::SUCCESS)
}
