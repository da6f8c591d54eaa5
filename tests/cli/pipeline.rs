//! All stages from photographs to a bundle, on synthetic faces and small networks: made, stopped and gone on with, used, and
//! refused.

use super::program::*;
use deepid2::data::synth::{SynthSpec, write_dataset};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// Width of a photograph: large enough for the detector.
const SIZE: u32 = 96;
/// Patches whose networks are trained, and what stands for them in the report.
const PATCHES: &str = "120,160,170";
const PATCH_NAMES: [&str; 3] = ["cheek@0.8 RGB", "eye-outer@0.7 RGB", "eye-inner@0.7 RGB"];

/// Photographs, a landmark model and a finished run, which the tests share and none changes.
struct Made {
    folder: TempDir,
    /// What the run printed.
    stdout: String,
}

impl Made {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn bundle(&self) -> PathBuf {
        self.path("run/bundle")
    }
}

fn draw(folder: &Path, identities: u32, images: u32, seed: u64) {
    let spec = SynthSpec { identities, images, size: SIZE, seed };
    write_dataset(folder, &spec, &|| {}).unwrap();
}

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let mut made = Made { folder: tempfile::tempdir().unwrap(), stdout: String::new() };
        draw(&made.path("people"), 24, 6, 1);
        draw(&made.path("strangers"), 8, 4, 5);
        draw(&made.path("annotated"), 8, 3, 9);
        let mut landmarks = deepid2();
        landmarks.args(["landmarks", "train", "--stages", "2", "--starts", "3", "--hold-out", "0.25"]);
        finishes(landmarks.arg(made.path("annotated")).arg("--out").arg(made.path("landmarks.safetensors")));
        fs::write(
            made.path("networks.toml"),
            "epochs = 1\nbatch = 32\n\n[network]\nwidths = [4, 6, 8, 8]\nembedding = 16\n",
        )
        .unwrap();
        let mut command = pipeline(&made, &made.path("run"));
        made.stdout = finishes(command.arg("--test-data").arg(made.path("strangers"))).stdout;
        made
    })
}

/// A run from the shared photographs, without test pairs.
fn pipeline(made: &Made, out: &Path) -> Command {
    let mut command = deepid2();
    command.args(["pipeline", "--quiet", "--patches", PATCHES, "--size", "2", "--groups", "2", "--components", "20"]);
    command.arg("--data").arg(made.path("people")).arg("--landmarks").arg(made.path("landmarks.safetensors"));
    command.arg("--train-config").arg(made.path("networks.toml")).arg("--out").arg(out);
    command
}

/// The run in `out`, by its folder alone.
fn go_on(out: &Path) -> Command {
    let mut command = deepid2();
    command.args(["pipeline", "--quiet", "--out"]).arg(out);
    command
}

fn photograph(made: &Made, identity: u32, image: u32) -> PathBuf {
    picture(&made.path("people"), identity, image)
}

/// Every file below a folder.
fn all_files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().into(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// A copy of the shared bundle.
fn copied_bundle(made: &Made, to: &Path) {
    for (name, bytes) in all_files(&made.bundle()) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Waits until the child says `text` on standard error, and goes on reading what it says.
fn wait_until_said(child: &mut Child, text: &str) {
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let said = lines.by_ref().map_while(Result::ok).any(|line| line.contains(text));
    assert!(said, "the run ended before it said `{text}`");
    // A full pipe would stop the child.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
}

#[test]
fn a_run_leaves_every_stage_a_page_and_a_bundle_that_says_what_it_is() {
    let made = made();
    assert!(
        made.stdout.contains("held-out people (used to choose vectors and threshold): accuracy "),
        "{}",
        made.stdout
    );
    assert!(made.stdout.contains("test pairs: accuracy "), "{}", made.stdout);
    let run = made.path("run");
    for name in [
        "pipeline.toml",
        "landmarks.safetensors",
        "aligned/faces.jsonl",
        "aligned/rejected.csv",
        "nets/patch-120/DONE",
        "nets/patch-160/last.safetensors",
        "nets/patch-170/DONE",
        "vectors/patch-120.safetensors",
        "vectors/patch-170.safetensors",
        "selection.json",
        "held-out.csv",
        "verifier.safetensors",
        "report.html",
        "bundle/bundle.json",
        "bundle/landmarks.safetensors",
        "bundle/verifier.safetensors",
    ] {
        assert!(run.join(name).is_file(), "{name}");
    }
    let chosen: serde_json::Value = serde_json::from_slice(&fs::read(run.join("selection.json")).unwrap()).unwrap();
    let groups: Vec<Vec<u64>> = serde_json::from_value(chosen["groups"].clone()).unwrap();
    assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
    let report = fs::read_to_string(run.join("report.html")).unwrap();
    for &vector in &groups[0] {
        let place = [120, 160, 170].iter().position(|patch| *patch == vector / 2).expect("a vector of a trained patch");
        assert!(report.contains(PATCH_NAMES[place]), "patch {}", vector / 2);
    }

    let card = succeeds(&["info", made.bundle().to_str().unwrap()]);
    for part in ["DeepID2", "2 groups of vectors", "threshold", "every file has the SHA-256"] {
        assert!(card.contains(part), "{card}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&succeeds(&["info", made.bundle().to_str().unwrap(), "--json"])).unwrap();
    assert_eq!(json["version"], 2);
}

/// What a run becomes must depend neither on being stopped, wherever that is, nor on test pairs: this run has none.
#[test]
fn stopped_and_killed_runs_without_test_pairs_become_the_uninterrupted_one_with_them() {
    let made = made();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    for (number, (stage, signal, code)) in [
        ("stage 3 of 8: networks", "INT", Some(130)),
        ("stage 3 of 8: networks", "KILL", None),
        ("stage 4 of 8: vectors", "KILL", None),
        ("stage 4 of 8: vectors", "INT", Some(130)),
    ]
    .into_iter()
    .enumerate()
    {
        let mut command = if number == 0 { pipeline(made, &out) } else { go_on(&out) };
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until_said(&mut child, stage);
        match (number, signal) {
            (1, _) => wait_until(&mut child, || out.join("nets/patch-120/DONE").is_file()),
            (2, _) => wait_until(&mut child, || out.join("vectors/patch-120.safetensors.partial").is_file()),
            _ => {}
        }
        send(&child, signal);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), code, "{stage} {signal}");
        if code.is_some() {
            let advice = format!("stopped; go on with: deepid2 pipeline --out {}", out.display());
            assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), advice);
        }
        assert!(!out.join("verifier.safetensors").exists());
    }
    finishes(&mut go_on(&out));

    let run = made.path("run");
    for name in
        ["selection.json", "verifier.safetensors", "held-out.csv", "landmarks.safetensors", "aligned/faces.jsonl"]
    {
        assert!(fs::read(out.join(name)).unwrap() == fs::read(run.join(name)).unwrap(), "{name}");
    }
    for patch in PATCHES.split(',') {
        let read = |run: &Path| {
            let mut file = tensors(&run.join(format!("vectors/patch-{patch}.safetensors")));
            // The digest of a file that says how long training took.
            file.entries.remove("model").unwrap();
            file
        };
        assert!(read(&out) == read(&run), "vectors of patch {patch}");
        let network = format!("bundle/networks/patch-{patch}.safetensors");
        assert_eq!(out.join(&network).is_file(), run.join(&network).is_file());
        if run.join(&network).is_file() {
            // Their entry `trained_on` names the folder.
            assert!(tensors(&out.join(&network)).tensors == tensors(&run.join(&network)).tensors, "{network}");
        }
    }
    assert!(out.join("report.html").is_file());
    assert!(names(&out.join("vectors")).iter().all(|name| !name.ends_with(".partial")));

    // There is nothing left to do, and doing it changes no result.
    let before = all_files(&out);
    finishes(&mut go_on(&out));
    let after = all_files(&out);
    assert!(before.keys().eq(after.keys()));
    let changed: Vec<_> = before.iter().filter(|(name, bytes)| after[*name] != **bytes).map(|(name, _)| name).collect();
    assert!(changed.iter().all(|name| name.ends_with("report.html")), "{changed:?}");
}

#[test]
fn photographs_are_compared() {
    let made = made();
    let verify = |flags: &[&str]| {
        let mut command = deepid2();
        command.arg("verify").arg(made.bundle()).args([photograph(made, 3, 0), photograph(made, 3, 0)]).args(flags);
        finishes(&mut command).stdout
    };
    assert!(verify(&[]).starts_with("the same person: score "));
    assert!(verify(&["--threshold", "1e9"]).starts_with("different people: score "));
    let json: serde_json::Value = serde_json::from_str(&verify(&["--json"])).unwrap();
    assert_eq!((&json["same"], json["log_likelihood_ratios"].as_array().unwrap().len()), (&true.into(), 2));
}

#[test]
fn a_photograph_is_found_in_a_gallery_and_the_index_is_used_again() {
    let made = made();
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("gallery.index");
    let find = |bundle: &Path, flags: &[&str]| {
        let mut command = deepid2();
        command.arg("find").arg(bundle).arg(photograph(made, 3, 0)).arg(made.path("people"));
        command.arg("--index").arg(&index).args(flags);
        command
    };
    let first = finishes(&mut find(&made.bundle(), &[])).stdout;
    assert!(first.lines().next().unwrap().ends_with("person_0003/000.jpg"), "{first}");
    assert!(first.contains(", 0 photographs from the index"), "{first}");
    let held = fs::read(&index).unwrap();
    let second = finishes(&mut find(&made.bundle(), &[])).stdout;
    assert!(second.contains(", 144 photographs from the index"), "{second}");
    let matches = |text: &str| text.lines().filter(|line| line.contains(".jpg")).map(String::from).collect::<Vec<_>>();
    assert_eq!(matches(&first), matches(&second));
    assert_eq!(matches(&first).len(), 5);

    // The index of another bundle, or of faces chosen otherwise.
    let other = folder.path().join("other");
    copied_bundle(made, &other);
    let manifest = fs::read_to_string(other.join("bundle.json")).unwrap();
    fs::write(other.join("bundle.json"), manifest.replace("\"made_by\": \"deepid2", "\"made_by\": \"another")).unwrap();
    fails(&mut find(&other, &[]), &["gallery.index", "made with another bundle", "give another --index"]);
    fails(&mut find(&made.bundle(), &["--face", "central"]), &["gallery.index", "another --face"]);
    assert!(fs::read(&index).unwrap() == held);
}

#[test]
fn people_are_grouped_embedded_and_judged() {
    let made = made();
    let folder = tempfile::tempdir().unwrap();
    let [clusters, vectors] = ["clusters.csv", "vectors.csv"].map(|name| folder.path().join(name));
    let strangers = made.path("strangers");
    let printed = finishes(deepid2().arg("cluster").arg(made.bundle()).arg(&strangers).arg("-o").arg(&clusters)).stdout;
    let table = fs::read_to_string(&clusters).unwrap();
    let faces = table.lines().count() - 1;
    assert!(table.starts_with("person,path,left,top,width,height\n1,"), "{table}");
    assert!(printed.contains(&format!("people on {faces} faces")) && (24..=32).contains(&faces), "{printed}");

    finishes(deepid2().arg("embed").arg(made.bundle()).arg(&strangers).arg("-o").arg(&vectors));
    let table = fs::read_to_string(&vectors).unwrap();
    assert_eq!(table.lines().count() - 1, faces);
    assert_eq!(table.lines().nth(1).unwrap().split(',').count(), 1 + 2 * 20);
}

/// Test labels that say nothing must find nothing: whatever the system knows of test pairs would show here.
#[test]
fn shuffled_test_labels_are_guessed_half_of_the_time() {
    let made = made();
    let folder = tempfile::tempdir().unwrap();
    let mut pairs: Vec<(String, String, bool)> = Vec::new();
    let name = |person: u32, image: u32| format!("person_{person:04}/{image:03}.jpg");
    for person in 0..8 {
        for (a, b) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
            pairs.push((name(person, a), name(person, b), true));
            pairs.push((name(person, a), name((person + 1 + a + b) % 8, b), false));
        }
    }
    let same = pairs.iter().filter(|(.., same)| *same).count();
    assert_eq!((pairs.len(), same), (96, 48));
    let accuracy = |labels: &[bool]| {
        let list = folder.path().join("pairs.txt");
        let lines: String =
            pairs.iter().zip(labels).map(|((a, b, _), &same)| format!("{a} {b} {}\n", u8::from(same))).collect();
        fs::write(&list, lines).unwrap();
        let mut command = deepid2();
        command.arg("eval").arg(made.bundle()).arg("--pairs").arg(&list).arg("--data").arg(made.path("strangers"));
        let json: serde_json::Value = serde_json::from_str(&finishes(command.arg("--json")).stdout).unwrap();
        json["accuracy_at_the_models_threshold"].as_f64().unwrap()
    };
    let real: Vec<bool> = pairs.iter().map(|(.., same)| *same).collect();
    // Half of either kind keeps its label.
    let shuffled: Vec<bool> = (0..real.len()).map(|pair| pair / 2 % 2 == 0).collect();
    let (real, shuffled) = (accuracy(&real), accuracy(&shuffled));
    assert!(real > 0.62, "real labels: {real}");
    assert!((shuffled - 0.5).abs() < 0.1, "shuffled labels: {shuffled}");
}

#[test]
fn a_verifier_says_the_same_of_extracted_vectors_as_a_bundle_of_photographs() {
    let made = made();
    let folder = tempfile::tempdir().unwrap();
    let [aligned, vectors, pairs] = ["aligned", "vectors", "pairs.txt"].map(|name| folder.path().join(name));
    let (run, strangers) = (made.path("run"), made.path("strangers"));
    let list: String = (0..8)
        .flat_map(|person| {
            let name = |person: u32, image: u32| format!("person_{person:04}/{image:03}");
            [(name(person, 0), name(person, 1), 1), (name(person, 2), name((person + 1) % 8, 3), 0)]
        })
        .map(|(a, b, same)| format!("{a}.EXT {b}.EXT {same}\n"))
        .collect();

    let mut align = deepid2();
    align.args(["align", "--quiet", "--face", "central", "--or-middle", "--landmarks"]);
    finishes(align.arg(run.join("landmarks.safetensors")).arg(&strangers).arg("--out").arg(&aligned));
    let mut extract = deepid2();
    extract.arg("extract").arg(run.join("nets")).arg("--data").arg(&aligned);
    finishes(extract.arg("--out").arg(&vectors));
    let judged = |subject: &Path, extension: &str, data: &Path, flags: &[&Path]| {
        fs::write(&pairs, list.replace("EXT", extension)).unwrap();
        let mut command = deepid2();
        command.arg("eval").arg(subject).arg("--pairs").arg(&pairs).arg("--data").arg(data).arg("--json").args(flags);
        serde_json::from_str::<serde_json::Value>(&finishes(&mut command).stdout).unwrap()
    };
    let by_bundle = judged(&made.bundle(), "jpg", &strangers, &[]);
    let by_verifier = judged(&run.join("verifier.safetensors"), "png", &aligned, &[Path::new("--vectors"), &vectors]);
    assert_eq!(by_bundle["bundle"]["summary"], by_verifier["verifier"]["summary"]);
    let own = "accuracy_at_the_models_threshold";
    assert_eq!(by_bundle[own], by_verifier[own]);

    // Networks of the same patches that the verifier was not fitted with.
    let nets = folder.path().join("nets");
    let mut train = deepid2();
    train.args(["train", "--quiet", "--patches", PATCHES, "--seed", "2", "--config"]).arg(made.path("networks.toml"));
    finishes(train.arg("--data").arg(run.join("aligned")).arg("--out").arg(&nets));
    let other = folder.path().join("other");
    let mut extract = deepid2();
    finishes(extract.arg("extract").arg(&nets).arg("--data").arg(&aligned).arg("--out").arg(&other));
    let mut eval = deepid2();
    eval.arg("eval").arg(run.join("verifier.safetensors")).arg("--vectors").arg(&other).arg("--pairs").arg(&pairs);
    fails(eval.arg("--data").arg(&aligned), &["other/patch-", "not of the network of patch", "fit again"]);
    let mut bundle = deepid2();
    bundle.arg("bundle").arg("--landmarks").arg(run.join("landmarks.safetensors")).arg("--nets").arg(&nets);
    bundle.arg("--verifier").arg(run.join("verifier.safetensors")).arg("--out").arg(folder.path().join("bundle"));
    fails(&mut bundle, &["nets/patch-", "not of the network of patch"]);
    assert!(!folder.path().join("bundle").exists());
}

#[test]
fn what_is_missing_is_collected_and_array_jobs_train_their_share() {
    let made = made();
    let folder = tempfile::tempdir().unwrap();
    let nets = folder.path().join("nets");
    let train = |flags: &[&str]| {
        let mut command = deepid2();
        command.args(["train", "--quiet", "--patches", "120,160", "--epochs", "1", "--batch", "32"]);
        command.args(["--widths", "4,6,8,8", "--embedding", "16"]).args(flags);
        command.arg("--data").arg(made.path("run/aligned")).arg("--out").arg(&nets);
        command
    };
    fails(&mut train(&["--task-index", "0"]), &["--task-index 0", "--task-count"]);
    fails(&mut train(&["--task-index", "2", "--task-count", "2"]), &["--task-index 2", "expected 0 to 1"]);
    fails(&mut train(&["--task-count", "2"]), &["--task-count 2", "--task-index"]);
    fails(train(&[]).env("SLURM_ARRAY_TASK_ID", "first"), &["SLURM_ARRAY_TASK_ID", "`first`"]);
    assert!(!nets.exists());
    finishes(train(&[]).env("SLURM_ARRAY_TASK_ID", "1").env("SLURM_ARRAY_TASK_COUNT", "2"));
    assert!(nets.join("patch-160/DONE").is_file() && !nets.join("patch-120").exists());

    let collect = |patches: &str| run(deepid2().arg("collect").arg(&nets).args(["--patches", patches]));
    let printed = collect("120,160");
    assert_eq!(printed.code, Some(1));
    assert!(printed.stdout.contains("1 of 2 networks are done"), "{}", printed.stdout);
    assert!(printed.stdout.contains("missing: 1; train them with --patches 120"), "{}", printed.stdout);
    assert_eq!(collect("160").code, Some(0));
    // Two jobs with one task index.
    #[cfg(unix)]
    {
        fs::create_dir(nets.join("patch-120")).unwrap();
        let _held = deepid2::files::FolderLock::take(&nets.join("patch-120")).unwrap();
        fails(&mut train(&["--task-index", "0", "--task-count", "2"]), &["another process is writing to", "patch-120"]);
    }
    fails(deepid2().arg("collect").arg(folder.path().join("none")), &["none: no such folder"]);
}

#[test]
fn runs_that_cannot_be_are_refused_before_anything_is_done() {
    let made = made();
    let run = made.path("run");
    let before = all_files(&run);
    let strangers = made.path("strangers");
    let mut other = pipeline(made, &run);
    fails(other.arg("--test-data").arg(&strangers).args(["--seed", "2"]), &["train.seed is 1 in the run and 2 now"]);
    fails(&mut pipeline(made, &run), &["other settings", "test is "]);

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut many = deepid2();
    many.args(["pipeline", "--patches", PATCHES, "--size", "4", "--groups", "2", "--data"]).arg(made.path("people"));
    many.arg("--landmarks").arg(made.path("landmarks.safetensors")).arg("--out").arg(&out);
    fails(&mut many, &["2 groups of 4 vectors", "the patches give 6", "--size and --groups"]);
    fails(&mut go_on(&out), &["--data is missing"]);
    fails(go_on(&out).arg("--data").arg(made.path("people")), &["--landmarks FILE", "--landmark-data DIR"]);

    // Test pairs would otherwise be looked for when everything is trained.
    let pairs = folder.path().join("pairs.txt");
    let first = "person_0000/000.jpg person_0000/001.jpg 1\n";
    for missing in ["person_0000/000.jpg person_0000/099.jpg 1\n", "person_0000/000.jpg nobody/000.jpg 0\n"] {
        fs::write(&pairs, format!("{first}{missing}")).unwrap();
        let line = missing.split(' ').nth(1).unwrap();
        let mut command = pipeline(made, &out);
        fails(command.arg("--test-pairs").arg(&pairs).arg("--test-data").arg(&strangers), &["pairs.txt", line]);
        let mut command = deepid2();
        command.arg("eval").arg(made.bundle()).arg("--pairs").arg(&pairs).arg("--data").arg(&strangers);
        fails(&mut command, &["pairs.txt", line]);
    }
    let mut command = deepid2();
    command.args(["pipeline", "--patches", PATCHES, "--landmarks", "none.safetensors", "--out"]).arg(&out);
    fails(command.arg("--data").arg(made.path("people")), &["none.safetensors: cannot be read"]);
    assert!(!out.exists());

    fails(&mut pipeline(made, &strangers), &["is not empty and holds no pipeline"]);
    assert!(!strangers.join("pipeline.toml").exists());
    assert!(all_files(&run) == before);
}

#[test]
fn stages_refuse_what_they_would_overwrite_or_mix() {
    let made = made();
    let run = made.path("run");
    let before = all_files(&run);
    let folder = tempfile::tempdir().unwrap();
    let aligned = folder.path().join("aligned");
    let mut align = deepid2();
    align.args(["align", "--quiet", "--landmarks", "pts"]).arg(made.path("strangers")).arg("--out").arg(&aligned);
    finishes(&mut align);
    let mut extract = deepid2();
    extract.arg("extract").arg(run.join("nets")).arg("--data").arg(&aligned).arg("--out").arg(run.join("vectors"));
    fails(&mut extract, &["vectors of other faces", "give another folder"]);
    let mut fit = deepid2();
    fit.arg("fit").arg(run.join("vectors")).arg("--data").arg(&aligned).arg("--choose").arg("240,241");
    let verifier = folder.path().join("verifier.safetensors");
    let printed = super::program::run(fit.arg("--out").arg(&verifier));
    assert_eq!(printed.code, Some(1));
    let last = printed.stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: ") && last.contains("vectors of other faces") && !verifier.exists(), "{last}");
    let mut select = deepid2();
    select.arg("select").arg(run.join("vectors")).arg("--data").arg(run.join("aligned"));
    fails(select.arg("--out").arg(run.join("selection.json")), &["selection.json already exists", "another --out"]);
    let mut missing = deepid2();
    missing.arg("extract").arg(run.join("nets")).arg("--data").arg(run.join("aligned")).args(["--patches", "5"]);
    fails(missing.arg("--out").arg(folder.path().join("vectors")), &["the network of patch 5", "is not trained"]);
    let mut bundle = deepid2();
    bundle.arg("bundle").arg("--landmarks").arg(run.join("landmarks.safetensors")).arg("--nets").arg(run.join("nets"));
    bundle.arg("--verifier").arg(run.join("verifier.safetensors")).arg("--out").arg(run.join("bundle"));
    fails(&mut bundle, &["bundle: already exists"]);
    assert!(all_files(&run) == before);
}

#[test]
fn bundles_that_are_not_what_was_made_are_refused() {
    let made = made();
    let folder = tempfile::tempdir().unwrap();
    let copy = |name: &str| {
        let path = folder.path().join(name);
        copied_bundle(made, &path);
        path
    };
    let refused = |bundle: &Path, expected: &[&str]| {
        fails(deepid2().arg("info").arg(bundle), expected);
        let mut command = deepid2();
        command.arg("verify").arg(bundle).args([photograph(made, 3, 0), photograph(made, 3, 1)]);
        fails(&mut command, expected);
    };
    let tampered = copy("tampered");
    let verifier = tampered.join("verifier.safetensors");
    let mut bytes = fs::read(&verifier).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&verifier, bytes).unwrap();
    refused(&tampered, &["tampered/verifier.safetensors", "its SHA-256 differs", "copy the bundle again"]);

    let half = copy("half");
    fs::remove_file(half.join("landmarks.safetensors")).unwrap();
    refused(&half, &["half: landmarks.safetensors is missing", "half-copied"]);

    let later = copy("later");
    let manifest = fs::read_to_string(later.join("bundle.json")).unwrap();
    fs::write(later.join("bundle.json"), manifest.replace("\"version\": 2", "\"version\": 3")).unwrap();
    refused(&later, &["a bundle of version 3", "reads version 2"]);

    let cut = copy("cut");
    fs::write(cut.join("bundle.json"), &manifest[..manifest.len() / 2]).unwrap();
    refused(&cut, &["cut/bundle.json", "damaged"]);

    let unnamed = copy("unnamed");
    fs::remove_file(unnamed.join("bundle.json")).unwrap();
    refused(&unnamed, &["unnamed: not a bundle", "bundle.json"]);
}

#[test]
fn outputs_do_not_overwrite_photographs() {
    let made = made();
    let folder = tempfile::tempdir().unwrap();
    let face = folder.path().join("face.png");
    image::open(photograph(made, 3, 0)).unwrap().save(&face).unwrap();
    let held = fs::read(&face).unwrap();
    let mut cluster = deepid2();
    fails(
        cluster.arg("cluster").arg(made.bundle()).arg(folder.path()).arg("-o").arg(&face),
        &["face.png is a picture"],
    );
    let mut draw = deepid2();
    draw.args(["landmarks", "draw"]).arg(made.path("landmarks.safetensors")).arg(&face).arg("-o").arg(&face);
    fails(&mut draw, &["face.png is a picture", "name another file"]);
    let mut fit = deepid2();
    fit.arg("fit").arg(made.path("run/vectors")).arg("--data").arg(made.path("run/aligned")).args(["--choose", "240"]);
    fails(fit.arg("--out").arg(&face), &["face.png is a picture"]);
    assert!(fs::read(&face).unwrap() == held);
}

#[test]
fn photographs_without_one_face_are_refused() {
    let made = made();
    let folder = tempfile::tempdir().unwrap();
    let [gray, two] = ["gray.png", "two.png"].map(|name| folder.path().join(name));
    image::GrayImage::from_pixel(SIZE, SIZE, image::Luma([128])).save(&gray).unwrap();
    let mut montage = image::RgbImage::new(2 * SIZE, SIZE);
    for (person, x) in [(3, 0), (4, i64::from(SIZE))] {
        let face = image::open(photograph(made, person, 0)).unwrap().into_rgb8();
        image::imageops::replace(&mut montage, &face, x, 0);
    }
    montage.save(&two).unwrap();
    let verify = |picture: &Path| {
        let mut command = deepid2();
        command.arg("verify").arg(made.bundle()).arg(picture).arg(photograph(made, 3, 1));
        command
    };
    fails(&mut verify(&gray), &["gray.png: no face found", "one face"]);
    fails(&mut verify(&two), &["two.png: 2 faces in it", "--face largest"]);
    finishes(verify(&two).args(["--face", "largest"]));
    let asked = finishes(verify(&gray).arg("--no-detect"));
    assert!(asked.stderr.is_empty(), "{}", asked.stderr);

    // A bundle of cropped pictures takes the middle of any, and says so.
    let cropped = folder.path().join("cropped");
    let mut bundle = deepid2();
    bundle.args(["bundle", "--no-detect", "--landmarks"]).arg(made.path("run/landmarks.safetensors"));
    bundle.arg("--nets").arg(made.path("run/nets")).arg("--verifier").arg(made.path("run/verifier.safetensors"));
    finishes(bundle.arg("--out").arg(&cropped));
    let mut of_cropped = deepid2();
    let told = finishes(of_cropped.arg("verify").arg(&cropped).arg(&gray).arg(photograph(made, 3, 1)));
    assert!(told.stderr.contains("no face is looked for"), "{}", told.stderr);
    let mut find = deepid2();
    find.arg("find").arg(made.bundle()).arg(&two).arg(made.path("strangers"));
    fails(&mut find, &["two.png: 2 faces in it", "--face largest"]);
}
