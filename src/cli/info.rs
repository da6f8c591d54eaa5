//! `deepid2 info`.

use super::percent;
use anyhow::Result;
use clap::Args;
use deepid2::bundle::Manifest;
use deepid2::bundle::manifest::VERIFIER;
use deepid2::pipeline::verifier::Verifier;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct InfoArgs {
    /// Bundle that `deepid2 pipeline` or `deepid2 bundle` made
    bundle: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Checks every file of the bundle and prints its model card.
pub fn run(args: &InfoArgs) -> Result<ExitCode> {
    let manifest = Manifest::open(&args.bundle)?;
    let verifier = Verifier::load(&args.bundle.join(VERIFIER))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&manifest)?);
        return Ok(ExitCode::SUCCESS);
    }
    print!("{}", manifest.card);
    println!();
    println!("Inside");
    println!("  made by {}; detector: {}", manifest.made_by, manifest.detector);
    println!("  {} networks, {} groups of vectors", verifier.patches().len(), verifier.groups.len());
    for (number, group) in verifier.groups.iter().enumerate() {
        println!(
            "  group {}: {} vectors, PCA to {}, weight {:.3}",
            number + 1,
            group.vectors.len(),
            group.pca.components(),
            verifier.weights[number]
        );
    }
    let threshold = &verifier.threshold;
    println!(
        "  threshold {:.3}, chosen on {}: {} right, {} of different people accepted",
        threshold.score,
        threshold.chosen_on,
        percent(threshold.accuracy),
        percent(threshold.false_acceptances)
    );
    println!("  every file has the SHA-256 that the bundle was made with");
    Ok(ExitCode::SUCCESS)
}
