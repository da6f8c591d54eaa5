//! SHA-256 of the files that a result came from, as `sha256sum` prints it.

use super::Error;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A file, or several taken together, and its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashedFile {
    /// What it is or where it lies.
    pub name: String,
    pub bytes: u64,
    /// In lower-case hexadecimal.
    pub sha256: String,
}

impl HashedFile {
    /// Hashes the file `path`, which is named as it is written.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of(path: &Path) -> Result<Self, Error> {
        let (bytes, sha256) = sha256_of(path)?;
        Ok(Self { name: path.display().to_string(), bytes, sha256 })
    }

    /// One hash over many files in their order: of the lines `hash  path` that `sha256sum FILE…`
    /// prints for them.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of_all(name: &str, paths: &[PathBuf]) -> Result<Self, Error> {
        let mut all = Sha256::new();
        let mut bytes = 0;
        for path in paths {
            let (size, sha256) = sha256_of(path)?;
            bytes += size;
            all.update(format!("{sha256}  {}\n", path.display()));
        }
        Ok(Self { name: name.into(), bytes, sha256: hexadecimal(&all.finalize()) })
    }
}

/// The number of bytes of the file `path` and their SHA-256.
///
/// # Errors
/// A file that cannot be read.
pub fn sha256_of(path: &Path) -> Result<(u64, String), Error> {
    hash(path).map_err(|source| Error::Hash { path: path.into(), source })
}

fn hash(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((bytes, hexadecimal(&hasher.finalize()))),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                bytes += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn hashes_are_those_of_fips_180() {
        let folder = tempfile::tempdir().unwrap();
        let [empty, abc, long] = ["empty", "abc", "long"].map(|name| folder.path().join(name));
        std::fs::write(&empty, b"").unwrap();
        std::fs::write(&abc, b"abc").unwrap();
        std::fs::write(&long, vec![b'a'; 1_000_000]).unwrap();
        assert_eq!(sha256_of(&empty).unwrap(), (0, EMPTY.into()));
        assert_eq!(
            HashedFile::of(&abc).unwrap(),
            HashedFile { name: abc.display().to_string(), bytes: 3, sha256: ABC.into() }
        );
        let million = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
        assert_eq!(sha256_of(&long).unwrap().1, million);

        let lines = format!("{ABC}  {}\n{EMPTY}  {}\n", abc.display(), empty.display());
        let printed = folder.path().join("printed");
        std::fs::write(&printed, lines).unwrap();
        let all = HashedFile::of_all("both", &[abc, empty]).unwrap();
        assert_eq!((all.bytes, all.sha256), (3, sha256_of(&printed).unwrap().1));
    }

    #[test]
    fn missing_files_are_named() {
        let message = HashedFile::of(Path::new("no/such/file")).unwrap_err().to_string();
        assert!(message.contains("no/such/file") && message.contains("for its hash"), "{message}");
    }
}
