//! The crops of a whole data set: decoded once and kept, or decoded again for every batch when
//! they would take too much memory. The bytes are the same either way.

use super::crop::{self, CropSpec, load_crop_into};
use super::decode;
use rayon::prelude::*;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Why crops cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the data set holds no pictures")]
    NoPictures,
    #[error(transparent)]
    Crop(#[from] crop::Error),
    #[error("{unreadable} of {total} pictures cannot be used; the first: {first}")]
    Unreadable { unreadable: usize, total: usize, first: crop::Error },
    #[error("picture number {index} asked for, but the data set has {count}")]
    Index { index: u32, count: usize },
    #[error("a buffer of {found} bytes for crops that take {expected}")]
    BufferLength { expected: usize, found: usize },
}

/// Crops by picture number. Shared by reference between threads.
#[derive(Debug)]
pub struct ImageStore {
    paths: Vec<PathBuf>,
    spec: CropSpec,
    /// All crops one after another, or nothing when they are decoded on demand.
    cache: Option<Vec<u8>>,
}

impl ImageStore {
    /// Takes the pictures `paths`; decodes all of them now, in parallel, when their crops fit in
    /// `cache_limit` bytes, and otherwise each time they are asked for. `progress` is called once
    /// for each decoded picture, from any thread.
    ///
    /// # Errors
    /// A bad `spec`, no paths, or pictures that cannot be used: all are tried, and the message
    /// counts them and explains the first. On demand, only the presence of the files is checked.
    pub fn load(
        paths: Vec<PathBuf>,
        spec: CropSpec,
        cache_limit: u64,
        progress: &(dyn Fn() + Sync),
    ) -> Result<Self, Error> {
        spec.check()?;
        if paths.is_empty() {
            return Err(Error::NoPictures);
        }
        let crop_bytes = spec.stored_bytes();
        let cached = (paths.len() as u64).saturating_mul(crop_bytes as u64) <= cache_limit;
        let mut cache = vec![0; if cached { paths.len() * crop_bytes } else { 0 }];
        let failures: Vec<crop::Error> = if cached {
            cache
                .par_chunks_exact_mut(crop_bytes)
                .zip(&paths)
                .filter_map(|(out, path)| {
                    let failure = load_crop_into(path, &spec, out).err();
                    progress();
                    failure
                })
                .collect()
        } else {
            let missing = |path: &PathBuf| {
                let source = std::fs::metadata(path).err()?;
                Some(decode::Error::Read { path: path.clone(), source }.into())
            };
            paths.par_iter().filter_map(missing).collect()
        };
        let unreadable = failures.len();
        if let Some(first) = failures.into_iter().next() {
            return Err(Error::Unreadable { unreadable, total: paths.len(), first });
        }
        Ok(Self { paths, spec, cache: cached.then_some(cache) })
    }

    /// The number of pictures, at least one.
    #[allow(clippy::len_without_is_empty, reason = "a store is never empty")]
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// What is cut from each picture.
    pub fn spec(&self) -> &CropSpec {
        &self.spec
    }

    /// The file of a picture.
    pub fn path(&self, index: u32) -> Option<&Path> {
        self.paths.get(index as usize).map(PathBuf::as_path)
    }

    /// Whether the crops are held in memory.
    pub fn is_cached(&self) -> bool {
        self.cache.is_some()
    }

    /// One crop: u8, rows × columns × channels with the margin included.
    ///
    /// # Errors
    /// A number out of range; on demand, a picture that cannot be used.
    pub fn image(&self, index: u32) -> Result<Cow<'_, [u8]>, Error> {
        let bytes = self.spec.stored_bytes();
        if let Some(cache) = &self.cache {
            let start = self.checked(index)? * bytes;
            return Ok(Cow::Borrowed(&cache[start..start + bytes]));
        }
        let mut out = vec![0; bytes];
        self.copy_to(index, &mut out)?;
        Ok(Cow::Owned(out))
    }

    /// All crops as vectors of numbers, one after another: the floor that every network must beat.
    ///
    /// # Errors
    /// On demand, a picture that cannot be used.
    pub fn pixels(&self) -> Result<Vec<f32>, Error> {
        let mut pixels = Vec::with_capacity(self.len() * self.spec.stored_bytes());
        for index in 0..self.len() as u32 {
            pixels.extend(self.image(index)?.iter().map(|byte| f32::from(*byte)));
        }
        Ok(pixels)
    }

    /// Writes the crops of `indices` to `out`, tightly packed: batch × rows × columns × channels.
    /// On demand, they are decoded in parallel.
    ///
    /// # Errors
    /// A number out of range, an `out` of another length than `indices.len()` crops; on demand,
    /// the first picture in batch order that cannot be used.
    pub fn gather(&self, indices: &[u32], out: &mut [u8]) -> Result<(), Error> {
        let bytes = self.spec.stored_bytes();
        let expected = indices.len() * bytes;
        if out.len() != expected {
            return Err(Error::BufferLength { expected, found: out.len() });
        }
        if self.cache.is_some() {
            return out.chunks_exact_mut(bytes).zip(indices).try_for_each(|(out, &index)| self.copy_to(index, out));
        }
        // `find_map_first` rather than a short-circuit: the same error whatever thread is fastest.
        out.par_chunks_exact_mut(bytes)
            .zip(indices)
            .map(|(out, &index)| self.copy_to(index, out))
            .find_map_first(Result::err)
            .map_or(Ok(()), Err)
    }

    fn copy_to(&self, index: u32, out: &mut [u8]) -> Result<(), Error> {
        let at = self.checked(index)?;
        match &self.cache {
            Some(cache) => out.copy_from_slice(&cache[at * out.len()..(at + 1) * out.len()]),
            None => load_crop_into(&self.paths[at], &self.spec, out)?,
        }
        Ok(())
    }

    fn checked(&self, index: u32) -> Result<usize, Error> {
        let at = index as usize;
        if at < self.len() { Ok(at) } else { Err(Error::Index { index, count: self.len() }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::crop::CropScale;
    use crate::data::testing::{picture_folders, write_grey};
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn spec() -> CropSpec {
        CropSpec { height: 5, width: 4, channels: 3, scale: CropScale::Fit(1.0), margin: 1 }
    }

    fn load(paths: Vec<PathBuf>, limit: u64) -> Result<ImageStore, Error> {
        ImageStore::load(paths, spec(), limit, &|| {})
    }

    #[test]
    fn cached_and_on_demand_give_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<_> = (0..9).map(|i| folder.path().join(format!("{i}.png"))).collect();
        for (i, path) in (0u32..).zip(&paths) {
            write_grey(path, 20 + i, 31 - i, |x, y| (7 * x + 13 * y + 50 * i) as u8);
        }
        let decoded = AtomicUsize::new(0);
        let count = || {
            decoded.fetch_add(1, Ordering::Relaxed);
        };
        let exactly = 9 * 7 * 6 * 3;
        let cached = ImageStore::load(paths.clone(), spec(), exactly, &count).unwrap();
        let on_demand = load(paths, exactly - 1).unwrap();
        assert!(cached.is_cached() && !on_demand.is_cached());
        assert_eq!(decoded.into_inner(), 9);

        let indices = [3, 3, 0, 8];
        let (mut a, mut b) = (vec![1; 4 * 126], vec![2; 4 * 126]);
        cached.gather(&indices, &mut a).unwrap();
        on_demand.gather(&indices, &mut b).unwrap();
        assert_eq!(a, b);
        assert_eq!(a[..126], a[126..252]);
        assert_ne!(a[..126], a[252..378]);
        assert_eq!(a[378..], *cached.image(8).unwrap());
        assert_eq!(a[378..], *on_demand.image(8).unwrap());
    }

    #[test]
    fn unreadable_pictures_are_counted_and_the_first_named() {
        let (_root, dataset) = picture_folders(&[3, 3]);
        let (paths, _) = dataset.flatten();
        std::fs::write(&paths[2], b"").unwrap();
        std::fs::write(&paths[4], b"nonsense").unwrap();
        let message = load(paths.clone(), u64::MAX).unwrap_err().to_string();
        assert!(message.starts_with("2 of 6 pictures"), "{message}");
        assert!(message.contains(&paths[2].display().to_string()), "{message}");

        let on_demand = load(paths.clone(), 0).unwrap();
        let error = on_demand.gather(&[0, 4, 2], &mut [0; 3 * 126]).unwrap_err().to_string();
        assert!(error.contains(&paths[4].display().to_string()), "{error}");
        std::fs::remove_file(&paths[5]).unwrap();
        assert!(matches!(load(paths, 0), Err(Error::Unreadable { unreadable: 1, .. })));
        assert!(matches!(load(Vec::new(), 0), Err(Error::NoPictures)));
    }

    #[test]
    fn wrong_numbers_and_buffers_are_errors() {
        let (_root, dataset) = picture_folders(&[2]);
        for limit in [0, u64::MAX] {
            let store = load(dataset.flatten().0, limit).unwrap();
            assert!(matches!(store.gather(&[2], &mut [0; 126]), Err(Error::Index { index: 2, count: 2 })));
            assert!(matches!(store.image(2), Err(Error::Index { .. })));
            assert!(matches!(store.gather(&[1], &mut [0; 125]), Err(Error::BufferLength { .. })));
        }
    }
}
