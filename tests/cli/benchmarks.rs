//! `deepid2 bench`: results as JSON, a peer in turn, tables of both.

use crate::program::{deepid2, run};
use serde_json::Value;

/// The objects that `--json` printed, one a line.
fn objects(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

const QUICK: [&str; 7] = ["--forward-only", "--identities", "5", "--repeats", "1", "--steps", "2"];

#[test]
fn steps_of_several_batches_are_measured_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let printed = run(deepid2().args(["bench", "step", "--json", "--no-ceiling", "--batch", "2,4"]).args(QUICK));
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let rows = objects(&printed.stdout);
    let batches: Vec<_> = rows.iter().map(|row| row["batch"].as_u64()).collect();
    assert_eq!(batches, [Some(2), Some(4)]);
    for row in &rows {
        assert_eq!((&row["kind"], &row["forward_only"]), (&"step".into(), &true.into()));
        assert!(row["images_per_s_median"].as_f64() > Some(0.0), "{row}");
        assert!(row["bytes"]["activations"].as_u64() > Some(0), "{row}");
        let idle = row["device_idle_share"].as_f64().expect("the software driver has timestamps");
        assert!((0.0..1.0).contains(&idle), "{row}");
        assert_eq!(row["kernels"].as_array().unwrap().len() as u64, row["dispatches"].as_u64().unwrap());
    }

    std::fs::write(folder.path().join("steps.json"), &printed.stdout).unwrap();
    let tables = folder.path().join("RESULTS.md");
    let printed = run(deepid2().args(["bench", "report"]).arg(folder.path()).arg("--out").arg(&tables));
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let text = std::fs::read_to_string(tables).unwrap();
    for expected in [rows[0]["date"].as_str().unwrap(), rows[0]["adapter"].as_str().unwrap(), "extraction, batch 4"] {
        assert!(text.contains(expected), "{expected} is missing from\n{text}");
    }
}

#[cfg(unix)]
#[test]
fn a_peer_is_run_in_turn_and_its_failure_is_quoted() {
    let compare = |script: &str| {
        let mut command = deepid2();
        command.args(["bench", "compare", "--json", "--batch", "2", "--rounds", "2"]).args(QUICK);
        run(command.args(["--", "sh", "-c", script]))
    };
    let line = r#"{"peer": "other", "version": "3", "images_per_s_median": 50, "saved_activation_bytes": 1000}"#;
    let printed = compare(&format!("echo warming up; echo '{line}'"));
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let result = &objects(&printed.stdout)[0];
    assert_eq!((&result["kind"], &result["peer"]), (&"compare".into(), &"other 3".into()));
    let rounds = result["rounds"].as_array().unwrap();
    assert_eq!(rounds.len(), 2);
    assert!(rounds.iter().all(|round| round["engine"].as_f64() > Some(0.0) && round["peer"] == 50.0), "{result}");

    let printed = compare("echo 'out of memory' >&2; exit 9");
    assert_eq!(printed.code, Some(1));
    assert!(printed.stderr.contains("out of memory"), "{}", printed.stderr);
    assert!(objects(&printed.stdout)[0]["failure"].as_str().unwrap().contains("out of memory"));
}
