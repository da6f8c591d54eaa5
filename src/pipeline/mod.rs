//! From photographs to a verifier: the stages around the networks.
//!
//! | file | purpose |
//! |---|---|
//! | [`patch_nets`] | a network for each kind of patch, by as many processes as there are |
//! | [`processes`] | networks trained by several processes of this program |
//! | [`extractors`] | the vectors of aligned faces by the networks of several patches |
//! | [`vectors`] | files of vectors |
//! | [`extract`](mod@extract) | all faces through all networks, streamed to disk |
//! | [`people`] | who is on the faces, who was held out, pairs of them |
//! | [`select`](mod@select) | forward-backward greedy choice of vectors |
//! | [`selection`] | what was chosen, and its file |
//! | [`held_out`] | scores of held-out pairs |
//! | [`report`](mod@report) | what is reached, as one page |
//! | [`settings`] | settings of a whole run |
//! | [`listener`] | who is told how a stage goes |
//! | [`run`](mod@run) | all stages in one folder |
//! | [`fit`](mod@fit) | PCA, Joint Bayesian, SVM and threshold of chosen vectors |
//! | [`verifier`] | what [`fit`](mod@fit) makes, and its file |

pub mod extract;
pub mod extractors;
pub mod fit;
pub mod held_out;
pub mod listener;
pub mod patch_nets;
pub mod people;
pub mod processes;
pub mod report;
pub mod run;
pub mod select;
pub mod selection;
pub mod settings;
pub mod vectors;
pub mod verifier;

use crate::face::patches::Patch;
use crate::select::risk as select_risk;
use crate::{bundle, data, face, files, gpu, model, train, verify};
use std::path::PathBuf;

/// Why a stage cannot run or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: cannot be read: {source}; check the path")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: cannot be created: {source}; choose a folder that you may write to, on a disk with room")]
    CreateFolder { path: PathBuf, source: std::io::Error },
    #[error("{path}: no such folder; give one that `deepid2 train --patches LIST --out NETS` made")]
    NoNets { path: PathBuf },
    #[error(
        "{path}: not a mark of a trained network ({message}); remove the file to train the network to its end again"
    )]
    Mark { path: PathBuf, message: String },
    #[error(
        "{folder} was trained with other settings: {difference}; give the settings it was trained with, or another --out"
    )]
    OtherNetSettings { folder: PathBuf, difference: String },
    #[error("the network of patch {} ({patch}) in {nets} is not trained to its end; run `deepid2 train --patches {}` there first", patch.index(), patch.index())]
    NetNotDone { patch: Patch, nets: PathBuf },
    #[error(
        "the network of patch {patch} takes {found:?} (rows, columns, channels), the patch has {expected:?}; train it with `deepid2 train --patches`"
    )]
    OtherInput { patch: Patch, expected: (u32, u32, u32), found: (u32, u32, u32) },
    #[error(
        "{program}, which trains a network in a process of its own, cannot be started: {source}; pass --processes 1 to train in this one"
    )]
    StartProcess { program: PathBuf, source: std::io::Error },
    #[error(
        "the process that trained {networks} ended early ({how}); the same command goes on, and takes less memory with a smaller --processes"
    )]
    ProcessEnded { networks: String, how: String },
    #[error("{folders}: {source}")]
    Network { folders: String, source: Box<train::Error> },
    /// What a process that trained networks reports.
    #[error("{message}")]
    InProcess { message: String },
    #[error("{name} is {value}: expected {expected}")]
    Number { name: &'static str, value: String, expected: &'static str },
    #[error("--task-count 0: expected at least 1")]
    NoTasks,
    #[error("{path}: holds a vector that is not finite; remove the file and extract again")]
    NotFinite { path: PathBuf },
    #[error("{path}: group {group}: {message}; give a file that `deepid2 select` made")]
    Group { path: PathBuf, group: usize, message: String },
    #[error("{from} {index}: expected 0 to {}, below the {count} tasks", count - 1)]
    TaskIndex { from: &'static str, index: usize, count: usize },
    #[error("{from} {index} without the number of tasks; pass --task-count too")]
    TaskCount { from: &'static str, index: usize },
    #[error("--task-count {count} without an index; pass --task-index too")]
    TaskWithoutIndex { count: usize },
    #[error(
        "the environment's {name} is `{text}`, expected a whole number; unset it, or pass --task-index and --task-count"
    )]
    TaskVariable { name: &'static str, text: String },
    #[error("{path} holds vectors of {difference}; give another folder for the vectors, or remove this one")]
    OtherVectors { path: PathBuf, difference: &'static str },
    #[error(
        "{path} is of a network trained with seed {} and holding out {} of the people, other vectors of networks trained with seed {} and holding out {}; select and fit vectors of networks that held out the same people",
        found.seed, found.fraction, expected.seed, expected.fraction
    )]
    OtherHeldOut { path: PathBuf, found: people::HoldOut, expected: people::HoldOut },
    #[error(
        "the photographs in {data} are not those that {run} was begun with ({difference}), and its networks are trained; put them back, or start in another --out"
    )]
    OtherPhotographs { data: PathBuf, run: PathBuf, difference: String },
    #[error("{path}: not a file of vectors; give a folder that `deepid2 extract` made")]
    NotVectors { path: PathBuf },
    #[error("{path}: no such file of vectors; run `deepid2 extract` for this patch first")]
    NoVectors { path: PathBuf },
    #[error(
        "{path}: its vectors are longer or shorter than those of other patches; train all networks with one --embedding"
    )]
    VectorLengths { path: PathBuf },
    #[error(
        "the vectors {chosen:?} are the same for all faces: their networks have not learned anything; choose others"
    )]
    NoVariance { chosen: Vec<usize> },
    #[error("no vectors are chosen; choose at least one")]
    NothingChosen,
    #[error("{picture}: lies in no person's folder; align a folder with a sub-folder per person")]
    NoPerson { picture: PathBuf },
    #[error(
        "the networks were trained on everybody (--validation-fraction 0): nobody is left to choose vectors and a threshold on; train them with a share of the people held out, such as 0.2"
    )]
    NobodyHeldOut,
    #[error("{path}: not a choice of vectors ({message}); give a file that `deepid2 select` made")]
    NotSelection { path: PathBuf, message: String },
    #[error(
        "{path}: not of the network of patch {patch} that the verifier was fitted with; take the networks and vectors that `deepid2 fit` was given, or fit again"
    )]
    OtherNetwork { path: PathBuf, patch: usize },
    #[error("{path}: not a verifier; give a file that `deepid2 fit` made")]
    NotVerifier { path: PathBuf },
    #[error("{path}, entry `{entry}`: {message}; the file is damaged, fit again")]
    VerifierEntry { path: PathBuf, entry: &'static str, message: String },
    #[error(
        "{path}, line {line}: not a scored pair `a,b,same,fold,score`; remove the file and the verifier, and fit again"
    )]
    HeldOutLine { path: PathBuf, line: usize },
    #[error("{path}: {message}; correct the line, or start in another --out")]
    Settings { path: PathBuf, message: String },
    #[error(
        "{run} holds a pipeline with other settings: {difference}; give the settings it was begun with, or another --out"
    )]
    OtherPipeline { run: PathBuf, difference: String },
    #[error("{run} is not empty and holds no pipeline; give a new or an empty folder")]
    NotPipeline { run: PathBuf },
    #[error(
        "{groups} groups of {size} vectors, but the patches give {candidates}; ask for less by --size and --groups, or train more patches"
    )]
    TooFewVectors { size: usize, groups: usize, candidates: usize },
    #[error("{path} is of a selection with other settings; remove it to choose anew")]
    OtherSelection { path: PathBuf },
    #[error(transparent)]
    Risk(#[from] select_risk::Error),
    #[error(transparent)]
    Foba(#[from] crate::select::foba::Error<select_risk::Error>),
    #[error(transparent)]
    Bundle(Box<bundle::Error>),
    #[error(transparent)]
    Dataset(#[from] data::dataset::Error),
    #[error(transparent)]
    Aligner(#[from] face::aligner::Error),
    #[error(transparent)]
    AlignFolder(#[from] face::align_folder::Error),
    #[error(transparent)]
    LandmarkModel(#[from] face::landmark_model::Error),
    #[error(transparent)]
    LandmarkTraining(#[from] face::training::Error),
    #[error(transparent)]
    Annotated(#[from] face::annotated::Error),
    #[error(transparent)]
    File(#[from] files::Error),
    #[error(transparent)]
    Patch(#[from] face::patches::Error),
    #[error(transparent)]
    Index(#[from] face::index::Error),
    #[error(transparent)]
    Decode(#[from] data::decode::Error),
    #[error(transparent)]
    Pairs(#[from] data::pairs::Error),
    #[error(transparent)]
    Split(#[from] data::split::Error),
    #[error(transparent)]
    Model(#[from] model::Error),
    #[error(transparent)]
    Checkpoint(#[from] model::checkpoint::Error),
    #[error(transparent)]
    Train(#[from] train::Error),
    #[error(transparent)]
    Verify(#[from] verify::Error),
    #[error(transparent)]
    Pca(#[from] verify::pca::Error),
    #[error(transparent)]
    JointBayesian(#[from] verify::joint_bayesian::Error),
    #[error(transparent)]
    Svm(#[from] verify::svm::Error),
    #[error(transparent)]
    Report(#[from] crate::report::Error),
    #[error(transparent)]
    Gpu(#[from] gpu::Error),
}

impl Error {
    /// An error of a bundle, or the stage's error in it.
    fn bundle(error: bundle::Error) -> Self {
        match error {
            bundle::Error::Pipeline(error) => error,
            error => Self::Bundle(Box::new(error)),
        }
    }
}
