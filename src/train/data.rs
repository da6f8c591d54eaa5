//! The pictures that one net is trained and validated on.

use super::Error;
use super::config::TrainConfig;
use crate::data::cut::Cut;
use crate::data::dataset::Dataset;
use crate::data::sampler::PairSampler;
use crate::data::split::{Split, split_identities};
use crate::data::store::ImageStore;
use crate::net::NetSpec;
use std::sync::Arc;

/// A net's share of a data set, split and decoded.
pub(super) struct TrainingData {
    pub spec: NetSpec,
    pub images: Arc<ImageStore>,
    pub sampler: PairSampler,
    /// What is cut from all pictures.
    pub cut: Cut,
    /// Identities held out; none where validation is off.
    pub validation: Dataset,
    /// In words, for model files.
    pub trained_on: String,
}

impl TrainingData {
    /// Opens the data of `config`, keeping at most `cache_bytes` of decoded pictures; `say` tells what was found.
    ///
    /// # Errors
    /// A data set that cannot be read, split or trained on.
    pub fn load(config: &TrainConfig, cache_bytes: u64, say: &dyn Fn(String)) -> Result<Self, Error> {
        let dataset = Dataset::open(&config.data)?;
        // Before anything that a folder which is not aligned to the end would also fail at.
        let cut = Cut::new(config.crop, config.patch, &dataset.flatten().0)?;
        let Split { training, validation } = match config.validation_fraction {
            0.0 => Split { training: dataset, validation: Dataset { identities: vec![] } },
            fraction => split_identities(&dataset, fraction, config.seed)?,
        };
        if let Some(warning) = training.check_pairs_possible()? {
            say(format!("warning: {warning}"));
        }
        let trained_on = format!(
            "{} pictures of {} identities, {} identities held out",
            training.image_count(),
            training.identities.len(),
            validation.identities.len()
        );
        say(format!("{}: {trained_on}", config.data.display()));
        let spec = config.spec(training.identities.len());
        spec.check()?;
        let sampler = PairSampler::new(&training, config.batch, config.same_ratio, config.seed)?;
        let images = Arc::new(ImageStore::load(training.flatten().0, cut.clone(), cache_bytes, &|| {})?);
        Ok(Self { spec, cut, images, sampler, validation, trained_on })
    }
}
