//! Results for people and for other programs: plots as SVG, embeddings as tables.
//!
//! | file | purpose |
//! |---|---|
//! | [`curve`] | losses and validation accuracy over training |
//! | [`roc`](mod@roc) | ROC curves |
//! | [`cumulative`] | cumulative error curves of landmarks |
//! | [`npy`] | embeddings as a NumPy array |
//! | [`csv`] | embeddings as comma-separated values |
//!
//! Every file appears whole or not at all, see [`crate::files`].

pub mod csv;
pub mod cumulative;
pub mod curve;
pub mod npy;
pub mod roc;
mod style;

use crate::files;
use plotters::drawing::DrawingAreaErrorKind;
use std::io;
use std::path::{Path, PathBuf};

pub use csv::{quoted, write_csv};
pub use cumulative::cumulative_errors;
pub use curve::{CurvePoint, training_curve};
pub use npy::write_npy;
pub use roc::{FarAxis, roc};

/// Why a report cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] files::Error),
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

/// The number of rows of a table of `values`.
fn rows_of(path: &Path, values: &[f32], columns: usize) -> Result<usize, Error> {
    if columns == 0 || !values.len().is_multiple_of(columns) {
        return Err(Error::Shape { path: path.into(), values: values.len(), columns });
    }
    Ok(values.len() / columns)
}
