//! People and pictures that a training set and a test set share: what was trained on tests nothing.

use super::duplicates::Duplicates;
use serde::Serialize;
use std::collections::HashMap;

/// What two data sets have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overlap {
    /// The name in either set of people whose names are the same: see [`people`].
    pub people: Vec<[String; 2]>,
    pub pictures: Vec<Duplicates>,
}

impl Overlap {
    /// What must be mended before one set tests the other.
    pub fn problems(&self) -> Vec<String> {
        let counts = [(self.people.len(), "people"), (self.pictures.len(), "pictures")];
        let found = counts.into_iter().filter(|&(count, _)| count > 0);
        found.map(|(count, what)| format!("{what} in both sets: {count}")).collect()
    }
}

/// The names that are in both lists, letter case, `_`, `-` and spaces aside, and `007` as `7`. Where either set numbers
/// its people in its own way, equal numbers mean nothing: the caller must know.
pub fn people(one: &[String], other: &[String]) -> Vec<[String; 2]> {
    let of_key: HashMap<String, &String> = other.iter().map(|name| (key(name), name)).collect();
    one.iter().filter_map(|name| Some([name.clone(), (*of_key.get(&key(name))?).clone()])).collect()
}

fn key(name: &str) -> String {
    let letters: String = name.chars().filter(|c| !matches!(c, '_' | '-') && !c.is_whitespace()).collect();
    let letters = letters.to_lowercase();
    match letters.trim_start_matches('0') {
        number if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => number.into(),
        _ => letters,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_does_not_hide_a_person() {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let one = names(&["Ann_Lee", "00712", "José_Núñez", "Bob"]);
        let other = names(&["712", "ann lee", "JOSÉ NÚÑEZ", "Bobby"]);
        let expected = [["Ann_Lee", "ann lee"], ["00712", "712"], ["José_Núñez", "JOSÉ NÚÑEZ"]];
        assert_eq!(people(&one, &other), expected.map(|pair| pair.map(String::from)));
    }
}
