//! What commands on raw photographs have in common.

use super::align::FaceArg;
use anyhow::{Result, bail};
use clap::Args;
use deepid2::bundle::Bundle;
use deepid2::bundle::recogniser::Faces;
use deepid2::face::aligner::{FaceChoice, Search};
use deepid2::gpu::Gpu;
use indicatif::ProgressBar;
use std::path::Path;

/// Photographs a pass through the networks.
const BATCH: usize = 64;
/// Photographs without a face that are named; the rest is counted.
const NAMED: usize = 5;

#[derive(Debug, Args)]
pub struct PhotographArgs {
    /// For bundles: which faces of a photograph, the largest, the one nearest to its middle, or all [default: all for
    /// `cluster` and `find`'s gallery, central for `eval`, the bundle's own for `embed`; where one person is to be compared,
    /// a photograph of several is refused]
    #[arg(long, value_enum)]
    face: Option<FaceArg>,
    /// For bundles: the pictures are cropped to their faces: take the square in their middle instead of looking for faces
    #[arg(long)]
    no_detect: bool,
    /// For bundles: side of the square in the middle, as a share of the picture's shorter side
    #[arg(long, allow_negative_numbers = true, value_name = "SHARE", default_value_t = super::FACE_SHARE)]
    face_share: f32,
}

impl PhotographArgs {
    /// Refuses what a model of cropped faces would ignore.
    pub fn refuse_for_model(&self) -> Result<()> {
        if self.face.is_some() || self.no_detect {
            bail!("--face and --no-detect are for bundles; a model takes pictures as they are, leave the options out");
        }
        Ok(())
    }

    /// Opens a bundle; `default` replaces its choice of face where the user has none.
    pub fn open(&self, gpu: &Gpu, bundle: &Path, default: Option<FaceChoice>) -> Result<Bundle> {
        self.open_searching(gpu, bundle, default, |search| search)
    }

    /// Opens a bundle to judge pairs: the face in the middle is the person named, and where none is detected the middle
    /// is taken for one, since a pair that is left out would make the test easier.
    pub fn open_for_evaluation(&self, gpu: &Gpu, bundle: &Path) -> Result<Bundle> {
        self.open_searching(gpu, bundle, Some(FaceChoice::Central), |search| match search {
            Search::Detect(settings) => Search::DetectOrMiddle { settings, share: self.face_share },
            search => search,
        })
    }

    /// Opens a bundle, with faces looked for as `search` makes of the bundle's own way, if at all.
    fn open_searching(
        &self,
        gpu: &Gpu,
        bundle: &Path,
        default: Option<FaceChoice>,
        search: impl FnOnce(Search) -> Search,
    ) -> Result<Bundle> {
        let face = self.face.map(FaceChoice::from).or(default);
        let middle = Search::Middle { share: self.face_share };
        let opened = Bundle::open(gpu, bundle, BATCH, face, |own| if self.no_detect { middle } else { search(own) })?;
        if !self.no_detect && !opened.recogniser.detects() {
            eprintln!(
                "{}: made of pictures that are cropped to their faces (--no-detect): no face is looked for, the middle of each \
                 picture is taken for one; give cropped pictures, or a bundle that was made of whole photographs",
                bundle.display()
            );
        }
        Ok(opened)
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
