//! Synthetic faces as a folder: `DIR/person_0000/000.jpg` with its landmarks in `000.pts`.

use super::landmarks::format_pts;
use super::render;
use image::codecs::jpeg::JpegEncoder;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Written last: a folder that has it is complete.
pub const SPEC_FILE: &str = "synth.toml";

/// Written first, removed last: a folder that has it was interrupted, or is being written.
const UNFINISHED_FILE: &str = ".synth-unfinished.toml";

/// Changes whenever the same numbers would give other pictures.
const DRAWING_VERSION: u32 = 1;

/// Why a data set cannot be drawn. Every message names the argument or the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{name} is {value}: expected {low} to {high}")]
    OutOfRange { name: &'static str, value: u32, low: u32, high: u32 },
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
    /// Identities outside 1 to 9,999, images outside 2 to 999 (one gives no pair of the same
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

/// The content of both description files.
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
        .expect("numbers can be written as TOML");
    if !holds(&unfinished, spec)? {
        let read_error = |source| Error::Read { path: dir.into(), source };
        if std::fs::read_dir(dir).map_err(read_error)?.next().is_some() {
            return Err(Error::NotEmpty { path: dir.into() });
        }
        write_atomically(&unfinished, description.as_bytes())?;
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
    write_atomically(&done, description.as_bytes())?;
    std::fs::remove_file(&unfinished).map_err(|source| Error::Write { path: unfinished, source })?;
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
    write_atomically(&picture_path.with_extension("pts"), format_pts(&picture.landmarks).as_bytes())?;
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, picture.jpeg_quality)
        .encode_image(&picture.pixels)
        .expect("an RGB picture of at most 2048×2048 pixels can be encoded in memory");
    write_atomically(&picture_path, &jpeg)?;
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

/// Writes to a temporary name in the same folder and renames, so that no half-written file ever
/// has the final name. The temporary name is a function of the final one: what a killed run leaves
/// behind is used up by the run that continues it.
fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part = path.with_file_name(format!(".{name}.part"));
    std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, path)).map_err(|source| {
        // Best effort: the error that matters is the first one.
        std::fs::remove_file(&part).ok();
        Error::Write { path: path.into(), source }
    })
}
