//! The fit stage: PCA and Joint Bayesian of each group of chosen vectors, the SVM that fuses the groups' scores, and the
//! threshold.
//!
//! Weights and threshold are chosen on pairs of held-out people, scored by models of the people that networks were trained
//! on, so that neither saw them. Then PCA and Joint Bayesian are fitted again to everybody ([`FitOn::All`]), as the paper
//! does with its selection people; the weights and the threshold stay.

use super::Error;
use super::held_out::HeldOut;
use super::people::{HoldOut, People, Side};
use super::vectors::{self, SIDES, Vectors};
use super::verifier::{Group, ScoreThreshold, Verifier, patches_of};
use crate::data::pairs::Pair;
use crate::face::index::{AlignedFaces, INDEX};
use crate::report::hashes::sha256_of;
use crate::verify::joint_bayesian::{self, Iteration, JointBayesian};
use crate::verify::pca::Pca;
use crate::verify::svm::{self, LinearSvm};
use crate::verify::threshold::Criterion;
use crate::verify::transform::Transform;
use crate::verify::trials::Trials;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Whose faces the final models are fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FitOn {
    /// Everybody's.
    #[default]
    All,
    /// Those of the people that networks were trained on.
    Training,
    /// Those of the people that were held out.
    HeldOut,
}

impl From<FitOn> for Side {
    fn from(fit_on: FitOn) -> Self {
        match fit_on {
            FitOn::All => Self::All,
            FitOn::Training => Self::Training,
            FitOn::HeldOut => Self::HeldOut,
        }
    }
}

/// How the verifier is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FitSettings {
    /// Dimensions after PCA; 180 in the paper (§3.3). At most as many as there are.
    pub components: usize,
    /// What is done to the vectors' numbers before.
    pub transform: Transform,
    pub joint_bayesian: joint_bayesian::Settings,
    pub fit_on: FitOn,
    /// Held-out pairs that weights and threshold are chosen on.
    pub pairs: usize,
}

impl Default for FitSettings {
    fn default() -> Self {
        // Networks make the people that they were trained on look more alike from picture to picture than others are: on
        // 175 people a large share was better for strangers (benches/results/2026-11-26-system.md).
        let joint_bayesian = joint_bayesian::Settings { shrinkage: 0.5, ..Default::default() };
        Self {
            components: 180,
            transform: Transform::default(),
            joint_bayesian,
            fit_on: FitOn::default(),
            pairs: 6_000,
        }
    }
}

/// Vectors of all faces in a folder, a file a patch.
#[derive(Debug, Clone)]
pub struct VectorFolder {
    folder: PathBuf,
    /// SHA-256 of the list of faces that they must be of.
    faces: String,
    count: usize,
    held_out: HoldOut,
}

impl VectorFolder {
    /// The vectors in `folder` of `count` faces whose list has the digest `faces`, by networks that held out the same
    /// people.
    pub fn new(folder: &Path, faces: String, count: usize, held_out: HoldOut) -> Self {
        Self { folder: folder.into(), faces, count, held_out }
    }

    /// The vectors in `folder` of the faces in the folder `aligned`, and who is on these; who was held out, the vectors of
    /// `patch` say, and those of others must agree.
    ///
    /// # Errors
    /// A file of vectors that is missing or none; faces without people.
    pub fn open(folder: &Path, aligned: &Path, patch: usize) -> Result<(Self, People), Error> {
        let held_out = vectors::read_origin(&existing(folder, patch)?)?.held_out;
        let index = AlignedFaces::open(aligned)?;
        let people = People::of(&index, held_out)?;
        Ok((Self::new(folder, sha256_of(&aligned.join(INDEX))?.1, index.faces().len(), held_out), people))
    }

    /// The vectors in `folder` by the networks of `verifier`, of the faces in the folder `aligned`, and these faces.
    ///
    /// # Errors
    /// A file of vectors that is missing, none, or of other networks; an aligned folder that is not finished.
    pub fn of_verifier(folder: &Path, aligned: &Path, verifier: &Verifier) -> Result<(Self, AlignedFaces), Error> {
        let mut held_out = None;
        for patch in verifier.patches() {
            let path = existing(folder, patch.index())?;
            let origin = vectors::read_origin(&path)?;
            verifier.check_network(patch.index(), &origin.model, &path)?;
            held_out = Some(origin.held_out);
        }
        let index = AlignedFaces::open(aligned)?;
        let faces = sha256_of(&aligned.join(INDEX))?.1;
        let vectors = Self::new(folder, faces, index.faces().len(), held_out.ok_or(Error::NothingChosen)?);
        Ok((vectors, index))
    }

    /// Who was held out from the networks' training.
    pub fn held_out(&self) -> HoldOut {
        self.held_out
    }

    /// SHA-256 of the list of faces.
    pub fn faces(&self) -> &str {
        &self.faces
    }

    /// Vectors of one patch.
    ///
    /// # Errors
    /// A file that is missing, damaged, or of other faces.
    pub fn of_patch(&self, patch: usize) -> Result<Vectors, Error> {
        let path = existing(&self.folder, patch)?;
        let vectors = Vectors::load(&path)?;
        if vectors.origin.patch != patch {
            return Err(Error::OtherVectors { path, difference: "another patch" });
        }
        if vectors.origin.faces != self.faces || vectors.faces() != self.count {
            return Err(Error::OtherVectors { path, difference: "other faces" });
        }
        if vectors.origin.held_out != self.held_out {
            return Err(Error::OtherHeldOut { path, found: vectors.origin.held_out, expected: self.held_out });
        }
        Ok(vectors)
    }

    /// The concatenation of `chosen` vectors for each of `faces`: faces × (chosen · dimension).
    ///
    /// # Errors
    /// As [`Self::of_patch`]; vectors of different lengths.
    pub fn rows(&self, chosen: &[usize], faces: &[usize]) -> Result<Vec<f32>, Error> {
        let dimension = self.dimension(chosen)?;
        let width = chosen.len() * dimension;
        let mut rows = vec![0.0; faces.len() * width];
        for patch in patches_of(chosen) {
            let vectors = self.of_patch(patch.index())?;
            if vectors.dimension != dimension {
                return Err(Error::VectorLengths { path: vectors::path(&self.folder, patch.index()) });
            }
            for (at, vector) in chosen.iter().enumerate().filter(|(_, vector)| **vector / SIDES == patch.index()) {
                for (row, &face) in rows.chunks_exact_mut(width).zip(faces) {
                    row[at * dimension..][..dimension].copy_from_slice(vectors.vector(face, vector % SIDES));
                }
            }
        }
        Ok(rows)
    }

    /// Numbers in a vector.
    ///
    /// # Errors
    /// As [`Self::of_patch`].
    pub fn dimension(&self, chosen: &[usize]) -> Result<usize, Error> {
        let first = chosen.first().ok_or(Error::NothingChosen)?;
        Ok(self.of_patch(first / SIDES)?.dimension)
    }
}

/// The file of a patch's vectors, which must be there.
fn existing(folder: &Path, patch: usize) -> Result<PathBuf, Error> {
    let path = vectors::path(folder, patch);
    if path.is_file() { Ok(path) } else { Err(Error::NoVectors { path }) }
}

/// What the user hears while it is fitted.
pub type Say<'a> = &'a dyn Fn(String);

/// What fitting makes.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    pub verifier: Verifier,
    /// The pairs that weights and threshold were chosen on.
    pub held_out: HeldOut,
}

/// Fits a verifier of the chosen `groups` of vectors.
///
/// # Errors
/// Vectors that are missing, too few faces, a covariance that is singular.
pub fn fit(
    vectors: &VectorFolder,
    groups: &[Vec<usize>],
    people: &People,
    settings: &FitSettings,
    say: Say,
) -> Result<Fitted, Error> {
    if groups.is_empty() {
        return Err(Error::NothingChosen);
    }
    let pairs = people.held_out_pairs(settings.pairs, vectors.held_out().seed)?;
    let held_out = people.faces(Side::HeldOut);
    let place = places(people.of_face.len(), &held_out);
    let mut ratios: Vec<Vec<f64>> = vec![Vec::new(); pairs.len()];
    let mut fitted = Vec::new();
    for (number, chosen) in groups.iter().enumerate() {
        say(format!("group {} of {}: {} vectors", number + 1, groups.len(), chosen.len()));
        let group = fit_group(vectors, chosen, people, Side::Training, settings, say)?;
        let rows = group.pca.project(&settings.transform.applied(vectors.rows(chosen, &held_out)?))?;
        let prepared = group.joint_bayesian.prepare(&rows)?;
        for (pair, ratios) in pairs.iter().zip(&mut ratios) {
            ratios.push(prepared.llr(place[pair.a as usize], place[pair.b as usize]));
        }
        fitted.push(match settings.fit_on {
            FitOn::Training => group,
            other => fit_group(vectors, chosen, people, other.into(), settings, say)?,
        });
    }
    let (weights, bias) = fuse(&ratios, &pairs)?;
    let chosen: Vec<usize> = groups.concat();
    let mut networks = BTreeMap::new();
    for patch in patches_of(&chosen) {
        networks.insert(patch.index(), vectors.of_patch(patch.index())?.origin.model);
    }
    let mut verifier = Verifier {
        networks,
        transform: settings.transform,
        dimension: vectors.dimension(&groups[0])?,
        groups: fitted,
        weights,
        bias,
        threshold: ScoreThreshold { score: 0.0, accuracy: 0.0, false_acceptances: 0.0, chosen_on: String::new() },
        fitted_on: format!(
            "{} faces of {} people",
            people.faces(settings.fit_on.into()).len(),
            people.count(settings.fit_on.into())
        ),
    };
    let scores: Vec<f64> = ratios.iter().map(|ratios| verifier.fuse(ratios)).collect();
    let trials = scores.iter().zip(&pairs).map(|(score, pair)| (-score, pair.same));
    let best = Trials::new(trials)?.best_threshold(Criterion::Accuracy);
    verifier.threshold = ScoreThreshold {
        score: -best.distance,
        accuracy: best.accuracy,
        false_acceptances: best.false_acceptance_rate,
        chosen_on: format!("{} balanced pairs of {} held-out people", pairs.len(), people.count(Side::HeldOut)),
    };
    say(format!("held-out pairs: {:.1} % right at the threshold", 100.0 * best.accuracy));
    Ok(Fitted { verifier, held_out: HeldOut { people: people.count(Side::HeldOut), pairs, scores } })
}

/// PCA and Joint Bayesian of the faces of one side.
fn fit_group(
    vectors: &VectorFolder,
    chosen: &[usize],
    people: &People,
    side: Side,
    settings: &FitSettings,
    say: Say,
) -> Result<Group, Error> {
    let faces = people.faces(side);
    let rows = settings.transform.applied(vectors.rows(chosen, &faces)?);
    let width = rows.len() / faces.len().max(1);
    let Some(pca) = Pca::fit_at_most(&rows, width, settings.components)? else {
        return Err(Error::NoVariance { chosen: chosen.to_vec() });
    };
    let components = pca.components();
    if components < settings.components {
        say(format!("  PCA to {components} dimensions: {} faces and {width} numbers give no more", faces.len()));
    }
    let reduced = pca.project(&rows)?;
    let labels: Vec<u32> = faces.iter().map(|&face| people.of_face[face]).collect();
    let mut last = None;
    let describe = |iteration: &Iteration| {
        let of_image = |nats: f64| nats / faces.len() as f64;
        format!(
            "  Joint Bayesian of {} people, iteration {}: log-likelihood {:.4}, with the prior of the shrinkage {:.4} an image",
            people.count(side),
            iteration.number,
            of_image(iteration.log_likelihood),
            of_image(iteration.objective)
        )
    };
    let joint_bayesian =
        JointBayesian::fit(&reduced, &labels, components, &settings.joint_bayesian, &mut |iteration| {
            // 0, 1, 2, 4, 8 … and the last: all of them would bury the rest.
            match iteration.number {
                0 => say(describe(iteration)),
                number if number.is_power_of_two() => say(describe(iteration)),
                _ => last = Some(*iteration),
            }
        })?;
    if let Some(iteration) = last {
        say(describe(&iteration));
    }
    Ok(Group { vectors: chosen.to_vec(), pca, joint_bayesian })
}

/// Place of each face among `chosen`; faces that are not chosen have none that counts.
fn places(faces: usize, chosen: &[usize]) -> Vec<usize> {
    let mut place = vec![usize::MAX; faces];
    for (at, &face) in chosen.iter().enumerate() {
        place[face] = at;
    }
    place
}

/// Weight of each group, and the bias. One group's ratio is the score itself.
fn fuse(ratios: &[Vec<f64>], pairs: &[Pair]) -> Result<(Vec<f64>, f64), Error> {
    let groups = ratios.first().map_or(0, Vec::len);
    if groups < 2 {
        return Ok((vec![1.0; groups], 0.0));
    }
    let same: Vec<bool> = pairs.iter().map(|pair| pair.same).collect();
    let svm = LinearSvm::fit(&ratios.concat(), groups, &same, &svm::Settings::default())?;
    Ok((svm.weights().to_vec(), svm.bias()))
}

#[cfg(test)]
pub(super) mod testing {
    //! Vectors of Gaussian people.

    use super::super::vectors::{Origin, VectorWriter};
    use super::*;
    use crate::face::index::AlignedFaces;
    use crate::face::index::testing::aligned_folder;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use tempfile::TempDir;

    /// Numbers in a vector.
    pub const DIMENSION: usize = 4;
    /// Standard deviation of the pictures of a person about their mean; that of the means is 1.
    const NOISE: f32 = 0.4;
    /// Whose vectors there are.
    pub const PATCHES: [usize; 2] = [3, 50];

    fn normal(rng: &mut ChaCha8Rng) -> f32 {
        // Box–Muller; 1 − u is never 0.
        let (u, v): (f32, f32) = (rng.random(), rng.random());
        (-2.0 * (1.0 - u).ln()).sqrt() * (std::f32::consts::TAU * v).cos()
    }

    /// [faces, patches · 2 · dimension]: Gaussian people of `images` faces each.
    pub fn gaussian(people: usize, images: usize, seed: u64) -> Vec<Vec<f32>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let width = PATCHES.len() * SIDES * DIMENSION;
        let mut faces = Vec::new();
        for _ in 0..people {
            let mean: Vec<f32> = (0..width).map(|_| normal(&mut rng)).collect();
            faces.extend((0..images).map(|_| mean.iter().map(|value| value + NOISE * normal(&mut rng)).collect()));
        }
        faces
    }

    /// Who is held out of the Gaussian people.
    pub const HELD_OUT: HoldOut = HoldOut { seed: 1, fraction: 0.3 };

    /// Vectors of Gaussian people on disk, and who they are.
    pub fn drawn(people: usize, images: usize, seed: u64) -> (TempDir, VectorFolder, People) {
        let folder = tempfile::tempdir().unwrap();
        aligned_folder(&folder.path().join("aligned"), &vec![images; people]);
        let aligned = AlignedFaces::open(&folder.path().join("aligned")).unwrap();
        let faces = gaussian(people, images, seed);
        for (place, patch) in PATCHES.into_iter().enumerate() {
            let origin = Origin { patch, model: "m".into(), faces: "f".into(), held_out: HELD_OUT };
            let path = vectors::path(folder.path(), patch);
            let mut writer = VectorWriter::begin(&path, &origin, faces.len(), DIMENSION).unwrap().unwrap();
            for face in &faces {
                writer.append(&face[place * SIDES * DIMENSION..][..SIDES * DIMENSION]).unwrap();
            }
            writer.finish().unwrap();
        }
        let vectors = VectorFolder::new(folder.path(), "f".into(), faces.len(), HELD_OUT);
        let people = People::of(&aligned, HELD_OUT).unwrap();
        (folder, vectors, people)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::*;
    use super::*;
    use rand::SeedableRng;
    use rand::seq::SliceRandom;
    use rand_chacha::ChaCha8Rng;

    fn groups() -> Vec<Vec<usize>> {
        vec![vec![6, 100], vec![7, 101]]
    }

    fn fitted(vectors: &VectorFolder, people: &People, settings: &FitSettings) -> Result<Fitted, Error> {
        fit(vectors, &groups(), people, settings, &|_| {})
    }

    #[test]
    fn gaussian_people_are_told_apart_and_shuffled_labels_are_guessed() {
        let (folder, vectors, people) = drawn(20, 4, 1);
        let Fitted { verifier, held_out } = fitted(&vectors, &people, &FitSettings::default()).unwrap();
        let threshold = &verifier.threshold;
        assert!(threshold.accuracy > 0.8, "held out: {}", threshold.accuracy);
        assert_eq!(threshold.chosen_on, format!("{} balanced pairs of 6 held-out people", held_out.pairs.len()));
        assert_eq!(verifier.fitted_on, "80 faces of 20 people");
        assert_eq!((verifier.dimension, verifier.groups.len(), held_out.people), (DIMENSION, 2, 6));
        let right = |scores: &[f64], same: &[bool]| {
            let right = scores.iter().zip(same).filter(|(score, same)| (**score >= threshold.score) == **same).count();
            right as f64 / scores.len() as f64
        };
        let held_same: Vec<bool> = held_out.pairs.iter().map(|pair| pair.same).collect();
        assert!((right(&held_out.scores, &held_same) - threshold.accuracy).abs() < 1e-9);

        // The same again, to the byte.
        let path = |name: &str| folder.path().join(name);
        verifier.save(&path("one")).unwrap();
        fitted(&vectors, &people, &FitSettings::default()).unwrap().verifier.save(&path("two")).unwrap();
        assert!(std::fs::read(path("one")).unwrap() == std::fs::read(path("two")).unwrap());

        // People that nothing has seen.
        let faces = gaussian(100, 4, 2);
        let rows = &mut |chosen: &[usize]| {
            let of_face = |face: &Vec<f32>| -> Vec<f32> {
                let start = |vector: &usize| {
                    let place = PATCHES.iter().position(|patch| *patch == vector / SIDES).unwrap();
                    (place * SIDES + vector % SIDES) * DIMENSION
                };
                chosen.iter().flat_map(|vector| &face[start(vector)..][..DIMENSION]).copied().collect()
            };
            Ok(faces.iter().flat_map(of_face).collect())
        };
        let prepared = verifier.prepare(&verifier.reduce(rows).unwrap()).unwrap();
        let (mut scores, mut same) = (Vec::new(), Vec::new());
        for face in 0..400 {
            for (other, one_person) in [(face / 4 * 4 + (face + 1) % 4, true), ((face + 4) % 400, false)] {
                scores.push(verifier.score(&prepared, face, &prepared, other));
                same.push(one_person);
            }
        }
        assert!(right(&scores, &same) > 0.85, "strangers: {}", right(&scores, &same));
        same.shuffle(&mut ChaCha8Rng::seed_from_u64(3));
        // Three standard deviations of 800 guesses.
        assert!((right(&scores, &same) - 0.5).abs() < 0.053, "shuffled: {}", right(&scores, &same));
    }

    #[test]
    fn training_people_alone_decide_where_they_are_asked_to() {
        let (_folder, vectors, people) = drawn(12, 3, 4);
        let fit_on = |fit_on| fitted(&vectors, &people, &FitSettings { fit_on, ..Default::default() }).unwrap();
        let [all, training] = [FitOn::All, FitOn::Training].map(fit_on);
        assert_eq!(training.verifier.fitted_on, "27 faces of 9 people");
        assert!(training.verifier.groups != all.verifier.groups);
        // Weights and threshold come from held-out people either way.
        assert_eq!(training.held_out, all.held_out);
        assert_eq!(
            (&training.verifier.weights, &training.verifier.threshold),
            (&all.verifier.weights, &all.verifier.threshold)
        );
    }

    #[test]
    fn what_cannot_be_fitted_is_explained() {
        let (folder, vectors, people) = drawn(7, 2, 5);
        let singular = FitSettings {
            joint_bayesian: joint_bayesian::Settings { shrinkage: 0.0, ..Default::default() },
            ..FitSettings::default()
        };
        let message = fitted(&vectors, &people, &singular).unwrap_err().to_string();
        assert!(message.contains("covariance is singular") && message.contains("set the shrinkage"), "{message}");
        // More components than there are numbers or faces: as many as there are.
        let many = FitSettings { components: 1000, ..FitSettings::default() };
        let components = fitted(&vectors, &people, &many).unwrap().verifier.groups[0].pca.components();
        assert_eq!(components, 2 * DIMENSION);

        let fit_groups = |groups: &[Vec<usize>], vectors: &VectorFolder| {
            fit(vectors, groups, &people, &FitSettings::default(), &|_| {}).unwrap_err().to_string()
        };
        assert!(fit_groups(&[], &vectors).contains("no vectors are chosen"));
        assert!(fit_groups(&[vec![]], &vectors).contains("no vectors are chosen"));
        assert!(fit_groups(&[vec![10]], &vectors).contains("patch-005.safetensors: no such file of vectors"));
        let other = VectorFolder::new(folder.path(), "g".into(), 14, HELD_OUT);
        assert!(fit_groups(&groups(), &other).contains("patch-003.safetensors holds vectors of other faces"));
        let other = VectorFolder::new(folder.path(), "f".into(), 14, HoldOut { seed: 2, ..HELD_OUT });
        let message = fit_groups(&groups(), &other);
        assert!(message.contains("seed 1 and holding out 0.3") && message.contains("seed 2"), "{message}");
    }
}
