//! The risk of a set of vectors: how badly PCA and Joint Bayesian, fitted on training people, verify
//! fixed pairs of other people (PAPER §6).
//!
//! The number of errors has ties, so the risk is the mean logistic loss of the log-likelihood ratio,
//! calibrated by the best scale and offset; pairs of one person and of two weigh the same in sum.
//!
//! Fitting PCA and Joint Bayesian to 25 × 160 values for each of 400 candidates in each step would
//! take days. [`Method::Cached`] instead reduces each vector once to a few PCA dimensions, which keeps nearly
//! all of what Joint Bayesian can use of it. What is then cheap is done for every candidate, and what
//! is right for a few:
//!
//! - the **screen** scores every pair once with each vector's own Joint Bayesian. A set's score is the
//!   sum of these with the weights of the linear discriminant, which correlations between vectors
//!   enter: a sum with equal weights would prefer several copies of the best vector. It costs a
//!   solution of k equations and a calibration;
//! - the **risk** of the candidates on the shortlist is that of PCA and Joint Bayesian fitted to the
//!   reduced vectors side by side: what the system will do, on fewer dimensions.
//!
//! [`Method::Exact`] fits every candidate on whole vectors, for small problems.

use super::foba::{Objective, Screen};
use crate::data::pairs::Pair;
use crate::verify::joint_bayesian::{self, JointBayesian};
use crate::verify::linear_algebra::{Matrix, transpose_product};
use crate::verify::pca::{self, Pca};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Why a risk cannot be worked out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("vector {vector} cannot be read: {source}")]
    Read { vector: usize, source: io::Error },
    #[error("vector {vector}: {values} values for {faces} faces of dimension {dimension}; extract it again")]
    VectorShape { vector: usize, values: usize, faces: usize, dimension: usize },
    #[error("PCA of vectors {set:?}: {source}")]
    Pca { set: Vec<usize>, source: pca::Error },
    #[error("Joint Bayesian of vectors {set:?}: {source}")]
    JointBayesian { set: Vec<usize>, source: joint_bayesian::Error },
    #[error("{labels} identity labels for {faces} training faces; expected one each")]
    Labels { labels: usize, faces: usize },
    #[error("{what} {number} names face {face}, but there are {faces}")]
    Face { what: &'static str, number: usize, face: u32, faces: usize },
    #[error("validation pair {pair} uses face {face}, which is trained on; draw the pairs from other people")]
    Leak { pair: usize, face: u32 },
    #[error("{same} validation pairs of one person and {different} of different people; both are needed")]
    OneKind { same: usize, different: usize },
    #[error("setting `{name}` is 0; expected at least 1")]
    Setting { name: &'static str },
    #[error(transparent)]
    Save(#[from] crate::files::Error),
    #[error("stopped")]
    Stopped,
}

/// The vectors of all faces, such as files on disk.
pub trait Vectors: Sync {
    /// How many vectors a face has: 400 in DeepID2.
    fn count(&self) -> usize;
    /// Values of a vector: 160 in DeepID2.
    fn dimension(&self) -> usize;
    fn faces(&self) -> usize;
    /// Vector number `vector` of every face: faces × dimension.
    ///
    /// # Errors
    /// Whatever keeps it from being read.
    fn rows(&self, vector: usize) -> io::Result<Cow<'_, [f32]>>;
}

/// Vectors in memory: vectors × faces × dimension.
#[derive(Debug, Clone, Copy)]
pub struct VectorSlice<'a> {
    pub values: &'a [f32],
    pub faces: usize,
    pub dimension: usize,
}

impl Vectors for VectorSlice<'_> {
    fn count(&self) -> usize {
        self.values.len().checked_div(self.faces * self.dimension).unwrap_or(0)
    }

    fn dimension(&self) -> usize {
        self.dimension
    }

    fn faces(&self) -> usize {
        self.faces
    }

    fn rows(&self, vector: usize) -> io::Result<Cow<'_, [f32]>> {
        let length = self.faces * self.dimension;
        Ok(Cow::Borrowed(&self.values[vector * length..][..length]))
    }
}

/// What is fitted on, and what is judged.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// The faces to fit on, numbers of rows.
    pub train: &'a [u32],
    /// The person on each of them.
    pub labels: &'a [u32],
    /// The pairs to verify, numbers of rows. None of them is trained on.
    pub pairs: &'a [Pair],
}

/// How exactly the risk is worked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Method {
    Cached {
        /// PCA dimensions to which each vector is reduced; fewer where a vector varies in fewer.
        reduced: usize,
        /// Candidates of a step for which PCA and Joint Bayesian are fitted.
        shortlist: usize,
    },
    Exact,
}

/// How the risk is worked out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub method: Method,
    /// PCA dimensions of a set's vectors side by side; fewer where the faces are fewer or vary in fewer.
    pub components: usize,
    /// How each Joint Bayesian is fitted. A few iterations rank sets as well as many.
    pub joint_bayesian: joint_bayesian::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            method: Method::Cached { reduced: 24, shortlist: 4 },
            components: 180,
            joint_bayesian: joint_bayesian::Settings {
                iterations: 10,
                shrinkage: 0.1,
                ..joint_bayesian::Settings::default()
            },
        }
    }
}

/// The risk of sets of vectors, with what can be worked out once.
pub struct Risk<'a> {
    settings: Settings,
    labels: &'a [u32],
    vectors: Vec<Prepared>,
    /// Rows of `Prepared::judged`.
    pairs: Vec<(u32, u32)>,
    same: Vec<bool>,
    /// Standardised scores of each vector alone; pairs × vectors. No columns for [`Method::Exact`].
    scores: Matrix,
    /// Their correlations with each other and, last, with the kind of pair.
    correlations: Matrix,
}

/// One vector of the faces that matter, reduced.
struct Prepared {
    /// 0 where the vector is the same for all faces.
    dimension: usize,
    /// Training faces × dimension.
    train: Vec<f32>,
    /// Faces in pairs × dimension.
    judged: Vec<f32>,
    /// The ratio of each pair by this vector alone; empty for [`Method::Exact`].
    scores: Vec<f64>,
}

impl<'a> Risk<'a> {
    /// Reads every vector once. `on_vector` hears how many are done, from several threads, and stops
    /// the work by returning `false`.
    ///
    /// # Errors
    /// Vectors that cannot be read or fitted, a task that makes no sense or lets training faces into
    /// the pairs, settings of 0.
    pub fn prepare(
        vectors: &dyn Vectors,
        task: &Task<'a>,
        settings: &Settings,
        on_vector: &(dyn Fn(usize) -> bool + Sync),
    ) -> Result<Self, Error> {
        check(vectors.faces(), task, settings)?;
        let judged: BTreeSet<u32> = task.pairs.iter().flat_map(|pair| [pair.a, pair.b]).collect();
        let judged: Vec<u32> = judged.into_iter().collect();
        let row = |face: u32| judged.binary_search(&face).expect("collected from the pairs") as u32;
        let pairs: Vec<(u32, u32)> = task.pairs.iter().map(|pair| (row(pair.a), row(pair.b))).collect();
        let done = AtomicUsize::new(0);
        let prepared: Vec<Result<Prepared, Error>> = (0..vectors.count())
            .into_par_iter()
            .map(|vector| {
                let prepared = Prepared::of(vectors, vector, task, &judged, &pairs, settings)?;
                let going_on = on_vector(done.fetch_add(1, Ordering::Relaxed) + 1);
                if going_on { Ok(prepared) } else { Err(Error::Stopped) }
            })
            .collect();
        let prepared = prepared.into_iter().collect::<Result<Vec<_>, _>>()?;
        let same: Vec<bool> = task.pairs.iter().map(|pair| pair.same).collect();
        let (scores, correlations) = correlated(&prepared, &same, settings.method);
        Ok(Self { settings: *settings, labels: task.labels, vectors: prepared, pairs, same, scores, correlations })
    }

    /// The mean logistic loss of the pairs by PCA and Joint Bayesian on the vectors of `set` side by
    /// side; log 2 for none.
    ///
    /// # Errors
    /// Joint Bayesian that cannot be fitted.
    pub fn joint(&self, set: &[usize]) -> Result<f64, Error> {
        let used: Vec<&Prepared> =
            set.iter().map(|&vector| &self.vectors[vector]).filter(|vector| vector.dimension > 0).collect();
        if used.is_empty() {
            return Ok(std::f64::consts::LN_2);
        }
        let dimension = used.iter().map(|vector| vector.dimension).sum();
        let train = side_by_side(&used, |vector| &vector.train);
        let judged = side_by_side(&used, |vector| &vector.judged);
        let projected = reduced(&train, dimension, self.settings.components, &judged)
            .map_err(|source| Error::Pca { set: set.to_vec(), source })?;
        let Some(Reduced { dimension, train, judged }) = projected else { return Ok(std::f64::consts::LN_2) };
        let scores = ratios(&train, self.labels, dimension, &judged, &self.pairs, &self.settings)
            .map_err(|source| Error::JointBayesian { set: set.to_vec(), source })?;
        Ok(calibrated_loss(&scores, &self.same))
    }

    /// The mean logistic loss of the pairs by the linear discriminant of the scores of each vector of
    /// `set` alone; log 2 for none.
    pub fn screened(&self, set: &[usize]) -> f64 {
        if set.is_empty() || self.scores.ncols() == 0 {
            return std::f64::consts::LN_2;
        }
        let weights = discriminant(&self.correlations, set);
        let mut scores = vec![0.0; self.same.len()];
        for (&vector, weight) in set.iter().zip(&weights) {
            scores.iter_mut().zip(self.scores.column(vector).iter()).for_each(|(sum, score)| *sum += weight * score);
        }
        calibrated_loss(&scores, &self.same)
    }

    /// Runs `work` with this risk as FoBa's objective; `going_on` is asked before each evaluation, and
    /// `false` ends it with [`Error::Stopped`].
    pub fn with_objective<R>(
        &self,
        going_on: &(dyn Fn() -> bool + Sync),
        work: impl FnOnce(&Objective<Error>) -> R,
    ) -> R {
        let risk = |set: &[usize]| if going_on() { self.joint(set) } else { Err(Error::Stopped) };
        let screen = |set: &[usize]| Ok(self.screened(set));
        let screen = match self.settings.method {
            Method::Cached { shortlist, .. } => Some(Screen { risk: &screen, shortlist }),
            Method::Exact => None,
        };
        work(&Objective { risk: &risk, screen })
    }
}

fn check(faces: usize, task: &Task, settings: &Settings) -> Result<(), Error> {
    let cached = match settings.method {
        Method::Cached { reduced, shortlist } => [("reduced", reduced), ("shortlist", shortlist)],
        Method::Exact => [("components", settings.components); 2],
    };
    for (name, value) in [("components", settings.components)].into_iter().chain(cached) {
        if value == 0 {
            return Err(Error::Setting { name });
        }
    }
    if task.labels.len() != task.train.len() {
        return Err(Error::Labels { labels: task.labels.len(), faces: task.train.len() });
    }
    let present = |what, number, face: u32| {
        if (face as usize) < faces { Ok(()) } else { Err(Error::Face { what, number, face, faces }) }
    };
    for (number, &face) in task.train.iter().enumerate() {
        present("training face", number, face)?;
    }
    let train: BTreeSet<u32> = task.train.iter().copied().collect();
    for (number, pair) in task.pairs.iter().enumerate() {
        for face in [pair.a, pair.b] {
            present("validation pair", number, face)?;
            if train.contains(&face) {
                return Err(Error::Leak { pair: number, face });
            }
        }
    }
    let same = task.pairs.iter().filter(|pair| pair.same).count();
    if same == 0 || same == task.pairs.len() {
        return Err(Error::OneKind { same, different: task.pairs.len() - same });
    }
    Ok(())
}

impl Prepared {
    fn of(
        vectors: &dyn Vectors,
        vector: usize,
        task: &Task,
        judged: &[u32],
        pairs: &[(u32, u32)],
        settings: &Settings,
    ) -> Result<Self, Error> {
        let (faces, dimension) = (vectors.faces(), vectors.dimension());
        let rows = vectors.rows(vector).map_err(|source| Error::Read { vector, source })?;
        if rows.len() != faces * dimension || dimension == 0 {
            return Err(Error::VectorShape { vector, values: rows.len(), faces, dimension });
        }
        let gathered = |faces: &[u32]| -> Vec<f32> {
            faces.iter().flat_map(|&face| &rows[face as usize * dimension..][..dimension]).copied().collect()
        };
        let (train, judged) = (gathered(task.train), gathered(judged));
        drop(rows);
        let Method::Cached { reduced: components, .. } = settings.method else {
            return Ok(Self { dimension, train, judged, scores: Vec::new() });
        };
        let set = || vec![vector];
        let Some(Reduced { dimension, train, judged }) =
            reduced(&train, dimension, components, &judged).map_err(|source| Error::Pca { set: set(), source })?
        else {
            return Ok(Self { dimension: 0, train: Vec::new(), judged: Vec::new(), scores: vec![0.0; pairs.len()] });
        };
        let scores = ratios(&train, task.labels, dimension, &judged, pairs, settings)
            .map_err(|source| Error::JointBayesian { set: set(), source })?;
        Ok(Self { dimension, train, judged, scores })
    }
}

struct Reduced {
    dimension: usize,
    train: Vec<f32>,
    judged: Vec<f32>,
}

/// Both kinds of rows in the leading `most` principal components of `train`, or in as many as there
/// are. `None` where `train` does not vary.
fn reduced(train: &[f32], dimension: usize, most: usize, judged: &[f32]) -> Result<Option<Reduced>, pca::Error> {
    let Some(pca) = Pca::fit_at_most(train, dimension, most)? else { return Ok(None) };
    Ok(Some(Reduced { dimension: pca.components(), train: pca.project(train)?, judged: pca.project(judged)? }))
}

/// The ratio of each pair of rows of `judged` by Joint Bayesian fitted on `train`.
fn ratios(
    train: &[f32],
    labels: &[u32],
    dimension: usize,
    judged: &[f32],
    pairs: &[(u32, u32)],
    settings: &Settings,
) -> Result<Vec<f64>, joint_bayesian::Error> {
    let model = JointBayesian::fit(train, labels, dimension, &settings.joint_bayesian, &mut |_| {})?;
    model.prepare(judged)?.llr_of_pairs(pairs)
}

/// The rows of several vectors joined.
fn side_by_side(vectors: &[&Prepared], rows: impl Fn(&Prepared) -> &[f32]) -> Vec<f32> {
    let count = rows(vectors[0]).len() / vectors[0].dimension;
    let mut joined = Vec::with_capacity(vectors.iter().map(|vector| rows(vector).len()).sum());
    for row in 0..count {
        for vector in vectors {
            joined.extend_from_slice(&rows(vector)[row * vector.dimension..][..vector.dimension]);
        }
    }
    joined
}

/// Weights of the pairs by which both kinds weigh ½ in sum.
fn weights(same: &[bool]) -> impl Iterator<Item = f64> + Clone {
    let kind = |wanted: bool| 0.5 / same.iter().filter(|same| **same == wanted).count() as f64;
    let weights = [kind(false), kind(true)];
    same.iter().map(move |&same| weights[usize::from(same)])
}

/// Scores of mean 0 and deviation 1; all 0 where they do not differ.
fn standardised(scores: &[f64], same: &[bool]) -> Vec<f64> {
    let mean: f64 = scores.iter().zip(weights(same)).map(|(score, weight)| weight * score).sum();
    let variance: f64 = scores.iter().zip(weights(same)).map(|(score, weight)| weight * (score - mean).powi(2)).sum();
    // Below this the differences are rounding of the mean.
    let scale = if variance > (1e-12 * mean).powi(2) { variance.sqrt().recip() } else { 0.0 };
    scores.iter().map(|score| (score - mean) * scale).collect()
}

/// Standardised scores, pairs × vectors, and their correlations with each other and with the kind.
fn correlated(vectors: &[Prepared], same: &[bool], method: Method) -> (Matrix, Matrix) {
    if method == Method::Exact {
        return (Matrix::zeros(same.len(), 0), Matrix::zeros(0, 0));
    }
    let columns: Vec<Vec<f64>> = vectors.par_iter().map(|vector| standardised(&vector.scores, same)).collect();
    let scores = Matrix::from_vec(same.len(), vectors.len(), columns.concat());
    let kind = Matrix::from_iterator(same.len(), 1, same.iter().map(|&same| if same { 1.0 } else { -1.0 }));
    let mut weighted = scores.clone().insert_column(vectors.len(), 0.0);
    weighted.set_column(vectors.len(), &kind.column(0));
    for mut column in weighted.column_iter_mut() {
        column.iter_mut().zip(weights(same)).for_each(|(value, weight)| *value *= weight.sqrt());
    }
    let correlations = transpose_product(&weighted, &weighted);
    (scores, correlations)
}

/// The weights of the linear discriminant of some scores: least squares of ±1, slightly ridged
/// because scores of like vectors are nearly equal.
fn discriminant(correlations: &Matrix, set: &[usize]) -> Vec<f64> {
    const RIDGE: f64 = 1e-3;
    let kind = correlations.ncols() - 1;
    let among =
        Matrix::from_fn(set.len(), set.len(), |i, j| correlations[(set[i], set[j])] + if i == j { RIDGE } else { 0.0 });
    let with_kind = Matrix::from_fn(set.len(), 1, |i, _| correlations[(set[i], kind)]);
    let cholesky =
        among.cholesky().expect("correlations are positive semi-definite, and the ridge adds more than rounding");
    cholesky.solve(&with_kind).as_slice().to_vec()
}

/// min over scale a and offset b of the mean of log(1 + exp(−y(a·z + b))) + ½·PENALTY·a², z
/// standardised scores, y = ±1; both kinds weigh the same. The penalty keeps a finite where the
/// scores separate the kinds, and prefers the wider gap.
fn calibrated_loss(scores: &[f64], same: &[bool]) -> f64 {
    const PENALTY: f64 = 1e-4;
    const STEPS: usize = 50;
    let z = standardised(scores, same);
    // Value, gradient and the three entries of the Hessian.
    let evaluate = |a: f64, b: f64| {
        let mut sums = [0.5 * PENALTY * a * a, PENALTY * a, 0.0, PENALTY, 0.0, 0.0];
        for ((&z, &same), weight) in z.iter().zip(same).zip(weights(same)) {
            let sign = if same { 1.0 } else { -1.0 };
            let margin = sign * (a * z + b);
            let small = (-margin.abs()).exp();
            let miss = if margin > 0.0 { small } else { 1.0 } / (1.0 + small);
            let (slope, curve) = (-weight * sign * miss, weight * small / (1.0 + small).powi(2));
            let loss = weight * ((-margin).max(0.0) + small.ln_1p());
            for (sum, term) in sums.iter_mut().zip([loss, slope * z, slope, curve * z * z, curve * z, curve]) {
                *sum += term;
            }
        }
        sums
    };
    let (mut a, mut b) = (0.0, 0.0);
    let mut now = evaluate(a, b);
    for _ in 0..STEPS {
        let [value, da, db, aa, ab, bb] = now;
        let determinant = (aa * bb - ab * ab).max(f64::MIN_POSITIVE);
        let (step_a, step_b) = ((bb * da - ab * db) / determinant, (aa * db - ab * da) / determinant);
        let mut share = 1.0;
        let next = loop {
            let next = evaluate(a - share * step_a, b - share * step_b);
            if next[0] < value {
                (a, b) = (a - share * step_a, b - share * step_b);
                break Some(next);
            }
            share *= 0.5;
            if share < 1e-6 {
                break None;
            }
        };
        match next {
            Some(next) if value - next[0] > 1e-12 * value => now = next,
            Some(next) => return next[0],
            None => return value,
        }
    }
    now[0]
}

#[cfg(test)]
mod tests {
    use super::super::foba;
    use super::super::groups::select_groups;
    use super::*;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const DIMENSION: usize = 6;
    const FACES_EACH: usize = 5;

    /// Vectors of `people` with 5 faces each. Vector v shows the person's traits `traits[v].0` (of 8)
    /// under noise of deviation `traits[v].1`; none at all for a constant vector.
    fn vectors(people: usize, traits: &[(&[usize], f64)], seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let persons: Vec<[f64; 8]> =
            (0..people).map(|_| std::array::from_fn(|_| rng.random_range(-2.0..2.0))).collect();
        let mut values = Vec::new();
        for (shown, noise) in traits {
            let mixing: Vec<[f64; 8]> =
                (0..DIMENSION).map(|_| std::array::from_fn(|_| rng.random_range(-1.0..1.0))).collect();
            for person in &persons {
                for _ in 0..FACES_EACH {
                    for mix in &mixing {
                        let trait_sum: f64 = shown.iter().map(|&i| mix[i] * person[i]).sum();
                        values.push((trait_sum + noise * rng.random_range(-1.0..1.0)) as f32);
                    }
                }
            }
        }
        values
    }

    struct Problem {
        values: Vec<f32>,
        train: Vec<u32>,
        labels: Vec<u32>,
        pairs: Vec<Pair>,
    }

    /// The first 60 people are trained on, pairs are of the other 40.
    fn problem(traits: &[(&[usize], f64)]) -> Problem {
        let values = vectors(100, traits, 3);
        let train: Vec<u32> = (0..300).collect();
        let labels = train.iter().map(|face| face / 5).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let pairs = (0..600).map(|number| {
            let (a, b) = (rng.random_range(60..100u32), rng.random_range(0..39u32));
            let other = if number % 2 == 0 { a } else { 60 + (a - 60 + 1 + b) % 40 };
            Pair { a: 5 * a, b: 5 * other + 1 + rng.random_range(0..4u32), same: number % 2 == 0, fold: 0 }
        });
        Problem { pairs: pairs.collect(), values, train, labels }
    }

    impl Problem {
        fn prepare(&self, method: Method) -> Result<Risk<'_>, Error> {
            let vectors = VectorSlice { values: &self.values, faces: 500, dimension: DIMENSION };
            let task = Task { train: &self.train, labels: &self.labels, pairs: &self.pairs };
            let settings = Settings { method, components: 12, ..Settings::default() };
            Risk::prepare(&vectors, &task, &settings, &|_| true)
        }
    }

    const CACHED: Method = Method::Cached { reduced: 5, shortlist: 3 };
    /// Ever noisier, the third shows what the first does, the last nothing.
    const EASY: [(&[usize], f64); 6] =
        [(&[0, 1, 2, 3], 1.0), (&[4, 5, 6, 7], 1.5), (&[0, 1, 2, 3], 2.0), (&[0, 1], 4.0), (&[6, 7], 8.0), (&[], 1.0)];

    #[test]
    fn screen_cached_and_exact_risk_agree_in_order() {
        let problem = problem(&EASY);
        let (cached, exact) = (problem.prepare(CACHED).unwrap(), problem.prepare(Method::Exact).unwrap());
        let order = |risk: &dyn Fn(&[usize]) -> f64, sets: &[Vec<usize>]| {
            let mut order: Vec<usize> = (0..sets.len()).collect();
            order.sort_by(|&i, &j| risk(&sets[i]).total_cmp(&risk(&sets[j])));
            order
        };
        let joint = |risk: &Risk, set: &[usize]| risk.joint(set).unwrap();
        let singles: Vec<Vec<usize>> = (0..6).map(|vector| vec![vector]).collect();
        let pairs: Vec<Vec<usize>> = [1, 2, 5].map(|other| vec![0, other]).to_vec();
        for sets in [singles, pairs] {
            let expected = order(&|set| joint(&exact, set), &sets);
            assert_eq!(order(&|set| joint(&cached, set), &sets), expected);
            // Which of two hopeless vectors is worse is chance.
            let decided = sets.len() - 2;
            assert_eq!(order(&|set| cached.screened(set), &sets)[..decided], expected[..decided]);
        }
        assert!(joint(&exact, &[0, 1]) < joint(&exact, &[0]));
        assert!((joint(&exact, &[]) - 2f64.ln()).abs() < 1e-15 && (joint(&exact, &[5]) - 2f64.ln()).abs() < 0.01);
    }

    #[test]
    fn both_methods_select_the_same_groups() {
        let problem = problem(&EASY);
        let selected = |method| {
            let risk = problem.prepare(method).unwrap();
            let settings = foba::Settings { size: 2, nu: 0.5 };
            risk.with_objective(&|| true, |objective| {
                let traces = select_groups(6, &[5], 2, &settings, objective, Vec::new(), &mut |_| Ok(())).unwrap();
                traces.iter().map(foba::Trace::selected).collect::<Vec<_>>()
            })
        };
        assert_eq!(selected(CACHED), [[0, 1], [2, 3]]);
        assert_eq!(selected(Method::Exact), [[0, 1], [2, 3]]);
    }

    #[test]
    fn shuffled_kinds_leave_nothing_to_learn() {
        let mut problem = problem(&EASY);
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        problem.pairs.iter_mut().for_each(|pair| pair.same = rng.random());
        let risk = problem.prepare(CACHED).unwrap();
        assert!(risk.joint(&[0, 1, 2]).unwrap() > 0.98 * 2f64.ln());
    }

    #[test]
    fn threads_do_not_change_the_risk_and_dead_units_do_not_matter() {
        let mut problem = problem(&EASY);
        problem.values.chunks_exact_mut(DIMENSION).for_each(|row| row[2] = 0.0);
        let constant = problem.values.len() / 6;
        problem.values[4 * constant..5 * constant].fill(7.0);
        let with_threads = |threads: usize, method| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let risk = problem.prepare(method).unwrap();
                (risk.joint(&[0, 1, 4]).unwrap(), risk.screened(&[0, 1, 4]), risk.joint(&[4]).unwrap())
            })
        };
        for method in [CACHED, Method::Exact] {
            let found = with_threads(1, method);
            assert_eq!(found, with_threads(3, method));
            assert!(found.0 < 0.3 && found.2 == 2f64.ln(), "{found:?}");
        }
        let risk = problem.prepare(CACHED).unwrap();
        assert_eq!(risk.joint(&[0, 1, 4]).unwrap(), risk.joint(&[0, 1]).unwrap());
    }

    proptest! {
        #[test]
        fn no_other_scale_and_offset_lose_less(
            sample in prop::collection::vec((-3.0f64..3.0, any::<bool>()), 4..40), scale in 0.1f64..10.0, offset in -5.0f64..5.0,
        ) {
            let same: Vec<bool> = sample.iter().map(|pair| pair.1).collect();
            prop_assume!(same.contains(&true) && same.contains(&false));
            let scores: Vec<f64> = sample.iter().map(|(score, same)| score + f64::from(u8::from(*same))).collect();
            let found = calibrated_loss(&scores, &same);
            let z = standardised(&scores, &same);
            let loss = |a: f64, b: f64| -> f64 {
                let terms = z.iter().zip(&same).zip(weights(&same));
                5e-5 * a * a + terms.map(|((z, &same), weight)| {
                    weight * (1.0 + (-(a * z + b) * if same { 1.0 } else { -1.0 }).exp()).ln()
                }).sum::<f64>()
            };
            for a in -20..=20 {
                for b in -20..=20 {
                    prop_assert!(found <= loss(f64::from(a) / 2.0, f64::from(b) / 4.0) + 1e-9);
                }
            }
            prop_assert!(found <= 2f64.ln() + 1e-12);
            let moved: Vec<f64> = scores.iter().map(|score| scale * score + offset).collect();
            prop_assert!((calibrated_loss(&moved, &same) - found).abs() < 1e-7);
        }
    }

    #[test]
    fn the_discriminant_is_least_squares_of_the_kind() {
        let problem = problem(&EASY);
        let risk = problem.prepare(CACHED).unwrap();
        let (set, target) =
            ([0, 1, 3], Matrix::from_fn(600, 1, |pair, _| if problem.pairs[pair].same { 1.0 } else { -1.0 }));
        let weights = discriminant(&risk.correlations, &set);
        // Balanced pairs weigh the same: the normal equations of the columns, with the ridge.
        let columns = risk.scores.select_columns(&set);
        let normal = columns.transpose() * &columns / 600.0 + Matrix::identity(3, 3) * 1e-3;
        let expected = normal.lu().solve(&(columns.transpose() * target / 600.0)).unwrap();
        approx::assert_abs_diff_eq!(weights.as_slice(), expected.as_slice(), epsilon = 1e-9);
        assert!(weights[0] > weights[2]);
    }

    #[test]
    fn tasks_that_make_no_sense_are_named() {
        let sound = problem(&EASY[..1]);
        let message = |change: &dyn Fn(&mut Problem), method| {
            let mut problem = problem(&EASY[..1]);
            change(&mut problem);
            problem.prepare(method).err().expect("refused").to_string()
        };
        assert!(sound.prepare(CACHED).is_ok());
        let leak = message(&|problem| problem.pairs[3].a = 7, CACHED);
        assert!(leak.contains("pair 3 uses face 7, which is trained on"), "{leak}");
        assert!(
            message(&|problem| problem.pairs[3].b = 500, CACHED).contains("pair 3 names face 500, but there are 500")
        );
        assert!(message(&|problem| problem.train[3] = 900, CACHED).contains("training face 3 names face 900"));
        assert!(message(&|problem| _ = problem.labels.pop(), CACHED).contains("299 identity labels for 300"));
        assert!(
            message(&|problem| problem.pairs.truncate(1), CACHED).contains("1 validation pairs of one person and 0")
        );
        for (reduced, shortlist, name) in [(0, 1, "`reduced`"), (1, 0, "`shortlist`")] {
            assert!(message(&|_| (), Method::Cached { reduced, shortlist }).contains(name));
        }
        let diverged = message(&|problem| problem.values[20] = f32::NAN, CACHED);
        assert!(diverged.contains("PCA of vectors [0]: row 3 holds NaN"), "{diverged}");
        let alone = message(&|problem| problem.labels = (0..300).collect(), CACHED);
        assert!(alone.contains("Joint Bayesian of vectors [0]: none of the 300 people"), "{alone}");
        let vectors = VectorSlice { values: &sound.values, faces: 500, dimension: DIMENSION };
        let task = Task { train: &sound.train, labels: &sound.labels, pairs: &sound.pairs };
        assert!(matches!(Risk::prepare(&vectors, &task, &Settings::default(), &|_| false), Err(Error::Stopped)));
        let risk = sound.prepare(CACHED).unwrap();
        let stopped = risk.with_objective(&|| false, |objective| (objective.risk)(&[0]));
        assert!(matches!(stopped, Err(Error::Stopped)));
    }
}
