//! `deepid2 embed`.

use super::CropArgs;
use anyhow::{Result, bail};
use clap::Args;
use deepid2::data::dataset::find_images;
use deepid2::data::store::ImageStore;
use deepid2::files::atomic_write;
use deepid2::gpu::{self, Gpu};
use deepid2::model::{Extractor, Model};
use deepid2::report::{write_csv, write_npy};
use indicatif::ProgressBar;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Debug, Args)]
pub struct EmbedArgs {
    /// Model that `deepid2 train` saved
    model: PathBuf,
    /// A picture, or a folder searched to any depth
    dir: PathBuf,
    /// Table to write: .npy (with the pictures' paths, a line a row, in a .txt beside it) or .csv
    #[arg(short, long, value_name = "FILE.npy|FILE.csv")]
    output: PathBuf,
    #[command(flatten)]
    crop: CropArgs,
    /// Pictures a step
    #[arg(long, allow_negative_numbers = true, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
}

/// Writes the table.
pub fn run(args: &EmbedArgs, open: impl FnOnce() -> Result<Gpu, gpu::Error>) -> Result<ExitCode> {
    let extension = args.output.extension().and_then(|extension| extension.to_str());
    if !matches!(extension, Some("npy" | "csv")) {
        bail!("--output {}: expected a name that ends in .npy or .csv", args.output.display());
    }
    let model = Model::load(&args.model)?;
    let pictures = find_images(&args.dir)?;
    // Nothing is cached: each picture is decoded once, so memory stays flat whatever the folder's size.
    let images = Arc::new(ImageStore::load(pictures.clone(), args.crop.cut(&model, &pictures)?, 0, &|| {})?);
    let bar = ProgressBar::new(pictures.len() as u64);
    let mut extractor = Extractor::of_model(&open()?, &model, args.batch as usize)?;
    let embeddings = extractor.embed(&images, &|done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    if extension == Some("npy") {
        write_npy(&args.output, &embeddings, model.spec.embedding)?;
        let paths: String = pictures.iter().map(|path| format!("{}\n", path.display())).collect();
        atomic_write(&args.output.with_extension("txt"), paths.as_bytes())?;
    } else {
        write_csv(&args.output, &pictures, None, &embeddings, model.spec.embedding)?;
    }
    println!("{}: {} embeddings of {} numbers", args.output.display(), pictures.len(), model.spec.embedding);
    Ok(ExitCode::SUCCESS)
}
