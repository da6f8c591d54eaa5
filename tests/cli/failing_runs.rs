//! Divergence, full disks and impossible folders leave earlier results alone.

use super::program::*;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Asserts that every safetensors file of a run loads and holds finite numbers only.
fn assert_usable(run: &Path) {
    for name in ["best.safetensors", "last.safetensors"].map(|name| run.join(name)).iter().filter(|path| path.exists())
    {
        for (tensor, (_, bytes)) in tensors(name).tensors {
            let (values, _) = bytes.as_chunks::<4>();
            let finite = values.iter().all(|bytes| f32::from_le_bytes(*bytes).is_finite());
            assert!(finite, "{}: {tensor}", name.display());
        }
    }
}

#[test]
fn a_diverged_run_names_step_and_tensor_and_can_be_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let diverging = |out: &Path| {
        let mut command = train(faces(), out, EPOCHS);
        command.args(["--learning-rate", "1e30", "--warm-up", "0"]);
        command
    };
    fails(&mut diverging(&out), &["step ", "tensor ", "not a finite number", "Lower --learning-rate"]);
    assert!(!out.join("last.safetensors").exists() && !out.join("best.safetensors").exists());
    // As the message advises, into the same folder.
    finishes(&mut train(faces(), &out, EPOCHS));
    assert_same_results(trained(), &out);
}

#[test]
fn an_update_that_overflows_after_a_finite_loss_is_not_saved() {
    // One step an epoch: its loss is that of the initial weights, and only the weights it leaves are not finite.
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let flags =
        ["--batch", "48", "--validation-fraction", "0", "--learning-rate", "1e38", "--rate-scale", "softmax=1e9"];
    let mut command = train_with(faces(), &out, 1, &flags);
    fails(&mut command, &["step 1:", "tensor softmax", "not a finite number"]);
    assert_eq!(names(&out), ["config.toml", "metrics.jsonl"]);
}

#[test]
fn divergence_keeps_the_last_good_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    // Momentum carries a rate that is a little too high for a while before the loss overflows.
    let mut command = train(faces(), &out, 100);
    command.args(["--learning-rate", "3", "--schedule", "constant", "--momentum", "0.99", "--signal", "none"]);
    fails(&mut command, &["step ", "not a finite number", "checkpoints of earlier epochs are kept"]);
    assert!(out.join("last.safetensors").exists(), "diverged before the first checkpoint: the rate is too high");
    assert_usable(&out);
    let model = out.join("last.safetensors");
    succeeds(&[Path::new("verify"), &model, &face(0, 0), &face(0, 1)]);
}

/// Copies the files of a run.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for (name, bytes) in contents(from) {
        fs::write(to.join(name), bytes).unwrap();
    }
}

/// A shell that runs `script` in a mount namespace of its own, if this system allows it: mounts vanish with it.
fn in_own_mounts(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script]);
    command
}

fn mounts_allowed() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs none '{}'", folder.path().display());
    in_own_mounts(&mount).output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_file_that_cannot_grow_keeps_the_checkpoint_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let (out, checked) = (folder.path().join("run"), folder.path().join("checked"));
    let interrupted = killed_after_an_epoch(&out);
    copy(&out, &checked);
    let before = tensors(&out.join("last.safetensors"));
    // 16 KiB: room for the settings and some records, not for a model. Mesa's cache must not meet the limit.
    let script = "ulimit -f 32; trap '' XFSZ; exec \"$0\" \"$@\"";
    let mut limited = Command::new("sh");
    limited.args(["-c", script, env!("CARGO_BIN_EXE_deepid2"), "train", "--resume", "--quiet", "--out"]).arg(&out);
    limited.env("MESA_SHADER_CACHE_DISABLE", "true").env("RUST_BACKTRACE", "0");
    let last = out.join("last.safetensors");
    fails(&mut limited, &[last.to_str().unwrap(), "cannot be written", "the file that was there before is kept"]);
    assert_eq!(tensors(&last), before);
    assert_eq!(names(&out), interrupted, "something temporary is left");
    finishes(deepid2().args(["train", "--resume", "--quiet", "--out"]).arg(&out));
    finishes(deepid2().args(["train", "--resume", "--quiet", "--out"]).arg(&checked));
    assert_same_results(&checked, &out);
}

/// Starts a run in `out` and ends it with Ctrl-C after an epoch; returns its files' names.
fn killed_after_an_epoch(out: &Path) -> Vec<String> {
    let mut child =
        train(faces(), out, 40).args(["--validate-every", "40"]).stdout(std::process::Stdio::null()).spawn().unwrap();
    while !out.join("last.safetensors").exists() {
        assert_eq!(child.try_wait().unwrap(), None, "the run ended too early");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").arg("-c").arg(kill).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    names(out)
}

#[test]
fn a_full_disk_keeps_the_checkpoint_before_it() {
    if !mounts_allowed() {
        eprintln!(
            "no mounts here: `a_file_that_cannot_grow_keeps_the_checkpoint_before_it` alone shows a failed write"
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [run, disk, after] = ["run", "disk", "after"].map(|name| folder.path().join(name));
    let files = killed_after_an_epoch(&run);
    [&disk, &after].iter().for_each(|path| fs::create_dir(path).unwrap());
    let before = tensors(&run.join("last.safetensors"));
    // Room for what is there and a few pages: a second checkpoint beside the first does not fit.
    let size: usize = contents(&run).values().map(|bytes| bytes.len().next_multiple_of(4096)).sum::<usize>() + 5 * 4096;
    let script = format!(
        "mount -t tmpfs -o size={size} none \"$1\" && cp \"$0\"/* \"$1\" || exit 99
         \"$3\" train --resume --quiet --out \"$1\"; code=$?; cp -a \"$1\"/. \"$2\"; exit $code"
    );
    let mut command = in_own_mounts(&script);
    command.args([&run, &disk, &after]).arg(env!("CARGO_BIN_EXE_deepid2"));
    let last = disk.join("last.safetensors");
    fails(&mut command, &[last.to_str().unwrap(), "free some space", "the file that was there before is kept"]);
    assert_eq!(names(&after), files, "something temporary is left");
    assert_eq!(tensors(&after.join("last.safetensors")), before);
    finishes(deepid2().args(["train", "--resume", "--quiet", "--out"]).arg(&after));
    finishes(deepid2().args(["train", "--resume", "--quiet", "--out"]).arg(&run));
    assert_same_results(&run, &after);
}

#[test]
fn output_below_a_file_is_refused_before_training() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "earlier").unwrap();
    let below = file.join("run");
    fails(&mut train(faces(), &below, 1), &[below.to_str().unwrap(), "choose a folder that you may write to"]);
    let table = file.join("out.npy");
    fails(deepid2().arg("embed").arg(model()).arg(faces()).arg("-o").arg(&table), &[table.to_str().unwrap()]);
    let roc = file.join("roc.svg");
    let mut eval = deepid2();
    eval.arg("eval").arg(model()).arg("--data").arg(faces()).args(["--folds", "2", "--roc"]).arg(&roc);
    fails(&mut eval, &[roc.to_str().unwrap()]);
    fails(deepid2().arg("synth").arg(file.join("faces")).args(["--identities", "2"]), &["file/faces"]);
    assert_eq!(fs::read(&file).unwrap(), b"earlier");
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn a_read_only_folder_is_refused_before_training() {
    if !mounts_allowed() {
        eprintln!("no mounts here: `output_below_a_file_is_refused_before_training` alone shows a refused folder");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let read_only = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" || exit 99; exec \"$@\"";
    let inside = |command: &Command| {
        let mut outer = in_own_mounts(read_only);
        outer.arg(folder.path()).arg(command.get_program()).args(command.get_args());
        outer
    };
    for out in [folder.path().into(), folder.path().join("run")] {
        fails(&mut inside(&train(faces(), &out, 1)), &[out.to_str().unwrap(), "ead-only file system"]);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
