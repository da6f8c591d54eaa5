//! Synthetic faces as a folder: `DIR/person_0000/000.jpg` with its landmarks in `000.pts`.

use super::landmarks::format_pts;
use super::render;
use crate::files::{self, quick_write};
use image::codecs::jpeg::JpegEncoder;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The description of the data set: a folder that has it is complete.
pub const SPEC_FILE: &str = "synth.toml";

/// Its name until the last picture is written.
const UNFINISHED_FILE: &str = ".synth-unfinished.toml";

/// Changes whenever the same numbers would give other pictures.
const DRAWING_VERSION: u32 = 1;

/// Why a data set cannot be drawn. Every message names the argument or the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{name} is {value}: expected {low} to {high}")]
    OutOfRange { name: &'static str, value: u32, low: u32, high: u32 },
    #[error("seed is {seed}: expected at most {max}, the largest whole number of a TOML file", max = i64::MAX)]
    Seed { seed: u64 },
    #[error(
        "{path} is not empty and holds no synthetic data set; name a new or an empty folder so that no file of yours is mixed with the pictures"
    )]
    NotEmpty { path: PathBuf },
    #[error(
        "{path} holds another synthetic data set ({found}; asked for: {asked}); name another folder, or remove this one"
    )]
    OtherSpec { path: PathBuf, found: SynthSpec, asked: SynthSpec },
    #[error(
        "{path} was drawn by another version of the drawing ({found}, this is {DRAWING_VERSION}); name another folder, or remove this one"
    )]
    OtherVersion { path: PathBuf, found: u32 },
    #[error("{path}: not a description of a synthetic data set ({message}); name another folder, or remove this one")]
    Spec { path: PathBuf, message: String },
    #[error("{path}: exists and is not a folder; name a new or an empty folder")]
    NotFolder { path: PathBuf },
    #[error("{path}: cannot be read: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: cannot be written: {source}; choose a folder that you may write to, on a disk with room")]
    Write { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    File(#[from] files::Error),
}

/// A data set of synthetic faces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SynthSpec {
    pub identities: u32,
    /// Pictures of each identity.
    pub images: u32,
    pub seed: u64,
    /// Width and height of a picture in pixels.
    pub size: u32,
}

impl Default for SynthSpec {
    fn default() -> Self {
        Self { identities: 100, images: 20, seed: 1, size: 128 }
    }
}

impl std::fmt::Display for SynthSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { identities, images, seed, size } = self;
        write!(f, "{identities} identities of {images} images, seed {seed}, size {size}")
    }
}

impl SynthSpec {
    /// Checks every field. The upper limits keep the numbers in file names at their width, so that
    /// names sort as numbers.
    ///
    /// # Errors
    /// A seed beyond 2⁶³ − 1. Identities outside 1 to 9,999, images outside 2 to 999 (one gives no pair of the same
    /// person), a size outside 32 to 2,048 pixels.
    pub fn check(&self) -> Result<(), Error> {
        for (name, value, low, high) in [
            ("identities", self.identities, 1, 9_999),
            ("images (of each identity)", self.images, 2, 999),
            ("size", self.size, 32, 2_048),
        ] {
            if !(low..=high).contains(&value) {
                return Err(Error::OutOfRange { name, value, low, high });
            }
        }
        if i64::try_from(self.seed).is_err() {
            return Err(Error::Seed { seed: self.seed });
        }
        Ok(())
    }
}

/// What there was to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// This many pictures were drawn now; the others were there from an interrupted run.
    Drawn { pictures: u32 },
    /// The folder already held exactly this data set.
    AlreadyThere,
}

/// The content of the description file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    drawing_version: u32,
    synth: SynthSpec,
}

/// Draws a data set into the folder `dir`, which is made where it does not exist, on all rayon
/// threads. `progress` is called once for each picture, from any thread.
///
/// A run that is interrupted leaves complete files only, and the same call later draws what is
/// missing. A folder that already holds all of it is left as it is.
///
/// # Errors
/// A bad `spec`; a folder with anything else in it, another data set of ours included; a folder
/// or file that cannot be read or written.
pub fn write_dataset(dir: &Path, spec: &SynthSpec, progress: &(dyn Fn() + Sync)) -> Result<Written, Error> {
    spec.check()?;
    if dir.exists() && !dir.is_dir() {
        return Err(Error::NotFolder { path: dir.into() });
    }
    make_folder(dir)?;
    let (done, unfinished) = (dir.join(SPEC_FILE), dir.join(UNFINISHED_FILE));
    if holds(&done, spec)? {
        return Ok(Written::AlreadyThere);
    }
    let description = toml::to_string(&Description { drawing_version: DRAWING_VERSION, synth: *spec })
        .expect("checked numbers can be written as TOML");
    if !holds(&unfinished, spec)? {
        let read_error = |source| Error::Read { path: dir.into(), source };
        if std::fs::read_dir(dir).map_err(read_error)?.next().is_some() {
            return Err(Error::NotEmpty { path: dir.into() });
        }
        quick_write(&unfinished, description.as_bytes())?;
    }
    for identity in 0..spec.identities {
        make_folder(&dir.join(person_name(identity)))?;
    }
    let drawn: Vec<bool> = (0..spec.identities * spec.images)
        .into_par_iter()
        .map(|number| {
            let drawn = write_picture(dir, spec, number / spec.images, number % spec.images);
            progress();
            drawn
        })
        .collect::<Result<_, _>>()?;
    std::fs::rename(&unfinished, &done).map_err(|source| Error::Write { path: done, source })?;
    let pictures = drawn.iter().map(|&drawn| u32::from(drawn)).sum();
    Ok(Written::Drawn { pictures })
}

fn person_name(identity: u32) -> String {
    format!("person_{identity:04}")
}

/// Draws and writes one picture, landmarks first, unless it is there already.
fn write_picture(dir: &Path, spec: &SynthSpec, identity: u32, image: u32) -> Result<bool, Error> {
    let picture_path = dir.join(person_name(identity)).join(format!("{image:03}.jpg"));
    // The landmarks are in place before the picture is, so the picture stands for both.
    if picture_path.exists() {
        return Ok(false);
    }
    let picture = render(spec.seed, identity, image, spec.size);
    quick_write(&picture_path.with_extension("pts"), format_pts(&picture.landmarks).as_bytes())?;
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, picture.jpeg_quality)
        .encode_image(&picture.pixels)
        .expect("an RGB picture of at most 2048×2048 pixels can be encoded in memory");
    quick_write(&picture_path, &jpeg)?;
    Ok(true)
}

fn make_folder(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).map_err(|source| Error::Write { path: path.into(), source })
}

/// Whether the description file `path` is there and describes `spec`.
fn holds(path: &Path, spec: &SynthSpec) -> Result<bool, Error> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(Error::Read { path: path.into(), source }),
    };
    let found: Description =
        toml::from_str(&text).map_err(|error| Error::Spec { path: path.into(), message: error.message().into() })?;
    let folder = path.parent().unwrap_or(path).to_path_buf();
    if found.drawing_version != DRAWING_VERSION {
        return Err(Error::OtherVersion { path: folder, found: found.drawing_version });
    }
    if found.synth != *spec {
        return Err(Error::OtherSpec { path: folder, found: found.synth, asked: *spec });
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::Dataset;
    use crate::data::decode::decode_upright;
    use std::collections::BTreeMap;
    use std::fs;
    use std::sync::atomic::{AtomicU32, Ordering};

    const SPEC: SynthSpec = SynthSpec { identities: 3, images: 2, seed: 5, size: 32 };

    fn write(dir: &Path, spec: SynthSpec) -> Result<Written, Error> {
        write_dataset(dir, &spec, &|| {})
    }

    /// All files below `dir`, hidden ones included.
    fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(files(&path));
            } else {
                found.insert(path.clone(), fs::read(&path).unwrap());
            }
        }
        found
    }

    fn relative_files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        files(dir).into_iter().map(|(path, bytes)| (path.strip_prefix(dir).unwrap().into(), bytes)).collect()
    }

    #[test]
    fn a_data_set_is_pictures_and_landmarks_by_person() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("new/faces");
        let calls = AtomicU32::new(0);
        let count = || {
            calls.fetch_add(1, Ordering::Relaxed);
        };
        assert_eq!(write_dataset(&dir, &SPEC, &count).unwrap(), Written::Drawn { pictures: 6 });
        assert_eq!(calls.into_inner(), 6);
        assert_eq!(files(&dir).len(), 13);
        let dataset = Dataset::open(&dir).unwrap();
        assert_eq!((dataset.identities.len(), dataset.image_count()), (3, 6));
        let path = &dataset.identities[2].images[1];
        assert!(path.ends_with("person_0002/001.jpg"));
        let (stored, drawn) = (decode_upright(path).unwrap().to_rgb8(), render(5, 2, 1, 32));
        let error = stored.as_raw().iter().zip(drawn.pixels.as_raw()).map(|(&a, &b)| f64::from(a.abs_diff(b)));
        assert!(error.sum::<f64>() / (32.0 * 32.0 * 3.0) < 12.0);
        let pts = fs::read_to_string(path.with_extension("pts")).unwrap();
        assert_eq!(pts, format_pts(&drawn.landmarks));
    }

    #[test]
    fn the_bytes_depend_on_neither_threads_nor_numbers() {
        let root = tempfile::tempdir().unwrap();
        let [one, three, more] = ["one", "three", "more"].map(|name| root.path().join(name));
        let threads = |count: usize| rayon::ThreadPoolBuilder::new().num_threads(count).build().unwrap();
        threads(1).install(|| write(&one, SPEC)).unwrap();
        threads(3).install(|| write(&three, SPEC)).unwrap();
        assert_eq!(relative_files(&one), relative_files(&three));
        write(&more, SynthSpec { identities: 4, images: 3, ..SPEC }).unwrap();
        let more = relative_files(&more);
        for (path, bytes) in relative_files(&one) {
            assert!(path == Path::new(SPEC_FILE) || more[&path] == bytes, "{}", path.display());
        }
    }

    #[test]
    fn an_interrupted_run_is_continued_and_a_complete_one_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let [whole, broken] = ["whole", "broken"].map(|name| root.path().join(name));
        write(&whole, SPEC).unwrap();
        write(&broken, SPEC).unwrap();
        // As a killed run leaves it: no final description, a picture and a half missing, a
        // half-written file.
        fs::rename(broken.join(SPEC_FILE), broken.join(UNFINISHED_FILE)).unwrap();
        let person = broken.join("person_0001");
        for file in ["000.jpg", "001.jpg", "001.pts"] {
            fs::remove_file(person.join(file)).unwrap();
        }
        fs::write(person.join(".001.jpg.part"), b"half").unwrap();
        assert!(matches!(write(&broken, SynthSpec { seed: 6, ..SPEC }), Err(Error::OtherSpec { found: SPEC, .. })));
        assert_eq!(write(&broken, SPEC).unwrap(), Written::Drawn { pictures: 2 });
        assert_eq!(relative_files(&broken), relative_files(&whole));
        assert_eq!(write(&broken, SPEC).unwrap(), Written::AlreadyThere);
        assert_eq!(relative_files(&broken), relative_files(&whole));
    }

    #[test]
    fn folders_with_other_content_are_refused_and_kept() {
        let root = tempfile::tempdir().unwrap();
        let other = root.path().join("other");
        write(&other, SPEC).unwrap();
        let before = files(&other);
        let message = write(&other, SynthSpec { images: 4, ..SPEC }).unwrap_err().to_string();
        assert!(
            message.contains("3 identities of 2 images, seed 5, size 32; asked for: 3 identities of 4"),
            "{message}"
        );
        assert_eq!(files(&other), before);

        let mine = root.path().join("mine");
        fs::create_dir(&mine).unwrap();
        fs::write(mine.join("letter.txt"), b"dear").unwrap();
        assert!(matches!(write(&mine, SPEC), Err(Error::NotEmpty { .. })));
        assert_eq!(files(&mine).len(), 1);
        fs::write(mine.join(SPEC_FILE), "what = 1").unwrap();
        let message = write(&mine, SPEC).unwrap_err().to_string();
        assert!(message.contains("synth.toml: not a description"), "{message}");
        let text = fs::read_to_string(other.join(SPEC_FILE)).unwrap();
        let old = text.replace(&format!("drawing_version = {DRAWING_VERSION}"), "drawing_version = 0");
        fs::write(mine.join(SPEC_FILE), old).unwrap();
        assert!(matches!(write(&mine, SPEC), Err(Error::OtherVersion { found: 0, .. })));
    }

    #[test]
    fn places_that_cannot_be_written_say_so() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, b"").unwrap();
        assert!(matches!(write(&file, SPEC), Err(Error::NotFolder { .. })));
        let message = write(&file.join("below"), SPEC).unwrap_err().to_string();
        assert!(message.contains("below: cannot be written"), "{message}");
        // A folder in the place of a file: the write fails, no temporary file is left.
        let folder = root.path().join("folder");
        fs::create_dir(&folder).unwrap();
        assert!(quick_write(&folder, b"x").is_err());
        assert_eq!(files(root.path()).len(), 1);
    }

    #[test]
    fn nonsense_is_refused_before_anything_is_written() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("faces");
        for (spec, expected) in [
            (SynthSpec { identities: 0, ..SPEC }, "identities is 0: expected 1 to 9999"),
            (SynthSpec { identities: 10_000, ..SPEC }, "identities is 10000"),
            (SynthSpec { images: 1, ..SPEC }, "images (of each identity) is 1: expected 2 to 999"),
            (SynthSpec { size: 31, ..SPEC }, "size is 31: expected 32 to 2048"),
            (SynthSpec { size: 2049, ..SPEC }, "size is 2049"),
            (SynthSpec { seed: u64::MAX, ..SPEC }, "seed is 18446744073709551615: expected at most"),
        ] {
            let message = write(&dir, spec).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            assert!(!dir.exists());
        }
        assert!(SynthSpec::default().check().is_ok());
    }
}
