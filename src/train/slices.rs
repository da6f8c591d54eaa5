//! A batch cut into slices that fit the adapter.
//!
//! A step runs its batch in one piece where that fits. Otherwise it is cut into the fewest slices of whole pairs that do:
//! the slices run one after another, their gradients add up in the velocity of SGD, and the last one moves the weights
//! ([`crate::ops::SgdRates::of_part`]). A slice's losses count by its share of the images and of the pairs, so that the
//! step is the whole batch's but for the order in which sums are rounded.

use super::Error;
use crate::{gpu, tape};
use std::fmt;
use std::ops::Range;

/// Where memory does not suffice, the next slices tried are smaller by at least this share: a refused allocation does not
/// say how much was missing, and where parameters alone are too large the attempts must come to an end.
const SMALLER_BY: f64 = 1.0 / 8.0;

/// Part of a batch of P pairs (i, i + P).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Its pairs.
    pub pairs: Range<usize>,
    /// Its images: both of each pair and, in the last slice of an odd batch, the image without a partner.
    pub images: usize,
}

/// A slice's part of its batch; 1 where the batch runs in one piece.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// Of the images.
    pub images: f64,
    /// Of the pairs.
    pub pairs: f64,
}

/// How a batch is cut. The sizes of slices differ by one pair at most, and larger ones come first; the image without a
/// partner of an odd batch goes with the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slices {
    batch: usize,
    count: usize,
    reason: Option<String>,
}

impl Slices {
    /// The fewest slices of `images` at most, a number that [`Self::accepts`].
    fn at_most(batch: usize, images: usize) -> Self {
        let pairs = batch / 2;
        let count = pairs.div_ceil((images / 2).clamp(1, pairs));
        let slices = Self { batch, count, reason: None };
        // The image without a partner may be one too many; with one slice more it goes with a pair less.
        if slices.largest() > images { Self { count: count + 1, ..slices } } else { slices }
    }

    /// Whether a batch can be cut into slices of `images` at most.
    pub fn accepts(batch: usize, images: usize) -> bool {
        (2 + batch % 2..=batch).contains(&images)
    }

    /// The slices that a step runs in: of `asked` images at most, or as few as `fits` allows, which says whether so many
    /// images pass the adapter's limits.
    ///
    /// # Errors
    /// [`Error::NetworkTooLarge`] where not even the smallest slice fits, [`Error::MicroBatchTooLarge`] where `asked` does
    /// not, [`Error::Setting`] where it is out of range; what `fits` finds beside limits.
    pub fn choose(
        batch: usize,
        asked: Option<usize>,
        fits: impl Fn(usize) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let whole = Self { batch, count: 1, reason: None };
        let wanted = match asked {
            None => whole,
            Some(images) if Self::accepts(batch, images) => {
                let reason = Some(format!("--micro-batch is {images}"));
                Self { reason, ..Self::at_most(batch, images) }
            }
            Some(images) => return Err(out_of_range(images)),
        };
        let source = match fits(wanted.largest()) {
            Err(Error::Tape(tape::Error::Gpu(source @ gpu::Error::Limit { .. }))) => source,
            other => return other.map(|()| wanted),
        };
        // Fitting is monotone in the number of images: bisect between too few for a slice and those that do not fit.
        let smallest = 2 + batch % 2;
        let (mut fitting, mut too_large) = (smallest - 1, wanted.largest());
        while too_large - fitting > 1 {
            let middle = usize::midpoint(fitting, too_large);
            match fits(middle) {
                Ok(()) => fitting = middle,
                Err(_) => too_large = middle,
            }
        }
        match asked {
            _ if fitting < smallest => Err(Error::NetworkTooLarge { source }),
            Some(images) => Err(Error::MicroBatchTooLarge { images, largest: fitting, source }),
            None => Ok(Self { reason: Some(source.to_string()), ..Self::at_most(batch, fitting) }),
        }
    }

    /// Makes what `make` makes of the slices, of smaller ones as long as the device has too little memory.
    ///
    /// # Errors
    /// What `make` says beside that, or last.
    pub fn until_allocated<T>(mut self, mut make: impl FnMut(&Self) -> Result<T, Error>) -> Result<(T, Self), Error> {
        loop {
            let error = match make(&self) {
                Ok(made) => return Ok((made, self)),
                Err(error) => error,
            };
            let (Error::Gpu(refused) | Error::Tape(tape::Error::Gpu(refused))) = &error else { return Err(error) };
            let gpu::Error::OutOfMemory { what, bytes, .. } = refused else { return Err(error) };
            let images = (self.largest() as f64 * (1.0 - SMALLER_BY)) as usize;
            if !Self::accepts(self.batch, images) {
                return Err(error);
            }
            let reason = Some(format!("the GPU could not allocate {bytes} bytes for {what}"));
            self = Self { reason, ..Self::at_most(self.batch, images) };
        }
    }

    /// Number of slices, at least 1.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Images of the whole batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Images of the largest slice: asked for as a micro-batch, it gives the same slices again.
    pub fn largest(&self) -> usize {
        self.sizes().into_iter().max().unwrap_or_default()
    }

    /// Images of the smallest slice.
    fn smallest(&self) -> usize {
        self.sizes().into_iter().min().unwrap_or_default()
    }

    /// Sizes of the first slice, of the last and of the one before it, among which are all that occur.
    fn sizes(&self) -> [usize; 3] {
        [0, self.count - 1, self.count.saturating_sub(2)].map(|index| self.get(index).images)
    }

    /// Slice number `index`.
    pub fn get(&self, index: usize) -> Slice {
        let pairs = self.batch / 2;
        let (each, rest) = (pairs / self.count, pairs % self.count);
        let start = |index: usize| index * each + index.min(rest);
        let range = start(index)..start(index + 1);
        let alone = if index + 1 == self.count { self.batch % 2 } else { 0 };
        Slice { images: 2 * range.len() + alone, pairs: range }
    }

    /// Where a slice's images lie in the batch: first the first images of its pairs, then the others.
    pub fn halves(&self, slice: &Slice) -> [Range<usize>; 2] {
        let Range { start, end } = slice.pairs;
        let pairs = self.batch / 2;
        [start..end, pairs + start..pairs + start + (slice.images - slice.pairs.len())]
    }

    /// What a mean over a slice counts in the batch's.
    pub fn share(&self, slice: &Slice) -> Share {
        Share {
            images: slice.images as f64 / self.batch as f64,
            pairs: slice.pairs.len() as f64 / (self.batch / 2) as f64,
        }
    }

    /// The slices in the order in which they run.
    pub fn iter(&self) -> impl Iterator<Item = Slice> {
        (0..self.count).map(|index| self.get(index))
    }
}

pub(super) fn out_of_range(images: usize) -> Error {
    Error::Setting {
        flag: "--micro-batch",
        value: images.to_string(),
        expected: "2 pictures, which form a pair (3 where --batch is odd), to --batch",
    }
}

/// `batch 4096 runs in 2 slices of 2048 images, because …`.
impl fmt::Display for Slices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.count, self.smallest(), self.largest()) {
            (1, ..) => write!(f, "batch {} runs in one piece", self.batch)?,
            (count, least, most) if least == most => {
                write!(f, "batch {} runs in {count} slices of {most} images", self.batch)?;
            }
            (count, least, most) => {
                write!(f, "batch {} runs in {count} slices of {least} to {most} images", self.batch)?;
            }
        }
        match &self.reason {
            Some(reason) => write!(f, ", because {reason}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(needed: usize, allowed: usize) -> Error {
        let what = "tensor conv2d".into();
        let (needed, allowed) = (needed as u64, allowed as u64);
        Error::Tape(tape::Error::Gpu(gpu::Error::Limit { what, limit: "max_buffer_size", needed, allowed }))
    }

    /// An adapter that takes `most` images.
    fn adapter(most: usize) -> impl Fn(usize) -> Result<(), Error> {
        move |images| if images > most { Err(limit(images, most)) } else { Ok(()) }
    }

    #[test]
    fn slices_cover_all_pairs_in_order_and_as_few_are_made_as_fit() {
        for batch in 2..70 {
            for most in 2 + batch % 2..=batch {
                let slices = Slices::at_most(batch, most);
                let all: Vec<Slice> = slices.iter().collect();
                assert_eq!(all.len(), slices.count());
                let mut next = 0;
                for slice in &all {
                    assert_eq!(slice.pairs.start, next);
                    next = slice.pairs.end;
                    assert!(!slice.pairs.is_empty() && slice.images <= most, "{batch} in slices of {most}: {all:?}");
                }
                assert_eq!((next, all.iter().map(|slice| slice.images).sum::<usize>()), (batch / 2, batch));
                let pairs = all.iter().map(|slice| slice.pairs.len());
                assert!(pairs.clone().max().unwrap() - pairs.min().unwrap() <= 1);
                assert_eq!(slices.largest(), all.iter().map(|slice| slice.images).max().unwrap());
                assert_eq!(slices.smallest(), all.iter().map(|slice| slice.images).min().unwrap());
                assert_eq!(Slices::at_most(batch, slices.largest()), slices, "the record of a run gives others");
                let fewer = Slices { count: slices.count - 1, ..slices.clone() };
                assert!(slices.count == 1 || fewer.largest() > most, "{batch} fits {fewer} of {most} at most");
            }
        }
    }

    #[test]
    fn the_fewest_slices_that_fit_are_chosen_and_the_reason_is_said() {
        let choose = |batch, most| Slices::choose(batch, None, adapter(most)).unwrap().to_string();
        assert_eq!(choose(64, 64), "batch 64 runs in one piece");
        let because = "tensor conv2d needs 4096, but this adapter's max_buffer_size is 2048";
        assert_eq!(choose(4096, 2048), format!("batch 4096 runs in 2 slices of 2048 images, because {because}"));
        assert!(choose(4096, 2047).starts_with("batch 4096 runs in 3 slices of 1364 to 1366 images, because"));
        assert!(choose(10, 2).starts_with("batch 10 runs in 5 slices of 2 images, because"));
        assert!(choose(11, 3).starts_with("batch 11 runs in 5 slices of 2 to 3 images, because"));
        for (batch, most) in [(10, 1), (11, 2)] {
            let error = Slices::choose(batch, None, adapter(most)).unwrap_err();
            assert!(matches!(error, Error::NetworkTooLarge { .. }), "{error}");
        }
    }

    #[test]
    fn slices_that_were_asked_for_are_made_or_refused_with_what_fits() {
        let choose = |images| Slices::choose(16, Some(images), adapter(9));
        assert_eq!(choose(8).unwrap().to_string(), "batch 16 runs in 2 slices of 8 images, because --micro-batch is 8");
        assert_eq!(choose(7).unwrap().count(), 3);
        let message = choose(16).unwrap_err().to_string();
        for part in ["--micro-batch 16", "max_buffer_size is 9", "needs 16", "pass --micro-batch 9"] {
            assert!(message.contains(part), "{message}");
        }
        for images in [0, 1, 17] {
            let message = choose(images).unwrap_err().to_string();
            assert!(message.contains(&format!("--micro-batch {images}: expected 2")), "{message}");
        }
        assert!(Slices::choose(7, Some(2), adapter(9)).is_err());
        assert!(matches!(Slices::choose(16, Some(8), adapter(1)).unwrap_err(), Error::NetworkTooLarge { .. }));
    }

    #[test]
    fn slices_shrink_until_memory_suffices() {
        let make = |most: usize| {
            move |slices: &Slices| match slices.largest() {
                images if images <= most => Ok(images),
                images => Err(Error::Gpu(gpu::Error::OutOfMemory {
                    what: "activations 0".into(),
                    bytes: images as u64,
                    reason: "no memory".into(),
                })),
            }
        };
        let whole = Slices::choose(1000, None, adapter(1000)).unwrap();
        let (made, slices) = whole.clone().until_allocated(make(400)).unwrap();
        assert!(made == slices.largest() && (300..=400).contains(&made), "{slices}");
        assert!(slices.to_string().contains("because the GPU could not allocate"), "{slices}");
        assert_eq!(whole.clone().until_allocated(make(1000)).unwrap().1, whole);
        let mut attempts = 0;
        let never = whole.until_allocated(|slices| {
            attempts += 1;
            make(0)(slices)
        });
        assert!(matches!(never, Err(Error::Gpu(gpu::Error::OutOfMemory { bytes: 2, .. }))), "{never:?}");
        assert!(attempts < 50, "{attempts} attempts");
    }
}
