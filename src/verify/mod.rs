//! Verification: from distances between pairs of pictures to thresholds, accuracies and curves.
//!
//! | file | purpose |
//! |---|---|
//! | [`distance`] | Euclidean and cosine distance of embeddings |
//! | [`trials`] | labelled distances, sorted once: what everything below is counted from |
//! | [`threshold`] | the best threshold, by balanced error or by accuracy |
//! | [`roc`] | ROC curve, AUC, EER, TAR at a given FAR |
//! | [`det`] | DET curve: FRR against FAR on normal-deviate axes |
//! | [`summary`] | all the usual numbers at once |
//! | [`folds`] | LFW's View 2: threshold from the other folds, mean and standard error |
//! | [`view1`] | LFW's View 1: threshold from one list of pairs, accuracy on another |
//! | [`people`] | which pictures of a list of pairs show one person |
//! | [`evaluated`] | all of it for one list of pairs |
//! | [`extremes`] | the most confident verdicts, right and wrong |
//! | [`bootstrap`] | intervals of all these numbers, by resampling people |
//! | [`transform`] | what is done to embeddings before PCA |
//! | [`pca`] | principal components of concatenated embeddings |
//! | [`joint_bayesian`] | the log-likelihood ratio that two embeddings are of one person |
//! | [`svm`] | several scores of a pair become one |
//! | [`matrices`] | what a model file keeps of the fitted models |
//!
//! Everywhere, a smaller distance means more alike and a pair is accepted as one person where its
//! distance is **at most** the threshold. Scores that grow with likeness, such as the
//! log-likelihood ratio of Joint Bayesian, are passed negated.

pub mod bootstrap;
pub mod det;
pub mod distance;
pub mod evaluated;
pub mod extremes;
pub mod folds;
pub mod joint_bayesian;
pub(crate) mod linear_algebra;
pub mod matrices;
pub mod pca;
pub mod people;
pub mod roc;
pub mod summary;
pub mod svm;
pub mod threshold;
pub mod transform;
pub mod trials;
pub mod view1;

/// Why nothing can be measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{same} pairs of one person and {different} of different people; both are needed to choose or judge a threshold"
    )]
    OneKind { same: u64, different: u64 },
    #[error("the distance of pair {pair} is {distance}; expected a finite number: the embeddings have diverged")]
    NotFinite { pair: usize, distance: f64 },
    #[error("{distances} distances for {pairs} pairs; expected one each")]
    PairCount { distances: usize, pairs: usize },
    #[error("{folds} fold; choosing thresholds on the other folds needs at least 2")]
    TooFewFolds { folds: usize },
    #[error("{values} embedding values are not a whole number of rows of dimension {dimension}")]
    EmbeddingShape { values: usize, dimension: usize },
    #[error("pair {pair} names picture {picture}, but there are {rows} embeddings")]
    PictureNumber { pair: usize, picture: u32, rows: usize },
    #[error("pair {pair} names picture {picture}, but the person of only {pictures} pictures is known")]
    NoPerson { pair: usize, picture: u32, pictures: usize },
    #[error("{replicates} bootstrap replicates; expected at least 1, 1000 as a rule")]
    NoReplicates { replicates: u32 },
    #[error("bootstrap confidence {confidence}; expected a share between 0 and 1, such as 0.95")]
    Confidence { confidence: f64 },
    #[error("distance `{text}`: expected `euclidean` or `cosine`")]
    UnknownDistance { text: String },
}

#[cfg(test)]
mod testing {
    //! Random trials and the obvious way to judge them.

    use proptest::prelude::*;

    /// A few trials on whole distances, so that many are equal; at least one of either kind.
    pub fn distances_with_ties() -> impl Strategy<Value = Vec<(f64, bool)>> {
        prop::collection::vec((0u8..12, any::<bool>()), 2..40)
            .prop_filter("both kinds", |sample| sample.iter().any(|t| t.1) && sample.iter().any(|t| !t.1))
            .prop_map(|sample| sample.into_iter().map(|(distance, same)| (f64::from(distance), same)).collect())
    }

    pub struct Judged {
        pub accuracy: f64,
        pub far: f64,
        pub frr: f64,
        pub balanced_error: f64,
    }

    /// What accepting distances of at most `threshold` does, counted pair by pair.
    pub fn judged(sample: &[(f64, bool)], threshold: f64) -> Judged {
        let count = |wanted: bool, accepted: bool| {
            sample.iter().filter(|&&(d, same)| same == wanted && (d <= threshold) == accepted).count() as f64
        };
        let far = count(false, true) / (count(false, true) + count(false, false));
        let frr = count(true, false) / (count(true, true) + count(true, false));
        let accuracy = (count(true, true) + count(false, false)) / sample.len() as f64;
        Judged { accuracy, far, frr, balanced_error: 0.5 * (far + frr) }
    }
}
