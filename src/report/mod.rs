//! Results for people and for other programs: plots as SVG, embeddings as tables.
//!
//! | file | purpose |
//! |---|---|
//! | [`curve`] | losses and validation accuracy over training |
//! | [`roc`](mod@roc) | ROC curves |
//! | [`npy`] | embeddings as a NumPy array |
//! | [`csv`] | embeddings as comma-separated values |
//!
//! Every file appears whole or not at all: it is written under a temporary name in the same folder
//! and then renamed.

pub mod csv;
pub mod curve;
pub mod npy;
pub mod roc;
mod style;

use plotters::drawing::DrawingAreaErrorKind;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

pub use csv::write_csv;
pub use curve::{CurvePoint, training_curve};
pub use npy::write_npy;
pub use roc::{FarAxis, roc};

/// Why a report cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: cannot be written: {source}; check that its folder exists and has room")]
    Write { path: PathBuf, source: io::Error },
    #[error("{path}: nothing to draw; {needed}")]
    NothingToDraw { path: PathBuf, needed: &'static str },
    #[error("{path}: the plot cannot be drawn: {source}")]
    Draw { path: PathBuf, source: DrawingAreaErrorKind<io::Error> },
    #[error("{path}: {values} values are not a whole number of rows of {columns} columns")]
    Shape { path: PathBuf, values: usize, columns: usize },
    #[error("{path}: {found} {what} for {rows} rows; expected one each")]
    RowCount { path: PathBuf, what: &'static str, rows: usize, found: usize },
    #[error("{path}: the file name {picture} is not UTF-8, so a table cannot hold it; rename the picture")]
    PictureName { path: PathBuf, picture: PathBuf },
}

/// What drawing on an SVG in memory gives.
type Drawn = Result<(), DrawingAreaErrorKind<io::Error>>;

/// Writes the file `path` by `fill` under a temporary name and renames it into place.
fn write_atomically(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
    let write = || -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = BufWriter::new(temporary_file(folder)?);
        fill(&mut file)?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|source| Error::Write { path: path.into(), source })
}

/// A temporary file with the permissions of any new file: the default is for the owner only.
fn temporary_file(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(<std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666));
    builder.prefix(".report-").tempfile_in(folder)
}

/// The number of rows of a table of `values`.
fn rows_of(path: &Path, values: &[f32], columns: usize) -> Result<usize, Error> {
    if columns == 0 || !values.len().is_multiple_of(columns) {
        return Err(Error::Shape { path: path.into(), values: values.len(), columns });
    }
    Ok(values.len() / columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        write_atomically(&path, |file| file.write_all(b"old")).unwrap();
        let failed = write_atomically(&path, |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("disk full"))
        });
        let message = failed.unwrap_err().to_string();
        assert!(message.contains("table: cannot be written: disk full"), "{message}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let plain = folder.path().join("plain");
        fs::write(&plain, b"").unwrap();
        let permissions = |file: &Path| fs::metadata(file).unwrap().permissions();
        assert_eq!(permissions(&path), permissions(&plain), "others may read it as they may any new file");
        let nowhere = folder.path().join("nowhere").join("table");
        assert!(matches!(write_atomically(&nowhere, |_| Ok(())), Err(Error::Write { .. })));
    }
}
