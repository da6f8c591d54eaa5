//! The pair lists of Labeled Faces in the Wild (Huang et al., TR 07-49; PAPER §8).
//!
//! A header `folds pairs`, then for each fold `pairs` lines `name n1 n2` of one person and `pairs`
//! lines `name1 n1 name2 n2` of different people. `pairsDevTrain.txt` and `pairsDevTest.txt` have
//! a header of one count and a single fold. Picture n of NAME is `ROOT/NAME/NAME_000n.jpg`.

use super::{Builder, Error, Missing, PairList, fields, read, rows};
use crate::data::decode::PICTURE_EXTENSIONS;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

const SAME: &str = "the same person, `name n1 n2`";
const DIFFERENT: &str = "different people, `name1 n1 name2 n2`";

/// Opens the pairs file `path` over the folder `root` of identity folders.
///
/// # Errors
/// An unreadable file; a header, line or number of lines that is not as the format has it; a
/// picture that does not exist.
pub fn open(path: &Path, root: &Path) -> Result<PairList, Error> {
    parse(path, &read(path)?, root)
}

pub(super) fn parse(path: &Path, text: &str, root: &Path) -> Result<PairList, Error> {
    let mut rows = rows(text);
    let (mut last_line, header) = rows.next().ok_or_else(|| Error::Empty { path: path.into() })?;
    let (folds, count) = parse_header(header).ok_or_else(|| Error::LfwHeader {
        path: path.into(),
        line: last_line,
        text: header.into(),
    })?;
    let mut pictures = Pictures { root, found: HashMap::new(), missing: Missing::default() };
    let mut builder = Builder::default();
    for fold in 0..folds {
        for (same, expected) in [(true, SAME), (false, DIFFERENT)] {
            for number in 1..=count {
                let row = rows.next();
                let (line, row) = row.ok_or_else(|| Error::LfwTruncated {
                    path: path.into(),
                    line: last_line,
                    number,
                    count,
                    expected,
                    fold: fold + 1,
                })?;
                last_line = line;
                let [(name_a, a), (name_b, b)] = parse_pair(row, same).ok_or_else(|| Error::LfwLine {
                    path: path.into(),
                    line,
                    number,
                    count,
                    expected,
                    fold: fold + 1,
                    text: row.into(),
                })?;
                if !same && name_a == name_b {
                    return Err(Error::SamePerson { path: path.into(), line, name: name_a.into() });
                }
                let (a, b) = (pictures.resolve(line, name_a, a), pictures.resolve(line, name_b, b));
                if a == b {
                    return Err(Error::SelfPair { path: path.into(), line, picture: a });
                }
                builder.push(a, b, same, fold);
            }
        }
    }
    if let Some((line, row)) = rows.next() {
        return Err(Error::LfwTrailing { path: path.into(), line, text: row.into() });
    }
    if let Some((line, picture)) = pictures.missing.first {
        let (path, missing, named) = (path.into(), pictures.missing.pictures.len(), builder.pictures.len());
        return Err(Error::LfwPicture { path, line, picture, missing, named });
    }
    Ok(builder.finish(folds))
}

/// (folds, pairs of each kind in a fold).
fn parse_header(row: &str) -> Option<(u32, usize)> {
    let (folds, count) = match fields(row)[..] {
        [count] => (1, count.parse().ok()?),
        [folds, count] => (folds.parse().ok()?, count.parse().ok()?),
        _ => return None,
    };
    (folds >= 1 && count >= 1).then_some((folds, count))
}

/// The name and number of both pictures.
fn parse_pair(row: &str, same: bool) -> Option<[(&str, u32); 2]> {
    let [(name_a, a), (name_b, b)] = match (fields(row)[..].as_ref(), same) {
        (&[name, a, b], true) => [(name, a), (name, b)],
        (&[name_a, a, name_b, b], false) => [(name_a, a), (name_b, b)],
        _ => return None,
    };
    // A name is one folder below the root.
    let is_name = |name: &str| !name.contains(['/', '\\']) && name != "." && name != "..";
    (is_name(name_a) && is_name(name_b)).then_some([(name_a, a.parse().ok()?), (name_b, b.parse().ok()?)])
}

/// Finds the pictures' files, asking the disk once for each.
struct Pictures<'a> {
    root: &'a Path,
    found: HashMap<(&'a str, u32), PathBuf>,
    missing: Missing<PathBuf>,
}

impl<'a> Pictures<'a> {
    /// The file of a picture; where there is none, the one that was expected, which is noted as missing.
    fn resolve(&mut self, line: usize, name: &'a str, number: u32) -> PathBuf {
        if let Some(picture) = self.found.get(&(name, number)) {
            return picture.clone();
        }
        let file = |extension: &str| self.root.join(name).join(format!("{name}_{number:04}.{extension}"));
        let mut files =
            PICTURE_EXTENSIONS.iter().flat_map(|extension| [file(extension), file(&extension.to_uppercase())]);
        let picture = files.find(|picture| picture.is_file()).unwrap_or_else(|| {
            self.missing.add(line, file("jpg"), file("jpg"));
            file("jpg")
        });
        self.found.insert((name, number), picture.clone());
        picture
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::pairs::Pair;
    use std::fs;
    use tempfile::TempDir;

    /// Ann has 2 pictures, Bob Lee 2, Cid 1, of three extensions.
    fn people() -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, file) in [
            ("Ann", "Ann_0001.jpg"),
            ("Ann", "Ann_0012.png"),
            ("Bob_Lee", "Bob_Lee_0001.JPG"),
            ("Bob_Lee", "Bob_Lee_0002.ppm"),
            ("Cid", "Cid_0001.jpg"),
        ] {
            fs::create_dir_all(root.path().join(name)).unwrap();
            fs::write(root.path().join(name).join(file), b"not decoded here").unwrap();
        }
        root
    }

    fn open_text(root: &TempDir, text: &str) -> Result<PairList, Error> {
        let path = root.path().join("pairs.txt");
        fs::write(&path, text).unwrap();
        open(&path, root.path())
    }

    #[test]
    fn folds_come_in_order_and_each_picture_once() {
        let root = people();
        for newline in ["\n", "\r\n"] {
            let text =
                ["2\t1", "Ann\t1\t12", "Ann\t12\tCid\t1", "Bob_Lee\t2\t1", "Ann\t1\tBob_Lee\t1", ""].join(newline);
            let list = open_text(&root, &text).unwrap();
            let relative: Vec<_> = list.pictures.iter().map(|p| p.strip_prefix(root.path()).unwrap()).collect();
            assert_eq!(
                relative,
                [
                    "Ann/Ann_0001.jpg",
                    "Ann/Ann_0012.png",
                    "Cid/Cid_0001.jpg",
                    "Bob_Lee/Bob_Lee_0002.ppm",
                    "Bob_Lee/Bob_Lee_0001.JPG"
                ]
                .map(Path::new)
            );
            assert_eq!(
                list.pairs,
                [(0, 1, true, 0), (1, 2, false, 0), (3, 4, true, 1), (0, 4, false, 1)].map(|(a, b, same, fold)| Pair {
                    a,
                    b,
                    same,
                    fold
                })
            );
            assert_eq!(list.folds, 2);
        }
    }

    #[test]
    fn one_count_is_one_fold() {
        let list = open_text(&people(), "2\nAnn 1 12\nBob_Lee 1 2\nAnn 1 Cid 1\nCid 1 Bob_Lee 2").unwrap();
        assert_eq!((list.folds, list.pairs.len(), list.same_count()), (1, 4, 2));
    }

    #[test]
    fn errors_name_file_line_and_what_was_expected() {
        let root = people();
        let missing = format!("{}", root.path().join("Ann").join("Ann_0002.jpg").display());
        for (text, expected) in [
            ("", "pairs.txt: no pairs"),
            ("0 5\n", "pairs.txt, line 1: expected the header"),
            ("2 0\n", "line 1: expected the header"),
            ("-1\n", "line 1: expected the header"),
            ("1 1 1\n", "line 1: expected the header"),
            ("99999999999 1\n", "line 1: expected the header"),
            ("1 1\nAnn 1 2\nAnn 1 Cid 1\n", missing.as_str()),
            ("1 1\nAnn 1 2\nAnn 1 Cid 1\n", "pairs.txt, line 2: there is no picture"),
            ("1 1\nAnn 1 12\nDora 1 Cid 2\n", "(2 of 4 pictures that the file names are missing)"),
            ("1 1\nAnn 1 Cid 1\n", "line 2: expected pair 1 of 1 of the same person"),
            ("1 1\nAnn 1 12\nAnn 1 12\n", "line 3: expected pair 1 of 1 of different people"),
            ("1 1\nAnn one 12\n", "found `Ann one 12`"),
            ("1 1\n../Ann 1 12\n", "found `../Ann 1 12`"),
            ("1 2\nAnn 1 12\n\n", "ends after line 2 before pair 2 of 2 of the same person, `name n1 n2`, fold 1"),
            ("2 1\nAnn 1 12\nAnn 1 Cid 1", "ends after line 3 before pair 1 of 1 of the same person"),
            ("9 4000000000\nAnn 1 12\n", "ends after line 2"),
            ("1 1\nAnn 1 12\nAnn 1 Cid 1\nCid 1 1\n", "line 4: `Cid 1 1` comes after the last pair"),
            ("1 1\nAnn 1 1\nAnn 1 Cid 1\n", "line 2: pairs"),
            ("1 1\nAnn 1 12\nAnn 1 Ann 12\n", "line 3: a pair of different people names Ann twice"),
        ] {
            let message = open_text(&root, text).unwrap_err().to_string();
            assert!(message.contains(expected), "{text:?}: {message}");
        }
    }
}
