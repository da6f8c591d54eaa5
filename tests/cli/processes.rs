//! Networks of patches trained by several processes become what one process makes of them, stopped, killed or failing.

use super::program::*;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

const PATCHES: [&str; 3] = ["120", "161", "183"];
const LONG: u64 = 40;

/// [`faces`], aligned.
fn aligned() -> &'static Path {
    static ALIGNED: OnceLock<TempDir> = OnceLock::new();
    let folder = ALIGNED.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let mut align = deepid2();
        align.args(["align", "--quiet", "--landmarks", "pts"]).arg(faces()).arg("--out").arg(folder.path());
        finishes(&mut align);
        folder
    });
    folder.path()
}

/// Small networks of [`PATCHES`] in so many processes.
fn train(out: &Path, processes: &str, epochs: u64) -> Command {
    train_at("0.001", out, processes, epochs)
}

fn train_at(rate: &str, out: &Path, processes: &str, epochs: u64) -> Command {
    let mut command = deepid2();
    command.args(["train", "--patches", &PATCHES.join(","), "--processes", processes]);
    command.args(["--epochs", &epochs.to_string(), "--validate-every", "20", "--learning-rate", rate]);
    command.args(["--widths", "4,6,8,8", "--embedding", "16", "--batch", "4", "--validation-fraction", "0.25"]);
    command.args(["--margin-every", "10", "--data"]).arg(aligned()).arg("--out").arg(out);
    command
}

fn network(out: &Path, patch: &str) -> std::path::PathBuf {
    out.join(format!("patch-{patch}"))
}

/// The networks of one process.
fn in_one_process() -> &'static Path {
    static NETS: OnceLock<TempDir> = OnceLock::new();
    let folder = NETS.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        finishes(&mut train(folder.path(), "1", LONG));
        folder
    });
    folder.path()
}

#[test]
fn two_processes_make_the_networks_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("nets");
    let printed = finishes(&mut train(&out, "2", LONG));
    for patch in PATCHES {
        assert_same_results(&network(in_one_process(), patch), &network(&out, patch));
        assert!(printed.stderr.contains(&format!("  patch-{patch}: {} steps at ", LONG * STEPS_AN_EPOCH)));
    }
    assert!(printed.stdout.contains("3 of 3 networks are done, 3 of them now"), "{}", printed.stdout);
    let again = finishes(train(&out, "2", LONG).arg("--quiet"));
    assert!(again.stdout.contains("3 of 3 networks are done, 0 of them now"), "{}", again.stdout);
    assert_eq!(again.stderr, "");
}

#[test]
fn stopped_and_killed_processes_are_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("nets");
    for (signal, code) in [("INT", Some(130)), ("KILL", None)] {
        let mut child = train(&out, "2", LONG).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let before = names(&network(&out, PATCHES[0])).len();
        wait_until(&mut child, || {
            let begun = |patch: &str| network(&out, patch).join("last.safetensors").is_file();
            begun(PATCHES[0]) && begun(PATCHES[1]) && names(&network(&out, PATCHES[0])).len() >= before
        });
        send(&child, signal);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), code);
        if signal == "INT" {
            let printed = String::from_utf8(output.stdout).unwrap();
            assert!(printed.contains("of 3 networks are done") && printed.ends_with("the same command goes on\n"));
            let warned = String::from_utf8(output.stderr).unwrap();
            assert_eq!(warned.matches("press Ctrl-C again").count(), 1, "{warned}");
        }
        assert!(!network(&out, PATCHES[2]).join("DONE").exists());
    }
    finishes(&mut train(&out, "2", LONG));
    for patch in PATCHES {
        assert_same_results(&network(in_one_process(), patch), &network(&out, patch));
    }
}

#[test]
fn what_fails_in_a_process_is_told_by_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("nets");
    let diverging = |processes: &str, out: &Path| {
        fails(
            train_at("1e30", out, processes, 2).arg("--quiet"),
            &["nets/patch-", "not a finite number", "diverged", "--learning-rate"],
        )
    };
    diverging("2", &out);
    diverging("1", &folder.path().join("alone/nets"));

    let other = folder.path().join("others");
    finishes(train(&other, "2", 1).arg("--quiet"));
    fails(train(&other, "2", 2).arg("--quiet"), &["patch-120 was trained with other settings", "epochs is 1"]);
    fails(train(&other, "0", 2).arg("--quiet"), &["--processes", "0"]);
}

/// The processes that a process has started.
#[cfg(target_os = "linux")]
fn children_of(parent: u32) -> Vec<u32> {
    let tasks = format!("/proc/{parent}/task");
    let of_task = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
    let children: String = std::fs::read_dir(tasks).unwrap().map(|task| of_task(task.unwrap())).collect();
    children.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn a_process_that_dies_is_reported_and_takes_the_others_work_along_saved() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("nets");
    let mut command = train(&out, "2", LONG);
    let mut child = command.arg("--quiet").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until(&mut child, || PATCHES[..2].iter().all(|patch| network(&out, patch).join("last.safetensors").is_file()));
    let victim = children_of(child.id())[0];
    assert!(Command::new("kill").args(["-KILL", &victim.to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.starts_with("error: the process that trained ") && told.contains("signal: 9"), "{told}");
    assert!(told.contains("--processes") && told.lines().count() == 1, "{told}");

    finishes(train(&out, "2", LONG).arg("--quiet"));
    for patch in PATCHES {
        assert_same_results(&network(in_one_process(), patch), &network(&out, patch));
    }
}
