//! The lists of people of Labeled Faces in the Wild (Huang et al., TR 07-49; PAPER §8): who may be
//! trained on where LFW's own pictures are used.
//!
//! View 1 (`peopleDevTrain.txt`, `peopleDevTest.txt`): a count, then that many lines of `name
//! pictures`. View 2 (`people.txt`): the number of folds, then View 1's form for each fold. The
//! folds of View 2 and the two files of View 1 have no person in common.

use super::{Error, fields, read, rows};
use std::collections::HashMap;
use std::path::Path;

/// A person of LFW, with pictures `NAME_0001` to `NAME_000n`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub name: String,
    /// At least one.
    pub pictures: usize,
}

/// The people of each fold; View 1 has one fold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeopleList {
    pub folds: Vec<Vec<Person>>,
}

/// How a data set differs from a list of people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub name: String,
    /// Pictures by the list.
    pub listed: usize,
    /// Pictures in the data set; 0 where the person is not in it.
    pub found: usize,
}

impl PeopleList {
    /// Opens a list of either view.
    ///
    /// # Errors
    /// An unreadable or malformed file, one that ends early or goes on after its last fold, and a person who is
    /// listed twice.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let text = read(path)?;
        let mut rows = rows(&text).peekable();
        let mut last_line = 1;
        let malformed = |line, text: &str| Error::People { path: path.into(), line, text: text.into() };
        let (line, row) = rows.next().ok_or_else(|| malformed(1, ""))?;
        let header = count(row).ok_or_else(|| malformed(line, row))?;
        // In View 2 the count of the first fold follows; in View 1 a person.
        let is_view_2 = rows.peek().is_some_and(|(_, row)| count(row).is_some());
        let mut line_of: HashMap<String, usize> = HashMap::new();
        let mut folds = Vec::new();
        for fold in 1..=if is_view_2 { header } else { 1 } {
            let ended = |line, number, count| Error::PeopleTruncated { path: path.into(), line, number, count, fold };
            let count = match is_view_2 {
                true => {
                    let (line, row) = rows.next().ok_or_else(|| ended(last_line, 1, 1))?;
                    last_line = line;
                    count(row).ok_or_else(|| malformed(line, row))?
                }
                false => header,
            };
            let mut people = Vec::new();
            for number in 1..=count {
                let (line, row) = rows.next().ok_or_else(|| ended(last_line, number, count))?;
                last_line = line;
                let person = person(row).ok_or_else(|| malformed(line, row))?;
                if let Some(first) = line_of.insert(person.name.clone(), line) {
                    return Err(Error::PersonTwice { path: path.into(), line, first, name: person.name });
                }
                people.push(person);
            }
            folds.push(people);
        }
        match rows.next() {
            Some((line, row)) => Err(malformed(line, row)),
            None => Ok(Self { folds }),
        }
    }

    /// The number of people of all folds.
    pub fn len(&self) -> usize {
        self.folds.iter().map(Vec::len).sum()
    }

    /// Whether it names nobody: never, for a list that [`Self::open`] took.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The people whose pictures in a data set, given as names and numbers of pictures, are not as many as the list says.
    pub fn differences<'a>(&self, dataset: impl Iterator<Item = (&'a str, usize)>) -> Vec<Difference> {
        let found: HashMap<&str, usize> = dataset.collect();
        let difference = |person: &Person| {
            let found = found.get(person.name.as_str()).copied().unwrap_or(0);
            let (name, listed) = (person.name.clone(), person.pictures);
            (found != listed).then_some(Difference { name, listed, found })
        };
        self.folds.iter().flatten().filter_map(difference).collect()
    }
}

fn count(row: &str) -> Option<usize> {
    row.parse().ok().filter(|&count| count >= 1)
}

fn person(row: &str) -> Option<Person> {
    let &[name, pictures] = fields(row).as_slice() else { return None };
    Some(Person { name: name.into(), pictures: count(pictures)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn open_text(text: &str) -> Result<PeopleList, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("people.txt");
        fs::write(&path, text).unwrap();
        PeopleList::open(&path)
    }

    fn person(name: &str, pictures: usize) -> Person {
        Person { name: name.into(), pictures }
    }

    #[test]
    fn both_views_are_read() {
        let view_1 = open_text("2\r\nAnn_Lee\t3\r\nBob\t1\r\n").unwrap();
        assert_eq!(view_1.folds, [vec![person("Ann_Lee", 3), person("Bob", 1)]]);
        let view_2 = open_text("2\n2\nAnn_Lee\t3\nBob\t1\n1\nCid\t2\n").unwrap();
        assert_eq!(view_2.folds, [vec![person("Ann_Lee", 3), person("Bob", 1)], vec![person("Cid", 2)]]);
        assert_eq!((view_2.len(), view_2.is_empty()), (3, false));
    }

    #[test]
    fn errors_name_file_and_line() {
        for (text, expected) in [
            ("", "people.txt, line 1: expected a count"),
            ("Ann 3\n", "line 1: expected a count"),
            ("0\n", "line 1: expected a count"),
            ("1\nAnn three\n", "line 2: expected a count of folds"),
            ("1\nAnn 0\n", "found `Ann 0`"),
            ("2\nAnn 3\n", "ends after line 2 before person 2 of 2, fold 1"),
            ("2\n1\nAnn 3\n", "ends after line 3 before person 1 of 1, fold 2"),
            ("1\nAnn 3\nBob 1\n", "line 3: expected a count of folds"),
            ("2\n1\nAnn 3\n1\nAnn 3\n", "line 5: Ann is already on line 3; no person may be in two folds"),
        ] {
            let message = open_text(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{text:?}: {message}");
        }
    }

    #[test]
    fn a_data_set_must_have_the_listed_pictures() {
        let list = open_text("3\nAnn 3\nBob 1\nCid 2\n").unwrap();
        let difference = |name: &str, listed, found| Difference { name: name.into(), listed, found };
        assert_eq!(
            list.differences([("Ann", 2), ("Bob", 1), ("Zed", 9)].into_iter()),
            [difference("Ann", 3, 2), difference("Cid", 2, 0)]
        );
    }
}
