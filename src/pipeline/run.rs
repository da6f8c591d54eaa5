//! The whole pipeline in one folder, stage after stage; each goes on where it stopped, and is passed over when it is done.
//!
//! | in the folder | stage |
//! |---|---|
//! | `pipeline.toml` | the settings; a rerun with others is refused |
//! | `landmarks.safetensors` | 1 the landmark model |
//! | `aligned/` | 2 faces detected and aligned ([`crate::face::index`]) |
//! | `nets/patch-000/` and so on | 3 a network a patch ([`super::patch_nets`]) |
//! | `vectors/` | 4 the vectors of all faces ([`super::vectors`]) |
//! | `selection.json` | 5 which vectors are used ([`super::select`](mod@super::select)) |
//! | `verifier.safetensors` | 6 PCA, Joint Bayesian, fusion, threshold ([`super::verifier`]) |
//! | `report.html` | 7 what it reaches |
//! | `bundle/` | 8 all that verifying a photograph needs ([`crate::bundle`]) |

use super::Error;
use super::extract::{ExtractSettings, extract};
use super::fit::{Fitted, VectorFolder, fit};
use super::listener::Listener;
use super::patch_nets::PatchNets;
use super::people::People;
use super::processes::Processes;
use super::report::{Inputs, Reported, report};
use super::select;
use super::selection::Selection;
use super::settings::{LandmarkSource, PipelineSettings, SETTINGS};
use crate::bundle::make::{Parts, make};
use crate::bundle::manifest::{Manifest, VERIFIER};
use crate::face::align_folder::{align_folder, changed_photographs};
use crate::face::aligner::{Aligner, Landmarks};
use crate::face::landmark_model::{LandmarkModel, Provenance};
use crate::face::patches::Patch;
use crate::face::{annotated, training};
use crate::files::FolderLock;
use crate::gpu::Gpu;
use crate::report::hashes::sha256_of;
use crate::train::Session;
use crate::train::interrupt::Interrupt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Names in a run's folder.
pub mod names {
    pub const LANDMARKS: &str = "landmarks.safetensors";
    pub const ALIGNED: &str = "aligned";
    pub const NETS: &str = "nets";
    pub const VECTORS: &str = "vectors";
    pub const SELECTION: &str = "selection.json";
    pub const VERIFIER: &str = "verifier.safetensors";
    pub const HELD_OUT: &str = "held-out.csv";
    pub const REPORT: &str = "report.html";
    pub const BUNDLE: &str = "bundle";
}

/// Pictures a pass through a network.
const BATCH: usize = 64;
/// Networks on the device at once while vectors are extracted.
const EXTRACTED_AT_ONCE: usize = 32;

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// False after an interruption.
    pub finished: bool,
    /// What the report says, once there is one.
    pub reported: Option<Reported>,
}

/// How networks are trained, which changes nothing of what they become.
#[derive(Debug, Clone)]
pub struct Training {
    /// Networks in the same dispatches.
    pub at_once: usize,
    pub processes: Processes,
    /// No progress.
    pub quiet: bool,
}

/// A pipeline in its folder.
struct Run<'a> {
    gpu: &'a Gpu,
    settings: &'a PipelineSettings,
    out: &'a Path,
    training: &'a Training,
    interrupt: &'a Interrupt,
    listener: &'a dyn Listener,
}

/// A stage: false where it was interrupted.
type Stage<'b> = for<'a> fn(&'a Run<'b>) -> Result<bool, Error>;

/// Runs the pipeline of `settings` in the folder `out`, or goes on with it.
///
/// # Errors
/// Another run in `out`, and any stage's errors. What earlier stages made is kept.
pub fn run(
    gpu: &Gpu,
    settings: &PipelineSettings,
    out: &Path,
    training: &Training,
    interrupt: &Interrupt,
    listener: &dyn Listener,
) -> Result<Outcome, Error> {
    if !out.join(SETTINGS).is_file() {
        settings.check_inputs()?;
    }
    settings.claim(out)?;
    let _lock = FolderLock::take(out)?;
    listener.say(&format!("seed {}; results in {}", settings.train.seed, out.display()));
    let run = Run { gpu, settings, out, training, interrupt, listener };
    let stages: [(&str, Stage); 6] = [
        ("landmarks", Run::landmarks),
        ("align", Run::align),
        ("networks", Run::networks),
        ("vectors", Run::vectors),
        ("selection", Run::selection),
        ("verifier", Run::verifier),
    ];
    let stopped = Outcome { finished: false, reported: None };
    for (number, (name, stage)) in stages.into_iter().enumerate() {
        listener.say(&format!("stage {} of 8: {name}", number + 1));
        let begun = Instant::now();
        if !stage(&run)? || interrupt.is_requested() {
            return Ok(stopped);
        }
        listener.say(&format!("  {:.1} s", begun.elapsed().as_secs_f64()));
    }
    listener.say("stage 7 of 8: report");
    let reported = report(&Inputs { gpu, settings, run: out }, listener)?;
    listener.say("stage 8 of 8: bundle");
    run.bundle(&reported)?;
    Ok(Outcome { finished: true, reported: Some(reported) })
}

impl Run<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.out.join(name)
    }

    fn landmarks(&self) -> Result<bool, Error> {
        let out = self.path(names::LANDMARKS);
        if out.is_file() {
            return Ok(true);
        }
        match &self.settings.landmarks {
            LandmarkSource::Model(model) => LandmarkModel::load(model)?.save(&out)?,
            LandmarkSource::TrainOn(folder) => {
                let faces = annotated::open(folder)?.faces;
                let settings = training::TrainSettings { seed: self.settings.train.seed, ..Default::default() };
                let trained = match training::train(&faces, &settings, &|_| !self.interrupt.is_requested()) {
                    Err(training::Error::Stopped) => return Ok(false),
                    trained => trained?,
                };
                let provenance = Provenance {
                    trained_on: folder.display().to_string(),
                    pictures: faces.len(),
                    hold_out: 0.0,
                    settings,
                    held_out: None,
                };
                self.listener.say(&format!("  trained on {} annotated pictures", faces.len()));
                LandmarkModel { cascade: trained.cascade, provenance }.save(&out)?;
            }
        }
        Ok(true)
    }

    fn align(&self) -> Result<bool, Error> {
        if self.path(names::NETS).is_dir() {
            let (data, aligned) = (&self.settings.data, self.path(names::ALIGNED));
            if let Some(difference) = changed_photographs(data, &aligned, self.settings.faces)? {
                return Err(Error::OtherPhotographs { data: data.clone(), run: self.out.into(), difference });
            }
        }
        let landmarks = Landmarks::open(&self.path(names::LANDMARKS))?;
        let aligner = Aligner::new(landmarks, self.settings.faces, self.settings.search)?;
        let outcome = align_folder(
            &self.settings.data,
            &self.path(names::ALIGNED),
            &aligner,
            &|| self.interrupt.is_requested(),
            &|done, all| self.listener.progress(done, all),
        )?;
        let finished = outcome.is_finished();
        self.listener.say(&format!(
            "  {} faces of {} photographs, {} rejected (see aligned/rejected.csv)",
            outcome.faces,
            outcome.photographs,
            outcome.rejected.len()
        ));
        Ok(finished)
    }

    fn patches(&self) -> Result<Vec<Patch>, Error> {
        Ok(self.settings.patches.iter().map(|&number| Patch::new(number)).collect::<Result<_, _>>()?)
    }

    fn networks(&self) -> Result<bool, Error> {
        let mut base = self.settings.train.clone();
        base.data = self.path(names::ALIGNED);
        let Training { at_once, processes, quiet } = self.training;
        let nets = PatchNets { base, patches: self.patches()?, out: self.path(names::NETS), at_once: *at_once };
        let session = Session { gpu: self.gpu, interrupt: self.interrupt, quiet: *quiet, processes: 1 };
        Ok(nets.train(&session, processes, self.listener)?.finished)
    }

    fn vectors(&self) -> Result<bool, Error> {
        let settings = ExtractSettings {
            faces: self.path(names::ALIGNED),
            nets: self.path(names::NETS),
            out: self.path(names::VECTORS),
            patches: self.patches()?,
            batch: BATCH,
            at_once: EXTRACTED_AT_ONCE,
        };
        Ok(extract(self.gpu, &settings, self.interrupt, &mut |done, all| self.listener.progress(done, all))?.finished)
    }

    /// The faces, who they are, and their vectors.
    fn inputs(&self) -> Result<(VectorFolder, People), Error> {
        let Some(&patch) = self.settings.patches.first() else { return Err(Error::NothingChosen) };
        VectorFolder::open(&self.path(names::VECTORS), &self.path(names::ALIGNED), patch)
    }

    fn selection(&self) -> Result<bool, Error> {
        let out = self.path(names::SELECTION);
        if out.is_file() {
            return Ok(true);
        }
        let (vectors, people) = self.inputs()?;
        let say = |text: String| self.listener.say(&format!("  {text}"));
        let patches = self.patches()?;
        let inputs = select::Inputs { vectors: &vectors, patches: &patches, people: &people };
        let selection = select::select(&inputs, &self.settings.select, &out, self.interrupt, &say)?;
        Ok(selection.is_some())
    }

    fn verifier(&self) -> Result<bool, Error> {
        let out = self.path(names::VERIFIER);
        if !out.is_file() {
            let (vectors, people) = self.inputs()?;
            let groups = Selection::load(&self.path(names::SELECTION))?.groups();
            let say = |text: String| self.listener.say(&format!("  {text}"));
            let Fitted { verifier, held_out } = fit(&vectors, &groups, &people, &self.settings.fit, &say)?;
            held_out.save(&self.path(names::HELD_OUT))?;
            verifier.save(&out)?;
        }
        Ok(true)
    }

    fn bundle(&self, reported: &Reported) -> Result<(), Error> {
        let out = self.path(names::BUNDLE);
        let verifier = sha256_of(&self.path(names::VERIFIER))?.1;
        match Manifest::open(&out) {
            Ok(held) if held.files.get(VERIFIER) == Some(&verifier) => return Ok(()),
            // A bundle of an earlier verifier, or what is left of one: it is this stage's own folder.
            _ if out.is_dir() => std::fs::remove_dir_all(&out)
                .map_err(|source| Error::File(crate::files::Error::writing(&out, source)))?,
            _ => {}
        }
        let parts = Parts {
            landmarks: &self.path(names::LANDMARKS),
            nets: &self.path(names::NETS),
            verifier: &self.path(names::VERIFIER),
            search: self.settings.search,
            faces: self.settings.faces,
            card: reported.card.clone(),
        };
        make(&parts, &out).map_err(Error::bundle)
    }
}
