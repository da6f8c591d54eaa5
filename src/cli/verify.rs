//! `deepid2 verify`.

use super::photographs::PhotographArgs;
use super::{CropArgs, percent};
use anyhow::Result;
use clap::Args;
use deepid2::bundle::is_bundle;
use deepid2::data::store::ImageStore;
use deepid2::face::aligner::FaceChoice;
use deepid2::gpu::{self, Gpu};
use deepid2::model::{Extractor, Model};
use deepid2::verify::distance::Distance;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Bundle that `deepid2 pipeline` or `deepid2 bundle` made, for photographs; or a model that `deepid2 train` saved, for
    /// cropped faces
    #[arg(value_name = "BUNDLE|MODEL")]
    model: PathBuf,
    /// First picture
    a: PathBuf,
    /// Second picture
    b: PathBuf,
    #[command(flatten)]
    crop: CropArgs,
    #[command(flatten)]
    photographs: PhotographArgs,
    /// Decide at this score of a bundle, or this distance of a model, instead of its own
    #[arg(long, allow_negative_numbers = true, value_parser = super::finite, value_name = "NUMBER")]
    threshold: Option<f64>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Compares two pictures.
pub fn run(args: &VerifyArgs, open: impl FnOnce() -> Result<Gpu, gpu::Error>) -> Result<ExitCode> {
    if is_bundle(&args.model) {
        args.crop.refuse_for_bundle()?;
        return run_bundle(args, &open()?);
    }
    args.photographs.refuse_for_model()?;
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

/// Compares the faces of two photographs.
fn run_bundle(args: &VerifyArgs, gpu: &Gpu) -> Result<ExitCode> {
    let mut recogniser = args.photographs.open(gpu, &args.model, Some(FaceChoice::All))?.recogniser;
    let faces = [recogniser.only_face(&args.a)?, recogniser.only_face(&args.b)?];
    let verifier = &recogniser.verifier;
    let [a, b] = [verifier.prepare(&faces[0].reduced)?, verifier.prepare(&faces[1].reduced)?];
    let ratios = verifier.ratios(&a, 0, &b, 0);
    let score = verifier.fuse(&ratios);
    let chosen = &verifier.threshold;
    let threshold = args.threshold.unwrap_or(chosen.score);
    let same = score >= threshold;
    if args.json {
        println!(
            "{}",
            serde_json::json!({
                "score": score, "threshold": threshold, "same": same, "log_likelihood_ratios": ratios,
                "chosen_on": chosen.chosen_on, "faces": [faces[0].found[0].bounds, faces[1].found[0].bounds],
            })
        );
        return Ok(ExitCode::SUCCESS);
    }
    let verdict = if same { "the same person" } else { "different people" };
    println!("{verdict}: score {score:.3}, threshold {threshold:.3} (the larger, the more like one person)");
    if args.threshold.is_none() {
        println!("threshold chosen on {}, where it is right in {}", chosen.chosen_on, percent(chosen.accuracy));
    }
    Ok(ExitCode::SUCCESS)
}
