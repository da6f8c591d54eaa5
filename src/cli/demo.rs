//! `deepid2 demo`: the whole system on synthetic faces.

use super::screen::Screen;
use super::{percent, synth};
use anyhow::{Context, Result, bail};
use clap::Args;
use deepid2::bundle::Bundle;
use deepid2::bundle::cluster::cluster;
use deepid2::bundle::gallery::Gallery;
use deepid2::data::synth::{SynthSpec, contact_sheet};
use deepid2::face::aligner::{FaceChoice, Search};
use deepid2::face::detect::DetectSettings;
use deepid2::gpu::Gpu;
use deepid2::pipeline::fit::FitSettings;
use deepid2::pipeline::processes::Processes;
use deepid2::pipeline::run::{Outcome, Training, names, run as run_pipeline};
use deepid2::pipeline::select::SelectSettings;
use deepid2::pipeline::settings::{LandmarkSource, PipelineSettings, TestPairs};
use deepid2::train::folder::names as net_names;
use deepid2::train::{TrainConfig, interrupt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Prints a line. A reader that went away is no reason to stop training.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// Seeds of the people that train, of those that never do, and of those with landmarks.
const SEED: u64 = 1;
const TEST_SEED: u64 = 2;
const LANDMARK_SEED: u64 = 3;
const TEST_IDENTITIES: u32 = 40;
/// Few pictures will do for synthetic landmarks.
const LANDMARK_IDENTITIES: u32 = 40;
const LANDMARK_IMAGES: u32 = 4;
/// The face with hair and chin, the eyes, the mouth, and the left half of the face with its mirrored counterpart.
const PATCHES: [usize; 4] = [4, 44, 74, 94];
/// Below this, the demo failed: something is broken.
const WANTED_ACCURACY: f64 = 0.9;
const WANTED_ACCURACY_SHORT: f64 = 0.7;
/// Photographs a pass, and matches shown.
const BATCH: usize = 64;
const MATCHES: usize = 3;

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Folder for faces and results
    #[arg(long, value_name = "DIR", default_value = "demo")]
    out: PathBuf,
    /// A quarter of the training: a check that everything works rather than a good verifier
    #[arg(long)]
    short: bool,
}

/// Draws faces, makes a bundle of them, and verifies people that training never saw.
pub fn run(args: &DemoArgs, gpu: &Gpu, processes: Processes) -> Result<ExitCode> {
    let started = Instant::now();
    let out = &args.out;
    std::fs::create_dir_all(out).with_context(|| format!("{}: cannot be created", out.display()))?;
    say!("deepid2 demo on {} ({:?})", gpu.info().name, gpu.info().backend);
    let [faces, kept_aside, landmarks, run] =
        ["faces", "people-kept-aside", "faces-with-landmarks", "run"].map(|name| out.join(name));
    let spec = SynthSpec { seed: SEED, ..SynthSpec::default() };
    let test_spec = SynthSpec { identities: TEST_IDENTITIES, seed: TEST_SEED, ..spec };
    let landmark_spec =
        SynthSpec { identities: LANDMARK_IDENTITIES, images: LANDMARK_IMAGES, seed: LANDMARK_SEED, ..spec };
    say!("photographs to train on: {}", synth::draw(&faces, &spec)?);
    say!("people kept aside: {}", synth::draw(&kept_aside, &test_spec)?);
    say!("faces with landmarks: {}", synth::draw(&landmarks, &landmark_spec)?);
    let sheet = out.join("faces.png");
    contact_sheet(&spec, 6, 10).save(&sheet).with_context(|| format!("{}: cannot be written", sheet.display()))?;

    say!("the pipeline (Ctrl-C stops and saves; the same command goes on):");
    let settings = settings(&faces, &kept_aside, &landmarks, args.short);
    let interrupt = interrupt::installed()?;
    let screen = Screen::new();
    let training = Training { at_once: 1, processes, quiet: false };
    let outcome = run_pipeline(gpu, &settings, &run, &training, &interrupt, &screen)?;
    screen.clear();
    let Outcome { finished: true, reported: Some(reported) } = outcome else {
        say!("stopped; the same command goes on");
        return Ok(ExitCode::from(interrupt::EXIT_STATUS as u8));
    };

    let bundle = run.join(names::BUNDLE);
    show(gpu, &bundle, &kept_aside)?;
    let (accuracy, _) = reported.test.context("the demo has test pairs")?;
    say!("people that nothing was trained or chosen on: accuracy {}", percent(accuracy));
    say!("done in {:.0} s. Look at:", started.elapsed().as_secs_f64());
    say!("   {}   the faces, a row a person", sheet.display());
    say!("   {}   curves, pairs, patches, settings", run.join(names::REPORT).display());
    say!(
        "   {}   a network's losses and accuracy over training",
        run.join(names::NETS).join("patch-004").join(net_names::CURVE).display()
    );
    let person = kept_aside.join("person_0000");
    let [a, b] = ["000.jpg", "001.jpg"].map(|name| person.join(name));
    say!("Try: deepid2 verify {} {} {}", bundle.display(), a.display(), b.display());
    say!("     deepid2 info {}", bundle.display());
    let wanted = if args.short { WANTED_ACCURACY_SHORT } else { WANTED_ACCURACY };
    if accuracy < wanted {
        bail!(
            "the demo reached {} where at least {} is expected: please report this with your GPU and driver",
            percent(accuracy),
            percent(wanted)
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn settings(faces: &Path, kept_aside: &Path, landmarks: &Path, short: bool) -> PipelineSettings {
    let mut train = TrainConfig { seed: SEED, epochs: if short { 6 } else { 24 }, ..TrainConfig::default() };
    train.validate_every = train.epochs;
    train.margin_every = 3_200;
    PipelineSettings {
        data: faces.into(),
        landmarks: LandmarkSource::TrainOn(landmarks.into()),
        faces: FaceChoice::Central,
        search: Search::DetectOrMiddle { settings: DetectSettings::default(), share: 0.6 },
        patches: PATCHES.to_vec(),
        test: Some(TestPairs { pairs: None, data: kept_aside.into() }),
        train,
        select: SelectSettings { size: 4, groups: 2, ..SelectSettings::default() },
        fit: FitSettings::default(),
    }
}

/// Uses the bundle as its users would.
fn show(gpu: &Gpu, bundle: &Path, photographs: &Path) -> Result<()> {
    let mut bundle = Bundle::open(gpu, bundle, BATCH, None, |own| own)?;
    let wanted = photographs.join("person_0000").join("000.jpg");
    let query = bundle.recogniser.only_face(&wanted)?;
    let gallery = Gallery::open(&mut bundle, photographs, None, &|_, _| {})?;
    let threshold = bundle.recogniser.verifier.threshold.score;
    say!(
        "find {}: the most alike of {} photographs, threshold {threshold:.2}",
        wanted.display(),
        gallery.faces.found.len()
    );
    // The first is the photograph itself.
    for found in gallery.best(&bundle.recogniser, &query, MATCHES + 1)?.iter().skip(1) {
        say!("   {:8.2}  {}", found.score, found.face.path.display());
    }
    let people = cluster(&bundle.recogniser, &gallery.faces, threshold)?.into_iter().max().map_or(0, |last| last + 1);
    say!("cluster: {} faces of {TEST_IDENTITIES} people fall into {people} groups", gallery.faces.found.len());
    Ok(())
}
