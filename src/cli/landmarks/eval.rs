//! `deepid2 landmarks eval`.

use super::describe;
use anyhow::{Result, bail};
use clap::Args;
use deepid2::face::accuracy::{FAILURE, by_landmark, measure, summary};
use deepid2::face::annotated::{self, hold_out};
use deepid2::face::landmark_model::LandmarkModel;
use deepid2::face::points::LANDMARK_NAMES;
use deepid2::files::check_output;
use deepid2::report::cumulative_errors;
use indicatif::ProgressBar;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Model that `deepid2 landmarks train` made
    model: PathBuf,
    /// Folder with pictures and .pts files: that of the training, of which the held-out pictures are measured, or any
    /// other with --all
    dir: PathBuf,
    /// Measure all pictures of the folder, which must be none that the model was trained on
    #[arg(long)]
    all: bool,
    /// Write the cumulative curve of the errors to this SVG file
    #[arg(long, value_name = "FILE.svg")]
    curve: Option<PathBuf>,
    /// Print one JSON object, with the errors of every face
    #[arg(long)]
    json: bool,
}

/// Measures the model.
pub fn run(args: &EvalArgs) -> Result<ExitCode> {
    args.curve.iter().try_for_each(|path| check_output(path))?;
    let model = LandmarkModel::load(&args.model)?;
    let mut faces = annotated::open(&args.dir)?.faces;
    if !args.all {
        let provenance = &model.provenance;
        let total = provenance.pictures + provenance.held_out.map_or(0, |held_out| held_out.pictures);
        if provenance.hold_out == 0.0 {
            bail!(
                "{}: was trained without holding pictures out; pass --all with a folder that it was not trained on",
                args.model.display()
            );
        }
        if total != faces.len() {
            bail!(
                "{}: {} annotated pictures, but {} was trained on a folder of {total} and holds out a share of those; name that folder, or pass --all with one that it was not trained on",
                args.dir.display(),
                faces.len(),
                args.model.display()
            );
        }
        faces = hold_out(faces, provenance.hold_out, provenance.settings.seed)?.1;
    }
    let bar = ProgressBar::new(faces.len() as u64);
    let errors = measure(&model.cascade, &faces, &|| bar.inc(1))?;
    bar.finish_and_clear();
    let Some(total) = summary(&errors) else { bail!("{}: no pictures to measure", args.dir.display()) };
    if let Some(path) = &args.curve {
        let curve = errors.iter().map(|error| error.over_eye_corners).collect();
        cumulative_errors(path, &[("landmarks".into(), curve)], FAILURE, "distance of the outer eye corners")?;
    }
    if args.json {
        println!("{}", serde_json::json!({ "summary": total, "faces": errors }));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}", describe(&total));
    for (name, error) in LANDMARK_NAMES.iter().zip(by_landmark(&errors)) {
        println!("  {name:<24}{:>6.2} %", 100.0 * error);
    }
    Ok(ExitCode::SUCCESS)
}
