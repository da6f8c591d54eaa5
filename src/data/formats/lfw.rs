//! Labeled Faces in the Wild (Huang et al., TR 07-49): `NAME/NAME_0001.jpg`, four digits from 1.
//!
//! The raw, the funneled and the deep-funneled pictures lie in the same layout under the same names,
//! so the lists of [`pairs`](crate::data::pairs) fit all three.

use crate::data::dataset::{Dataset, Identity};
use std::path::Path;

/// Whether every picture is named as LFW names it.
pub fn is_layout_of(dataset: &Dataset) -> bool {
    dataset.identities.iter().all(|Identity { name, images }| images.iter().all(|image| is_picture_of(name, image)))
}

fn is_picture_of(name: &str, image: &Path) -> bool {
    let stem = image.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let number = stem.strip_prefix(name).and_then(|rest| rest.strip_prefix('_'));
    number.is_some_and(|digits| digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}
