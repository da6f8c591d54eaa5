//! The scores of a list of pairs.

use super::Error;
use super::recogniser::{Faces, Recogniser};
use crate::data::pairs::PairList;

/// What a bundle says of pairs.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// One a pair: the larger, the more like one person.
    pub scores: Vec<f64>,
    /// Photographs in which no face was detected, and which were judged by their middle; none where none was looked for.
    pub undetected: Option<usize>,
    /// The faces, one a photograph in the list's order.
    pub faces: Faces,
}

/// Scores the pairs of `list`; the recogniser must find one face in every photograph.
///
/// # Errors
/// A photograph without a face that can be used, or with several: a pair that is left out would make the test easier.
pub fn judge(recogniser: &mut Recogniser, list: &PairList, progress: &dyn Fn(usize)) -> Result<Judged, Error> {
    let faces = recogniser.faces(&list.pictures, progress)?;
    if let Some((path, reason)) = faces.rejected.first() {
        return Err(Error::of_photograph(path, reason));
    }
    if let Some(twice) = faces.found.windows(2).find(|two| two[0].path == two[1].path) {
        let count = faces.found.iter().filter(|face| face.path == twice[0].path).count();
        return Err(Error::SeveralFaces { path: twice[0].path.clone(), faces: count });
    }
    let scores = recogniser.verifier.score_pairs(&faces.reduced, &list.pairs)?;
    let undetected = recogniser.detects().then(|| faces.found.iter().filter(|face| !face.detected).count());
    Ok(Judged { scores, undetected, faces })
}
