//! A table of numbers in NumPy's `.npy` format, version 1.0
//! (`numpy.lib.format`: magic, version, header length, a Python dictionary, then the data).

use super::{Error, rows_of};
use crate::files::atomic_write_with;
use std::path::Path;

/// The data start at a multiple of this many bytes, as the format asks.
const ALIGNMENT: usize = 64;
/// Bytes before the dictionary: magic, version, header length.
const PREFIX: usize = 10;

/// Writes `values` (rows × `columns`, row after row) to `path` as a 2-d array of little-endian
/// float32 in C order.
///
/// # Errors
/// Values that are not whole rows, or a file that cannot be written.
pub fn write_npy(path: &Path, values: &[f32], columns: usize) -> Result<(), Error> {
    let rows = rows_of(path, values, columns)?;
    let header = header(rows, columns);
    Ok(atomic_write_with(path, |file| {
        file.write_all(&header)?;
        values.iter().try_for_each(|value| file.write_all(&value.to_le_bytes()))
    })?)
}

fn header(rows: usize, columns: usize) -> Vec<u8> {
    let dictionary = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    // Filled up with spaces and ended by a line feed.
    let total = (PREFIX + dictionary.len() + 1).next_multiple_of(ALIGNMENT);
    let width = total - PREFIX - 1;
    // The dictionary is at most a hundred bytes, so the length fits its two bytes.
    let length = ((width + 1) as u16).to_le_bytes();
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend(length);
    header.extend(format!("{dictionary:width$}\n").bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (rows, columns, values), read by the letter of the format.
    fn parse(bytes: &[u8]) -> (usize, usize, Vec<f32>) {
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
        let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        assert_eq!((10 + length) % 64, 0);
        let dictionary = std::str::from_utf8(&bytes[10..10 + length]).unwrap();
        assert!(dictionary.ends_with('\n') && dictionary.is_ascii());
        let shape = dictionary
            .trim_end()
            .strip_prefix("{'descr': '<f4', 'fortran_order': False, 'shape': (")
            .and_then(|rest| rest.strip_suffix("), }"))
            .unwrap();
        let (rows, columns) = shape.split_once(", ").unwrap();
        let values = bytes[10 + length..].chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        (rows.parse().unwrap(), columns.parse().unwrap(), values)
    }

    #[test]
    fn arrays_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("embeddings.npy");
        // Shapes whose dictionaries are shorter and longer, one of no rows.
        for (rows, columns) in [(3, 2), (0, 160), (1, 1), (12345, 2), (7, 160)] {
            let values: Vec<f32> = (0..rows * columns).map(|i| i as f32 * 0.37 - 1.0).collect();
            write_npy(&path, &values, columns).unwrap();
            assert_eq!(parse(&std::fs::read(&path).unwrap()), (rows, columns, values));
        }
    }

    #[test]
    fn every_header_is_aligned() {
        for digits in 0..19 {
            let header = header(10usize.pow(digits), 160);
            assert_eq!(header.len() % ALIGNMENT, 0);
            assert_eq!(header.last(), Some(&b'\n'));
        }
    }

    #[test]
    fn partial_rows_are_refused() {
        let path = Path::new("never-written.npy");
        for columns in [0, 2] {
            let refused = write_npy(path, &[1.0, 2.0, 3.0], columns);
            assert!(matches!(refused, Err(Error::Shape { values: 3, .. })));
        }
        assert!(!path.exists());
    }
}
