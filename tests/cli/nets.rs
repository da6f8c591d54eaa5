//! Networks that are trained at once become what each would become alone.

use super::program::*;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

fn net(run: &Path, net: usize) -> PathBuf {
    run.join(format!("net-{net}"))
}

/// Asserts that net `index` of `run` is what the run `alone` of one net is; its settings too.
fn assert_is(run: &Path, index: usize, alone: &Path) {
    let together = net(run, index);
    assert_eq!(names(&together), names(alone));
    assert_same_results(&together, alone);
    assert_eq!(contents(&together)["config.toml"], contents(alone)["config.toml"]);
}

#[test]
fn nets_on_one_folder_are_the_runs_of_successive_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("nets");
    let printed = finishes(train(faces(), &run, EPOCHS).args(["--nets", "3"]));
    assert!(printed.stdout.contains("3 networks at ") && printed.stdout.contains("net-2/best.safetensors"));
    assert_eq!(names(&run), Vec::<String>::new());
    assert_is(&run, 0, trained());
    for index in [1, 2] {
        let alone = folder.path().join(format!("alone-{index}"));
        finishes(train(faces(), &alone, EPOCHS).args(["--seed", &(1 + index).to_string()]));
        assert_is(&run, index, &alone);
    }
    // Each is a run like any other, to be used and to be repeated.
    let model = net(&run, 2).join("best.safetensors");
    let (model, data) = (model.to_str().unwrap(), faces().to_str().unwrap());
    succeeds(&["eval", model, "--data", data]);
    succeeds(&["verify", model, face(0, 0).to_str().unwrap(), face(0, 1).to_str().unwrap()]);
    let again = folder.path().join("again");
    let config = net(&run, 1).join("config.toml");
    finishes(deepid2().args(["train", "--quiet", "--config"]).arg(config).arg("--out").arg(&again));
    assert_is(&run, 1, &again);
}

/// As many people with more pictures: more steps an epoch.
fn more_pictures() -> TempDir {
    draw_faces(PEOPLE, PICTURES + 3)
}

fn small_steps(command: &mut Command) -> &mut Command {
    command.args(["--validate-every", "15", "--learning-rate", "0.001"])
}

#[test]
fn nets_on_folders_of_their_own_go_on_after_an_interruption_and_after_a_kill() {
    const LONG: u64 = 30;
    let folder = tempfile::tempdir().unwrap();
    let (few, more) = (faces(), more_pictures());
    let run = folder.path().join("nets");
    let step_of = |index| tensors(&net(&run, index).join("last.safetensors")).entries["step"].parse::<u64>().unwrap();
    let saved = |index| net(&run, index).join("last.safetensors").is_file();
    let resume = || {
        let mut command = deepid2();
        command.args(["train", "--resume", "--quiet", "--out"]).arg(&run);
        command
    };

    let mut begin = train(few, &run, LONG);
    let mut child = small_steps(&mut begin).arg("--data").arg(more.path()).spawn().unwrap();
    wait_until(&mut child, || saved(0) && saved(1) && step_of(0) >= 2 * STEPS_AN_EPOCH);
    send(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let before = step_of(0);
    assert_eq!(step_of(1), before, "both are saved after the same step");

    // Killed, each goes on from its own last epoch.
    let mut child = resume().spawn().unwrap();
    wait_until(&mut child, || step_of(0) >= before + 3 * STEPS_AN_EPOCH && step_of(0) != step_of(1));
    send(&child, "KILL");
    child.wait().unwrap();
    assert!(step_of(0).is_multiple_of(STEPS_AN_EPOCH));

    let printed = finishes(&mut resume()).stdout;
    assert!(printed.contains("2 networks at "), "{printed}");
    for (index, data) in [few, more.path()].into_iter().enumerate() {
        let alone = folder.path().join(format!("alone-{index}"));
        finishes(small_steps(&mut train(data, &alone, LONG)));
        assert_is(&run, index, &alone);
    }
    assert!(step_of(1) > step_of(0), "the nets were to differ in steps");
}

#[test]
fn nets_that_cannot_be_trained_at_once_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    for nets in ["0", "257", "x"] {
        fails(train(faces(), &out, 1).args(["--nets", nets]), &["--nets", nets]);
    }
    let other = draw_faces(PEOPLE + 4, 2);
    let mut two_folders = train(faces(), &out, 1);
    two_folders.arg("--data").arg(other.path());
    fails(&mut two_folders, &["net 1", "of 9 identities", "net 0 has", "of 6 identities", "--validation-fraction"]);
    fails(two_folders.args(["--nets", "3"]), &["--nets 3", "2 times --data", "one for each"]);
    assert!(!out.exists(), "nothing is left of a run that did not begin");

    finishes(train(faces(), &out, 1).args(["--nets", "2"]));
    let before = [0, 1].map(|index| contents(&net(&out, index)));
    let resume = ["train", "--resume", "--quiet", "--out", out.to_str().unwrap()];
    fails(&mut train(faces(), &out, 1), &["already holds"]);
    fails(train(faces(), &out, 1).args(["--nets", "2"]), &["net-0", "already holds"]);
    fails(train(faces(), &out, 1).args(["--nets", "3"]), &["already holds"]);
    fails(deepid2().args(resume).args(["--nets", "3"]), &["holds a run of 2 networks at once, not 3"]);
    fails(deepid2().args(resume).args(["--epochs", "2"]), &["net-0", "epochs is 1 in the run and 2 now"]);
    assert_eq!([0, 1].map(|index| contents(&net(&out, index))), before);
    fails(train(faces(), trained(), 1).args(["--nets", "2"]), &["already holds"]);
    let none = folder.path().join("none");
    fails(
        deepid2().args(["train", "--resume", "--quiet", "--nets", "2", "--out"]).arg(&none),
        &["none", "no run to resume"],
    );
}

#[test]
fn a_net_that_diverges_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = train(faces(), &folder.path().join("run"), 1);
    fails(command.args(["--nets", "2", "--learning-rate", "1e30"]), &["net 0: ", "diverged"]);
}
