//! `deepid2 select`.

use super::fit::TransformArg;
use super::train_patches::{PatchList, patch_list};
use anyhow::{Result, bail};
use clap::Args;
use deepid2::face::patches::Patch;
use deepid2::files::check_output;
use deepid2::pipeline::fit::VectorFolder;
use deepid2::pipeline::select::{Inputs, SelectSettings, select};
use deepid2::pipeline::vectors;
use deepid2::select::risk::Method;
use deepid2::train::interrupt;
use deepid2::verify::transform::Transform;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct SelectArgs {
    /// Folder of vectors that `deepid2 extract` made
    vectors: PathBuf,
    /// Folder of aligned faces that they were extracted from
    #[arg(long, value_name = "ALIGNED")]
    data: PathBuf,
    /// File for the choice, JSON; one that was interrupted is gone on with
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Patches whose vectors are candidates, such as 0-24,30; by default all in the folder
    #[arg(long, value_name = "LIST", value_parser = patch_list)]
    patches: Option<PatchList>,
    /// Vectors in a group [default: 25, or as many as there are]
    #[arg(long, value_name = "VECTORS")]
    size: Option<usize>,
    /// Groups, each of vectors that no other has taken [default: 7, or as many as the vectors give]
    #[arg(long)]
    groups: Option<usize>,
    /// A vector is taken back when that costs less than this share of the last gain
    #[arg(long, allow_negative_numbers = true, default_value_t = SelectSettings::default().nu, value_name = "SHARE")]
    nu: f64,
    /// Held-out pairs that the choice is judged by
    #[arg(long, default_value_t = SelectSettings::default().pairs)]
    pairs: usize,
    /// What is done to each number of a vector before PCA, here and by `fit` [default: square-root]
    #[arg(long, value_name = "FUNCTION")]
    transform: Option<TransformArg>,
    /// Fit PCA and Joint Bayesian to every candidate on whole vectors: slow
    #[arg(long)]
    exact: bool,
}

/// Chooses, or goes on choosing.
pub fn run(args: &SelectArgs) -> Result<ExitCode> {
    let patches: Vec<Patch> = match &args.patches {
        Some(PatchList(patches)) => patches.clone(),
        None => Patch::all().filter(|patch| vectors::path(&args.vectors, patch.index()).is_file()).collect(),
    };
    if patches.is_empty() {
        bail!("{}: no vectors in it; give a folder that `deepid2 extract` made", args.vectors.display());
    }
    if args.out.exists() {
        bail!("{} already exists; give another --out, or remove it", args.out.display());
    }
    check_output(&args.out)?;
    let (folder, people) = VectorFolder::open(&args.vectors, &args.data, patches[0].index())?;
    let mut settings = SelectSettings { nu: args.nu, pairs: args.pairs, ..SelectSettings::default() };
    settings.transform = args.transform.map_or(settings.transform, Transform::from);
    settings.size = args.size.unwrap_or(settings.size);
    settings.groups = args.groups.unwrap_or(settings.groups);
    if args.size.is_none() && args.groups.is_none() {
        settings = settings.fitting(patches.len());
    }
    if args.exact {
        settings.risk.method = Method::Exact;
    }
    let inputs = Inputs { vectors: &folder, patches: &patches, people: &people };
    let interrupt = interrupt::installed()?;
    match select(&inputs, &settings, &args.out, &interrupt, &|text| eprintln!("{text}"))? {
        Some(selection) => {
            for (number, group) in selection.groups().iter().enumerate() {
                println!("group {}: {group:?}", number + 1);
            }
            println!("{}", args.out.display());
            Ok(ExitCode::SUCCESS)
        }
        None => {
            println!("stopped; the same command goes on");
            Ok(ExitCode::from(interrupt::EXIT_STATUS as u8))
        }
    }
}
