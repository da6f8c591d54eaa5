//! `deepid2 eval`.

use super::{CropArgs, percent};
use anyhow::Result;
use clap::Args;
use deepid2::data::dataset::Dataset;
use deepid2::data::pairs::{PairList, random::random_pairs};
use deepid2::data::store::ImageStore;
use deepid2::gpu::{self, Gpu};
use deepid2::model::{Extractor, Model};
use deepid2::report::{self, FarAxis};
use deepid2::verify::distance::Distance;
use deepid2::verify::folds::{CrossValidation, accuracy_at, cross_validate};
use deepid2::verify::summary::Summary;
use deepid2::verify::threshold::Criterion;
use deepid2::verify::trials::Trials;
use indicatif::ProgressBar;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

const BATCH: usize = 64;

#[derive(Debug, Args)]
#[group(skip)]
pub struct EvalArgs {
    /// Model that `deepid2 train` saved
    model: PathBuf,
    /// Folder with a sub-folder per identity: balanced random pairs. With --pairs: where its pictures are
    #[arg(long, value_name = "DIR", required_unless_present = "pairs")]
    data: Option<PathBuf>,
    /// Pairs in LFW's format (names below --data), or lines of `path path 0|1`
    #[arg(long, value_name = "FILE")]
    pairs: Option<PathBuf>,
    /// Most random pairs drawn from --data
    #[arg(long, allow_negative_numbers = true, default_value_t = 6000)]
    max_pairs: usize,
    /// Folds of random pairs; no identity is in two
    #[arg(long, allow_negative_numbers = true, default_value_t = 10)]
    folds: u32,
    /// Seed of the random pairs
    #[arg(long, allow_negative_numbers = true, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    crop: CropArgs,
    /// Write the ROC curves of the model and of raw pixels to this SVG file
    #[arg(long, value_name = "FILE.svg")]
    roc: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl EvalArgs {
    fn pair_list(&self) -> Result<PairList> {
        match (&self.pairs, &self.data) {
            (Some(pairs), data) => {
                let beside = pairs.parent().unwrap_or(Path::new("."));
                Ok(PairList::open(pairs, data.as_deref().unwrap_or(beside))?)
            }
            (None, Some(data)) => Ok(random_pairs(&Dataset::open(data)?, self.max_pairs, self.folds, self.seed)?),
            (None, None) => unreachable!("clap asks for one of them"),
        }
    }
}

/// Measures the model and the floor of raw pixels.
pub fn run(args: &EvalArgs, open: impl FnOnce() -> Result<Gpu, gpu::Error>) -> Result<ExitCode> {
    let model = Model::load(&args.model)?;
    let list = args.pair_list()?;
    let bar = ProgressBar::new(list.pictures.len() as u64);
    let cut = args.crop.cut(&model, &list.pictures)?;
    let images = ImageStore::load(list.pictures.clone(), cut, u64::MAX, &|| bar.inc(1))?;
    bar.finish_and_clear();
    let images = Arc::new(images);
    let gpu = open()?;
    let embeddings = Extractor::of_model(&gpu, &model, BATCH)?.embed(&images, &|_| {})?;
    let network = Judged::new(&list, &embeddings, model.spec.embedding)?;
    let raw_pixels = Judged::new(&list, &images.pixels()?, images.spec().stored_bytes())?;
    if let Some(path) = &args.roc {
        let curves = [("network".into(), network.trials.roc()), ("raw pixels".into(), raw_pixels.trials.roc())];
        report::roc(path, &curves, FarAxis::Logarithmic)?;
    }
    let own =
        model.threshold.as_ref().map(|chosen| accuracy_at(chosen.distance, network.distances.iter().zip(&list.pairs)));
    if args.json {
        println!(
            "{}",
            serde_json::json!({
                "pairs": list.pairs.len(),
                "pictures": list.pictures.len(),
                "network": network.json(),
                "raw_pixels": raw_pixels.json(),
                "accuracy_at_the_models_threshold": own,
            })
        );
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} pairs of {} pictures, {} folds", list.pairs.len(), list.pictures.len(), list.folds);
    println!("network     {}", network.describe());
    println!("raw pixels  {}", raw_pixels.describe());
    if let (Some(accuracy), Some(chosen)) = (own, &model.threshold) {
        println!(
            "at the model's own threshold {:.3} (chosen on {}): {}",
            chosen.distance,
            chosen.chosen_on,
            percent(accuracy)
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Distances of the pairs by one kind of vector.
struct Judged {
    distances: Vec<f64>,
    trials: Trials,
    /// Absent where there is one fold only.
    folds: Option<CrossValidation>,
}

impl Judged {
    fn new(list: &PairList, vectors: &[f32], dimension: usize) -> Result<Self> {
        let distances = Distance::Euclidean.of_pairs(vectors, dimension, &list.pairs)?;
        let trials = Trials::of_pairs(&distances, &list.pairs)?;
        let folds = match list.folds {
            1 => None,
            _ => Some(cross_validate(&distances, &list.pairs, Criterion::Accuracy)?),
        };
        Ok(Self { distances, trials, folds })
    }

    fn describe(&self) -> String {
        let Summary { auc, eer, tar_at_far, most_accurate, .. } = self.trials.summary();
        let accuracy = match &self.folds {
            Some(folds) => {
                format!("accuracy {:.2} ± {:.2} %", 100.0 * folds.mean, 100.0 * folds.standard_error)
            }
            None => format!("accuracy {} (threshold chosen on the same pairs)", percent(most_accurate.accuracy)),
        };
        let tars: Vec<String> = tar_at_far
            .iter()
            .map(|at| match at.tar {
                Some(tar) => format!("{} at FAR {}", percent(tar), at.far),
                None => format!("too few pairs at FAR {}", at.far),
            })
            .collect();
        format!("{accuracy}, AUC {auc:.4}, EER {}, TAR {}", percent(eer), tars.join(", "))
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({ "cross_validation": self.folds, "summary": self.trials.summary() })
    }
}
