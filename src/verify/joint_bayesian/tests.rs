use super::testing::*;
use super::*;
use approx::{assert_abs_diff_eq, assert_relative_eq};
use nalgebra::DVector;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn settings(iterations: usize) -> Settings {
    Settings { iterations, tolerance: 0.0, ..Settings::default() }
}

fn fit(faces: &Faces, settings: &Settings) -> (JointBayesian, Vec<Iteration>) {
    let mut iterations = Vec::new();
    let model = JointBayesian::fit(&faces.rows, &faces.labels, faces.dimension, settings, &mut |&i| iterations.push(i))
        .unwrap();
    (model, iterations)
}

/// The largest step down of `value` from one iteration to the next, as a share of its size.
fn worst_fall(iterations: &[Iteration], value: impl Fn(&Iteration) -> f64) -> f64 {
    let fall = |pair: &[Iteration]| (value(&pair[0]) - value(&pair[1])) / value(&pair[0]).abs();
    iterations.windows(2).map(fall).fold(f64::NEG_INFINITY, f64::max)
}

#[test]
fn two_people_in_one_dimension_have_a_closed_form() {
    // Deviations ±1 within people, whose means are at ±10 around 3: ML of the balanced one-way
    // random-effects model is Sε = SSW/(C(m−1)) = 4/2 = 2 and Sε + m·Sμ = m·Σmean²/C = 200, so Sμ = 99.
    let faces = Faces { rows: vec![12.0, 14.0, -8.0, -6.0], labels: vec![9, 9, 4, 4], dimension: 1 };
    // The likelihood is flat at its top: where it stops changing, its arguments have half its digits.
    let (model, _) = fit(&faces, &settings(2000));
    assert_eq!(model.mean(), [3.0]);
    assert_relative_eq!(model.s_eps()[0], 2.0, max_relative = 1e-6);
    assert_relative_eq!(model.s_mu()[0], 99.0, max_relative = 1e-6);
    assert_relative_eq!(model.ratios()[0], 49.5, max_relative = 1e-6);
}

#[test]
fn balanced_people_in_many_dimensions_have_a_closed_form() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let (s_mu, s_eps) = (covariance(3, 4.0, &mut rng), covariance(3, 1.0, &mut rng));
    let faces = faces(&s_mu, &s_eps, &[4; 60], 12);
    let (model, _) = fit(&faces, &settings(3000));
    let (mut within, mut between) = (Matrix::zeros(3, 3), Matrix::zeros(3, 3));
    for images in people(&faces, model.mean()) {
        let mean = images.column_mean();
        between += &mean * mean.transpose() * 4.0;
        images.column_iter().map(|image| image - &mean).for_each(|rest| within += &rest * rest.transpose());
    }
    let expected_eps = within / (60.0 * 3.0);
    let expected_mu = (between / 60.0 - &expected_eps) / 4.0;
    assert_abs_diff_eq!(model.s_eps, expected_eps, epsilon = 1e-6);
    assert_abs_diff_eq!(model.s_mu, expected_mu, epsilon = 1e-6);
}

#[test]
fn the_ratio_of_unit_variances_is_that_of_two_bivariate_gaussians() {
    let model = JointBayesian::from_covariances(&[1.0], &[1.0], &[1.0]).unwrap();
    // Around the mean 1: one person's pair has covariance [2 1; 1 2], two people's [2 0; 0 2].
    // LLR = ½·log(4/3) − ½·(2a² − 2ab + 2b²)/3 + ½·(a² + b²)/2
    for (a, b) in [(0.0f64, 0.0f64), (1.0, 1.0), (1.0, -1.0), (3.0, 0.5)] {
        let expected = 0.5 * (4.0f64 / 3.0).ln() - (a * a - a * b + b * b) / 3.0 + (a * a + b * b) / 4.0;
        let found = model.llr(&[(a + 1.0) as f32], &[(b + 1.0) as f32]).unwrap();
        assert_abs_diff_eq!(found, expected, epsilon = 1e-12);
    }
}

proptest! {
    #[test]
    fn the_ratio_is_that_of_gaussians_of_the_stacked_pair(dimension in 1usize..9, seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (s_mu, s_eps) = (covariance(dimension, 2.0, &mut rng), covariance(dimension, 0.5, &mut rng));
        let mean: Vec<f64> = (0..dimension).map(|_| normal(&mut rng)).collect();
        let model = JointBayesian::from_covariances(&mean, s_mu.as_slice(), s_eps.as_slice()).unwrap();
        let rows: Vec<f32> = (0..4 * dimension).map(|_| 2.0 * normal(&mut rng) as f32).collect();
        let row = |i: usize| &rows[i * dimension..][..dimension];
        let same = stacked_covariance(&s_mu, &s_eps, 2);
        let different = Matrix::identity(2, 2).kronecker(&(&s_mu + &s_eps));
        // PAPER §5, letter by letter.
        let inverse = |matrix: &Matrix| matrix.clone().try_inverse().unwrap();
        let f = inverse(&s_eps);
        let g = -(inverse(&(&s_mu * 2.0 + &s_eps)) * &s_mu * &f);
        let a = inverse(&(&s_mu + &s_eps)) - (&f + &g);
        let log_determinant = |matrix: Matrix| matrix.determinant().ln();
        let prepared = model.prepare(&rows).unwrap();
        let pairs: Vec<(u32, u32)> = (0..4).flat_map(|i| (0..4).map(move |j| (i, j))).collect();
        let batch = prepared.llr_of_pairs(&pairs).unwrap();
        for (&(i, j), &score) in pairs.iter().zip(&batch) {
            let (i, j) = (i as usize, j as usize);
            let less_mean = |i: usize| DVector::from_iterator(dimension, row(i).iter().zip(&mean).map(|(&x, m)| f64::from(x) - m));
            let (x1, x2) = (less_mean(i), less_mean(j));
            let stacked = DVector::from_iterator(2 * dimension, x1.iter().chain(x2.iter()).copied());
            let expected = log_gaussian(&stacked, &same) - log_gaussian(&stacked, &different);
            prop_assert!((score - expected).abs() < 1e-9, "{score} is not {expected}");
            let r = x1.dot(&(&a * &x1)) + x2.dot(&(&a * &x2)) - 2.0 * x1.dot(&(&g * &x2));
            let paper = 0.5 * (r + 2.0 * log_determinant(&s_mu + &s_eps) - log_determinant(s_eps.clone())
                - log_determinant(&s_mu * 2.0 + &s_eps));
            prop_assert!((score - paper).abs() < 1e-8, "{score} is not {paper}");
            prop_assert_eq!(score, model.llr(row(i), row(j)).unwrap());
            prop_assert_eq!(score, prepared.llr(j, i));
        }
    }

    #[test]
    fn the_likelihood_is_that_of_gaussians_of_stacked_people(dimension in 1usize..5, seed: u64) {
        let faces = random_faces(6, 5, dimension, seed);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (s_mu, s_eps) = (covariance(dimension, 1.0, &mut rng), covariance(dimension, 1.0, &mut rng));
        let mean = vec![0.25; dimension];
        let model = JointBayesian::from_covariances(&mean, s_mu.as_slice(), s_eps.as_slice()).unwrap();
        let expected = log_likelihood(&people(&faces, &mean), &s_mu, &s_eps);
        let found = model.log_likelihood(&faces.rows, &faces.labels).unwrap();
        prop_assert!((found - expected).abs() < 1e-9 * expected.abs(), "{found} is not {expected}");
    }

    #[test]
    fn iterations_are_those_of_the_paper(dimension in 1usize..5, exact: bool, seed: u64) {
        let faces = random_faces(20, 5, dimension, seed);
        let em = if exact { Em::Exact } else { Em::Approximate };
        let fitted = |iterations| fit(&faces, &Settings { em, ..settings(iterations) }).0;
        let (before, after) = (fitted(1), fitted(2));
        let (s_mu, s_eps) = em_by_the_book(&people(&faces, before.mean()), &before.s_mu, &before.s_eps, exact);
        prop_assert!((&after.s_mu - &s_mu).amax() < 1e-8 * s_mu.amax());
        prop_assert!((&after.s_eps - &s_eps).amax() < 1e-8 * s_eps.amax());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]
    #[test]
    fn the_likelihood_never_falls(
        people in 12usize..40, most_images in 2usize..9, dimension in 1usize..7, shrinkage in 0.0f64..0.9, seed: u64,
    ) {
        let faces = random_faces(people, most_images, dimension, seed);
        prop_assume!(faces.labels.len() - people > dimension);
        let (_, plain) = fit(&faces, &settings(60));
        prop_assert!(plain.len() > 2);
        prop_assert!(worst_fall(&plain, |i| i.log_likelihood) < 1e-12);
        prop_assert!(plain.iter().all(|i| i.objective == i.log_likelihood));
        let (_, shrunk) = fit(&faces, &Settings { shrinkage, ..settings(60) });
        prop_assert!(worst_fall(&shrunk, |i| i.objective) < 1e-12);
    }
}

#[test]
fn known_covariances_are_recovered() {
    let mut rng = ChaCha8Rng::seed_from_u64(21);
    let (s_mu, s_eps) = (covariance(5, 2.0, &mut rng), covariance(5, 1.0, &mut rng));
    let counts: Vec<usize> = (0..3000).map(|person| 1 + person % 8).collect();
    let (model, iterations) = fit(&faces(&s_mu, &s_eps, &counts, 22), &Settings::default());
    // 3,000 draws determine a covariance to a share of about √(2/3000), 0.026.
    assert!((&model.s_mu - &s_mu).norm() < 0.1 * s_mu.norm(), "{} is not {s_mu}", model.s_mu);
    assert!((&model.s_eps - &s_eps).norm() < 0.05 * s_eps.norm(), "{} is not {s_eps}", model.s_eps);
    assert!(iterations.len() < 100, "the likelihood did not settle");
}

#[test]
fn the_approximation_falls_where_exact_em_rises() {
    let faces = random_faces(200, 4, 6, 31);
    let (_, exact) = fit(&faces, &settings(40));
    let (_, approximate) = fit(&faces, &Settings { em: Em::Approximate, ..settings(40) });
    assert!(worst_fall(&exact, |i| i.log_likelihood) <= 1e-12);
    assert!(worst_fall(&approximate, |i| i.log_likelihood) > 1e-4);
    let (first, last) = (approximate[0].log_likelihood, approximate[40].log_likelihood);
    assert!(last < first && exact[40].log_likelihood > exact[0].log_likelihood);
}

#[test]
fn full_shrinkage_is_a_sphere_of_the_mean_variance() {
    let faces = random_faces(30, 5, 4, 41);
    let (model, _) = fit(&faces, &Settings { shrinkage: 1.0 - 1e-9, ..settings(5) });
    let statistics = Statistics::around(&faces.rows, &faces.labels, model.mean()).unwrap();
    let scale = statistics.within.trace() / (4 * (faces.labels.len() - 30)) as f64;
    assert_abs_diff_eq!(model.s_eps, Matrix::identity(4, 4) * scale, epsilon = 1e-6);
}

#[test]
fn the_order_of_rows_does_not_matter_but_for_rounding_and_threads_not_at_all() {
    let faces = random_faces(300, 9, 20, 51);
    let with_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (model, iterations) = fit(&faces, &settings(10));
            let scores = model.prepare(&faces.rows).unwrap().llr_of_pairs(&[(0, 1), (5, 400), (7, 7)]).unwrap();
            (model, iterations, scores)
        })
    };
    let one = with_threads(1);
    assert_eq!(one, with_threads(4));
    let turned = Faces {
        rows: faces.rows.chunks(20).rev().flatten().copied().collect(),
        labels: faces.labels.iter().rev().copied().collect(),
        dimension: 20,
    };
    assert_abs_diff_eq!(fit(&turned, &settings(10)).0.s_mu, one.0.s_mu, epsilon = 1e-9);
}

#[test]
fn a_model_survives_its_matrices() {
    let (model, _) = fit(&random_faces(30, 5, 4, 61), &settings(5));
    let matrices = model.to_matrices();
    assert_eq!(JointBayesian::from_matrices(&matrices).unwrap(), model);
    let mut damaged = matrices.clone();
    damaged[2].values[0] = -1.0;
    assert!(matches!(JointBayesian::from_matrices(&damaged), Err(Error::NotPositiveDefinite)));
    damaged[2].values.pop();
    assert!(JointBayesian::from_matrices(&damaged).unwrap_err().to_string().contains("jb.s_eps"));
    let refused = JointBayesian::from_covariances(&[0.0], &[1.0, 2.0], &[1.0]).unwrap_err().to_string();
    assert!(refused.contains("`jb.s_mu`: expected 1×1"), "{refused}");
}

#[test]
fn what_cannot_be_fitted_is_named() {
    let message = |rows: &[f32], labels: &[u32], dimension, settings: &Settings| {
        JointBayesian::fit(rows, labels, dimension, settings, &mut |_| {}).unwrap_err().to_string()
    };
    let plain = Settings::default();
    assert!(message(&[1.0, 2.0, 3.0], &[0], 2, &plain).contains("3 values are not a whole number of rows"));
    assert!(message(&[1.0, 2.0], &[0], 1, &plain).contains("1 identity labels for 2 rows"));
    assert!(message(&[1.0, f32::INFINITY], &[0, 1], 1, &plain).contains("row 1 holds inf"));
    assert!(message(&[1.0, 2.0], &[5, 5], 1, &plain).contains("1 people"));
    assert!(message(&[], &[], 1, &plain).contains("0 people"));
    assert!(message(&[1.0, 2.0], &[0, 1], 1, &plain).contains("none of the 2 people has more than one picture"));
    for (settings, name) in [
        (Settings { iterations: 0, ..plain }, "iterations"),
        (Settings { tolerance: f64::NAN, ..plain }, "tolerance"),
        (Settings { shrinkage: 1.0, ..plain }, "shrinkage"),
    ] {
        assert!(message(&[1.0], &[0], 1, &settings).contains(&format!("setting `{name}`")));
    }
}

#[test]
fn a_singular_covariance_says_what_to_do() {
    let fitted = |rows: &[f32], labels: &[u32], dimension, shrinkage| {
        JointBayesian::fit(rows, labels, dimension, &Settings { shrinkage, ..Settings::default() }, &mut |_| {})
    };
    // Three dimensions, two differences within people.
    let rows = [1.0, 0.0, 0.5, 0.0, 1.0, 0.2, 3.0, 3.0, 0.1, 5.0, 2.0, 0.9];
    let message = fitted(&rows, &[0, 0, 1, 1], 3, 0.0).unwrap_err().to_string();
    for part in [
        "at dimension 3 of 3",
        "4 pictures of 2 people give 2 differences",
        "shrinkage above 0",
        "fewer PCA dimensions",
        "add pictures",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(fitted(&rows, &[0, 0, 1, 1], 3, 0.1).is_ok());
    // A dimension that is always 0, and one that is the sum of two others.
    let mut rng = ChaCha8Rng::seed_from_u64(71);
    let labels: Vec<u32> = (0..40).map(|i| i / 4).collect();
    let mut dead: Vec<f32> = (0..120).map(|_| rng.random_range(-1.0..1.0)).collect();
    let mut dependent = dead.clone();
    dead.chunks_exact_mut(3).for_each(|row| row[1] = 0.0);
    dependent.chunks_exact_mut(3).for_each(|row| row[2] = row[0] + row[1]);
    assert!(matches!(fitted(&dead, &labels, 3, 0.0), Err(Error::Singular { at: 2, .. })));
    assert!(matches!(fitted(&dependent, &labels, 3, 0.0), Err(Error::Singular { at: 3, .. })));
    // Small scales are not singular.
    let tiny: Vec<f32> = dependent.chunks_exact(3).flat_map(|row| [row[0], 1e-12 * row[1]]).collect();
    assert!(fitted(&tiny, &labels, 2, 0.0).is_ok());
}

#[test]
fn rows_that_cannot_be_scored_are_named() {
    let model = JointBayesian::from_covariances(&[0.0, 0.0], &[1.0, 0.0, 0.0, 1.0], &[1.0, 0.0, 0.0, 1.0]).unwrap();
    assert!(model.llr(&[1.0], &[1.0, 2.0]).unwrap_err().to_string().contains("1 values"));
    assert!(model.llr(&[1.0, f32::NAN], &[1.0, 2.0]).unwrap_err().to_string().contains("row 0 holds NaN"));
    let prepared = model.prepare(&[1.0; 6]).unwrap();
    assert_eq!(prepared.len(), 3);
    let refused = prepared.llr_of_pairs(&[(0, 1), (1, 3)]).unwrap_err().to_string();
    assert_eq!(refused, "pair 1 names row 3, but there are 3");
    assert!(model.prepare(&[]).unwrap().is_empty());
}
