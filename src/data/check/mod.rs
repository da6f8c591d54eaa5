//! What is wrong with a data set, before anything is trained on it.
//!
//! | file | purpose |
//! |---|---|
//! | [`scan`] | decodes every picture: what cannot be read, sizes, grey, fingerprints |
//! | [`duplicates`] | the same picture twice: byte for byte, or to the eye |
//! | [`overlap`] | people and pictures that two data sets share |
//!
//! [`check`] does all of it for one data set, [`against`] for two.

pub mod duplicates;
pub mod overlap;
pub mod scan;

use super::dataset::{Dataset, Identity};
use super::pairs::people::{Difference, PeopleList};
use duplicates::Duplicates;
use overlap::Overlap;
use scan::Seen;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Smallest, middle and largest of some counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Spread {
    pub least: usize,
    /// The lower of the two middle ones where there are two.
    pub median: usize,
    pub most: usize,
}

impl Spread {
    /// Of no values, zeros.
    pub fn of(values: impl Iterator<Item = usize>) -> Self {
        let mut values: Vec<usize> = values.collect();
        values.sort_unstable();
        let (Some(&least), Some(&most)) = (values.first(), values.last()) else { return Self::default() };
        Self { least, median: values[(values.len() - 1) / 2], most }
    }
}

/// A picture that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    pub picture: PathBuf,
    /// The kind of fault, for counting.
    pub reason: &'static str,
    /// The whole message.
    pub message: String,
}

/// What one data set holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Findings {
    pub people: usize,
    pub pictures: usize,
    pub pictures_per_person: Spread,
    /// People with a single picture: they train identification but give no pair of one person.
    pub people_with_one_picture: Vec<String>,
    pub unreadable: Vec<Unreadable>,
    pub width: Spread,
    pub height: Spread,
    /// Pictures stored as grey, and pictures stored as colour in which red, green and blue are equal everywhere.
    pub grey: usize,
    pub grey_stored_as_colour: usize,
    /// Pictures that EXIF's orientation turns or mirrors.
    pub turned: usize,
    pub duplicates: Vec<Duplicates>,
}

impl Findings {
    /// How many unreadable pictures have each reason.
    pub fn reasons(&self) -> BTreeMap<&'static str, usize> {
        let mut reasons = BTreeMap::new();
        for unreadable in &self.unreadable {
            *reasons.entry(unreadable.reason).or_default() += 1;
        }
        reasons
    }

    /// What must be mended: unreadable pictures, the same file twice, one picture under two people. A single picture,
    /// or pictures of one person that look alike, are worth knowing and no fault.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut note = |count: usize, what: &str| {
            if count > 0 {
                problems.push(format!("{what}: {count}"));
            }
        };
        note(self.unreadable.len(), "unreadable pictures");
        let count = |exact: bool, across: bool| {
            self.duplicates.iter().filter(|group| group.exact == exact && (group.people.len() > 1) == across).count()
        };
        note(count(true, true), "files under several people");
        note(count(false, true), "pictures that are, nearly the same, under several people");
        note(count(true, false), "files that one person has twice");
        problems
    }
}

/// A data set whose pictures have been looked at.
pub struct Checked {
    pub findings: Findings,
    labels: Vec<u32>,
    names: Vec<String>,
    paths: Vec<PathBuf>,
    /// `None` where a picture cannot be read.
    seen: Vec<Option<Seen>>,
}

impl Checked {
    /// The people whose pictures are not as many as `list` says.
    pub fn differences(&self, list: &PeopleList) -> Vec<Difference> {
        let mut pictures = vec![0; self.names.len()];
        self.labels.iter().for_each(|&label| pictures[label as usize] += 1);
        list.differences(self.names.iter().map(String::as_str).zip(pictures))
    }
}

/// Decodes every picture of `dataset` in parallel and reports what it finds; `progress` is called once a picture, from
/// any thread.
pub fn check(dataset: &Dataset, progress: &(dyn Fn() + Sync)) -> Checked {
    let (paths, labels) = dataset.flatten();
    let mut unreadable = Vec::new();
    let mut seen = Vec::with_capacity(paths.len());
    for (path, result) in paths.iter().zip(scan::scan(&paths, progress)) {
        seen.push(
            result
                .map_err(|error| {
                    unreadable.push(Unreadable {
                        picture: path.clone(),
                        reason: error.reason(),
                        message: error.to_string(),
                    });
                })
                .ok(),
        );
    }
    let names: Vec<String> = dataset.identities.iter().map(|identity| identity.name.clone()).collect();
    let mut checked = Checked {
        findings: Findings {
            people: names.len(),
            pictures: paths.len(),
            pictures_per_person: Spread::of(dataset.identities.iter().map(|identity| identity.images.len())),
            people_with_one_picture: single(&dataset.identities),
            unreadable,
            width: Spread::of(seen.iter().flatten().map(|seen| seen.width as usize)),
            height: Spread::of(seen.iter().flatten().map(|seen| seen.height as usize)),
            grey: seen.iter().flatten().filter(|seen| seen.grey).count(),
            grey_stored_as_colour: seen.iter().flatten().filter(|seen| seen.grey_stored_as_colour).count(),
            turned: seen.iter().flatten().filter(|seen| seen.turned).count(),
            duplicates: Vec::new(),
        },
        labels,
        names,
        paths,
        seen,
    };
    checked.findings.duplicates = duplicates::within(&checked);
    checked
}

fn single(identities: &[Identity]) -> Vec<String> {
    identities.iter().filter(|identity| identity.images.len() == 1).map(|identity| identity.name.clone()).collect()
}

/// What two data sets have in common, where one is to test what the other trained.
pub fn against(one: &Checked, other: &Checked) -> Overlap {
    Overlap { people: overlap::people(&one.names, &other.names), pictures: duplicates::between(one, other) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::{picture_folders, write_grey};
    use std::fs;

    /// Something to see, different for every `kind`.
    fn draw(path: &std::path::Path, kind: u32, side: u32, brighter: u8) {
        write_grey(path, side, side, |x, y| {
            let (x, y) = (f64::from(x) / f64::from(side), f64::from(y) / f64::from(side));
            let phase = f64::from(kind) * 1.7;
            let wave = (9.0 * x + phase).sin() + (7.0 * y * (1.0 + x) + 2.0 * phase).cos();
            (100.0 + 40.0 * wave) as u8 + brighter
        });
    }

    #[test]
    fn counts_faults_and_duplicates_are_found() {
        let (root, _) = picture_folders(&[2, 2, 1]);
        let file = |name: &str| root.path().join(name);
        let names =
            ["person000/000.png", "person000/001.png", "person001/000.png", "person001/001.png", "person002/000.png"];
        for (kind, name) in (0..).zip(names) {
            draw(&file(name), kind, 64, 0);
        }
        let clean = check(&Dataset::open(root.path()).unwrap(), &|| {});
        assert_eq!(clean.findings.problems(), Vec::<String>::new());
        assert_eq!(clean.findings.duplicates, []);
        assert_eq!(clean.findings.pictures_per_person, Spread { least: 1, median: 2, most: 2 });
        assert_eq!(clean.findings.people_with_one_picture, ["person002"]);
        assert_eq!((clean.findings.grey, clean.findings.width.median), (5, 64));

        // The same file under another person, a smaller and brighter copy with the same person, and what is no picture.
        fs::copy(file(names[0]), file("person002/copy.png")).unwrap();
        draw(&file("person001/small.png"), 2, 48, 3);
        fs::write(file("person001/empty.png"), b"").unwrap();
        fs::write(file("person001/text.jpg"), b"no picture").unwrap();
        let dataset = Dataset::open(root.path()).unwrap();
        let findings = check(&dataset, &|| {}).findings;
        assert_eq!(findings.problems(), ["unreadable pictures: 2", "files under several people: 1"]);
        assert_eq!(findings.reasons(), BTreeMap::from([("empty", 1), ("not a picture", 1)]));
        let group = |exact, people: &[&str], pictures: &[&str]| Duplicates {
            exact,
            people: people.iter().map(|name| name.to_string()).collect(),
            pictures: pictures.iter().map(|name| file(name)).collect(),
        };
        assert_eq!(
            findings.duplicates,
            [
                group(true, &["person000", "person002"], &[names[0], "person002/copy.png"]),
                group(false, &["person001"], &[names[2], "person001/small.png"]),
            ]
        );
    }

    #[test]
    fn two_sets_are_compared_by_names_and_pictures() {
        let (root, _) = picture_folders(&[1, 1]);
        draw(&root.path().join("person000/000.png"), 0, 64, 0);
        draw(&root.path().join("person001/000.png"), 1, 64, 0);
        let other = tempfile::tempdir().unwrap();
        for (folder, kind, side) in [("Person 001", 5, 64), ("stranger", 0, 50)] {
            fs::create_dir(other.path().join(folder)).unwrap();
            draw(&other.path().join(folder).join("a.png"), kind, side, 0);
        }
        let look = |path: &std::path::Path| check(&Dataset::open(path).unwrap(), &|| {});
        let (one, two) = (look(root.path()), look(other.path()));
        let shared = against(&one, &two);
        assert_eq!(shared.people, [["person001".to_string(), "Person 001".to_string()]]);
        assert_eq!(shared.pictures.len(), 1);
        assert!(!shared.pictures[0].exact);
        assert_eq!(
            shared.pictures[0].pictures,
            [root.path().join("person000/000.png"), other.path().join("stranger/a.png")]
        );
        assert_eq!(shared.problems(), ["people in both sets: 1", "pictures in both sets: 1"]);
    }

    #[test]
    fn spreads() {
        assert_eq!(Spread::of([3, 1, 9, 4].into_iter()), Spread { least: 1, median: 3, most: 9 });
        assert_eq!(Spread::of([].into_iter()), Spread::default());
    }
}
