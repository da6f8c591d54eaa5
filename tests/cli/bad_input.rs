//! Pictures, folders, models and flags that cannot be used are explained in one line, and nothing is left behind.

use super::program::*;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

/// Asserts that training on `data` fails with `expected`, and makes no folder.
fn training_fails(data: &Path, arguments: &[&str], expected: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    fails(&mut train_with(data, &out, 1, arguments), expected);
    assert!(!out.exists(), "left behind: {:?}", names(&out));
}

/// What a broken picture file may hold, and what the message says of it.
fn broken_pictures() -> [(&'static str, Vec<u8>, &'static str); 4] {
    let good = fs::read(face(0, 0)).unwrap();
    let mut corrupt = good.clone();
    corrupt[2..40].fill(0x55);
    [
        ("empty.jpg", vec![], "the file is empty"),
        ("truncated.jpg", good[..good.len() / 2].to_vec(), "truncated"),
        ("corrupt.jpg", corrupt, "corrupt"),
        (
            "nonsense.png",
            b"not a picture at all, whatever its name says".to_vec(),
            "not a jpg, png, pgm, ppm, bmp or webp picture",
        ),
    ]
}

#[test]
fn broken_training_pictures_are_named() {
    for (name, bytes, reason) in broken_pictures() {
        let data = draw_faces(5, 2);
        let broken = data.path().join("person_0000").join(name);
        fs::write(&broken, bytes).unwrap();
        // Everybody trains, so that the broken picture is not held out.
        training_fails(
            data.path(),
            &["--validation-fraction", "0"],
            &[broken.to_str().unwrap(), reason, "replace or remove it"],
        );
    }
}

#[test]
fn broken_pictures_to_verify_or_embed_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = model();
    for (name, bytes, reason) in broken_pictures() {
        let broken = folder.path().join(name);
        fs::write(&broken, bytes).unwrap();
        let expected = [broken.to_str().unwrap(), reason];
        fails(deepid2().arg("verify").args([&model, &face(0, 0), &broken]), &expected);
        let table = folder.path().join("out.csv");
        fs::write(&table, "earlier").unwrap();
        fails(deepid2().arg("embed").args([&model, &broken, Path::new("-o"), &table]), &expected);
        assert_eq!(fs::read(&table).unwrap(), b"earlier");
        fs::remove_file(&broken).unwrap();
        assert_eq!(names(folder.path()), ["out.csv"]);
    }
    let missing = folder.path().join("nobody.jpg");
    fails(deepid2().arg("verify").args([&model, &missing, &face(0, 0)]), &[missing.to_str().unwrap()]);
}

#[test]
fn an_identity_with_one_picture_is_a_warning_and_only_such_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let data = draw_faces(5, 2);
    fs::remove_file(picture(data.path(), 3, 1)).unwrap();
    let command = train_with(data.path(), &folder.path().join("run"), 1, &["--validation-fraction", "0"]);
    let loud =
        deepid2().args(command.get_args().filter(|argument| *argument != OsStr::new("--quiet"))).output().unwrap();
    let stderr = String::from_utf8(loud.stderr).unwrap();
    assert!(loud.status.success(), "{stderr}");
    assert!(stderr.contains("warning: 1 of 5 identities have a single picture (person_0003)"), "{stderr}");

    for identity in 0..5 {
        let _ = fs::remove_file(picture(data.path(), identity, 1));
    }
    training_fails(data.path(), &["--validation-fraction", "0"], &["none of the 5 identities has two pictures", "add"]);
}

#[test]
fn folders_that_hold_no_data_set_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("faces");
    let path = data.to_str().unwrap();
    training_fails(&data, &[], &[path, "no such file or folder", "sub-folder per identity"]);
    fs::create_dir(&data).unwrap();
    training_fails(&data, &[], &[path, "no pictures"]);
    fs::copy(face(0, 0), data.join("loose.jpg")).unwrap();
    training_fails(&data, &[], &[path, "1 lie directly in it"]);
    for identity in 0..3 {
        let person = data.join(identity.to_string());
        fs::create_dir(&person).unwrap();
        fs::copy(face(identity, 0), person.join("0.jpg")).unwrap();
        fs::copy(face(identity, 1), person.join("1.jpg")).unwrap();
    }
    training_fails(&data, &[], &["3 identities", "add people until there are 4"]);

    let nothing = folder.path().join("none");
    fails(deepid2().arg("embed").args([&model(), &nothing, Path::new("-o"), Path::new("x.npy")]), &["none", "no such"]);
    fails(deepid2().arg("eval").args([&model(), Path::new("--data"), &nothing]), &["none", "no such"]);
    fails(deepid2().arg("eval").args([&model(), Path::new("--pairs"), &nothing]), &["none"]);
    let list = folder.path().join("pairs.txt");
    fs::write(&list, "faces/0/0.jpg faces/9/9.jpg 0\n").unwrap();
    fails(deepid2().arg("eval").args([&model(), Path::new("--pairs"), &list]), &["pairs.txt, line 1", "9.jpg"]);
}

#[test]
fn files_that_are_no_model_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let named = path.to_str().unwrap();
    let verify = |expected: &[&str]| {
        fails(deepid2().arg("verify").args([&path, &face(0, 0), &face(0, 1)]), &[&[named][..], expected].concat())
    };
    verify(&["cannot be read"]);
    fs::write(&path, "").unwrap();
    verify(&["not a safetensors file"]);
    fs::copy(face(0, 0), &path).unwrap();
    verify(&["not a safetensors file"]);
    let good = fs::read(model()).unwrap();
    for length in [100, good.len() / 2, good.len() - 1] {
        fs::write(&path, &good[..length]).unwrap();
        verify(&["truncated or damaged"]);
    }
    // The header's text can be changed in place: first a tensor's shape, then what is cut from a picture.
    let changed = |from: &str, to: &str| {
        let at = good.windows(from.len()).position(|window| window == from.as_bytes());
        let at = at.unwrap_or_else(|| panic!("the header has no {from}"));
        let mut bytes = good.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        fs::write(&path, bytes).unwrap();
    };
    changed("[1,16,6]", "[1,6,16]");
    verify(&["softmax.weight", "expected the shape [1, 16, 6], found [1, 6, 16]"]);
    changed(r#"{\"height\":31,\"width\":31,\"channels\":3,\"scale"#, r#"{\"height\":39"#);
    verify(&["crop", "[39, 31, 3]", "[31, 31, 3]"]);
    changed("deepid2-model-1", "deepid3-model-1");
    verify(&["deepid3-model-1", "deepid2-model-1"]);
}

#[test]
fn a_batch_or_network_beyond_the_adapter_names_limit_value_and_what_fits() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let line = fails(
        &mut train_with(faces(), &out, 1, &["--batch", "10000000", "--micro-batch", "10000000"]),
        &["slices of --micro-batch 10000000 pictures do not fit", "needs", "max_", "The largest that fit"],
    );
    assert!(!out.exists());
    let largest: usize = line.rsplit_once("--micro-batch ").unwrap().1.parse().unwrap();
    assert!((2..10_000_000).contains(&largest), "{line}");
    let one_more = (largest + 1).to_string();
    let slices = ["--batch", &one_more, "--micro-batch", &one_more];
    training_fails(faces(), &slices, &["do not fit", &format!("pass --micro-batch {largest}")]);

    let widths = ["--widths", "4096,4096,4096,4096", "--embedding", "65536"];
    training_fails(faces(), &widths, &["the network does not fit", "needs", "max_", "Lower --widths, --embedding"]);
}

#[test]
fn more_identities_than_the_softmax_takes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut list = String::new();
    for identity in 0..=100_000 {
        fs::File::create(folder.path().join(format!("{identity}.jpg"))).unwrap();
        list += &format!("{identity}.jpg {identity}\n");
    }
    fs::File::create(folder.path().join("second.jpg")).unwrap();
    list += "second.jpg 0\n";
    let path = folder.path().join("list.txt");
    fs::write(&path, list).unwrap();
    training_fails(&path, &["--validation-fraction", "0"], &["100001 identities", "expected 2 to 100,000"]);
}

#[test]
fn nonsense_flags_are_named_with_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    for (flags, expected) in [
        (&["--epochs", "0"][..], &["--epochs 0", "at least 1"][..]),
        (&["--batch", "1"], &["--batch 1", "a pair"]),
        (&["--batch", "18446744073709551615"], &["--batch 18446744073709551615"]),
        (&["--micro-batch", "1"], &["--micro-batch 1", "a pair"]),
        (&["--batch", "8", "--micro-batch", "10"], &["--micro-batch 10", "to --batch"]),
        (&["--batch", "7", "--micro-batch", "2"], &["--micro-batch 2", "3 where --batch is odd"]),
        (&["--lambda", "-1"], &["--lambda", "-1", "a number from 0"]),
        (&["--lambda", "NaN"], &["--lambda", "a number from 0"]),
        (&["--learning-rate", "-0.5"], &["--learning-rate -0.5", "above 0"]),
        (&["--momentum", "1"], &["--momentum 1", "below 1"]),
        (&["--weight-decay", "-1"], &["--weight-decay -1"]),
        (&["--warm-up", "-1"], &["--warm-up -1"]),
        (&["--size", "54x47"], &["54×47", "8k + 7"]),
        (&["--size", "55"], &["--size", "HEIGHTxWIDTH"]),
        (&["--same-ratio", "2"], &["--same-ratio 2", "from 0 to 1"]),
        (&["--signal", "foo"], &["--signal", "foo", "l2+"]),
        (&["--schedule", "foo"], &["--schedule", "foo", "cosine"]),
        (&["--widths", "1,2"], &["--widths", "four numbers"]),
        (&["--widths", "4,0,4,4"], &["--widths", "0 channels"]),
        (&["--embedding", "99999999999"], &["--embedding 99999999999"]),
        (&["--brightness", "3"], &["--brightness 3"]),
        (&["--shift", "4294967295"], &["--shift 4294967295"]),
        (&["--crop-scale", "-2"], &["--crop-scale", "fit:FRACTION"]),
        (&["--margin-every", "1"], &["--margin-every 1"]),
        (&["--rate-scale", "softmax"], &["--rate-scale", "softmax=2"]),
        (&["--rate-scale", "sofmax=2"], &["--rate-scale sofmax", "softmax.weight"]),
        (&["--validation-fraction", "1"], &["--validation-fraction 1"]),
        (&["--adapter", "no such card"], &["--adapter \"no such card\"", "deepid2 devices"]),
        (&["--no-such-flag"], &["--no-such-flag"]),
    ] {
        let mut command = train_with(faces(), &out, 1, flags);
        fails(&mut command, expected);
        assert!(!out.exists(), "{flags:?}");
    }
    let no_data = run(deepid2().args(["train", "--out"]).arg(&out));
    assert!(no_data.code == Some(2) && no_data.stderr.contains("--data <DIR|LIST>"), "{}", no_data.stderr);
    fails(deepid2().arg("embed").arg(model()).arg(faces()).args(["-o", "out.txt"]), &["out.txt", ".npy or .csv"]);
    fails(deepid2().arg("synth").arg(&out).args(["--identities", "0"]), &["identities"]);
    assert!(!out.exists());
    let config = folder.path().join("config.toml");
    fs::write(&config, "epoch = 3\n").unwrap();
    fails(
        deepid2().args(["train", "--config"]).arg(&config).arg("--out").arg(&out),
        &["config.toml: line 1:", "epoch"],
    );
}
