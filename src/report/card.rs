//! The model card (Mitchell et al., *Model Cards for Model Reporting*, FAT* 2019): what a model was
//! trained and evaluated on, what it is for, and what it must not be used for.

use super::hashes::HashedFile;
use super::number::{Number, rate};
use super::style::distance;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write as _};

/// Width that the text is broken to.
const WIDTH: usize = 100;

/// What people should know of a model before they use it. Parts that are empty are left out of the
/// text and of the page, but for what it must not be used for and its limits, which
/// [`ModelCard::new`] fills.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCard {
    pub name: String,
    /// What the model does, in a sentence or two.
    pub description: String,
    /// Data sets, with the numbers of people and pictures.
    #[serde(default)]
    pub trained_on: Vec<String>,
    #[serde(default)]
    pub evaluated_on: Vec<Evaluation>,
    #[serde(default)]
    pub operating_point: Option<OperatingPoint>,
    #[serde(default)]
    pub intended_use: Vec<String>,
    #[serde(default)]
    pub must_not_be_used_for: Vec<String>,
    #[serde(default)]
    pub limits: Vec<String>,
    /// Files that it was made from, and of which it consists.
    #[serde(default)]
    pub provenance: Vec<HashedFile>,
}

/// Numbers measured on some pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Which pairs, such as `LFW View 2, 10 folds`.
    pub on: String,
    /// Pairs of one person.
    pub same: u64,
    /// Pairs of different people.
    pub different: u64,
    /// People in them, where known.
    #[serde(default)]
    pub people: Option<u64>,
    pub numbers: Vec<Number>,
}

/// What the model's threshold does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatingPoint {
    /// Pairs at most this far apart are accepted as one person, or, of a score, those of at least this.
    pub threshold: f64,
    /// Whether the threshold is one of a score, which grows with likeness, rather than of a distance.
    #[serde(default)]
    pub is_score: bool,
    /// Which pairs it was chosen on.
    pub chosen_on: String,
    /// Which pairs the counts below are of.
    pub measured_on: String,
    /// Pairs of different people, and how many of them were accepted.
    pub different: u64,
    pub false_matches: u64,
    /// Pairs of one person, and how many of them were rejected.
    pub same: u64,
    pub false_non_matches: u64,
}

impl OperatingPoint {
    /// The same, where distances were negated scores.
    #[must_use]
    pub fn of_score(self) -> Self {
        Self { threshold: -self.threshold, is_score: true, ..self }
    }

    /// In words; what was never seen is bounded by the rule of three (Hanley & Lippman-Hand, JAMA
    /// 249(13), 1983): 0 of n leaves, at 95 %, rates up to 3/n.
    pub fn sentences(&self) -> Vec<String> {
        let of = |count: u64, all: u64| match (count, all) {
            (_, 0) => "not measured".into(),
            (0, _) => format!("0 of {all}, that is below {} at 95 % confidence", rate(round_up(3.0 / all as f64))),
            _ => format!("{:.2} % ({count} of {all})", 100.0 * count as f64 / all as f64),
        };
        let accepted = match self.is_score {
            true => format!("Two pictures that score at least {}", distance(self.threshold)),
            false => format!("Two pictures at most {} apart", distance(self.threshold)),
        };
        vec![
            format!("{accepted} count as one person; chosen on {}.", self.chosen_on),
            format!(
                "On {}: false match rate {}; false non-match rate {}.",
                self.measured_on,
                of(self.false_matches, self.different),
                of(self.false_non_matches, self.same)
            ),
            "Among strangers in a gallery, false matches add up: searching n faces has about n times the false match rate of one comparison.".into(),
        ]
    }
}

/// To two digits, never down: a bound stays one.
fn round_up(share: f64) -> f64 {
    let unit = 10f64.powf(share.log10().floor() - 1.0);
    ((share / unit - 1e-9).ceil() * unit).min(1.0)
}

impl ModelCard {
    /// A card with the intended use, the forbidden uses and the limits that hold for every model of
    /// this program.
    pub fn new(name: impl Into<String>, description: impl Into<String>) -> Self {
        let all = |items: &[&str]| items.iter().map(|&item| item.into()).collect();
        Self {
            name: name.into(),
            description: description.into(),
            trained_on: Vec::new(),
            evaluated_on: Vec::new(),
            operating_point: None,
            intended_use: all(&INTENDED_USE),
            must_not_be_used_for: all(&FORBIDDEN_USE),
            limits: all(&LIMITS),
            provenance: Vec::new(),
        }
    }

    /// The parts that are lists, each with its heading, those that hold something.
    pub fn sections(&self) -> Vec<(&'static str, Vec<String>)> {
        let evaluated = self.evaluated_on.iter().map(Evaluation::sentence).collect();
        let operating_point = self.operating_point.as_ref().map(OperatingPoint::sentences).unwrap_or_default();
        let files = self.provenance.iter().map(|file| format!("{}  {} ({} bytes)", file.sha256, file.name, file.bytes));
        let sections = vec![
            ("Trained on", self.trained_on.clone()),
            ("Evaluated on", evaluated),
            ("At its threshold", operating_point),
            ("Intended use", self.intended_use.clone()),
            ("Must not be used for", self.must_not_be_used_for.clone()),
            ("Limits", self.limits.clone()),
            ("Provenance (SHA-256)", files.collect()),
        ];
        sections.into_iter().filter(|(_, items)| !items.is_empty()).collect()
    }
}

impl Evaluation {
    fn sentence(&self) -> String {
        let people = self.people.map(|people| format!(", {people} people")).unwrap_or_default();
        let mut text =
            format!("{}: {} pairs of one person, {} of different people{people}", self.on, self.same, self.different);
        for (index, number) in self.numbers.iter().enumerate() {
            let _ = write!(text, "{} {number}", if index == 0 { "." } else { ";" });
        }
        text + "."
    }
}

const INTENDED_USE: [&str; 3] = [
    "Research and teaching: to study how face verification works and how well.",
    "One-to-one comparison of two photographs of adults who know of it and agree.",
    "Sorting one's own photographs, where a mistake costs nothing.",
];

const FORBIDDEN_USE: [&str; 6] = [
    "Surveillance: finding, following or counting people in public places, crowds or other people's pictures.",
    "Decisions about people without a human who looks at the pictures, can overrule and answers for it: police, border, work, housing, credit, school, benefits.",
    "Children and young people: they are not known to be among the people it was evaluated on.",
    "The only lock on anything: a photograph of a face passes for the face; there is no test that it is alive.",
    "Guessing who a stranger is, or their origin, sex, age, health, mood, belief or character.",
    "People who were not asked, and wherever the law or the data's licence forbids it.",
];

const LIMITS: [&str; 4] = [
    "Bias between groups of people (skin, sex, age, origin) has not been measured. Error rates of face verification are known to differ between such groups by large factors; assume that these do.",
    "All figures hold for pictures like those it was evaluated on. Others (masks, dark, blurred, seen from the side, years apart) are worse.",
    "The threshold is a choice, not a fact: another purpose needs another balance of false matches and false non-matches.",
    "No verdict is certain: of pairs of strangers, the share that the false match rate says are taken for one person; look-alikes and relatives more often.",
];

/// The card as text of at most 100 columns, but for hashes with the names of their files.
impl fmt::Display for ModelCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.name)?;
        writeln!(f, "{}", "=".repeat(self.name.chars().count()))?;
        for line in wrapped(&self.description, WIDTH) {
            writeln!(f, "{line}")?;
        }
        for (heading, items) in self.sections() {
            writeln!(f, "\n{heading}")?;
            for item in items {
                let mut bullet = "  - ";
                for line in wrapped(&item, WIDTH - bullet.len()) {
                    writeln!(f, "{bullet}{line}")?;
                    bullet = "    ";
                }
            }
        }
        Ok(())
    }
}

/// `text` in lines of at most `width` characters, broken between words but not between a number and
/// its `%`. Words that are longer stay whole.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    const GLUE: char = '\u{1f}';
    let mut lines: Vec<String> = Vec::new();
    for word in text.replace(" %", &format!("{GLUE}%")).split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.into()),
        }
    }
    lines.into_iter().map(|line| line.replace(GLUE, " ")).collect()
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::verify::bootstrap::Interval;

    pub fn card() -> ModelCard {
        ModelCard {
            trained_on: vec!["218 people, 4,312 pictures of <celebrities> & others".into()],
            evaluated_on: vec![Evaluation {
                on: "pairs.txt".into(),
                same: 1500,
                different: 1500,
                people: Some(612),
                numbers: vec![
                    Number::share("Accuracy", 0.88).with_interval(Some(Interval { low: 0.87, high: 0.89 })),
                    Number::plain("AUC", 0.95),
                ],
            }],
            operating_point: Some(OperatingPoint {
                threshold: 1.25,
                is_score: false,
                chosen_on: "held-out people".into(),
                measured_on: "pairs.txt".into(),
                different: 1500,
                false_matches: 0,
                same: 1500,
                false_non_matches: 30,
            }),
            provenance: vec![HashedFile { name: "best.safetensors".into(), bytes: 12, sha256: "ab".repeat(32) }],
            ..ModelCard::new("A model", "Tells whether two pictures show one person.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_what_the_card_holds() {
        let text = testing::card().to_string();
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [
            "A model ======= Tells",
            "Trained on - 218 people",
            "pairs.txt: 1500 pairs of one person, 1500 of different people, 612 people. Accuracy 88.00 % (95 % interval 87.00 to 89.00 %); AUC 0.9500.",
            "Two pictures at most 1.25 apart",
            "false match rate 0 of 1500, that is below 0.2 % at 95 % confidence; false non-match rate 2.00 % (30 of 1500)",
            "Must not be used for - Surveillance",
            "Children",
            "Bias between groups",
            &"ab".repeat(32),
        ] {
            assert!(flat.contains(part), "{part}: {text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH || line.contains("abab")), "{text}");
    }

    #[test]
    fn empty_parts_are_left_out() {
        let bare = ModelCard { intended_use: vec![], ..ModelCard::new("m", "d") };
        let headings: Vec<_> = bare.sections().into_iter().map(|(heading, _)| heading).collect();
        assert_eq!(headings, ["Must not be used for", "Limits"]);
    }

    #[test]
    fn cards_read_back() {
        let card = testing::card();
        assert_eq!(serde_json::from_str::<ModelCard>(&serde_json::to_string(&card).unwrap()).unwrap(), card);
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrapped("right in 95 % of\nall", 11), ["right in", "95 % of all"]);
        assert_eq!(wrapped("a-very-long-word b", 4), ["a-very-long-word", "b"]);
        assert!(wrapped(" ", 4).is_empty());
    }

    #[test]
    fn bounds_are_rounded_up() {
        assert_eq!([0.002, 0.00301, 0.99999].map(rate_of_bound), ["0.2 %", "0.31 %", "100 %"].map(String::from));
        fn rate_of_bound(share: f64) -> String {
            rate(round_up(share))
        }
        let unknown = OperatingPoint { different: 0, ..testing::card().operating_point.unwrap() };
        assert!(unknown.sentences()[1].contains("false match rate not measured"));
    }
}
