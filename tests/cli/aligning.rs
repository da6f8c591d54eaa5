//! Photographs are aligned, patches listed and drawn, and networks trained on them.

use super::program::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

fn align(source: &Path, out: &Path) -> Command {
    let mut command = deepid2();
    command.args(["align", "--quiet", "--landmarks", "pts"]).arg(source).arg("--out").arg(out);
    command
}

/// [`faces`], aligned.
fn aligned() -> &'static Path {
    static ALIGNED: OnceLock<TempDir> = OnceLock::new();
    let folder = ALIGNED.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let printed = finishes(&mut align(faces(), folder.path()));
        assert!(printed.stdout.contains("48 faces of 48 pictures (48 aligned now, "), "{}", printed.stdout);
        folder
    });
    folder.path()
}

fn aligned_face(identity: u32, image: u32) -> PathBuf {
    aligned().join(format!("person_{identity:04}/{image:03}.png"))
}

/// Trains a small network on a patch for two epochs.
fn train_patch(data: &Path, out: &Path, patch: &str) -> Command {
    let mut command = deepid2();
    command.args(["train", "--quiet", "--epochs", "2", "--widths", "4,6,8,8", "--embedding", "16", "--batch", "4"]);
    command.args(["--validation-fraction", "0.25", "--margin-every", "10", "--patch", patch]);
    command.arg("--data").arg(data).arg("--out").arg(out);
    command
}

/// Every file below a folder.
fn all_files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().into(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn interrupted_and_killed_runs_end_as_the_uninterrupted_one() {
    let photographs = draw_faces(10, 60);
    let folder = tempfile::tempdir().unwrap();
    let [whole, stopped] = ["whole", "stopped"].map(|name| folder.path().join(name));
    finishes(&mut align(photographs.path(), &whole));
    let index = stopped.join("faces.jsonl");
    let mut before = 0;
    for (signal, code) in [("INT", Some(130)), ("KILL", None), ("TERM", Some(130))] {
        let mut child =
            align(photographs.path(), &stopped).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let length = || std::fs::metadata(&index).map_or(0, |file| file.len());
        wait_until(&mut child, || length() > before);
        send(&child, signal);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), code, "{signal}");
        if code.is_some() {
            let stdout = String::from_utf8(output.stdout).unwrap();
            assert!(stdout.contains(" of 600 pictures; the same command goes on"), "{stdout}");
        }
        assert!(!stopped.join("rejected.csv").exists());
        before = length();
    }
    let message = fails(&mut train_patch(&stopped, &folder.path().join("run"), "0"), &["was not aligned to the end"]);
    assert!(message.contains("run the same `deepid2 align` again"), "{message}");
    finishes(&mut align(photographs.path(), &stopped));
    assert!(all_files(&stopped) == all_files(&whole));
    let again = finishes(&mut align(photographs.path(), &stopped));
    assert!(again.stdout.contains("all of them aligned before"), "{}", again.stdout);
    assert!(all_files(&stopped) == all_files(&whole));
}

#[test]
fn what_cannot_be_aligned_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut command = deepid2();
    command.arg("align").arg(faces()).arg("--out").arg(&out);
    fails(&mut command, &["--landmarks is missing", "deepid2 landmarks train"]);
    assert!(!out.exists());
    fails(align(faces(), &out).args(["--no-detect", "--face-share", "7"]), &["--face-share 7", "0.05 to 1"]);
    fails(align(faces(), &out).args(["--min-face", "-1"]), &["min_face is -1"]);
    let mut command = deepid2();
    command.arg("align").arg(faces()).arg("--out").arg(&out).arg("--landmarks").arg(model());
    fails(&mut command, &["best.safetensors", "deepid2-model-1", "deepid2 landmarks train"]);

    let message = fails(&mut align(faces(), &faces().join("inside")), &["lies in"]);
    assert!(message.contains("name a folder elsewhere"), "{message}");
    fails(&mut align(aligned(), &out), &["none of 48 pictures could be aligned", "person_0000/000.png", ".pts"]);
    let rejected = std::fs::read_to_string(out.join("rejected.csv")).unwrap();
    assert_eq!(rejected.lines().count(), 49);

    // Another source in the same folder.
    let other = draw_faces(2, 2);
    fails(&mut align(other.path(), &out), &["was aligned with other settings", "source is "]);
}

#[test]
fn patches_are_listed_and_drawn() {
    let list = succeeds(&["patches", "list"]);
    assert!(list.contains("150-159   pupil          31x39  left pupil"), "{list}");
    assert!(list.contains("0-9       face           55x47  x 79.5, y 98 of 160x192"), "{list}");
    let json: serde_json::Value = serde_json::from_str(&succeeds(&["patches", "list", "--json"])).unwrap();
    let all = json.as_array().unwrap();
    assert_eq!(all.len(), 200);
    assert_eq!(all[155]["name"], "pupil@1.4 gray");
    assert_eq!(all[155]["vectors"], serde_json::json!([310, 311]));

    let folder = tempfile::tempdir().unwrap();
    let [sheet, of_photograph] = ["sheet.png", "of_photograph.png"].map(|name| folder.path().join(name));
    let draw = |picture: &Path, out: &Path| {
        let mut command = deepid2();
        command.args(["patches", "draw"]).arg(picture).arg("-o").arg(out);
        command
    };
    finishes(&mut draw(&aligned_face(0, 0), &sheet));
    finishes(draw(&face(0, 0), &of_photograph).args(["--landmarks", "pts"]));
    assert_eq!(std::fs::read(&sheet).unwrap(), std::fs::read(&of_photograph).unwrap());
    fails(&mut draw(&face(0, 0), &sheet), &["not in a folder that `deepid2 align` made", "--landmarks MODEL"]);
    fails(&mut draw(&aligned_face(0, 0), &folder.path().join("no/sheet.png")), &["no/sheet.png: cannot be written"]);
}

#[test]
fn a_network_is_trained_on_a_patch_and_used_on_aligned_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let [run, again] = ["run", "again"].map(|name| folder.path().join(name));
    finishes(&mut train_patch(aligned(), &run, "nose-wing@1.0 gray"));
    let best = run.join("best.safetensors");
    let entries = tensors(&best).entries;
    assert_eq!(entries["patch"], r#"{"index":183,"name":"nose-wing@1.0 gray"}"#);
    let config: toml::Table = std::fs::read_to_string(run.join("config.toml")).unwrap().parse().unwrap();
    assert_eq!(config["patch"].as_integer(), Some(183));

    // By number, and with pictures decoded for each batch: the same.
    finishes(train_patch(aligned(), &again, "183").args(["--cache-megabytes", "0"]));
    assert_same_results(&run, &again);

    let (model, data) = (best.to_str().unwrap(), aligned().to_str().unwrap());
    let eval: serde_json::Value = serde_json::from_str(&succeeds(&["eval", model, "--data", data, "--json"])).unwrap();
    assert!(eval["network"]["summary"]["auc"].as_f64().unwrap() > 0.5, "{eval}");
    let table = folder.path().join("table.csv");
    succeeds(&["embed", model, data, "-o", table.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(&table).unwrap().lines().count(), 49);
    let [a, b] = [aligned_face(0, 0), aligned_face(0, 1)];
    succeeds(&["verify", model, a.to_str().unwrap(), b.to_str().unwrap()]);

    // Pictures that are not aligned, and flags that contradict the patch.
    let advice = ["not in a folder of aligned pictures", "run `deepid2 align`"];
    fails(deepid2().args(["eval", model, "--data"]).arg(faces()), &advice);
    fails(deepid2().args(["verify", model]).args([face(0, 0), face(0, 1)]), &advice);
    fails(&mut train_patch(faces(), &folder.path().join("other"), "5"), &advice);
    fails(
        deepid2().args(["eval", model, "--data", data, "--crop-scale", "2"]),
        &["--crop-scale 2", "nose-wing@1.0 gray"],
    );
    fails(train_patch(aligned(), &again, "183").args(["--size", "31x31"]), &["leave out --size, --gray"]);
    fails(&mut train_patch(aligned(), &again, "200"), &["200", "expected 0 to 199"]);
    fails(&mut train_patch(aligned(), &again, "nose"), &["`nose`", "deepid2 patches list"]);
    let resumed = ["train", "--quiet", "--resume", "--patch", "185", "--out"];
    fails(deepid2().args(resumed).arg(&run), &["patch is 183 in the run and 185 now"]);
}
