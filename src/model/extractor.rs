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
    crop_bytes: usize,
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
        let crop_bytes = spec.height * spec.width * spec.channels;
        Ok(Self { step, images, crop_bytes, dimension: spec.embedding, mirror })
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

    /// Vectors of crops that lie in memory one after another, all changed by `augment`; row after row.
    ///
    /// # Errors
    /// A device that stopped.
    ///
    /// # Panics
    /// When `crops` is not a whole number of crops.
    pub fn vectors(&mut self, crops: &[u8], augment: Augment) -> Result<Vec<f32>, Error> {
        while self.step.take()?.is_some() {}
        assert_eq!(crops.len() % self.crop_bytes, 0, "crops have the size of the network's input");
        let mut vectors = vec![0.0; crops.len() / self.crop_bytes * self.dimension];
        let augment = vec![augment; self.images];
        let mut last = Vec::new();
        for (tag, batch) in crops.chunks(self.images * self.crop_bytes).enumerate() {
            if self.step.is_full() {
                self.take(1, &mut vectors)?;
            }
            let mut pictures = batch;
            if batch.len() < self.images * self.crop_bytes {
                last.extend_from_slice(batch);
                last.resize(self.images * self.crop_bytes, 0);
                pictures = &last;
            }
            self.step.submit(pictures, &augment, tag as u64, &mut Meter::default())?;
        }
        while self.take(1, &mut vectors)? {}
        Ok(vectors)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::crop::CropSpec;
    use crate::model::file::tensors_of;
    use crate::net::initial_values;
    use crate::ops::testing::gpus;
    use std::path::PathBuf;

    #[test]
    fn vectors_of_crops_in_memory_are_the_embeddings_of_their_pictures() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = (0..7u32)
            .map(|number| {
                let path = folder.path().join(format!("{number}.png"));
                let pixel = |x, y| image::Rgb([(x * 8 + number * 9) as u8, (y * y + 5 * number) as u8, (x * y) as u8]);
                image::RgbImage::from_fn(40, 36, pixel).save(&path).unwrap();
                path
            })
            .collect();
        let crop = CropSpec { height: 31, width: 31, margin: 0, ..CropSpec::default() };
        let spec = NetSpec { height: 31, width: 31, widths: [2, 3, 4, 5], embedding: 6, ..NetSpec::paper(4) };
        let parameters = tensors_of(&spec).iter().map(|p| (p.name.to_string(), initial_values(p, 1))).collect();
        let mut model =
            Model { spec, crop, patch: None, mirror: false, threshold: None, trained_on: "nobody".into(), parameters };
        let images = Arc::new(ImageStore::load(paths, crop, u64::MAX, &|| {}).unwrap());
        let crops: Vec<u8> = images.pixels().unwrap().into_iter().map(|value| value as u8).collect();
        let gpu = &gpus()[0];
        // Four a pass: one pass is full, one is not.
        let mut extractor = Extractor::of_model(gpu, &model, 4).unwrap();
        let own = extractor.vectors(&crops, Augment::NONE).unwrap();
        assert_eq!((own.len(), extractor.dimension()), (7 * 6, 6));
        assert_eq!(own, extractor.embed(&images, &|_| {}).unwrap());
        assert!(own.iter().any(|value| *value > 0.0) && own[..6] != own[36..]);
        assert_eq!(extractor.vectors(&crops[..crops.len() / 7], Augment::NONE).unwrap(), own[..6]);
        assert!(extractor.vectors(&[], Augment::NONE).unwrap().is_empty());

        let mirrored = extractor.vectors(&crops, Augment::MIRRORED).unwrap();
        assert!(mirrored != own);
        model.mirror = true;
        let sums: Vec<f32> = own.iter().zip(&mirrored).map(|(own, mirrored)| own + mirrored).collect();
        assert_eq!(Extractor::of_model(gpu, &model, 4).unwrap().embed(&images, &|_| {}).unwrap(), sums);
    }
}
