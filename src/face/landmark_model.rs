//! A trained landmark cascade and its file: safetensors with these tensors and text entries.
//!
//! | tensor | shape | what |
//! |---|---|---|
//! | `mean` | [21, 2] | the mean shape, its middle at 0 and its pupil distance 1 |
//! | `placement` | [3] | pupil distance, x and y of its middle in a face's box, over the box's side |
//! | `stageN.window` | [1] | side of stage N's patches in pupil distances, N from 1 |
//! | `stageN.weight` | [2688, 42] | from descriptors (landmark, cell row, cell column, orientation) to displacements (landmark, x and y) |
//! | `stageN.bias` | [42] | |
//!
//! | entry | what |
//! |---|---|
//! | `kind` | `deepid2-landmarks-1` |
//! | `stages` | how many there are |
//! | `provenance` | [`Provenance`] as JSON |

use super::detect::FaceBox;
use super::picture::Gray;
use super::points::{LANDMARKS, Shape};
use super::sdm::{Cascade, FEATURES, OUTPUTS, Placement, Stage};
use super::training::{MOST_STAGES, TrainSettings};
use crate::model::checkpoint::{self, NamedTensor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const KIND: &str = "deepid2-landmarks-1";

/// Why a landmark model cannot be saved or loaded. Every message names the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    #[error(
        "{path}: a `{found}` file, expected `{KIND}`; give a model that `deepid2 landmarks train` of this version wrote"
    )]
    Kind { path: PathBuf, found: String },
    #[error("{path}, entry `{key}`: {message}; the model is damaged, use another")]
    Entry { path: PathBuf, key: &'static str, message: String },
    #[error("{path}, tensor `{name}`: holds a number that is not finite; the model is damaged, use another")]
    NotFinite { path: PathBuf, name: String },
}

/// How a model came to be and how good it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// What it was trained on, in words.
    pub trained_on: String,
    /// Pictures that it was trained on.
    pub pictures: usize,
    /// Share of the pictures that were held out: with the settings' seed and the folder it says which.
    pub hold_out: f64,
    pub settings: TrainSettings,
    /// What the held-out pictures gave; none where none was held out.
    pub held_out: Option<HeldOut>,
}

/// Errors on pictures that a model was not trained on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    pub pictures: usize,
    /// Pictures in which the detector found the face; the other errors are from ideal boxes.
    pub detected: usize,
    /// Mean over pictures of the mean distance of the 21 landmarks, over the distance of the outer
    /// eye corners.
    pub error_over_eye_corners: f64,
    /// The same over the distance of the pupils.
    pub error_over_pupils: f64,
    /// Share of pictures whose error over the eye corners is beyond 10 %.
    pub failures: f64,
}

/// A trained landmark cascade.
#[derive(Debug, Clone, PartialEq)]
pub struct LandmarkModel {
    pub cascade: Cascade,
    pub provenance: Provenance,
}

impl LandmarkModel {
    /// The 21 landmarks of the face in `face`, in pixels of the picture; see [`Cascade::fit`].
    pub fn fit(&self, gray: &Gray, face: &FaceBox) -> Shape {
        self.cascade.fit(gray, face)
    }

    /// Saves the model, in whole or not at all. Equal models give equal bytes.
    ///
    /// # Errors
    /// A folder that is missing, read-only or full.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let Cascade { mean, placement, stages } = &self.cascade;
        let tensor = |name: String, dims: &[usize], values: Vec<f32>| NamedTensor { name, dims: dims.into(), values };
        let Placement { scale, shift: [x, y] } = *placement;
        let mut tensors = vec![
            tensor("mean".into(), &[LANDMARKS, 2], mean.as_flattened().to_vec()),
            tensor("placement".into(), &[3], vec![scale, x, y]),
        ];
        for (index, stage) in stages.iter().enumerate() {
            let name = |part| format!("stage{}.{part}", index + 1);
            tensors.push(tensor(name("window"), &[1], vec![stage.window]));
            tensors.push(tensor(name("weight"), &[FEATURES, OUTPUTS], stage.weights.clone()));
            tensors.push(tensor(name("bias"), &[OUTPUTS], stage.bias.clone()));
        }
        let provenance = serde_json::to_string(&self.provenance).expect("plain numbers and text, which JSON can hold");
        let metadata = [("kind", KIND.into()), ("stages", stages.len().to_string()), ("provenance", provenance)];
        checkpoint::save(path, &tensors, &BTreeMap::from(metadata.map(|(key, text)| (key.to_string(), text))))?;
        Ok(())
    }

    /// Loads a model.
    ///
    /// # Errors
    /// A file that is missing, truncated, no safetensors file, of another kind or version, or damaged.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let mut file = checkpoint::load(path)?;
        let kind = file.text("kind")?;
        if kind != KIND {
            return Err(Error::Kind { path: path.into(), found: kind.into() });
        }
        let damaged = |key, message| Error::Entry { path: path.into(), key, message };
        let count: usize = file.value("stages", "a whole number")?;
        if !(1..=MOST_STAGES).contains(&count) {
            return Err(damaged("stages", format!("expected 1 to {MOST_STAGES}, found {count}")));
        }
        let provenance =
            serde_json::from_str(file.text("provenance")?).map_err(|error| damaged("provenance", error.to_string()))?;
        let mut take = |name: String, dims: &[usize]| -> Result<Vec<f32>, Error> {
            let values = file.take(&name, dims)?;
            match values.iter().all(|value| value.is_finite()) {
                true => Ok(values),
                false => Err(Error::NotFinite { path: path.into(), name }),
            }
        };
        let mean = take("mean".into(), &[LANDMARKS, 2])?;
        let mean = std::array::from_fn(|i| [mean[2 * i], mean[2 * i + 1]]);
        let placement = take("placement".into(), &[3])?;
        let placement = Placement { scale: placement[0], shift: [placement[1], placement[2]] };
        let mut stages = Vec::with_capacity(count);
        for number in 1..=count {
            let mut part = |part, dims: &[usize]| take(format!("stage{number}.{part}"), dims);
            stages.push(Stage {
                window: part("window", &[1])?[0],
                weights: part("weight", &[FEATURES, OUTPUTS])?,
                bias: part("bias", &[OUTPUTS])?,
            });
        }
        file.expect_all_taken()?;
        Ok(Self { cascade: Cascade { mean, placement, stages }, provenance })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::draw::SCHEME;

    fn model() -> LandmarkModel {
        let stage = |window: f32| Stage {
            window,
            weights: (0..FEATURES * OUTPUTS).map(|i| window + i as f32).collect(),
            bias: (0..OUTPUTS).map(|i| -window * i as f32).collect(),
        };
        LandmarkModel {
            cascade: Cascade {
                mean: SCHEME,
                placement: Placement { scale: 0.4, shift: [0.0, 0.1] },
                stages: vec![stage(1.2), stage(0.5)],
            },
            provenance: Provenance {
                trained_on: "nobody".into(),
                pictures: 80,
                hold_out: 0.2,
                settings: TrainSettings::with_stages(2),
                held_out: Some(HeldOut {
                    pictures: 20,
                    detected: 19,
                    error_over_eye_corners: 0.034_567_891_234_5,
                    error_over_pupils: 0.05,
                    failures: 0.0,
                }),
            },
        }
    }

    #[test]
    fn a_saved_model_is_loaded_again_and_equal_models_are_equal_files() {
        let folder = tempfile::tempdir().unwrap();
        let [path, other] = ["a", "b"].map(|name| folder.path().join(name));
        model().save(&path).unwrap();
        let loaded = LandmarkModel::load(&path).unwrap();
        assert_eq!(loaded, model());
        loaded.save(&other).unwrap();
        assert!(std::fs::read(&path).unwrap() == std::fs::read(&other).unwrap());
    }

    type Change<'a> = &'a dyn Fn(&mut Vec<NamedTensor>, &mut BTreeMap<String, String>);

    #[test]
    fn damaged_and_foreign_files_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("landmarks.safetensors");
        model().save(&path).unwrap();
        let whole = checkpoint::load(&path).unwrap();
        let refused = |change: Change<'_>, expected: &[&str]| {
            let (mut tensors, mut entries) = (whole.tensors.clone(), whole.metadata.clone());
            change(&mut tensors, &mut entries);
            checkpoint::save(&path, &tensors, &entries).unwrap();
            let message = LandmarkModel::load(&path).unwrap_err().to_string();
            assert!(message.contains("landmarks.safetensors"), "{message}");
            assert!(expected.iter().all(|part| message.contains(part)), "{message}");
        };
        refused(&|_, entries| drop(entries.insert("kind".into(), "deepid2-model-1".into())), &["deepid2-model-1"]);
        refused(&|_, entries| drop(entries.insert("stages".into(), "3".into())), &["stage3.window"]);
        refused(&|_, entries| drop(entries.insert("stages".into(), "1".into())), &["stage2.bias"]);
        refused(&|_, entries| drop(entries.insert("stages".into(), "0".into())), &["stages", "1 to 32"]);
        refused(&|_, entries| drop(entries.insert("provenance".into(), "{}".into())), &["provenance"]);
        refused(&|_, entries| drop(entries.remove("stages")), &["no entry `stages`"]);
        refused(&|tensors, _| drop(tensors.remove(0)), &["mean"]);
        refused(&|tensors, _| tensors[0].values[3] = f32::NAN, &["mean", "not finite"]);

        model().save(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(LandmarkModel::load(&path).unwrap_err().to_string().contains("truncated"));
        assert!(LandmarkModel::load(&folder.path().join("none")).unwrap_err().to_string().contains("none"));
    }
}
