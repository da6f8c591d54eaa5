//! The record of a run, `metrics.jsonl`: one JSON object a line, on disk as soon as it happened, so
//! that a plot can be drawn while the run goes on and after it was killed.
//!
//! Numbers that are not finite (a run that diverged) are written as `null`.

use crate::files;
use serde::{Deserialize, Deserializer, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Why a record of a run cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] files::Error),
    #[error("{path}: cannot be read: {source}; check the path")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}, line {line}: not a record of a training run ({source}); remove the line or use another file")]
    Line { path: PathBuf, line: usize, source: serde_json::Error },
}

/// What the latest training steps did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepReport {
    /// Steps done.
    pub step: u64,
    /// The epoch that the step belongs to, from 1.
    pub epoch: u64,
    /// Mean identification loss of a picture.
    #[serde(deserialize_with = "null_as_nan")]
    pub identification_loss: f32,
    /// Mean verification loss of a pair, before λ.
    #[serde(deserialize_with = "null_as_nan")]
    pub verification_loss: f32,
    /// The sum that the step descends.
    #[serde(deserialize_with = "null_as_nan")]
    pub total_loss: f32,
    /// Share of the pictures whose identity has the largest logit, in [0, 1].
    #[serde(deserialize_with = "null_as_nan")]
    pub accuracy: f32,
    /// The margin in force.
    #[serde(deserialize_with = "null_as_nan")]
    pub margin: f32,
    #[serde(deserialize_with = "null_as_nan")]
    pub learning_rate: f32,
    /// Training speed, lately.
    #[serde(deserialize_with = "null_as_nan")]
    pub images_per_s: f32,
    /// Seconds of training up to the step, those before a resumption included.
    #[serde(deserialize_with = "null_as_nan")]
    pub seconds: f32,
}

impl StepReport {
    /// What several nets did in one step: means of all but the speeds, which add up. The step counted is that of the net
    /// that has done the fewest. `None` for none.
    pub fn of_all(reports: &[Self]) -> Option<Self> {
        let first = reports.iter().min_by_key(|report| report.step)?;
        let mean = |value: fn(&Self) -> f32| reports.iter().map(value).sum::<f32>() / reports.len() as f32;
        Some(Self {
            identification_loss: mean(|report| report.identification_loss),
            verification_loss: mean(|report| report.verification_loss),
            total_loss: mean(|report| report.total_loss),
            accuracy: mean(|report| report.accuracy),
            margin: mean(|report| report.margin),
            images_per_s: reports.iter().map(|report| report.images_per_s).sum(),
            ..*first
        })
    }
}

/// Verification of pairs of identities that training never saw.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidationReport {
    /// Steps done.
    pub step: u64,
    /// The epoch that the step belongs to, from 1.
    pub epoch: u64,
    /// Share of the pairs that are told right, in [0, 1].
    #[serde(deserialize_with = "null_as_nan")]
    pub accuracy: f32,
    /// The threshold on the distance that gives this accuracy.
    #[serde(deserialize_with = "null_as_nan")]
    pub threshold: f32,
    /// Area under the ROC curve.
    #[serde(deserialize_with = "null_as_nan")]
    pub auc: f32,
    /// Equal error rate.
    #[serde(deserialize_with = "null_as_nan")]
    pub eer: f32,
}

/// A line of the file; its `kind` is `train` or `validation`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    Train(StepReport),
    Validation(ValidationReport),
}

impl Record {
    /// Steps done when it was made.
    pub fn step(&self) -> u64 {
        match self {
            Self::Train(report) => report.step,
            Self::Validation(report) => report.step,
        }
    }
}

fn null_as_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f32::NAN))
}

/// Appends records to a file.
#[derive(Debug)]
pub struct MetricsWriter {
    path: PathBuf,
    file: File,
}

impl MetricsWriter {
    /// Begins the file `path` anew; what it held is gone.
    ///
    /// # Errors
    /// A folder that is missing, read-only or full.
    pub fn create(path: &Path) -> Result<Self, Error> {
        Self::begin(path, &[])
    }

    /// Goes on with the file `path` from `step` steps done: records of later steps, and a last line
    /// that was cut off, are removed, since the resumed run makes them again. A file that is
    /// missing is begun.
    ///
    /// # Errors
    /// A file that cannot be read or written, or a line, not the cut-off last, that is no record.
    pub fn resume(path: &Path, step: u64) -> Result<Self, Error> {
        let records = match read(path) {
            Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Vec::new(),
            records => records?,
        };
        let kept: Vec<Record> = records.into_iter().filter(|record| record.step() <= step).collect();
        Self::begin(path, &kept)
    }

    fn begin(path: &Path, records: &[Record]) -> Result<Self, Error> {
        let lines: Vec<u8> = records.iter().flat_map(line).collect();
        files::atomic_write(path, &lines)?;
        let file = OpenOptions::new().append(true).open(path).map_err(|source| files::Error::writing(path, source))?;
        Ok(Self { path: path.into(), file })
    }

    /// Appends a record.
    ///
    /// # Errors
    /// A disk that is full or gone.
    pub fn write(&mut self, record: &Record) -> Result<(), Error> {
        // One unbuffered write a line: nothing is left to flush.
        self.file.write_all(&line(record)).map_err(|source| files::Error::writing(&self.path, source))?;
        Ok(())
    }
}

fn line(record: &Record) -> Vec<u8> {
    let mut line = serde_json::to_vec(record).expect("a record is plain numbers, which JSON can hold");
    line.push(b'\n');
    line
}

/// The records of the file `path`, in order. A last line that was cut off is left out; blank lines
/// are passed over.
///
/// # Errors
/// A file that cannot be read, or a whole line that is no record.
pub fn read(path: &Path) -> Result<Vec<Record>, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.into(), source })?;
    let mut records = Vec::new();
    for (index, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice(line) {
            Ok(record) => records.push(record),
            Err(_) if !line.ends_with(b"\n") => break,
            Err(source) => return Err(Error::Line { path: path.into(), line: index + 1, source }),
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn train(step: u64) -> Record {
        Record::Train(StepReport {
            step,
            epoch: 1 + step / 10,
            identification_loss: 9.0 / (1.0 + step as f32),
            verification_loss: 0.1,
            total_loss: 0.3 + step as f32,
            accuracy: 0.25,
            margin: 1.0e-7,
            learning_rate: 0.01,
            images_per_s: 951.3,
            seconds: 0.1 * step as f32,
        })
    }

    fn validation(step: u64) -> Record {
        let epoch = 1 + step / 10;
        Record::Validation(ValidationReport { step, epoch, accuracy: 0.9, threshold: 13.7, auc: 0.97, eer: 0.1 })
    }

    fn in_folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        (folder, path)
    }

    fn write(writer: &mut MetricsWriter, records: &[Record]) {
        records.iter().for_each(|record| writer.write(record).unwrap());
    }

    #[test]
    fn records_are_on_disk_at_once_and_read_back() {
        let (_folder, path) = in_folder();
        let mut writer = MetricsWriter::create(&path).unwrap();
        assert_eq!(read(&path).unwrap(), []);
        let records = [train(1), train(2), validation(2), train(3)];
        for count in 0..records.len() {
            writer.write(&records[count]).unwrap();
            assert_eq!(read(&path).unwrap(), records[..=count]);
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(r#"{"kind":"train","step":1,"epoch":1,"identification_loss":4.5,"#), "{text}");
        assert!(text.contains(r#"{"kind":"validation","step":2,"epoch":1,"accuracy":0.9,"threshold":13.7,"#), "{text}");
        MetricsWriter::create(&path).unwrap();
        assert_eq!(read(&path).unwrap(), []);
    }

    #[test]
    fn resuming_gives_the_file_of_the_uninterrupted_run() {
        let (_folder, path) = in_folder();
        let records: Vec<Record> = (1..=30).flat_map(|step| [train(step), validation(step)]).collect();
        let mut writer = MetricsWriter::create(&path).unwrap();
        write(&mut writer, &records);
        let whole = std::fs::read(&path).unwrap();
        for (cut, step) in [(whole.len(), 30), (whole.len(), 12), (whole.len() - 7, 25), (whole.len() - 1, 0)] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut writer = MetricsWriter::resume(&path, step).unwrap();
            let later: Vec<Record> = records.iter().filter(|record| record.step() > step).copied().collect();
            assert_eq!(read(&path).unwrap().len(), records.len() - later.len());
            write(&mut writer, &later);
            assert_eq!(std::fs::read(&path).unwrap(), whole, "cut at {cut}, resumed at {step}");
        }
    }

    #[test]
    fn resuming_without_a_file_begins_one() {
        let (_folder, path) = in_folder();
        write(&mut MetricsWriter::resume(&path, 5).unwrap(), &[train(6)]);
        assert_eq!(read(&path).unwrap(), [train(6)]);
    }

    #[test]
    fn a_file_cut_anywhere_loses_its_last_line_at_most() {
        let (_folder, path) = in_folder();
        write(&mut MetricsWriter::create(&path).unwrap(), &[train(1), validation(1), train(2)]);
        let whole = std::fs::read(&path).unwrap();
        let line_ends: Vec<usize> = (0..whole.len()).filter(|&i| whole[i] == b'\n').collect();
        for length in 0..=whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let expected = line_ends.iter().filter(|&&end| end <= length).count();
            assert_eq!(read(&path).unwrap().len(), expected, "{length}");
        }
    }

    #[test]
    fn other_lines_are_errors_that_name_the_line() {
        let (_folder, path) = in_folder();
        for bad in ["nonsense", r#"{"kind":"test","step":1}"#, r#"{"kind":"train","step":1}"#, "[]"] {
            let mut lines = line(&train(1));
            lines.extend(format!("\n{bad}\n").bytes());
            lines.extend(line(&train(2)));
            std::fs::write(&path, lines).unwrap();
            let before = std::fs::read(&path).unwrap();
            for error in [read(&path).unwrap_err(), MetricsWriter::resume(&path, 1).unwrap_err()] {
                assert!(error.to_string().contains("metrics.jsonl, line 3: not a record"), "{error}");
            }
            assert_eq!(std::fs::read(&path).unwrap(), before);
        }
    }

    #[test]
    fn diverged_runs_are_recorded() {
        let (_folder, path) = in_folder();
        let Record::Train(good) = train(1) else { unreachable!() };
        let diverged = StepReport { step: 2, total_loss: f32::NAN, identification_loss: f32::INFINITY, ..good };
        let mut writer = MetricsWriter::create(&path).unwrap();
        write(&mut writer, &[Record::Train(good), Record::Train(diverged), validation(2)]);
        let records = read(&path).unwrap();
        assert_eq!(records.len(), 3);
        assert!(matches!(records[1], Record::Train(report) if report.total_loss.is_nan() && report.step == 2));
    }

    #[test]
    fn unusable_files_are_named() {
        let (folder, path) = in_folder();
        let below = path.join("metrics.jsonl");
        std::fs::write(&path, "").unwrap();
        for bad in [&below, folder.path(), &folder.path().join("none/metrics.jsonl")] {
            let message = MetricsWriter::create(bad).unwrap_err().to_string();
            assert!(message.starts_with(&bad.display().to_string()), "{message}");
            assert!(MetricsWriter::resume(bad, 0).is_err());
            assert!(read(bad).unwrap_err().to_string().contains("cannot be read"));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_explained() {
        let file = OpenOptions::new().append(true).open("/dev/full").unwrap();
        let mut writer = MetricsWriter { path: "/dev/full".into(), file };
        let message = writer.write(&train(1)).unwrap_err().to_string();
        assert!(
            message.starts_with("/dev/full: cannot be written") && message.contains("free some space"),
            "{message}"
        );
    }
}
