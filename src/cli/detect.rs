//! `deepid2 detect`.

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use deepid2::data::dataset::find_images;
use deepid2::face::detect::{DetectSettings, Detector, FaceBox, FaceSource};
use deepid2::face::picture::Picture;
use deepid2::report::quoted;
use indicatif::ProgressBar;
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Pictures that are searched before their lines are printed.
const CHUNK: usize = 64;

#[derive(Debug, Args)]
pub struct DetectArgs {
    /// A picture, or a folder searched to any depth
    path: PathBuf,
    /// Print one JSON object a picture
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print comma-separated values, a line a face and a line a picture without one
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    search: SearchArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Faces {
    /// The largest one of a picture
    Largest,
    /// All that are found
    All,
}

/// Where faces are looked for.
#[derive(Debug, Args)]
#[command(next_help_heading = "Detection")]
pub struct SearchArgs {
    /// Which faces of a picture
    #[arg(long, value_enum, default_value_t = Faces::Largest)]
    face: Faces,
    /// The pictures are cropped to their faces: take the square in their middle instead of looking for faces
    #[arg(long, conflicts_with = "face")]
    no_detect: bool,
    /// Side of the square in the middle, as a share of the picture's shorter side
    #[arg(long, allow_negative_numbers = true, value_name = "SHARE", default_value_t = super::FACE_SHARE)]
    face_share: f32,
    /// Width of the smallest face looked for, in pixels; larger is faster
    #[arg(long, allow_negative_numbers = true, value_name = "PIXELS", default_value_t = DetectSettings::default().min_face)]
    min_face: f32,
    /// Pictures are shrunk to this many pixels on the longer side before they are searched
    #[arg(long, allow_negative_numbers = true, value_name = "PIXELS", default_value_t = DetectSettings::default().longest_side)]
    longest_side: usize,
    /// Lowest score of a face; lower finds more faces, and more that are none
    #[arg(long, allow_negative_numbers = true, value_name = "SCORE", default_value_t = DetectSettings::default().threshold)]
    min_score: f64,
}

impl SearchArgs {
    /// The search that the flags describe.
    pub fn search(&self) -> Result<FaceSource> {
        let settings = DetectSettings {
            min_face: self.min_face,
            longest_side: self.longest_side,
            threshold: self.min_score,
            ..DetectSettings::default()
        };
        let search = match (self.no_detect, self.face) {
            (true, _) => FaceSource::Central(self.face_share),
            (false, Faces::Largest) => FaceSource::Largest(settings),
            (false, Faces::All) => FaceSource::All(settings),
        };
        search.check()?;
        Ok(search)
    }
}

/// What a picture holds.
struct Found {
    faces: Vec<FaceBox>,
    /// Why there is none.
    reason: Option<String>,
}

/// Prints the faces of the pictures, in the order of their names.
pub fn run(args: &DetectArgs) -> Result<ExitCode> {
    let search = args.search.search()?;
    let pictures = find_images(&args.path)?;
    let detector = Detector::new();
    if args.csv {
        println!("path,x,y,width,height,score,reason");
    }
    let bar = ProgressBar::new(pictures.len() as u64);
    let (mut without, mut unreadable) = (0, 0);
    for chunk in pictures.chunks(CHUNK) {
        let found = chunk.par_iter().map(|path| look(&detector, &search, path)).collect::<Result<Vec<_>>>()?;
        bar.suspend(|| {
            for (path, (found, is_unreadable)) in chunk.iter().zip(&found) {
                unreadable += usize::from(*is_unreadable);
                without += usize::from(found.faces.is_empty() && !is_unreadable);
                print(args, path, found);
            }
        });
        bar.inc(chunk.len() as u64);
    }
    bar.finish_and_clear();
    let count = pictures.len();
    if unreadable > 0 {
        bail!("{unreadable} of {count} pictures cannot be read (their lines say why); replace or remove them");
    }
    if without == count {
        let subject =
            if count == 1 { "no face found".into() } else { format!("no face found in any of {count} pictures") };
        bail!(
            "{}: {subject}; lower --min-face or --min-score, or pass --no-detect where it is cropped to the face",
            args.path.display()
        );
    }
    if without > 0 {
        eprintln!("{}: no face found in {without} of {count} pictures", args.path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Searches one picture; whether it could not be read.
fn look(detector: &Detector, search: &FaceSource, path: &Path) -> Result<(Found, bool)> {
    let picture = match Picture::open(path) {
        Ok(picture) => picture,
        Err(error) => return Ok((Found { faces: vec![], reason: Some(error.to_string()) }, true)),
    };
    let faces = search.faces(detector, &picture)?;
    let reason = faces.is_empty().then(|| "no face found".to_string());
    Ok((Found { faces, reason }, false))
}

fn print(args: &DetectArgs, path: &Path, Found { faces, reason }: &Found) {
    let name = path.display().to_string();
    if args.json {
        let boxes: Vec<_> = faces.iter().map(|face| serde_json::json!(face)).collect();
        println!("{}", serde_json::json!({ "picture": name, "faces": boxes, "reason": reason }));
        return;
    }
    for FaceBox { x, y, width, height, score } in faces {
        if args.csv {
            println!("{},{x:.1},{y:.1},{width:.1},{height:.1},{score:.2},", quoted(&name));
        } else {
            println!("{name}: a face of {width:.0}×{height:.0} pixels at ({x:.0}, {y:.0}), score {score:.1}");
        }
    }
    if let Some(reason) = reason {
        if args.csv {
            println!("{},,,,,,{}", quoted(&name), quoted(reason));
        } else if reason.starts_with(&name) {
            println!("{reason}");
        } else {
            println!("{name}: {reason}");
        }
    }
}
