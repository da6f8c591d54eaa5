//! Model files: safetensors with these tensors and text entries.
//!
//! | tensor | shape | what |
//! |---|---|---|
//! | `conv1.weight`, `.bias` | [1, channels·16, w1], [1, w1] | conv1, 4×4 |
//! | `conv2.weight`, `.bias` | [1, w1·9, w2], [1, w2] | conv2, 3×3 |
//! | `conv3.weight`, `.bias` | [regions, w2·9, w3], [regions, w3] | conv3, 3×3, a filter set a region |
//! | `conv4.weight`, `.bias` | [positions, w3·4, w4], [positions, w4] | conv4, 2×2, a filter set a position |
//! | `deepid2.pool3.weight` | [1, pool3 values, n] | DeepID2 layer on pool3 |
//! | `deepid2.conv4.weight` | [1, conv4 values, n] | DeepID2 layer on conv4 |
//! | `deepid2.bias` | [1, n] | n is the length of the DeepID2 vector |
//! | `softmax.weight`, `.bias` | [1, n, identities], [1, identities] | the identification head; may be left out |
//! | `mean` | [channels, rows, columns] | subtracted from the pixels, 0 to 255 |
//! | `cosine` | [4] | (w, b, 0, 0) of the cosine signal, where it was trained |
//!
//! Taps run over (input channel, filter row, filter column), inputs of `deepid2` over (channel, row, column), the last
//! fastest; outputs are the last dimension. The input is (pixel − mean) / 128.
//!
//! | entry | what |
//! |---|---|
//! | `kind` | `deepid2-model-1` |
//! | `network` | [`NetSpec`] as JSON |
//! | `crop` | [`CropSpec`] as JSON: what is cut from a picture |
//! | `patch` | absent, or the patch of aligned pictures that the network takes: `{"index":155,"name":"pupil@1.4 gray"}` |
//! | `mirror` | `true`: the embedding is the vector of the picture plus that of its mirror image |
//! | `threshold` | [`ChosenThreshold`] as JSON |
//! | `trained_on` | a description of the training data |

use super::Error;
use super::checkpoint::{self, NamedTensor};
use crate::data::crop::CropSpec;
use crate::face::patches::Patch;
use crate::net::{NetSpec, ParameterSpec};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// The value of the entry `kind`.
pub const KIND: &str = "deepid2-model-1";

/// The distance at and below which two pictures count as one person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChosenThreshold {
    /// Euclidean distance of embeddings.
    pub distance: f64,
    /// Share of the pairs it was chosen on that it judges rightly.
    pub accuracy: f64,
    /// Which pairs these were.
    pub chosen_on: String,
}

/// A trained network with everything that verifying a picture needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Sizes of the network.
    pub spec: NetSpec,
    /// What is cut from a picture; without margin.
    pub crop: CropSpec,
    /// The patch of aligned pictures that the network takes; none where it takes the middle of any picture.
    pub patch: Option<Patch>,
    /// Whether the embedding is the sum over the picture and its mirror image.
    pub mirror: bool,
    /// Absent before the first validation.
    pub threshold: Option<ChosenThreshold>,
    /// The training data, for people to read.
    pub trained_on: String,
    /// Values by name, as in the file.
    pub parameters: BTreeMap<String, Vec<f32>>,
}

/// Tensors of a model of `spec`, in file order.
pub fn tensors_of(spec: &NetSpec) -> Vec<ParameterSpec> {
    let mut all = spec.extractor_parameters();
    all.extend(spec.softmax_parameters());
    all.push(spec.mean());
    all
}

impl Model {
    /// The model without what only training needs: its identification head and the cosine signal's parameters.
    #[must_use]
    pub fn extractor_only(mut self) -> Self {
        let mut needed = self.spec.extractor_parameters();
        needed.push(self.spec.mean());
        self.parameters.retain(|name, _| needed.iter().any(|tensor| tensor.name == name));
        self
    }

    /// SHA-256 of all that decides the vectors: names and values of the extractor's parameters. Two runs that train alike
    /// have one digest, whatever else their files hold.
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(json(&self.spec));
        for (name, values) in &self.clone().extractor_only().parameters {
            hasher.update(name);
            values.iter().for_each(|value| hasher.update(value.to_le_bytes()));
        }
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Saves the model to `path`, in whole or not at all.
    ///
    /// # Errors
    /// A folder that is missing, read-only or full.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let (tensors, metadata) = self.contents();
        Ok(checkpoint::save(path, &tensors, &metadata)?)
    }

    /// Tensors and entries of the file.
    pub fn contents(&self) -> (Vec<NamedTensor>, BTreeMap<String, String>) {
        let mut specs = tensors_of(&self.spec);
        specs.push(self.spec.cosine_parameters());
        let tensors = specs
            .into_iter()
            .filter_map(|spec| {
                let values = self.parameters.get(spec.name)?.clone();
                Some(NamedTensor { name: spec.name.into(), dims: spec.dims, values })
            })
            .collect();
        let mut metadata = BTreeMap::from([
            ("kind".to_string(), KIND.to_string()),
            ("network".to_string(), json(&self.spec)),
            ("crop".to_string(), json(&self.crop)),
            ("mirror".to_string(), self.mirror.to_string()),
            ("trained_on".to_string(), self.trained_on.clone()),
        ]);
        if let Some(patch) = self.patch {
            metadata.insert("patch".into(), json(&NamedPatch { index: patch, name: patch.to_string() }));
        }
        if let Some(threshold) = &self.threshold {
            metadata.insert("threshold".into(), json(threshold));
        }
        (tensors, metadata)
    }

    /// Loads a model.
    ///
    /// # Errors
    /// A file that is missing, truncated, no safetensors file, of another kind, or whose tensors have other shapes than
    /// its own description of the network.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Ok(Self::load_with_rest(path)?.0)
    }

    /// Loads a model and whatever else the file holds.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_with_rest(path: &Path) -> Result<(Self, checkpoint::Checkpoint), Error> {
        let mut file = checkpoint::load(path)?;
        let kind = file.text("kind")?;
        if kind != KIND {
            return Err(Error::Kind { path: path.into(), found: kind.into(), expected: KIND });
        }
        let spec: NetSpec = entry(path, &file, "network")?;
        spec.check()?;
        let crop: CropSpec = entry(path, &file, "crop")?;
        crop.check()?;
        let input = [spec.height, spec.width, spec.channels];
        let cut = [crop.height, crop.width, crop.channels].map(|size| size as usize);
        if cut != input || crop.margin != 0 {
            let message = format!("it cuts {cut:?} with a margin of {}, the network takes {input:?}", crop.margin);
            return Err(Error::Entry { path: path.into(), key: "crop", message });
        }
        let patch = match file.metadata.contains_key("patch") {
            true => Some(patch_of(path, &file, &crop)?),
            false => None,
        };
        let mirror = file.value("mirror", "true or false")?;
        let threshold = match file.metadata.contains_key("threshold") {
            true => Some(entry(path, &file, "threshold")?),
            false => None,
        };
        let trained_on = file.text("trained_on")?.to_string();
        let mut parameters = BTreeMap::new();
        let head = spec.softmax_parameters();
        let extractor_only = head.iter().all(|tensor| file.dims(tensor.name).is_none());
        for spec in tensors_of(&spec) {
            if !(extractor_only && head.iter().any(|tensor| tensor.name == spec.name)) {
                parameters.insert(spec.name.to_string(), file.take(spec.name, &spec.dims)?);
            }
        }
        let cosine = spec.cosine_parameters();
        if file.dims(cosine.name).is_some() {
            parameters.insert(cosine.name.to_string(), file.take(cosine.name, &cosine.dims)?);
        }
        Ok((Self { spec, crop, patch, mirror, threshold, trained_on, parameters }, file))
    }
}

/// The entry `patch`: the name tells whether the number means the same to this version.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedPatch {
    index: Patch,
    name: String,
}

fn patch_of(path: &Path, file: &checkpoint::Checkpoint, crop: &CropSpec) -> Result<Patch, Error> {
    let wrong = |message| Error::Entry { path: path.into(), key: "patch", message };
    let NamedPatch { index: patch, name } = entry(path, file, "patch")?;
    if name != patch.to_string() {
        return Err(wrong(format!("patch {} is `{name}` there and `{patch}` here", patch.index())));
    }
    if (crop.height, crop.width) != patch.input() || crop.channels != patch.channels() {
        return Err(wrong(format!("`{patch}` has another size than the network")));
    }
    Ok(patch)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain numbers and text, which JSON can hold")
}

/// The entry `key`, which holds JSON.
///
/// # Errors
/// No such entry, or other JSON.
pub(crate) fn entry<T: DeserializeOwned>(
    path: &Path,
    file: &checkpoint::Checkpoint,
    key: &'static str,
) -> Result<T, Error> {
    serde_json::from_str(file.text(key)?).map_err(|error| Error::Entry {
        path: path.into(),
        key,
        message: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::initial_values;

    /// A small untrained model.
    fn model() -> Model {
        let spec = NetSpec { height: 31, width: 31, widths: [2, 3, 4, 5], embedding: 6, ..NetSpec::paper(4) };
        let parameters = tensors_of(&spec).iter().map(|p| (p.name.to_string(), initial_values(p, 1))).collect();
        let crop = CropSpec { height: 31, width: 31, ..CropSpec::default() };
        let threshold = Some(ChosenThreshold { distance: 1.5, accuracy: 0.9, chosen_on: "10 pairs".into() });
        Model { spec, crop, patch: None, mirror: true, threshold, trained_on: "nobody".into(), parameters }
    }

    #[test]
    fn a_saved_model_is_loaded_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let mut saved = model();
        saved.save(&path).unwrap();
        assert_eq!(Model::load(&path).unwrap(), saved);
        saved.parameters.insert("cosine".into(), vec![1.0, 2.0, 0.0, 0.0]);
        saved.threshold = None;
        saved.save(&path).unwrap();
        assert_eq!(Model::load(&path).unwrap(), saved);
        saved.patch = Some("nose-wing@1.0 RGB".parse().unwrap());
        saved.save(&path).unwrap();
        assert_eq!(Model::load(&path).unwrap(), saved);
    }

    #[test]
    fn a_model_for_extraction_alone_is_loaded_without_its_head_but_not_with_half_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let mut whole = model();
        whole.parameters.insert("cosine".into(), vec![1.0, 2.0, 0.0, 0.0]);
        whole.save(&path).unwrap();
        let bytes = std::fs::metadata(&path).unwrap().len();
        let extractor = whole.clone().extractor_only();
        let names: Vec<&String> =
            whole.parameters.keys().filter(|name| !extractor.parameters.contains_key(*name)).collect();
        assert_eq!(names, ["cosine", "softmax.bias", "softmax.weight"]);
        extractor.save(&path).unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() < bytes);
        assert_eq!(Model::load(&path).unwrap(), extractor);
        let (tensors, metadata) = extractor.contents();
        checkpoint::save(&path, &tensors[1..], &metadata).unwrap();
        assert!(Model::load(&path).unwrap_err().to_string().contains("conv1.weight"));

        let (mut half, metadata) = whole.contents();
        half.retain(|tensor| tensor.name != "softmax.bias");
        checkpoint::save(&path, &half, &metadata).unwrap();
        assert!(Model::load(&path).unwrap_err().to_string().contains("no tensor `softmax.bias`"));
    }

    #[test]
    fn files_of_another_kind_or_shape_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let (tensors, metadata) = model().contents();
        let refused = |tensors: &[NamedTensor], metadata: &BTreeMap<String, String>, expected: &[&str]| {
            checkpoint::save(&path, tensors, metadata).unwrap();
            let message = Model::load(&path).unwrap_err().to_string();
            assert!(expected.iter().all(|text| message.contains(text)), "{message}");
        };
        let mut other = metadata.clone();
        other.insert("kind".into(), "resnet".into());
        refused(&tensors, &other, &["model.safetensors", "resnet"]);
        let mut other = metadata.clone();
        other.insert("network".into(), "{}".into());
        refused(&tensors, &other, &["model.safetensors", "network"]);
        for (patch, expected) in [
            (r#"{"index":0,"name":"whole@9 RGB"}"#, "patch 0 is `whole@9 RGB` there and `face@1.9 RGB` here"),
            (r#"{"index":0,"name":"face@1.9 RGB"}"#, "has another size than the network"),
            (r#"{"index":200,"name":"face@1.9 RGB"}"#, "expected 0 to 199"),
        ] {
            let mut other = metadata.clone();
            other.insert("patch".into(), patch.into());
            refused(&tensors, &other, &["model.safetensors", "entry `patch`", expected]);
        }
        let mut wider = tensors.clone();
        wider[0].dims[2] += 1;
        let elements = wider[0].dims.iter().product();
        wider[0].values.resize(elements, 0.0);
        refused(&wider, &metadata, &["conv1.weight", "[1, 48, 2]", "[1, 48, 3]"]);
        refused(&tensors[1..], &metadata, &["conv1.weight"]);
    }
}
