//! ORL, the "Database of Faces" of AT&T Laboratories Cambridge: `s1/1.pgm` to `s40/10.pgm`, grey.

use crate::data::dataset::Dataset;

/// Whether every folder is named `sN` and every picture `M.pgm`.
pub fn is_layout_of(dataset: &Dataset) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    dataset.identities.iter().all(|identity| {
        identity.name.strip_prefix('s').is_some_and(is_number)
            && identity.images.iter().all(|image| {
                let stem = image.file_stem().and_then(|stem| stem.to_str());
                stem.is_some_and(is_number) && image.extension().is_some_and(|e| e.eq_ignore_ascii_case("pgm"))
            })
    })
}
