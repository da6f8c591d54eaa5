//! A list file: lines of `path identity`.

use crate::data::dataset::{Dataset, Error, Identity};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// Opens a list. The last white-space separated word of a line is the identity and the rest the
/// path, relative to the list's folder; blank lines, `#` comments and a header line are passed over.
///
/// # Errors
/// An unreadable or empty list, a malformed line, a picture that is listed twice, or pictures that
/// do not exist: the message names the first and counts all.
pub fn open(list: &Path) -> Result<Dataset, Error> {
    let text = std::fs::read_to_string(list).map_err(|source| Error::Read { path: list.into(), source })?;
    let folder = list.parent().unwrap_or(Path::new(""));
    let mut by_name: BTreeMap<&str, Vec<PathBuf>> = BTreeMap::new();
    let mut line_of: HashMap<PathBuf, usize> = HashMap::new();
    let mut first_missing = None;
    let mut missing = 0;
    let mut header_possible = true;
    for (index, raw) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let (line, row) = (index + 1, raw.trim());
        if row.is_empty() || row.starts_with('#') {
            continue;
        }
        let may_be_header = std::mem::take(&mut header_possible);
        let words = row.rsplit_once(char::is_whitespace);
        let picture = words.map(|(path, _)| folder.join(path.trim_end()));
        // Some lists begin with a count or with column names.
        let exists = picture.as_deref().is_some_and(Path::is_file);
        if may_be_header && !exists && !row.contains(['.', '/', '\\']) {
            continue;
        }
        let (Some((_, name)), Some(picture)) = (words, picture) else {
            return Err(Error::ListLine { path: list.into(), line, text: row.into() });
        };
        if let Some(first) = line_of.insert(picture.clone(), line) {
            return Err(Error::ListedTwice { path: list.into(), line, first, picture });
        }
        if !exists {
            missing += 1;
            first_missing.get_or_insert((line, picture));
            continue;
        }
        by_name.entry(name).or_default().push(picture);
    }
    if let Some((line, picture)) = first_missing {
        return Err(Error::ListPicture { path: list.into(), line, picture, missing, listed: line_of.len() });
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
    Ok(Dataset { identities })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::formats::testing::touch;
    use std::fs;

    fn open_text(root: &Path, text: &str) -> Result<Dataset, Error> {
        let list = root.join("list.txt");
        fs::write(&list, text).unwrap();
        open(&list)
    }

    #[test]
    fn crlf_comments_header_and_spaces_in_paths() {
        let root = tempfile::tempdir().unwrap();
        touch(&root.path().join("b 1.jpg"));
        touch(&root.path().join("a.jpg"));
        let text = "\u{feff}image_id identity\r\n# note\r\n\r\nb 1.jpg  7\r\na.jpg\t7\r\n";
        assert_eq!(
            open_text(root.path(), text).unwrap().identities,
            [Identity { name: "7".into(), images: vec![root.path().join("a.jpg"), root.path().join("b 1.jpg")] }]
        );
    }

    #[test]
    fn errors_name_file_and_line() {
        let root = tempfile::tempdir().unwrap();
        touch(&root.path().join("a.jpg"));
        for (text, expected) in [
            ("a.jpg 1\nalone.jpg\n", "list.txt, line 2: expected `path identity`, found `alone.jpg`"),
            ("alone.jpg\na.jpg 1\n", "line 1: expected `path identity`"),
            ("gone.jpg 1\n", "list.txt, line 1: there is no file"),
            ("a.jpg 1\nb.jpg 1\n\nc.jpg 2\n", "2 of 3 listed pictures are missing"),
            ("a.jpg 1\n#\na.jpg 2\n", "line 3"),
            ("# only a comment\n", "names no pictures"),
        ] {
            let message = open_text(root.path(), text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
