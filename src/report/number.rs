//! A measured number with what is known of its uncertainty, written for people.

use super::style::short;
use crate::verify::bootstrap::Interval;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// A share of 1, written in percent with two decimals.
    Share,
    /// A plain number, with four decimals.
    Plain,
}

/// A measured number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Number {
    /// Such as `Accuracy`.
    pub name: String,
    /// `None` where it cannot be measured; the note says why.
    pub value: Option<f64>,
    pub unit: Unit,
    /// Of the mean over folds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_error: Option<f64>,
    /// At 95 %, by resampling people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// How it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Number {
    /// A share of 1 without anything else known.
    pub fn share(name: impl Into<String>, value: f64) -> Self {
        Self {
            name: name.into(),
            value: Some(value),
            unit: Unit::Share,
            standard_error: None,
            interval: None,
            note: None,
        }
    }

    /// A plain number without anything else known.
    pub fn plain(name: impl Into<String>, value: f64) -> Self {
        Self { unit: Unit::Plain, ..Self::share(name, value) }
    }

    /// A number that cannot be measured, and why.
    pub fn unmeasurable(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { value: None, ..Self::share(name, 0.0).with_note(why) }
    }

    /// With an interval, where there is one.
    pub fn with_interval(self, interval: Option<Interval>) -> Self {
        Self { interval, ..self }
    }

    /// With the standard error of a mean over folds, where there is one.
    pub fn with_standard_error(self, standard_error: Option<f64>) -> Self {
        Self { standard_error, ..self }
    }

    /// With how it was measured.
    pub fn with_note(self, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..self }
    }

    /// The value with its standard error, such as `87.30 ± 0.41 %`.
    pub fn value_text(&self) -> String {
        let Some(value) = self.value else { return "not measurable".into() };
        let error = self.standard_error.map(|error| format!(" ± {}", self.digits(error))).unwrap_or_default();
        format!("{}{error}{}", self.digits(value), self.suffix())
    }

    /// The interval, such as `95 % interval 86.10 to 88.42 %`.
    pub fn interval_text(&self) -> Option<String> {
        Some(format!("95 % interval {}", self.range_text()?))
    }

    /// The ends of the interval, such as `86.10 to 88.42 %`.
    pub fn range_text(&self) -> Option<String> {
        let Interval { low, high } = self.interval?;
        Some(format!("{} to {}{}", self.digits(low), self.digits(high), self.suffix()))
    }

    fn digits(&self, value: f64) -> String {
        match self.unit {
            Unit::Share => format!("{:.2}", 100.0 * value),
            Unit::Plain => format!("{value:.4}"),
        }
    }

    fn suffix(&self) -> &'static str {
        match self.unit {
            Unit::Share => " %",
            Unit::Plain => "",
        }
    }
}

/// `Accuracy 87.30 ± 0.41 % (95 % interval 86.10 to 88.42 %; threshold from the other folds)`.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.value_text())?;
        let rest: Vec<String> = self.interval_text().into_iter().chain(self.note.clone()).collect();
        if rest.is_empty() { Ok(()) } else { write!(f, " ({})", rest.join("; ")) }
    }
}

/// `0.001` as `0.1 %`: a false acceptance rate in a name.
pub fn rate(share: f64) -> String {
    format!("{} %", short(100.0 * share, 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_with_what_is_known() {
        let full = Number::share("Accuracy", 0.873)
            .with_standard_error(Some(0.0041))
            .with_interval(Some(Interval { low: 0.861, high: 0.8842 }))
            .with_note("threshold from the other folds");
        assert_eq!(
            full.to_string(),
            "Accuracy 87.30 ± 0.41 % (95 % interval 86.10 to 88.42 %; threshold from the other folds)"
        );
        assert_eq!(Number::plain("AUC", 0.95).to_string(), "AUC 0.9500");
        assert_eq!(Number::unmeasurable("TAR", "too few").to_string(), "TAR not measurable (too few)");
        assert_eq!((rate(0.001), rate(0.1)), ("0.1 %".into(), "10 %".into()));
        let json = serde_json::to_string(&full).unwrap();
        assert_eq!(serde_json::from_str::<Number>(&json).unwrap(), full);
        let short = serde_json::to_string(&Number::plain("AUC", 0.5)).unwrap();
        assert_eq!(short, r#"{"name":"AUC","value":0.5,"unit":"plain"}"#);
    }
}
