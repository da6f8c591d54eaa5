//! Photographs grouped by person: average-linkage clustering of the faces' scores, cut at the verifier's threshold.
//!
//! Two clusters are joined while the mean score between their faces is at least the threshold, the most alike first. A
//! mistaken pair that is less alike than true ones then joins nobody, where single linkage would chain two people together.

use super::Error;
use super::recogniser::{Faces, Recogniser};
use kodama::{Method, linkage};

/// The number of the person on each face, by the order of their first faces.
///
/// # Errors
/// Faces reduced by another bundle.
pub fn cluster(recogniser: &Recogniser, faces: &Faces, threshold: f64) -> Result<Vec<usize>, Error> {
    let verifier = &recogniser.verifier;
    let prepared = verifier.prepare(&faces.reduced)?;
    Ok(cut(faces.found.len(), threshold, &|a, b| verifier.score(&prepared, a, &prepared, b)))
}

/// Clusters `count` things by their scores.
fn cut(count: usize, threshold: f64, score: &dyn Fn(usize, usize) -> f64) -> Vec<usize> {
    let mut cluster_of: Vec<usize> = (0..count).collect();
    if count > 1 {
        let mut distances: Vec<f64> =
            (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))).map(|(a, b)| -score(a, b)).collect();
        // Average linkage takes any dissimilarities; means of negated scores are negated means.
        let dendrogram = linkage(&mut distances, count, Method::Average);
        let mut members: Vec<Vec<usize>> = (0..count).map(|at| vec![at]).collect();
        for step in dendrogram.steps() {
            let joined = [&members[step.cluster1][..], &members[step.cluster2][..]].concat();
            if -step.dissimilarity >= threshold {
                let first = joined.iter().copied().min().unwrap_or_default();
                joined.iter().for_each(|&at| cluster_of[at] = first);
            }
            members.push(joined);
        }
    }
    let mut seen = Vec::new();
    cluster_of
        .into_iter()
        .map(|first| {
            seen.iter().position(|known| *known == first).unwrap_or_else(|| {
                seen.push(first);
                seen.len() - 1
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_cut_at_the_threshold_and_one_link_does_not_chain() {
        // Two people, {0, 2, 4} and {1, 3, 5}, and one mistaken pair (0, 1), less alike than true ones.
        let score = |a: usize, b: usize| match (a.min(b), a.max(b)) {
            (0, 1) => 3.0,
            (a, b) if a % 2 == b % 2 => 4.0,
            _ => -10.0,
        };
        assert_eq!(cut(6, 0.0, &score), [0, 1, 0, 1, 0, 1]);
        assert_eq!(cut(6, 6.0, &score), [0, 1, 2, 3, 4, 5]);
        assert_eq!(cut(6, -20.0, &score), [0; 6]);
        assert_eq!(cut(1, 0.0, &score), [0]);
        assert!(cut(0, 0.0, &score).is_empty());
    }
}
