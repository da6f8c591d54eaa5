//! Every setting of a pipeline run: `pipeline.toml` in its folder.

use super::Error;
use super::fit::FitSettings;
use super::select::SelectSettings;
use crate::data::dataset::{Dataset, find_images};
use crate::data::pairs::PairList;
use crate::face::aligner::{FaceChoice, Search};
use crate::face::annotated;
use crate::face::landmark_model::LandmarkModel;
use crate::files::atomic_write;
use crate::settings::first_difference;
use crate::train::TrainConfig;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// File name in a run's folder.
pub const SETTINGS: &str = "pipeline.toml";

/// Where landmarks come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LandmarkSource {
    /// A trained model.
    Model(PathBuf),
    /// A folder of pictures with `.pts` files, on which a model is trained.
    TrainOn(PathBuf),
}

/// Pairs that nothing is chosen on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestPairs {
    /// List of pairs, in LFW's format or of `path path 0|1` lines. Without one, balanced pairs are drawn from `data`.
    pub pairs: Option<PathBuf>,
    /// Folder of their photographs.
    pub data: PathBuf,
}

/// From photographs to a bundle and a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineSettings {
    /// Folder with a sub-folder of photographs for each person.
    pub data: PathBuf,
    pub landmarks: LandmarkSource,
    /// Which face of a photograph is taken.
    pub faces: FaceChoice,
    /// Where faces are looked for.
    pub search: Search,
    /// Numbers of the patches whose networks are trained.
    pub patches: Vec<usize>,
    pub test: Option<TestPairs>,
    /// Settings of all networks; its data and its patch are set by the pipeline.
    pub train: TrainConfig,
    pub select: SelectSettings,
    pub fit: FitSettings,
}

impl PipelineSettings {
    /// Makes sure that photographs, landmarks and test pairs are there: better before days of training than after.
    ///
    /// # Errors
    /// Whatever is missing or cannot be read.
    pub fn check_inputs(&self) -> Result<(), Error> {
        find_images(&self.data)?;
        match &self.landmarks {
            LandmarkSource::Model(model) => drop(LandmarkModel::load(model)?),
            LandmarkSource::TrainOn(folder) => drop(annotated::open(folder)?),
        }
        match &self.test {
            Some(TestPairs { pairs: Some(pairs), data }) => drop(PairList::open(pairs, data)?),
            Some(TestPairs { pairs: None, data }) => drop(Dataset::open(data)?),
            None => {}
        }
        Ok(())
    }

    /// Writes the settings to the run's folder, or makes sure that they are those of the run in it.
    ///
    /// # Errors
    /// A run with other settings, whose first difference is named; a folder that cannot be written.
    pub fn claim(&self, run: &Path) -> Result<(), Error> {
        let path = run.join(SETTINGS);
        if path.is_file() {
            let held = Self::load(&path)?;
            return match first_difference(&held, self) {
                Some(difference) => Err(Error::OtherPipeline { run: run.into(), difference: difference.to_string() }),
                None => Ok(()),
            };
        }
        if std::fs::read_dir(run).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Error::NotPipeline { run: run.into() });
        }
        std::fs::create_dir_all(run).map_err(|source| Error::CreateFolder { path: run.into(), source })?;
        let text = toml::to_string_pretty(self).expect("plain numbers and text, which TOML can hold");
        Ok(atomic_write(&path, text.as_bytes())?)
    }

    /// Reads a run's settings.
    ///
    /// # Errors
    /// A file that is missing or holds something else.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.into(), source })?;
        toml::from_str(&text).map_err(|error| Error::Settings { path: path.into(), message: error.to_string() })
    }
}
