//! A drawing in memory: inlined in a page or saved as a file.

use super::{Drawn, Error};
use crate::files::atomic_write;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::path::Path;

/// A drawing as the text of an SVG document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Svg(String);

impl Svg {
    /// Draws a picture of `size` pixels on white. `plot` names it in an error.
    pub(super) fn draw(
        plot: &'static str,
        size: (u32, u32),
        draw: impl FnOnce(&DrawingArea<SVGBackend, Shift>) -> Drawn,
    ) -> Result<Self, Error> {
        let mut text = String::new();
        {
            let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
            let drawn = root.fill(&WHITE).and_then(|()| draw(&root)).and_then(|()| root.present());
            drawn.map_err(|source| Error::Draw { plot, source })?;
        }
        Ok(Self(text))
    }

    /// The document: an `svg` element without an XML declaration.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Writes the document to the file `path`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        Ok(atomic_write(path, self.0.as_bytes())?)
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::Svg;

    /// The texts of a drawing, which must be well-formed XML with finite numbers.
    pub fn texts(svg: &Svg) -> Vec<String> {
        let document = roxmltree::Document::parse(svg.as_str()).unwrap();
        let attributes = || document.descendants().flat_map(|node| node.attributes());
        for attribute in attributes() {
            let words = attribute.value().split(|c: char| !c.is_alphabetic());
            assert!(words.into_iter().all(|word| word != "NaN" && word != "inf"), "{attribute:?}");
        }
        document
            .descendants()
            .filter(|node| node.is_text())
            .map(|node| node.text().unwrap().trim().to_owned())
            .collect()
    }
}
