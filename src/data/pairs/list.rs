//! A plain list of pairs: lines of `path path label`, label 1 (or `same`) and 0 (or `different`).
//!
//! The columns are separated by white space, or by tabs where paths hold spaces. Blank lines and
//! `#` comments are passed over. Such a list has one fold: it does not say which people its
//! pictures show, so no split of it could be known to keep them apart.

use super::{Builder, Error, Missing, PairList, fields, read, rows};
use std::path::Path;

/// Opens the list `path`, whose picture paths are relative to its own folder, or else to `root`.
///
/// # Errors
/// An unreadable or empty file, a malformed line, a picture that does not exist or that is paired
/// with itself.
pub fn open(path: &Path, root: &Path) -> Result<PairList, Error> {
    parse(path, &read(path)?, root)
}

pub(super) fn parse(path: &Path, text: &str, root: &Path) -> Result<PairList, Error> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let resolve = |name: &str| {
        let places = [folder.join(name), root.join(name)];
        places.iter().find(|path| path.is_file()).cloned().ok_or(places)
    };
    let mut builder = Builder::default();
    let mut missing = Missing::default();
    for (line, row) in rows(text) {
        let (a, b, same) =
            parse_line(row).ok_or_else(|| Error::ListLine { path: path.into(), line, text: row.into() })?;
        let [a, b] = [a, b].map(|name| {
            resolve(name).unwrap_or_else(|places| {
                let picture = places[0].clone();
                missing.add(line, picture.clone(), places);
                picture
            })
        });
        if a == b {
            return Err(Error::SelfPair { path: path.into(), line, picture: a });
        }
        builder.push(a, b, same, 0);
    }
    if builder.pairs.is_empty() {
        return Err(Error::Empty { path: path.into() });
    }
    if let Some((line, [beside_list, below_root])) = missing.first {
        let (path, missing, named) = (path.into(), missing.pictures.len(), builder.pictures.len());
        return Err(Error::ListPicture { path, line, beside_list, below_root, missing, named });
    }
    Ok(builder.finish(1))
}

fn parse_line(row: &str) -> Option<(&str, &str, bool)> {
    let &[a, b, label] = fields(row).as_slice() else { return None };
    let same = match label.to_ascii_lowercase().as_str() {
        "1" | "same" => true,
        "0" | "different" => false,
        _ => return None,
    };
    Some((a, b, same))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn labels_comments_and_both_folders() {
        let beside = tempfile::tempdir().unwrap();
        let root = tempfile::tempdir().unwrap();
        let list = beside.path().join("list.txt");
        for file in [beside.path().join("a.jpg"), beside.path().join("b 1.jpg"), root.path().join("c.jpg")] {
            fs::write(file, b"not decoded here").unwrap();
        }
        let absolute = root.path().join("c.jpg");
        let text = format!(
            "# a b label\r\na.jpg c.jpg 1\r\n\r\na.jpg\tb 1.jpg\tDifferent\r\n{} a.jpg  same\r\nc.jpg\ta.jpg\t0\r\n",
            absolute.display()
        );
        fs::write(&list, text).unwrap();
        let pairs = open(&list, root.path()).unwrap();
        assert_eq!(pairs.pictures, [beside.path().join("a.jpg"), absolute, beside.path().join("b 1.jpg")]);
        let found: Vec<_> = pairs.pairs.iter().map(|pair| (pair.a, pair.b, pair.same, pair.fold)).collect();
        assert_eq!(found, [(0, 1, true, 0), (0, 2, false, 0), (1, 0, true, 0), (1, 0, false, 0)]);
        assert_eq!(pairs.folds, 1);
    }

    #[test]
    fn errors_name_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.jpg"), b"").unwrap();
        let list = folder.path().join("list.txt");
        for (text, expected) in [
            ("# nothing\n", "list.txt: no pairs"),
            ("a.jpg a.jpg\n", "list.txt, line 1: expected `path path label`"),
            ("\na.jpg b.jpg 2\n", "line 2: expected `path path label`"),
            ("a.jpg my face.jpg 1\n", "separated by tabs"),
            ("a.jpg gone.jpg 1\n", "list.txt, line 1: there is neither"),
            ("a.jpg a.jpg 1\n", "line 1: pairs"),
        ] {
            fs::write(&list, text).unwrap();
            let message = open(&list, Path::new("elsewhere")).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        fs::write(&list, "a.jpg gone.jpg 1\nlost.jpg a.jpg 0\ngone.jpg lost.jpg 0\n").unwrap();
        let message = open(&list, Path::new("elsewhere")).unwrap_err().to_string();
        assert!(message.contains("elsewhere/gone.jpg"), "{message}");
        assert!(message.contains("2 of 3 pictures that the list names are missing"), "{message}");
    }
}
