//! A folder per identity: `DIR/NAME/any.jpg`. The commonest form, and that of aligned faces.

use crate::data::dataset::{Dataset, Error, Identity, is_picture_name, visible_entries};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Opens a folder of identity folders. Pictures are recognised by extension in any case
/// ([`PICTURE_EXTENSIONS`](crate::data::decode::PICTURE_EXTENSIONS)); other files, hidden entries
/// and identity folders without pictures are passed over.
///
/// # Errors
/// A folder that cannot be read, or that has no pictures in its sub-folders.
pub fn open(root: &Path) -> Result<Dataset, Error> {
    let mut identities = Vec::new();
    let mut loose = 0;
    for entry in visible_entries(root)? {
        if entry.is_dir() {
            let images = pictures_in(&entry)?;
            if !images.is_empty() {
                let name = entry.file_name().unwrap_or_default();
                identities.push(Identity { name: name.to_string_lossy().into_owned(), images });
            }
        } else if is_picture_name(&entry) {
            loose += 1;
        }
    }
    if identities.is_empty() {
        return Err(Error::NoPictures { path: root.into(), loose, meant: nested_set(root)? });
    }
    Ok(Dataset { identities })
}

/// Extensions of pictures that cannot be read.
const OTHER_EXTENSIONS: [&str; 10] = ["gif", "tif", "tiff", "heic", "heif", "avif", "jxl", "jp2", "jfif", "jpe"];

/// How many files in the identity folders look like pictures and are passed over, by extension: a set that silently lost
/// its iPhone photographs is not the set that its owner thinks it is.
///
/// # Errors
/// A folder that cannot be read.
pub fn passed_over(root: &Path) -> Result<Vec<(String, usize)>, Error> {
    let mut counts = BTreeMap::new();
    for folder in visible_entries(root)?.into_iter().filter(|entry| entry.is_dir()) {
        for file in visible_entries(&folder)?.into_iter().filter(|entry| entry.is_file()) {
            let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            let extension = extension.to_ascii_lowercase();
            if OTHER_EXTENSIONS.contains(&extension.as_str()) {
                *counts.entry(extension).or_default() += 1;
            }
        }
    }
    Ok(counts.into_iter().collect())
}

fn pictures_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut entries = visible_entries(folder)?;
    entries.retain(|file| is_picture_name(file) && file.is_file());
    Ok(entries)
}

/// The sub-folder that holds the folders of identities, as after unpacking an archive.
fn nested_set(root: &Path) -> Result<Option<PathBuf>, Error> {
    for folder in visible_entries(root)?.into_iter().filter(|entry| entry.is_dir()) {
        for inner in visible_entries(&folder)?.into_iter().filter(|entry| entry.is_dir()) {
            if !pictures_in(&inner)?.is_empty() {
                return Ok(Some(folder));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::formats::testing::touch;
    use std::fs;

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
        // A folder that is named like a picture is none.
        fs::create_dir(root.path().join("zoe/folder.jpg")).unwrap();
        let dataset = open(root.path()).unwrap();
        let names: Vec<_> = dataset.identities.iter().map(|i| i.name.as_str()).collect();
        assert_eq!(names, ["adam", "zoe"]);
        let (paths, labels) = dataset.flatten();
        let relative: Vec<_> = paths.iter().map(|p| p.strip_prefix(root.path()).unwrap()).collect();
        assert_eq!(relative, [Path::new("adam/a.pgm"), Path::new("zoe/10.jpg"), Path::new("zoe/2.PNG")]);
        assert_eq!(labels, [0, 1, 1]);
        assert!(passed_over(root.path()).unwrap().is_empty());
        touch(&root.path().join("adam/b.HEIC"));
        assert_eq!(passed_over(root.path()).unwrap(), [("heic".to_string(), 1)]);
    }

    #[test]
    fn a_set_one_folder_further_down_is_pointed_at() {
        let root = tempfile::tempdir().unwrap();
        touch(&root.path().join("lfw/Ann/Ann_0001.jpg"));
        let message = open(root.path()).unwrap_err().to_string();
        let inner = root.path().join("lfw");
        assert!(message.ends_with(&format!("did you mean {}?", inner.display())), "{message}");
        assert_eq!(open(&inner).unwrap().image_count(), 1);
    }
}
