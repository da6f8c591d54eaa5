//! The verifier: groups of chosen vectors, each reduced by PCA and compared by Joint Bayesian, their scores fused by a
//! linear SVM (DeepID2 §3.3 and §4), and the threshold at and above which two faces count as one person.
//!
//! Its file is safetensors of f64:
//!
//! | tensor | shape | what |
//! |---|---|---|
//! | `G.pca.mean`, `.directions`, `.eigenvalues`, `.total_variance` | [1, d], [k, d], [1, k], [1, 1] | PCA of group G's d = 160 × vectors numbers to k |
//! | `G.jb.mean`, `.s_mu`, `.s_eps` | [1, k], [k, k], [k, k] | Joint Bayesian |
//! | `fusion` | [groups + 1] | weight of each group's log-likelihood ratio, then the bias |
//!
//! | entry | what |
//! |---|---|
//! | `kind` | `deepid2-verifier-2` |
//! | `groups` | the vectors of each group, 0 to 399, as JSON |
//! | `dimension` | numbers in a vector |
//! | `threshold` | [`ScoreThreshold`] as JSON |
//! | `fitted_on` | in words |
//! | `networks` | the digest of each patch's network, as JSON |
//! | `transform` | [`Transform`] as JSON |

use super::Error;
use crate::data::pairs::Pair;
use crate::face::patches::{PATCHES, Patch};
use crate::model::checkpoint::{self, Checkpoint, NamedTensor};
use crate::verify::joint_bayesian::{JointBayesian, Prepared};
use crate::verify::matrices::NamedMatrix;
use crate::verify::pca::Pca;
use crate::verify::transform::Transform;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The value of the entry `kind`.
const KIND: &str = "deepid2-verifier-2";

/// Vectors that are compared together.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Numbers of the vectors, 2p of patch p as it is and 2p + 1 of its mirrored counterpart.
    pub vectors: Vec<usize>,
    pub pca: Pca,
    pub joint_bayesian: JointBayesian,
}

/// The score at and above which two faces count as one person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreThreshold {
    /// Fused score.
    pub score: f64,
    /// Share of the pairs it was chosen on that it judges rightly.
    pub accuracy: f64,
    /// Share of pairs of different people among them that it takes for one.
    pub false_acceptances: f64,
    /// Which pairs these were.
    pub chosen_on: String,
}

/// Everything between vectors and a verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct Verifier {
    pub groups: Vec<Group>,
    /// Weight of each group's log-likelihood ratio in the score.
    pub weights: Vec<f64>,
    pub bias: f64,
    /// What is done to the vectors' numbers before PCA.
    pub transform: Transform,
    /// Numbers in a vector.
    pub dimension: usize,
    pub threshold: ScoreThreshold,
    /// The faces it was fitted on, in words.
    pub fitted_on: String,
    /// [`Model::digest`](crate::model::Model::digest) of the network of each patch: vectors of others mean nothing to it.
    pub networks: BTreeMap<usize, String>,
}

/// Gives the concatenated vectors of a group for all faces: faces × (vectors · dimension).
pub type RowsOf<'a> = &'a mut dyn FnMut(&[usize]) -> Result<Vec<f32>, Error>;

/// Faces that are ready to be compared with each other.
#[derive(Debug, Clone, PartialEq)]
pub struct PreparedFaces {
    of_group: Vec<Prepared>,
}

impl PreparedFaces {
    /// The number of faces.
    pub fn len(&self) -> usize {
        self.of_group.first().map_or(0, Prepared::len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Verifier {
    /// All patches whose networks are needed, in rising order.
    pub fn patches(&self) -> Vec<Patch> {
        let vectors: Vec<usize> = self.groups.iter().flat_map(|group| group.vectors.iter().copied()).collect();
        patches_of(&vectors)
    }

    /// Makes sure that the network of `patch` with this digest is the one whose vectors the verifier was fitted to.
    ///
    /// # Errors
    /// Another network; `path` is what came from it.
    pub fn check_network(&self, patch: usize, digest: &str, path: &Path) -> Result<(), Error> {
        match self.networks.get(&patch) {
            Some(held) if held == digest => Ok(()),
            _ => Err(Error::OtherNetwork { path: path.into(), patch }),
        }
    }

    /// Reduces faces to a matrix a group.
    ///
    /// # Errors
    /// Rows of another length, or numbers that are not finite.
    pub fn reduce(&self, rows: RowsOf) -> Result<Vec<Vec<f32>>, Error> {
        let reduce = |group: &Group| Ok(group.pca.project(&self.transform.applied(rows(&group.vectors)?))?);
        self.groups.iter().map(reduce).collect()
    }

    /// Prepares reduced faces (a matrix a group, as [`Self::reduce`] makes them) to be compared.
    ///
    /// # Errors
    /// Reduced faces of another verifier.
    pub fn prepare(&self, reduced: &[Vec<f32>]) -> Result<PreparedFaces, Error> {
        let of_group = self.groups.iter().zip(reduced).map(|(group, rows)| group.joint_bayesian.prepare(rows));
        Ok(PreparedFaces { of_group: of_group.collect::<Result<_, _>>()? })
    }

    /// The log-likelihood ratio of each group for faces `a` and `b` of `others`.
    pub fn ratios(&self, faces: &PreparedFaces, a: usize, others: &PreparedFaces, b: usize) -> Vec<f64> {
        faces.of_group.iter().zip(&others.of_group).map(|(face, other)| face.llr_with(a, other, b)).collect()
    }

    /// The fused score: the larger, the more like one person.
    pub fn score(&self, faces: &PreparedFaces, a: usize, others: &PreparedFaces, b: usize) -> f64 {
        self.fuse(&self.ratios(faces, a, others, b))
    }

    /// The fused score of each pair; `reduced` holds the faces that `pairs` number, as [`Self::reduce`] makes them.
    ///
    /// # Errors
    /// Reduced faces of another verifier.
    pub fn score_pairs(&self, reduced: &[Vec<f32>], pairs: &[Pair]) -> Result<Vec<f64>, Error> {
        let faces = self.prepare(reduced)?;
        Ok(pairs.iter().map(|pair| self.score(&faces, pair.a as usize, &faces, pair.b as usize)).collect())
    }

    /// The score of the groups' log-likelihood ratios.
    pub fn fuse(&self, ratios: &[f64]) -> f64 {
        self.weights.iter().zip(ratios).map(|(weight, ratio)| weight * ratio).sum::<f64>() + self.bias
    }

    /// Saves the verifier, in whole or not at all.
    ///
    /// # Errors
    /// A folder that is missing, read-only or full.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let mut tensors = Vec::new();
        for (number, group) in self.groups.iter().enumerate() {
            for matrix in group.pca.to_matrices().into_iter().chain(group.joint_bayesian.to_matrices()) {
                let NamedMatrix { name, rows, columns, values } = matrix;
                tensors.push(NamedTensor { name: format!("{number}.{name}"), dims: vec![rows, columns], values });
            }
        }
        let fusion: Vec<f64> = self.weights.iter().copied().chain([self.bias]).collect();
        tensors.push(NamedTensor { name: "fusion".into(), dims: vec![fusion.len()], values: fusion });
        let groups: Vec<&[usize]> = self.groups.iter().map(|group| group.vectors.as_slice()).collect();
        let metadata = BTreeMap::from([
            ("kind".to_string(), KIND.to_string()),
            ("groups".to_string(), json_of(&groups)),
            ("dimension".to_string(), self.dimension.to_string()),
            ("threshold".to_string(), json_of(&self.threshold)),
            ("fitted_on".to_string(), self.fitted_on.clone()),
            ("transform".to_string(), json_of(&self.transform)),
            ("networks".to_string(), json_of(&self.networks)),
        ]);
        Ok(checkpoint::save_wide(path, &tensors, &metadata)?)
    }

    /// Loads a verifier.
    ///
    /// # Errors
    /// A file that is missing, damaged or of another kind.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let file = checkpoint::load(path)?;
        if file.text("kind")? != KIND {
            return Err(Error::NotVerifier { path: path.into() });
        }
        let chosen: Vec<Vec<usize>> = from_json(&file, "groups")?;
        let known = |vector: &usize| *vector < 2 * PATCHES;
        if chosen.is_empty() || !chosen.iter().all(|vectors| !vectors.is_empty() && vectors.iter().all(known)) {
            return Err(Error::VerifierEntry { path: path.into(), entry: "groups", message: "no vectors".into() });
        }
        let mut groups = Vec::new();
        for (number, vectors) in chosen.into_iter().enumerate() {
            let matrices = matrices_of(&file, number);
            let damaged = |message: String| Error::VerifierEntry { path: path.into(), entry: "groups", message };
            let pca = Pca::from_matrices(&matrices).map_err(|error| damaged(error.to_string()))?;
            let joint_bayesian = JointBayesian::from_matrices(&matrices).map_err(|error| damaged(error.to_string()))?;
            groups.push(Group { vectors, pca, joint_bayesian });
        }
        let fusion = file.wide_tensors.iter().find(|tensor| tensor.name == "fusion");
        let fusion = fusion.map(|tensor| tensor.values.as_slice()).unwrap_or_default();
        let verifier = Self {
            weights: fusion.iter().take(groups.len()).copied().collect(),
            bias: fusion.last().copied().unwrap_or_default(),
            groups,
            dimension: file.value("dimension", "a whole number")?,
            threshold: from_json(&file, "threshold")?,
            fitted_on: file.text("fitted_on")?.into(),
            networks: from_json(&file, "networks")?,
            transform: from_json(&file, "transform")?,
        };
        let fits = fusion.len() == verifier.groups.len() + 1
            && fusion.iter().chain([&verifier.threshold.score]).all(|value| value.is_finite())
            && verifier.groups.iter().all(|group| {
                group.pca.dimension() == group.vectors.len() * verifier.dimension
                    && group.pca.components() == group.joint_bayesian.dimension()
            });
        match fits {
            true => Ok(verifier),
            false => {
                let message = "the tensors do not fit each other".into();
                Err(Error::VerifierEntry { path: path.into(), entry: "groups", message })
            }
        }
    }
}

/// The patches that vectors come from, in rising order.
pub fn patches_of(vectors: &[usize]) -> Vec<Patch> {
    Patch::all().filter(|patch| vectors.iter().any(|vector| vector / 2 == patch.index())).collect()
}

/// Names of a group's matrices, as PCA and Joint Bayesian look for them.
const MATRICES: [&str; 7] =
    ["pca.mean", "pca.directions", "pca.eigenvalues", "pca.total_variance", "jb.mean", "jb.s_mu", "jb.s_eps"];

fn matrices_of(file: &Checkpoint, group: usize) -> Vec<NamedMatrix> {
    let matrix = |name: &'static str| {
        let tensor = file.wide_tensors.iter().find(|tensor| tensor.name == format!("{group}.{name}"))?;
        let &[rows, columns] = tensor.dims.as_slice() else { return None };
        Some(NamedMatrix { name, rows, columns, values: tensor.values.clone() })
    };
    MATRICES.into_iter().filter_map(matrix).collect()
}

fn json_of<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain numbers and text")
}

fn from_json<T: serde::de::DeserializeOwned>(file: &Checkpoint, entry: &'static str) -> Result<T, Error> {
    serde_json::from_str(file.text(entry)?).map_err(|error| Error::VerifierEntry {
        path: file.path().into(),
        entry,
        message: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A verifier of two groups, of the vectors 4 and 5 and of vector 399, each of three numbers.
    fn verifier() -> Verifier {
        let group = |vectors: Vec<usize>, seed: usize| {
            let width = 3 * vectors.len();
            let rows: Vec<f32> = (0..8 * width).map(|i| ((i * i + seed * i) as f32).sin()).collect();
            let (mu, eps) = ([2.0, 0.5, 0.5, 1.0], [1.0, 0.25, 0.25, 0.75]);
            Group {
                vectors,
                pca: Pca::fit(&rows, width, 2).unwrap(),
                joint_bayesian: JointBayesian::from_covariances(&[0.1, -0.2], &mu, &eps).unwrap(),
            }
        };
        Verifier {
            groups: vec![group(vec![4, 5], 1), group(vec![399], 2)],
            weights: vec![1.0 / 3.0, -0.7],
            bias: 0.1,
            dimension: 3,
            transform: Transform::SquareRoot,
            threshold: ScoreThreshold {
                score: 0.25,
                accuracy: 0.9,
                false_acceptances: 0.1,
                chosen_on: "10 pairs".into(),
            },
            fitted_on: "8 faces of 2 people".into(),
            networks: BTreeMap::from([(2, "a1".into()), (199, "b2".into())]),
        }
    }

    #[test]
    fn another_network_of_the_same_patch_is_refused() {
        let path = Path::new("patch-002.safetensors");
        verifier().check_network(2, "a1", path).unwrap();
        for (patch, digest) in [(2, "b2"), (199, "a1"), (3, "a1")] {
            let message = verifier().check_network(patch, digest, path).unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("patch-002.safetensors: not of the network of patch {patch}")),
                "{message}"
            );
        }
    }

    /// Scores of all pairs of four faces.
    fn scores(verifier: &Verifier) -> Vec<f64> {
        let rows = &mut |chosen: &[usize]| {
            Ok((0..4 * 3 * chosen.len()).map(|i| ((7 * i + chosen[0]) as f32).cos()).collect::<Vec<f32>>())
        };
        let faces = verifier.prepare(&verifier.reduce(rows).unwrap()).unwrap();
        assert_eq!((faces.len(), faces.is_empty()), (4, false));
        (0..4).flat_map(|a| (0..4).map(move |b| (a, b))).map(|(a, b)| verifier.score(&faces, a, &faces, b)).collect()
    }

    #[test]
    fn what_is_saved_is_loaded_and_scores_alike() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("verifier.safetensors");
        let saved = verifier();
        saved.save(&path).unwrap();
        let loaded = Verifier::load(&path).unwrap();
        assert_eq!(loaded, saved);
        assert_eq!(loaded.patches().iter().map(|patch| patch.index()).collect::<Vec<_>>(), [2, 199]);
        let scores = scores(&saved);
        assert_eq!(scores, self::scores(&loaded));
        // Of a and b as of b and a.
        assert!((scores[1] - scores[4]).abs() < 1e-9 && (scores[1] - scores[2]).abs() > 1e-3, "{scores:?}");
        assert!((saved.fuse(&[3.0, 1.0]) - 0.4).abs() < 1e-12);
    }

    #[test]
    fn damaged_files_are_errors_that_name_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("verifier.safetensors");
        verifier().save(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in (0..whole.len()).step_by(97) {
            std::fs::write(&path, &whole[..length]).unwrap();
            let message = Verifier::load(&path).unwrap_err().to_string();
            assert!(message.starts_with(&path.display().to_string()), "{message}");
        }
        std::fs::write(&path, &whole).unwrap();
        let Checkpoint { wide_tensors, metadata, .. } = checkpoint::load(&path).unwrap();
        let refused = |tensors: &[NamedTensor<f64>], metadata: &BTreeMap<String, String>, expected: &str| {
            checkpoint::save_wide(&path, tensors, metadata).unwrap();
            let message = Verifier::load(&path).unwrap_err().to_string();
            assert!(message.contains("verifier.safetensors") && message.contains(expected), "{message}");
        };
        for (entry, value, expected) in [
            ("kind", "deepid2-model-1", "not a verifier"),
            ("groups", "[[4,5],[400]]", "no vectors"),
            ("groups", "[[4,5],[]]", "no vectors"),
            ("groups", "[]", "no vectors"),
            ("groups", "[[4],[399]]", "do not fit"),
            ("groups", "[[4,5]]", "do not fit"),
            ("groups", "4", "entry `groups`"),
            ("dimension", "4", "do not fit"),
            ("dimension", "many", "expected a whole number"),
            ("threshold", "{}", "entry `threshold`"),
        ] {
            let mut other = metadata.clone();
            other.insert(entry.into(), value.into());
            refused(&wide_tensors, &other, expected);
        }
        for missing in 0..wide_tensors.len() {
            let mut fewer = wide_tensors.clone();
            fewer.remove(missing);
            refused(&fewer, &metadata, "the file is damaged, fit again");
        }
        let mut infinite = wide_tensors;
        infinite[0].values[0] = f64::NAN;
        refused(&infinite, &metadata, "not a finite number");
    }
}
