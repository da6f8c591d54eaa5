//! Folders of results: of one net, or of several that are trained at once, each in a folder of its own.

use super::Error;
use super::config::TrainConfig;
use super::run::Member;
use std::path::{Path, PathBuf};

/// File names in a run's folder.
pub mod names {
    /// Settings.
    pub const CONFIG: &str = "config.toml";
    /// Records of steps and validations.
    pub const METRICS: &str = "metrics.jsonl";
    /// Model and state after the last epoch, or at an interruption.
    pub const LAST: &str = "last.safetensors";
    /// Model of the best validation.
    pub const BEST: &str = "best.safetensors";
    /// Training curve.
    pub const CURVE: &str = "training.svg";
    /// ROC curve of the last validation.
    pub const ROC: &str = "roc.svg";
}

/// Folder of net `net` of several in the run `out`.
pub fn of_net(out: &Path, net: usize) -> PathBuf {
    out.join(format!("net-{net}"))
}

/// Nets that the run in `out` trains at once, each in its folder; `None` where it is a run of one net, or none at all.
pub fn nets_of(out: &Path) -> Option<usize> {
    let nets = (0..).take_while(|net| of_net(out, *net).is_dir()).count();
    (nets > 0).then_some(nets)
}

/// Folders of the results of `nets` nets in `out`: `out` itself for one.
pub(super) fn of_nets(out: &Path, nets: usize) -> Vec<PathBuf> {
    if nets == 1 { vec![out.into()] } else { (0..nets).map(|net| of_net(out, net)).collect() }
}

/// Makes sure that `out` holds no run of another number of nets than `nets`.
///
/// # Errors
/// A run of one net in itself, or of more or fewer in folders of their own.
pub(super) fn check_nets(out: &Path, nets: usize, resume: bool) -> Result<(), Error> {
    let held = nets_of(out);
    let other_kind = if nets == 1 { held.is_some() } else { has_begun(out) };
    match held.unwrap_or(1) {
        held if resume && held != nets && (held > 1 || has_begun(out)) => {
            Err(Error::OtherNets { run: out.into(), held, nets })
        }
        held if !resume && (other_kind || held > nets) => Err(Error::RunExists { run: out.into() }),
        _ => Ok(()),
    }
}

fn has_begun(out: &Path) -> bool {
    [names::CONFIG, names::LAST].iter().any(|name| out.join(name).exists())
}

/// Makes sure that a net's folder can take its run, or holds it where it is to be resumed; creates the folder.
///
/// # Errors
/// Another run in it, nothing to resume or other settings, or a folder that cannot be created.
pub(super) fn prepare(member: &Member) -> Result<(), Error> {
    let Member { config, folder: out, resume } = member;
    if *resume {
        for missing in [names::CONFIG, names::LAST] {
            if !out.join(missing).is_file() {
                let run = out.into();
                return Err(match ended_before_a_checkpoint(out) {
                    true => Error::NoCheckpointYet { run },
                    false => Error::NothingToResume { run, missing },
                });
            }
        }
        if let Some(difference) = TrainConfig::load(&out.join(names::CONFIG))?.difference(config) {
            return Err(Error::OtherSettings { run: out.into(), difference });
        }
    } else if has_begun(out) && !ended_before_a_checkpoint(out) {
        return Err(Error::RunExists { run: out.into() });
    }
    std::fs::create_dir_all(out).map_err(|source| Error::CreateFolder { path: out.clone(), source })
}

/// Whether the folder holds a run that was killed, or diverged, before it saved anything worth keeping: the same command
/// may then begin it again.
fn ended_before_a_checkpoint(out: &Path) -> bool {
    let saved = [names::LAST, names::BEST].iter().any(|name| out.join(name).exists());
    !saved && out.join(names::METRICS).is_file() && TrainConfig::load(&out.join(names::CONFIG)).is_ok()
}

/// Removes a folder that [`prepare`] created around those of several nets, as long as nothing is in it.
pub(super) fn remove_empty(out: &Path) {
    // Removes an empty folder only; where it cannot, nothing is lost.
    let _ = std::fs::remove_dir(out);
}
