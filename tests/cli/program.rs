//! Running the binary, and small data to run it on.

use deepid2::data::synth::{SynthSpec, write_dataset};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

/// Identities and pictures of each in [`faces`].
pub const PEOPLE: u32 = 8;
pub const PICTURES: u32 = 6;
/// Pictures a step: six people are trained on, so an epoch is nine steps.
const BATCH: &str = "4";
pub const STEPS_AN_EPOCH: u64 = 9;

/// The binary, with nothing of this process' environment that changes what it prints.
pub fn deepid2() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deepid2"));
    command.env_remove("RUST_LOG").env("RUST_BACKTRACE", "0");
    command
}

/// `deepid2 train` of a small network for `epochs` epochs.
pub fn train(data: &Path, out: &Path, epochs: u64) -> Command {
    train_with(data, out, epochs, &[])
}

/// As [`train`], with more flags and their values; they replace those that it has.
pub fn train_with(data: &Path, out: &Path, epochs: u64, flags: &[&str]) -> Command {
    let mut command = deepid2();
    command.arg("train").arg("--quiet").arg("--data").arg(data).arg("--out").arg(out);
    let small = [
        ("--epochs", epochs.to_string().as_str()),
        ("--size", "31x31"),
        ("--widths", "4,6,8,8"),
        ("--embedding", "16"),
        ("--batch", BATCH),
        ("--validation-fraction", "0.25"),
        ("--margin-every", "10"),
    ]
    .map(|(flag, value)| [flag.to_string(), value.to_string()]);
    command.args(small.iter().filter(|[flag, _]| !flags.contains(&flag.as_str())).flatten());
    command.args(flags);
    command
}

/// What a finished command printed.
pub struct Printed {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub fn run(command: &mut Command) -> Printed {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Printed { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// Runs `deepid2` with `args`, which must succeed; returns standard output.
pub fn succeeds<A: AsRef<OsStr>>(args: &[A]) -> String {
    let printed = run(deepid2().args(args));
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    printed.stdout
}

/// Runs a command that must succeed.
pub fn finishes(command: &mut Command) -> Printed {
    let printed = run(command);
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    printed
}

/// Runs a command that must fail with one line that starts with `error:` and contains all of `expected`; returns the
/// line. What the argument parser refuses has its usage below that line.
pub fn fails(command: &mut Command, expected: &[&str]) -> String {
    let printed = run(command);
    let stderr = &printed.stderr;
    assert!(matches!(printed.code, Some(1 | 2)), "{:?}: {stderr}", printed.code);
    assert!(!stderr.contains("panicked") && !stderr.contains("RUST_BACKTRACE"), "{stderr}");
    let mut lines = stderr.lines().filter(|line| !line.starts_with("warning:"));
    let line = lines.next().unwrap_or_default();
    assert!(line.starts_with("error: "), "{stderr}");
    assert!(expected.iter().all(|part| line.contains(part)), "expected {expected:?} in: {line}");
    let rest: Vec<&str> = lines.collect();
    assert!(rest.is_empty() || printed.code == Some(2), "more than a line: {stderr}");
    line.into()
}

/// Synthetic faces that all tests share and none changes.
pub fn faces() -> &'static Path {
    static FACES: OnceLock<TempDir> = OnceLock::new();
    FACES.get_or_init(|| draw_faces(PEOPLE, PICTURES)).path()
}

/// A folder of synthetic faces of its own.
pub fn draw_faces(identities: u32, images: u32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let spec = SynthSpec { identities, images, size: 40, ..SynthSpec::default() };
    write_dataset(folder.path(), &spec, &|| {}).unwrap();
    folder
}

/// Picture `image` of person `identity` in [`faces`].
pub fn face(identity: u32, image: u32) -> PathBuf {
    picture(faces(), identity, image)
}

/// Picture `image` of person `identity` in a folder of synthetic faces.
pub fn picture(folder: &Path, identity: u32, image: u32) -> PathBuf {
    folder.join(format!("person_{identity:04}/{image:03}.jpg"))
}

/// A run of [`EPOCHS`] epochs that went through: what other runs are compared with, and a model to use.
pub fn trained() -> &'static Path {
    static RUN: OnceLock<TempDir> = OnceLock::new();
    let folder = RUN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        finishes(&mut train(faces(), &folder.path().join("run"), EPOCHS));
        folder
    });
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| folder.path().join("run"))
}

/// Epochs of [`trained`].
pub const EPOCHS: u64 = 4;

/// The model of [`trained`].
pub fn model() -> PathBuf {
    trained().join("best.safetensors")
}

/// Names and contents of the files in a folder; empty where there is none.
pub fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeMap::new() };
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    paths.map(|path| (path.file_name().unwrap().to_str().unwrap().into(), std::fs::read(&path).unwrap())).collect()
}

/// Names of the files in a folder.
pub fn names(folder: &Path) -> Vec<String> {
    contents(folder).into_keys().collect()
}

/// A safetensors file: bytes of each tensor with its shape, and text entries.
#[derive(Debug, PartialEq)]
pub struct Tensors {
    pub tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)>,
    pub entries: BTreeMap<String, String>,
}

/// Reads a safetensors file; the seconds that training took are left out.
pub fn tensors(path: &Path) -> Tensors {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensors =
        file.iter().map(|(name, view)| (name.into(), (view.shape().to_vec(), view.data().to_vec()))).collect();
    let mut entries: BTreeMap<String, String> = header.metadata().clone().unwrap().into_iter().collect();
    entries.remove("seconds");
    Tensors { tensors, entries }
}

/// The records of `metrics.jsonl` without what depends on the clock.
pub fn records(run: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let record = |line: &str| {
        let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
        let fields = record.as_object_mut().unwrap();
        fields.remove("seconds");
        fields.remove("images_per_s");
        record
    };
    text.lines().map(record).collect()
}

/// Asserts that two runs ended alike: model, momentum, margin, pairs and records.
pub fn assert_same_results(one: &Path, other: &Path) {
    assert_eq!(
        std::fs::read(one.join("best.safetensors")).unwrap(),
        std::fs::read(other.join("best.safetensors")).unwrap()
    );
    assert_eq!(tensors(&one.join("last.safetensors")), tensors(&other.join("last.safetensors")));
    assert_eq!(records(one), records(other));
}

/// Waits until `condition` holds while the child runs; a child that ends before fails the test.
pub fn wait_until(child: &mut Child, condition: impl Fn() -> bool) {
    while !condition() {
        assert_eq!(child.try_wait().unwrap(), None, "the run ended too early");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Sends a signal to a running command.
pub fn send(child: &Child, signal: &str) {
    let kill = format!("kill -{signal} {}", child.id());
    assert!(Command::new("sh").arg("-c").arg(kill).status().unwrap().success());
}
