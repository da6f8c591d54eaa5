//! Results for people and for other programs: plots as SVG, embeddings as tables.
//!
//! | file | purpose |
//! |---|---|
//! | [`curve`] | losses and validation accuracy over training |
//! | [`roc`](mod@roc) | ROC curves |
//! | [`det`] | DET curves |
//! | [`histogram`] | distances of either kind of pairs |
//! | [`spectra`] | eigenvalues of the covariances between and within people |
//! | [`patches`] | accuracy against the number of patches |
//! | [`scatter`] | vectors of a few people in two dimensions |
//! | [`evaluation`] | what was measured on pairs, as parts of a page |
//! | [`html`] | a page with all of it |
//! | [`card`] | the model card |
//! | [`number`] | a measured number with its uncertainty, for people to read |
//! | [`hashes`] | SHA-256 of files |
//! | [`svg`] | a drawing in memory |
//! | [`cumulative`] | cumulative error curves of landmarks |
//! | [`npy`] | embeddings as a NumPy array |
//! | [`csv`] | embeddings as comma-separated values |
//!
//! Every file appears whole or not at all, see [`crate::files`].

pub mod card;
pub mod csv;
pub mod cumulative;
pub mod curve;
pub mod det;
pub mod evaluation;
mod frame;
pub mod hashes;
pub mod histogram;
pub mod html;
pub mod npy;
pub mod number;
pub mod patches;
pub mod roc;
pub mod scatter;
pub mod spectra;
mod style;
pub mod svg;

use crate::files;
use plotters::drawing::DrawingAreaErrorKind;
use std::io;
use std::path::{Path, PathBuf};

pub use card::ModelCard;

pub use csv::{quoted, write_csv};
pub use cumulative::cumulative_errors;
pub use curve::{CurvePoint, training_curve};
pub use det::det_svg;
pub use hashes::HashedFile;
pub use histogram::histogram_svg;
pub use html::ReportPage;
pub use npy::write_npy;
pub use number::{Number, Unit};
pub use patches::patches_svg;
pub use roc::{FarAxis, roc, roc_svg};
pub use scatter::scatter_svg;
pub use spectra::spectra_svg;
pub use svg::Svg;

/// Why a report cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] files::Error),
    #[error("the plot of {plot}: nothing to draw; {needed}")]
    NothingToDraw { plot: &'static str, needed: &'static str },
    #[error("the plot of {plot} cannot be drawn: {source}")]
    Draw { plot: &'static str, source: DrawingAreaErrorKind<io::Error> },
    #[error("{path}: cannot be read for its hash: {source}; check that it is still there")]
    Hash { path: PathBuf, source: io::Error },
    #[error("{path}: cannot be shown in the report: {source}")]
    Picture { path: PathBuf, source: crate::data::decode::Error },
    #[error("{path}: cannot be encoded for the report: {source}")]
    Encode { path: PathBuf, source: image::ImageError },
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
