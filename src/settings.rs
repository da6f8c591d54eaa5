//! Comparing the settings of two runs.

use serde::Serialize;
use std::fmt;

/// A setting that is not the same in two runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its name, with the names of the tables that it is in: `learning_rate.base`.
    pub name: String,
    /// As TOML, or `absent`.
    pub before: String,
    pub now: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {} in the run and {} now", self.name, self.before, self.now)
    }
}

/// The first setting, in the order of their names, in which `now` is not as `before`.
///
/// # Panics
/// When the settings are not what a TOML table holds.
pub fn first_difference<T: Serialize>(before: &T, now: &T) -> Option<Difference> {
    in_tables("", &table(before), &table(now))
}

/// Settings as they are written to a file. By way of its text: a table made of them directly has 64 bits for each number, of
/// which 0.6 in 32 is 0.6000000238418579.
pub fn table<T: Serialize>(settings: &T) -> toml::Table {
    let text = toml::to_string(settings).expect("plain numbers and text, which TOML can hold");
    toml::from_str(&text).expect("what was just written")
}

fn in_tables(prefix: &str, before: &toml::Table, now: &toml::Table) -> Option<Difference> {
    let new = now.keys().filter(|key| !before.contains_key(*key));
    let mut keys: Vec<&String> = before.keys().chain(new).collect();
    keys.sort();
    keys.into_iter().find_map(|key| match (before.get(key), now.get(key)) {
        (Some(toml::Value::Table(before)), Some(toml::Value::Table(now))) => {
            in_tables(&format!("{prefix}{key}."), before, now)
        }
        (before, now) if before == now => None,
        (before, now) => {
            let text = |value: Option<&toml::Value>| value.map_or("absent".into(), ToString::to_string);
            Some(Difference { name: format!("{prefix}{key}"), before: text(before), now: text(now) })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Serialize)]
    struct Inner {
        size: u32,
    }

    #[derive(Clone, Serialize)]
    struct Settings {
        name: &'static str,
        patch: Option<u32>,
        inner: Inner,
    }

    #[test]
    fn differences_are_named_in_depth_and_on_either_side() {
        let one = Settings { name: "a", patch: None, inner: Inner { size: 1 } };
        assert_eq!(first_difference(&one, &one.clone()), None);
        let deep = Settings { inner: Inner { size: 2 }, ..one.clone() };
        assert_eq!(first_difference(&one, &deep).unwrap().to_string(), "inner.size is 1 in the run and 2 now");
        let more = Settings { patch: Some(3), ..one.clone() };
        assert_eq!(first_difference(&one, &more).unwrap().to_string(), "patch is absent in the run and 3 now");
        assert_eq!(first_difference(&more, &one).unwrap().to_string(), "patch is 3 in the run and absent now");
        let other = Settings { name: "b", patch: Some(3), ..deep };
        assert_eq!(first_difference(&one, &other).unwrap().name, "inner.size");
    }
}
