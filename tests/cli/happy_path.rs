//! Every command does what the README says, and a run can be repeated to the byte.

use super::program::*;
use std::path::Path;

/// Numbers of a little-endian f32 `.npy` table, and its shape as its header writes it.
fn npy(path: &Path) -> (String, Vec<f32>) {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(&bytes[..6], b"\x93NUMPY");
    let data = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8(bytes[10..data].to_vec()).unwrap();
    assert!(header.contains("'<f4'") && header.contains("'fortran_order': False"), "{header}");
    let shape = header.split_once("'shape': ").unwrap().1.split_once(')').unwrap().0.to_string() + ")";
    let (values, rest) = bytes[data..].as_chunks::<4>();
    assert!(rest.is_empty());
    (shape, values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn devices_lists_the_adapter_and_its_limits() {
    let text = succeeds(&["devices"]);
    assert!(text.starts_with("0  "), "{text}");
    for part in ["storage binding", "workgroups a dimension", "features used"] {
        assert!(text.contains(part), "{text}");
    }
    for tiles in ["software", "hardware"] {
        let text = succeeds(&["--tiles", tiles, "devices"]);
        assert!(text.contains(&format!("{tiles} tiles")), "{text}");
    }
}

#[test]
fn synth_draws_what_is_asked_and_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("faces");
    let args = ["synth", dir.to_str().unwrap(), "--identities", "3", "--images", "2", "--size", "32", "--seed", "5"];
    assert!(succeeds(&args).contains("drew 6 pictures"));
    assert!(succeeds(&args).contains("already holds"));
    for identity in 0..3 {
        let person = dir.join(format!("person_{identity:04}"));
        assert_eq!(names(&person), ["000.jpg", "000.pts", "001.jpg", "001.pts"]);
    }
    let (seed, dir) = ("6", dir.to_str().unwrap());
    let other = ["synth", dir, "--identities", "3", "--images", "2", "--size", "32", "--seed", seed];
    fails(deepid2().args(other), &[dir, "seed"]);
}

#[test]
fn train_writes_every_file_of_a_run() {
    let run = trained();
    let files = ["best.safetensors", "config.toml", "last.safetensors", "metrics.jsonl", "roc.svg", "training.svg"];
    assert_eq!(names(run), files);
    for curve in ["roc.svg", "training.svg"] {
        let text = std::fs::read_to_string(run.join(curve)).unwrap();
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"), "{curve}");
    }

    let config: toml::Table = std::fs::read_to_string(run.join("config.toml")).unwrap().parse().unwrap();
    assert_eq!(config["epochs"].as_integer(), Some(EPOCHS as i64));
    assert_eq!(config["data"].as_str(), faces().to_str());

    let records = records(run);
    let (training, validations): (Vec<_>, Vec<_>) = records.iter().partition(|record| record["kind"] == "train");
    let steps = EPOCHS * STEPS_AN_EPOCH;
    assert_eq!(validations.len() as u64, EPOCHS);
    assert_eq!(training.last().unwrap()["step"], steps);
    assert!(training.iter().all(|record| record["total_loss"].as_f64().unwrap().is_finite()));
    assert!(training.iter().any(|record| record["margin"].as_f64().unwrap() > 0.0), "the margin was never set");
    assert!(validations.iter().all(|record| (0.0..=1.0).contains(&record["accuracy"].as_f64().unwrap())));

    let [best, last] = ["best", "last"].map(|name| tensors(&run.join(format!("{name}.safetensors"))));
    assert_eq!(last.entries["step"], steps.to_string());
    assert!(best.tensors.keys().all(|name| last.tensors[name].0 == best.tensors[name].0));
    assert!(last.tensors.contains_key("velocity/conv1.weight") && !best.tensors.contains_key("velocity/conv1.weight"));
    assert_eq!(best.tensors["softmax.weight"].0, [1, 16, 6]);
}

#[test]
fn the_saved_settings_repeat_the_run_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let again = folder.path().join("again");
    let config = trained().join("config.toml");
    let printed = finishes(deepid2().args(["train", "--quiet", "--config"]).arg(&config).arg("--out").arg(&again));
    assert!(printed.stdout.contains("try: deepid2 verify"), "{}", printed.stdout);
    assert_same_results(trained(), &again);
    assert_eq!(std::fs::read(config).unwrap(), std::fs::read(again.join("config.toml")).unwrap());
    // All bytes but the time it took.
    let mut lasts = [trained(), &again].map(|run| std::fs::read(run.join("last.safetensors")).unwrap());
    for last in &mut lasts {
        let header = u64::from_le_bytes(*last.first_chunk().unwrap()) as usize + 8;
        last.drain(..header);
    }
    assert!(lasts[0] == lasts[1]);
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name);
    let short = |name: &str, seed: &str| finishes(train(faces(), &out(name), 1).args(["--seed", seed]));
    short("one", "9");
    short("two", "9");
    short("other", "10");
    assert_same_results(&out("one"), &out("two"));
    let [one, other] = ["one", "other"].map(|name| tensors(&out(name).join("last.safetensors")).tensors);
    assert_ne!(one["conv1.weight"], other["conv1.weight"]);
}

#[test]
fn verify_prints_a_verdict_and_json() {
    let (model, a, b) = (model(), face(0, 0), face(1, 1));
    let text = succeeds(&[Path::new("verify"), &model, &a, &b]);
    assert!(text.contains("distance") && text.contains("threshold") && text.contains("held-out identities"), "{text}");

    let verdict = json(&succeeds(&[Path::new("verify"), &model, &a, &b, Path::new("--json")]));
    let [distance, threshold] = ["distance", "threshold"].map(|key| verdict[key].as_f64().unwrap());
    assert!(distance > 0.0);
    assert_eq!(verdict["same"], distance <= threshold);
    assert_eq!(text.starts_with("the same person"), distance <= threshold, "{text}");

    let itself = json(&succeeds(&[Path::new("verify"), &model, &a, &a, Path::new("--json")]));
    assert_eq!((itself["distance"].as_f64(), itself["same"].as_bool()), (Some(0.0), Some(true)));
    let strict = ["--threshold", "0", "--json"].map(Path::new);
    let strict = json(&succeeds(&[&[Path::new("verify"), &model, &a, &b][..], &strict].concat()));
    assert_eq!(strict["same"], false);
}

#[test]
fn embed_writes_the_same_numbers_as_npy_and_csv() {
    let folder = tempfile::tempdir().unwrap();
    let [table, text] = ["out.npy", "out.csv"].map(|name| folder.path().join(name));
    for output in [&table, &text] {
        // A batch that the number of pictures is no multiple of.
        succeeds(&[Path::new("embed"), &model(), faces(), "-o".as_ref(), output, "--batch".as_ref(), "7".as_ref()]);
    }
    assert_eq!(names(folder.path()), ["out.csv", "out.npy", "out.txt"]);
    let (shape, values) = npy(&table);
    assert_eq!(shape, format!("({}, 16)", PEOPLE * PICTURES));
    let paths = std::fs::read_to_string(folder.path().join("out.txt")).unwrap();
    assert_eq!(paths.lines().count() as u32, PEOPLE * PICTURES);
    assert_eq!(paths.lines().nth(7), face(1, 1).to_str());

    let csv = std::fs::read_to_string(text).unwrap();
    let rows: Vec<&str> = csv.lines().skip(1).collect();
    assert_eq!(rows.len() as u32, PEOPLE * PICTURES);
    for (row, (path, expected)) in rows.iter().zip(paths.lines().zip(values.chunks_exact(16))) {
        assert!(row.contains(path), "{row}");
        let numbers: Vec<f32> = row.rsplitn(17, ',').take(16).map(|number| number.parse().unwrap()).collect();
        assert!(numbers.iter().rev().eq(expected), "{row}: {expected:?}");
    }

    // What verify measures is the distance between rows.
    let verdict = json(&succeeds(&[Path::new("verify"), &model(), &face(0, 0), &face(1, 1), Path::new("--json")]));
    let squares = values[..16].iter().zip(&values[7 * 16..8 * 16]).map(|(a, b)| f64::from(a - b).powi(2));
    let distance = squares.sum::<f64>().sqrt();
    let found = verdict["distance"].as_f64().unwrap();
    assert!((found - distance).abs() <= 1e-5 * distance, "{found} {distance}");
}

#[test]
fn eval_measures_random_pairs_of_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let roc = folder.path().join("roc.svg");
    let (model, data) = (model(), faces());
    let base = [Path::new("eval"), &model, "--data".as_ref(), data, "--folds".as_ref(), "2".as_ref()];
    let text = succeeds(&[&base[..], &["--roc".as_ref(), &roc]].concat());
    for part in ["network", "raw pixels", "AUC", "EER", "TAR", "at the model's own threshold"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(std::fs::read_to_string(roc).unwrap().starts_with("<svg"));
    let found = json(&succeeds(&[&base[..], &["--json".as_ref()]].concat()));
    assert!((0.0..=1.0).contains(&found["network"]["summary"]["auc"].as_f64().unwrap()), "{found}");
    assert!(found["raw_pixels"]["cross_validation"]["mean"].as_f64().is_some(), "{found}");
}

#[test]
fn eval_reads_lfw_pairs_and_plain_lists() {
    let folder = tempfile::tempdir().unwrap();
    let lfw = folder.path().join("lfw");
    let name = |identity: u32| format!("Person_{identity}");
    for identity in 0..4u32 {
        std::fs::create_dir_all(lfw.join(name(identity))).unwrap();
        for image in 0..3 {
            let file = format!("{0}/{0}_{1:04}.jpg", name(identity), image + 1);
            std::fs::copy(face(identity, image), lfw.join(file)).unwrap();
        }
    }
    let mut pairs = String::from("2\t2\n");
    for fold in 0..2u32 {
        let [one, two] = [2 * fold, 2 * fold + 1].map(name);
        pairs += &format!("{one}\t1\t2\n{two}\t2\t3\n{one}\t1\t{two}\t1\n{one}\t3\t{two}\t2\n");
    }
    let pairs_path = folder.path().join("pairs.txt");
    std::fs::write(&pairs_path, pairs).unwrap();
    let eval = |pairs: &Path, data: &Path| {
        let args = [Path::new("eval"), &model(), "--pairs".as_ref(), pairs, "--data".as_ref(), data, "--json".as_ref()];
        json(&succeeds(&args))
    };
    let from_lfw = eval(&pairs_path, &lfw);
    assert_eq!((&from_lfw["pairs"], &from_lfw["pictures"]), (&8.into(), &12.into()));
    assert_eq!(from_lfw["network"]["cross_validation"]["folds"].as_array().map(Vec::len), Some(2), "{from_lfw}");

    let line = |[a, b]: [u32; 2], [c, d]: [u32; 2]| {
        let path = |identity, image| format!("person_{identity:04}/{image:03}.jpg");
        format!("{} {} {}\n", path(a, b), path(c, d), u8::from(a == c))
    };
    let mut list = String::new();
    for fold in 0..2 {
        let [one, two] = [2 * fold, 2 * fold + 1];
        list +=
            &[line([one, 0], [one, 1]), line([two, 1], [two, 2]), line([one, 0], [two, 0]), line([one, 2], [two, 1])]
                .concat();
    }
    std::fs::write(&pairs_path, list).unwrap();
    let from_list = eval(&pairs_path, faces());
    assert_eq!(from_list["network"]["summary"], from_lfw["network"]["summary"], "the same pairs in another form");
}
