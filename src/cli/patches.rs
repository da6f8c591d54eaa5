//! `deepid2 patches`.

use super::align::FindingArgs;
use super::write_png;
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use deepid2::data::decode::decode_upright;
use deepid2::face::canonical::{HEIGHT, WIDTH};
use deepid2::face::index::AlignedFaces;
use deepid2::face::patches::{ALL_REGIONS, Centre, Patch, SCALES};
use deepid2::face::points::LANDMARK_NAMES;
use deepid2::face::sheet::contact_sheet;
use deepid2::files::check_other;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub enum PatchesCommand {
    /// List the 20 regions, their 5 scales and the numbers of the 200 patches
    List(ListArgs),
    /// Draw the 200 patches of a face, and their windows on it
    Draw(DrawArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print a JSON array of the 200 patches
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct DrawArgs {
    /// A picture in a folder that `deepid2 align` made; with --landmarks, any photograph
    picture: PathBuf,
    /// Picture to write (png)
    #[arg(short, long, value_name = "FILE.png", default_value = "patches.png")]
    output: PathBuf,
    #[command(flatten)]
    finding: FindingArgs,
}

/// Runs a subcommand of `patches`.
pub fn run(command: &PatchesCommand) -> Result<ExitCode> {
    match command {
        PatchesCommand::List(args) => list(args),
        PatchesCommand::Draw(args) => draw(args),
    }
}

fn list(args: &ListArgs) -> Result<ExitCode> {
    if args.json {
        let all: Vec<_> = Patch::all().map(json).collect();
        println!("{}", serde_json::to_string(&all)?);
        return Ok(ExitCode::SUCCESS);
    }
    println!("{:<9} {:<14} {:<6} {:<36} widths in pupil distances", "patches", "region", "input", "centred on");
    for (number, region) in ALL_REGIONS.iter().enumerate() {
        let (rows, columns) = region.input;
        let first = number * SCALES * 2;
        println!(
            "{:<9} {:<14} {:<6} {:<36} {}",
            format!("{first}-{}", first + 2 * SCALES - 1),
            region.name,
            format!("{rows}x{columns}"),
            centre(region.centre),
            region.widths.map(|width| format!("{width:.1}")).join(" ")
        );
    }
    println!();
    println!("Within a region: RGB and gray of the first width, RGB and gray of the second, and so on.");
    println!("Patch 5 is `{}`. Vector 2p is patch p as it is; vector 2p + 1 is the mirror image", Patch::new(5)?);
    println!("of its counterpart: the window on the face's other side, or the same one on the middle line.");
    Ok(ExitCode::SUCCESS)
}

/// In words.
fn centre(centre: Centre) -> String {
    match centre {
        Centre::Fixed(x, y) => format!("x {x}, y {y} of {WIDTH}x{HEIGHT}"),
        Centre::Landmark(index) => LANDMARK_NAMES[index].into(),
        Centre::Middle(first, second) => format!("{} + {}", LANDMARK_NAMES[first], LANDMARK_NAMES[second]),
    }
}

fn json(patch: Patch) -> serde_json::Value {
    let (rows, columns) = patch.input();
    let [width, height] = patch.size();
    serde_json::json!({
        "patch": patch.index(),
        "name": patch.to_string(),
        "region": patch.region().name,
        "scale": patch.scale(),
        "channels": patch.channels(),
        "rows": rows,
        "columns": columns,
        "centre": centre(patch.region().centre),
        "width": width,
        "height": height,
        "paired": patch.is_paired(),
        "vectors": [2 * patch.index(), 2 * patch.index() + 1],
    })
}

fn draw(args: &DrawArgs) -> Result<ExitCode> {
    check_other(&args.output, &args.picture)?;
    let (picture, landmarks) = if AlignedFaces::folder_of(&args.picture).is_some() {
        let faces = AlignedFaces::of_pictures(std::slice::from_ref(&args.picture))?;
        (decode_upright(&args.picture)?.into_rgb8(), faces.get(&args.picture)?.landmarks)
    } else if args.finding.is_given() {
        let mut faces = args
            .finding
            .aligner()?
            .align_file(&args.picture)
            .map_err(|reason| anyhow::anyhow!("{}: {reason}", args.picture.display()))?;
        let face = faces.swap_remove(0);
        (face.aligned.picture, face.landmarks)
    } else {
        bail!(
            "{}: not in a folder that `deepid2 align` made; give such a picture, or --landmarks MODEL that `deepid2 landmarks train` saved, to align this one",
            args.picture.display()
        );
    };
    write_png(&args.output, &contact_sheet(&picture, &landmarks))?;
    println!("{}: {} patches", args.output.display(), Patch::all().len());
    Ok(ExitCode::SUCCESS)
}
