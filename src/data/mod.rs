//! Data on the CPU side: pictures on disk become batches of bytes for the GPU.
//!
//! | file | purpose |
//! |---|---|
//! | [`dataset`] | which pictures belong to which identity |
//! | [`split`] | training and validation identities |
//! | [`crop`] | a picture file becomes a fixed-size u8 crop |
//! | [`cut`] | what is cut out of each picture: its middle, or a patch of an aligned face |
//! | [`store`] | the crops of a whole data set, cached or decoded on demand |
//! | [`sampler`] | identity-balanced pairs for a training step |
//! | [`augment`] | random shift, flip and brightness for a training step |
//! | [`loader`] | batches prepared ahead of the GPU |
//! | [`pairs`] | pairs to verify: LFW's format, plain lists, drawn at random |
//! | [`mean`] | mean image or mean pixel of the training crops |
//! | [`synth`] | procedural faces |
//!
//! Everything random is a pure function of an explicit seed (and, in training, of the step), so a
//! resumed run sees the batches that the uninterrupted one would have seen, whatever the number
//! of threads.

pub mod augment;
pub mod crop;
pub mod cut;
pub mod dataset;
pub mod loader;
pub mod mean;
pub mod pairs;
pub mod sampler;
pub mod split;
pub mod store;
pub mod synth;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a random stream is for: streams of different purposes are independent under one seed.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Split = 1,
    BatchPairs = 2,
    Augmentation = 3,
    EvaluationPairs = 4,
    SynthIdentity = 5,
    SynthPicture = 6,
    SynthNoise = 7,
    LandmarkStarts = 20,
    LandmarkFolds = 21,
}

/// The random stream number `stream` (a step, say) of `purpose` under the user's `seed`.
pub(crate) fn random_stream(seed: u64, purpose: Purpose, stream: u64) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8] = purpose as u8;
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(stream);
    rng
}

#[cfg(test)]
pub(crate) mod testing {
    //! Small picture folders for tests.

    use super::dataset::Dataset;
    use image::{GrayImage, Luma};
    use std::path::Path;
    use tempfile::TempDir;

    /// Writes a `width`×`height` grey PNG whose pixel is `value(x, y)`.
    pub fn write_grey(path: &Path, width: u32, height: u32, value: impl Fn(u32, u32) -> u8) {
        GrayImage::from_fn(width, height, |x, y| Luma([value(x, y)]))
            .save(path)
            .expect("the test's folder is writable");
    }

    /// A folder per identity with `counts[i]` pictures of 10×10 pixels; picture `k` (counted over
    /// all identities in order) is filled with the grey value `k`.
    pub fn picture_folders(counts: &[usize]) -> (TempDir, Dataset) {
        let root = tempfile::tempdir().expect("a temporary folder can be made");
        let mut picture = 0u8;
        for (identity, &count) in counts.iter().enumerate() {
            let folder = root.path().join(format!("person{identity:03}"));
            std::fs::create_dir(&folder).expect("the test's folder is writable");
            for number in 0..count {
                write_grey(&folder.join(format!("{number:03}.png")), 10, 10, |_, _| picture);
                picture = picture.wrapping_add(1);
            }
        }
        let dataset = Dataset::open(root.path()).expect("the folders hold pictures");
        (root, dataset)
    }
}
