//! From a photograph to a face in a known place.
//!
//! | file | purpose |
//! |---|---|
//! | [`similarity`] | least-squares similarity transforms (Umeyama) |
//! | [`canonical`] | the frame of aligned pictures and the average face in it |
//! | [`mod@align`] | a picture resampled to the frame |
//! | [`patches`] | the table of 200 patches: 20 regions × 5 scales × RGB or gray |
//! | [`patch_cut`] | a patch cut out of an aligned picture |

pub mod align;
pub mod canonical;
pub mod patch_cut;
pub mod patches;
pub mod similarity;
