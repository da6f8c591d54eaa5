//! `deepid2 extract`.

use super::train_patches::{PatchList, default_at_once, patch_list};
use anyhow::{Result, bail};
use clap::Args;
use deepid2::face::patches::Patch;
use deepid2::gpu::{self, Gpu};
use deepid2::pipeline::extract::{ExtractSettings, extract};
use deepid2::pipeline::patch_nets::collect;
use deepid2::train::interrupt;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

#[derive(Debug, Args)]
pub struct ExtractArgs {
    /// Folder of networks that `deepid2 train --patches` made
    nets: PathBuf,
    /// Folder of aligned faces that `deepid2 align` made
    #[arg(long, value_name = "ALIGNED")]
    data: PathBuf,
    /// Folder for the vectors, a safetensors file a patch; one that was interrupted is gone on with
    #[arg(long, value_name = "VECTORS")]
    out: PathBuf,
    /// Patches whose vectors are wanted, such as 0-24,30; by default those whose networks are done
    #[arg(long, value_name = "LIST", value_parser = patch_list)]
    patches: Option<PatchList>,
    /// Pictures a pass
    #[arg(long, allow_negative_numbers = true, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
    /// Networks that are on the device at once, for which a picture is decoded once [default: 32]
    #[arg(long, allow_negative_numbers = true, value_name = "NETS", value_parser = clap::value_parser!(u32).range(1..=200))]
    nets_at_once: Option<u32>,
}

/// Networks on the device at once: decoding is then a small part of the work, at some 10 MB a network.
const AT_ONCE: usize = 32;

/// Extracts, or goes on.
pub fn run(args: &ExtractArgs, open: impl FnOnce() -> Result<Gpu, gpu::Error>) -> Result<ExitCode> {
    let patches: Vec<Patch> = match &args.patches {
        Some(PatchList(patches)) => patches.clone(),
        None => collect(&args.nets, Patch::all())?.done.into_iter().map(|(patch, _)| patch).collect(),
    };
    if patches.is_empty() {
        bail!("{}: no network is done; train some with `deepid2 train --patches`", args.nets.display());
    }
    let interrupt = interrupt::installed()?;
    let gpu = open()?;
    let settings = ExtractSettings {
        faces: args.data.clone(),
        nets: args.nets.clone(),
        out: args.out.clone(),
        patches,
        batch: args.batch as usize,
        at_once: args.nets_at_once.map_or(AT_ONCE.max(default_at_once(&gpu)), |nets| nets as usize),
    };
    let bar = ProgressBar::new(0);
    bar.set_style(
        ProgressStyle::with_template("{bar:30} {pos}/{len} vector pairs, {per_sec}, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let begun = Instant::now();
    let mut passes = 0;
    let extracted = extract(&gpu, &settings, &interrupt, &mut |done, total| {
        passes = 2 * done;
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    let speed = match passes {
        0 => String::new(),
        passes => format!(", {:.0} images/s through a network", passes as f64 / begun.elapsed().as_secs_f64()),
    };
    println!(
        "{} faces, vectors of {} patches ({} now){speed}",
        extracted.faces,
        extracted.before + extracted.written,
        extracted.written
    );
    if extracted.finished {
        return Ok(ExitCode::SUCCESS);
    }
    println!("stopped; the same command goes on");
    Ok(ExitCode::from(interrupt::EXIT_STATUS as u8))
}
