//! Every setting of a pipeline run: `pipeline.toml` in its folder.

use super::Error;
use super::fit::FitSettings;
use super::select::SelectSettings;
use crate::data::dataset::Dataset;
use crate::data::pairs::PairList;
use crate::face::aligner::{FaceChoice, Search};
use crate::face::annotated;
use crate::face::landmark_model::LandmarkModel;
use crate::face::patches::Patch;
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
        self.check()?;
        Dataset::open(&self.data)?.check_pairs_possible()?;
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

    /// Checks every number, so that a late stage does not find what is wrong after days of an early one.
    ///
    /// # Errors
    /// The first that is out of range.
    fn check(&self) -> Result<(), Error> {
        self.train.check()?;
        let patches = self.patches.iter().map(|&number| Patch::new(number)).collect::<Result<Vec<_>, _>>()?;
        self.select.check(patches.len())?;
        self.fit.joint_bayesian.check()?;
        let number = |fine: bool, name, value: String, expected| match fine {
            true => Ok(()),
            false => Err(Error::Number { name, value, expected }),
        };
        let fraction = self.train.validation_fraction;
        let shares = fraction > 0.0 && fraction < 1.0;
        number(
            shares,
            "validation_fraction",
            fraction.to_string(),
            "a share above 0 and below 1: vectors are chosen on held-out people",
        )?;
        number(self.fit.components >= 1, "components", self.fit.components.to_string(), "at least 1")?;
        number(self.fit.pairs >= 4, "fit pairs", self.fit.pairs.to_string(), "at least 4")?;
        number(self.select.pairs >= 4, "selection pairs", self.select.pairs.to_string(), "at least 4")?;
        if let Search::Middle { share } | Search::DetectOrMiddle { share, .. } = self.search {
            number((0.05..=1.0).contains(&share), "face share", share.to_string(), "a share from 0.05 to 1")?;
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn settings() -> PipelineSettings {
        PipelineSettings {
            data: "photographs".into(),
            landmarks: LandmarkSource::Model("landmarks.safetensors".into()),
            faces: FaceChoice::Central,
            search: Search::Middle { share: 0.6 },
            patches: vec![0, 17],
            test: Some(TestPairs { pairs: None, data: "strangers".into() }),
            train: TrainConfig::default(),
            select: SelectSettings::default(),
            fit: FitSettings::default(),
        }
    }

    #[test]
    fn a_run_keeps_its_settings_and_refuses_others() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("new/run");
        settings().claim(&run).unwrap();
        let held = std::fs::read(run.join(SETTINGS)).unwrap();
        assert_eq!(PipelineSettings::load(&run.join(SETTINGS)).unwrap(), settings());
        settings().claim(&run).unwrap();
        let refused = |change: &dyn Fn(&mut PipelineSettings), expected: &str| {
            let mut other = settings();
            change(&mut other);
            let message = other.claim(&run).unwrap_err().to_string();
            assert!(message.contains("another --out") && message.contains(expected), "{message}");
        };
        refused(&|other| other.train.epochs = 7, "train.epochs is 60 in the run and 7 now");
        refused(&|other| other.select.size = 3, "select.size is 25 in the run and 3 now");
        refused(&|other| other.fit.joint_bayesian.shrinkage = 0.25, "fit.joint_bayesian.shrinkage is 0.5");
        refused(&|other| other.patches.push(18), "patches is [0, 17] in the run and [0, 17, 18] now");
        refused(&|other| other.test = None, "test is ");
        refused(&|other| other.landmarks = LandmarkSource::TrainOn("x".into()), "landmarks.model is ");
        refused(
            &|other| other.search = Search::Middle { share: 0.5 },
            "search.middle.share is 0.6 in the run and 0.5 now",
        );
        assert_eq!(std::fs::read(run.join(SETTINGS)).unwrap(), held);
    }

    #[test]
    fn other_folders_and_damaged_settings_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("letter.txt"), "dear").unwrap();
        let message = settings().claim(folder.path()).unwrap_err().to_string();
        assert!(message.contains("is not empty and holds no pipeline"), "{message}");
        assert!(!folder.path().join(SETTINGS).exists());
        let path = folder.path().join(SETTINGS);
        for text in ["data = 3", "", "[[", "colour = 1"] {
            std::fs::write(&path, text).unwrap();
            let message = settings().claim(folder.path()).unwrap_err().to_string();
            assert!(message.contains("pipeline.toml: ") && message.contains("another --out"), "{message}");
        }
    }

    #[test]
    fn inputs_that_are_missing_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for person in ["a", "b"] {
            std::fs::create_dir(folder.path().join(person)).unwrap();
            for picture in ["1.png", "2.png"] {
                image::GrayImage::new(8, 8).save(folder.path().join(person).join(picture)).unwrap();
            }
        }
        let message = |settings: &PipelineSettings| settings.check_inputs().unwrap_err().to_string();
        let select = SelectSettings::default().fitting(2);
        let mut found = PipelineSettings { data: folder.path().join("none"), select, ..settings() };
        assert!(message(&found).contains("none"), "{}", message(&found));
        found.data = folder.path().into();
        assert!(message(&found).contains("landmarks.safetensors: cannot be read"), "{}", message(&found));
        found.landmarks = LandmarkSource::TrainOn(folder.path().join("unannotated"));
        assert!(message(&found).contains("unannotated"), "{}", message(&found));
    }
}
