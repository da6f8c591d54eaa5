//! `deepid2 find`.

use super::photographs::{PhotographArgs, bar, report_rejected};
use anyhow::Result;
use clap::Args;
use deepid2::bundle::gallery::Gallery;
use deepid2::face::aligner::FaceChoice;
use deepid2::files::check_output;
use deepid2::gpu::{self, Gpu};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct FindArgs {
    /// Bundle that `deepid2 pipeline` or `deepid2 bundle` made
    bundle: PathBuf,
    /// Photograph of the person looked for
    photograph: PathBuf,
    /// Folder of photographs, searched to any depth; of each, the largest face is compared unless --face says otherwise
    gallery: PathBuf,
    /// Index of the gallery: made when it is missing, brought up to date when photographs changed
    #[arg(long, value_name = "FILE")]
    index: Option<PathBuf>,
    /// Matches shown
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,
    #[command(flatten)]
    photographs: PhotographArgs,
    /// Print one JSON object a match
    #[arg(long)]
    json: bool,
}

/// Shows the best matches.
pub fn run(args: &FindArgs, open: impl FnOnce() -> Result<Gpu, gpu::Error>) -> Result<ExitCode> {
    args.index.iter().try_for_each(|path| check_output(path))?;
    let mut bundle = args.photographs.open(&open()?, &args.bundle, Some(FaceChoice::All))?;
    let query = bundle.recogniser.only_face(&args.photograph)?;
    let bar = bar(0);
    let gallery = Gallery::open(&mut bundle, &args.gallery, args.index.as_deref(), &|done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    report_rejected(&gallery.faces);
    let threshold = bundle.recogniser.verifier.threshold.score;
    let matches = gallery.best(&bundle.recogniser, &query, args.top as usize)?;
    for found in &matches {
        let (path, same) = (found.face.path.display(), found.score >= threshold);
        if args.json {
            println!(
                "{}",
                serde_json::json!({ "path": found.face.path, "box": found.face.bounds, "score": found.score, "same": same })
            );
        } else {
            let verdict = if same { "same person" } else { "different  " };
            println!("{:9.3}  {verdict}  {path}", found.score);
        }
    }
    if !args.json {
        println!(
            "{} faces in the gallery, {} photographs from the index; threshold {threshold:.3}",
            gallery.faces.found.len(),
            gallery.known
        );
    }
    Ok(ExitCode::SUCCESS)
}
