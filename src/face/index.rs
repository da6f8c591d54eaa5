//! The folder of aligned pictures that `deepid2 align` makes, and its index.
//!
//! | file | what |
//! |---|---|
//! | `PERSON/NAME.png` | an aligned picture, [`WIDTH`](super::canonical::WIDTH) × [`HEIGHT`](super::canonical::HEIGHT) RGB, under the name of its source |
//! | `faces.jsonl` | a line a face, in the order of the sorted sources; a line for each picture that was rejected |
//! | `align.toml` | the settings; another run with others is refused |
//! | `rejected.csv` | `source,reason` of what was rejected; written last, so its presence says that the folder is complete |
//!
//! A line of `faces.jsonl` is one of
//!
//! ```text
//! {"picture":"PERSON/NAME.png","source":"PERSON/NAME.jpg","box":[x,y,w,h],"score":s,
//!  "landmarks":[[x,y] × 21],"transform":[a,b,tx,ty],"outside":share,"bytes":size}
//! {"source":"PERSON/NAME.jpg","rejected":"no face found","bytes":size}
//! ```
//!
//! (on one line): `box` and `score` are the detector's, in the source, a score of 0 where nothing was detected;
//! `landmarks` lie in the aligned picture; `transform` takes points of the source to it
//! ([`Similarity`]); `outside` is the share of the aligned picture that the source does not hold; `bytes` is the size of
//! the source's file, by which one that was replaced is noticed.

use super::detect::FaceBox;
use super::points::Shape;
use super::similarity::Similarity;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

/// Names of the files.
pub const INDEX: &str = "faces.jsonl";
pub const SETTINGS: &str = "align.toml";
pub const REJECTED: &str = "rejected.csv";

/// Why aligned pictures cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{path}: not a folder of aligned pictures (it holds no {INDEX}); run `deepid2 align {path} --out ALIGNED` and use ALIGNED"
    )]
    NotAligned { path: PathBuf },
    #[error(
        "{path}: not in a folder of aligned pictures; run `deepid2 align` on its folder and use the pictures that it makes"
    )]
    PictureNotAligned { path: PathBuf },
    #[error("{path}: was not aligned to the end; run the same `deepid2 align` again, which goes on where it stopped")]
    Unfinished { path: PathBuf },
    #[error("{path}: holds no face: every picture was rejected, see {REJECTED} there")]
    NoFaces { path: PathBuf },
    #[error("{path}: cannot be read: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}, line {line}: {message}; remove the folder and align again")]
    Line { path: PathBuf, line: usize, message: String },
    #[error("{path}, line {line}: {what} is already on line {first}; remove the folder and align again")]
    Twice { path: PathBuf, line: usize, first: usize, what: String },
    #[error("{picture}: not in {index}; remove the picture, or align its source with the others")]
    NotListed { picture: PathBuf, index: PathBuf },
}

/// A face that was found and aligned.
#[derive(Debug, Clone, PartialEq)]
pub struct Face {
    /// Path of the aligned picture below the folder, with `/` between names.
    pub picture: String,
    /// Path of the photograph below the folder that was aligned.
    pub source: String,
    /// Where it was detected in the photograph.
    pub bounds: FaceBox,
    /// Its landmarks in the aligned picture.
    pub landmarks: Shape,
    /// From the photograph to the aligned picture.
    pub transform: Similarity,
    /// Share of the aligned picture that the photograph does not hold.
    pub outside: f32,
    /// Size of the photograph's file; absent in folders that were aligned before sizes were kept.
    pub bytes: Option<u64>,
}

/// What became of a photograph.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    Face(Box<Face>),
    Rejected { source: String, reason: String, bytes: Option<u64> },
}

/// A line as it is written; which fields there are tells an entry's kind.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    picture: Option<String>,
    source: String,
    #[serde(rename = "box", skip_serializing_if = "Option::is_none")]
    bounds: Option<[f32; 4]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    landmarks: Option<Shape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transform: Option<Similarity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outside: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
}

impl Entry {
    /// The photograph.
    pub fn source(&self) -> &str {
        match self {
            Self::Face(face) => &face.source,
            Self::Rejected { source, .. } => source,
        }
    }

    /// Size of the photograph's file, where it is known.
    pub fn bytes(&self) -> Option<u64> {
        match self {
            Self::Face(face) => face.bytes,
            Self::Rejected { bytes, .. } => *bytes,
        }
    }

    /// The line of the index, with its line feed.
    pub fn to_line(&self) -> String {
        let line = match self.clone() {
            Self::Rejected { source, reason, bytes } => Line {
                source,
                rejected: Some(reason),
                bytes,
                picture: None,
                bounds: None,
                score: None,
                landmarks: None,
                transform: None,
                outside: None,
            },
            Self::Face(face) => {
                let Face { picture, source, bounds, landmarks, transform, outside, bytes } = *face;
                Line {
                    picture: Some(picture),
                    source,
                    bounds: Some([bounds.x, bounds.y, bounds.width, bounds.height]),
                    score: Some(bounds.score),
                    landmarks: Some(landmarks),
                    transform: Some(transform),
                    outside: Some(outside),
                    rejected: None,
                    bytes,
                }
            }
        };
        serde_json::to_string(&line).expect("plain numbers and text, which JSON can hold") + "\n"
    }

    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let line: Line = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match line {
            Line {
                picture: Some(picture),
                source,
                bounds: Some([x, y, width, height]),
                score: Some(score),
                landmarks: Some(landmarks),
                transform: Some(transform),
                outside: Some(outside),
                rejected: None,
                bytes,
            } => {
                if !is_below(&picture) {
                    return Err(format!("`picture` is `{picture}`, expected a path below the folder"));
                }
                // JSON holds no NaN, but 1e999 is read as infinite.
                if !landmarks.iter().flatten().all(|number| number.is_finite()) {
                    return Err("a landmark is not finite".into());
                }
                let bounds = FaceBox { x, y, width, height, score };
                Ok(Self::Face(Box::new(Face { picture, source, bounds, landmarks, transform, outside, bytes })))
            }
            Line {
                picture: None,
                source,
                bounds: None,
                score: None,
                landmarks: None,
                transform: None,
                outside: None,
                rejected: Some(reason),
                bytes,
            } => Ok(Self::Rejected { source, reason, bytes }),
            _ => Err("expected `source` with `rejected`, or with all of `picture`, `box`, `score`, `landmarks`, `transform` and `outside`".into()),
        }
    }
}

/// Whether a relative path stays below its folder.
fn is_below(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

/// What an index holds.
#[derive(Debug, Default)]
pub struct Entries {
    pub entries: Vec<Entry>,
    /// Where the line of each entry ends in the file.
    pub ends: Vec<u64>,
    /// Whether bytes without a line feed follow: a line that was being written.
    pub torn: bool,
}

/// Reads the index of `folder`, whole lines only.
///
/// # Errors
/// A file that cannot be read; a line that is none of the two kinds; a picture listed twice, or a source that is both
/// rejected and not.
pub fn read(folder: &Path) -> Result<Entries, Error> {
    let path = folder.join(INDEX);
    let bytes = std::fs::read(&path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::NotAligned { path: folder.into() },
        _ => Error::Read { path: path.clone(), source },
    })?;
    let mut found = Entries::default();
    let mut pictures: HashMap<String, usize> = HashMap::new();
    let mut sources: HashMap<String, (usize, bool)> = HashMap::new();
    let mut end = 0u64;
    for (number, raw) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let line = number + 1;
        let Some(text) = raw.strip_suffix(b"\n") else {
            found.torn = true;
            break;
        };
        let entry = std::str::from_utf8(text)
            .map_err(|error| error.to_string())
            .and_then(Entry::parse)
            .map_err(|message| Error::Line { path: path.clone(), line, message })?;
        let twice = |first, what: &str| Error::Twice { path: path.clone(), line, first, what: what.into() };
        let rejected = match &entry {
            Entry::Face(face) => {
                if let Some(first) = pictures.insert(face.picture.clone(), line) {
                    return Err(twice(first, &face.picture));
                }
                false
            }
            Entry::Rejected { .. } => true,
        };
        // Several faces of one photograph are fine.
        match sources.insert(entry.source().into(), (line, rejected)) {
            Some((first, before)) if before || rejected => return Err(twice(first, entry.source())),
            _ => {}
        }
        end += raw.len() as u64;
        found.entries.push(entry);
        found.ends.push(end);
    }
    Ok(found)
}

/// An aligned picture.
#[derive(Debug, Clone, PartialEq)]
pub struct AlignedFace {
    /// Where the picture lies.
    pub path: PathBuf,
    pub face: Face,
}

/// The faces of one or several folders of aligned pictures.
#[derive(Debug, Default)]
pub struct AlignedFaces {
    faces: Vec<AlignedFace>,
    /// By the absolute path of the picture.
    by_path: HashMap<PathBuf, usize>,
    folders: Vec<PathBuf>,
}

impl AlignedFaces {
    /// The faces of `folder`, in order.
    ///
    /// # Errors
    /// Not a folder of aligned pictures, one that is not complete, or an index that is damaged or holds no face.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let mut faces = Self::default();
        faces.add(folder)?;
        Ok(faces)
    }

    /// The faces of the folders that `pictures` lie in.
    ///
    /// # Errors
    /// As [`Self::open`]; a picture that lies in no such folder, or that its index does not list.
    pub fn of_pictures(pictures: &[PathBuf]) -> Result<Self, Error> {
        let mut faces = Self::default();
        let mut known: HashSet<PathBuf> = HashSet::new();
        for picture in pictures {
            let parent = absolute(picture).parent().map(Path::to_path_buf).unwrap_or_default();
            if known.insert(parent) {
                let folder =
                    Self::folder_of(picture).ok_or_else(|| Error::PictureNotAligned { path: picture.clone() })?;
                if !faces.folders.contains(&folder) {
                    faces.add(&folder)?;
                }
            }
            faces.get(picture)?;
        }
        Ok(faces)
    }

    /// The folder of aligned pictures that `picture` lies in, however deep.
    pub fn folder_of(picture: &Path) -> Option<PathBuf> {
        absolute(picture).ancestors().skip(1).find(|folder| folder.join(INDEX).is_file()).map(Path::to_path_buf)
    }

    fn add(&mut self, folder: &Path) -> Result<(), Error> {
        let Entries { entries, torn, .. } = read(folder)?;
        if torn || !folder.join(REJECTED).is_file() {
            return Err(Error::Unfinished { path: folder.into() });
        }
        let before = self.faces.len();
        for entry in entries {
            if let Entry::Face(face) = entry {
                let path = folder.join(&face.picture);
                self.by_path.insert(absolute(&path), self.faces.len());
                self.faces.push(AlignedFace { path, face: *face });
            }
        }
        if self.faces.len() == before {
            return Err(Error::NoFaces { path: folder.into() });
        }
        self.folders.push(folder.into());
        Ok(())
    }

    /// All faces: folder after folder, in the order of their indices.
    pub fn faces(&self) -> &[AlignedFace] {
        &self.faces
    }

    /// The face whose picture is the file `picture`.
    ///
    /// # Errors
    /// A picture that is not listed.
    pub fn get(&self, picture: &Path) -> Result<&Face, Error> {
        Ok(&self.faces[self.number(picture)?].face)
    }

    /// The number among [`Self::faces`] of the face whose picture is the file `picture`.
    ///
    /// # Errors
    /// A picture that is not listed.
    pub fn number(&self, picture: &Path) -> Result<usize, Error> {
        self.by_path.get(&absolute(picture)).copied().ok_or_else(|| Error::NotListed {
            picture: picture.into(),
            index: Self::folder_of(picture).unwrap_or_default().join(INDEX),
        })
    }
}

/// `path` from the root, so that one file has one name; links and `..` are left alone.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}

#[cfg(test)]
pub(crate) mod testing {
    //! Small folders of aligned pictures.

    use super::*;
    use crate::face::canonical::{HEIGHT, SHAPE, WIDTH};
    use image::RgbImage;

    /// Landmarks of face `number`, near their places but not on them.
    pub fn landmarks(number: usize) -> Shape {
        std::array::from_fn(|i| {
            let off = |k: usize| ((number * 31 + i * 7 + k * 3) % 11) as f32 * 0.4 - 2.0;
            [SHAPE[i][0] + off(0), SHAPE[i][1] + off(1)]
        })
    }

    /// The entry of face `number` under the name `picture`.
    pub fn face(picture: &str, number: usize) -> Face {
        Face {
            picture: picture.into(),
            source: picture.replace(".png", ".jpg"),
            bounds: FaceBox { x: 1.5, y: 2.0, width: 50.0, height: 50.0, score: 12.25 },
            landmarks: landmarks(number),
            transform: [0.8, 0.1, -3.0, 4.5].try_into().expect("a scale"),
            outside: 0.125,
            bytes: Some(4_321),
        }
    }

    /// Writes a complete folder of `counts[i]` pictures of each person: no two pictures alike, none symmetric.
    pub fn aligned_folder(folder: &Path, counts: &[usize]) {
        let mut lines = String::new();
        let mut number = 0;
        for (person, &count) in counts.iter().enumerate() {
            let name = format!("person{person:03}");
            std::fs::create_dir_all(folder.join(&name)).expect("the test's folder is writable");
            for picture in 0..count {
                let path = format!("{name}/{picture:03}.png");
                let pixel = |x: u32, y: u32| {
                    let wave = |k: f32| 120.0 + 90.0 * ((x as f32 + k * y as f32) / (5.0 + k) + number as f32).sin();
                    image::Rgb([wave(0.3) as u8, wave(1.7) as u8, (x + 5 * number as u32) as u8])
                };
                RgbImage::from_fn(WIDTH, HEIGHT, pixel)
                    .save(folder.join(&path))
                    .expect("the test's folder is writable");
                lines += &Entry::Face(Box::new(face(&path, number))).to_line();
                number += 1;
            }
        }
        std::fs::write(folder.join(INDEX), lines).expect("the test's folder is writable");
        std::fs::write(folder.join(REJECTED), "source,reason\n").expect("the test's folder is writable");
    }
}

#[cfg(test)]
mod tests {
    use super::testing::*;
    use super::*;
    use std::fs;

    fn rejected(source: &str) -> Entry {
        Entry::Rejected { source: source.into(), reason: "no face found".into(), bytes: None }
    }

    fn listed(picture: &str, number: usize) -> Entry {
        Entry::Face(Box::new(face(picture, number)))
    }

    fn write(folder: &Path, lines: &[String]) {
        fs::write(folder.join(INDEX), lines.concat()).unwrap();
    }

    #[test]
    fn lines_are_as_documented_and_read_back() {
        let face = listed("ann/1.png", 3);
        let line = face.to_line();
        assert!(line.starts_with(
            r#"{"picture":"ann/1.png","source":"ann/1.jpg","box":[1.5,2.0,50.0,50.0],"score":12.25,"landmarks":[["#
        ));
        assert!(line.ends_with("],\"transform\":[0.8,0.1,-3.0,4.5],\"outside\":0.125,\"bytes\":4321}\n"));
        assert_eq!(Entry::parse(line.trim_end()).unwrap(), face);
        assert_eq!(rejected("b.jpg").to_line(), "{\"source\":\"b.jpg\",\"rejected\":\"no face found\"}\n");
        assert_eq!(Entry::parse(rejected("b.jpg").to_line().trim_end()).unwrap(), rejected("b.jpg"));
    }

    #[test]
    fn accepted_faces_come_in_order_and_are_found_by_path() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path();
        write(folder, &[listed("a/1.png", 0).to_line(), rejected("a/2.jpg").to_line(), listed("b/1.png", 1).to_line()]);
        assert!(matches!(AlignedFaces::open(folder), Err(Error::Unfinished { .. })));
        fs::write(folder.join(REJECTED), "source,reason\na/2.jpg,no face found\n").unwrap();
        let faces = AlignedFaces::open(folder).unwrap();
        let paths: Vec<_> = faces.faces().iter().map(|face| face.path.clone()).collect();
        assert_eq!(paths, [folder.join("a/1.png"), folder.join("b/1.png")]);
        assert_eq!(*faces.get(&folder.join("b/./1.png")).unwrap(), face("b/1.png", 1));
        let message = faces.get(&folder.join("b/7.png")).unwrap_err().to_string();
        assert!(message.contains("b/7.png: not in ") && message.contains(INDEX), "{message}");
    }

    #[test]
    fn a_torn_line_is_no_entry_and_no_complete_folder() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path();
        let whole = [listed("a.png", 0).to_line(), rejected("b.jpg").to_line()];
        let torn = listed("c.png", 1).to_line();
        fs::write(folder.join(REJECTED), "source,reason\n").unwrap();
        for cut in [1, torn.len() / 2, torn.len() - 1] {
            write(folder, &[whole[0].clone(), whole[1].clone(), torn[..cut].into()]);
            let found = read(folder).unwrap();
            assert!(found.torn && found.entries == [listed("a.png", 0), rejected("b.jpg")]);
            assert_eq!(found.ends, [whole[0].len() as u64, (whole[0].len() + whole[1].len()) as u64]);
            let message = AlignedFaces::open(folder).unwrap_err().to_string();
            assert!(message.contains("run the same `deepid2 align` again"), "{message}");
        }
    }

    #[test]
    fn bad_lines_are_named() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path();
        let good = listed("a.png", 0).to_line();
        let renamed = good.replace("a.png", "b.png").replace("a.jpg", "b.jpg");
        for (second, expected) in [
            ("nonsense\n".into(), "line 2: expected"),
            ("\n".into(), "line 2: "),
            (good.clone(), "line 2: a.png is already on line 1"),
            (rejected("a.jpg").to_line(), "line 2: a.jpg is already on line 1"),
            (renamed.replace("\"outside\"", "\"inside\""), "inside"),
            (renamed.replace("\"score\":12.25,", ""), "expected `source` with `rejected`, or with all of"),
            (renamed.replace("[0.8,0.1,", "[0.0,0.0,"), "line 2: "),
            (renamed.replace("b.png", "../b.png"), "expected a path below the folder"),
            (renamed.replace("b.png", "/b.png"), "expected a path below the folder"),
        ] {
            write(folder, &[good.clone(), second]);
            let message = read(folder).unwrap_err().to_string();
            assert!(message.contains("faces.jsonl, line 2") && message.contains(expected), "{expected}: {message}");
            assert!(!message.contains('\n'), "{message}");
        }
        // Two faces of one photograph.
        write(folder, &[good.clone(), good.replace("a.png", "a.face2.png")]);
        assert_eq!(read(folder).unwrap().entries.len(), 2);
    }

    #[test]
    fn other_folders_are_told_what_to_do() {
        let root = tempfile::tempdir().unwrap();
        let message = AlignedFaces::open(root.path()).unwrap_err().to_string();
        assert!(message.contains("run `deepid2 align"), "{message}");
        let message = AlignedFaces::of_pictures(&[root.path().join("a/b.png")]).unwrap_err().to_string();
        assert!(message.contains("b.png") && message.contains("run `deepid2 align`"), "{message}");
        write(root.path(), &[rejected("a.jpg").to_line()]);
        fs::write(root.path().join(REJECTED), "source,reason\na.jpg,no face found\n").unwrap();
        assert!(matches!(AlignedFaces::open(root.path()), Err(Error::NoFaces { .. })));
    }

    #[test]
    fn pictures_of_several_folders_are_found_together() {
        let root = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| root.path().join(name));
        aligned_folder(&one, &[1, 1]);
        aligned_folder(&two, &[2]);
        let pictures = [one.join("person001/000.png"), two.join("person000/001.png"), one.join("person000/000.png")];
        let faces = AlignedFaces::of_pictures(&pictures).unwrap();
        assert_eq!(faces.faces().len(), 4);
        assert_eq!(faces.get(&pictures[1]).unwrap().landmarks, landmarks(1));
        let stray = two.join("person000/009.png");
        assert!(matches!(AlignedFaces::of_pictures(&[stray]), Err(Error::NotListed { .. })));
    }
}
