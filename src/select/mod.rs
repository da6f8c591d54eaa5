//! Which of a face's vectors to use: DeepID2 §3.3 keeps 25 of 400.
//!
//! | file | purpose |
//! |---|---|
//! | [`foba`] | forward-backward greedy selection of elements under any risk |
//! | [`groups`] | selections one after the other, each from what the others left |
//! | [`risk`] | the risk of a set of vectors: PCA and Joint Bayesian on pairs of other people |

pub mod foba;
pub mod groups;
pub mod risk;
