//! Scores of held-out pairs: `held-out.csv`, a line a pair, `a,b,same,fold,score` with numbers of faces.
//!
//! They are those of models of the people that networks were trained on: the verifier itself may be fitted to everybody.

use super::Error;
use crate::data::pairs::{Pair, PairList};
use crate::face::index::AlignedFaces;
use crate::files::atomic_write;
use std::fmt::Write;
use std::path::Path;

/// Scored pairs of held-out people.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldOut {
    /// People in the pairs' folders.
    pub people: usize,
    /// Numbers of faces.
    pub pairs: Vec<Pair>,
    /// One a pair.
    pub scores: Vec<f64>,
}

impl HeldOut {
    /// Writes the file.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let mut text = format!("# {} people\na,b,same,fold,score\n", self.people);
        for (pair, score) in self.pairs.iter().zip(&self.scores) {
            let Pair { a, b, same, fold } = pair;
            writeln!(text, "{a},{b},{},{fold},{score:?}", u8::from(*same)).expect("a string takes what is written");
        }
        Ok(atomic_write(path, text.as_bytes())?)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// A file that is missing, or a line that is no pair.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.into(), source })?;
        let wrong = |line: usize| Error::HeldOutLine { path: path.into(), line };
        let mut lines = text.lines().zip(1..);
        let people = lines.next().and_then(|(text, _)| text.strip_prefix("# ")?.strip_suffix(" people")?.parse().ok());
        let mut held = Self { people: people.ok_or_else(|| wrong(1))?, pairs: Vec::new(), scores: Vec::new() };
        for (text, line) in lines.skip(1) {
            let [a, b, same, fold, score] = text.split(',').collect::<Vec<_>>()[..] else { return Err(wrong(line)) };
            let number = |text: &str| text.parse::<u32>().map_err(|_| wrong(line));
            held.pairs.push(Pair { a: number(a)?, b: number(b)?, same: number(same)? == 1, fold: number(fold)? });
            held.scores.push(score.parse().map_err(|_| wrong(line))?);
        }
        Ok(held)
    }

    /// The pairs as pictures of the aligned faces.
    pub fn list(&self, faces: &AlignedFaces) -> PairList {
        PairList {
            pictures: faces.faces().iter().map(|face| face.path.clone()).collect(),
            folds: self.pairs.iter().map(|pair| pair.fold + 1).max().unwrap_or(1),
            pairs: self.pairs.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_loaded_and_bad_lines_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("held-out.csv");
        let pair = |a, b, same, fold| Pair { a, b, same, fold };
        let held = HeldOut {
            people: 3,
            pairs: vec![pair(0, 7, true, 0), pair(3, 2, false, 1)],
            scores: vec![1.0 / 3.0, -1e-300],
        };
        held.save(&path).unwrap();
        assert_eq!(HeldOut::load(&path).unwrap(), held);
        let text = std::fs::read_to_string(&path).unwrap().replace("3,2,0,1", "3,2,0");
        std::fs::write(&path, text).unwrap();
        assert!(HeldOut::load(&path).unwrap_err().to_string().contains("held-out.csv, line 4"));
    }
}
