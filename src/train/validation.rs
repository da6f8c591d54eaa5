//! Verification of identities that training never saw.

use super::Error;
use crate::data::cut::Cut;
use crate::data::dataset::Dataset;
use crate::data::pairs::{Pair, PairList, random::random_pairs};
use crate::data::store::ImageStore;
use crate::gpu::Gpu;
use crate::model::{ChosenThreshold, Extractor};
use crate::net::NetSpec;
use crate::tape::Store;
use crate::verify::distance::Distance;
use crate::verify::folds::cross_validate;
use crate::verify::threshold::Criterion;
use crate::verify::trials::Trials;
use std::sync::Arc;

/// Pictures an extraction step.
const BATCH: usize = 64;

/// Held-out pairs, ready to be compared again and again.
pub struct Validation {
    images: Arc<ImageStore>,
    pairs: Vec<Pair>,
    extractor: Extractor,
    identities: usize,
}

/// What a validation found.
#[derive(Debug, Clone, PartialEq)]
pub struct Validated {
    /// Accuracy with the threshold chosen on one half of the people and reported on the other, over both ways.
    pub accuracy: f64,
    /// Area under the ROC curve.
    pub auc: f64,
    /// Equal error rate.
    pub eer: f64,
    /// The threshold for new pictures: the best on all pairs.
    pub threshold: ChosenThreshold,
    /// All distances with their labels.
    pub trials: Trials,
}

impl Validation {
    /// Draws at most `max_pairs` balanced pairs of `dataset` in two halves without a common identity.
    ///
    /// # Errors
    /// Too few identities, pictures that cannot be read, or limits of the adapter.
    pub fn new(
        gpu: &Gpu,
        spec: &NetSpec,
        store: &mut Store,
        dataset: &Dataset,
        cut: &Cut,
        (max_pairs, seed, mirror): (usize, u64, bool),
    ) -> Result<Self, Error> {
        let PairList { pictures, pairs, .. } = random_pairs(dataset, max_pairs, 2, seed)?;
        let images = Arc::new(ImageStore::load(pictures, cut.without_margin(), u64::MAX, &|| {})?);
        let extractor = Extractor::new(gpu, spec, store, BATCH.min(images.len()), mirror)?;
        Ok(Self { images, pairs, extractor, identities: dataset.identities.len() })
    }

    /// Number of pairs.
    pub fn pairs(&self) -> usize {
        self.pairs.len()
    }

    /// Compares all pairs with the network's present parameters.
    ///
    /// # Errors
    /// A network that gives no finite distances, or a device that stopped.
    pub fn run(&mut self) -> Result<Validated, Error> {
        let embeddings = self.extractor.embed(&self.images, &|_| {})?;
        let distances = Distance::Euclidean.of_pairs(&embeddings, self.extractor.dimension(), &self.pairs)?;
        self.judge(&distances)
    }

    /// The floor below every network: the distance of raw pixels of the same crops.
    ///
    /// # Errors
    /// A picture that cannot be read.
    pub fn raw_pixels(&self) -> Result<Validated, Error> {
        let distances =
            Distance::Euclidean.of_pairs(&self.images.pixels()?, self.images.spec().stored_bytes(), &self.pairs)?;
        self.judge(&distances)
    }

    fn judge(&self, distances: &[f64]) -> Result<Validated, Error> {
        let trials = Trials::of_pairs(distances, &self.pairs)?;
        let best = trials.best_threshold(Criterion::Accuracy);
        // With fewer than four people both halves share one; the threshold is then judged on its own pairs.
        let accuracy = match cross_validate(distances, &self.pairs, Criterion::Accuracy) {
            Ok(halves) => halves.mean,
            Err(crate::verify::Error::TooFewFolds { .. } | crate::verify::Error::OneKind { .. }) => best.accuracy,
            Err(error) => return Err(error.into()),
        };
        Ok(Validated {
            accuracy,
            auc: trials.auc(),
            eer: trials.eer(),
            threshold: ChosenThreshold {
                distance: best.distance,
                accuracy: best.accuracy,
                chosen_on: format!("{} balanced pairs of {} held-out identities", self.pairs.len(), self.identities),
            },
            trials,
        })
    }
}
