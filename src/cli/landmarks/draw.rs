//! `deepid2 landmarks draw`.

use super::super::write_png;
use super::detect::SearchArgs;
use anyhow::{Result, bail};
use clap::Args;
use deepid2::face::detect::Detector;
use deepid2::face::draw::{Painted, paint, scheme};
use deepid2::face::landmark_model::LandmarkModel;
use deepid2::face::picture::Picture;
use deepid2::face::pts;
use deepid2::files::{atomic_write, check_other};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct DrawArgs {
    /// Model that `deepid2 landmarks train` made, or a .pts file of the picture
    #[arg(required_unless_present = "scheme")]
    model: Option<PathBuf>,
    /// Picture to paint on
    #[arg(required_unless_present = "scheme")]
    picture: Option<PathBuf>,
    /// Draw the list of the 21 landmarks instead
    #[arg(long, conflicts_with_all = ["model", "picture"])]
    scheme: bool,
    /// Picture to write: .png, or .svg with --scheme
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    #[command(flatten)]
    search: SearchArgs,
}

/// Paints.
pub fn run(args: &DrawArgs) -> Result<ExitCode> {
    let output = args.output.display();
    let expected = if args.scheme { "svg" } else { "png" };
    if !args.output.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(expected)) {
        bail!("--output {output}: expected a name that ends in .{expected}");
    }
    let (Some(model), Some(path)) = (&args.model, &args.picture) else {
        atomic_write(&args.output, scheme().as_bytes())?;
        println!("{output}: the 21 landmarks");
        return Ok(ExitCode::SUCCESS);
    };
    check_other(&args.output, path)?;
    let search = args.search.search()?;
    let picture = Picture::open(path)?;
    let faces: Vec<Painted> = if model.extension().is_some_and(|extension| extension == "pts") {
        vec![Painted { face: None, shape: pts::read(model)? }]
    } else {
        let model = LandmarkModel::load(model)?;
        let gray = picture.gray();
        let found = search.faces(&Detector::new(), &picture)?;
        found.iter().map(|face| Painted { face: Some(*face), shape: model.fit(&gray, face) }).collect()
    };
    if faces.is_empty() {
        bail!(
            "{}: no face found; lower --min-face or --min-score, or pass --no-detect where it is cropped to the face",
            path.display()
        );
    }
    write_png(&args.output, &paint(&picture, &faces))?;
    println!("{output}: {} faces", faces.len());
    Ok(ExitCode::SUCCESS)
}
