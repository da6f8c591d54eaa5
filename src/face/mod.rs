//! From a photograph to a face in a known place.
//!
//! | file | purpose |
//! |---|---|
//! | [`picture`] | a photograph decoded, upright, and its luma |
//! | [`points`] | the 21 landmarks: order, names, mirror pairs, where they are among the 68 of 300-W |
//! | [`pts`] | `.pts` files of 21 or 68 points |
//! | [`detect`] | where faces are (SeetaFace, through the `rustface` crate) |
//! | [`sift`] | the 128-d descriptor of the surroundings of a point |
//! | [`sdm`] | the Supervised Descent Method: a cascade of ridge regressions from a face box to landmarks |
//! | [`annotated`] | folders of pictures with `.pts` files, and which are held out |
//! | [`boxes`] | how detected boxes and annotated landmarks lie to each other |
//! | [`ridge`] | linear regression with a penalty, on more rows than memory holds |
//! | [`training`] | fits the cascade to annotated pictures |
//! | [`landmark_model`] | a trained cascade and its file |
//! | [`similarity`] | least-squares similarity transforms (Umeyama) |
//! | [`canonical`] | the frame of aligned pictures and the average face in it |
//! | [`mod@align`] | a picture resampled to the frame |
//! | [`index`] | the folder of aligned pictures and its index |
//! | [`aligner`] | a photograph to its aligned faces |
//! | [`align_folder`] | photographs to a folder of aligned pictures, resumable |
//! | [`patches`] | the table of 200 patches: 20 regions × 5 scales × RGB or gray |
//! | [`patch_cut`] | a patch cut out of an aligned picture |
//! | [`accuracy`] | how far a model's landmarks are from the annotated ones |
//! | [`draw`] | landmarks painted on pictures, and the list of the 21 drawn |
//! | [`sheet`] | the contact sheet of a face's patches |

pub mod accuracy;
pub mod align;
pub mod align_folder;
pub mod aligner;
pub mod annotated;
pub mod boxes;
pub mod canonical;
pub mod detect;
pub mod draw;
pub mod index;
pub mod landmark_model;
pub mod patch_cut;
pub mod patches;
pub mod picture;
pub mod points;
pub mod pts;
pub mod ridge;
pub mod sdm;
pub mod sheet;
pub mod sift;
pub mod similarity;
pub mod training;

pub use points::{LANDMARK_NAMES, LANDMARKS, MIRRORED_LANDMARKS, Shape};
