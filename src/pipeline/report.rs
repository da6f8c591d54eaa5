//! The report stage: what the verifier reaches, on held-out people and on test pairs, as one page.

use super::Error;
use super::extractors::FacePicture;
use super::held_out::HeldOut;
use super::listener::Listener;
use super::patch_nets;
use super::run::names;
use super::settings::PipelineSettings;
use super::vectors::SIDES;
use super::verifier::Verifier;
use crate::bundle::evaluate::judge;
use crate::bundle::recogniser::{Parts, Recogniser};
use crate::data::dataset::Dataset;
use crate::data::pairs::PairList;
use crate::data::pairs::random::random_pairs;
use crate::face::aligner::{FaceChoice, Search};
use crate::face::canonical::{HEIGHT, SHAPE, WIDTH};
use crate::face::detect::DetectSettings;
use crate::face::index::{AlignedFaces, INDEX};
use crate::face::patch_cut::{PatchCut, Side};
use crate::face::patches::Patch;
use crate::gpu::Gpu;
use crate::report::card::ModelCard;
use crate::report::html::{Figure, NumberTable, Picture};
use crate::report::spectra::{Spectrum, spectra_svg};
use crate::report::{HashedFile, ReportPage, evaluation};
use crate::settings::table;
use crate::verify::bootstrap::Bootstrap;
use crate::verify::evaluated::Evaluated;
use crate::verify::extremes::extremes;
use crate::verify::people::People;
use image::{DynamicImage, GrayImage, RgbImage, imageops};
use nalgebra::DMatrix;
use std::path::Path;

/// Pairs of each kind that are shown, and how high their pictures are.
const SHOWN_PAIRS: usize = 8;
const PICTURE_HEIGHT: u32 = 160;
/// Faces whose mean shows the patches: no single person's.
const AVERAGED: usize = 200;
/// Most test pairs drawn where no list is given, and their folds.
const DRAWN_PAIRS: usize = 6_000;
const FOLDS: u32 = 10;
/// Pictures a pass.
const BATCH: usize = 64;
/// Side of the middle square that is judged where no face is detected, over the picture's shorter side.
const MIDDLE: f32 = 0.5;
/// What the page calls the results of people by whom the verifier was chosen.
const HELD_OUT: &str = "held-out people";

/// What the stage reads.
pub struct Inputs<'a> {
    pub gpu: &'a Gpu,
    pub settings: &'a PipelineSettings,
    /// The run's folder.
    pub run: &'a Path,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Reported {
    /// Accuracy on pairs of held-out people, on which the threshold was chosen.
    pub held_out: f64,
    /// Accuracy on test pairs, with its standard error over folds, where there are test pairs.
    pub test: Option<(f64, Option<f64>)>,
    /// For the bundle.
    pub card: ModelCard,
}

/// Measures, and writes `report.html`.
///
/// # Errors
/// A photograph of the test pairs that is missing or cannot be read; a device that stopped; a file that cannot be written.
pub fn report(inputs: &Inputs, listener: &dyn Listener) -> Result<Reported, Error> {
    let Inputs { settings, run, .. } = *inputs;
    let path = |name: &str| run.join(name);
    let verifier = Verifier::load(&path(names::VERIFIER))?;
    let aligned = AlignedFaces::open(&path(names::ALIGNED))?;
    let seed = settings.train.seed;
    let bootstrap = Bootstrap { seed, ..Bootstrap::default() };

    let held = HeldOut::load(&path(names::HELD_OUT))?;
    let held_list = held.list(&aligned);
    let held_name = format!("{} {HELD_OUT}", held.people);
    let held_out = Evaluated::new(
        HELD_OUT,
        held.scores.iter().map(|score| -score).collect(),
        &held_list,
        &People::of(&held_list),
        bootstrap,
    )?;
    let test = match &settings.test {
        None => None,
        Some(test) => {
            let list = match &test.pairs {
                Some(pairs) => PairList::open(pairs, &test.data)?,
                None => random_pairs(&Dataset::open(&test.data)?, DRAWN_PAIRS, FOLDS, seed)?,
            };
            let judged = test_scores(inputs, &verifier, &list, listener)?;
            let distances = judged.iter().map(|score| -score).collect();
            let evaluated = Evaluated::new("test pairs", distances, &list, &People::of(&list), bootstrap)?;
            let name = test.pairs.as_ref().unwrap_or(&test.data).display().to_string();
            Some((evaluated, list, name))
        }
    };
    let (first, list, on) = match &test {
        Some((evaluated, list, name)) => (evaluated, list, name.as_str()),
        None => (&held_out, &held_list, held_name.as_str()),
    };
    let chosen = &verifier.threshold;
    let threshold = -chosen.score;
    let files = files(inputs)?;
    let mut card = ModelCard::new("DeepID2", "Says whether two photographs show one person.");
    card.trained_on = vec![format!("{}: {}", settings.data.display(), verifier.fitted_on)];
    card.evaluated_on = vec![evaluation::card_evaluation(&held_out, &held_name)];
    if let Some((evaluated, _, name)) = &test {
        card.evaluated_on.insert(0, evaluation::card_evaluation(evaluated, name.clone()));
    }
    let operating_point = evaluation::operating_point(first, threshold, &chosen.chosen_on, on);
    card.operating_point = Some(operating_point.of_score());
    card.provenance.clone_from(&files);

    let mut all = vec![first];
    all.extend(test.as_ref().map(|_| &held_out));
    let mut figures = evaluation::curves(&all, list, Some(threshold), "negated score")?;
    figures.push(spectrum(&verifier)?);
    let extremes = extremes(&first.distances, &list.pairs, threshold, SHOWN_PAIRS)?;
    let numbers = |one: &&Evaluated| NumberTable { title: one.name.clone(), numbers: evaluation::numbers(one) };
    let page = ReportPage {
        title: format!("Face verification on {on}"),
        summary: format!(
            "{} networks, {} groups of vectors; threshold chosen on {}. What is called {HELD_OUT} is of {} people by whom vectors, weights and threshold were chosen, and flatters.",
            verifier.patches().len(),
            verifier.groups.len(),
            chosen.chosen_on,
            held.people
        ),
        verdict: evaluation::numbers(first).into_iter().take(3).collect(),
        tables: all.iter().map(numbers).collect(),
        folds: first.folds.clone(),
        figures,
        pairs: evaluation::pair_groups(&extremes, &first.distances, list, PICTURE_HEIGHT)?,
        patches: patch_pictures(&verifier, &aligned)?,
        settings: setting_rows(settings),
        files,
        card: Some(card.clone()),
        ..ReportPage::default()
    };
    page.write(&path(names::REPORT))?;
    let test = test.as_ref().map(|(one, ..)| (one.accuracy(), one.folds.as_ref().map(|folds| folds.standard_error)));
    Ok(Reported { held_out: held_out.accuracy(), test, card })
}

/// The score of each test pair, from its photographs.
fn test_scores(
    inputs: &Inputs,
    verifier: &Verifier,
    list: &PairList,
    listener: &dyn Listener,
) -> Result<Vec<f64>, Error> {
    let nets = inputs.run.join(names::NETS);
    let parts = Parts {
        landmarks: inputs.run.join(names::LANDMARKS),
        verifier: verifier.clone(),
        network: &|patch| patch_nets::model_of(&nets, patch),
        faces: FaceChoice::Central,
        // A pair that is left out would make the test easier.
        search: match inputs.settings.search {
            Search::Middle { share } => Search::Middle { share },
            _ => Search::DetectOrMiddle { settings: DetectSettings::default(), share: MIDDLE },
        },
    };
    let mut recogniser = Recogniser::assemble(inputs.gpu, parts, BATCH).map_err(Error::bundle)?;
    let count = list.pictures.len();
    let judged = judge(&mut recogniser, list, &|done| listener.progress(done, count)).map_err(Error::bundle)?;
    if let Some(missed @ 1..) = judged.undetected {
        listener.say(&format!("  {missed} photographs without a detected face were judged by their middle"));
    }
    Ok(judged.scores)
}

/// Eigenvalues of the first group's covariances.
fn spectrum(verifier: &Verifier) -> Result<Figure, Error> {
    let model = &verifier.groups[0].joint_bayesian;
    let eigenvalues = |covariance: &[f64]| {
        let side = model.dimension();
        DMatrix::from_row_slice(side, side, covariance).symmetric_eigenvalues().as_slice().to_vec()
    };
    let spectrum =
        Spectrum { name: "group 1".into(), between: eigenvalues(model.s_mu()), within: eigenvalues(model.s_eps()) };
    Ok(Figure {
        title: "Eigenvalues between and within people".into(),
        svg: spectra_svg(&[spectrum])?,
        caption: "Of Joint Bayesian's covariances after PCA. Useful directions are those where people differ more than the pictures of one person.".into(),
    })
}

/// The first group's patches, cut from a mean face.
fn patch_pictures(verifier: &Verifier, aligned: &AlignedFaces) -> Result<Vec<Picture>, Error> {
    let faces = &aligned.faces()[..aligned.faces().len().min(AVERAGED)];
    let pictures = super::extract::decode(faces)?;
    let mean = mean_face(&pictures);
    let mut shown = Vec::new();
    for (place, &vector) in verifier.groups[0].vectors.iter().enumerate() {
        let patch = Patch::new(vector / SIDES)?;
        let cut = PatchCut { patch, margin: 0 };
        let mirrored = vector % SIDES == 1;
        let spec = cut.spec();
        let mut bytes = vec![0; spec.stored_bytes()];
        cut.cut(&mean, &SHAPE, if mirrored { Side::Counterpart } else { Side::Own }, &mut bytes);
        let size = "a buffer of the patch's size";
        let mut picture = match spec.channels {
            1 => DynamicImage::ImageLuma8(GrayImage::from_raw(spec.width, spec.height, bytes).expect(size)),
            _ => DynamicImage::ImageRgb8(RgbImage::from_raw(spec.width, spec.height, bytes).expect(size)),
        };
        if mirrored {
            imageops::flip_horizontal_in_place(&mut picture);
        }
        let caption = format!("{}. {patch}{}", place + 1, if mirrored { ", mirrored" } else { "" });
        shown.push(Picture::png(&picture, &caption)?);
    }
    Ok(shown)
}

fn mean_face(pictures: &[FacePicture]) -> RgbImage {
    let mut sums = vec![0u32; (WIDTH * HEIGHT * 3) as usize];
    for face in pictures {
        sums.iter_mut().zip(face.picture.as_raw()).for_each(|(sum, &value)| *sum += u32::from(value));
    }
    let count = pictures.len().max(1) as u32;
    let bytes = sums.into_iter().map(|sum| (sum / count) as u8).collect();
    RgbImage::from_raw(WIDTH, HEIGHT, bytes).expect("three bytes a pixel of the frame")
}

/// Names and values of all settings.
fn setting_rows(settings: &PipelineSettings) -> Vec<(String, String)> {
    fn walk(prefix: &str, table: &toml::Table, rows: &mut Vec<(String, String)>) {
        for (key, value) in table {
            match value {
                toml::Value::Table(inner) => walk(&format!("{prefix}{key}."), inner, rows),
                value => rows.push((format!("{prefix}{key}"), value.to_string())),
            }
        }
    }
    let mut rows = Vec::new();
    walk("", &table(settings), &mut rows);
    rows
}

/// Hashes of everything that the results came from.
fn files(inputs: &Inputs) -> Result<Vec<HashedFile>, Error> {
    let run = inputs.run;
    let mut files = Vec::new();
    let aligned = run.join(names::ALIGNED).join(INDEX);
    for path in [run.join(names::LANDMARKS), aligned, run.join(names::SELECTION), run.join(names::VERIFIER)] {
        files.push(HashedFile::of(&path)?);
    }
    if let Some(pairs) = inputs.settings.test.as_ref().and_then(|test| test.pairs.as_ref()) {
        files.push(HashedFile::of(pairs)?);
    }
    let mut networks = Vec::new();
    for &number in &inputs.settings.patches {
        networks.push(patch_nets::model_of(&run.join(names::NETS), Patch::new(number)?));
    }
    files.push(HashedFile::of_all(&format!("the {} networks, together", networks.len()), &networks)?);
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::settings::tests::settings;

    #[test]
    fn settings_are_shown_as_they_were_given() {
        let rows = setting_rows(&settings());
        let value = |name: &str| rows.iter().find(|(row, _)| row == name).map(|(_, value)| value.as_str());
        assert_eq!(value("search.middle.share"), Some("0.6"), "{rows:?}");
        assert_eq!(value("train.epochs"), Some("60"));
        assert_eq!(value("data"), Some("\"photographs\""));
    }
}
