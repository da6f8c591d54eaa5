//! Every picture is read once, decoded, and reduced to what the checks compare.

use crate::data::decode::{self, decode_bytes};
use image::imageops::{FilterType, resize, thumbnail};
use image::{DynamicImage, GrayImage};
use rayon::prelude::*;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};

/// Side of the thumbnail that two pictures are compared by.
pub const THUMBNAIL: u32 = 16;

/// What is kept of a picture: some 300 bytes.
pub struct Seen {
    pub width: u32,
    pub height: u32,
    pub grey: bool,
    pub grey_stored_as_colour: bool,
    pub turned: bool,
    /// Length of the file, and 64 bits that depend on all of it: two of a million different files agree by
    /// chance with a probability of 10¹² / 2⁶⁵.
    pub file: (u64, u64),
    /// Difference hash: bit 8·y + x is whether the picture, shrunk to 9×8 grey pixels, grows darker from
    /// x to x + 1. It outlives scaling, compression and changes of brightness and contrast.
    pub difference_hash: u64,
    /// The picture shrunk to [`THUMBNAIL`]² grey pixels, row after row.
    pub thumbnail: [u8; (THUMBNAIL * THUMBNAIL) as usize],
}

/// Looks at all `paths` in parallel; results in their order. `progress` is called once a picture.
pub fn scan(paths: &[PathBuf], progress: &(dyn Fn() + Sync)) -> Vec<Result<Seen, decode::Error>> {
    paths
        .par_iter()
        .map(|path| {
            let seen = look_at(path);
            progress();
            seen
        })
        .collect()
}

fn look_at(path: &Path) -> Result<Seen, decode::Error> {
    let bytes = decode::read(path)?;
    let picture = decode_bytes(path, &bytes)?;
    let mut hasher = DefaultHasher::new();
    hasher.write(&bytes);
    let grey = picture.image.to_luma8();
    // The triangle filter is the steadier and the slower one: it gets less to do.
    let middle = thumbnail(&grey, 72, 72);
    let small = resize(&middle, 9, 8, FilterType::Triangle);
    let square = resize(&middle, THUMBNAIL, THUMBNAIL, FilterType::Triangle);
    Ok(Seen {
        width: grey.width(),
        height: grey.height(),
        grey: !picture.image.color().has_color(),
        grey_stored_as_colour: is_grey_in_colour(&picture.image),
        turned: picture.turned,
        file: (bytes.len() as u64, hasher.finish()),
        difference_hash: difference_hash(&small),
        thumbnail: square.into_raw().try_into().expect("resized to this size"),
    })
}

fn is_grey_in_colour(image: &DynamicImage) -> bool {
    image.as_rgb8().is_some_and(|rgb| rgb.pixels().all(|pixel| pixel.0[0] == pixel.0[1] && pixel.0[1] == pixel.0[2]))
}

/// Of a picture of 9×8 pixels.
fn difference_hash(small: &GrayImage) -> u64 {
    let rows = small.as_raw().chunks_exact(9);
    let bits = rows.flat_map(|row| row.windows(2).map(|pair| pair[0] > pair[1]));
    bits.zip(0..).fold(0, |hash, (darker, bit)| hash | u64::from(darker) << bit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    #[test]
    fn the_hash_has_a_bit_for_each_step_to_the_right() {
        let falling = GrayImage::from_fn(9, 8, |x, _| Luma([200 - 20 * x as u8]));
        assert_eq!(difference_hash(&falling), u64::MAX);
        let one_step = GrayImage::from_fn(9, 8, |x, y| Luma([if y == 2 && x <= 3 { 9 } else { 5 }]));
        assert_eq!(difference_hash(&one_step), 1 << (8 * 2 + 3));
    }
}
