//! `deepid2 eval`.

use super::photographs::PhotographArgs;
use super::{CropArgs, percent};
use anyhow::{Result, bail};
use clap::Args;
use deepid2::bundle::manifest::MANIFEST;
use deepid2::bundle::{Bundle, evaluate, is_bundle};
use deepid2::data::dataset::Dataset;
use deepid2::data::pairs::{PairList, random::random_pairs};
use deepid2::data::store::ImageStore;
use deepid2::face::index::AlignedFaces;
use deepid2::files::check_output;
use deepid2::gpu::{self, Gpu};
use deepid2::model::{Extractor, Model};
use deepid2::pipeline::fit::VectorFolder;
use deepid2::pipeline::verifier::Verifier;
use deepid2::report::det::DetCurve;
use deepid2::report::html::NumberTable;
use deepid2::report::{self, FarAxis, HashedFile, ModelCard, ReportPage, evaluation};
use deepid2::verify::bootstrap::{Bootstrap, Interval, Intervals};
use deepid2::verify::distance::Distance;
use deepid2::verify::evaluated::Evaluated;
use deepid2::verify::extremes::extremes;
use deepid2::verify::folds::accuracy_at;
use deepid2::verify::people::People;
use deepid2::verify::summary::{REPORTED_FARS, Summary};
use deepid2::verify::trials::Trials;
use deepid2::verify::view1::{View1, view1};
use indicatif::ProgressBar;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

const BATCH: usize = 64;

#[derive(Debug, Args)]
#[group(skip)]
pub struct EvalArgs {
    /// Bundle that `deepid2 pipeline` or `deepid2 bundle` made, for photographs; or a model that `deepid2 train` saved, for
    /// cropped faces; or with --vectors a verifier that `deepid2 fit` made
    #[arg(value_name = "BUNDLE|MODEL|VERIFIER")]
    model: PathBuf,
    /// Vectors that `deepid2 extract` made of the aligned folder --data, judged by a verifier: no photograph is looked at
    /// again
    #[arg(long, value_name = "VECTORS", requires = "data")]
    vectors: Option<PathBuf>,
    /// Data set to draw balanced random pairs from: a folder with a sub-folder per identity, a list file, CelebA#B. With
    /// --pairs: where its pictures are
    #[arg(long, value_name = "DIR", required_unless_present_any = ["pairs", "view1"])]
    data: Option<PathBuf>,
    /// Pairs in LFW's format (names below --data), or lines of `path path 0|1`
    #[arg(long, value_name = "FILE")]
    pairs: Option<PathBuf>,
    /// LFW's View 1: the threshold is chosen on the pairs of the first file and judged on those of the second, which are also
    /// the pairs of everything else unless there are --pairs
    #[arg(long, num_args = 2, value_names = ["pairsDevTrain.txt", "pairsDevTest.txt"])]
    view1: Option<Vec<PathBuf>>,
    /// Most random pairs drawn from --data
    #[arg(long, allow_negative_numbers = true, default_value_t = 6000, value_name = "PAIRS")]
    max_pairs: usize,
    /// Folds of random pairs; no identity is in two
    #[arg(long, allow_negative_numbers = true, default_value_t = 10)]
    folds: u32,
    /// Seed of the random pairs and of the intervals
    #[arg(long, allow_negative_numbers = true, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    crop: CropArgs,
    #[command(flatten)]
    photographs: PhotographArgs,
    /// Write the ROC curves of the model and of raw pixels to this SVG file
    #[arg(long, value_name = "FILE.svg")]
    roc: Option<PathBuf>,
    /// Write the DET curves to this SVG file
    #[arg(long, value_name = "FILE.svg")]
    det: Option<PathBuf>,
    /// Write a page with numbers, curves, best and worst pairs, settings and hashes to this HTML file. It holds pictures of
    /// the people in the pairs
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// How often people are drawn anew for the 95 % intervals
    #[arg(long, allow_negative_numbers = true, default_value_t = 1000)]
    replicates: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl EvalArgs {
    /// The pairs to measure: those of `--pairs`, or of View 1's second list, or random ones.
    fn pair_list(&self, view1_test: Option<&PairList>) -> Result<PairList> {
        match (&self.pairs, view1_test, &self.data) {
            (Some(pairs), _, _) => self.open(pairs),
            (None, Some(test), _) => Ok(test.clone()),
            (None, None, Some(data)) => Ok(random_pairs(&Dataset::open(data)?, self.max_pairs, self.folds, self.seed)?),
            (None, None, None) => unreachable!("clap asks for one of them"),
        }
    }

    /// A pairs file, whose pictures lie below `--data` or beside it.
    fn open(&self, pairs: &Path) -> Result<PairList> {
        let beside = pairs.parent().unwrap_or(Path::new("."));
        let list = PairList::open(pairs, self.data.as_deref().unwrap_or(beside))?;
        let leaking = list.people_in_several_folds().len();
        warn_of_leaks(leaking, "people are in several folds");
        Ok(list)
    }

    /// The two lists of View 1: what the threshold is chosen on, and what it is judged on.
    fn view1_lists(&self) -> Result<Option<[PairList; 2]>> {
        let Some(files) = &self.view1 else { return Ok(None) };
        let lists = [self.open(&files[0])?, self.open(&files[1])?];
        warn_of_leaks(lists[0].people_shared_with(&lists[1]).len(), "people are in both lists of View 1");
        Ok(Some(lists))
    }

    /// The pairs in a few words.
    fn pairs_name(&self) -> String {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match (&self.pairs, &self.view1, &self.data) {
            (Some(pairs), _, _) => name(pairs),
            (None, Some(view1), _) => name(&view1[1]),
            (None, None, Some(data)) => format!("random pairs of {} (seed {})", name(data), self.seed),
            (None, None, None) => unreachable!("clap asks for one of them"),
        }
    }

    fn bootstrap(&self) -> Bootstrap {
        Bootstrap { replicates: self.replicates, seed: self.seed, ..Bootstrap::default() }
    }
}

/// Says on standard error that a threshold has seen `count` of the people that it is tested on, and `why`.
fn warn_of_leaks(count: usize, why: &str) {
    if count > 0 {
        let warning = "a threshold is then chosen on people that it is tested on";
        let _ = writeln!(std::io::stderr(), "warning: {count} {why}: {warning}");
    }
}

/// What is evaluated: a network on crops, or a bundle on photographs.
enum Subject {
    Network {
        model: Box<Model>,
        extractor: Box<Extractor>,
    },
    /// With the photographs in which no face was found, where one was looked for.
    Bundle {
        bundle: Box<Bundle>,
        undetected: Option<usize>,
    },
    Verifier {
        verifier: Box<Verifier>,
        vectors: VectorFolder,
        faces: AlignedFaces,
    },
}

impl Subject {
    fn open(args: &EvalArgs, open: impl FnOnce() -> Result<Gpu, gpu::Error>) -> Result<Self> {
        if is_bundle(&args.model) {
            if args.vectors.is_some() {
                bail!(
                    "--vectors is for verifiers that `deepid2 fit` made; a bundle takes photographs, leave the option out"
                );
            }
            args.crop.refuse_for_bundle()?;
            let bundle = Box::new(args.photographs.open_for_evaluation(&open()?, &args.model)?);
            return Ok(Self::Bundle { bundle, undetected: None });
        }
        args.photographs.refuse_for_model()?;
        if let (Some(folder), Some(aligned)) = (&args.vectors, &args.data) {
            args.crop.refuse_for_bundle()?;
            let verifier = Box::new(Verifier::load(&args.model)?);
            let (vectors, faces) = VectorFolder::of_verifier(folder, aligned, &verifier)?;
            return Ok(Self::Verifier { verifier, vectors, faces });
        }
        let model = Box::new(Model::load(&args.model)?);
        let extractor = Box::new(Extractor::of_model(&open()?, &model, BATCH)?);
        Ok(Self::Network { model, extractor })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Network { .. } => "network",
            Self::Bundle { .. } => "bundle",
            Self::Verifier { .. } => "verifier",
        }
    }

    /// The crops of a network's pictures; a bundle cuts its own.
    fn images(&self, args: &EvalArgs, list: &PairList) -> Result<Option<Arc<ImageStore>>> {
        let Self::Network { model, .. } = self else { return Ok(None) };
        let bar = ProgressBar::new(list.pictures.len() as u64);
        let cut = args.crop.cut(model, &list.pictures)?;
        let images = ImageStore::load(list.pictures.clone(), cut, u64::MAX, &|| bar.inc(1))?;
        bar.finish_and_clear();
        Ok(Some(Arc::new(images)))
    }

    /// The distance of each pair, `images` being a network's crops; of a bundle or a verifier the negated score.
    fn distances(&mut self, list: &PairList, images: Option<&Arc<ImageStore>>) -> Result<Vec<f64>> {
        match (self, images) {
            (Self::Network { model, extractor }, Some(images)) => {
                let embeddings = extractor.embed(images, &|_| {})?;
                Ok(Distance::Euclidean.of_pairs(&embeddings, model.spec.embedding, &list.pairs)?)
            }
            (Self::Network { .. }, None) => unreachable!("a network's crops are loaded first"),
            (Self::Bundle { bundle, undetected }, _) => {
                let bar = ProgressBar::new(list.pictures.len() as u64);
                let judged = evaluate::judge(&mut bundle.recogniser, list, &|done| bar.set_position(done as u64))?;
                bar.finish_and_clear();
                *undetected = judged.undetected.map(|missed| undetected.unwrap_or(0) + missed);
                Ok(judged.scores.iter().map(|score| -score).collect())
            }
            (Self::Verifier { verifier, vectors, faces }, _) => {
                let numbers: Vec<usize> =
                    list.pictures.iter().map(|picture| faces.number(picture)).collect::<Result<_, _>>()?;
                let reduced = verifier.reduce(&mut |chosen| vectors.rows(chosen, &numbers))?;
                Ok(verifier.score_pairs(&reduced, &list.pairs)?.iter().map(|score| -score).collect())
            }
        }
    }

    /// The distance that was chosen when the model or bundle was made, and on which pairs.
    fn threshold(&self) -> Option<(f64, String)> {
        match self {
            Self::Network { model, .. } => {
                model.threshold.as_ref().map(|chosen| (chosen.distance, chosen.chosen_on.clone()))
            }
            Self::Bundle { .. } | Self::Verifier { .. } => self.verifier().map(|verifier| {
                let chosen = &verifier.threshold;
                (-chosen.score, chosen.chosen_on.clone())
            }),
        }
    }

    fn verifier(&self) -> Option<&Verifier> {
        match self {
            Self::Network { .. } => None,
            Self::Bundle { bundle, .. } => Some(&bundle.recogniser.verifier),
            Self::Verifier { verifier, .. } => Some(verifier),
        }
    }

    /// A distance as its users know it: of a bundle the score that it is the negative of.
    fn shown(&self, distance: f64) -> f64 {
        match self {
            Self::Network { .. } => distance,
            Self::Bundle { .. } | Self::Verifier { .. } => -distance,
        }
    }

    fn trained_on(&self) -> Vec<String> {
        match self {
            Self::Network { model, .. } => vec![model.trained_on.clone()],
            Self::Bundle { bundle, .. } => bundle.manifest.card.trained_on.clone(),
            Self::Verifier { verifier, .. } => vec![verifier.fitted_on.clone()],
        }
    }

    /// What is measured between two pictures.
    fn axis(&self) -> &'static str {
        match self {
            Self::Network { .. } => "Euclidean distance",
            Self::Bundle { .. } | Self::Verifier { .. } => "negated score",
        }
    }

    fn settings(&self) -> Vec<(String, String)> {
        match self {
            Self::Network { model, .. } => vec![
                (
                    "Network input".into(),
                    format!("{} × {} × {}", model.crop.height, model.crop.width, model.crop.channels),
                ),
                (
                    "Patch".into(),
                    model.patch.map_or("none: the middle of the picture".into(), |patch| patch.to_string()),
                ),
                ("Crop scale in training".into(), model.crop.scale.to_string()),
                ("Embedding".into(), format!("{} numbers", model.spec.embedding)),
                ("Summed with the mirror image".into(), if model.mirror { "yes" } else { "no" }.into()),
            ],
            Self::Bundle { .. } | Self::Verifier { .. } => {
                let mut settings = self.verifier().map_or_else(Vec::new, |verifier| {
                    let vectors: Vec<usize> = verifier.groups.iter().map(|group| group.vectors.len()).collect();
                    vec![
                        ("Networks".into(), verifier.patches().len().to_string()),
                        ("Vectors of each group".into(), format!("{vectors:?}")),
                    ]
                });
                if let Self::Bundle { undetected: Some(undetected), .. } = self {
                    let what = "Photographs without a detected face, judged by their middle";
                    settings.push((what.into(), undetected.to_string()));
                }
                settings
            }
        }
    }
}

/// Measures a network, with the floor of raw pixels beside it, or a bundle.
pub fn run(args: &EvalArgs, open: impl FnOnce() -> Result<Gpu, gpu::Error>) -> Result<ExitCode> {
    [&args.roc, &args.det, &args.report].into_iter().flatten().try_for_each(|path| check_output(path))?;
    let view1_lists = args.view1_lists()?;
    let list = args.pair_list(view1_lists.as_ref().map(|[_, test]| test))?;
    let mut subject = Subject::open(args, open)?;
    let images = subject.images(args, &list)?;
    let people = People::of(&list);
    let name = subject.name();
    let distances = subject.distances(&list, images.as_ref())?;
    let mut evaluated = vec![Evaluated::new(name, distances, &list, &people, args.bootstrap())?];
    if let Some(images) = &images {
        let raw = Distance::Euclidean.of_pairs(&images.pixels()?, images.spec().stored_bytes(), &list.pairs)?;
        evaluated.push(Evaluated::new("raw pixels", raw, &list, &people, args.bootstrap())?);
    }
    let view1 = match &view1_lists {
        Some([training, test]) => {
            let mut trials = |list: &PairList| -> Result<Trials> {
                let images = subject.images(args, list)?;
                Ok(Trials::of_pairs(&subject.distances(list, images.as_ref())?, &list.pairs)?)
            };
            Some(view1(&trials(training)?, &trials(test)?))
        }
        None => None,
    };
    let chosen = subject.threshold();
    let own = chosen.as_ref().map(|(at, _)| accuracy_at(*at, evaluated[0].distances.iter().zip(&list.pairs)));
    if let Some(path) = &args.roc {
        let curves: Vec<_> = evaluated.iter().map(|one| (one.name.clone(), one.trials.roc())).collect();
        report::roc(path, &curves, FarAxis::Logarithmic)?;
    }
    if let Some(path) = &args.det {
        let curve =
            |one: &Evaluated| DetCurve { name: one.name.clone(), points: one.trials.det(), eer: one.summary.eer };
        report::det_svg(&evaluated.iter().map(curve).collect::<Vec<_>>())?.save(path)?;
    }
    if let Some(path) = &args.report {
        page(args, &subject, &list, &evaluated, view1)?.write(path)?;
    }
    if args.json {
        let mut found = serde_json::json!({
            "pairs": list.pairs.len(),
            "pictures": list.pictures.len(),
            "people": people.count,
            "view1": view1,
            "accuracy_at_the_models_threshold": own,
        });
        for one in &evaluated {
            found[one.name.replace(' ', "_")] = json(one);
        }
        println!("{found}");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} pairs of {} pictures, {} folds", list.pairs.len(), list.pictures.len(), list.folds);
    for one in &evaluated {
        println!("{:<11} {}", one.name, describe(one));
        println!("            {}", describe_intervals(one));
    }
    if let Subject::Bundle { undetected: Some(missed @ 1..), .. } = &subject {
        println!("{missed} photographs without a detected face were judged by their middle");
    }
    if !people.by_folder {
        println!("the folders do not tell the people apart: for the intervals, only pairs of one person do");
    }
    if let Some(view1) = view1 {
        println!(
            "view 1      accuracy {:.2} % of {} pairs at {:.3}, chosen on {} others (there {:.2} %)",
            100.0 * view1.tested.accuracy,
            view1.test_pairs,
            subject.shown(view1.chosen.distance),
            view1.training_pairs,
            100.0 * view1.chosen.accuracy
        );
    }
    if let (Some(accuracy), Some((distance, chosen_on))) = (own, &chosen) {
        let at = subject.shown(*distance);
        let whose = if matches!(subject, Subject::Network { .. }) { "model" } else { name };
        println!("at the {whose}'s own threshold {at:.3} (chosen on {chosen_on}): {}", percent(accuracy));
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(evaluated: &Evaluated) -> String {
    let Summary { auc, eer, tar_at_far, different, .. } = &evaluated.summary;
    let accuracy = match &evaluated.folds {
        Some(folds) => {
            format!("accuracy {:.2} ± {:.2} %", 100.0 * folds.mean, 100.0 * folds.standard_error)
        }
        None => format!("accuracy {} (threshold chosen on the same pairs)", percent(evaluated.accuracy())),
    };
    let tars: Vec<String> = tar_at_far
        .iter()
        .map(|at| match at.tar {
            Some(tar) => format!("{} at FAR {}", percent(tar), at.far),
            None => format!("not measurable at FAR {} with {different} different pairs", at.far),
        })
        .collect();
    format!("{accuracy}, AUC {auc:.4}, EER {}, TAR {}", percent(*eer), tars.join(", "))
}

fn describe_intervals(evaluated: &Evaluated) -> String {
    let Intervals { people, accuracy, auc, eer, tar_at_far, .. } = evaluated.intervals;
    let shares = |interval: Option<Interval>| match interval {
        Some(Interval { low, high }) => format!("{:.2} to {:.2} %", 100.0 * low, 100.0 * high),
        None => "unknown".into(),
    };
    let auc = auc.map_or("unknown".into(), |Interval { low, high }| format!("{low:.4} to {high:.4}"));
    let tars: Vec<String> = REPORTED_FARS
        .iter()
        .zip(tar_at_far)
        .filter(|(_, interval)| interval.is_some())
        .map(|(far, interval)| format!("{} at FAR {far}", shares(interval)))
        .collect();
    let tars = if tars.is_empty() { String::new() } else { format!(", TAR {}", tars.join(", ")) };
    format!("95 % intervals over {people} people: accuracy {}, AUC {auc}, EER {}{tars}", shares(accuracy), shares(eer))
}

fn json(evaluated: &Evaluated) -> serde_json::Value {
    let Evaluated { folds, summary, intervals, .. } = evaluated;
    serde_json::json!({ "cross_validation": folds, "summary": summary, "intervals": intervals })
}

/// Pairs of each kind on the page, and how high their pictures are in pixels.
const SHOWN_PAIRS: usize = 8;
const PICTURE_HEIGHT: u32 = 160;

fn page(
    args: &EvalArgs,
    subject: &Subject,
    list: &PairList,
    evaluated: &[Evaluated],
    view1: Option<View1>,
) -> Result<ReportPage> {
    let on = args.pairs_name();
    let first = &evaluated[0];
    let (threshold, chosen_on) =
        subject.threshold().unwrap_or_else(|| (first.summary.most_accurate.distance, format!("{on}, the same pairs")));
    let extremes = extremes(&first.distances, &list.pairs, threshold, SHOWN_PAIRS)?;
    let numbers = evaluation::numbers(first);
    let table = |one: &Evaluated| NumberTable { title: one.name.clone(), numbers: evaluation::numbers(one) };
    let model_name = args.model.display().to_string();
    let mut settings = vec![
        ("Model".to_string(), model_name.clone()),
        ("Pairs".into(), on.clone()),
        ("Threshold".into(), format!("{} (chosen on {chosen_on})", subject.shown(threshold))),
        ("Bootstrap".into(), format!("{} replicates, seed {}", args.replicates, args.seed)),
    ];
    settings.extend(subject.settings());
    if let Some(data) = &args.data {
        settings.push(("Pictures below".into(), data.display().to_string()));
    }
    let mut files = vec![HashedFile::of(&match subject {
        Subject::Network { .. } | Subject::Verifier { .. } => args.model.clone(),
        Subject::Bundle { .. } => args.model.join(MANIFEST),
    })?];
    for path in args.pairs.iter().chain(args.view1.iter().flatten()) {
        files.push(HashedFile::of(path)?);
    }
    files.push(HashedFile::of_all(
        &format!("the {} pictures of the pairs, together", list.pictures.len()),
        &list.pictures,
    )?);
    let mut card = ModelCard::new(model_name, "A DeepID2 network: tells whether two pictures show one person.");
    card.trained_on = subject.trained_on();
    card.evaluated_on = vec![evaluation::card_evaluation(first, &on)];
    card.operating_point = Some(evaluation::operating_point(first, threshold, chosen_on, &on));
    card.provenance = files.clone();
    Ok(ReportPage {
        title: format!("Face verification on {on}"),
        summary: format!(
            "{} pairs of {} pictures, {}. {}, {}.",
            list.pairs.len(),
            list.pictures.len(),
            if list.folds == 1 { "one fold".into() } else { format!("{} folds", list.folds) },
            match subject {
                Subject::Network { .. } => "One DeepID2 network; beside it, the distance of raw pixels",
                Subject::Bundle { .. } => "A bundle of DeepID2 networks with PCA and Joint Bayesian",
                Subject::Verifier { .. } => "DeepID2 vectors with PCA and Joint Bayesian",
            },
            subject.axis()
        ),
        verdict: numbers.into_iter().take(3).collect(),
        tables: evaluated.iter().map(table).collect(),
        view1,
        folds: first.folds.clone(),
        figures: evaluation::curves(&evaluated.iter().collect::<Vec<_>>(), list, Some(threshold), subject.axis())?,
        pairs: evaluation::pair_groups(&extremes, &first.distances, list, PICTURE_HEIGHT)?,
        settings,
        files,
        card: Some(card),
        ..ReportPage::default()
    })
}
