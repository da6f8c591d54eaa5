//! Batches prepared on a background thread while the GPU works.
//!
//! A [`BatchPlan`] says which pictures a step takes; a [`Prefetcher`] runs it a few steps ahead,
//! gathers the bytes (decoding on rayon's threads where the store is not cached) and hands the
//! batches over in step order through a bounded channel. Used batches go back through
//! [`Prefetcher::recycle`], so that no memory is taken in the steady state.

use super::augment::{Augment, Augmentation};
use super::sampler::PairSampler;
use super::store::{self, ImageStore};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Batches that may wait for the GPU.
const DEPTH: usize = 3;
/// Buffers on their way back: those that wait, and those the consumer may hold at once.
const RETURN_DEPTH: usize = DEPTH + 5;

/// Why there is no next batch.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("batch of step {step}: {source}")]
    Gather { step: u64, source: store::Error },
    #[error(
        "batch of step {step}: this computer has no memory for {bytes} bytes of pictures, several times over; lower --batch"
    )]
    Memory { step: u64, bytes: usize },
    #[error("the thread that prepares batches cannot be started: {0}; close other programs")]
    Start(std::io::Error),
    #[error(
        "the thread that prepares batches ended before step {step}; this is a fault of the program, please report it"
    )]
    Stopped { step: u64 },
}

/// What one step reads. All vectors are as long as the batch; `images` holds batch × rows ×
/// columns × channels bytes, margin included.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// The step that the batch is for.
    pub step: u64,
    /// Picture numbers in the store.
    pub indices: Vec<u32>,
    /// Identity of each picture.
    pub labels: Vec<u32>,
    /// Changes of each picture, to be applied on the GPU.
    pub augment: Vec<Augment>,
    /// The crops, tightly packed.
    pub images: Vec<u8>,
    /// How many pictures count; the rest repeat the last to fill up the batch.
    pub used: usize,
    /// How many pairs, the first ones, are of one identity (0 where there are no pairs).
    pub same_pairs: usize,
}

/// Which pictures each step takes: a pure function of the step.
pub trait BatchPlan: Send + 'static {
    /// Overwrites every field of `batch` but `step` and `images`.
    fn plan(&self, step: u64, batch: &mut Batch);
}

/// Training batches: random pairs, randomly changed.
#[derive(Debug, Clone)]
pub struct TrainingPlan {
    pub sampler: PairSampler,
    pub augmentation: Augmentation,
    /// Seed of the augmentation; the sampler has its own.
    pub seed: u64,
}

impl BatchPlan for TrainingPlan {
    fn plan(&self, step: u64, batch: &mut Batch) {
        batch.same_pairs = self.sampler.draw(step, &mut batch.indices, &mut batch.labels);
        batch.used = self.sampler.batch();
        self.augmentation.draw(self.seed, step, batch.used, &mut batch.augment);
    }
}

/// Every picture once, in order and unchanged or mirrored, in batches of one size: for embedding a data set.
#[derive(Debug, Clone)]
pub struct SequentialPlan {
    labels: Arc<[u32]>,
    batch: usize,
    augment: Augment,
}

impl SequentialPlan {
    /// Batches of `batch` pictures (at least 1) whose labels, one a picture, are `labels`.
    pub fn new(labels: impl Into<Arc<[u32]>>, batch: usize) -> Self {
        Self { labels: labels.into(), batch: batch.max(1), augment: Augment::NONE }
    }

    /// The same batches, mirrored.
    #[must_use]
    pub fn mirrored(self) -> Self {
        Self { augment: Augment::MIRRORED, ..self }
    }

    /// The steps that go over all pictures.
    pub fn steps(&self) -> Range<u64> {
        0..self.labels.len().div_ceil(self.batch) as u64
    }
}

impl BatchPlan for SequentialPlan {
    fn plan(&self, step: u64, batch: &mut Batch) {
        let last = self.labels.len().saturating_sub(1);
        let start = usize::try_from(step).unwrap_or(usize::MAX).saturating_mul(self.batch);
        batch.used = self.labels.len().saturating_sub(start).min(self.batch);
        batch.same_pairs = 0;
        let pictures = || (0..self.batch).map(|i| start.saturating_add(i).min(last));
        batch.indices.clear();
        batch.indices.extend(pictures().map(|picture| picture as u32));
        batch.labels.clear();
        batch.labels.extend(pictures().map(|at| self.labels.get(at).copied().unwrap_or_default()));
        batch.augment.clear();
        batch.augment.resize(self.batch, self.augment);
    }
}

/// Prepares the batches of a range of steps ahead of their use. Dropping it stops its thread.
#[derive(Debug)]
pub struct Prefetcher {
    steps: Range<u64>,
    // Both are `None` only while the prefetcher is being dropped.
    ready: Option<Receiver<Result<Batch, Error>>>,
    thread: Option<JoinHandle<()>>,
    returned: SyncSender<Batch>,
}

impl Prefetcher {
    /// Starts preparing the batches of `steps` from `store` as `plan` says. A resumed run starts
    /// its range at the step it stopped before.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub fn start(store: Arc<ImageStore>, plan: impl BatchPlan, steps: Range<u64>) -> Result<Self, Error> {
        let (sender, ready) = sync_channel(DEPTH);
        let (returned, recycled) = sync_channel(RETURN_DEPTH);
        let range = steps.clone();
        let thread = std::thread::Builder::new()
            .name("prefetch".into())
            .spawn(move || {
                for step in range {
                    let spare = recycled.try_recv().unwrap_or_default();
                    let prepared = prepare(&store, &plan, step, spare);
                    let failed = prepared.is_err();
                    // The receiver is gone once the prefetcher is dropped.
                    if sender.send(prepared).is_err() || failed {
                        return;
                    }
                }
            })
            .map_err(Error::Start)?;
        Ok(Self { steps, ready: Some(ready), thread: Some(thread), returned })
    }

    /// Gives a used batch's memory back for a later one.
    pub fn recycle(&self, batch: Batch) {
        // Where the channel is full or the thread has finished, the memory is simply freed.
        drop(self.returned.try_send(batch));
    }
}

impl Iterator for Prefetcher {
    type Item = Result<Batch, Error>;

    /// The next step's batch, waiting for it where necessary; `None` after the last step or after
    /// an error.
    fn next(&mut self) -> Option<Self::Item> {
        let step = self.steps.next()?;
        let received = self.ready.as_ref().and_then(|ready| ready.recv().ok());
        let batch = received.unwrap_or(Err(Error::Stopped { step }));
        if batch.is_err() {
            self.steps = 0..0;
        }
        Some(batch)
    }
}

impl Drop for Prefetcher {
    fn drop(&mut self) {
        // Closing the channel first frees a thread that waits to send.
        self.ready = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was already reported as `Stopped`.
            drop(thread.join());
        }
    }
}

fn prepare(store: &ImageStore, plan: &impl BatchPlan, step: u64, mut batch: Batch) -> Result<Batch, Error> {
    batch.step = step;
    plan.plan(step, &mut batch);
    let bytes = batch.indices.len().saturating_mul(store.spec().stored_bytes());
    let missing = bytes.saturating_sub(batch.images.len());
    batch.images.try_reserve_exact(missing).map_err(|_| Error::Memory { step, bytes })?;
    batch.images.resize(bytes, 0);
    store.gather(&batch.indices, &batch.augment, &mut batch.images).map_err(|source| Error::Gather { step, source })?;
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::crop::CropSpec;
    use crate::data::dataset::Dataset;
    use crate::data::testing::picture_folders;

    fn spec() -> CropSpec {
        CropSpec { height: 4, width: 4, channels: 1, margin: 3, ..CropSpec::default() }
    }

    fn store(dataset: &Dataset, limit: u64) -> Arc<ImageStore> {
        Arc::new(ImageStore::load(dataset.flatten().0, spec(), limit, &|| {}).unwrap())
    }

    fn training_plan(dataset: &Dataset) -> TrainingPlan {
        let sampler = PairSampler::new(dataset, 6, 0.5, 11).unwrap();
        TrainingPlan { sampler, augmentation: Augmentation::default(), seed: 11 }
    }

    #[test]
    fn resumed_and_uncached_runs_see_the_same_batches() {
        let (_root, dataset) = picture_folders(&[3, 2, 4]);
        let start = |limit, steps| Prefetcher::start(store(&dataset, limit), training_plan(&dataset), steps).unwrap();
        let whole: Vec<Batch> = start(u64::MAX, 0..12).map(Result::unwrap).collect();
        assert!(whole.iter().map(|b| b.step).eq(0..12));
        for batch in &whole {
            // Picture k is filled with the value k.
            let expected = batch.indices.iter().flat_map(|&k| [k as u8; 100]);
            assert!(batch.images.iter().copied().eq(expected));
            assert_eq!((batch.augment.len(), batch.used), (6, 6));
        }
        let mut resumed = start(0, 7..12);
        for expected in &whole[7..] {
            let batch = resumed.next().unwrap().unwrap();
            assert_eq!(batch, *expected);
            resumed.recycle(batch);
        }
        assert!(resumed.next().is_none());
    }

    #[test]
    fn recycled_memory_is_used_again() {
        let (_root, dataset) = picture_folders(&[3, 2]);
        let plan = training_plan(&dataset);
        let mut prefetcher = Prefetcher::start(store(&dataset, u64::MAX), plan, 0..200).unwrap();
        let mut addresses = std::collections::HashSet::new();
        while let Some(batch) = prefetcher.next() {
            let batch = batch.unwrap();
            addresses.insert(batch.images.as_ptr() as usize);
            prefetcher.recycle(batch);
        }
        // Waiting, being filled, being sent, held, and on the way back.
        assert!(addresses.len() <= DEPTH + 3, "{} buffers", addresses.len());
    }

    #[test]
    fn an_error_arrives_in_its_place_and_ends_the_batches() {
        let (_root, dataset) = picture_folders(&[2; 4]);
        let store = store(&dataset, 0);
        std::fs::write(&dataset.identities[2].images[1], b"").unwrap();
        let mut batches = Prefetcher::start(store, SequentialPlan::new(dataset.flatten().1, 2), 0..4).unwrap();
        assert!(batches.next().unwrap().is_ok());
        assert!(batches.next().unwrap().is_ok());
        let message = batches.next().unwrap().unwrap_err().to_string();
        assert!(message.contains("step 2") && message.contains("person002"), "{message}");
        assert!(batches.next().is_none());
    }

    #[test]
    fn a_panicking_plan_is_an_error_not_a_hang() {
        struct Panics;
        impl BatchPlan for Panics {
            fn plan(&self, _: u64, _: &mut Batch) {
                std::panic::resume_unwind(Box::new("a fault"));
            }
        }
        let (_root, dataset) = picture_folders(&[2]);
        let mut batches = Prefetcher::start(store(&dataset, 0), Panics, 5..6).unwrap();
        assert!(matches!(batches.next(), Some(Err(Error::Stopped { step: 5 }))));
    }

    #[test]
    fn dropping_early_does_not_hang() {
        let (_root, dataset) = picture_folders(&[3, 2]);
        let plan = training_plan(&dataset);
        let mut prefetcher = Prefetcher::start(store(&dataset, 0), plan, 0..u64::MAX).unwrap();
        assert!(prefetcher.next().unwrap().is_ok());
        drop(prefetcher);
    }

    #[test]
    fn sequential_batches_cover_all_and_fill_up_the_last() {
        let (_root, dataset) = picture_folders(&[3, 2]);
        let plan = SequentialPlan::new(dataset.flatten().1, 4);
        let steps = plan.steps();
        let batches: Vec<Batch> =
            Prefetcher::start(store(&dataset, u64::MAX), plan, steps).unwrap().map(Result::unwrap).collect();
        assert_eq!(batches.len(), 2);
        assert_eq!((&batches[0].indices[..], batches[0].used), (&[0, 1, 2, 3][..], 4));
        assert_eq!((&batches[1].indices[..], batches[1].used), (&[4, 4, 4, 4][..], 1));
        assert_eq!(batches[0].labels, [0, 0, 0, 1]);
        assert_eq!(batches[1].augment, [Augment::NONE; 4]);
    }
}
