//! CelebA (Liu et al., ICCV 2015): the official lists beside one folder of pictures.
//!
//! | file | rows | needed |
//! |---|---|---|
//! | `identity_CelebA.txt` | `000001.jpg 2880` | always; the folder is recognised by it |
//! | `list_eval_partition.txt` | `000001.jpg 0` | for the parts A and B |
//! | `list_landmarks_align_celeba.txt` | picture and 10 integers: x y of left eye, right eye, nose, left and right mouth corner | no |
//! | `list_bbox_celeba.txt` | picture and 4 integers: x, y, width, height of the face in the wild | no |
//! | `img_align_celeba/` | 178×218 pictures, aligned | one of the two |
//! | `img_celeba/` | pictures in the wild, of any size | |
//!
//! All lie in one folder, or as the archive has them in `Anno/`, `Eval/` and `Img/`. The lists have
//! CRLF or LF line ends, runs of spaces, and in some copies commas, a line with the number of
//! pictures and a line of column names.

use super::Part;
use crate::data::dataset::{Dataset, Identity};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

const IDENTITIES: &str = "identity_CelebA.txt";
const PARTITION: &str = "list_eval_partition.txt";
const LANDMARKS: &str = "list_landmarks_align_celeba.txt";
const BOXES: &str = "list_bbox_celeba.txt";
/// Where the archive keeps its lists and pictures, beside the folder itself.
const SUBFOLDERS: [&str; 4] = ["", "Anno", "Eval", "Img"];
/// Aligned pictures first: they are what the landmarks refer to.
const PICTURE_FOLDERS: [&str; 4] = ["img_align_celeba", "img_align_celeba_png", "img_celeba", "img_celeba_png"];

/// Why CelebA cannot be opened. Messages about a list name it and the line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: cannot be read: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error(
        "{root}: has {IDENTITIES} but no folder of pictures; unpack img_align_celeba.zip (aligned) or img_celeba.7z (in the wild) in it"
    )]
    NoPictures { root: PathBuf },
    #[error("{root}: the parts A and B are told by {PARTITION}, which is not there; fetch it, or leave the part out")]
    NoPartition { root: PathBuf },
    #[error("{path}, line {line}: expected {expected}; found `{text}`")]
    Row { path: PathBuf, line: usize, expected: &'static str, text: String },
    #[error("{path}, line {line}: {picture} is already on line {first}; the file is damaged: fetch it again")]
    Twice { path: PathBuf, line: usize, first: usize, picture: String },
    #[error("{path}: announces {announced} pictures and names {found}; the file is cut off: fetch it again")]
    Count { path: PathBuf, announced: usize, found: usize },
    #[error("{path}: names no pictures; fetch it again")]
    Empty { path: PathBuf },
    #[error(
        "{path}, line {line}: there is no picture {picture}; {missing} of {listed} listed pictures are missing: unpack the archive of pictures again, whole"
    )]
    MissingPictures { path: PathBuf, line: usize, picture: PathBuf, missing: usize, listed: usize },
    #[error(
        "{path}: {missing} pictures of {IDENTITIES} are not in it, the first {picture}; take both from one release"
    )]
    NotInPartition { path: PathBuf, picture: String, missing: usize },
    #[error(
        "{path}: identity {identity} is both in part A and in part B ({picture}); take both lists from one release"
    )]
    SplitIdentity { path: PathBuf, identity: String, picture: String },
    #[error("{path}: no pictures of part {part:?}; expected partitions 0 (part A), 1 and 2 (part B)")]
    EmptyPart { path: PathBuf, part: Part },
}

/// Where a copy of CelebA keeps its lists and its pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    folder: PathBuf,
    /// The folder of pictures that the user named; otherwise the first that is there.
    pictures: Option<PathBuf>,
}

impl Root {
    /// The copy of CelebA that `path` is or belongs to: its folder, one of its folders of pictures, or
    /// its list of identities with the pictures beside it. `None` where it is none.
    pub fn find(path: &Path) -> Option<Self> {
        let holds_identities = |folder: &Path| find_list(folder, IDENTITIES).is_some();
        if path.is_dir() {
            if holds_identities(path) {
                return Some(Self { folder: path.into(), pictures: None });
            }
            if !PICTURE_FOLDERS.iter().any(|name| path.ends_with(name)) {
                return None;
            }
            let folder = path.ancestors().skip(1).take(3).find(|folder| holds_identities(folder))?;
            return Some(Self { folder: folder.into(), pictures: Some(path.into()) });
        }
        if path.file_name()? != IDENTITIES {
            return None;
        }
        let mut folders = path.ancestors().skip(1).take(2).map(Path::to_path_buf);
        let folder = folders.find(|folder| holds_identities(folder) && picture_folder(folder).is_some())?;
        Some(Self { folder, pictures: None })
    }

    /// The folder of pictures that is used.
    ///
    /// # Errors
    /// Where there is none.
    pub fn pictures(&self) -> Result<PathBuf, Error> {
        let found = self.pictures.clone().or_else(|| picture_folder(&self.folder));
        // Some archives unpack to a folder in a folder of the same name.
        let inner = found.as_ref().and_then(|folder| Some(folder.join(folder.file_name()?)));
        inner.filter(|inner| inner.is_dir()).or(found).ok_or_else(|| Error::NoPictures { root: self.folder.clone() })
    }

    /// The five landmarks of each aligned picture by its name, `[x, y]` in pixels: left eye, right eye, nose, left and
    /// right corner of the mouth; `None` where the list is not there.
    ///
    /// # Errors
    /// A malformed list.
    pub fn landmarks(&self) -> Result<Option<Annotations<[[i32; 2]; 5]>>, Error> {
        let expected = "a picture and 10 whole numbers, x and y of 5 landmarks";
        self.annotation::<10, _>(LANDMARKS, expected, |n| [0, 2, 4, 6, 8].map(|at| [n[at], n[at + 1]]))
    }

    /// The face box of each picture in the wild by its name, x, y, width and height in pixels; `None` where the list is
    /// not there.
    ///
    /// # Errors
    /// A malformed list.
    pub fn boxes(&self) -> Result<Option<Annotations<[i32; 4]>>, Error> {
        self.annotation::<4, _>(BOXES, "a picture and 4 whole numbers, x, y, width and height", |numbers| numbers)
    }

    /// For how many pictures of `dataset` the lists beside the pictures that are used have a row: of landmarks for aligned
    /// ones, of face boxes for those in the wild.
    ///
    /// # Errors
    /// A malformed list.
    pub fn annotated(&self, dataset: &Dataset) -> Result<Vec<Annotated>, Error> {
        let aligned = self.pictures()?.file_name().is_some_and(|name| name.to_string_lossy().contains("align"));
        let (what, named): (_, Option<HashSet<String>>) = match aligned {
            true => ("landmarks", self.landmarks()?.map(|rows| rows.into_keys().collect())),
            false => ("face boxes", self.boxes()?.map(|rows| rows.into_keys().collect())),
        };
        let Some(named) = named else { return Ok(Vec::new()) };
        let images = || dataset.identities.iter().flat_map(|identity| &identity.images);
        // The lists say .jpg of .png pictures too.
        let is_named = |image: &&PathBuf| {
            image
                .with_extension("jpg")
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| named.contains(name))
        };
        let with = images().filter(is_named).count();
        Ok(vec![Annotated { what, with, without: images().count() - with }])
    }

    fn annotation<const N: usize, T>(
        &self,
        name: &str,
        expected: &'static str,
        value: impl Fn([i32; N]) -> T,
    ) -> Result<Option<Annotations<T>>, Error> {
        let Some(path) = find_list(&self.folder, name) else { return Ok(None) };
        let table = Table::<N>::read(&path, expected)?;
        Ok(Some(table.rows.into_iter().map(|row| (row.picture, value(row.numbers))).collect()))
    }
}

/// What a list says of each picture, by the picture's name.
pub type Annotations<T> = HashMap<String, T>;

/// How many pictures a list has a row for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Annotated {
    pub what: &'static str,
    pub with: usize,
    pub without: usize,
}

/// The list `name`, or its copy as `.csv`, in one of the places where it may lie.
fn find_list(folder: &Path, name: &str) -> Option<PathBuf> {
    let names = [PathBuf::from(name), Path::new(name).with_extension("csv")];
    let places = SUBFOLDERS.iter().flat_map(|place| names.iter().map(move |name| folder.join(place).join(name)));
    places.into_iter().find(|path| path.is_file())
}

fn picture_folder(folder: &Path) -> Option<PathBuf> {
    let places =
        PICTURE_FOLDERS.iter().flat_map(|name| SUBFOLDERS.iter().map(move |place| folder.join(place).join(name)));
    places.into_iter().find(|path| path.is_dir())
}

/// A list of CelebA: a picture and `N` whole numbers a row.
struct Table<const N: usize> {
    rows: Vec<Row<N>>,
}

struct Row<const N: usize> {
    line: usize,
    picture: String,
    numbers: [i32; N],
}

impl<const N: usize> Table<N> {
    fn read(path: &Path, expected: &'static str) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.into(), source })?;
        let mut announced = None;
        let mut header_possible = true;
        let mut rows = Vec::new();
        let mut line_of: HashMap<String, usize> = HashMap::new();
        for (line, text) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
            let fields: Vec<&str> =
                text.split(|c: char| c.is_whitespace() || c == ',').filter(|f| !f.is_empty()).collect();
            let Some((&picture, values)) = fields.split_first() else { continue };
            let is_picture = picture.contains('.');
            let numbers: Option<Vec<i32>> = values.iter().map(|value| value.parse().ok()).collect();
            let numbers: Option<[i32; N]> = numbers.and_then(|numbers| numbers.try_into().ok());
            let Some(numbers) = numbers.filter(|_| is_picture) else {
                // A count stands first, column names stand before the first picture.
                if line == 1 && values.is_empty() && !is_picture {
                    announced = picture.parse().ok();
                }
                let counts = line == 1 && announced.is_some();
                let names = header_possible && !is_picture && fields.iter().all(|field| field.parse::<i32>().is_err());
                if counts || names {
                    header_possible = counts;
                    continue;
                }
                return Err(Error::Row { path: path.into(), line, expected, text: text.trim().into() });
            };
            header_possible = false;
            if let Some(first) = line_of.insert(picture.into(), line) {
                return Err(Error::Twice { path: path.into(), line, first, picture: picture.into() });
            }
            rows.push(Row { line, picture: picture.into(), numbers });
        }
        if rows.is_empty() {
            return Err(Error::Empty { path: path.into() });
        }
        match announced {
            Some(announced) if announced != rows.len() => {
                Err(Error::Count { path: path.into(), announced, found: rows.len() })
            }
            _ => Ok(Self { rows }),
        }
    }
}

/// The lists of CelebA, read and checked; the pictures are looked for when a part is asked for.
pub struct CelebA {
    root: Root,
    identities: PathBuf,
    rows: Vec<Row<1>>,
}

impl CelebA {
    /// Reads the list of identities.
    ///
    /// # Errors
    /// An unreadable or malformed list.
    pub fn open(root: &Root) -> Result<Self, Error> {
        let identities = find_list(&root.folder, IDENTITIES).unwrap_or_else(|| root.folder.join(IDENTITIES));
        let rows =
            Table::<1>::read(&identities, "a picture and the number of a person, such as `000001.jpg 2880`")?.rows;
        Ok(Self { root: root.clone(), identities, rows })
    }

    /// The people of a part and their pictures; a person's name is the number that the list has.
    ///
    /// # Errors
    /// No folder of pictures; listed pictures that are not in it (the message counts them); for a part, a list of
    /// partitions that is missing, malformed, not complete, or that splits a person.
    pub fn dataset(&self, part: Part) -> Result<Dataset, Error> {
        let folder = self.root.pictures()?;
        let there = names_in(&folder)?;
        let chosen = self.rows_of(part)?;
        let mut by_name: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        let mut missing = Vec::new();
        for row in &chosen {
            // The lists say .jpg of the pictures that are also given as .png.
            let names = [PathBuf::from(&row.picture), Path::new(&row.picture).with_extension("png")];
            match names.iter().find(|name| there.contains(name.as_os_str())) {
                Some(name) => by_name.entry(row.numbers[0].to_string()).or_default().push(folder.join(name)),
                None => missing.push(row),
            }
        }
        if let Some(first) = missing.first() {
            return Err(Error::MissingPictures {
                path: self.identities.clone(),
                line: first.line,
                picture: folder.join(&first.picture),
                missing: missing.len(),
                listed: chosen.len(),
            });
        }
        let identity = |(name, mut images): (String, Vec<PathBuf>)| {
            images.sort();
            Identity { name, images }
        };
        Ok(Dataset { identities: by_name.into_iter().map(identity).collect() })
    }

    fn rows_of(&self, part: Part) -> Result<Vec<&Row<1>>, Error> {
        if part == Part::All {
            return Ok(self.rows.iter().collect());
        }
        let Some(path) = find_list(&self.root.folder, PARTITION) else {
            return Err(Error::NoPartition { root: self.root.folder.clone() });
        };
        const EXPECTED: &str = "a picture and its partition 0, 1 or 2, such as `000001.jpg 0`";
        let mut part_of: HashMap<String, Part> = HashMap::new();
        for row in Table::<1>::read(&path, EXPECTED)?.rows {
            let part = match row.numbers {
                [0] => Part::A,
                [1 | 2] => Part::B,
                [other] => {
                    let text = format!("{} {other}", row.picture);
                    return Err(Error::Row { path, line: row.line, expected: EXPECTED, text });
                }
            };
            part_of.insert(row.picture, part);
        }
        let without: Vec<&str> =
            self.rows.iter().map(|row| row.picture.as_str()).filter(|name| !part_of.contains_key(*name)).collect();
        if let Some(&first) = without.first() {
            return Err(Error::NotInPartition { path, picture: first.into(), missing: without.len() });
        }
        let mut part_of_person = HashMap::new();
        for row in &self.rows {
            let of_picture = part_of[&row.picture];
            if *part_of_person.entry(row.numbers[0]).or_insert(of_picture) != of_picture {
                let (identity, picture) = (row.numbers[0].to_string(), row.picture.clone());
                return Err(Error::SplitIdentity { path, identity, picture });
            }
        }
        let chosen: Vec<&Row<1>> = self.rows.iter().filter(|row| part_of[&row.picture] == part).collect();
        if chosen.is_empty() { Err(Error::EmptyPart { path, part }) } else { Ok(chosen) }
    }
}

/// The names of the files in a folder: one question to the disk rather than one a picture.
fn names_in(folder: &Path) -> Result<HashSet<OsString>, Error> {
    let read_error = |source| Error::Read { path: folder.into(), source };
    let entries = std::fs::read_dir(folder).map_err(read_error)?;
    entries.map(|entry| Ok(entry.map_err(read_error)?.file_name())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::formats::testing::touch;
    use crate::data::formats::{Format, open};
    use std::fs;
    use tempfile::TempDir;

    const IDS: &str = "000001.jpg 7\r\n000002.jpg 12\r\n000003.jpg 7\r\n000004.jpg 9\r\n";
    const PARTS: &str = "000001.jpg 0\r\n000002.jpg 1\r\n000003.jpg 0\r\n000004.jpg 2\r\n";

    /// Four pictures of three people; lists and pictures in the given sub-folders.
    fn celeba(anno: &str, eval: &str, pictures: &str) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for picture in 1..=4 {
            touch(&root.path().join(pictures).join(format!("{picture:06}.jpg")));
        }
        write(&root, &format!("{anno}{IDENTITIES}"), IDS);
        write(&root, &format!("{eval}{PARTITION}"), PARTS);
        root
    }

    fn write(root: &TempDir, name: &str, text: &str) {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn people(path: &Path, part: Part) -> Vec<(String, usize)> {
        let opened = open(path, part).unwrap();
        assert_eq!(opened.format, Format::CelebA);
        opened.dataset.identities.into_iter().map(|i| (i.name, i.images.len())).collect()
    }

    fn message(root: &TempDir, part: Part) -> String {
        open(root.path(), part).unwrap_err().to_string()
    }

    #[test]
    fn parts_are_those_of_the_paper_in_every_layout() {
        for (anno, eval, pictures) in [
            ("", "", "img_align_celeba"),
            ("", "", "img_celeba"),
            ("Anno/", "Eval/", "Img/img_align_celeba"),
            ("", "", "img_align_celeba/img_align_celeba"),
        ] {
            let root = celeba(anno, eval, pictures);
            let named = |names: &[(&str, usize)]| names.iter().map(|&(n, c)| (n.to_string(), c)).collect::<Vec<_>>();
            assert_eq!(people(root.path(), Part::All), named(&[("12", 1), ("7", 2), ("9", 1)]));
            assert_eq!(people(root.path(), Part::A), named(&[("7", 2)]));
            assert_eq!(people(root.path(), Part::B), named(&[("12", 1), ("9", 1)]));
            let by_suffix = Dataset::open(
                &root.path().with_file_name(format!("{}#B", root.path().file_name().unwrap().to_str().unwrap())),
            );
            assert_eq!(by_suffix.unwrap().image_count(), 2);
            // The folder of pictures and the list of identities stand for the whole.
            assert_eq!(people(&root.path().join(pictures), Part::A).len(), 1);
            assert_eq!(people(&root.path().join(format!("{anno}{IDENTITIES}")), Part::A).len(), 1);
        }
    }

    #[test]
    fn a_folder_of_pictures_can_be_chosen_and_may_hold_png() {
        let root = celeba("", "", "img_align_celeba");
        for picture in 1..=4 {
            touch(&root.path().join(format!("img_align_celeba_png/{picture:06}.png")));
        }
        for (path, folder, extension) in
            [("", "img_align_celeba", "jpg"), ("img_align_celeba_png", "img_align_celeba_png", "png")]
        {
            let opened = open(&root.path().join(path), Part::A).unwrap();
            let expected = ["000001", "000003"].map(|n| root.path().join(folder).join(format!("{n}.{extension}")));
            assert_eq!(opened.dataset.identities[0].images, expected);
        }
    }

    #[test]
    fn counts_headers_commas_and_runs_of_spaces_are_taken() {
        let root = celeba("", "", "img_align_celeba");
        for identities in [
            format!("4\r\n{IDS}"),
            format!("image_id identity\r\n{IDS}"),
            format!("4\nimage_id identity\n{IDS}"),
            IDS.replace(' ', ","),
            IDS.replace(' ', "    ") + "\r\n\r\n",
            format!("\u{feff}{IDS}"),
        ] {
            write(&root, IDENTITIES, &identities);
            assert_eq!(people(root.path(), Part::A), [("7".to_string(), 2)], "{identities:?}");
        }
        write(
            &root,
            LANDMARKS,
            "2\r\nlefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y \r\n000001.jpg 69  109  106  113   77  142   73  152  108  154\r\n000002.jpg -1  2  3  4   5  6   7  8  9  10\r\n",
        );
        write(&root, BOXES, "1\nimage_id x_1 y_1 width height\n000001.jpg    95  71 226 313\n");
        let root = Root::find(root.path()).unwrap();
        let landmarks = root.landmarks().unwrap().unwrap();
        assert_eq!(landmarks["000001.jpg"], [[69, 109], [106, 113], [77, 142], [73, 152], [108, 154]]);
        assert_eq!((landmarks.len(), landmarks["000002.jpg"][0]), (2, [-1, 2]));
        assert_eq!(root.boxes().unwrap().unwrap()["000001.jpg"], [95, 71, 226, 313]);
        let all = CelebA::open(&root).unwrap().dataset(Part::All).unwrap();
        assert_eq!(root.annotated(&all).unwrap(), [Annotated { what: "landmarks", with: 2, without: 2 }]);
    }

    #[test]
    fn malformed_lists_name_file_and_line() {
        for (name, text, expected) in [
            (
                IDENTITIES,
                "000001.jpg 7\r\n000002.jpg\r\n",
                "identity_CelebA.txt, line 2: expected a picture and the number",
            ),
            (IDENTITIES, "000001.jpg 7\nfile id\n", "line 2: expected a picture and the number"),
            (IDENTITIES, "000001.jpg seven\n", "found `000001.jpg seven`"),
            (IDENTITIES, "5\r\n000001.jpg 7\r\n", "announces 5 pictures and names 1"),
            (IDENTITIES, "000001.jpg 7\n\n000001.jpg 8\n", "line 3: 000001.jpg is already on line 1"),
            (IDENTITIES, "\r\n", "identity_CelebA.txt: names no pictures"),
            (
                PARTITION,
                "000001.jpg 3\n",
                "list_eval_partition.txt, line 1: expected a picture and its partition 0, 1 or 2",
            ),
            (
                PARTITION,
                "000001.jpg 0\n000002.jpg 1\n",
                "2 pictures of identity_CelebA.txt are not in it, the first 000003.jpg",
            ),
            (
                PARTITION,
                &PARTS.replace("3.jpg 0", "3.jpg 1"),
                "identity 7 is both in part A and in part B (000003.jpg)",
            ),
            (PARTITION, &PARTS.replace(" 0", " 2"), "no pictures of part A"),
        ] {
            let root = celeba("", "", "img_align_celeba");
            write(&root, name, text);
            let message = message(&root, Part::A);
            assert!(message.contains(expected), "{message}");
        }
        let root = celeba("", "", "img_align_celeba");
        write(&root, LANDMARKS, "000001.jpg 1 2 3\n");
        let message = Root::find(root.path()).unwrap().landmarks().unwrap_err().to_string();
        assert!(message.contains("line 1: expected a picture and 10 whole numbers"), "{message}");
    }

    #[test]
    fn missing_files_are_counted_and_the_first_is_named() {
        let root = celeba("", "", "img_align_celeba");
        for gone in ["000002.jpg", "000003.jpg"] {
            fs::remove_file(root.path().join("img_align_celeba").join(gone)).unwrap();
        }
        let all = message(&root, Part::All);
        assert!(
            all.contains("line 2: there is no picture") && all.contains("2 of 4 listed pictures are missing"),
            "{all}"
        );
        let part = message(&root, Part::A);
        assert!(part.contains("line 3") && part.contains("1 of 2 listed"), "{part}");
        fs::remove_file(root.path().join(PARTITION)).unwrap();
        assert!(message(&root, Part::B).contains("list_eval_partition.txt, which is not there"));
        fs::remove_dir_all(root.path().join("img_align_celeba")).unwrap();
        assert!(message(&root, Part::All).contains("no folder of pictures; unpack img_align_celeba.zip"));
    }
}
