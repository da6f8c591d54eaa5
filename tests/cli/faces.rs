//! Finding faces and their landmarks, on synthetic faces.

use super::program::*;
use deepid2::data::synth::{SynthSpec, write_dataset};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

/// Faces large enough for the detector: six people, two pictures each.
fn large_faces() -> &'static Path {
    static FACES: OnceLock<TempDir> = OnceLock::new();
    let folder = FACES.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let spec = SynthSpec { identities: 6, images: 2, size: 96, ..SynthSpec::default() };
        write_dataset(folder.path(), &spec, &|| {}).unwrap();
        folder
    });
    folder.path()
}

/// A landmark model of one stage, and what its training printed.
fn landmark_model() -> &'static (TempDir, PathBuf, String) {
    static MODEL: OnceLock<(TempDir, PathBuf, String)> = OnceLock::new();
    MODEL.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("landmarks.safetensors");
        let printed = train_landmarks(&path);
        (folder, path, printed)
    })
}

fn train_landmarks(out: &Path) -> String {
    let flags = ["--stages", "1", "--starts", "2", "--hold-out", "0.25"];
    finishes(deepid2().args(["landmarks", "train"]).arg(large_faces()).arg("--out").arg(out).args(flags)).stdout
}

/// A grey picture in which nobody is.
fn nobody(folder: &Path) -> PathBuf {
    let path = folder.join("nobody.png");
    image::GrayImage::from_pixel(80, 80, image::Luma([120])).save(&path).unwrap();
    path
}

#[test]
fn faces_are_printed_for_people_and_programs() {
    let folder = large_faces();
    let printed = finishes(deepid2().args(["detect", "--json"]).arg(folder)).stdout;
    let lines: Vec<serde_json::Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 12);
    let found: Vec<_> = lines.iter().filter(|line| !line["faces"].as_array().unwrap().is_empty()).collect();
    assert!(found.len() >= 3, "{printed}");
    for line in &lines {
        assert_eq!(line["reason"].is_null(), !line["faces"].as_array().unwrap().is_empty(), "{line}");
        assert!(line["faces"].as_array().unwrap().len() <= 1, "{line}");
    }
    let face = &found[0]["faces"][0];
    let middle = face["x"].as_f64().unwrap() + face["width"].as_f64().unwrap() / 2.0;
    assert!((middle - 48.0).abs() < 24.0, "{face}");

    let csv = finishes(deepid2().args(["detect", "--csv"]).arg(folder)).stdout;
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!((lines.len(), lines[0]), (13, "path,x,y,width,height,score,reason"));
    assert_eq!(lines.iter().filter(|line| line.ends_with(",,,,,,no face found")).count(), 12 - found.len());

    let picture = picture(folder, 0, 0);
    let central = finishes(deepid2().args(["detect", "--no-detect", "--face-share", "0.5"]).arg(&picture)).stdout;
    assert!(central.contains("48×48 pixels at (24, 24)"), "{central}");
}

#[test]
fn pictures_without_a_face_and_broken_ones_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = nobody(folder.path());
    fails(deepid2().arg("detect").arg(&nobody), &["nobody.png", "no face found", "--no-detect"]);
    let broken = folder.path().join("broken.jpg");
    fs::write(&broken, b"").unwrap();
    let printed = run(deepid2().arg("detect").arg(folder.path()));
    assert_eq!(printed.code, Some(1));
    assert!(printed.stdout.contains("broken.jpg: the file is empty"), "{}", printed.stdout);
    assert!(printed.stdout.contains("nobody.png: no face found"), "{}", printed.stdout);
    assert!(printed.stderr.contains("1 of 2 pictures cannot be read"), "{}", printed.stderr);
    for (flag, value, name) in
        [("--min-face", "0", "min_face"), ("--longest-side", "1", "longest_side"), ("--min-score", "-1", "threshold")]
    {
        fails(deepid2().arg("detect").arg(&nobody).args([flag, value]), &[name, "expected"]);
    }
    fails(deepid2().args(["detect", "--no-detect", "--face-share", "0"]).arg(&nobody), &["--face-share 0"]);
}

#[test]
fn a_model_is_trained_measured_and_painted() {
    let (folder, model, printed) = landmark_model();
    assert!(printed.contains("training on 9 pictures, 3 held out"), "{printed}");
    assert!(printed.contains("held out: 3 pictures: mean error"), "{printed}");

    let curve = folder.path().join("errors.svg");
    let eval = finishes(deepid2().args(["landmarks", "eval"]).args([model, large_faces()]).arg("--curve").arg(&curve));
    let held_out = printed.lines().find_map(|line| line.strip_prefix("held out: ")).unwrap();
    assert_eq!(eval.stdout.lines().next(), Some(held_out));
    assert!(eval.stdout.contains("left pupil"), "{}", eval.stdout);
    assert!(fs::read_to_string(&curve).unwrap().contains("outer eye corners"));
    let all = finishes(deepid2().args(["landmarks", "eval", "--all", "--json"]).args([model, large_faces()])).stdout;
    let all: serde_json::Value = serde_json::from_str(&all).unwrap();
    assert_eq!((all["faces"].as_array().unwrap().len(), &all["summary"]["pictures"]), (12, &12.into()));

    let (picture, painted) = (picture(large_faces(), 0, 0), folder.path().join("painted.png"));
    let draw = |model: &Path| {
        let command = &mut deepid2();
        finishes(command.args(["landmarks", "draw", "--no-detect"]).args([model, &picture]).arg("-o").arg(&painted));
        image::open(&painted).unwrap().to_rgb8()
    };
    let fitted = draw(model);
    let annotated = draw(&picture.with_extension("pts"));
    // Small faces are enlarged by a whole number, so that their landmarks' numbers have room.
    assert!([&fitted, &annotated].iter().all(|picture| picture.width() > 96 && picture.width().is_multiple_of(96)));
    assert!(fitted != annotated);

    let scheme = folder.path().join("scheme.svg");
    finishes(deepid2().args(["landmarks", "draw", "--scheme", "-o"]).arg(&scheme));
    assert!(fs::read_to_string(&scheme).unwrap().contains("left eye outer corner"));
}

#[test]
fn the_same_seed_writes_the_same_bytes() {
    let (folder, model, printed) = landmark_model();
    let again = folder.path().join("again.safetensors");
    let printed_again = train_landmarks(&again);
    assert!(fs::read(model).unwrap() == fs::read(&again).unwrap());
    assert_eq!(printed.lines().count(), printed_again.lines().count());
}

#[test]
fn landmark_input_that_cannot_be_used_is_explained() {
    let (_, model, _) = landmark_model();
    let folder = tempfile::tempdir().unwrap();
    let nobody = nobody(folder.path());
    let out = folder.path().join("out.safetensors");
    let train = |flags: &[&str], expected: &[&str]| {
        fails(deepid2().args(["landmarks", "train"]).arg(folder.path()).arg("--out").arg(&out).args(flags), expected);
        assert!(!out.exists());
    };
    train(&[], &["none of its 1 pictures has landmarks", ".pts"]);
    let pts = folder.path().join("nobody.pts");
    fs::write(&pts, "version: 1\nn_points: 21\n{\n1 2\n3\n").unwrap();
    train(&[], &["nobody.pts, line 5", "point 2 of 21", "`3`"]);
    fs::write(&pts, fs::read(picture(large_faces(), 0, 0).with_extension("pts")).unwrap()).unwrap();
    train(&["--hold-out", "1"], &["hold-out of 1"]);
    train(&["--hold-out", "0.2"], &["too few"]);
    train(&["--stages", "0"], &["stages is 0"]);
    train(&["--starts", "0"], &["starts is 0"]);
    train(&["--ridge", "-1"], &["ridge is -1"]);
    let far: String = (0..21).map(|point| format!("{} {}\n", 5_000 + 10 * point, 5_000 + point)).collect();
    fs::write(&pts, format!("version: 1\nn_points: 21\n{{\n{far}}}\n")).unwrap();
    let outside = ["nobody.png", "21 of its 21 landmarks lie outside of the picture", "correct its .pts file"];
    train(&["--hold-out", "0"], &outside);

    let command = |arguments: &[&Path]| {
        let mut command = deepid2();
        command.arg("landmarks").args(arguments);
        command
    };
    let (eval, draw) = (Path::new("eval"), Path::new("draw"));
    fails(&mut command(&[eval, model, folder.path()]), &["1 annotated pictures", "folder of 12", "--all"]);
    fails(&mut command(&[eval, &nobody, folder.path()]), &["nobody.png", "not a safetensors file"]);
    let png = folder.path().join("out.png");
    fails(command(&[draw, model, &nobody]).arg("-o").arg(&png), &["nobody.png: no face found"]);
    fails(command(&[draw, model, &nobody]).arg("-o").arg(&out), &["expected a name that ends in .png"]);
    fails(command(&[draw, Path::new("--scheme")]).arg("-o").arg(&png), &["expected a name that ends in .svg"]);
    assert_eq!(names(folder.path()), ["nobody.png", "nobody.pts"]);
}
