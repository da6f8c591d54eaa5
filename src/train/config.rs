//! Every setting of a run. Written to `config.toml` in the run's folder, from which the run can be repeated.

use super::Error;
use super::schedule::{LearningRate, Schedule, VerificationWeight};
use super::slices::{self, Slices};
use crate::data::augment::Augmentation;
use crate::data::crop::CropSpec;
use crate::data::mean::MeanKind;
use crate::face::patches::Patch;
use crate::net::{LocalSharing, NetSpec};
use crate::ops::Signal;
use crate::settings::first_difference;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Largest batch and shift: far beyond any use, and small enough that sizes of tensors are exact.
const MAX_BATCH: usize = 1 << 24;
const MAX_SHIFT: u32 = 1000;

/// Settings of a training run. The paper gives none of batch, rate, schedule or augmentation (PAPER: DeepID2, §2);
/// these defaults are this project's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Folder of identity folders, or a list file.
    pub data: PathBuf,
    /// The patch of aligned pictures that is trained on, and that decides the crop ([`Self::take_patch`]); none for the
    /// middle of any pictures.
    pub patch: Option<Patch>,
    /// Seed of everything random: split, initial weights, pairs, augmentation.
    pub seed: u64,
    /// Times that each picture is seen, on average.
    pub epochs: u64,
    /// Pictures a step.
    pub batch: usize,
    /// Most pictures that run at once: a larger batch runs in slices, with the same result but for rounding. Without it,
    /// as many as the adapter takes.
    pub micro_batch: Option<usize>,
    /// Share of the pairs that show one person.
    pub same_ratio: f64,
    /// Verification signal.
    pub signal: Signal,
    /// Pairs between updates of the margin.
    pub margin_every: usize,
    /// Momentum of SGD.
    pub momentum: f32,
    /// Weight decay of SGD.
    pub weight_decay: f32,
    /// Share of identities that are held out for validation; 0 trains on all and validates nothing.
    pub validation_fraction: f64,
    /// Most pairs of held-out identities that are compared.
    pub validation_pairs: usize,
    /// Epochs between validations.
    pub validate_every: u64,
    /// Which mean is subtracted from the input.
    pub mean: MeanKind,
    /// Whether embeddings are the sum over a picture and its mirror image.
    pub mirror: bool,
    /// Decoded pictures are kept in memory up to so many megabytes, and decoded again for each batch beyond.
    pub cache_megabytes: u64,
    /// Learning rate and its schedule.
    pub learning_rate: LearningRate,
    /// λ and its warm-up.
    pub verification: VerificationWeight,
    /// Random changes of training pictures.
    pub augmentation: Augmentation,
    /// What is cut from a picture; its margin follows from the augmentation's shift.
    pub crop: CropSpec,
    /// Sizes of the network.
    pub network: NetworkConfig,
    /// Factors of the learning rate, by the first letters of tensor names.
    pub rate_scale: Vec<RateScale>,
}

/// Sizes of the network that the data do not decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// Output channels of conv1 to conv4.
    pub widths: [usize; 4],
    /// Length of the DeepID2 vector.
    pub embedding: usize,
    /// Regions of conv3.
    pub conv3: LocalSharing,
}

/// A factor of the learning rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateScale {
    /// Tensors whose names start with this.
    pub tensors: String,
    /// The factor.
    pub factor: f32,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        let NetSpec { widths, embedding, conv3, .. } = NetSpec::paper(2);
        Self { widths, embedding, conv3 }
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        let augmentation = Augmentation::default();
        Self {
            data: PathBuf::new(),
            patch: None,
            seed: 1,
            epochs: 60,
            batch: 64,
            micro_batch: None,
            same_ratio: 0.5,
            signal: Signal::L2,
            margin_every: 6_400,
            momentum: 0.9,
            weight_decay: 2e-3,
            validation_fraction: 0.2,
            validation_pairs: 4_000,
            validate_every: 1,
            mean: MeanKind::Image,
            mirror: true,
            cache_megabytes: 2_048,
            learning_rate: LearningRate { base: 0.02, schedule: Schedule::default() },
            verification: VerificationWeight::default(),
            augmentation,
            crop: CropSpec { margin: augmentation.shift, ..CropSpec::default() },
            network: NetworkConfig::default(),
            rate_scale: Vec::new(),
        }
    }
}

impl TrainConfig {
    /// The network for `identities` classes.
    pub fn spec(&self, identities: usize) -> NetSpec {
        NetSpec {
            height: self.crop.height as usize,
            width: self.crop.width as usize,
            channels: self.crop.channels as usize,
            identities,
            widths: self.network.widths,
            embedding: self.network.embedding,
            conv3: self.network.conv3,
        }
    }

    /// Trains on `patch` of aligned pictures, whose size the crop then has.
    pub fn take_patch(&mut self, patch: Patch) {
        let (height, width) = patch.input();
        let scale = CropSpec::default().scale;
        self.crop = CropSpec { height, width, channels: patch.channels(), scale, margin: self.crop.margin };
        self.patch = Some(patch);
    }

    /// Checks everything that can be checked without the data.
    ///
    /// # Errors
    /// The first setting out of range, by its flag.
    pub fn check(&self) -> Result<(), Error> {
        let setting = |fine: bool, flag, value: String, expected| match fine {
            true => Ok(()),
            false => Err(Error::Setting { flag, value, expected }),
        };
        setting(self.epochs >= 1, "--epochs", self.epochs.to_string(), "at least 1")?;
        setting(
            (2..=MAX_BATCH).contains(&self.batch),
            "--batch",
            self.batch.to_string(),
            "2 pictures, which form a pair, to 16777216",
        )?;
        if let Some(images) = self.micro_batch.filter(|images| !Slices::accepts(self.batch, *images)) {
            return Err(slices::out_of_range(images));
        }
        setting(
            self.augmentation.shift <= MAX_SHIFT,
            "--shift",
            self.augmentation.shift.to_string(),
            "at most 1000 pixels of the input",
        )?;
        setting(
            (0.0..=1.0).contains(&self.same_ratio),
            "--same-ratio",
            self.same_ratio.to_string(),
            "a share from 0 to 1",
        )?;
        setting(
            (0.0..1.0).contains(&self.momentum),
            "--momentum",
            self.momentum.to_string(),
            "a number from 0 to below 1",
        )?;
        setting(
            (0.0..1.0).contains(&self.weight_decay),
            "--weight-decay",
            self.weight_decay.to_string(),
            "a number from 0 to below 1, such as 0.002",
        )?;
        setting(
            (0.0..1.0).contains(&self.validation_fraction),
            "--validation-fraction",
            self.validation_fraction.to_string(),
            "a share from 0 (train on everybody) to below 1",
        )?;
        setting(self.validation_pairs >= 4, "--validation-pairs", self.validation_pairs.to_string(), "at least 4")?;
        setting(self.validate_every >= 1, "--validate-every", self.validate_every.to_string(), "at least 1 epoch")?;
        for scale in &self.rate_scale {
            let fine = scale.factor >= 0.0 && scale.factor.is_finite();
            setting(fine, "--rate-scale", scale.factor.to_string(), "TENSORS=FACTOR with a factor from 0")?;
        }
        for (flag, value) in [
            ("--seed", self.seed),
            ("--epochs", self.epochs),
            ("--validate-every", self.validate_every),
            ("--validation-pairs", self.validation_pairs as u64),
            ("--cache-megabytes", self.cache_megabytes),
        ] {
            let fits = i64::try_from(value).is_ok();
            setting(
                fits,
                flag,
                value.to_string(),
                "at most 9223372036854775807, the largest whole number of a TOML file",
            )?;
        }
        let data = self.data.to_string_lossy();
        setting(self.data.to_str().is_some(), "--data", data.into(), "a path in UTF-8, which a TOML file can hold")?;
        if let Some(patch) = self.patch {
            let mut of_patch = self.clone();
            of_patch.take_patch(patch);
            let CropSpec { height, width, channels, scale, .. } = self.crop;
            let size = format!("{} with a crop of {height}×{width}×{channels} at scale {scale}", patch.index());
            setting(
                of_patch.crop == self.crop,
                "--patch",
                size,
                "no size, channels or scale of another kind beside it",
            )?;
        }
        self.learning_rate.check()?;
        self.verification.check()?;
        super::margin::MarginTracker::new(self.margin_every)?;
        self.crop.check()?;
        self.augmentation.check(self.crop.margin)?;
        self.spec(2).check()?;
        self.check_rate_scales()
    }

    /// A factor that no tensor takes is a misspelt name.
    fn check_rate_scales(&self) -> Result<(), Error> {
        let spec = self.spec(2);
        let mut learned = spec.extractor_parameters();
        learned.extend(spec.softmax_parameters());
        learned.push(spec.cosine_parameters());
        for RateScale { tensors, .. } in &self.rate_scale {
            if !learned.iter().any(|tensor| tensor.name.starts_with(tensors.as_str())) {
                return Err(Error::RateScaleName {
                    tensors: tensors.clone(),
                    names: learned.iter().map(|tensor| tensor.name).collect::<Vec<_>>().join(", "),
                });
            }
        }
        Ok(())
    }

    /// Reads a configuration file; settings it leaves out have their defaults.
    ///
    /// # Errors
    /// A file that cannot be read, or an unknown or wrong setting, by line.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let wrong = |message: String| Error::ConfigFile { path: path.into(), message };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        toml::from_str(&text).map_err(|error: toml::de::Error| {
            // The error's own text is a drawing of several lines.
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            wrong(format!("line {line}: {}", error.message().replace('\n', " ")))
        })
    }

    /// The text of the configuration file.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("plain numbers and text, which TOML can hold")
    }

    /// The first setting in which `other` differs, by name; what only changes speed, or how sums are rounded, does not
    /// count.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let same_speed = |config: &Self| Self { cache_megabytes: 0, micro_batch: None, ..config.clone() };
        first_difference(&same_speed(self), &same_speed(other)).map(|difference| difference.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_sane_and_survives_its_file() {
        let config = TrainConfig { data: "faces".into(), ..TrainConfig::default() };
        config.check().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, config.to_toml()).unwrap();
        assert_eq!(TrainConfig::load(&path).unwrap(), config);
        std::fs::write(&path, "bath = 128\n").unwrap();
        let message = TrainConfig::load(&path).unwrap_err().to_string();
        assert!(message.contains("config.toml: line 1: ") && message.contains("bath"), "{message}");
        assert!(!message.contains('\n'), "{message}");

        let mut patch = config.clone();
        patch.take_patch(Patch::new(137).unwrap());
        patch.check().unwrap();
        assert_eq!((patch.crop.height, patch.crop.width, patch.crop.channels, patch.crop.margin), (31, 31, 1, 3));
        std::fs::write(&path, patch.to_toml()).unwrap();
        assert_eq!(TrainConfig::load(&path).unwrap(), patch);
        assert!(config.difference(&patch).is_some() && patch.difference(&config).is_some());
        std::fs::write(&path, "patch = 200\n").unwrap();
        let message = TrainConfig::load(&path).unwrap_err().to_string();
        assert!(message.contains("line 1: patch 200: expected 0 to 199"), "{message}");
    }

    #[test]
    fn settings_out_of_range_are_named_by_their_flag() {
        let good = TrainConfig::default();
        for (bad, flag) in [
            (TrainConfig { epochs: 0, ..good.clone() }, "--epochs"),
            (TrainConfig { batch: 1, ..good.clone() }, "--batch"),
            (TrainConfig { batch: usize::MAX, ..good.clone() }, "--batch"),
            (TrainConfig { micro_batch: Some(65), ..good.clone() }, "--micro-batch 65"),
            (TrainConfig { batch: 7, micro_batch: Some(2), ..good.clone() }, "3 where --batch is odd"),
            (
                TrainConfig { rate_scale: vec![RateScale { tensors: "sofmax".into(), factor: 2.0 }], ..good.clone() },
                "sofmax",
            ),
            (TrainConfig { same_ratio: 1.5, ..good.clone() }, "--same-ratio"),
            (TrainConfig { momentum: 1.0, ..good.clone() }, "--momentum"),
            (TrainConfig { weight_decay: f32::NAN, ..good.clone() }, "--weight-decay"),
            (TrainConfig { validation_fraction: 1.0, ..good.clone() }, "--validation-fraction"),
            (TrainConfig { seed: u64::MAX, ..good.clone() }, "--seed"),
            (TrainConfig { patch: Patch::new(199).ok(), ..good.clone() }, "--patch 199"),
        ] {
            let message = bad.check().unwrap_err().to_string();
            assert!(message.contains(flag), "{message}");
        }
    }

    #[test]
    fn differences_are_named_in_depth_and_cache_size_is_none() {
        let run = TrainConfig::default();
        assert_eq!(run.difference(&TrainConfig { cache_megabytes: 1, micro_batch: Some(8), ..run.clone() }), None);
        let mut other = run.clone();
        other.learning_rate.base = 0.5;
        let difference = run.difference(&other).unwrap();
        assert!(difference.contains("learning_rate.base") && difference.contains("0.5"), "{difference}");
    }
}
