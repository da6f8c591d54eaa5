//! Data sets of every form are opened, checked, and their faults named.

use super::program::*;
use image::{GrayImage, Luma};
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// Writes a picture that is like no other of another `kind`.
fn draw(path: &Path, kind: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // Squares of 8 pixels, each of a grey of its own: the finaliser of MurmurHash3 over the kind and the square.
    let grey = |x: u32, y: u32| {
        let mut hash = 64 * (1 + kind) + x / 8 + 6 * (y / 8);
        hash = (hash ^ hash >> 16).wrapping_mul(0x85EB_CA6B);
        hash = (hash ^ hash >> 13).wrapping_mul(0xC2B2_AE35);
        (hash ^ hash >> 16) as u8
    };
    GrayImage::from_fn(48, 48, |x, y| Luma([grey(x, y)])).save(path).unwrap();
}

/// LFW's layout: Ann with three pictures, Bob with two, Cid with one.
fn lfw() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let files =
        ["Ann_Lee/Ann_Lee_0001", "Ann_Lee/Ann_Lee_0002", "Ann_Lee/Ann_Lee_0003", "Bob/Bob_0001", "Bob/Bob_0002"];
    for (kind, file) in (0..).zip(files.iter().chain(&["Cid/Cid_0001"])) {
        draw(&root.path().join(format!("{file}.png")), kind);
    }
    root
}

/// CelebA's layout with CRLF lists: 1 and 2 are part A, 3 and 4 part B, with three pictures each.
fn celeba() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let (mut identities, mut parts, mut landmarks) = (String::new(), String::new(), "12\r\nx y\r\n".to_string());
    for picture in 1..=12 {
        let person = 1 + (picture - 1) / 3;
        draw(&root.path().join(format!("img_align_celeba/{picture:06}.png")), picture);
        identities += &format!("{picture:06}.jpg {person}\r\n");
        parts += &format!("{picture:06}.jpg {}\r\n", [0, 0, 1, 2][person as usize - 1]);
        landmarks += &format!("{picture:06}.jpg 69  109  106  113   77  142   73  152  108  154\r\n");
    }
    for (name, text) in [
        ("identity_CelebA.txt", identities),
        ("list_eval_partition.txt", parts),
        ("list_landmarks_align_celeba.txt", landmarks),
    ] {
        fs::write(root.path().join(name), text).unwrap();
    }
    root
}

/// `dataset check` with `arguments`: exit status and the JSON it printed.
fn check(arguments: &[&str]) -> (Option<i32>, Value) {
    let printed = run(deepid2().args(["dataset", "check", "--json"]).args(arguments));
    assert_eq!(printed.stderr, "");
    (printed.code, serde_json::from_str(&printed.stdout).unwrap())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn clean_sets_end_with_status_0() {
    let lfw = lfw();
    let (pairs, people) = (lfw.path().join("pairs.txt"), lfw.path().join("people.txt"));
    fs::write(&pairs, "1\nAnn_Lee\t1\t2\nAnn_Lee\t3\tBob\t1\n").unwrap();
    fs::write(&people, "2\n1\nAnn_Lee\t3\n2\nBob\t2\nCid\t1\n").unwrap();
    let (code, found) = check(&[text(lfw.path()), "--pairs", text(&pairs), "--people", text(&people)]);
    assert_eq!((code, &found["problems"]), (Some(0), &serde_json::json!([])), "{found}");
    assert_eq!(found["set"]["format"], "lfw");
    assert_eq!((&found["set"]["people"], &found["set"]["pictures"]), (&3.into(), &6.into()));
    assert_eq!(found["set"]["people_with_one_picture"], serde_json::json!(["Cid"]));
    assert_eq!((&found["pairs"]["pairs"], &found["people"]["folds"]), (&2.into(), &2.into()));

    let celeba = celeba();
    let part = |part: &str| format!("{}{part}", text(celeba.path()));
    let (code, found) = check(&[&part("#A"), "--against", &part("#B")]);
    assert_eq!(code, Some(0), "{found}");
    assert_eq!((&found["set"]["format"], &found["set"]["people"]), (&"celeba".into(), &2.into()));
    assert_eq!(found["set"]["annotations"][0]["with"], 6);
    assert_eq!((&found["against"]["part"], &found["against"]["pictures"]), (&"B".into(), &6.into()));
    let printed = succeeds(&["dataset", "check", &part("")]);
    assert!(printed.contains(": CelebA\n  4 people, 12 pictures; of a person 3\n"), "{printed}");
    assert!(printed.ends_with("no problems\n"), "{printed}");
}

#[test]
fn faults_are_listed_and_end_with_status_1() {
    let lfw = lfw();
    let file = |name: &str| lfw.path().join(name);
    fs::copy(file("Ann_Lee/Ann_Lee_0001.png"), file("Bob/Bob_0003.png")).unwrap();
    fs::write(file("Cid/Cid_0002.jpg"), b"").unwrap();
    fs::write(file("Cid/Cid_0003.jpg"), b"GIF89a of old").unwrap();
    fs::write(file("Cid/Cid_0004.heic"), b"").unwrap();
    let pairs = file("pairs.txt");
    fs::write(&pairs, "1\nAnn_Lee\t1\t9\nAnn_Lee\t3\tDora\t1\n").unwrap();
    let other = tempfile::tempdir().unwrap();
    draw(&other.path().join("ann lee/any.png"), 50);
    draw(&other.path().join("Zed/any.png"), 3);
    let arguments = ["dataset", "check", text(lfw.path()), "--against", text(other.path()), "--pairs", text(&pairs)];
    let printed = run(deepid2().args(arguments));
    assert_eq!((printed.code, printed.stderr.as_str()), (Some(1), ""));
    for expected in [
        "passed over, in formats that are not read: 1 heic",
        "unreadable pictures (1 a format that is not read, 1 empty): 2",
        "Cid_0002.jpg: the file is empty; replace or remove it",
        "files under several people, so that a label is wrong: 1\n    Ann_Lee/Ann_Lee_0001.png = Bob/Bob_0003.png",
        "people in both sets: 1\n    Ann_Lee = ann lee",
        "pictures in both sets: 1",
        "2 of 4 pictures that the file names are missing",
        "\nproblems: unreadable pictures: 2; files under several people: 1; people in both sets: 1; pictures in both sets: 1; ",
    ] {
        assert!(printed.stdout.contains(expected), "{expected} is not in {}", printed.stdout);
    }
}

#[test]
fn what_is_no_data_set_is_an_error() {
    let celeba = celeba();
    let check = |path: &str| {
        let mut command = deepid2();
        command.args(["dataset", "check", path]);
        command
    };
    fails(&mut check("nowhere"), &["nowhere: no such file or folder"]);
    fails(&mut check(text(&celeba.path().join("img_align_celeba#C"))), &["img_align_celeba#C: no such file"]);
    let lfw = lfw();
    fails(&mut check(&format!("{}#A", text(lfw.path()))), &["only CelebA has the parts A and B"]);
    fs::remove_file(celeba.path().join("img_align_celeba/000002.png")).unwrap();
    fails(&mut check(text(celeba.path())), &["identity_CelebA.txt, line 2", "1 of 12 listed pictures are missing"]);
    fs::write(celeba.path().join("list_eval_partition.txt"), "000001.jpg 0\r\n000002.jpg seven\r\n").unwrap();
    fails(
        &mut check(&format!("{}#A", text(celeba.path()))),
        &[
            "list_eval_partition.txt, line 2: expected a picture and its partition 0, 1 or 2",
            "found `000002.jpg seven`",
        ],
    );
}

#[test]
fn a_part_of_celeba_trains_a_network() {
    let celeba = celeba();
    let folder = tempfile::tempdir().unwrap();
    let data = format!("{}#A", text(celeba.path()));
    let out = folder.path().join("run");
    finishes(&mut train_with(Path::new(&data), &out, 1, &["--validation-fraction", "0"]));
    let config = fs::read_to_string(out.join("config.toml")).unwrap();
    assert!(config.contains("#A"), "{config}");
}

#[test]
fn pairs_with_a_person_in_two_folds_are_measured_with_a_warning() {
    let root = tempfile::tempdir().unwrap();
    let pairs = root.path().join("pairs.txt");
    let lfw_name = |person: u32, image: u32| format!("p{person}/p{person}_{:04}.jpg", image + 1);
    for person in 0..2 {
        for image in 0..2 {
            let path = root.path().join(lfw_name(person, image));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::copy(face(person, image), path).unwrap();
        }
    }
    fs::write(&pairs, "2 1\np0 1 2\np0 1 p1 1\np1 1 2\np0 2 p1 2\n").unwrap();
    let printed =
        finishes(deepid2().arg("eval").arg(model()).arg("--pairs").arg(&pairs).arg("--data").arg(root.path()));
    assert!(printed.stderr.contains("warning: 2 people are in several folds"), "{}", printed.stderr);
}
