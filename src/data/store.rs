//! The crops of a whole data set: decoded once and kept, or decoded again for every batch when
//! they would take too much memory. The bytes are the same either way.

use super::augment::Augment;
use super::crop::{self, CropSpec};
use super::cut::{self, Cut};
use super::decode;
use crate::face::patch_cut::Side;
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
    #[error(transparent)]
    Cut(#[from] cut::Error),
    #[error("{unreadable} of {total} pictures cannot be used; the first: {first}")]
    Unreadable { unreadable: usize, total: usize, first: cut::Error },
    #[error("picture number {index} asked for, but the data set has {count}")]
    Index { index: u32, count: usize },
    #[error("a buffer of {found} bytes for crops that take {expected}")]
    BufferLength { expected: usize, found: usize },
    #[error("{augments} changes for {pictures} pictures: expected one each")]
    Augments { pictures: usize, augments: usize },
}

/// Crops by picture number. Shared by reference between threads.
#[derive(Debug)]
pub struct ImageStore {
    paths: Vec<PathBuf>,
    cut: Cut,
    spec: CropSpec,
    /// All crops one after another, a picture's [sides](Cut::sides) together, or nothing when they are decoded on demand.
    cache: Option<Vec<u8>>,
}

impl ImageStore {
    /// Takes the pictures `paths`; decodes all of them now, in parallel, when their crops fit in
    /// `cache_limit` bytes, and otherwise each time they are asked for. `progress` is called once
    /// for each decoded picture, from any thread.
    ///
    /// # Errors
    /// A bad size, no paths, or pictures that cannot be used: all are tried, and the message
    /// counts them and explains the first. On demand, only the presence of the files is checked.
    pub fn load(
        paths: Vec<PathBuf>,
        cut: impl Into<Cut>,
        cache_limit: u64,
        progress: &(dyn Fn() + Sync),
    ) -> Result<Self, Error> {
        let cut = cut.into();
        let spec = cut.spec();
        spec.check()?;
        if paths.is_empty() {
            return Err(Error::NoPictures);
        }
        let picture_bytes = cut.sides().len() * spec.stored_bytes();
        let cached = (paths.len() as u64).saturating_mul(picture_bytes as u64) <= cache_limit;
        let mut cache = vec![0; if cached { paths.len() * picture_bytes } else { 0 }];
        let failures: Vec<cut::Error> = if cached {
            cache
                .par_chunks_exact_mut(picture_bytes)
                .zip(&paths)
                .filter_map(|(out, path)| {
                    let failure = cut.load_into(path, cut.sides(), out).err();
                    progress();
                    failure
                })
                .collect()
        } else {
            let missing = |path: &PathBuf| {
                let source = std::fs::metadata(path).err()?;
                Some(crop::Error::from(decode::Error::Read { path: path.clone(), source }).into())
            };
            paths.par_iter().filter_map(missing).collect()
        };
        let unreadable = failures.len();
        if let Some(first) = failures.into_iter().next() {
            return Err(Error::Unreadable { unreadable, total: paths.len(), first });
        }
        Ok(Self { paths, cut, spec, cache: cached.then_some(cache) })
    }

    /// The number of pictures, at least one.
    #[allow(clippy::len_without_is_empty, reason = "a store is never empty")]
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether mirrored pictures are cut from another window ([`Cut::sides`]).
    pub fn has_counterparts(&self) -> bool {
        self.cut.sides().len() > 1
    }

    /// The size of what is cut from each picture.
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

    /// One crop, not mirrored: u8, rows × columns × channels with the margin included.
    ///
    /// # Errors
    /// A number out of range; on demand, a picture that cannot be used.
    pub fn image(&self, index: u32) -> Result<Cow<'_, [u8]>, Error> {
        let bytes = self.spec.stored_bytes();
        if let Some(cache) = &self.cache {
            let start = self.checked(index)? * bytes * self.cut.sides().len();
            return Ok(Cow::Borrowed(&cache[start..start + bytes]));
        }
        let mut out = vec![0; bytes];
        self.copy_to(index, Side::Own, &mut out)?;
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

    /// Writes the crops of `indices` to `out`, tightly packed: batch × rows × columns × channels. They are to be changed
    /// by `augment`, which decides the window of patches whose mirror image is cut from another; the change itself is the
    /// GPU's. On demand, they are decoded in parallel.
    ///
    /// # Errors
    /// A number out of range, another number of changes, an `out` of another length than `indices.len()` crops; on demand,
    /// the first picture in batch order that cannot be used.
    pub fn gather(&self, indices: &[u32], augment: &[Augment], out: &mut [u8]) -> Result<(), Error> {
        let bytes = self.spec.stored_bytes();
        let expected = indices.len() * bytes;
        if out.len() != expected {
            return Err(Error::BufferLength { expected, found: out.len() });
        }
        if augment.len() != indices.len() {
            return Err(Error::Augments { pictures: indices.len(), augments: augment.len() });
        }
        let copy = |(out, (&index, augment)): (&mut [u8], (&u32, &Augment))| {
            self.copy_to(index, self.cut.side(augment.flip != 0), out)
        };
        if self.cache.is_some() {
            return out.chunks_exact_mut(bytes).zip(indices.iter().zip(augment)).try_for_each(copy);
        }
        // `find_map_first` rather than a short-circuit: the same error whatever thread is fastest.
        out.par_chunks_exact_mut(bytes)
            .zip(indices.par_iter().zip(augment))
            .map(copy)
            .find_map_first(Result::err)
            .map_or(Ok(()), Err)
    }

    fn copy_to(&self, index: u32, side: Side, out: &mut [u8]) -> Result<(), Error> {
        let at = self.checked(index)?;
        match &self.cache {
            Some(cache) => {
                let sides = self.cut.sides();
                let place = at * sides.len() + usize::from(side == Side::Counterpart);
                out.copy_from_slice(&cache[place * out.len()..(place + 1) * out.len()]);
            }
            None => self.cut.load_into(&self.paths[at], &[side], out)?,
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
    use crate::data::dataset::Dataset;
    use crate::data::testing::{picture_folders, write_grey};
    use crate::face::index::testing::aligned_folder;
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
        cached.gather(&indices, &[Augment::NONE; 4], &mut a).unwrap();
        on_demand.gather(&indices, &[Augment::MIRRORED; 4], &mut b).unwrap();
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
        let error = on_demand.gather(&[0, 4, 2], &[Augment::NONE; 3], &mut [0; 3 * 126]).unwrap_err().to_string();
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
            assert!(matches!(
                store.gather(&[2], &[Augment::NONE], &mut [0; 126]),
                Err(Error::Index { index: 2, count: 2 })
            ));
            assert!(matches!(store.image(2), Err(Error::Index { .. })));
            assert!(matches!(store.gather(&[1], &[Augment::NONE], &mut [0; 125]), Err(Error::BufferLength { .. })));
            assert!(matches!(
                store.gather(&[1], &[], &mut [0; 126]),
                Err(Error::Augments { pictures: 1, augments: 0 })
            ));
        }
    }

    #[test]
    fn mirrored_pictures_of_paired_patches_come_from_the_counterpart() {
        let root = tempfile::tempdir().unwrap();
        aligned_folder(root.path(), &[2, 1]);
        let (paths, _) = Dataset::open(root.path()).unwrap().flatten();
        for (patch, paired) in [("pupil@1.4 RGB", true), ("half-face@1.8 gray", true), ("mouth@1.4 gray", false)] {
            let spec = CropSpec { margin: 2, ..CropSpec::default() };
            let cut = Cut::new(spec, Some(patch.parse().unwrap()), &paths).unwrap();
            let bytes = cut.spec().stored_bytes();
            let direct = |index: usize, side| {
                let mut out = vec![0; bytes];
                cut.load_into(&paths[index], &[side], &mut out).unwrap();
                out
            };
            let exactly = (3 * bytes * if paired { 2 } else { 1 }) as u64;
            for (limit, is_cached) in [(exactly, true), (exactly - 1, false)] {
                let store = ImageStore::load(paths.clone(), cut.clone(), limit, &|| {}).unwrap();
                assert_eq!((store.is_cached(), store.has_counterparts()), (is_cached, paired));
                let mut out = vec![0; 3 * bytes];
                store.gather(&[2, 1, 1], &[Augment::MIRRORED, Augment::NONE, Augment::MIRRORED], &mut out).unwrap();
                let other = if paired { Side::Counterpart } else { Side::Own };
                let expected = [direct(2, other), direct(1, Side::Own), direct(1, other)].concat();
                assert_eq!(out, expected, "{patch}");
                assert_eq!(paired, direct(1, Side::Own) != direct(1, other));
                assert_eq!(*store.image(1).unwrap(), direct(1, Side::Own));
            }
        }
    }
}
