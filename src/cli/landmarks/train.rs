//! `deepid2 landmarks train`.

use super::describe;
use anyhow::Result;
use clap::Args;
use deepid2::face::accuracy::{measure, summary};
use deepid2::face::annotated::{self, AnnotatedFolder, hold_out};
use deepid2::face::landmark_model::{LandmarkModel, Provenance};
use deepid2::face::training::{self, Step, TrainSettings};
use deepid2::files::check_output;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Folder with pictures, to any depth, and their landmarks beside them: .pts files of 68 or 21 points
    dir: PathBuf,
    /// Model to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Share of the pictures that is not trained on but measured in the end
    #[arg(long, allow_negative_numbers = true, value_name = "SHARE", default_value_t = 0.2)]
    hold_out: f64,
    /// Seed of the held-out pictures and of the starts: the same seed gives the same file
    #[arg(long, allow_negative_numbers = true, default_value_t = TrainSettings::default().seed)]
    seed: u64,
    /// Regressions in the cascade
    #[arg(long, allow_negative_numbers = true, default_value_t = TrainSettings::default().windows.len())]
    stages: usize,
    /// Starts of each picture and of its mirror image
    #[arg(long, allow_negative_numbers = true, default_value_t = TrainSettings::default().starts)]
    starts: usize,
    /// Ridge penalty on the regressions' weights
    #[arg(long, allow_negative_numbers = true, default_value_t = TrainSettings::default().ridge)]
    ridge: f64,
    /// Random starts are this many times as far off as the detector's boxes
    #[arg(long, allow_negative_numbers = true, default_value_t = TrainSettings::default().spread)]
    spread: f32,
}

/// Trains, measures and saves.
pub fn run(args: &TrainArgs) -> Result<ExitCode> {
    let settings = TrainSettings {
        seed: args.seed,
        starts: args.starts,
        ridge: args.ridge,
        spread: args.spread,
        ..TrainSettings::with_stages(args.stages)
    };
    settings.check()?;
    check_output(&args.out)?;
    let AnnotatedFolder { faces, without } = annotated::open(&args.dir)?;
    if without > 0 {
        eprintln!("{}: {without} pictures have no .pts file beside them and are left out", args.dir.display());
    }
    let (trained_on, held_out) = hold_out(faces, args.hold_out, args.seed)?;
    println!("training on {} pictures, {} held out", trained_on.len(), held_out.len());

    let count = trained_on.len() as u64;
    let bar = ProgressBar::new(count * (1 + settings.windows.len() as u64));
    bar.set_style(ProgressStyle::with_template("{bar:40} {msg} {eta}").expect("a template without mistakes"));
    let trained = training::train(&trained_on, &settings, &|step| {
        bar.inc(1);
        match step {
            Step::Searched => bar.set_message("looking for the faces"),
            Step::Described { stage } => bar.set_message(format!("stage {} of {}", stage + 1, settings.windows.len())),
        }
        true
    });
    bar.finish_and_clear();
    let trained = trained?;
    let percents: Vec<String> = trained.errors.iter().map(|error| format!("{:.2}", 100.0 * error)).collect();
    println!(
        "the detector found {} of the {count} faces; error in training, % of the pupils' distance: {}",
        trained.detected,
        percents.join(", ")
    );

    let errors = summary(&measure(&trained.cascade, &held_out, &|| {})?);
    let model = LandmarkModel {
        cascade: trained.cascade,
        provenance: Provenance {
            trained_on: args.dir.display().to_string(),
            pictures: trained_on.len(),
            hold_out: args.hold_out,
            settings,
            held_out: errors,
        },
    };
    model.save(&args.out)?;
    if let Some(errors) = &errors {
        println!("held out: {}", describe(errors));
    }
    println!("{}: saved", args.out.display());
    Ok(ExitCode::SUCCESS)
}
