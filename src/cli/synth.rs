//! `deepid2 synth`.

use anyhow::Result;
use clap::Args;
use deepid2::data::synth::{SynthSpec, Written, write_dataset};
use indicatif::ProgressBar;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct SynthArgs {
    /// Folder to fill: one sub-folder an identity, pictures as jpg, 21 landmarks each as pts
    dir: PathBuf,
    /// People
    #[arg(long, allow_negative_numbers = true, default_value_t = SynthSpec::default().identities)]
    identities: u32,
    /// Pictures of each
    #[arg(long, allow_negative_numbers = true, default_value_t = SynthSpec::default().images)]
    images: u32,
    /// Seed: the same seed draws the same people
    #[arg(long, allow_negative_numbers = true, default_value_t = SynthSpec::default().seed)]
    seed: u64,
    /// Width and height of a picture in pixels
    #[arg(long, allow_negative_numbers = true, default_value_t = SynthSpec::default().size)]
    size: u32,
}

/// Draws the folder.
pub fn run(args: &SynthArgs) -> Result<ExitCode> {
    let SynthArgs { identities, images, seed, size, .. } = *args;
    println!("{}", draw(&args.dir, &SynthSpec { identities, images, seed, size })?);
    Ok(ExitCode::SUCCESS)
}

/// Draws a folder with a progress bar and says what was done.
pub fn draw(dir: &Path, spec: &SynthSpec) -> Result<String> {
    spec.check()?;
    let bar = ProgressBar::new(u64::from(spec.identities) * u64::from(spec.images));
    let written = write_dataset(dir, spec, &|| bar.inc(1));
    bar.finish_and_clear();
    Ok(match written? {
        Written::Drawn { pictures } => format!("{}: drew {pictures} pictures ({spec})", dir.display()),
        Written::AlreadyThere => format!("{}: already holds {spec}", dir.display()),
    })
}
