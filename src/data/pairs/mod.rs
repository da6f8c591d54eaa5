//! Pairs of pictures to verify: which two pictures, whether they show one person, which fold.
//!
//! | file | purpose |
//! |---|---|
//! | [`lfw`] | `pairs.txt`, `pairsDevTrain.txt`, `pairsDevTest.txt` of Labeled Faces in the Wild |
//! | [`people`] | `people.txt`, `peopleDevTrain.txt`, `peopleDevTest.txt` of the same |
//! | [`list`] | a plain list of `path path label` lines |
//! | [`random`] | balanced pairs of a data set, folds without a person in common |
//!
//! A pair that cannot be resolved is an error: a list that silently became shorter would report
//! the accuracy of another, usually easier, test.

pub mod lfw;
pub mod list;
pub mod people;
pub mod random;

use super::dataset;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// Why pairs cannot be had. Messages about a file name it and the line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: cannot be read: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error(
        "{path}: no pairs in it; expected LFW's format (a header of `folds pairs` or of one count) or lines of `path path 0|1`"
    )]
    Empty { path: PathBuf },
    #[error(
        "{path}, line {line}: expected the header, `folds pairs` such as `10 300` or a single count of pairs, each at least 1; found `{text}`"
    )]
    LfwHeader { path: PathBuf, line: usize, text: String },
    #[error("{path}, line {line}: expected pair {number} of {count} of {expected}, fold {fold}; found `{text}`")]
    LfwLine { path: PathBuf, line: usize, number: usize, count: usize, expected: &'static str, fold: u32, text: String },
    #[error(
        "{path}: ends after line {line} before pair {number} of {count} of {expected}, fold {fold}; the file is truncated or its header is wrong: fetch it again"
    )]
    LfwTruncated { path: PathBuf, line: usize, number: usize, count: usize, expected: &'static str, fold: u32 },
    #[error("{path}, line {line}: `{text}` comes after the last pair that the header announces; correct the header")]
    LfwTrailing { path: PathBuf, line: usize, text: String },
    #[error(
        "{path}, line {line}: there is no picture {picture} (nor with another extension of a picture); expected FOLDER/NAME/NAME_0001.jpg below the data folder: check --data ({missing} of {named} pictures that the file names are missing)"
    )]
    LfwPicture { path: PathBuf, line: usize, picture: PathBuf, missing: usize, named: usize },
    #[error(
        "{path}, line {line}: expected `path path label` with a label of 1 or same, 0 or different (separated by tabs where a path holds spaces); found `{text}`"
    )]
    ListLine { path: PathBuf, line: usize, text: String },
    #[error(
        "{path}, line {line}: there is neither {beside_list} nor {below_root}; paths are relative to the list's folder or to --data ({missing} of {named} pictures that the list names are missing)"
    )]
    ListPicture { path: PathBuf, line: usize, beside_list: PathBuf, below_root: PathBuf, missing: usize, named: usize },
    #[error("{path}, line {line}: pairs {picture} with itself, which proves nothing; name two pictures")]
    SelfPair { path: PathBuf, line: usize, picture: PathBuf },
    #[error("{path}, line {line}: a pair of different people names {name} twice; list it with the same-person pairs")]
    SamePerson { path: PathBuf, line: usize, name: String },
    #[error(
        "{path}, line {line}: expected a count of folds or of people on the first line, a count of people before each fold, and lines of `name pictures`; found `{text}`"
    )]
    People { path: PathBuf, line: usize, text: String },
    #[error(
        "{path}: ends after line {line} before person {number} of {count}, fold {fold}; the file is truncated: fetch it again"
    )]
    PeopleTruncated { path: PathBuf, line: usize, number: usize, count: usize, fold: usize },
    #[error(
        "{path}, line {line}: {name} is already on line {first}; no person may be in two folds, or twice in one: fetch the file again"
    )]
    PersonTwice { path: PathBuf, line: usize, first: usize, name: String },
    #[error("{pairs} pairs asked for; expected at least 2, one of the same person and one of different people")]
    PairCount { pairs: usize },
    #[error("{folds} folds asked for; expected at least 1")]
    FoldCount { folds: u32 },
    #[error(transparent)]
    Dataset(#[from] dataset::Error),
}

/// Two pictures to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pair {
    /// Index into [`PairList::pictures`].
    pub a: u32,
    /// Index into [`PairList::pictures`]; never `a`.
    pub b: u32,
    /// Whether both show one person.
    pub same: bool,
    /// Number of the fold, from 0 to below [`PairList::folds`].
    pub fold: u32,
}

/// Pairs over a list of pictures in which each is named once, so that it is embedded once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairList {
    /// The files, unique, in the order of first use.
    pub pictures: Vec<PathBuf>,
    /// In the order of the file; within a fold of LFW's format and of random pairs, those of one
    /// person come first.
    pub pairs: Vec<Pair>,
    /// The number of folds, at least 1. With 1 there is nothing to cross-validate over.
    pub folds: u32,
}

impl PairList {
    /// Opens a pairs file of either kind: LFW's format when its first line is a header of one or
    /// two counts, and otherwise a plain list.
    ///
    /// `root` is the folder of LFW's identity folders, or the second folder that a plain list's
    /// paths may be relative to.
    ///
    /// # Errors
    /// An unreadable or malformed file, or a picture that does not exist.
    pub fn open(path: &Path, root: &Path) -> Result<Self, Error> {
        let text = read(path)?;
        let (_, first) = rows(&text).next().ok_or_else(|| Error::Empty { path: path.into() })?;
        let fields = fields(first);
        let is_header = fields.len() <= 2 && fields.iter().all(|field| field.bytes().all(|b| b.is_ascii_digit()));
        if is_header { lfw::parse(path, &text, root) } else { list::parse(path, &text, root) }
    }

    /// The people whose pictures are in several folds, by the folder that holds the pictures, and
    /// those folds, numbered from 0. A threshold chosen on the other folds has then seen them; the
    /// official folds of LFW have none.
    pub fn people_in_several_folds(&self) -> Vec<(String, Vec<u32>)> {
        let mut folds_of: BTreeMap<&Path, BTreeSet<u32>> = BTreeMap::new();
        for pair in &self.pairs {
            for picture in [pair.a, pair.b] {
                if let Some(folder) = self.pictures[picture as usize].parent() {
                    folds_of.entry(folder).or_default().insert(pair.fold);
                }
            }
        }
        folds_of.retain(|_, folds| folds.len() > 1);
        folds_of.into_iter().map(|(folder, folds)| (name_of(folder), folds.into_iter().collect())).collect()
    }

    /// The people whose pictures are in both lists, by the folder that holds the pictures. The two lists of LFW's View 1
    /// have none.
    pub fn people_shared_with(&self, other: &Self) -> Vec<String> {
        let [folders, others] = [self, other]
            .map(|list| list.pictures.iter().filter_map(|picture| picture.parent()).collect::<BTreeSet<&Path>>());
        folders.intersection(&others).map(|folder| name_of(folder)).collect()
    }

    /// How many pairs show one person.
    pub fn same_count(&self) -> usize {
        self.pairs.iter().filter(|pair| pair.same).count()
    }
}

fn name_of(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Counts the pictures that a file names and that are not there, and keeps the first.
struct Missing<T> {
    first: Option<(usize, T)>,
    pictures: BTreeSet<PathBuf>,
}

impl<T> Default for Missing<T> {
    fn default() -> Self {
        Self { first: None, pictures: BTreeSet::new() }
    }
}

impl<T> Missing<T> {
    /// A picture missing at `line`; `shown` is what the message says of it.
    fn add(&mut self, line: usize, picture: PathBuf, shown: T) {
        self.first.get_or_insert((line, shown));
        self.pictures.insert(picture);
    }
}

/// Collects pairs and gives each picture one number.
#[derive(Default)]
struct Builder {
    pictures: Vec<PathBuf>,
    number_of: HashMap<PathBuf, u32>,
    pairs: Vec<Pair>,
}

impl Builder {
    fn push(&mut self, a: PathBuf, b: PathBuf, same: bool, fold: u32) {
        let (a, b) = (self.number(a), self.number(b));
        self.pairs.push(Pair { a, b, same, fold });
    }

    fn number(&mut self, picture: PathBuf) -> u32 {
        let next = self.pictures.len() as u32;
        *self.number_of.entry(picture).or_insert_with_key(|picture| {
            self.pictures.push(picture.clone());
            next
        })
    }

    fn finish(self, folds: u32) -> PairList {
        PairList { pictures: self.pictures, pairs: self.pairs, folds }
    }
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.into(), source })
}

/// The lines that say something, trimmed, with their numbers from 1: neither blank ones nor `#`
/// comments. A byte-order mark is passed over.
fn rows(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.trim_start_matches('\u{feff}')
        .lines()
        .zip(1..)
        .map(|(row, line)| (line, row.trim()))
        .filter(|(_, row)| !row.is_empty() && !row.starts_with('#'))
}

/// The columns of a line: between tabs where it has any, so that they may hold spaces, and
/// otherwise between white space.
fn fields(row: &str) -> Vec<&str> {
    if row.contains('\t') {
        row.split('\t').map(str::trim).filter(|field| !field.is_empty()).collect()
    } else {
        row.split_whitespace().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_first_line_tells_the_format() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("pairs.txt");
        for picture in ["Ann/Ann_0001.jpg", "Ann/Ann_0002.jpg", "Bob/Bob_0001.jpg"] {
            let picture = root.path().join(picture);
            fs::create_dir_all(picture.parent().unwrap()).unwrap();
            fs::write(picture, b"not decoded here").unwrap();
        }
        let open = |text: &str| {
            fs::write(&file, text).unwrap();
            PairList::open(&file, root.path())
        };
        let lfw = open("\u{feff}1 1\nAnn 1 2\nAnn 2 Bob 1\n").unwrap();
        let list =
            open("# pairs\n\nAnn/Ann_0001.jpg Ann/Ann_0002.jpg 1\nAnn/Ann_0002.jpg Bob/Bob_0001.jpg 0\n").unwrap();
        assert_eq!(lfw, list);
        assert_eq!((lfw.same_count(), lfw.pairs.len(), lfw.pictures.len()), (1, 2, 3));
        assert!(lfw.people_in_several_folds().is_empty());
        let leaking = open("2 1\nAnn 1 2\nAnn 1 Bob 1\nAnn 1 2\nAnn 2 Bob 1\n").unwrap();
        let both = |name: &str| (name.to_string(), vec![0, 1]);
        assert_eq!(leaking.people_in_several_folds(), [both("Ann"), both("Bob")]);
        assert_eq!(lfw.people_shared_with(&leaking), ["Ann", "Bob"]);
        let of_ann = PairList { pictures: lfw.pictures[..2].to_vec(), pairs: vec![], folds: 1 };
        let of_bob = PairList { pictures: lfw.pictures[2..].to_vec(), pairs: vec![], folds: 1 };
        assert!(of_ann.people_shared_with(&of_bob).is_empty());
        assert!(matches!(open("\n# nothing\n"), Err(Error::Empty { .. })));
        assert!(matches!(PairList::open(&root.path().join("gone"), root.path()), Err(Error::Read { .. })));
    }
}
