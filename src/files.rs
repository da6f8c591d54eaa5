//! Files that are never half written: the content goes to a temporary file in the same folder,
//! reaches the disk, and is renamed over the old file.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: cannot be written ({source}); {advice}")]
    Write { path: PathBuf, source: io::Error, advice: String },
    #[error("{path}: not a regular file; name a file to write")]
    NotAFile { path: PathBuf },
    #[error("{path} is a picture, and would be overwritten; name another file")]
    Picture { path: PathBuf },
    #[error("another process is writing to {path}; wait until it ends, or name another folder")]
    Busy { path: PathBuf },
}

impl Error {
    /// The error of writing to `path`, with advice that fits `source`.
    pub fn writing(path: &Path, source: io::Error) -> Self {
        let folder = folder_of(path).display();
        let advice = match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                format!("free some space, or choose a folder other than {folder}")
            }
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                format!("make {folder} writable, or choose another folder")
            }
            ErrorKind::NotFound if !folder_of(path).exists() => {
                format!("create the folder {folder} first, or choose another")
            }
            ErrorKind::NotADirectory => format!("{folder} is not a folder; choose one"),
            _ => format!("check the folder {folder}, or choose another"),
        };
        Self::Write { path: path.into(), source, advice }
    }
}

/// Makes sure, before hours of work, that the file `path` can be written after them, and that it is no photograph of the
/// user's that a slip of the keyboard named.
///
/// # Errors
/// As [`atomic_write`]; a file that holds a picture.
pub fn check_output(path: &Path) -> Result<(), Error> {
    let other_kind = std::fs::metadata(path).is_ok_and(|existing| !existing.is_file());
    if other_kind || path.file_name().is_none() {
        return Err(Error::NotAFile { path: path.into() });
    }
    let mut head = Vec::new();
    // A file that is missing, or that only its owner may read, is looked at when it is written.
    let read = File::open(path).and_then(|file| file.take(64).read_to_end(&mut head));
    if read.is_ok() && image::guess_format(&head).is_ok() {
        return Err(Error::Picture { path: path.into() });
    }
    let tried = std::fs::metadata(folder_of(path)).and_then(|folder| match folder.is_dir() {
        true => tempfile::tempfile_in(folder_of(path)).map(drop),
        false => Err(ErrorKind::NotADirectory.into()),
    });
    tried.map_err(|source| Error::writing(path, source))
}

/// Makes sure that the file `output` is not the picture `input` that it is made from.
///
/// # Errors
/// One file.
pub fn check_other(output: &Path, input: &Path) -> Result<(), Error> {
    match (output.canonicalize(), input.canonicalize()) {
        (Ok(out), Ok(read)) if out == read => Err(Error::Picture { path: output.into() }),
        _ => Ok(()),
    }
}

/// A folder that no other process may write to, until this is dropped or the process ends, killed included.
#[derive(Debug)]
pub struct FolderLock {
    // Held for its lock.
    _folder: Option<File>,
}

impl FolderLock {
    /// Takes the lock of `folder`. Where the system has no locks of folders, nothing is locked.
    ///
    /// # Errors
    /// Another holder.
    pub fn take(folder: &Path) -> Result<Self, Error> {
        let file = File::open(folder).ok();
        file.iter().try_for_each(|file| lock(file, folder))?;
        Ok(Self { _folder: file })
    }
}

/// How long a lock is waited for: the processes that a killed run had started end a moment after it.
const PATIENCE: Duration = Duration::from_secs(3);

/// Locks the open file or folder `path` until it is closed. Where the system has no locks, nothing is locked.
///
/// # Errors
/// Another holder, who does not let go within three seconds.
pub fn lock(file: &File, path: &Path) -> Result<(), Error> {
    let begun = Instant::now();
    while let Err(std::fs::TryLockError::WouldBlock) = file.try_lock() {
        if begun.elapsed() > PATIENCE {
            return Err(Error::Busy { path: path.into() });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Writes `bytes` to the file `path`, in whole or not at all.
///
/// # Errors
/// A folder that is missing, read-only or full, or a `path` that is a folder or a device. A file
/// that was there before is then unchanged.
pub fn atomic_write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    atomic_write_with(path, |out| out.write_all(bytes))
}

/// Writes what `content` writes to the file `path`, in whole or not at all. The writer is buffered.
///
/// # Errors
/// As [`atomic_write`], and any error of `content`. A file that was there before is then unchanged.
pub fn atomic_write_with(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
    // Renaming over /dev/null would replace the device itself for the whole machine.
    let other_kind = std::fs::metadata(path).is_ok_and(|existing| !existing.is_file());
    let (Some(name), false) = (path.file_name(), other_kind) else {
        return Err(Error::NotAFile { path: path.into() });
    };
    replace(path, name, content).map_err(|source| {
        let mut error = Error::writing(path, source);
        if let Error::Write { advice, .. } = &mut error
            && path.is_file()
        {
            advice.push_str("; the file that was there before is kept");
        }
        error
    })
}

/// Writes `bytes` to the file `path`, in whole or not at all as far as this process goes: for many small files that can be
/// made again. The disk is not waited for, so that a power cut may leave an empty file.
///
/// The temporary name is a function of the final one: what a killed run leaves behind is used up by the run that
/// continues it.
///
/// # Errors
/// A folder that is missing, read-only or full.
pub fn quick_write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part = path.with_file_name(format!(".{name}.part"));
    std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, path)).map_err(|source| {
        // Best effort: the error that matters is the first one.
        std::fs::remove_file(&part).ok();
        Error::writing(path, source)
    })
}

fn replace(path: &Path, file_name: &OsStr, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let folder = folder_of(path);
    // The temporary file's own error would name a path that the user never gave.
    if !std::fs::metadata(folder)?.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    let mut name = OsString::from(".");
    name.push(file_name);
    name.push(".");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&name).suffix(".tmp");
    // A temporary file is private to its owner; what becomes the result follows the user's umask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let temporary = builder.tempfile_in(folder)?;

    let mut out = BufWriter::new(temporary.as_file());
    content(&mut out)?;
    out.flush()?;
    drop(out);
    // Some file systems put the rename on the disk before the data: after a power cut the new name
    // would then hold nothing.
    temporary.as_file().sync_all()?;
    temporary.persist(path)?;
    // The new file is complete already; a file system that cannot sync a folder does not undo that.
    #[cfg(unix)]
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// The folder that holds `path`: `.` for a bare file name.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A disk that fills up.

    use std::io::{self, ErrorKind, Write};

    /// Takes `left` bytes and then reports that the disk is full.
    pub struct FullDisk<'a> {
        pub out: &'a mut dyn Write,
        pub left: usize,
    }

    impl Write for FullDisk<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.left == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            let written = self.out.write(&bytes[..bytes.len().min(self.left)])?;
            self.left -= written;
            Ok(written)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.out.flush()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::FullDisk;
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn writes_and_replaces_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        for content in ["first", "", "the third"] {
            atomic_write(&path, content.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[cfg(unix)]
    #[test]
    fn files_are_as_readable_as_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        atomic_write(&folder.path().join("ours"), b"").unwrap();
        std::fs::write(folder.path().join("plain"), b"").unwrap();
        assert_eq!(mode("ours"), mode("plain"));
    }

    #[test]
    fn a_full_disk_keeps_the_old_file_and_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        let big = [7u8; 100_000];
        let fill = |out: &mut dyn Write| FullDisk { out, left: 50_000 }.write_all(&big);
        let fresh = atomic_write_with(&path, fill).unwrap_err().to_string();
        assert!(!fresh.contains("is kept") && names(folder.path()).is_empty(), "{fresh}");

        atomic_write(&path, b"old").unwrap();
        let message = atomic_write_with(&path, fill).unwrap_err().to_string();
        assert!(message.starts_with(&path.display().to_string()), "{message}");
        assert!(message.contains("free some space") && message.contains("is kept"), "{message}");
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["model"]);
    }

    #[test]
    fn impossible_places_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let message = |path: &Path| atomic_write(path, b"x").unwrap_err().to_string();

        let missing = message(&folder.path().join("no/such/file"));
        assert!(missing.contains("create the folder") && missing.contains("no/such first"), "{missing}");

        let file = folder.path().join("file");
        atomic_write(&file, b"x").unwrap();
        let below_a_file = message(&file.join("child"));
        assert!(below_a_file.contains("file/child: cannot be written"), "{below_a_file}");
        assert!(below_a_file.contains("is not a folder"), "{below_a_file}");

        for unnamed in [folder.path(), Path::new("none/.."), Path::new("")] {
            assert!(message(unnamed).contains("not a regular file"));
        }
        #[cfg(unix)]
        assert!(message(Path::new("/dev/null")).contains("not a regular file"));
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_has_one_writer_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let held = FolderLock::take(folder.path()).unwrap();
        let message = FolderLock::take(folder.path()).unwrap_err().to_string();
        assert!(message.starts_with("another process is writing to"), "{message}");
        drop(held);
        FolderLock::take(folder.path()).unwrap();
        assert!(names(folder.path()).is_empty(), "nothing is left in the folder");
        // What is not there yet has no writer.
        FolderLock::take(&folder.path().join("none")).unwrap();
    }

    #[test]
    fn outputs_are_tried_before_the_work() {
        let folder = tempfile::tempdir().unwrap();
        let message = |name: &str| check_output(&folder.path().join(name)).unwrap_err().to_string();
        check_output(&folder.path().join("new.csv")).unwrap();
        assert!(names(folder.path()).is_empty(), "a trial leaves nothing");
        atomic_write(&folder.path().join("old.csv"), b"person,path").unwrap();
        check_output(&folder.path().join("old.csv")).unwrap();
        assert!(message("no/such/file").contains("create the folder"));
        assert!(message("old.csv/child").contains("is not a folder"));
        assert!(message("").contains("not a regular file"));
        image::RgbImage::new(3, 2).save(folder.path().join("face.png")).unwrap();
        assert!(message("face.png").contains("is a picture"));
        let [face, same] = ["face.png", "../x/face.png"].map(|name| folder.path().join("x").join("..").join(name));
        std::fs::create_dir(folder.path().join("x")).unwrap();
        assert!(check_other(&face, &folder.path().join("face.png")).is_err());
        check_other(&same, &face).unwrap();
    }

    #[test]
    fn a_bare_name_lies_in_the_current_folder() {
        assert_eq!(folder_of(Path::new("a")), Path::new("."));
        assert_eq!(folder_of(Path::new("b/a")), Path::new("b"));
        assert_eq!(folder_of(Path::new("/a")), Path::new("/"));
    }
}
