//! `deepid2 align`.

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use deepid2::face::align_folder::{Outcome, align_folder};
use deepid2::face::aligner::{Aligner, FaceChoice, Landmarks, Search};
use deepid2::face::detect::DetectSettings;
use deepid2::train::interrupt;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Rejected pictures that are printed; the table has them all.
const REJECTIONS_SHOWN: usize = 5;

#[derive(Debug, Args)]
pub struct AlignArgs {
    /// A photograph, or a folder searched to any depth, whose sub-folders the aligned pictures keep
    source: PathBuf,
    /// Folder for the aligned pictures; one that was interrupted is gone on with
    #[arg(long, value_name = "ALIGNED")]
    out: PathBuf,
    #[command(flatten)]
    finding: FindingArgs,
    /// No progress
    #[arg(long)]
    quiet: bool,
}

/// How faces and their landmarks are found.
#[derive(Debug, Args)]
pub struct FindingArgs {
    /// Model that `deepid2 landmarks train` made; or `pts`: the .pts file beside each picture, as `deepid2 synth` and
    /// annotated data sets have them
    #[arg(long, value_name = "MODEL|pts")]
    landmarks: Option<PathBuf>,
    /// Which faces of a photograph: the largest, the one nearest to its middle, or all
    #[arg(long, value_enum, default_value = "largest")]
    face: FaceArg,
    /// The pictures are cropped to their faces: take the square in their middle instead of looking for faces
    #[arg(long)]
    no_detect: bool,
    /// Where no face is found, take the square in the middle instead of rejecting the picture
    #[arg(long, conflicts_with = "no_detect")]
    or_middle: bool,
    /// Side of the square in the middle, as a share of the picture's shorter side
    #[arg(long, allow_negative_numbers = true, value_name = "SHARE", default_value_t = super::FACE_SHARE)]
    face_share: f32,
    /// Width of the smallest face looked for, in pixels
    #[arg(long, allow_negative_numbers = true, value_name = "PIXELS", default_value_t = DetectSettings::default().min_face)]
    min_face: f32,
}

/// [`FaceChoice`] as a flag.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum FaceArg {
    Largest,
    Central,
    All,
}

impl From<FaceArg> for FaceChoice {
    fn from(face: FaceArg) -> Self {
        match face {
            FaceArg::Largest => Self::Largest,
            FaceArg::Central => Self::Central,
            FaceArg::All => Self::All,
        }
    }
}

impl FindingArgs {
    /// Whether the user says where landmarks come from.
    pub fn is_given(&self) -> bool {
        self.landmarks.is_some()
    }

    /// What finds and aligns faces.
    pub fn aligner(&self) -> Result<Aligner> {
        let landmarks = match &self.landmarks {
            None => bail!(
                "--landmarks is missing: give a model that `deepid2 landmarks train` saved, or `pts` where a .pts file lies beside each picture"
            ),
            Some(path) if path == Path::new("pts") => Landmarks::Pts,
            Some(path) => Landmarks::open(path)?,
        };
        let settings = DetectSettings { min_face: self.min_face, ..DetectSettings::default() };
        let share = self.face_share;
        let search = match (self.no_detect, self.or_middle) {
            (true, _) => Search::Middle { share },
            (false, true) => Search::DetectOrMiddle { settings, share },
            (false, false) => Search::Detect(settings),
        };
        Ok(Aligner::new(landmarks, self.face.into(), search)?)
    }
}

/// Aligns, and says what was found and what was not.
pub fn run(args: &AlignArgs) -> Result<ExitCode> {
    let aligner = args.finding.aligner()?;
    let interrupt = interrupt::installed()?;
    let bar = if args.quiet { ProgressBar::hidden() } else { ProgressBar::new(0) };
    let template = "{bar:30} {pos}/{len} pictures, {msg} images/s, {eta} left";
    bar.set_style(ProgressStyle::with_template(template).expect("a template without mistakes"));
    let started = Instant::now();
    let first = std::sync::OnceLock::new();
    let progress = |done: usize, all: usize| {
        let before = *first.get_or_init(|| {
            bar.reset_eta();
            done
        });
        bar.set_length(all as u64);
        bar.set_position(done as u64);
        bar.set_message(format!("{:.0}", (done - before.min(done)) as f64 / started.elapsed().as_secs_f64()));
    };
    let outcome = align_folder(&args.source, &args.out, &aligner, &|| interrupt.is_requested(), &progress)?;
    bar.finish_and_clear();
    // Nothing is left to lose now.
    super::end_quietly_on_closed_pipes();
    report(&args.out, &outcome, started.elapsed().as_secs_f64())
}

fn report(out: &Path, outcome: &Outcome, seconds: f64) -> Result<ExitCode> {
    let Outcome { done, photographs, done_now, faces, ref rejected } = *outcome;
    if !outcome.is_finished() {
        println!("stopped after {done} of {photographs} pictures; the same command goes on");
        return Ok(ExitCode::from(interrupt::EXIT_STATUS as u8));
    }
    let speed = if done_now == 0 {
        "all of them aligned before".into()
    } else {
        format!("{done_now} aligned now, {:.0} images/s", done_now as f64 / seconds)
    };
    println!("{}: {faces} faces of {photographs} pictures ({speed})", out.display());
    if !rejected.is_empty() {
        println!("{} rejected, listed in {}:", rejected.len(), out.join("rejected.csv").display());
        for (source, reason) in rejected.iter().take(REJECTIONS_SHOWN) {
            println!("  {source}: {reason}");
        }
        if rejected.len() > REJECTIONS_SHOWN {
            println!("  …");
        }
    }
    if let (0, Some((source, reason))) = (faces, rejected.first()) {
        bail!("none of {photographs} pictures could be aligned; the first, {source}: {reason}");
    }
    Ok(ExitCode::SUCCESS)
}
