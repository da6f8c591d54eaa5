//! Embeddings as comma-separated values (RFC 4180, though with line feeds).

use super::{Error, rows_of};
use crate::files::atomic_write_with;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Writes a line a picture to `path`: its file name, its label where `labels` are given, and the
/// numbers of its row of `values` (rows × `columns`), each with the fewest digits that read back
/// to the same f32. The header is `path,label,f0,f1,…`.
///
/// # Errors
/// Values that are not whole rows, pictures or labels of another number, a picture's name that is
/// not UTF-8, or a file that cannot be written.
pub fn write_csv(
    path: &Path,
    pictures: &[PathBuf],
    labels: Option<&[String]>,
    values: &[f32],
    columns: usize,
) -> Result<(), Error> {
    let rows = rows_of(path, values, columns)?;
    let one_each = |what, found| {
        if found == rows { Ok(()) } else { Err(Error::RowCount { path: path.into(), what, rows, found }) }
    };
    one_each("pictures", pictures.len())?;
    if let Some(labels) = labels {
        one_each("labels", labels.len())?;
    }
    let name = |picture: &'_ PathBuf| -> Result<String, Error> {
        let name =
            picture.to_str().ok_or_else(|| Error::PictureName { path: path.into(), picture: picture.clone() })?;
        Ok(quoted(name).into_owned())
    };
    let names: Vec<String> = pictures.iter().map(name).collect::<Result<_, Error>>()?;

    Ok(atomic_write_with(path, |file| {
        write!(file, "path{}", if labels.is_some() { ",label" } else { "" })?;
        (0..columns).try_for_each(|column| write!(file, ",f{column}"))?;
        writeln!(file)?;
        for (row, (name, values)) in names.iter().zip(values.chunks_exact(columns)).enumerate() {
            write!(file, "{name}")?;
            if let Some(labels) = labels {
                write!(file, ",{}", quoted(&labels[row]))?;
            }
            values.iter().try_for_each(|value| write!(file, ",{value:?}"))?;
            writeln!(file)?;
        }
        Ok(())
    })?)
}

/// A field in quotes where it holds a separator, a quote or a line break.
pub fn quoted(field: &str) -> Cow<'_, str> {
    if field.contains([',', '"', '\n', '\r']) {
        Cow::Owned(format!("\"{}\"", field.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(labels: Option<&[String]>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        let pictures = [PathBuf::from("a/1.jpg"), PathBuf::from("b, \"c\"/2.jpg")];
        write_csv(&path, &pictures, labels, &[0.1, -2.0, 1e-30, 16_777_217.0], 2).unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn labels_are_optional_and_commas_quoted() {
        assert_eq!(written(None), "path,f0,f1\na/1.jpg,0.1,-2.0\n\"b, \"\"c\"\"/2.jpg\",1e-30,16777216.0\n");
        let labels = ["Ann".to_string(), "Bob\nLee".to_string()];
        assert_eq!(
            written(Some(&labels)),
            "path,label,f0,f1\na/1.jpg,Ann,0.1,-2.0\n\"b, \"\"c\"\"/2.jpg\",\"Bob\nLee\",1e-30,16777216.0\n"
        );
    }

    #[test]
    fn numbers_read_back_exactly() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        let values: Vec<f32> =
            (0..1000u32).map(|i| f32::from_bits(i.wrapping_mul(0x0071_93A7) & 0x7F7F_FFFF)).collect();
        let pictures = vec![PathBuf::from("p.jpg"); 100];
        write_csv(&path, &pictures, None, &values, 10).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let read: Vec<f32> =
            text.lines().skip(1).flat_map(|line| line.split(',').skip(1)).map(|field| field.parse().unwrap()).collect();
        assert_eq!(read, values);
    }

    #[test]
    fn mismatched_rows_are_refused() {
        let path = Path::new("never-written.csv");
        let one = [PathBuf::from("a.jpg")];
        let refused = write_csv(path, &one, None, &[1.0; 4], 2);
        assert!(matches!(refused, Err(Error::RowCount { what: "pictures", rows: 2, found: 1, .. })));
        let refused = write_csv(path, &one, Some(&[]), &[1.0; 2], 2);
        assert!(matches!(refused, Err(Error::RowCount { what: "labels", rows: 1, found: 0, .. })));
        assert!(matches!(write_csv(path, &one, None, &[1.0; 3], 2), Err(Error::Shape { .. })));
        assert!(!path.exists());
    }
}
