//! `deepid2 embed`.

use super::CropArgs;
use super::photographs::{PhotographArgs, report_rejected};
use anyhow::{Result, bail};
use clap::Args;
use deepid2::bundle::{Bundle, is_bundle};
use deepid2::data::dataset::find_images;
use deepid2::data::store::ImageStore;
use deepid2::files::{atomic_write, check_output};
use deepid2::gpu::{self, Gpu};
use deepid2::model::{Extractor, Model};
use deepid2::report::{write_csv, write_npy};
use indicatif::ProgressBar;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Debug, Args)]
pub struct EmbedArgs {
    /// Bundle that `deepid2 pipeline` or `deepid2 bundle` made, for photographs; or a model that `deepid2 train` saved, for
    /// cropped faces
    #[arg(value_name = "BUNDLE|MODEL")]
    model: PathBuf,
    /// A picture, or a folder searched to any depth
    dir: PathBuf,
    /// Table to write: .npy (with the pictures' paths, a line a row, in a .txt beside it) or .csv. A row is a DeepID2 vector,
    /// or of a bundle a face's reduced vectors of all groups
    #[arg(short, long, value_name = "FILE.npy|FILE.csv")]
    output: PathBuf,
    #[command(flatten)]
    crop: CropArgs,
    #[command(flatten)]
    photographs: PhotographArgs,
    /// Pictures a step
    #[arg(long, allow_negative_numbers = true, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
}

/// What is written.
struct Table {
    /// The picture of each row.
    pictures: Vec<PathBuf>,
    values: Vec<f32>,
    dimension: usize,
}

/// Writes the table.
pub fn run(args: &EmbedArgs, open: impl FnOnce() -> Result<Gpu, gpu::Error>) -> Result<ExitCode> {
    let extension = args.output.extension().and_then(|extension| extension.to_str());
    if !matches!(extension, Some("npy" | "csv")) {
        bail!("--output {}: expected a name that ends in .npy or .csv", args.output.display());
    }
    check_output(&args.output)?;
    match is_bundle(&args.model) {
        true => args.crop.refuse_for_bundle()?,
        false => args.photographs.refuse_for_model()?,
    }
    let Table { pictures, values, dimension } = match is_bundle(&args.model) {
        true => of_bundle(args, &open()?)?,
        false => of_model(args, open)?,
    };
    if extension == Some("npy") {
        write_npy(&args.output, &values, dimension)?;
        let paths: String = pictures.iter().map(|path| format!("{}\n", path.display())).collect();
        atomic_write(&args.output.with_extension("txt"), paths.as_bytes())?;
    } else {
        write_csv(&args.output, &pictures, None, &values, dimension)?;
    }
    println!("{}: {} embeddings of {dimension} numbers", args.output.display(), pictures.len());
    Ok(ExitCode::SUCCESS)
}

fn of_model(args: &EmbedArgs, open: impl FnOnce() -> Result<Gpu, gpu::Error>) -> Result<Table> {
    let model = Model::load(&args.model)?;
    let pictures = find_images(&args.dir)?;
    // Nothing is cached: each picture is decoded once, so memory stays flat whatever the folder's size.
    let images = Arc::new(ImageStore::load(pictures.clone(), args.crop.cut(&model, &pictures)?, 0, &|| {})?);
    let bar = ProgressBar::new(pictures.len() as u64);
    let mut extractor = Extractor::of_model(&open()?, &model, args.batch as usize)?;
    let values = extractor.embed(&images, &|done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    Ok(Table { pictures, values, dimension: model.spec.embedding })
}

fn of_bundle(args: &EmbedArgs, gpu: &Gpu) -> Result<Table> {
    let Bundle { mut recogniser, .. } = args.photographs.open(gpu, &args.model, None)?;
    let photographs = find_images(&args.dir)?;
    let bar = ProgressBar::new(photographs.len() as u64);
    let faces = recogniser.faces(&photographs, &|done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    report_rejected(&faces);
    if faces.found.is_empty() {
        bail!("{}: none of its {} pictures shows a face that can be used", args.dir.display(), photographs.len());
    }
    let widths: Vec<usize> = recogniser.verifier.groups.iter().map(|group| group.pca.components()).collect();
    let row = |face: usize| {
        let groups = faces.reduced.iter().zip(&widths);
        groups.flat_map(move |(rows, &width)| &rows[face * width..(face + 1) * width]).copied()
    };
    Ok(Table {
        values: (0..faces.found.len()).flat_map(row).collect(),
        pictures: faces.found.iter().map(|face| face.path.clone()).collect(),
        dimension: widths.iter().sum(),
    })
}
