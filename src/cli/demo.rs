//! `deepid2 demo`: the whole path on synthetic faces.

use super::{percent, synth};
use anyhow::{Context, Result, bail};
use clap::Args;
use deepid2::data::crop::CropScale;
use deepid2::data::dataset::Dataset;
use deepid2::data::pairs::random::random_pairs;
use deepid2::data::store::ImageStore;
use deepid2::data::synth::{SynthSpec, contact_sheet};
use deepid2::gpu::Gpu;
use deepid2::model::{Extractor, Model};
use deepid2::report::{self, FarAxis};
use deepid2::train::folder::names;
use deepid2::train::{TrainConfig, interrupt, train};
use deepid2::verify::distance::Distance;
use deepid2::verify::folds::accuracy_at;
use deepid2::verify::trials::Trials;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// Prints a line. A reader that went away is no reason to stop training.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// Seed of the people that train, and of those that never do.
const SEED: u64 = 1;
const TEST_SEED: u64 = 2;
const TEST_IDENTITIES: u32 = 40;
const TEST_PAIRS: usize = 4_000;
/// The middle two thirds of a picture: face and hair.
const CROP: CropScale = CropScale::Fit(0.8);
/// Below this, the demo failed: something is broken.
const WANTED_ACCURACY: f64 = 0.9;
const WANTED_ACCURACY_SHORT: f64 = 0.7;

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Folder for faces and results
    #[arg(long, value_name = "DIR", default_value = "demo")]
    out: PathBuf,
    /// A quarter of the training: a check that everything works rather than a good model
    #[arg(long)]
    short: bool,
}

/// Draws faces, trains, and verifies people that training never saw.
pub fn run(args: &DemoArgs, gpu: &Gpu) -> Result<ExitCode> {
    let started = Instant::now();
    let out = &args.out;
    std::fs::create_dir_all(out).with_context(|| format!("{}: cannot be created", out.display()))?;
    say!("deepid2 demo on {} ({:?})", gpu.info().name, gpu.info().backend);
    let spec = SynthSpec { seed: SEED, ..SynthSpec::default() };
    let test_spec = SynthSpec { identities: TEST_IDENTITIES, seed: TEST_SEED, ..spec };
    say!("1. faces to train on: {}", synth::draw(&out.join("faces"), &spec)?);
    say!("   people kept aside: {}", synth::draw(&out.join("people-kept-aside"), &test_spec)?);
    let sheet = out.join("faces.png");
    contact_sheet(&spec, 6, 10).save(&sheet).with_context(|| format!("{}: cannot be written", sheet.display()))?;

    say!("2. training (Ctrl-C stops and saves; the same command goes on)");
    let run = out.join("run");
    let mut config = TrainConfig { data: out.join("faces"), seed: SEED, ..TrainConfig::default() };
    config.crop.scale = CROP;
    config.validation_fraction = 0.1;
    config.epochs = if args.short { 8 } else { 24 };
    config.validate_every = 4;
    config.margin_every = 3_200;
    let resume = run.join(names::LAST).is_file();
    let outcome = train(gpu, &config, &run, resume, &interrupt::installed()?, false)?;
    if !outcome.finished {
        say!("stopped; the same command goes on");
        return Ok(ExitCode::from(interrupt::EXIT_STATUS as u8));
    }

    say!("3. verifying {TEST_IDENTITIES} people that training never saw");
    let model = Model::load(&run.join(names::BEST))?;
    let tested = verify(gpu, &model, &out.join("people-kept-aside"), &out.join("roc.svg"))?;
    say!("   accuracy    {} (raw pixels: {})", percent(tested.accuracy), percent(tested.raw_pixels));
    say!("   AUC {:.4}, EER {}", tested.auc, percent(tested.eer));
    say!("done in {:.0} s. Look at:", started.elapsed().as_secs_f64());
    say!("   {}   the faces, a row a person", sheet.display());
    say!("   {}   losses and accuracy over training", run.join(names::CURVE).display());
    say!("   {}   the ROC curve on people never seen", out.join("roc.svg").display());
    let person = out.join("people-kept-aside").join("person_0000");
    say!(
        "Try: deepid2 verify {} {} {}",
        run.join(names::BEST).display(),
        person.join("000.jpg").display(),
        person.join("001.jpg").display()
    );
    let wanted = if args.short { WANTED_ACCURACY_SHORT } else { WANTED_ACCURACY };
    if tested.accuracy < wanted {
        bail!(
            "the demo reached {} where at least {} is expected: please report this with your GPU and driver",
            percent(tested.accuracy),
            percent(wanted)
        );
    }
    Ok(ExitCode::SUCCESS)
}

struct Tested {
    accuracy: f64,
    auc: f64,
    eer: f64,
    raw_pixels: f64,
}

/// Accuracy on random pairs of `folder` at the threshold that the model brought along.
fn verify(gpu: &Gpu, model: &Model, folder: &Path, roc: &Path) -> Result<Tested> {
    let list = random_pairs(&Dataset::open(folder)?, TEST_PAIRS, 2, TEST_SEED)?;
    let images = Arc::new(ImageStore::load(list.pictures.clone(), model.crop, u64::MAX, &|| {})?);
    let embeddings = Extractor::of_model(gpu, model, 64)?.embed(&images, &|_| {})?;
    let distances = Distance::Euclidean.of_pairs(&embeddings, model.spec.embedding, &list.pairs)?;
    let trials = Trials::of_pairs(&distances, &list.pairs)?;
    let threshold = model.threshold.as_ref().context("the demo's model has no threshold")?.distance;
    let raw = Distance::Euclidean.of_pairs(&images.pixels()?, images.spec().stored_bytes(), &list.pairs)?;
    let raw = Trials::of_pairs(&raw, &list.pairs)?;
    let curves = [("network".into(), trials.roc()), ("raw pixels".into(), raw.roc())];
    report::roc(roc, &curves, FarAxis::Linear)?;
    Ok(Tested {
        accuracy: accuracy_at(threshold, distances.iter().zip(&list.pairs)),
        auc: trials.auc(),
        eer: trials.eer(),
        raw_pixels: raw.summary().most_accurate.accuracy,
    })
}
