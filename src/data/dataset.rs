//! Data sets of identities: which pictures show which person.
//!
//! How they lie on the disk is the matter of [`formats`]. Nothing is decoded here.

use super::decode::{FORMATS, PICTURE_EXTENSIONS};
use super::formats::{self, Part, celeba};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// Why a data set cannot be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{path}: no such file or folder; expected a folder with one sub-folder per identity, or a list file of `path identity` lines"
    )]
    Missing { path: PathBuf },
    #[error("{path}: cannot be read: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error(
        "{path}: no pictures in its sub-folders ({loose} lie directly in it); expected a folder per identity, such as {path}/NAME/picture.jpg ({FORMATS}){}", did_you_mean(.meant.as_deref())
    )]
    NoPictures { path: PathBuf, loose: usize, meant: Option<PathBuf> },
    #[error("{path}: no pictures ({FORMATS}) in it or in its sub-folders")]
    NoPicturesBelow { path: PathBuf },
    #[error("{path}: the list names no pictures; expected lines of `path identity`")]
    EmptyList { path: PathBuf },
    #[error("{path}, line {line}: expected `path identity`, found `{text}`")]
    ListLine { path: PathBuf, line: usize, text: String },
    #[error(
        "{path}, line {line}: there is no file {picture}; paths are relative to the list's own folder ({missing} of {listed} listed pictures are missing)"
    )]
    ListPicture { path: PathBuf, line: usize, picture: PathBuf, missing: usize, listed: usize },
    #[error("{path}, line {line}: {picture} is already listed on line {first}; list each picture once")]
    ListedTwice { path: PathBuf, line: usize, first: usize, picture: PathBuf },
    #[error(
        "{identities} identity in the data set; pairs need at least 2: add a folder (or list lines) of another person"
    )]
    TooFewIdentities { identities: usize },
    #[error(
        "none of the {identities} identities has two pictures, so there is no pair of the same person; add a second picture of at least one"
    )]
    NoSamePair { identities: usize },
    #[error("{path}: only CelebA has the parts A and B; leave the part out")]
    NoParts { path: PathBuf },
    #[error(transparent)]
    CelebA(#[from] celeba::Error),
}

fn did_you_mean(path: Option<&Path>) -> String {
    path.map_or_else(String::new, |path| format!("; did you mean {}?", path.display()))
}

/// A person and the pictures of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub name: String,
    /// At least one, sorted.
    pub images: Vec<PathBuf>,
}

/// Identities sorted by name; label `i` is `identities[i]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    pub identities: Vec<Identity>,
}

/// The identities that have a single picture: they train identification but give no same pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinglePictureWarning {
    /// How many identities have one picture.
    pub count: usize,
    /// How many identities there are in all.
    pub identities: usize,
    /// The names of the first few.
    pub first_names: Vec<String>,
}

impl fmt::Display for SinglePictureWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.count > self.first_names.len() { ", …" } else { "" };
        write!(
            f,
            "{} of {} identities have a single picture ({}{more}): they train identification but give no pair of the same person",
            self.count,
            self.identities,
            self.first_names.join(", ")
        )
    }
}

impl Dataset {
    /// Opens a data set of any [`Format`](super::formats::Format), recognised by what lies at
    /// `path`: a folder of identity folders, a list file, or the folder of CelebA. `PATH#A` and
    /// `PATH#B` are the two parts of CelebA.
    ///
    /// # Errors
    /// A missing or unreadable path, no pictures at all, a malformed list line, a listed picture
    /// that does not exist or is listed twice, or a part of something that has none.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let (path, part) = Part::of_path(path);
        Self::open_part(&path, part)
    }

    /// As [`Self::open`], with the part of CelebA given beside the path.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_part(path: &Path, part: Part) -> Result<Self, Error> {
        Ok(formats::open(path, part)?.dataset)
    }

    /// The number of pictures of all identities.
    pub fn image_count(&self) -> usize {
        self.identities.iter().map(|identity| identity.images.len()).sum()
    }

    /// All pictures, identity after identity, and the label of each: the numbering that the
    /// store, the sampler and the batches use.
    pub fn flatten(&self) -> (Vec<PathBuf>, Vec<u32>) {
        self.identities
            .iter()
            .zip(0u32..)
            .flat_map(|(identity, label)| identity.images.iter().map(move |p| (p.clone(), label)))
            .unzip()
    }

    /// Checks that pairs of the same and of different people can be drawn; returns a warning for
    /// the caller to print where some identities have a single picture.
    ///
    /// # Errors
    /// Fewer than two identities, or no identity with two pictures.
    pub fn check_pairs_possible(&self) -> Result<Option<SinglePictureWarning>, Error> {
        const NAMES_SHOWN: usize = 3;
        let identities = self.identities.len();
        if identities < 2 {
            return Err(Error::TooFewIdentities { identities });
        }
        let single = || self.identities.iter().filter(|identity| identity.images.len() < 2);
        let count = single().count();
        if count == identities {
            return Err(Error::NoSamePair { identities });
        }
        Ok((count > 0).then(|| SinglePictureWarning {
            count,
            identities,
            first_names: single().take(NAMES_SHOWN).map(|i| i.name.clone()).collect(),
        }))
    }
}

/// The pictures at `path`: itself when it is a file, or everything below it when it is a folder
/// (any depth, sorted).
///
/// # Errors
/// A missing or unreadable path, or a folder without pictures.
pub fn find_images(path: &Path) -> Result<Vec<PathBuf>, Error> {
    if path.is_file() {
        return Ok(vec![path.into()]);
    }
    if !path.exists() {
        return Err(Error::Missing { path: path.into() });
    }
    let mut images = Vec::new();
    collect_images(path, &mut images)?;
    if images.is_empty() {
        return Err(Error::NoPicturesBelow { path: path.into() });
    }
    Ok(images)
}

fn collect_images(folder: &Path, images: &mut Vec<PathBuf>) -> Result<(), Error> {
    for entry in visible_entries(folder)? {
        // A symbolic link to a folder above would never end.
        if entry.is_dir() && !entry.is_symlink() {
            collect_images(&entry, images)?;
        } else if is_picture_name(&entry) && entry.is_file() {
            images.push(entry);
        }
    }
    Ok(())
}

/// The entries of a folder that are not hidden, sorted by the bytes of their names.
pub(super) fn visible_entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let read_error = |source| Error::Read { path: folder.into(), source };
    let mut names: Vec<OsString> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read_error)? {
        let name = entry.map_err(read_error)?.file_name();
        if !name.as_encoded_bytes().starts_with(b".") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

pub(crate) fn is_picture_name(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| PICTURE_EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::formats::testing::touch;
    use crate::data::testing::picture_folders;
    use std::fs;

    #[test]
    fn missing_and_empty_folders_say_so() {
        let root = tempfile::tempdir().unwrap();
        let missing = root.path().join("nowhere");
        assert!(matches!(Dataset::open(&missing), Err(Error::Missing { .. })));
        assert!(matches!(find_images(&missing), Err(Error::Missing { .. })));
        touch(&root.path().join("flat.jpg"));
        let error = Dataset::open(root.path()).unwrap_err();
        assert!(matches!(error, Error::NoPictures { loose: 1, .. }), "{error}");
        fs::remove_file(root.path().join("flat.jpg")).unwrap();
        assert!(matches!(find_images(root.path()), Err(Error::NoPicturesBelow { .. })));
        for file in ["a.jpg", "b/c.PNG", "b/d/e.webp", "b/f.txt", ".g/h.jpg"] {
            touch(&root.path().join(file));
        }
        assert_eq!(find_images(root.path()).unwrap().len(), 3);
    }

    #[test]
    fn identities_with_one_picture_are_a_warning_until_there_is_no_other() {
        let (_root, dataset) = picture_folders(&[1, 3, 1]);
        let warning = dataset.check_pairs_possible().unwrap().unwrap();
        assert_eq!((warning.count, warning.identities), (2, 3));
        assert_eq!(warning.first_names, ["person000", "person002"]);
        let (_root, dataset) = picture_folders(&[2, 3]);
        assert_eq!(dataset.check_pairs_possible().unwrap(), None);
        let (_root, dataset) = picture_folders(&[1, 1]);
        assert!(matches!(dataset.check_pairs_possible(), Err(Error::NoSamePair { identities: 2 })));
        let (_root, dataset) = picture_folders(&[5]);
        assert!(matches!(dataset.check_pairs_possible(), Err(Error::TooFewIdentities { identities: 1 })));
    }
}
