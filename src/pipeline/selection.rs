//! The choice of vectors: `selection.json`.

use super::Error;
use super::vectors::SIDES;
use crate::face::patches::PATCHES;
use crate::files::atomic_write;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::Path;

/// What `deepid2 select` chose, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// Vectors of each group, in the order of choice.
    groups: Vec<Vec<usize>>,
}

impl Selection {
    /// A choice.
    pub fn new(groups: Vec<Vec<usize>>) -> Self {
        Self { groups }
    }

    /// The vectors of each group.
    pub fn groups(&self) -> Vec<Vec<usize>> {
        self.groups.clone()
    }

    /// Reads a choice.
    ///
    /// # Errors
    /// A file that is missing or no choice.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.into(), source })?;
        let selection: Self = serde_json::from_slice(&bytes)
            .map_err(|error| Error::NotSelection { path: path.into(), message: error.to_string() })?;
        selection.check().map_err(|(group, message)| Error::Group { path: path.into(), group, message })?;
        Ok(selection)
    }

    /// Makes sure that every group holds vectors that exist, and none twice.
    ///
    /// # Errors
    /// The number of the group, from 1, and what is wrong with it.
    pub fn check(&self) -> Result<(), (usize, String)> {
        let mut taken = HashSet::new();
        for (number, group) in (1..).zip(&self.groups) {
            if group.is_empty() {
                return Err((number, "no vectors".into()));
            }
            for vector in group {
                if *vector >= SIDES * PATCHES {
                    return Err((number, format!("vector {vector}: expected 0 to {}", SIDES * PATCHES - 1)));
                }
                if !taken.insert(vector) {
                    return Err((number, format!("vector {vector} is chosen twice")));
                }
            }
        }
        Ok(())
    }

    /// Saves the choice, in whole or not at all.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let json = serde_json::to_string_pretty(self).expect("plain numbers");
        Ok(atomic_write(path, json.as_bytes())?)
    }
}
