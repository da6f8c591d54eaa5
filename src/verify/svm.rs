//! A linear support vector machine with hinge loss: fuses the seven Joint Bayesian scores of a pair
//! into one (DeepID2 §4.3).
//!
//! ```text
//! min over w, b   ½(‖w‖² + b²) + C·Σ max(0, 1 − yᵢ(w·xᵢ + b)),   y = +1 for one person, −1 for two
//! ```
//!
//! Scores are standardised first, so that C means the same whatever their scale, and the bias is the
//! weight of a feature that is always 1, as in LIBLINEAR. Solved by dual coordinate descent (Hsieh et
//! al., ICML 2008, algorithm 1) in random orders from a fixed seed, until the duality gap proves how
//! close the optimum is.
//!
//! Written here because no crate fits: `smartcore` and `linfa-svm` solve the kernel problem by SMO, whose
//! cost grows with the square of the pairs, and `linfa-svm` brings `ndarray` and a second linear
//! algebra; neither reports how far from the optimum it stopped. `liblinear` is this algorithm, and
//! needs a C++ compiler.

use super::matrices::{self, NamedMatrix, find};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Why there is no machine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{values} scores and {labels} labels are not pairs with {dimension} scores each")]
    Rows { values: usize, labels: usize, dimension: usize },
    #[error("score {score} of pair {pair} is {value}; expected a finite number")]
    NotFinite { pair: usize, score: usize, value: f64 },
    #[error("{same} pairs of one person and {different} of different people; an SVM needs both")]
    OneKind { same: usize, different: usize },
    #[error("setting `{name}` is {value}; expected {expected}")]
    Setting { name: &'static str, value: f64, expected: &'static str },
    #[error(
        "after {passes} passes the objective is still within {gap} of the optimum only, not within {tolerance}; lower the cost {cost}, or raise `passes` or `tolerance`"
    )]
    NotConverged { passes: usize, gap: f64, tolerance: f64, cost: f64 },
    #[error(transparent)]
    Matrices(#[from] matrices::Error),
}

/// How the machine is trained.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// C, the weight of a pair's loss beside ½‖w‖² for standardised scores.
    pub cost: f64,
    /// Stop when the objective is proven to be within this share of the optimum.
    pub tolerance: f64,
    /// At most so many passes over the pairs.
    pub passes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { cost: 1.0, tolerance: 1e-3, passes: 20_000 }
    }
}

/// A trained machine: `weights`·scores + `bias`, positive for one person.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearSvm {
    /// For scores as they are, not standardised.
    weights: Vec<f64>,
    bias: f64,
}

impl LinearSvm {
    /// Trains on `scores` (pairs × `dimension`); `same[i]` says whether pair i shows one person.
    ///
    /// # Errors
    /// Lengths that do not fit, values that are not finite, settings that make no sense, pairs of one
    /// kind only, or passes that do not suffice.
    pub fn fit(scores: &[f64], dimension: usize, same: &[bool], settings: &Settings) -> Result<Self, Error> {
        check(scores, dimension, same, settings)?;
        let scaling = Scaling::of(scores, dimension);
        let rows = scaling.signed_rows(scores, same);
        let (w, passes, gap) = dual_coordinate_descent(&rows, dimension + 1, settings);
        if gap > settings.tolerance {
            let (tolerance, cost) = (settings.tolerance, settings.cost);
            return Err(Error::NotConverged { passes, gap, tolerance, cost });
        }
        let weights: Vec<f64> = w.iter().zip(&scaling.deviation).map(|(w, deviation)| w / deviation).collect();
        let bias = w[dimension] - dot(&weights, &scaling.mean);
        Ok(Self { weights, bias })
    }

    /// The weight of each score.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    pub fn bias(&self) -> f64 {
        self.bias
    }

    /// `weights`·scores + `bias`: the larger, the more alike; one person where it is positive.
    ///
    /// # Panics
    /// When there are not as many scores as weights.
    pub fn decision(&self, scores: &[f64]) -> f64 {
        assert_eq!(scores.len(), self.weights.len(), "scores of another number of groups");
        dot(&self.weights, scores) + self.bias
    }

    /// Everything that [`LinearSvm::from_matrices`] needs.
    pub fn to_matrices(&self) -> Vec<NamedMatrix> {
        let row = |name, values: Vec<f64>| NamedMatrix { name, rows: 1, columns: values.len(), values };
        vec![row("svm.weights", self.weights.clone()), row("svm.bias", vec![self.bias])]
    }

    /// The machine that [`LinearSvm::to_matrices`] described, to the last bit.
    ///
    /// # Errors
    /// Matrices that are missing, of another shape, or not finite.
    pub fn from_matrices(matrices: &[NamedMatrix]) -> Result<Self, Error> {
        let weights = find(matrices, "svm.weights", Some(1), None)?.values.clone();
        Ok(Self { weights, bias: find(matrices, "svm.bias", Some(1), Some(1))?.values[0] })
    }
}

fn check(scores: &[f64], dimension: usize, same: &[bool], settings: &Settings) -> Result<(), Error> {
    if dimension == 0 || same.len().checked_mul(dimension) != Some(scores.len()) {
        return Err(Error::Rows { values: scores.len(), labels: same.len(), dimension });
    }
    if let Some(at) = scores.iter().position(|value| !value.is_finite()) {
        return Err(Error::NotFinite { pair: at / dimension, score: at % dimension, value: scores[at] });
    }
    let positive = |value: f64| value > 0.0 && value.is_finite();
    for (name, value) in [("cost", settings.cost), ("tolerance", settings.tolerance)] {
        if !positive(value) {
            return Err(Error::Setting { name, value, expected: "a number above 0" });
        }
    }
    if settings.passes == 0 {
        return Err(Error::Setting { name: "passes", value: 0.0, expected: "at least 1" });
    }
    let positives = same.iter().filter(|same| **same).count();
    if positives == 0 || positives == same.len() {
        return Err(Error::OneKind { same: positives, different: same.len() - positives });
    }
    Ok(())
}

struct Scaling {
    mean: Vec<f64>,
    /// 1 for a score that never changes, which then counts for nothing.
    deviation: Vec<f64>,
}

impl Scaling {
    fn of(scores: &[f64], dimension: usize) -> Self {
        let pairs = scores.chunks_exact(dimension);
        let count = pairs.len() as f64;
        let mut mean = vec![0.0; dimension];
        pairs.clone().for_each(|row| mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += x / count));
        let mut deviation = vec![0.0; dimension];
        for row in pairs {
            for ((deviation, x), mean) in deviation.iter_mut().zip(row).zip(&mean) {
                *deviation += (x - mean).powi(2) / count;
            }
        }
        for (deviation, mean) in deviation.iter_mut().zip(&mean) {
            // Below this the differences are rounding of the mean.
            let constant = *deviation <= (f64::EPSILON * mean).powi(2) * count;
            *deviation = if constant { 1.0 } else { deviation.sqrt() };
        }
        Self { mean, deviation }
    }

    /// Standardised scores and a 1, all times the label y = ±1: pairs × (dimension + 1).
    fn signed_rows(&self, scores: &[f64], same: &[bool]) -> Vec<f64> {
        let mut rows = Vec::with_capacity(scores.len() + same.len());
        for (row, &same) in scores.chunks_exact(self.mean.len()).zip(same) {
            let sign = if same { 1.0 } else { -1.0 };
            rows.extend(row.iter().zip(&self.mean).zip(&self.deviation).map(|((x, m), d)| sign * (x - m) / d));
            rows.push(sign);
        }
        rows
    }
}

/// The weights, the passes it took, and the duality gap as a share of the objective. `rows` holds yᵢxᵢ.
fn dual_coordinate_descent(rows: &[f64], width: usize, settings: &Settings) -> (Vec<f64>, usize, f64) {
    let row = |i: usize| &rows[i * width..][..width];
    let count = rows.len() / width;
    let (mut alpha, mut w) = (vec![0.0; count], vec![0.0; width]);
    let curvature: Vec<f64> = (0..count).map(|i| dot(row(i), row(i))).collect();
    let mut order: Vec<usize> = (0..count).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut gap = f64::INFINITY;
    for pass in 1..=settings.passes {
        order.shuffle(&mut rng);
        for &i in &order {
            let old = alpha[i];
            // curvature ≥ 1: every row ends in ±1.
            let new = (old - (dot(&w, row(i)) - 1.0) / curvature[i]).clamp(0.0, settings.cost);
            if new != old {
                alpha[i] = new;
                w.iter_mut().zip(row(i)).for_each(|(w, x)| *w += (new - old) * x);
            }
        }
        // P − D = (½‖w‖² + C·Σ hinge) − (Σα − ½‖w‖²), w = Σ αᵢyᵢxᵢ.
        let square = dot(&w, &w);
        let hinge: f64 = (0..count).map(|i| (1.0 - dot(&w, row(i))).max(0.0)).sum();
        let primal = 0.5 * square + settings.cost * hinge;
        let dual = alpha.iter().sum::<f64>() - 0.5 * square;
        gap = (primal - dual) / primal.max(f64::MIN_POSITIVE);
        if gap <= settings.tolerance {
            return (w, pass, gap);
        }
    }
    (w, settings.passes, gap)
}

/// Over as many terms as the shorter has.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::RngExt;

    fn tight(cost: f64) -> Settings {
        Settings { cost, tolerance: 1e-9, passes: 200_000 }
    }

    /// The machine's objective for standardised scores, from its weights for scores as they are.
    fn objective(svm: (&[f64], f64), scores: &[f64], same: &[bool], cost: f64) -> f64 {
        let (weights, bias) = svm;
        let dimension = weights.len();
        let scaling = Scaling::of(scores, dimension);
        let scaled: Vec<f64> = weights.iter().zip(&scaling.deviation).map(|(w, d)| w * d).collect();
        let centre = bias + dot(weights, &scaling.mean);
        let loss = |(row, &same): (&[f64], &bool)| {
            let sign = if same { 1.0 } else { -1.0 };
            (1.0 - sign * (dot(weights, row) + bias)).max(0.0)
        };
        0.5 * (dot(&scaled, &scaled) + centre * centre)
            + cost * scores.chunks_exact(dimension).zip(same).map(loss).sum::<f64>()
    }

    #[test]
    fn two_points_are_cut_midway() {
        // Standardised to ±1: with hard margins w = 1, b = 0; as they are, (x − 5)/2.
        let svm = LinearSvm::fit(&[3.0, 7.0], 1, &[false, true], &tight(10.0)).unwrap();
        approx::assert_abs_diff_eq!(svm.weights()[0], 0.5, epsilon = 1e-6);
        approx::assert_abs_diff_eq!(svm.bias(), -2.5, epsilon = 1e-6);
        approx::assert_abs_diff_eq!(svm.decision(&[9.0]), 2.0, epsilon = 1e-6);
    }

    #[test]
    fn a_low_cost_bounds_the_multipliers() {
        // Two points at ±1: α = min(C, ½) each, w = 2α.
        for (cost, weight) in [(0.1, 0.2), (0.25, 0.5), (4.0, 1.0)] {
            let svm = LinearSvm::fit(&[-1.0, 1.0], 1, &[false, true], &tight(cost)).unwrap();
            approx::assert_abs_diff_eq!(svm.weights()[0], weight, epsilon = 1e-6);
        }
    }

    #[test]
    fn the_nearest_points_decide_a_separable_set() {
        // Scores ±1 and ±3 of variance 5, margins at ±1: w = 1 for scores as they are.
        let scores = [-3.0, -1.0, 1.0, 3.0];
        let svm = LinearSvm::fit(&scores, 1, &[false, false, true, true], &tight(100.0)).unwrap();
        approx::assert_abs_diff_eq!(svm.weights()[0], 1.0, epsilon = 1e-6);
        approx::assert_abs_diff_eq!(svm.bias(), 0.0, epsilon = 1e-6);
    }

    #[test]
    fn a_score_that_never_changes_counts_for_nothing() {
        let svm = LinearSvm::fit(&[-1.0, 0.1, 1.0, 0.1], 2, &[false, true], &Settings::default()).unwrap();
        assert_eq!(svm.weights()[1], 0.0);
    }

    /// Scores of pairs, shifted by the kind so that the kinds overlap.
    fn problem(pairs: usize, dimension: usize, seed: u64) -> (Vec<f64>, Vec<bool>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let same: Vec<bool> = (0..pairs).map(|pair| pair % 2 == 0).collect();
        let score = |same: bool, rng: &mut ChaCha8Rng| {
            let common = rng.random_range(-1.0..1.0);
            let shift = if same { 5.0 } else { 3.0 };
            (0..dimension)
                .map(|i| (1.0 + i as f64) * (common + shift + rng.random_range(-2.0..2.0)))
                .collect::<Vec<_>>()
        };
        (same.iter().flat_map(|&same| score(same, &mut rng)).collect(), same)
    }

    /// Subgradient descent with steps 1/t on the objective, which is 1-strongly convex (Pegasos); the
    /// best of all iterates.
    fn by_subgradients(scores: &[f64], dimension: usize, same: &[bool], cost: f64) -> f64 {
        let scaling = Scaling::of(scores, dimension);
        let rows = scaling.signed_rows(scores, same);
        let value = |w: &[f64]| {
            0.5 * dot(w, w) + cost * rows.chunks_exact(dimension + 1).map(|x| (1.0 - dot(w, x)).max(0.0)).sum::<f64>()
        };
        let (mut w, mut best) = (vec![0.0; dimension + 1], f64::INFINITY);
        for step in 1..20_000 {
            let mut gradient = w.clone();
            for x in rows.chunks_exact(dimension + 1).filter(|x| dot(&w, x) < 1.0) {
                gradient.iter_mut().zip(x).for_each(|(g, x)| *g -= cost * x);
            }
            w.iter_mut().zip(&gradient).for_each(|(w, g)| *w -= g / f64::from(step));
            best = best.min(value(&w));
        }
        best
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn subgradient_descent_finds_no_better(pairs in 4usize..40, dimension in 1usize..4, cost in 0.01f64..1.0, seed: u64) {
            let (scores, same) = problem(pairs, dimension, seed);
            let svm = LinearSvm::fit(&scores, dimension, &same, &tight(cost)).unwrap();
            let found = objective((svm.weights(), svm.bias()), &scores, &same, cost);
            let reference = by_subgradients(&scores, dimension, &same, cost);
            prop_assert!(found <= reference * (1.0 + 1e-8), "{found} is worse than {reference}");
            prop_assert!(found >= reference * 0.98, "{found} cannot be so much better than {reference}");
        }

        #[test]
        fn no_small_step_improves(pairs in 4usize..60, dimension in 1usize..8, seed: u64) {
            let (scores, same) = problem(pairs, dimension, seed);
            let svm = LinearSvm::fit(&scores, dimension, &same, &tight(1.0)).unwrap();
            let best = objective((svm.weights(), svm.bias()), &scores, &same, 1.0);
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            for _ in 0..50 {
                let moved: Vec<f64> = svm.weights().iter().map(|w| w + rng.random_range(-0.01..0.01)).collect();
                let bias = svm.bias() + rng.random_range(-0.01..0.01);
                prop_assert!(objective((&moved, bias), &scores, &same, 1.0) >= best * (1.0 - 1e-8));
            }
        }
    }

    #[test]
    fn seven_correlated_scores_are_fused_the_same_way_each_time() {
        let (scores, same) = problem(2000, 7, 5);
        let fit = || LinearSvm::fit(&scores, 7, &same, &Settings::default()).unwrap();
        let svm = fit();
        assert_eq!(svm, fit());
        assert_eq!(LinearSvm::from_matrices(&svm.to_matrices()).unwrap(), svm);
        let right = scores.chunks_exact(7).zip(&same).filter(|(row, same)| (svm.decision(row) > 0.0) == **same).count();
        let one_alone = |i: usize| {
            let column: Vec<f64> = scores.iter().skip(i).step_by(7).copied().collect();
            let alone = LinearSvm::fit(&column, 1, &same, &Settings::default()).unwrap();
            column.iter().zip(&same).filter(|(x, same)| (alone.decision(&[**x]) > 0.0) == **same).count()
        };
        assert!((0..7).all(|i| one_alone(i) < right));
    }

    #[test]
    fn what_cannot_be_trained_is_named() {
        let message = |scores: &[f64], dimension, same: &[bool], settings| {
            LinearSvm::fit(scores, dimension, same, &settings).unwrap_err().to_string()
        };
        let plain = Settings::default();
        let both = [true, false];
        assert!(message(&[1.0; 3], 2, &both, plain).contains("3 scores and 2 labels"));
        assert!(message(&[], 0, &[], plain).contains("0 scores each"));
        assert!(message(&[1.0, 2.0, 3.0, f64::NAN], 2, &both, plain).contains("score 1 of pair 1 is NaN"));
        assert!(message(&[1.0, 2.0], 1, &[true, true], plain).contains("2 pairs of one person and 0"));
        assert!(message(&[1.0, 2.0], 1, &both, Settings { cost: 0.0, ..plain }).contains("`cost` is 0"));
        assert!(message(&[1.0, 2.0], 1, &both, Settings { tolerance: f64::NAN, ..plain }).contains("`tolerance`"));
        assert!(message(&[1.0, 2.0], 1, &both, Settings { passes: 0, ..plain }).contains("`passes`"));
        let (scores, same) = problem(50, 3, 9);
        let slow = Settings { tolerance: 1e-12, passes: 1, ..plain };
        assert!(message(&scores, 3, &same, slow).contains("after 1 passes"));
    }
}
