//! `deepid2 cluster`.

use super::photographs::{PhotographArgs, bar, report_rejected};
use anyhow::Result;
use clap::Args;
use deepid2::bundle::cluster::cluster;
use deepid2::bundle::gallery::Gallery;
use deepid2::face::aligner::FaceChoice;
use deepid2::files::{atomic_write, check_output};
use deepid2::gpu::{self, Gpu};
use deepid2::report::csv::quoted;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct ClusterArgs {
    /// Bundle that `deepid2 pipeline` or `deepid2 bundle` made
    bundle: PathBuf,
    /// Folder of photographs, searched to any depth
    dir: PathBuf,
    /// Table to write, person,path,left,top,width,height; without it, the table is printed
    #[arg(short, long, value_name = "FILE.csv")]
    output: Option<PathBuf>,
    /// Index of the folder: made when it is missing, brought up to date when photographs changed
    #[arg(long, value_name = "FILE")]
    index: Option<PathBuf>,
    /// Join people whose faces score at least this on average, instead of the bundle's threshold
    #[arg(long, allow_negative_numbers = true, value_parser = super::finite, value_name = "SCORE")]
    threshold: Option<f64>,
    #[command(flatten)]
    photographs: PhotographArgs,
}

/// Groups the faces of a folder by person.
pub fn run(args: &ClusterArgs, open: impl FnOnce() -> Result<Gpu, gpu::Error>) -> Result<ExitCode> {
    args.output.iter().chain(&args.index).try_for_each(|path| check_output(path))?;
    let mut bundle = args.photographs.open(&open()?, &args.bundle, Some(FaceChoice::All))?;
    let bar = bar(0);
    let gallery = Gallery::open(&mut bundle, &args.dir, args.index.as_deref(), &|done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    report_rejected(&gallery.faces);
    let threshold = args.threshold.unwrap_or(bundle.recogniser.verifier.threshold.score);
    let person_of = cluster(&bundle.recogniser, &gallery.faces, threshold)?;
    let people = person_of.iter().max().map_or(0, |last| last + 1);
    let mut order: Vec<usize> = (0..person_of.len()).collect();
    order.sort_by_key(|&face| person_of[face]);
    let mut table = String::from("person,path,left,top,width,height\n");
    for face in order {
        let found = &gallery.faces.found[face];
        let [left, top, width, height] = found.bounds;
        let path = found.path.display().to_string();
        let path = quoted(&path);
        table += &format!("{},{path},{left:.0},{top:.0},{width:.0},{height:.0}\n", person_of[face] + 1);
    }
    match &args.output {
        Some(output) => {
            atomic_write(output, table.as_bytes())?;
            println!("{people} people on {} faces; {}", person_of.len(), output.display());
        }
        None => {
            print!("{table}");
            eprintln!("{people} people on {} faces", person_of.len());
        }
    }
    Ok(ExitCode::SUCCESS)
}
