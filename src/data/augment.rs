//! Random augmentation of training pictures: drawn here, applied on the GPU.
//!
//! With stored crops of (H + 2m)×(W + 2m) pixels (m = [`CropSpec::margin`]), input pixel (y, x) of
//! the H×W network input is `gain` × the stored pixel (y + m + shift_y, x' + m + shift_x), where
//! x' = W − 1 − x under a flip and x otherwise.
//!
//! [`CropSpec::margin`]: super::crop::CropSpec::margin

use super::{Purpose, random_stream};
use rand::RngExt;
use serde::{Deserialize, Serialize};

/// Why an augmentation is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "random shift of ±{shift} pixels, but the crops have a margin of {margin}; load them with a margin of at least the shift"
    )]
    ShiftBeyondMargin { shift: u32, margin: u32 },
    #[error("--brightness {brightness}: expected a number from 0 to below 1")]
    Brightness { brightness: f32 },
}

/// The change of one picture, laid out as the GPU reads it (16 bytes).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Augment {
    /// Downward displacement of the window, in pixels of the network's input; |shift_y| ≤ margin.
    pub shift_y: i32,
    /// Rightward displacement of the window, in pixels of the network's input; |shift_x| ≤ margin.
    pub shift_x: i32,
    /// 1 mirrors the picture left to right, 0 does not.
    pub flip: u32,
    /// Factor of every pixel value, before the mean is subtracted.
    pub gain: f32,
}

impl Augment {
    /// The centre crop, unchanged.
    pub const NONE: Self = Self { shift_y: 0, shift_x: 0, flip: 0, gain: 1.0 };
    /// The centre crop, mirrored left to right.
    pub const MIRRORED: Self = Self { flip: 1, ..Self::NONE };
}

/// Ranges of the random augmentation. The paper names none; these are this project's choice.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// Largest shift along each axis, in pixels of the network's input.
    pub shift: u32,
    /// Mirror half of the pictures.
    pub flip: bool,
    /// The gain is uniform in [1 − brightness, 1 + brightness].
    pub brightness: f32,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self { shift: 3, flip: true, brightness: 0.1 }
    }
}

impl Augmentation {
    /// No change at all.
    pub const OFF: Self = Self { shift: 0, flip: false, brightness: 0.0 };

    /// Checks the ranges against the `margin` that the crops were made with.
    ///
    /// # Errors
    /// A shift beyond the margin, or a brightness range outside [0, 1).
    pub fn check(&self, margin: u32) -> Result<(), Error> {
        if self.shift > margin {
            return Err(Error::ShiftBeyondMargin { shift: self.shift, margin });
        }
        if !(0.0..1.0).contains(&self.brightness) {
            return Err(Error::Brightness { brightness: self.brightness });
        }
        Ok(())
    }

    /// Overwrites `out` with the `count` draws of `step`: a pure function of `seed` and `step`.
    pub fn draw(&self, seed: u64, step: u64, count: usize, out: &mut Vec<Augment>) {
        let mut rng = random_stream(seed, Purpose::Augmentation, step);
        let shift = i32::try_from(self.shift).unwrap_or(i32::MAX);
        out.clear();
        // Four draws a picture whatever is switched on, so that switching one part off leaves the
        // others as they were.
        out.extend((0..count).map(|_| Augment {
            shift_y: rng.random_range(-shift..=shift),
            shift_x: rng.random_range(-shift..=shift),
            flip: u32::from(rng.random_bool(0.5) && self.flip),
            gain: 1.0 + self.brightness * (2.0 * rng.random::<f32>() - 1.0),
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(augmentation: Augmentation, seed: u64, step: u64) -> Vec<Augment> {
        let mut out = vec![Augment::MIRRORED; 3];
        augmentation.draw(seed, step, 4000, &mut out);
        out
    }

    #[test]
    fn draws_fill_their_ranges_and_depend_on_seed_and_step_only() {
        let augmentation = Augmentation { shift: 2, flip: true, brightness: 0.1 };
        let drawn = draws(augmentation, 5, 9);
        assert_eq!(drawn.len(), 4000);
        for shift in -2..=2 {
            // 800 expected of each, standard deviation 25.
            let (rows, columns) = drawn.iter().fold((0, 0), |(rows, columns), a| {
                (rows + i32::from(a.shift_y == shift), columns + i32::from(a.shift_x == shift))
            });
            assert!((650..950).contains(&rows) && (650..950).contains(&columns), "{rows} {columns}");
        }
        let flips: u32 = drawn.iter().map(|a| a.flip).sum();
        assert!((1800..2200).contains(&flips));
        let gains = || drawn.iter().map(|a| a.gain);
        assert!(gains().all(|g| (0.9..=1.1).contains(&g)));
        assert!(gains().any(|g| g < 0.92) && gains().any(|g| g > 1.08));
        assert_eq!(drawn, draws(augmentation, 5, 9));
        assert_ne!(drawn, draws(augmentation, 5, 10));
        assert_ne!(drawn, draws(augmentation, 6, 9));
    }

    #[test]
    fn off_changes_nothing() {
        assert!(draws(Augmentation::OFF, 1, 1).iter().all(|&a| a == Augment::NONE));
    }

    #[test]
    fn one_part_off_leaves_the_others() {
        let on = draws(Augmentation::default(), 1, 1);
        let unflipped = draws(Augmentation { flip: false, ..Augmentation::default() }, 1, 1);
        assert!(on.iter().zip(&unflipped).all(|(a, b)| Augment { flip: 0, ..*a } == *b));
    }

    #[test]
    fn ranges_are_checked() {
        assert!(Augmentation::default().check(3).is_ok());
        assert!(matches!(Augmentation::default().check(2), Err(Error::ShiftBeyondMargin { shift: 3, margin: 2 })));
        for brightness in [-0.1, 1.0, f32::NAN] {
            let refused = Augmentation { brightness, ..Augmentation::OFF }.check(0);
            assert!(matches!(refused, Err(Error::Brightness { .. })));
        }
    }
}
