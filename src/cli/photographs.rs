//! What commands on raw photographs have in common.

use anyhow::Result;
use clap::Args;
use deepid2::bundle::Bundle;
use deepid2::bundle::recogniser::Faces;
use deepid2::face::aligner::{FaceChoice, Search};
use deepid2::face::detect::DetectSettings;
use deepid2::gpu::Gpu;
use indicatif::ProgressBar;
use std::path::Path;

/// Photographs a pass through the networks.
const BATCH: usize = 64;
/// Side of the middle square that is taken for a face where none is detected, over the picture's shorter side: the
/// detector's boxes in pictures cut as LFW's are.
const MIDDLE: f32 = 0.5;
/// Photographs without a face that are named; the rest is counted.
const NAMED: usize = 5;

#[derive(Debug, Args)]
pub struct PhotographArgs {
    /// Which face of a photograph: largest, central or all [default: as the bundle was made]
    #[arg(long, value_name = "WHICH")]
    face: Option<FaceChoice>,
    /// The pictures are cropped to their faces: take the middle square of this share of the shorter side
    #[arg(long, value_name = "SHARE", num_args = 0..=1, default_missing_value = "0.6", allow_negative_numbers = true)]
    no_detect: Option<f32>,
}

impl PhotographArgs {
    /// Opens a bundle; `default` replaces its choice of face where the user has none.
    pub fn open(&self, gpu: &Gpu, bundle: &Path, default: Option<FaceChoice>) -> Result<Bundle> {
        let search = self.no_detect.map(|share| Search::Middle { share });
        Ok(Bundle::open(gpu, bundle, BATCH, self.face.or(default), search)?)
    }

    /// Opens a bundle to judge pairs: the face in the middle is the person named, and where none is detected the middle
    /// is taken for one, since a pair that is left out would make the test easier.
    pub fn open_for_evaluation(&self, gpu: &Gpu, bundle: &Path) -> Result<Bundle> {
        let search = match self.no_detect {
            Some(share) => Search::Middle { share },
            None => Search::DetectOrMiddle { settings: DetectSettings::default(), share: MIDDLE },
        };
        Ok(Bundle::open(gpu, bundle, BATCH, self.face.or(Some(FaceChoice::Central)), Some(search))?)
    }
}

/// A bar over `photographs` photographs.
pub fn bar(photographs: usize) -> ProgressBar {
    ProgressBar::new(photographs as u64)
}

/// Names photographs without a face on standard error: nothing is dropped silently.
pub fn report_rejected(faces: &Faces) {
    for (path, reason) in faces.rejected.iter().take(NAMED) {
        eprintln!("left out: {}: {reason}", path.display());
    }
    if faces.rejected.len() > NAMED {
        eprintln!("left out: {} more", faces.rejected.len() - NAMED);
    }
}
