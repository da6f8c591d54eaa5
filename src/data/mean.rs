//! The mean of the training crops, subtracted from every network input.

use super::store::{Error, ImageStore};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Which mean is subtracted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MeanKind {
    /// One value for every row, column and channel.
    #[default]
    Image,
    /// One value for every channel.
    Pixel,
    /// Zero.
    None,
}

/// The mean of all crops of `store` without their margin: channels × height × width values in
/// [0, 255], the channel slowest. A mean pixel is repeated over its channel.
///
/// The sums are whole numbers, so that the result is exact to the last rounding and does not
/// depend on the number of threads.
///
/// # Errors
/// A picture that cannot be used, where the store decodes on demand.
pub fn mean(store: &ImageStore, kind: MeanKind) -> Result<Vec<f32>, Error> {
    let spec = store.spec();
    let (height, width) = (spec.height as usize, spec.width as usize);
    let channels = spec.channels as usize;
    if kind == MeanKind::None {
        return Ok(vec![0.0; channels * height * width]);
    }
    let sums = stored_sums(store)?;
    let (margin, stored_row) = (spec.margin as usize, spec.stored_width() * channels);
    let sum_at =
        |channel: usize, y: usize, x: usize| sums[(y + margin) * stored_row + (x + margin) * channels + channel];
    let count = store.len() as f64;
    let mut out = Vec::with_capacity(channels * height * width);
    for channel in 0..channels {
        let positions = || (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
        let values = positions().map(|(y, x)| sum_at(channel, y, x));
        if kind == MeanKind::Image {
            out.extend(values.map(|sum| (sum as f64 / count) as f32));
        } else {
            let total: u64 = values.sum();
            let pixels = (height * width) as f64;
            out.resize(out.len() + height * width, (total as f64 / (count * pixels)) as f32);
        }
    }
    Ok(out)
}

/// Sum over the pictures of each byte of the stored crop.
fn stored_sums(store: &ImageStore) -> Result<Vec<u64>, Error> {
    let zeros = || vec![0u64; store.spec().stored_bytes()];
    (0..store.len() as u32)
        .into_par_iter()
        .try_fold(zeros, |mut sums, index| {
            for (sum, &byte) in sums.iter_mut().zip(store.image(index)?.iter()) {
                *sum += u64::from(byte);
            }
            Ok(sums)
        })
        .try_reduce(zeros, |mut a, b| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
            Ok(a)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::crop::{CropScale, CropSpec};
    use image::{Rgb, RgbImage};

    fn store(limit: u64) -> (tempfile::TempDir, ImageStore) {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<_> = (0..3u32)
            .map(|i| {
                let path = folder.path().join(format!("{i}.png"));
                let pixel = |x, y| Rgb([(x * 10) as u8, (y * 10) as u8, (i * i) as u8]);
                RgbImage::from_fn(6, 5, pixel).save(&path).unwrap();
                path
            })
            .collect();
        let spec = CropSpec { height: 3, width: 4, channels: 3, scale: CropScale::SourcePixels(1.0), margin: 1 };
        (folder, ImageStore::load(paths, spec, limit, &|| {}).unwrap())
    }

    #[test]
    fn mean_image_is_channel_major_and_without_margin() {
        for limit in [0, u64::MAX] {
            let (_folder, store) = store(limit);
            let found = mean(&store, MeanKind::Image).unwrap();
            let mut expected: Vec<f32> = Vec::new();
            expected.extend([10.0, 20.0, 30.0, 40.0].repeat(3));
            expected.extend([[10.0; 4], [20.0; 4], [30.0; 4]].as_flattened());
            expected.extend([5.0 / 3.0; 12]);
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn mean_pixel_is_repeated_and_none_is_zero() {
        let (_folder, store) = store(u64::MAX);
        let expected = [[25.0f32; 12], [20.0; 12], [5.0 / 3.0; 12]];
        assert_eq!(mean(&store, MeanKind::Pixel).unwrap(), expected.as_flattened());
        assert_eq!(mean(&store, MeanKind::None).unwrap(), [0.0; 36]);
    }
}
