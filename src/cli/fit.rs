//! `deepid2 fit` and `deepid2 bundle`.

use super::align::FaceArg;
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use deepid2::bundle;
use deepid2::bundle::make::Parts;
use deepid2::face::aligner::Search;
use deepid2::face::detect::DetectSettings;
use deepid2::files::check_output;
use deepid2::pipeline::fit::{FitOn, FitSettings, Fitted, VectorFolder, fit};
use deepid2::pipeline::selection::Selection;
use deepid2::pipeline::vectors::SIDES;
use deepid2::report::card::ModelCard;
use deepid2::verify::joint_bayesian::Em;
use deepid2::verify::transform::Transform;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct FitArgs {
    /// Folder of vectors that `deepid2 extract` made
    vectors: PathBuf,
    /// Folder of aligned faces that they were extracted from
    #[arg(long, value_name = "ALIGNED")]
    data: PathBuf,
    /// Groups of vectors that `deepid2 select` chose
    #[arg(long, value_name = "FILE", required_unless_present = "choose")]
    selection: Option<PathBuf>,
    /// Vectors by number instead, 2p of patch p and 2p + 1 of its mirrored counterpart; given several times, a group each
    #[arg(long, value_name = "LIST", conflicts_with = "selection", value_parser = vector_list)]
    choose: Vec<VectorList>,
    /// Verifier to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    settings: FitSettingsArgs,
}

/// How verifiers are fitted.
#[derive(Debug, Args)]
pub struct FitSettingsArgs {
    /// Dimensions after PCA [default: 180]
    #[arg(long, requires = "data", value_name = "DIMENSIONS")]
    components: Option<usize>,
    /// What is done to each number of a vector before PCA [default: square-root]
    #[arg(long, requires = "data", value_name = "FUNCTION")]
    transform: Option<TransformArg>,
    /// Share of a multiple of the identity in the within-person covariance [default: 0.5]
    #[arg(long, requires = "data", allow_negative_numbers = true, value_name = "SHARE")]
    shrinkage: Option<f64>,
    /// EM of Joint Bayesian: exact, or the widely copied approximation [default: exact]
    #[arg(long, requires = "data", value_name = "KIND")]
    em: Option<EmArg>,
    /// Most iterations of EM [default: 100]
    #[arg(long, requires = "data", value_name = "ITERATIONS")]
    em_iterations: Option<usize>,
    /// Whose faces the final models are fitted to [default: all]
    #[arg(long, requires = "data", value_name = "PEOPLE")]
    fit_on: Option<FitOnArg>,
    /// Held-out pairs that weights and threshold are chosen on [default: 6000]
    #[arg(long, requires = "data", value_name = "PAIRS")]
    fit_pairs: Option<usize>,
}

/// [`Transform`], as clap takes it.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum TransformArg {
    /// As they are, as in the paper
    None,
    /// The square root: nearer to the Gaussians that Joint Bayesian assumes
    SquareRoot,
}

impl From<TransformArg> for Transform {
    fn from(transform: TransformArg) -> Self {
        match transform {
            TransformArg::None => Self::None,
            TransformArg::SquareRoot => Self::SquareRoot,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum EmArg {
    Exact,
    Approximate,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FitOnArg {
    All,
    Training,
    HeldOut,
}

impl FitSettingsArgs {
    /// The defaults with what the user changed.
    pub fn settings(&self) -> FitSettings {
        let mut settings = FitSettings::default();
        if let Some(components) = self.components {
            settings.components = components;
        }
        settings.transform = self.transform.map_or(settings.transform, Transform::from);
        if let Some(shrinkage) = self.shrinkage {
            settings.joint_bayesian.shrinkage = shrinkage;
        }
        if let Some(em) = self.em {
            settings.joint_bayesian.em = match em {
                EmArg::Exact => Em::Exact,
                EmArg::Approximate => Em::Approximate,
            };
        }
        if let Some(iterations) = self.em_iterations {
            settings.joint_bayesian.iterations = iterations;
        }
        if let Some(fit_on) = self.fit_on {
            settings.fit_on = match fit_on {
                FitOnArg::All => FitOn::All,
                FitOnArg::Training => FitOn::Training,
                FitOnArg::HeldOut => FitOn::HeldOut,
            };
        }
        if let Some(pairs) = self.fit_pairs {
            settings.pairs = pairs;
        }
        settings
    }
}

/// Numbers of vectors.
#[derive(Debug, Clone)]
struct VectorList(Vec<usize>);

fn vector_list(text: &str) -> Result<VectorList, String> {
    let number = |part: &str| part.trim().parse().ok().filter(|vector| *vector < 400);
    let numbers: Option<Vec<usize>> = text.split(',').map(number).collect();
    numbers.map(VectorList).ok_or_else(|| "expected numbers from 0 to 399 such as 4,5,11".into())
}

/// Fits and saves a verifier.
pub fn run(args: &FitArgs) -> Result<ExitCode> {
    let groups = match &args.selection {
        Some(path) => Selection::load(path)?.groups(),
        None => args.choose.iter().map(|VectorList(vectors)| vectors.clone()).collect(),
    };
    if let Err((group, message)) = Selection::new(groups.clone()).check() {
        bail!("group {group} of --choose: {message}");
    }
    let Some(first) = groups.first().and_then(|group| group.first()) else {
        bail!("no group of vectors is chosen; run `deepid2 select` first");
    };
    check_output(&args.out)?;
    let (vectors, people) = VectorFolder::open(&args.vectors, &args.data, first / SIDES)?;
    let Fitted { verifier, .. } =
        fit(&vectors, &groups, &people, &args.settings.settings(), &|text| eprintln!("{text}"))?;
    verifier.save(&args.out)?;
    println!(
        "{}: {} groups, fitted on {}; {:.1} % of held-out pairs right at the threshold {:.3}",
        args.out.display(),
        verifier.groups.len(),
        verifier.fitted_on,
        100.0 * verifier.threshold.accuracy,
        verifier.threshold.score
    );
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Args)]
pub struct BundleArgs {
    /// Landmark model that `deepid2 landmarks train` made
    #[arg(long, value_name = "FILE")]
    landmarks: PathBuf,
    /// Folder of networks that `deepid2 train --patches` made
    #[arg(long, value_name = "NETS")]
    nets: PathBuf,
    /// Verifier that `deepid2 fit` made
    #[arg(long, value_name = "FILE")]
    verifier: PathBuf,
    /// Folder for the bundle
    #[arg(long, value_name = "BUNDLE")]
    out: PathBuf,
    /// Name on the model card
    #[arg(long, default_value = "DeepID2")]
    name: String,
    /// Which face of a photograph, where the user of the bundle does not say
    #[arg(long, value_enum, default_value = "largest")]
    face: FaceArg,
    /// Photographs will be cropped to their faces: take the square in their middle instead of looking for faces
    #[arg(long)]
    no_detect: bool,
    /// Where no face is found, take the square in the middle
    #[arg(long, conflicts_with = "no_detect")]
    or_middle: bool,
    /// Side of the square in the middle, as a share of the picture's shorter side
    #[arg(long, allow_negative_numbers = true, value_name = "SHARE", default_value_t = super::FACE_SHARE)]
    face_share: f32,
}

/// Puts a bundle together.
pub fn run_bundle(args: &BundleArgs) -> Result<ExitCode> {
    let verifier = deepid2::pipeline::verifier::Verifier::load(&args.verifier)?;
    let mut card = ModelCard::new(&args.name, "Says whether two photographs show one person.");
    card.trained_on = vec![verifier.fitted_on];
    let parts = Parts {
        landmarks: &args.landmarks,
        nets: &args.nets,
        verifier: &args.verifier,
        search: match (args.no_detect, args.or_middle) {
            (true, _) => Search::Middle { share: args.face_share },
            (false, true) => Search::DetectOrMiddle { settings: DetectSettings::default(), share: args.face_share },
            (false, false) => Search::Detect(DetectSettings::default()),
        },
        faces: args.face.into(),
        card,
    };
    bundle::make(&parts, &args.out)?;
    println!("{}; try: deepid2 info {}", args.out.display(), args.out.display());
    Ok(ExitCode::SUCCESS)
}
