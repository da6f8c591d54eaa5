//! Photographs to a folder of aligned pictures ([`super::index`]).
//!
//! Photographs are taken in sorted order, in chunks over all rayon threads. A chunk's pictures are in place before its
//! lines of the index are written, so the index never names a picture that is not there. A run that was interrupted,
//! killed included, goes on after the last photograph whose lines are whole, and ends with the bytes that an
//! uninterrupted run would have written.

use super::aligner::{AlignedFace, Aligner, FaceChoice, Landmarks, Search};
use super::index::{self, Entries, Entry, Face};
use crate::data::dataset::{self, Dataset, Identity, find_images, is_picture_name};
use crate::data::formats::Part;
use crate::data::formats::celeba::Root;
use crate::files::{self, FolderLock, atomic_write, quick_write};
use crate::report::csv::quoted;
use crate::settings::{Difference, first_difference};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ImageEncoder, RgbImage};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Changes whenever the same photographs and settings would give other aligned pictures or another index.
const VERSION: u32 = 2;

/// Photographs between two additions to the index: what a killed run loses.
const CHUNK: usize = 32;

/// Why photographs cannot be aligned. What is wrong with a single photograph is a rejection, not an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Source(#[from] dataset::Error),
    #[error(transparent)]
    Index(#[from] index::Error),
    #[error(transparent)]
    Files(#[from] files::Error),
    #[error("{path}: cannot be read: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{out} lies in {source_folder}: aligned pictures would be aligned again; name a folder elsewhere")]
    Inside { source_folder: PathBuf, out: PathBuf },
    #[error("{path} is not empty and holds no aligned pictures; name a new or an empty folder")]
    NotEmpty { path: PathBuf },
    #[error("{path}: exists and is not a folder; name a new or an empty folder")]
    NotFolder { path: PathBuf },
    #[error("{path}: not the settings of an aligned folder ({message}); remove the folder and align again")]
    Settings { path: PathBuf, message: String },
    #[error("{path} was aligned with other settings ({difference}); name another folder, or remove this one")]
    OtherSettings { path: PathBuf, difference: Difference },
    #[error(
        "{path} was begun with other photographs: number {number} was {before} and is {now} now; name another folder, or remove this one"
    )]
    OtherPictures { path: PathBuf, number: usize, before: String, now: String },
    #[error("{first} and {second} would both become {picture}; rename one of them")]
    SameName { first: String, second: String, picture: String },
    #[error("{path}: its name is not UTF-8, which the index needs; rename it")]
    NotUtf8 { path: PathBuf },
}

/// The content of `align.toml`: what the pictures depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    version: u32,
    /// What was aligned.
    source: String,
    landmarks: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    faces: Option<FaceChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    search: Option<Search>,
}

/// How a run went.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Photographs that are done, by this run and earlier ones.
    pub done: usize,
    /// Photographs that there are.
    pub photographs: usize,
    /// Photographs that this run did.
    pub done_now: usize,
    /// Aligned faces.
    pub faces: usize,
    /// Source and reason.
    pub rejected: Vec<(String, String)>,
}

impl Outcome {
    /// Whether nothing is left to do; otherwise the run was asked to stop.
    pub fn is_finished(&self) -> bool {
        self.done == self.photographs
    }
}

/// Aligns the photograph `source`, all below the folder `source`, or those of a list of people or of CelebA, into the folder
/// `out`. `stop` is asked between chunks; `progress` is given the photographs done and all there are.
///
/// # Errors
/// A source without pictures; an `out` that holds anything else, or was made with other settings or photographs;
/// folders and files that cannot be written. A photograph that cannot be aligned is no error: it is listed.
pub fn align_folder(
    source: &Path,
    out: &Path,
    aligner: &Aligner,
    stop: &dyn Fn() -> bool,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Outcome, Error> {
    let photographs = Photographs::list(source, out, aligner.faces == FaceChoice::All)?;
    prepare(source, out, aligner)?;
    let _lock = FolderLock::take(out)?;
    let mut entries = resume(out, &photographs)?;
    let before = photographs_in(&entries);
    let mut done = before;
    let all = photographs.names.len();
    progress(done, all);
    let path = out.join(index::INDEX);
    let write_error = |error| Error::Files(files::Error::writing(&path, error));
    let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(write_error)?;
    while done < all && !stop() {
        let chunk = done..all.min(done + CHUNK);
        let counted = std::sync::atomic::AtomicUsize::new(done);
        let written: Vec<Vec<Entry>> = chunk
            .clone()
            .into_par_iter()
            .map(|number| {
                let written = photographs.write(number, out, aligner);
                progress(counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1, all);
                written
            })
            .collect::<Result<_, Error>>()?;
        let lines: String = written.iter().flatten().map(Entry::to_line).collect();
        file.write_all(lines.as_bytes()).and_then(|()| file.flush()).map_err(write_error)?;
        done += chunk.len();
        entries.extend(written.into_iter().flatten());
    }
    let rejected: Vec<(String, String)> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Rejected { source, reason, .. } => Some((source.clone(), reason.clone())),
            Entry::Face(_) => None,
        })
        .collect();
    if done == all {
        let mut table = String::from("source,reason\n");
        for (source, reason) in &rejected {
            table += &format!("{},{}\n", quoted(source), quoted(reason));
        }
        atomic_write(&out.join(index::REJECTED), table.as_bytes())?;
    }
    let faces = entries.len() - rejected.len();
    Ok(Outcome { done, photographs: all, done_now: done - before, faces, rejected })
}

/// How the photographs of `source` differ from those that the finished folder `out` was made from, in words; `None` where
/// they do not, or where the folder is not finished.
///
/// # Errors
/// A source without pictures, an index that cannot be read.
pub fn changed_photographs(source: &Path, out: &Path, faces: FaceChoice) -> Result<Option<String>, Error> {
    if !out.join(index::REJECTED).is_file() {
        return Ok(None);
    }
    let photographs = Photographs::list(source, out, faces == FaceChoice::All)?;
    let numbers: BTreeMap<&str, usize> = photographs.names.iter().map(String::as_str).zip(0..).collect();
    let entries = index::read(out)?.entries;
    let before: BTreeMap<&str, &Entry> = entries.iter().map(|entry| (entry.source(), entry)).collect();
    let new: Vec<&str> = numbers.keys().copied().filter(|name| !before.contains_key(name)).collect();
    let missing: Vec<&str> = before.keys().copied().filter(|name| !numbers.contains_key(name)).collect();
    let replaced = numbers
        .iter()
        .filter(|(name, number)| before.get(*name).is_some_and(|entry| photographs.is_other(**number, entry)));
    let replaced: Vec<&str> = replaced.map(|(name, _)| *name).collect();
    let named =
        |what: &str, names: Vec<&str>| names.first().map(|name| format!("{} {what}, such as {name}", names.len()));
    let differences = [named("new", new), named("missing", missing), named("of another size", replaced)];
    let differences: Vec<String> = differences.into_iter().flatten().collect();
    Ok((!differences.is_empty()).then(|| differences.join("; ")))
}

/// What is to be aligned.
struct Photographs {
    /// Paths below the root, with `/` between names; `PERSON/FILE` in a list of people and in CelebA.
    names: Vec<String>,
    /// Where each lies.
    files: Vec<PathBuf>,
    /// Whether a photograph may give several faces.
    several: bool,
}

impl Photographs {
    fn list(source: &Path, out: &Path, several: bool) -> Result<Self, Error> {
        let named = match listed(source)? {
            Some(dataset) => named_by_person(&dataset)?,
            None => Self::below(source, out)?,
        };
        let mut taken: HashMap<String, String> = HashMap::new();
        for (name, _) in &named {
            let picture = picture_name(name, None);
            if let Some(first) = taken.insert(picture.clone(), name.clone()) {
                return Err(Error::SameName { first, second: name.clone(), picture });
            }
        }
        let (names, files) = named.into_iter().unzip();
        Ok(Self { names, files, several })
    }

    /// A photograph, or all below a folder.
    fn below(source: &Path, out: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
        let root = if source.is_file() { source.parent().unwrap_or(Path::new("")) } else { source };
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.into());
        if source.is_dir() && absolute(out).starts_with(absolute(source)) {
            return Err(Error::Inside { source_folder: source.into(), out: out.into() });
        }
        let mut named = Vec::new();
        for path in find_images(source)? {
            let below = path.strip_prefix(root).unwrap_or(&path);
            let parts: Option<Vec<&str>> = below.components().map(|part| part.as_os_str().to_str()).collect();
            let name = parts.ok_or_else(|| Error::NotUtf8 { path: path.clone() })?.join("/");
            named.push((name, path));
        }
        Ok(named)
    }

    /// Size of a photograph's file, where it can be told.
    fn bytes(&self, number: usize) -> Option<u64> {
        std::fs::metadata(&self.files[number]).ok().map(|file| file.len())
    }

    /// Whether a photograph is not what `entry` was made of, by its size.
    fn is_other(&self, number: usize, entry: &Entry) -> bool {
        entry.bytes().zip(self.bytes(number)).is_some_and(|(before, now)| before != now)
    }

    /// Aligns a photograph and writes its pictures.
    fn write(&self, number: usize, out: &Path, aligner: &Aligner) -> Result<Vec<Entry>, Error> {
        let name = self.names[number].as_str();
        // Taken first: should the file be replaced meanwhile, the next run sees another size.
        let bytes = self.bytes(number);
        let faces = match aligner.align_file(&self.files[number]) {
            Ok(faces) => faces,
            Err(reason) => return Ok(vec![Entry::Rejected { source: name.into(), reason, bytes }]),
        };
        let mut entries = Vec::with_capacity(faces.len());
        for (number, AlignedFace { bounds, landmarks, transform, aligned }) in (1..).zip(faces) {
            let picture = picture_name(name, self.several.then_some(number));
            let path = out.join(&picture);
            let folder = path.parent().unwrap_or(out);
            std::fs::create_dir_all(folder).map_err(|error| files::Error::writing(folder, error))?;
            quick_write(&path, &png(&aligned.picture))?;
            let (source, outside) = (name.into(), aligned.outside);
            entries.push(Entry::Face(Box::new(Face { picture, source, bounds, landmarks, transform, outside, bytes })));
        }
        Ok(entries)
    }
}

/// The data set at `source`, where that is a list of people's pictures or CelebA: its folders are not its people.
fn listed(source: &Path) -> Result<Option<Dataset>, Error> {
    let (path, part) = Part::of_path(source);
    let is_list = path.is_file() && !is_picture_name(&path);
    let is_listed = is_list || part != Part::All || Root::find(&path).is_some();
    Ok(if is_listed { Some(Dataset::open_part(&path, part)?) } else { None })
}

fn named_by_person(dataset: &Dataset) -> Result<Vec<(String, PathBuf)>, Error> {
    let of_person = |identity: &Identity| {
        let named = identity.images.iter().map(|path| {
            let file = path.file_name().and_then(|file| file.to_str());
            let file = file.ok_or_else(|| Error::NotUtf8 { path: path.clone() })?;
            Ok((format!("{}/{file}", identity.name), path.clone()))
        });
        named.collect::<Vec<_>>()
    };
    dataset.identities.iter().flat_map(of_person).collect()
}

/// The name of the aligned picture: the photograph's with another extension, and the face's number where there may be
/// several.
fn picture_name(photograph: &str, number: Option<usize>) -> String {
    let stem = Path::new(photograph).with_extension("");
    let stem = stem.to_str().unwrap_or(photograph);
    match number {
        Some(number) => format!("{stem}.face{number}.png"),
        None => format!("{stem}.png"),
    }
}

fn png(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive)
        .write_image(picture.as_raw(), picture.width(), picture.height(), image::ExtendedColorType::Rgb8)
        .expect("a picture of the frame's size can be encoded in memory");
    bytes
}

/// Makes `out`, or checks that it was made with the same settings.
fn prepare(source: &Path, out: &Path, aligner: &Aligner) -> Result<(), Error> {
    if out.exists() && !out.is_dir() {
        return Err(Error::NotFolder { path: out.into() });
    }
    let absolute = std::path::absolute(source).unwrap_or_else(|_| source.into());
    let by_model = matches!(aligner.landmarks, Landmarks::Model { .. });
    let settings = Settings {
        version: VERSION,
        source: absolute.to_string_lossy().into_owned(),
        landmarks: aligner.landmarks.describe(),
        faces: by_model.then_some(aligner.faces),
        search: by_model.then_some(aligner.search),
    };
    let path = out.join(index::SETTINGS);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let wrong =
                |error: toml::de::Error| Error::Settings { path: path.clone(), message: error.message().into() };
            let before: Settings = toml::from_str(&text).map_err(wrong)?;
            match first_difference(&before, &settings) {
                Some(difference) => Err(Error::OtherSettings { path: out.into(), difference }),
                None => Ok(()),
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            std::fs::create_dir_all(out).map_err(|error| files::Error::writing(&path, error))?;
            let mut others = std::fs::read_dir(out).map_err(|source| Error::Read { path: out.into(), source })?;
            let visible = |entry: std::io::Result<std::fs::DirEntry>| {
                entry.is_ok_and(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."))
            };
            if others.any(visible) {
                return Err(Error::NotEmpty { path: out.into() });
            }
            let text = toml::to_string(&settings).expect("plain numbers and text, which TOML can hold");
            Ok(atomic_write(&path, text.as_bytes())?)
        }
        Err(source) => Err(Error::Read { path, source }),
    }
}

/// How many photographs the entries are of: those of one follow one another.
fn photographs_in(entries: &[Entry]) -> usize {
    entries.chunk_by(|a, b| a.source() == b.source()).count()
}

/// The entries of an earlier run that hold, after cutting the index to them: of photographs that are still the same, whose
/// lines are whole and whose pictures are there. The last photograph of a run that did not end is done again, since faces
/// of it may be missing.
fn resume(out: &Path, photographs: &Photographs) -> Result<Vec<Entry>, Error> {
    let (path, complete) = (out.join(index::INDEX), out.join(index::REJECTED));
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let Entries { mut entries, ends, torn } = index::read(out)?;
    let mut kept = 0;
    let mut number = 0;
    let groups: Vec<&[Entry]> = entries.chunk_by(|a, b| a.source() == b.source()).collect();
    let finished = complete.is_file() && !torn;
    let whole = if finished { groups.len() } else { groups.len().saturating_sub(1) };
    let mut holds = true;
    for group in &groups {
        let (before, now) = (group[0].source(), photographs.names.get(number).map_or("absent", String::as_str));
        number += 1;
        if before != now {
            let (before, now) = (before.into(), now.into());
            return Err(Error::OtherPictures { path: out.into(), number, before, now });
        }
        holds &= number <= whole
            && !photographs.is_other(number - 1, &group[0])
            && group.iter().all(|entry| match entry {
                Entry::Face(face) => out.join(&face.picture).is_file(),
                Entry::Rejected { .. } => true,
            });
        if holds {
            kept += group.len();
        }
    }
    if finished && kept == entries.len() && number == photographs.names.len() {
        return Ok(entries);
    }
    if complete.is_file() {
        std::fs::remove_file(&complete).map_err(|error| files::Error::writing(&complete, error))?;
    }
    let end = kept.checked_sub(1).map_or(0, |last| ends[last]);
    let file = OpenOptions::new().write(true).open(&path);
    file.and_then(|file| file.set_len(end)).map_err(|error| files::Error::writing(&path, error))?;
    entries.truncate(kept);
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::synth::{SynthSpec, write_dataset};
    use crate::face::aligner::tests::by_model;
    use crate::face::canonical::{HEIGHT, SHAPE, WIDTH};
    use crate::face::index::AlignedFaces;
    use crate::face::points::{LEFT_PUPIL, RIGHT_PUPIL, distance};
    use crate::face::pts;
    use std::cell::Cell;
    use std::fs;
    use tempfile::TempDir;

    fn aligner() -> Aligner {
        Aligner::new(Landmarks::Pts, FaceChoice::Largest, Search::Middle { share: 1.0 }).unwrap()
    }

    /// 35 synthetic photographs of 5 people, more than a chunk, with landmarks; two of them cannot be aligned.
    fn photographs() -> TempDir {
        let root = tempfile::tempdir().unwrap();
        write_dataset(root.path(), &SynthSpec { identities: 5, images: 7, seed: 3, size: 40 }, &|| {}).unwrap();
        fs::write(root.path().join("person_0001/003.jpg"), b"nonsense").unwrap();
        fs::remove_file(root.path().join("person_0004/000.pts")).unwrap();
        root
    }

    fn run(source: &Path, out: &Path) -> Result<Outcome, Error> {
        align_folder(source, out, &aligner(), &|| false, &|_, _| {})
    }

    fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![dir.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.insert(path.strip_prefix(dir).unwrap().into(), fs::read(&path).unwrap());
                }
            }
        }
        found
    }

    #[test]
    fn synthetic_faces_have_their_pupils_where_the_frame_has_them() {
        let (source, root) = (photographs(), tempfile::tempdir().unwrap());
        let out = root.path().join("new/aligned");
        let last = std::sync::Mutex::new((0, 0));
        let progress = |done: usize, all: usize| {
            let mut last = last.lock().unwrap();
            *last = (done.max(last.0), all);
        };
        let outcome = align_folder(source.path(), &out, &aligner(), &|| false, &progress).unwrap();
        assert_eq!((outcome.done, outcome.done_now, outcome.faces, outcome.is_finished()), (35, 35, 33, true));
        assert_eq!(last.into_inner().unwrap(), (35, 35));
        let sources: Vec<_> = outcome.rejected.iter().map(|(source, _)| source.as_str()).collect();
        assert_eq!(sources, ["person_0001/003.jpg", "person_0004/000.jpg"]);
        assert!(outcome.rejected[1].1.contains("put a picture's landmarks beside it"), "{:?}", outcome.rejected);
        let table = fs::read_to_string(out.join("rejected.csv")).unwrap();
        assert_eq!(table.lines().count(), 3);
        assert!(table.contains("\nperson_0001/003.jpg,\"not a "), "{table}");

        let faces = AlignedFaces::open(&out).unwrap();
        assert_eq!(faces.faces().len(), 33);
        let mut sum = 0.0;
        for face in faces.faces() {
            let picture = image::open(&face.path).unwrap();
            assert_eq!((picture.width(), picture.height()), (WIDTH, HEIGHT));
            let landmarks = face.face.landmarks;
            for pupil in [LEFT_PUPIL, RIGHT_PUPIL] {
                sum += distance(landmarks[pupil], SHAPE[pupil]);
            }
            // What the photograph had and what the frame has are one place.
            let pts = pts::read(&source.path().join(&face.face.source).with_extension("pts")).unwrap();
            assert_eq!(face.face.transform.apply_shape(&pts), landmarks);
        }
        // Synthetic faces turn and differ from the mean of real ones, but not by more than a few pixels of 40.
        assert!(sum / 66.0 < 5.0, "{}", sum / 66.0);
    }

    #[test]
    fn an_interrupted_run_ends_with_the_same_bytes() {
        let (source, root) = (photographs(), tempfile::tempdir().unwrap());
        let [whole, broken] = ["whole", "broken"].map(|name| root.path().join(name));
        run(source.path(), &whole).unwrap();
        let expected = files(&whole);

        // Asked to stop after the first chunk.
        let asked = Cell::new(0);
        let stop = || asked.replace(asked.get() + 1) > 0;
        let outcome = align_folder(source.path(), &broken, &aligner(), &stop, &|_, _| {}).unwrap();
        assert_eq!((outcome.done, outcome.is_finished()), (32, false));
        assert!(!broken.join("rejected.csv").exists());
        let outcome = run(source.path(), &broken).unwrap();
        // The last photograph is done again.
        assert_eq!((outcome.done, outcome.done_now, outcome.faces), (35, 4, 33));
        assert_eq!(files(&broken), expected);

        // Killed: a line torn, a picture half written, a picture whose line was never written.
        let index = fs::read(broken.join("faces.jsonl")).unwrap();
        for length in [0, 1, index.len() / 2, index.len() - 1, index.len()] {
            fs::remove_file(broken.join("rejected.csv")).unwrap();
            fs::write(broken.join("faces.jsonl"), &index[..length]).unwrap();
            fs::write(broken.join("person_0004/.006.png.part"), b"half").unwrap();
            assert!(run(source.path(), &broken).unwrap().done_now >= 1);
            assert_eq!(files(&broken), expected, "cut to {length} bytes");
        }

        // A picture is gone: everything from it on is made again.
        fs::remove_file(broken.join("person_0003/002.png")).unwrap();
        assert_eq!(run(source.path(), &broken).unwrap().done_now, 35 - 23);
        assert_eq!(files(&broken), expected);
        assert_eq!(run(source.path(), &broken).unwrap().done_now, 0);
        assert_eq!(files(&broken), expected);
    }

    #[test]
    fn photographs_that_come_and_go_are_named() {
        let (source, root) = (photographs(), tempfile::tempdir().unwrap());
        let out = root.path().join("out");
        let changed = || changed_photographs(source.path(), &out, FaceChoice::Largest).unwrap();
        assert_eq!(changed(), None, "nothing is aligned yet");
        run(source.path(), &out).unwrap();
        assert_eq!(changed(), None);
        let [first, new] = ["person_0000/000.jpg", "person_0002/new.jpg"].map(|name| source.path().join(name));
        fs::copy(&first, &new).unwrap();
        assert_eq!(changed().unwrap(), "1 new, such as person_0002/new.jpg");
        fs::remove_file(&first).unwrap();
        assert_eq!(changed().unwrap(), "1 new, such as person_0002/new.jpg; 1 missing, such as person_0000/000.jpg");
    }

    #[test]
    fn photographs_that_were_replaced_are_named_and_aligned_anew() {
        let (source, root) = (photographs(), tempfile::tempdir().unwrap());
        let out = root.path().join("out");
        run(source.path(), &out).unwrap();
        let photograph = |name: &str| source.path().join(name);
        // One that was aligned by the picture of another person, one that was rejected by its own.
        for name in ["person_0003/002", "person_0001/003"] {
            for extension in ["jpg", "pts"] {
                let other = photograph(&format!("person_0000/001.{extension}"));
                fs::copy(other, photograph(&format!("{name}.{extension}"))).unwrap();
            }
        }
        let changed = changed_photographs(source.path(), &out, FaceChoice::Largest).unwrap();
        assert_eq!(changed.unwrap(), "2 of another size, such as person_0001/003.jpg");
        let outcome = run(source.path(), &out).unwrap();
        // The first of them is the eleventh photograph: it and all after it are done again.
        assert_eq!((outcome.done_now, outcome.faces), (35 - 10, 34));
        let whole = root.path().join("whole");
        run(source.path(), &whole).unwrap();
        assert_eq!(files(&out), files(&whole));
        assert_eq!(changed_photographs(source.path(), &out, FaceChoice::Largest).unwrap(), None);
    }

    #[test]
    fn the_bytes_do_not_depend_on_threads() {
        let (source, root) = (photographs(), tempfile::tempdir().unwrap());
        let [one, three] = [1, 3].map(|count| {
            let out = root.path().join(count.to_string());
            let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build().unwrap();
            pool.install(|| run(source.path(), &out)).unwrap();
            files(&out)
        });
        assert_eq!(one, three);
    }

    #[test]
    fn other_settings_photographs_and_folders_are_refused() {
        let (source, root) = (photographs(), tempfile::tempdir().unwrap());
        let out = root.path().join("aligned");
        run(source.path(), &out).unwrap();
        let before = files(&out);
        let refused = |source: &Path, out: &Path, aligner: &Aligner, expected: &[&str]| {
            let message = align_folder(source, out, aligner, &|| false, &|_, _| {}).unwrap_err().to_string();
            assert!(expected.iter().all(|part| message.contains(part)), "{message}");
        };
        let model = by_model(Search::Middle { share: 0.5 }, FaceChoice::Largest);
        refused(source.path(), &out, &model, &["other settings", "faces is absent in the run and \"largest\" now"]);
        let other = photographs();
        refused(other.path(), &out, &aligner(), &["other settings", "source is "]);
        let text = fs::read_to_string(out.join("align.toml")).unwrap();
        fs::write(out.join("align.toml"), text.replace("version = 2", "version = 1")).unwrap();
        refused(source.path(), &out, &aligner(), &["version is 1 in the run and 2 now"]);
        fs::write(out.join("align.toml"), "what = 1").unwrap();
        refused(source.path(), &out, &aligner(), &["align.toml: not the settings of an aligned folder"]);
        fs::write(out.join("align.toml"), text).unwrap();
        assert_eq!(files(&out), before);

        // A new photograph at the end is added; one before that is another set.
        fs::copy(source.path().join("person_0000/000.jpg"), source.path().join("person_0004/777.jpg")).unwrap();
        fs::copy(source.path().join("person_0000/000.pts"), source.path().join("person_0004/777.pts")).unwrap();
        assert_eq!(run(source.path(), &out).unwrap().done_now, 1);
        fs::write(source.path().join("person_0000/0.jpg"), b"").unwrap();
        refused(
            source.path(),
            &out,
            &aligner(),
            &["photographs", "number 1 was person_0000/000.jpg and is person_0000/0.jpg"],
        );

        let inside = source.path().join("aligned");
        refused(source.path(), &inside, &aligner(), &["lies in"]);
        refused(source.path(), source.path(), &aligner(), &["lies in"]);
        refused(source.path(), other.path(), &aligner(), &["is not empty and holds no aligned pictures"]);
        refused(source.path(), &source.path().join("synth.toml"), &aligner(), &["lies in"]);
        let file = root.path().join("file");
        fs::write(&file, b"").unwrap();
        refused(source.path(), &file, &aligner(), &["exists and is not a folder"]);
        fs::write(source.path().join("person_0002/001.png"), b"").unwrap();
        refused(
            source.path(),
            &root.path().join("b"),
            &aligner(),
            &["001.jpg and ", "001.png would both become person_0002/001.png"],
        );
        refused(&root.path().join("none"), &root.path().join("b"), &aligner(), &["none: no such file or folder"]);
    }

    #[test]
    fn several_faces_of_a_photograph_are_numbered() {
        let root = tempfile::tempdir().unwrap();
        let (source, out) = (root.path().join("photo.png"), root.path().join("out"));
        RgbImage::from_fn(120, 90, |x, y| image::Rgb([x as u8, y as u8, 9])).save(&source).unwrap();
        let all = by_model(Search::Middle { share: 0.5 }, FaceChoice::All);
        let outcome = align_folder(&source, &out, &all, &|| false, &|_, _| {}).unwrap();
        assert_eq!((outcome.faces, outcome.photographs), (1, 1));
        assert!(out.join("photo.face1.png").is_file());
    }
}
