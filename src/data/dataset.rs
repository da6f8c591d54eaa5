//! Data sets of identities: which pictures show which person.
//!
//! Two forms on disk: a folder per identity (`DIR/NAME/any.jpg`), or a list file whose lines are
//! `path identity` (CelebA's `identity_CelebA.txt` is one). Nothing is decoded here.

use super::decode::{FORMATS, PICTURE_EXTENSIONS};
use std::collections::{BTreeMap, HashMap};
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
        "{path}: no pictures in its sub-folders ({loose} lie directly in it); expected a folder per identity, such as {path}/NAME/picture.jpg ({FORMATS})"
    )]
    NoPictures { path: PathBuf, loose: usize },
    #[error("{path}: no pictures ({FORMATS}) in it or in its sub-folders")]
    NoPicturesBelow { path: PathBuf },
    #[error("{path}: the list names no pictures; expected lines of `path identity`")]
    EmptyList { path: PathBuf },
    #[error("{path}, line {line}: expected `path identity`, found `{text}`")]
    ListLine { path: PathBuf, line: usize, text: String },
    #[error("{path}, line {line}: there is no file {picture}; paths are relative to the list's own folder")]
    ListPicture { path: PathBuf, line: usize, picture: PathBuf },
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
    /// Opens a folder of identity folders, or a list file.
    ///
    /// In a folder, pictures are recognised by extension in any case ([`PICTURE_EXTENSIONS`]);
    /// other files, hidden entries and identity folders without pictures are passed over. In a
    /// list, the last white-space separated word of a line is the identity and the rest the path,
    /// relative to the list's folder; blank lines, `#` comments and a header line are passed over.
    ///
    /// # Errors
    /// A missing or unreadable path, no pictures at all, a malformed list line, a listed picture
    /// that does not exist or is listed twice.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let metadata = std::fs::metadata(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => Error::Missing { path: path.into() },
            _ => Error::Read { path: path.into(), source },
        })?;
        if metadata.is_dir() { Self::from_folders(path) } else { Self::from_list(path) }
    }

    fn from_folders(root: &Path) -> Result<Self, Error> {
        let mut identities = Vec::new();
        let mut loose = 0;
        for entry in visible_entries(root)? {
            if entry.is_dir() {
                let images: Vec<PathBuf> = visible_entries(&entry)?
                    .into_iter()
                    .filter(|file| is_picture_name(file) && file.is_file())
                    .collect();
                if !images.is_empty() {
                    let name = entry.file_name().unwrap_or_default();
                    identities.push(Identity { name: name.to_string_lossy().into_owned(), images });
                }
            } else if is_picture_name(&entry) {
                loose += 1;
            }
        }
        if identities.is_empty() {
            return Err(Error::NoPictures { path: root.into(), loose });
        }
        Ok(Self { identities })
    }

    fn from_list(list: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(list).map_err(|source| Error::Read { path: list.into(), source })?;
        let folder = list.parent().unwrap_or(Path::new(""));
        let mut by_name: BTreeMap<&str, Vec<PathBuf>> = BTreeMap::new();
        let mut line_of: HashMap<PathBuf, usize> = HashMap::new();
        let mut header_possible = true;
        for (index, raw) in text.lines().enumerate() {
            let (line, row) = (index + 1, raw.trim());
            if row.is_empty() || row.starts_with('#') {
                continue;
            }
            let may_be_header = std::mem::take(&mut header_possible);
            let words = row.rsplit_once(char::is_whitespace);
            let picture = words.map(|(path, _)| folder.join(path.trim_end()));
            // Some copies of CelebA's lists begin with a count or with column names.
            let exists = picture.as_deref().is_some_and(Path::is_file);
            if may_be_header && !exists && !row.contains(['.', '/', '\\']) {
                continue;
            }
            let (Some((_, name)), Some(picture)) = (words, picture) else {
                return Err(Error::ListLine { path: list.into(), line, text: row.into() });
            };
            if !exists {
                return Err(Error::ListPicture { path: list.into(), line, picture });
            }
            if let Some(first) = line_of.insert(picture.clone(), line) {
                return Err(Error::ListedTwice { path: list.into(), line, first, picture });
            }
            by_name.entry(name).or_default().push(picture);
        }
        if by_name.is_empty() {
            return Err(Error::EmptyList { path: list.into() });
        }
        let identities = by_name
            .into_iter()
            .map(|(name, mut images)| {
                images.sort();
                Identity { name: name.into(), images }
            })
            .collect();
        Ok(Self { identities })
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
fn visible_entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
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

fn is_picture_name(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| PICTURE_EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::picture_folders;
    use std::fs;

    fn touch(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"not decoded here").unwrap();
    }

    fn open_list(root: &Path, text: &str) -> Result<Dataset, Error> {
        let list = root.join("list.txt");
        fs::write(&list, text).unwrap();
        Dataset::open(&list)
    }

    #[test]
    fn folders_are_sorted_and_other_files_ignored() {
        let root = tempfile::tempdir().unwrap();
        for file in [
            "zoe/2.PNG",
            "zoe/10.jpg",
            "zoe/10.pts",
            "adam/a.pgm",
            "adam/a.toml",
            "adam/.hidden.jpg",
            ".cache/x.jpg",
            "empty/readme.md",
            "README",
            "loose.jpg",
        ] {
            touch(&root.path().join(file));
        }
        let dataset = Dataset::open(root.path()).unwrap();
        let names: Vec<_> = dataset.identities.iter().map(|i| i.name.as_str()).collect();
        assert_eq!(names, ["adam", "zoe"]);
        let (paths, labels) = dataset.flatten();
        let relative: Vec<_> = paths.iter().map(|p| p.strip_prefix(root.path()).unwrap()).collect();
        assert_eq!(relative, [Path::new("adam/a.pgm"), Path::new("zoe/10.jpg"), Path::new("zoe/2.PNG")]);
        assert_eq!(labels, [0, 1, 1]);
        assert_eq!(find_images(root.path()).unwrap().len(), 4);
    }

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
    }

    #[test]
    fn list_takes_crlf_comments_header_and_spaces_in_paths() {
        let root = tempfile::tempdir().unwrap();
        touch(&root.path().join("b 1.jpg"));
        touch(&root.path().join("a.jpg"));
        let dataset = open_list(root.path(), "image_id identity\r\n# note\r\n\r\nb 1.jpg  7\r\na.jpg\t7\r\n").unwrap();
        assert_eq!(
            dataset.identities,
            [Identity { name: "7".into(), images: vec![root.path().join("a.jpg"), root.path().join("b 1.jpg")] }]
        );
    }

    #[test]
    fn list_errors_name_file_and_line() {
        let root = tempfile::tempdir().unwrap();
        touch(&root.path().join("a.jpg"));
        for (text, expected) in [
            ("a.jpg 1\nalone.jpg\n", "list.txt, line 2: expected `path identity`, found `alone.jpg`"),
            ("alone.jpg\na.jpg 1\n", "line 1: expected `path identity`"),
            ("gone.jpg 1\n", "list.txt, line 1: there is no file"),
            ("a.jpg 1\n#\na.jpg 2\n", "line 3"),
            ("# only a comment\n", "names no pictures"),
        ] {
            let message = open_list(root.path(), text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
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
