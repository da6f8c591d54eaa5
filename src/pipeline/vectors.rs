//! Files of DeepID2 vectors: those of one network for every face of an aligned folder, in the folder's order.
//!
//! Safetensors with one tensor, `vectors`, [faces, 2, 160] of f32: for each face the vector of the patch as it is, then
//! that of its mirrored counterpart. Entries say where they come from, so that vectors of other faces or of another
//! network are never taken for these:
//!
//! | entry | what |
//! |---|---|
//! | `kind` | `deepid2-vectors-2` |
//! | `patch` | number of the patch, 0 to 199 |
//! | `model` | [`Model::digest`](crate::model::Model::digest) of the network |
//! | `faces` | SHA-256 of the aligned folder's `faces.jsonl` |
//! | `seed`, `validation_fraction` | of the network's training: they say who was held out |
//!
//! A file is written row by row to `NAME.partial` beside it, flushed after each batch, and renamed when it is whole. What
//! is interrupted goes on from the last whole row.

use super::Error;
use super::people::HoldOut;
use crate::model::checkpoint;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The value of the entry `kind`.
const KIND: &str = "deepid2-vectors-2";
/// Name of the tensor.
const TENSOR: &str = "vectors";
/// Vectors of a face: of the patch, and of its mirrored counterpart.
pub const SIDES: usize = 2;

/// What vectors come from.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    /// Number of the patch.
    pub patch: usize,
    /// [`Model::digest`](crate::model::Model::digest) of the network.
    pub model: String,
    /// SHA-256 of the list of faces.
    pub faces: String,
    /// Who was held out from the network's training.
    pub held_out: HoldOut,
}

impl Origin {
    fn metadata(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("kind".into(), KIND.into()),
            ("patch".into(), self.patch.to_string()),
            ("model".into(), self.model.clone()),
            ("faces".into(), self.faces.clone()),
            ("seed".into(), self.held_out.seed.to_string()),
            ("validation_fraction".into(), self.held_out.fraction.to_string()),
        ])
    }

    /// What differs from `other`, in words; `None` where nothing does.
    fn difference(&self, other: &Self) -> Option<&'static str> {
        match () {
            () if self.patch != other.patch => Some("another patch"),
            () if self.model != other.model => Some("another network"),
            () if self.faces != other.faces => Some("other faces"),
            () if self.held_out != other.held_out => Some("a network that held out other people"),
            () => None,
        }
    }
}

/// Where the vectors of a patch lie in a folder of vectors.
pub fn path(folder: &Path, patch: usize) -> PathBuf {
    folder.join(format!("patch-{patch:03}.safetensors"))
}

fn partial(path: &Path) -> PathBuf {
    path.with_extension("safetensors.partial")
}

/// Writes a file of vectors, or goes on with one.
#[derive(Debug)]
pub struct VectorWriter {
    path: PathBuf,
    file: File,
    header_bytes: u64,
    row_bytes: u64,
    rows: usize,
    done: usize,
}

impl VectorWriter {
    /// Begins the file `path` of `rows` faces with vectors of `dimension` numbers, or finds what an interrupted call left
    /// of it. `None` where the whole file is there already.
    ///
    /// # Errors
    /// A whole file of another origin; a folder that cannot be written.
    pub fn begin(path: &Path, origin: &Origin, rows: usize, dimension: usize) -> Result<Option<Self>, Error> {
        if path.is_file() {
            let found = read_origin(path)?;
            return match found.difference(origin) {
                Some(difference) => Err(Error::OtherVectors { path: path.into(), difference }),
                None => Ok(None),
            };
        }
        let header = checkpoint::header(&[(TENSOR, &[rows, SIDES, dimension])], &origin.metadata());
        let (header_bytes, row_bytes) = (header.len() as u64, (SIDES * dimension * 4) as u64);
        let unfinished = partial(path);
        let writing = |source| Error::File(crate::files::Error::writing(&unfinished, source));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&unfinished)
            .map_err(writing)?;
        crate::files::lock(&file, &unfinished)?;
        let mut found = vec![0; header.len()];
        let goes_on = file.read_exact(&mut found).is_ok() && found == header;
        let length = file.metadata().map_err(writing)?.len();
        let done = if goes_on { ((length - header_bytes) / row_bytes).min(rows as u64) as usize } else { 0 };
        let mut writer = Self { path: path.into(), file, header_bytes, row_bytes, rows, done };
        if !goes_on {
            writer.file.set_len(0).and_then(|()| writer.file.rewind()).map_err(writing)?;
            writer.file.write_all(&header).map_err(writing)?;
        }
        writer.keep(done)?;
        Ok(Some(writer))
    }

    /// Rows that are written.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Forgets the rows from `rows` on, so that several files go on from one face.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn keep(&mut self, rows: usize) -> Result<(), Error> {
        self.done = self.done.min(rows);
        let end = self.header_bytes + self.done as u64 * self.row_bytes;
        let set = self.file.set_len(end).and_then(|()| self.file.seek(SeekFrom::Start(end)));
        set.map_err(|source| self.writing(source))?;
        Ok(())
    }

    /// Appends the vectors of the next faces.
    ///
    /// # Errors
    /// A disk that is full, or a file that cannot be written.
    pub fn append(&mut self, vectors: &[f32]) -> Result<(), Error> {
        let bytes: Vec<u8> = vectors.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.done += bytes.len() / self.row_bytes as usize;
        self.file.write_all(&bytes).and_then(|()| self.file.flush()).map_err(|source| self.writing(source))
    }

    /// Gives the file its name. All rows must have been appended.
    ///
    /// # Errors
    /// A file that cannot be written or renamed.
    pub fn finish(self) -> Result<(), Error> {
        assert_eq!(self.done, self.rows, "a file of vectors is named when it is whole");
        let renamed = self.file.sync_all().and_then(|()| std::fs::rename(partial(&self.path), &self.path));
        renamed.map_err(|source| self.writing(source))
    }

    fn writing(&self, source: std::io::Error) -> Error {
        Error::File(crate::files::Error::writing(&partial(&self.path), source))
    }
}

/// The vectors of one network for all faces.
#[derive(Debug, Clone, PartialEq)]
pub struct Vectors {
    pub origin: Origin,
    /// Numbers in a vector.
    pub dimension: usize,
    /// [faces, 2, dimension].
    pub values: Vec<f32>,
}

impl Vectors {
    /// Reads a whole file.
    ///
    /// # Errors
    /// A file that is missing, damaged, or no file of vectors.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let mut file = checkpoint::load(path)?;
        let origin = origin_of(&file)?;
        let dims = file.dims(TENSOR).unwrap_or_default().to_vec();
        let &[_, SIDES, dimension] = dims.as_slice() else {
            return Err(Error::NotVectors { path: path.into() });
        };
        let values = file.take(TENSOR, &dims)?;
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(Self { origin, dimension, values }),
            false => Err(Error::NotFinite { path: path.into() }),
        }
    }

    /// Number of faces.
    pub fn faces(&self) -> usize {
        self.values.len() / (SIDES * self.dimension)
    }

    /// The vector of a face, as it is (`side` 0) or mirrored (1).
    pub fn vector(&self, face: usize, side: usize) -> &[f32] {
        let start = (face * SIDES + side) * self.dimension;
        &self.values[start..start + self.dimension]
    }
}

/// What the vectors in the file `path` come from.
///
/// # Errors
/// A file that is missing, damaged, or no file of vectors.
pub fn read_origin(path: &Path) -> Result<Origin, Error> {
    origin_of(&checkpoint::load(path)?)
}

fn origin_of(file: &checkpoint::Checkpoint) -> Result<Origin, Error> {
    if file.text("kind")? != KIND {
        return Err(Error::NotVectors { path: file.path().into() });
    }
    Ok(Origin {
        patch: file.value("patch", "a whole number")?,
        model: file.text("model")?.into(),
        faces: file.text("faces")?.into(),
        held_out: HoldOut {
            seed: file.value("seed", "a whole number")?,
            fraction: file.value("validation_fraction", "a share")?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        let held_out = HoldOut { seed: 3, fraction: 0.2 };
        Origin { patch: 7, model: "a".repeat(64), faces: "b".repeat(64), held_out }
    }

    fn rows(first: usize, count: usize) -> Vec<f32> {
        (first * 6..(first + count) * 6).map(|i| i as f32).collect()
    }

    #[test]
    fn interrupted_files_go_on_and_end_as_uninterrupted_ones() {
        let folder = tempfile::tempdir().unwrap();
        let (whole, torn) = (path(folder.path(), 1), path(folder.path(), 2));
        let mut writer = VectorWriter::begin(&whole, &origin(), 5, 3).unwrap().unwrap();
        writer.append(&rows(0, 5)).unwrap();
        writer.finish().unwrap();

        let mut writer = VectorWriter::begin(&torn, &origin(), 5, 3).unwrap().unwrap();
        writer.append(&rows(0, 3)).unwrap();
        drop(writer);
        assert!(!torn.exists());
        // A kill in the middle of a row.
        let half = OpenOptions::new().append(true).open(partial(&torn)).unwrap().write_all(&[1; 7]);
        half.unwrap();
        let mut writer = VectorWriter::begin(&torn, &origin(), 5, 3).unwrap().unwrap();
        assert_eq!(writer.done(), 3);
        writer.keep(2).unwrap();
        writer.append(&rows(2, 3)).unwrap();
        writer.finish().unwrap();
        assert_eq!(std::fs::read(&whole).unwrap(), std::fs::read(&torn).unwrap());
        assert!(VectorWriter::begin(&torn, &origin(), 5, 3).unwrap().is_none());

        let read = Vectors::load(&whole).unwrap();
        assert_eq!((read.faces(), read.dimension, &read.origin), (5, 3, &origin()));
        assert_eq!(read.vector(1, 0), [6.0, 7.0, 8.0]);
        assert_eq!(read.vector(1, 1), [9.0, 10.0, 11.0]);
    }

    #[test]
    fn vectors_of_another_origin_are_refused_when_whole_and_begun_again_when_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), 1);
        let mut begun = VectorWriter::begin(&path, &origin(), 2, 3).unwrap().unwrap();
        let message = VectorWriter::begin(&path, &origin(), 2, 3).unwrap_err().to_string();
        assert!(message.starts_with("another process is writing to"), "{message}");
        begun.append(&rows(0, 1)).unwrap();
        drop(begun);
        let other = Origin { model: "c".repeat(64), ..origin() };
        let mut writer = VectorWriter::begin(&path, &other, 2, 3).unwrap().unwrap();
        assert_eq!(writer.done(), 0);
        writer.append(&rows(0, 2)).unwrap();
        writer.finish().unwrap();
        let message = VectorWriter::begin(&path, &origin(), 2, 3).unwrap_err().to_string();
        assert!(message.contains("patch-001.safetensors") && message.contains("another network"), "{message}");
        assert_eq!(Vectors::load(&path).unwrap().origin, other);
    }

    #[test]
    fn other_files_are_no_vectors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        checkpoint::save(&path, &[], &BTreeMap::from([("kind".into(), "deepid2-model-1".into())])).unwrap();
        assert!(matches!(Vectors::load(&path), Err(Error::NotVectors { .. })));
        std::fs::write(&path, b"nonsense").unwrap();
        assert!(Vectors::load(&path).unwrap_err().to_string().contains("x.safetensors"));
    }
}
