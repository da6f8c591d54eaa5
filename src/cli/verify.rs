//! `deepid2 verify`.

use super::{CropArgs, percent};
use anyhow::Result;
use clap::Args;
use deepid2::data::store::ImageStore;
use deepid2::gpu::{self, Gpu};
use deepid2::model::{Extractor, Model};
use deepid2::verify::distance::Distance;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Model that `deepid2 train` saved, such as RUN/best.safetensors
    model: PathBuf,
    /// First picture
    a: PathBuf,
    /// Second picture
    b: PathBuf,
    #[command(flatten)]
    crop: CropArgs,
    /// Decide at this distance instead of the model's
    #[arg(long, allow_negative_numbers = true, value_name = "DISTANCE")]
    threshold: Option<f64>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Compares two pictures.
pub fn run(args: &VerifyArgs, open: impl FnOnce() -> Result<Gpu, gpu::Error>) -> Result<ExitCode> {
    let model = Model::load(&args.model)?;
    let pictures = vec![args.a.clone(), args.b.clone()];
    let cut = args.crop.cut(&model, &pictures)?;
    let images = Arc::new(ImageStore::load(pictures, cut, u64::MAX, &|| {})?);
    let embeddings = Extractor::of_model(&open()?, &model, 2)?.embed(&images, &|_| {})?;
    let (a, b) = embeddings.split_at(model.spec.embedding);
    let distance = Distance::Euclidean.between(a, b);
    let threshold = args.threshold.or(model.threshold.as_ref().map(|chosen| chosen.distance));
    let same = threshold.map(|threshold| distance <= threshold);
    if args.json {
        let chosen_on = model.threshold.as_ref().map(|chosen| chosen.chosen_on.as_str());
        println!(
            "{}",
            serde_json::json!({ "distance": distance, "threshold": threshold, "same": same, "chosen_on": chosen_on })
        );
        return Ok(ExitCode::SUCCESS);
    }
    match threshold {
        Some(threshold) => {
            let verdict = if distance <= threshold { "the same person" } else { "different people" };
            println!("{verdict}: distance {distance:.3}, threshold {threshold:.3}");
        }
        None => println!(
            "distance {distance:.3}; the model has no threshold (it was trained without validation): pass --threshold"
        ),
    }
    if let (None, Some(chosen)) = (args.threshold, &model.threshold) {
        println!("threshold chosen on {}, where it is right in {}", chosen.chosen_on, percent(chosen.accuracy));
    }
    Ok(ExitCode::SUCCESS)
}
