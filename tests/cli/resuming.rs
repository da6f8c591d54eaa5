//! Interrupted and killed runs end as the uninterrupted one does.

use super::program::*;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

fn resume(out: &Path) -> Command {
    let mut command = deepid2();
    command.args(["train", "--resume", "--quiet", "--out"]).arg(out);
    command
}

/// The step of a run's checkpoint.
fn step_of(run: &Path) -> u64 {
    tensors(&run.join("last.safetensors")).entries["step"].parse().unwrap()
}

/// Epochs of the runs that are stopped: long enough to be stopped in the middle, twice.
const LONG: u64 = 40;

/// A run of [`LONG`] epochs. Validation is rare, so that steps are most of it.
fn long(out: &Path) -> Command {
    let mut command = train(faces(), out, LONG);
    command.args(["--validate-every", "20", "--learning-rate", "0.001"]);
    command
}

fn uninterrupted() -> &'static Path {
    static RUN: OnceLock<TempDir> = OnceLock::new();
    let run = RUN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        finishes(&mut long(folder.path()));
        folder
    });
    run.path()
}

#[test]
fn ctrl_c_saves_says_how_to_go_on_and_changes_nothing_of_the_result() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let last = out.join("last.safetensors");
    let mut before = 0;
    for attempt in [&mut long(&out), &mut resume(&out)] {
        let mut child = attempt.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until(&mut child, || last.is_file() && step_of(&out) > before);
        send(&child, "INT");
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{output:?}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        let step = step_of(&out);
        let advice = format!("stopped after step {step}; go on with: deepid2 train --out {} --resume", out.display());
        assert_eq!(stdout.trim(), advice);
        assert!(String::from_utf8(output.stderr).unwrap().contains("press Ctrl-C again"));
        assert!(step > before && step < LONG * STEPS_AN_EPOCH, "stopped after step {step}");
        before = step;
    }
    finishes(&mut resume(&out));
    assert_same_results(uninterrupted(), &out);
    // There is nothing left to do, and doing it changes nothing.
    let finished = contents(&out);
    finishes(&mut resume(&out));
    assert!(
        ["best.safetensors", "config.toml", "metrics.jsonl"]
            .iter()
            .all(|name| contents(&out)[*name] == finished[*name])
    );
    assert_same_results(uninterrupted(), &out);
}

#[test]
fn a_batch_in_slices_trains_as_the_whole_and_is_resumed_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, sliced, stopped] = ["whole", "sliced", "stopped"].map(|name| folder.path().join(name));
    let command = |out: &Path, flags: &[&str]| {
        let common = ["--batch", "16", "--validate-every", "20", "--learning-rate", "0.001"];
        train_with(faces(), out, LONG, &[&common, flags].concat())
    };
    let micro_batch = ["--micro-batch", "8"];
    finishes(&mut command(&whole, &[]));
    finishes(&mut command(&sliced, &micro_batch));

    let mut child = command(&stopped, &micro_batch).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until(&mut child, || stopped.join("last.safetensors").is_file());
    send(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    finishes(&mut resume(&stopped));
    assert_same_results(&sliced, &stopped);

    let [expected, found] = [&whole, &sliced].map(|run| tensors(&run.join("last.safetensors")).tensors);
    assert!(expected.keys().eq(found.keys()) && expected != found);
    for (name, (_, values)) in expected.iter().filter(|(name, _)| !name.starts_with("margin")) {
        let floats = |bytes: &[u8]| -> Vec<f32> {
            bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        };
        let (expected, found) = (floats(values), floats(&found[name].1));
        let largest = expected.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        let error = expected.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        // A velocity is what is left of gradients that almost cancel.
        let tolerance = if name.starts_with("velocity") { 1e-2 } else { 1e-3 };
        assert!(error <= tolerance * largest, "{name}: {error} of {largest}");
    }

    // Other slices may go on with a run; what runs is said.
    let mut narrower = deepid2();
    narrower.args(["train", "--resume", "--micro-batch", "4", "--out"]).arg(&stopped);
    let said = finishes(&mut narrower).stderr;
    assert!(said.contains("batch 16 runs in 4 slices of 4 images, because --micro-batch is 4"), "{said}");
    let config: toml::Table = std::fs::read_to_string(stopped.join("config.toml")).unwrap().parse().unwrap();
    assert_eq!(config["micro_batch"].as_integer(), Some(4));
}

#[test]
fn a_run_that_was_killed_goes_on_from_its_last_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut child = long(&out).spawn().unwrap();
    wait_until(&mut child, || out.join("last.safetensors").is_file() && step_of(&out) >= 5 * STEPS_AN_EPOCH);
    send(&child, "KILL");
    assert_eq!(child.wait().unwrap().code(), None);
    assert!(step_of(&out).is_multiple_of(STEPS_AN_EPOCH));
    finishes(&mut resume(&out));
    assert_same_results(uninterrupted(), &out);
}

#[test]
fn a_run_that_was_killed_before_its_first_checkpoint_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut child = train(faces(), &out, EPOCHS).spawn().unwrap();
    wait_until(&mut child, || out.join("config.toml").is_file());
    send(&child, "KILL");
    assert_eq!(child.wait().unwrap().code(), None);
    assert!(!out.join("last.safetensors").exists(), "killed too late to show anything");
    fails(&mut resume(&out), &[out.to_str().unwrap(), "before its first checkpoint", "leave --resume out"]);
    finishes(&mut train(faces(), &out, EPOCHS));
    assert_same_results(trained(), &out);
}

#[test]
fn a_finished_run_is_neither_overwritten_nor_resumed_with_other_settings_or_data() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (draw_faces(5, 2), folder.path().join("run"));
    finishes(&mut train(data.path(), &out, 1));
    let before = contents(&out);
    let run = out.to_str().unwrap();
    fails(&mut train(data.path(), &out, 1), &[run, "already holds", "--out", "--resume"]);
    fails(resume(&out).args(["--epochs", "2"]), &[run, "epochs is 1 in the run and 2 now"]);
    fails(&mut resume(&folder.path().join("none")), &["none", "no run to resume", "leave --resume out"]);
    std::fs::create_dir(data.path().join("newcomer")).unwrap();
    for image in 0..2 {
        std::fs::copy(picture(data.path(), 0, image), data.path().join(format!("newcomer/{image}.jpg"))).unwrap();
    }
    fails(&mut resume(&out), &["last.safetensors", "other data", "of 3 identities", "of 4 identities"]);
    assert_eq!(contents(&out), before);
}

#[test]
fn a_folder_with_a_configuration_of_something_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.toml"), "title = \"mine\"\n").unwrap();
    fails(&mut train(faces(), folder.path(), 1), &["already holds"]);
    assert_eq!(names(folder.path()), ["config.toml"]);
}
