//! A page with all that was measured: one HTML file that needs no network and no scripts.
//!
//! | file | purpose |
//! |---|---|
//! | [`picture`] | pictures inside of the page |
//! | `sections.rs` | the page's parts as HTML |
//! | `page.css` | how it looks: light, dark and printed |
//!
//! The page is made with `maud`: templates are checked when they are compiled, all text is escaped
//! unless marked otherwise, and at run time it brings nothing along. (`askama` brings a parser and
//! more crates for the same; `minijinja` interprets templates at run time, where a misspelt name
//! shows late.)

pub mod picture;
mod sections;

use super::card::ModelCard;
use super::hashes::HashedFile;
use super::number::Number;
use super::{Error, Svg};
use crate::files::atomic_write;
use crate::verify::folds::CrossValidation;
use crate::verify::view1::View1;
use std::path::Path;

pub use picture::Picture;

/// All that a page can show; what is empty or `None` is left out. Text is plain text: the page
/// escapes it. The same content gives the same bytes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReportPage {
    pub title: String,
    /// What was measured with what on what, in a sentence or two.
    pub summary: String,
    /// The numbers that matter, first and large.
    pub verdict: Vec<Number>,
    /// All numbers, a table a verifier.
    pub tables: Vec<NumberTable>,
    /// LFW's View 1.
    pub view1: Option<View1>,
    /// LFW's View 2, or folds like it.
    pub folds: Option<CrossValidation>,
    /// Curves, histograms, spectra: in this order.
    pub figures: Vec<Figure>,
    /// Pairs as pictures.
    pub pairs: Vec<PairGroup>,
    /// The chosen patches, in the order of choice.
    pub patches: Vec<Picture>,
    /// Names and values of settings.
    pub settings: Vec<(String, String)>,
    /// Everything that the results came from.
    pub files: Vec<HashedFile>,
    pub card: Option<ModelCard>,
}

/// Numbers under a heading.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberTable {
    pub title: String,
    pub numbers: Vec<Number>,
}

/// A plot with a heading and what it says.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    pub title: String,
    pub svg: Svg,
    pub caption: String,
}

/// Pairs of one kind, the most telling first.
#[derive(Debug, Clone, PartialEq)]
pub struct PairGroup {
    pub title: String,
    /// What these pairs are.
    pub note: String,
    pub pairs: Vec<ShownPair>,
}

/// Two pictures and their distance.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownPair {
    pub pictures: [Picture; 2],
    pub distance: f64,
}

impl ReportPage {
    /// The page as an HTML document.
    pub fn html(&self) -> String {
        sections::page(self).into_string()
    }

    /// Writes the page to the file `path`, in whole or not at all.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        Ok(atomic_write(path, self.html().as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::card;
    use super::super::histogram::{Histogram, histogram_svg};
    use super::*;
    use crate::verify::bootstrap::Interval;
    use crate::verify::folds::FoldResult;
    use crate::verify::trials::Trials;
    use crate::verify::view1::view1;
    use html5gum::{Token, Tokenizer};

    const NASTY: &str = r#"<script>alert("x")</script> & 'Ann's' "Bob".jpg"#;

    fn picture(caption: &str) -> Picture {
        let grey = image::DynamicImage::new_luma8(6, 4);
        Picture::png(&grey, caption).unwrap()
    }

    fn full() -> ReportPage {
        let trials = Trials::new([(1.0, true), (2.0, true), (3.0, false), (4.0, false)]).unwrap();
        let pair = || ShownPair { pictures: [picture(NASTY), picture("b.jpg")], distance: 0.5 };
        let svg = histogram_svg(&Histogram { same: &[1.0, 2.0], different: &[3.0], threshold: Some(2.5), axis: NASTY });
        ReportPage {
            title: NASTY.into(),
            summary: NASTY.into(),
            verdict: vec![
                Number::share(NASTY, 0.9)
                    .with_standard_error(Some(0.01))
                    .with_interval(Some(Interval { low: 0.8, high: 0.95 }))
                    .with_note(NASTY),
                Number::plain("AUC", 0.99),
            ],
            tables: vec![NumberTable { title: NASTY.into(), numbers: vec![Number::share(NASTY, 0.5)] }],
            view1: Some(view1(&trials, &trials)),
            folds: Some(CrossValidation {
                folds: vec![
                    FoldResult { fold: 0, threshold: 1.5, accuracy: 0.875 },
                    FoldResult { fold: 1, threshold: 1.25, accuracy: 0.925 },
                ],
                mean: 0.9,
                standard_error: 0.025,
            }),
            figures: vec![Figure { title: NASTY.into(), svg: svg.unwrap(), caption: NASTY.into() }],
            pairs: vec![PairGroup { title: NASTY.into(), note: NASTY.into(), pairs: vec![pair(), pair()] }],
            patches: vec![picture(NASTY)],
            settings: vec![(NASTY.into(), NASTY.into())],
            files: vec![HashedFile { name: NASTY.into(), bytes: 1_234_567, sha256: "0f".repeat(32) }],
            card: Some(ModelCard { name: NASTY.into(), description: NASTY.into(), ..card::testing::card() }),
        }
    }

    /// Elements that have no content and no end tag (HTML Standard §13.1.2).
    const VOID: [&str; 13] =
        ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"];

    /// Parses a document by the letter of HTML5: no parse error, each element ended where it should
    /// be, no id twice, each local link led somewhere. Returns its elements and its text.
    fn checked(html: &str) -> (Vec<String>, String) {
        let (mut open, mut elements, mut text): (Vec<String>, Vec<String>, String) = Default::default();
        let (mut ids, mut links): (Vec<String>, Vec<String>) = Default::default();
        let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        assert!(html.starts_with("<!DOCTYPE html>"));
        for token in Tokenizer::new(html) {
            match token.unwrap() {
                Token::Error(error) => panic!("{error:?}"),
                Token::StartTag(tag) => {
                    let name = utf8(&tag.name);
                    for (key, value) in &tag.attributes {
                        let value = utf8(value);
                        match key.as_slice() {
                            b"id" => ids.push(value),
                            b"href" => links.push(value),
                            b"src" => assert!(value.starts_with("data:image/"), "{value}"),
                            key => assert!(!key.starts_with(b"on"), "a script"),
                        }
                    }
                    if !tag.self_closing && !VOID.contains(&name.as_str()) {
                        open.push(name.clone());
                    }
                    elements.push(name);
                }
                Token::EndTag(tag) => assert_eq!(open.pop(), Some(utf8(&tag.name))),
                Token::String(string) => text += &utf8(&string),
                Token::Comment(_) | Token::Doctype(_) => {}
            }
        }
        assert!(open.is_empty(), "{open:?}");
        for link in links {
            assert!(link.strip_prefix('#').is_some_and(|id| ids.iter().any(|found| found == id)), "{link}");
        }
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count, "an id twice");
        (elements, text)
    }

    #[test]
    fn a_full_page_is_valid_escaped_and_self_contained() {
        let html = full().html();
        let (elements, text) = checked(&html);
        for element in ["svg", "img", "table", "figure", "h1", "style"] {
            assert!(elements.iter().any(|found| found == element), "{element}");
        }
        assert!(!elements.iter().any(|name| ["script", "link", "iframe", "object"].contains(&name.as_str())));
        assert!(!html.contains("http://www.w3.org/1999/xhtml") && !html.contains("https://"));
        assert!(!html.contains("@import") && !html.contains("url("));
        // Each part shows its text as it was given.
        assert!(text.matches(NASTY).count() >= 13, "{}", text.matches(NASTY).count());
        for part in
            ["90.00 ± 1.00 %", "95 % interval 80.00 to 95.00 %", "87.50 %", &"0f".repeat(32), "1,234,567", "View 1"]
        {
            assert!(text.contains(part), "{part}");
        }
    }

    #[test]
    fn an_empty_page_is_valid_and_short() {
        let (elements, text) = checked(&ReportPage { title: "Nothing".into(), ..ReportPage::default() }.html());
        assert!(!elements.iter().any(|name| name == "table" || name == "img" || name == "svg"), "{elements:?}");
        assert!(text.contains("Nothing"));
    }

    #[test]
    fn the_same_content_gives_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one.html", "two.html"].map(|name| folder.path().join(name));
        full().write(&one).unwrap();
        full().write(&two).unwrap();
        assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
        let message = full().write(&folder.path().join("no/such/page.html")).unwrap_err().to_string();
        assert!(message.contains("create the folder"), "{message}");
    }
}
