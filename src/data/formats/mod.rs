//! The forms that data sets come in, recognised by what lies at a path.
//!
//! | file | form |
//! |---|---|
//! | [`folders`] | `DIR/NAME/any.jpg`, a folder per identity |
//! | [`lfw`] | the same, by Labeled Faces in the Wild: `NAME/NAME_0001.jpg` (raw, funneled, deep-funneled) |
//! | [`orl`] | the same, by AT&T: `s1/1.pgm` |
//! | [`list`] | a file of `path identity` lines |
//! | [`celeba`] | the folder of CelebA: aligned or in the wild pictures beside their lists |
//!
//! A path may end in `#A` or `#B`: the paper's two parts of CelebA.

pub mod celeba;
pub mod folders;
pub mod lfw;
pub mod list;
pub mod orl;

use super::dataset::{Dataset, Error};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// What a path was recognised as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Folders,
    Lfw,
    Orl,
    List,
    CelebA,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Folders => "a folder per identity",
            Self::Lfw => "Labeled Faces in the Wild (NAME/NAME_0001.jpg)",
            Self::Orl => "ORL, the faces of AT&T (s1/1.pgm)",
            Self::List => "a list of `path identity` lines",
            Self::CelebA => "CelebA",
        })
    }
}

/// Which of the paper's two parts of CelebA, no person of which is in the other (PAPER §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Part {
    /// The official partition 0, 8,192 people: trains the networks.
    A,
    /// The official partitions 1 and 2, 1,985 people: trains what comes after them.
    B,
    #[default]
    All,
}

impl Part {
    /// Takes `#A` or `#B` off the end of a path that does not exist as it stands.
    pub fn of_path(path: &Path) -> (PathBuf, Self) {
        let named = path.to_str().filter(|_| !path.exists()).and_then(|text| {
            let (folder, part) = text.rsplit_once('#')?;
            let part = match part {
                "A" | "a" => Self::A,
                "B" | "b" => Self::B,
                _ => return None,
            };
            Some((folder.into(), part))
        });
        named.unwrap_or_else(|| (path.into(), Self::All))
    }
}

/// A data set and how it was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    pub format: Format,
    pub dataset: Dataset,
}

/// Recognises what lies at `path` and opens `part` of it. The path is taken as it is: see [`Part::of_path`].
///
/// # Errors
/// A missing or unreadable path, no pictures at all, a malformed line of a list, pictures that are
/// listed but missing, and a part of anything but CelebA.
pub fn open(path: &Path, part: Part) -> Result<Opened, Error> {
    let metadata = std::fs::metadata(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::Missing { path: path.into() },
        _ => Error::Read { path: path.into(), source },
    })?;
    if let Some(root) = celeba::Root::find(path) {
        let dataset = celeba::CelebA::open(&root)?.dataset(part)?;
        return Ok(Opened { format: Format::CelebA, dataset });
    }
    if part != Part::All {
        return Err(Error::NoParts { path: path.into() });
    }
    if !metadata.is_dir() {
        return Ok(Opened { format: Format::List, dataset: list::open(path)? });
    }
    let dataset = folders::open(path)?;
    let format = if lfw::is_layout_of(&dataset) {
        Format::Lfw
    } else if orl::is_layout_of(&dataset) {
        Format::Orl
    } else {
        Format::Folders
    };
    Ok(Opened { format, dataset })
}

#[cfg(test)]
pub(super) mod testing {
    use std::fs;
    use std::path::Path;

    /// A file that nothing decodes, and the folders above it.
    pub fn touch(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"not decoded here").unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::testing::touch;
    use super::*;

    #[test]
    fn the_names_tell_the_format() {
        for (files, expected) in [
            (&["Ann_Lee/Ann_Lee_0001.jpg", "Bob/Bob_0012.jpg"][..], Format::Lfw),
            (&["Ann_Lee/Ann_Lee_0001.jpg", "Bob/portrait.jpg"], Format::Folders),
            (&["Ann_Lee/Ann_Lee_1.jpg"], Format::Folders),
            (&["s1/1.pgm", "s1/10.pgm", "s40/3.pgm"], Format::Orl),
            (&["s1/1.pgm", "t2/1.pgm"], Format::Folders),
            (&["s1/a.pgm"], Format::Folders),
        ] {
            let root = tempfile::tempdir().unwrap();
            files.iter().for_each(|file| touch(&root.path().join(file)));
            let opened = open(root.path(), Part::All).unwrap();
            assert_eq!((opened.format, opened.dataset.image_count()), (expected, files.len()), "{files:?}");
            let message = open(root.path(), Part::A).unwrap_err().to_string();
            assert!(message.contains("only CelebA has the parts A and B"), "{message}");
        }
    }

    #[test]
    fn a_part_is_named_at_the_end_of_a_path() {
        let root = tempfile::tempdir().unwrap();
        let part = |name: &str| Part::of_path(&root.path().join(name));
        assert_eq!(part("celeba#A"), (root.path().join("celeba"), Part::A));
        assert_eq!(part("celeba#b"), (root.path().join("celeba"), Part::B));
        for plain in ["celeba", "celeba#C", "celeba#"] {
            assert_eq!(part(plain), (root.path().join(plain), Part::All));
        }
        // A folder that is really called so.
        std::fs::create_dir(root.path().join("faces#A")).unwrap();
        assert_eq!(part("faces#A"), (root.path().join("faces#A"), Part::All));
    }
}
