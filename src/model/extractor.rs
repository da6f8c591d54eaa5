//! Pictures to embeddings.

use super::{Error, ExtractionStep, Model};
use crate::data::augment::Augment;
use crate::data::loader::{Prefetcher, SequentialPlan};
use crate::data::store::ImageStore;
use crate::gpu::{Gpu, Meter};
use crate::net::NetSpec;
use crate::tape::Store;
use std::sync::Arc;

/// Computes embeddings with a network whose parameters live in a [`Store`]: a trained [`Model`], or one in training.
pub struct Extractor {
    step: ExtractionStep,
    images: usize,
    dimension: usize,
    mirror: bool,
}

impl Extractor {
    /// An extractor of batches of `images` pictures. With `mirror`, the embedding is the sum of the vectors of the
    /// picture and of its mirror image.
    ///
    /// # Errors
    /// A batch that the adapter's limits forbid.
    pub fn new(gpu: &Gpu, spec: &NetSpec, store: &mut Store, images: usize, mirror: bool) -> Result<Self, Error> {
        let step = ExtractionStep::new(gpu, spec, store, images)?;
        Ok(Self { step, images, dimension: spec.embedding, mirror })
    }

    /// An extractor with the parameters of a trained model.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of_model(gpu: &Gpu, model: &Model, images: usize) -> Result<Self, Error> {
        let mut store = Store::new();
        write_parameters(gpu, model, &mut store, 0)?;
        Self::new(gpu, &model.spec, &mut store, images, model.mirror)
    }

    /// Numbers in an embedding.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Embeddings of all pictures of `images`, row after row; `progress` is called with the number of pictures done.
    ///
    /// # Errors
    /// A picture that cannot be read, or a device that stopped.
    pub fn embed(&mut self, images: &Arc<ImageStore>, progress: &dyn Fn(usize)) -> Result<Vec<f32>, Error> {
        // Results that an earlier call left behind when it failed.
        while self.step.take()?.is_some() {}
        let count = images.len();
        let mut embeddings = vec![0.0; count * self.dimension];
        let plan = SequentialPlan::new(vec![0; count], self.images);
        let steps = plan.steps();
        let mut batches = Prefetcher::start(images.clone(), plan.clone(), steps.clone())?;
        // Where the mirror image is cut from another window, its batches are prepared by themselves.
        let mut counterparts = match self.mirror && images.has_counterparts() {
            true => Some(Prefetcher::start(images.clone(), plan.mirrored(), steps)?),
            false => None,
        };
        let passes: &[Augment] = if self.mirror { &[Augment::NONE, Augment::MIRRORED] } else { &[Augment::NONE] };
        let mut tag = 0u64;
        while let Some(batch) = batches.next() {
            let batch = batch?;
            let mirrored = counterparts.as_mut().and_then(Iterator::next).transpose()?;
            for augment in passes {
                if self.step.is_full() {
                    self.take(passes.len(), &mut embeddings)?;
                }
                let pictures = mirrored.as_ref().filter(|_| augment.flip != 0).unwrap_or(&batch);
                self.step.submit(&pictures.images, &vec![*augment; self.images], tag, &mut Meter::default())?;
                tag += 1;
            }
            progress((tag as usize / passes.len() * self.images).min(count));
            batches.recycle(batch);
            if let (Some(counterparts), Some(batch)) = (&counterparts, mirrored) {
                counterparts.recycle(batch);
            }
        }
        while self.take(passes.len(), &mut embeddings)? {}
        Ok(embeddings)
    }

    /// Adds the oldest finished pass to the rows it belongs to; false when none is under way.
    fn take(&mut self, passes: usize, embeddings: &mut [f32]) -> Result<bool, Error> {
        let Some((tag, vectors)) = self.step.take()? else { return Ok(false) };
        let padded = self.images.next_multiple_of(4);
        let first = tag as usize / passes * self.images;
        let rows = embeddings[first * self.dimension..].chunks_exact_mut(self.dimension).take(self.images);
        for (n, row) in rows.enumerate() {
            for (k, value) in row.iter_mut().enumerate() {
                *value += vectors[k * padded + n];
            }
        }
        Ok(true)
    }
}

/// Puts a model's parameters on the device, as those of net `net` of the store.
///
/// # Errors
/// An allocation that fails.
pub fn write_parameters(gpu: &Gpu, model: &Model, store: &mut Store, net: usize) -> Result<(), Error> {
    let mut specs = super::file::tensors_of(&model.spec);
    specs.push(model.spec.cosine_parameters());
    for spec in specs {
        if let Some(values) = model.parameters.get(spec.name) {
            store.write_net(gpu, net, spec.name, &spec.device_type(), &spec.pad(values))?;
        }
    }
    Ok(())
}

/// Reads the parameters of net `net` of the store back from the device into `model`.
///
/// # Errors
/// A device that stopped.
pub fn read_parameters(gpu: &Gpu, store: &Store, model: &mut Model, net: usize) -> Result<(), Error> {
    let mut specs = super::file::tensors_of(&model.spec);
    specs.push(model.spec.cosine_parameters());
    for spec in specs {
        if let Some(values) = store.read_net(gpu, net, spec.name)? {
            model.parameters.insert(spec.name.into(), spec.strip(&values));
        }
    }
    Ok(())
}
