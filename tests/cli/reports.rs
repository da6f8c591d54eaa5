//! What `deepid2 eval` measures and writes beside the accuracy.

use super::program::*;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder laid out as LFW's, of pictures of [`faces`], with lists of pairs of people 0 to 3 and 4 to 7.
struct Lfw {
    folder: TempDir,
    training: PathBuf,
    test: PathBuf,
}

fn lfw() -> Lfw {
    let folder = tempfile::tempdir().unwrap();
    for identity in 0..PEOPLE {
        let name = format!("Person_{identity}");
        std::fs::create_dir(folder.path().join(&name)).unwrap();
        for image in 0..3 {
            let file = folder.path().join(&name).join(format!("{name}_{:04}.jpg", image + 1));
            std::fs::copy(face(identity, image), file).unwrap();
        }
    }
    let list = |name: &str, first: u32| {
        let mut text = "4\n".to_string();
        text.extend((first..first + 4).map(|p| format!("Person_{p}\t1\t{}\n", 2 + p % 2)));
        text.extend((first..first + 4).map(|p| format!("Person_{p}\t1\tPerson_{}\t2\n", first + (p + 1) % 4)));
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (training, test) = (list("pairsDevTrain.txt", 0), list("pairsDevTest.txt", 4));
    Lfw { folder, training, test }
}

/// The arguments of `eval` with two lists of flags and their values.
fn eval(base: &[&dyn AsRef<Path>], more: &[&dyn AsRef<Path>]) -> Vec<PathBuf> {
    let all = base.iter().chain(more).map(|argument| argument.as_ref().to_path_buf());
    [PathBuf::from("eval"), model()].into_iter().chain(all).collect()
}

fn json(base: &[&dyn AsRef<Path>], more: &[&dyn AsRef<Path>]) -> serde_json::Value {
    let mut arguments = eval(base, more);
    arguments.push("--json".into());
    serde_json::from_str(&succeeds(&arguments)).unwrap()
}

#[test]
fn a_page_holds_numbers_pictures_and_hashes() {
    let folder = tempfile::tempdir().unwrap();
    let [page, again, det] = ["page.html", "again.html", "det.svg"].map(|name| folder.path().join(name));
    let base: [&dyn AsRef<Path>; 6] = [&"--data", &faces(), &"--folds", &"2", &"--replicates", &"50"];
    let text = succeeds(&eval(&base, &[&"--report", &page, &"--det", &det]));
    for part in ["95 % intervals over 8 people: accuracy", "not measurable at FAR 0.001 with", "different pairs"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(std::fs::read_to_string(det).unwrap().contains("false rejection rate"));
    succeeds(&eval(&base, &[&"--report", &again]));
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html == std::fs::read_to_string(again).unwrap(), "the same command gives the same page");
    assert!(html.starts_with("<!DOCTYPE html>") && html.ends_with("</html>"));
    let sum = deepid2::report::hashes::sha256_of(&model()).unwrap().1;
    let parts = ["<svg", "data:image/jpeg;base64,", &sum, "Must not be used for", "Model card", "seed 1", "Folds"];
    assert!(parts.iter().all(|part| html.contains(part)), "{parts:?}");
    assert!(!html.contains("<script") && !html.contains("src=\"http"));
}

#[test]
fn intervals_hold_what_they_are_of_and_follow_the_seed() {
    let base: [&dyn AsRef<Path>; 4] = [&"--data", &faces(), &"--folds", &"2"];
    let found = json(&base, &[]);
    assert_eq!(found["people"], 8);
    let auc = found["network"]["summary"]["auc"].as_f64().unwrap();
    let interval = &found["network"]["intervals"]["auc"];
    let [low, high] = ["low", "high"].map(|end| interval[end].as_f64().unwrap());
    assert!(low <= auc && auc <= high && low < high, "{interval} {auc}");
    assert_eq!(found["network"]["intervals"]["bootstrap"]["replicates"], 1000);
    assert_eq!(json(&base, &[])["network"], found["network"]);
    let fewer = json(&base, &[&"--replicates", &"20"]);
    assert_ne!(fewer["network"]["intervals"]["auc"], *interval);
    assert_eq!(fewer["network"]["summary"], found["network"]["summary"]);
}

#[test]
fn view_1_takes_its_threshold_from_the_first_list() {
    let lfw = lfw();
    let found = json(&[&"--view1", &lfw.training, &lfw.test, &"--data", &lfw.folder.path()], &[]);
    let view1 = &found["view1"];
    assert_eq!((&view1["training_pairs"], &view1["test_pairs"], &found["pairs"]), (&8.into(), &8.into(), &8.into()));
    // Each list by itself: the threshold is the best of the first, and has the second's accuracy there.
    let training = json(&[&"--pairs", &lfw.training], &[]);
    let best = &training["network"]["summary"]["most_accurate"];
    assert_eq!(view1["chosen"], *best);
    assert_eq!(view1["tested"]["distance"], best["distance"]);
    let swapped = json(&[&"--view1", &lfw.test, &lfw.training], &[]);
    assert_eq!(swapped["view1"]["chosen"], found["network"]["summary"]["most_accurate"]);

    let page = lfw.folder.path().join("view1.html");
    let text = succeeds(&eval(&[&"--view1", &lfw.training, &lfw.test], &[&"--report", &page]));
    assert!(text.contains("view 1      accuracy") && text.contains("chosen on 8 others"), "{text}");
    assert!(std::fs::read_to_string(page).unwrap().contains("View 1"));

    let warned = |test: &Path| {
        let output = deepid2().args(eval(&[&"--view1", &lfw.training, &test], &[])).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap().contains("4 people are in both lists of View 1")
    };
    assert!(warned(&lfw.training) && !warned(&lfw.test));
}

#[test]
fn what_cannot_be_measured_or_written_is_explained() {
    let lfw = lfw();
    let refused = |more: &[&dyn AsRef<Path>], expected: &[&str]| {
        fails(deepid2().args(eval(&[&"--data", &faces()], more)), expected);
    };
    refused(&[&"--replicates", &"0"], &["0 bootstrap replicates", "at least 1"]);
    refused(&[&"--view1", &lfw.training], &["--view1"]);
    refused(&[&"--view1", &lfw.training, &lfw.test], &["pairsDevT", "there is no picture", "--data"]);
    let missing = lfw.folder.path().join("no/such/page.html");
    refused(&[&"--replicates", &"10", &"--report", &missing], &["page.html", "create the folder"]);
}
