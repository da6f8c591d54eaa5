//! The choice of vectors: `selection.json`.

use super::Error;
use crate::files::atomic_write;
use serde::{Deserialize, Serialize};
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
        serde_json::from_slice(&bytes)
            .map_err(|error| Error::NotSelection { path: path.into(), message: error.to_string() })
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
