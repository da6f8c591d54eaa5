//! The selection stage.
use super::Error;
use super::fit::VectorFolder;
use super::people::People;
use super::selection::Selection;
use crate::face::patches::Patch;
use crate::train::interrupt::Interrupt;
use serde::{Deserialize, Serialize};
use std::path::Path;
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SelectSettings { pub size: usize, pub groups: usize }
impl Default for SelectSettings { fn default() -> Self { Self { size: 25, groups: 7 } } }
#[allow(clippy::too_many_arguments)]
pub fn select(_v: &VectorFolder, _p: &[Patch], _pe: &People, _seed: u64, _s: &SelectSettings, _o: &Path, _i: &Interrupt, _say: &dyn Fn(String)) -> Result<Option<Selection>, Error> { todo!() }
