//! SHA-256 of files, by which results name what they were made from.

use super::Error;
use sha2::{Digest, Sha256};
use std::path::Path;

/// SHA-256 of a file's bytes, in hexadecimal.
///
/// # Errors
/// A file that cannot be read.
pub fn of_file(path: &Path) -> Result<String, Error> {
    let reading = |source| Error::Read { path: path.into(), source };
    let mut hasher = Sha256::new();
    std::io::copy(&mut std::fs::File::open(path).map_err(reading)?, &mut hasher).map_err(reading)?;
    Ok(hex(&hasher.finalize()))
}

/// SHA-256 of bytes, in hexadecimal.
pub fn of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_abc_is_that_of_the_standard() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"abc").unwrap();
        assert_eq!((of_bytes(b"abc").as_str(), of_file(file.path()).unwrap().as_str()), (expected, expected));
        assert!(of_file(Path::new("no such file")).unwrap_err().to_string().contains("no such file"));
    }
}
