//! `.pts` files, in which 300-W keeps the landmarks of a picture:
//!
//! ```text
//! version: 1
//! n_points: 68
//! {
//! 36.367 71.654
//! …
//! }
//! ```
//!
//! Coordinates count from 1: the centre of the picture's first pixel is `1 1`. Files of 68 points
//! (300-W) and of 21 (ours, see [`super::points`]) are read. A point may lie outside the picture.

use super::points::{IBUG_POINTS, LANDMARKS, Shape, from_ibug};
use std::path::{Path, PathBuf};

/// Why landmarks cannot be read. Every message names the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: cannot be read: {source}; put a picture's landmarks beside it, in a .pts file of its name")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}, line {line}: expected {expected}, found `{found}`; correct the line or remove the file")]
    Line { path: PathBuf, line: usize, expected: String, found: String },
    #[error("{path}: the file ends where {expected} was expected; complete it or remove it")]
    End { path: PathBuf, expected: String },
}

/// Reads the landmarks in the file `path`, counted from 0.
///
/// # Errors
/// A file that cannot be read, or is no `.pts` file of 21 or 68 points.
pub fn read(path: &Path) -> Result<Shape, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.into(), source })?;
    parse(path, &String::from_utf8_lossy(&bytes))
}

/// The non-empty lines of a file, with their numbers.
struct Lines<'a, I> {
    path: &'a Path,
    lines: I,
}

impl<'a, I: Iterator<Item = (usize, &'a str)>> Lines<'a, I> {
    /// What `read` makes of the next line.
    fn next<T>(&mut self, expected: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, Error> {
        let path = || self.path.to_path_buf();
        let (line, text) = self.lines.next().ok_or_else(|| Error::End { path: path(), expected: expected.into() })?;
        read(text).ok_or_else(|| Error::Line {
            path: path(),
            line,
            expected: expected.into(),
            found: text.chars().take(60).collect(),
        })
    }
}

fn parse(path: &Path, text: &str) -> Result<Shape, Error> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let mut lines = Lines { path, lines: lines.filter(|(_, line)| !line.is_empty()) };
    let entry = |text: &str, key: &str| {
        text.strip_prefix(key).and_then(|rest| rest.trim().strip_prefix(':')).map(|value| value.trim().to_string())
    };
    lines.next("`version: 1`", |text| entry(text.trim_start_matches('\u{feff}'), "version"))?;
    let count = lines.next("`n_points: 21` or `n_points: 68`", |text| {
        entry(text, "n_points")?.parse::<usize>().ok().filter(|count| [LANDMARKS, IBUG_POINTS].contains(count))
    })?;
    lines.next("`{`", |text| (text == "{").then_some(()))?;
    let mut points = Vec::with_capacity(count);
    for number in 1..=count {
        points.push(lines.next(&format!("x and y of point {number} of {count}"), point)?);
    }
    lines.next(&format!("`}}` after {count} points"), |text| (text == "}").then_some(()))?;
    Ok(match <&[[f32; 2]; IBUG_POINTS]>::try_from(points.as_slice()) {
        Ok(points) => from_ibug(points),
        Err(_) => std::array::from_fn(|index| points[index]),
    })
}

/// `x y`, counted from 1, as a point counted from 0.
fn point(text: &str) -> Option<[f32; 2]> {
    let mut numbers = text.split_ascii_whitespace().map(|number| number.parse::<f32>().ok());
    let (x, y) = (numbers.next()??, numbers.next()??);
    (numbers.next().is_none() && x.is_finite() && y.is_finite()).then_some([x - 1.0, y - 1.0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::synth::format_pts;

    fn text_of(count: usize) -> String {
        let points: String = (0..count).map(|i| format!("{}.5 {}\n", i + 1, 2 * i + 1)).collect();
        format!("version: 1\nn_points: {count}\n{{\n{points}}}\n")
    }

    fn read_text(text: &str) -> Result<Shape, Error> {
        parse(Path::new("dir/face.pts"), text)
    }

    #[test]
    fn files_of_68_points_become_21_and_count_from_0() {
        let shape = read_text(&text_of(68)).unwrap();
        assert_eq!(shape[0], [17.5, 34.0]);
        assert_eq!(shape[7], [39.0, 77.0]);
    }

    #[test]
    fn files_of_21_points_are_read_as_they_are_written() {
        let shape: Shape = std::array::from_fn(|i| [i as f32 - 3.25, 130.5 + i as f32]);
        assert_eq!(read_text(&format_pts(&shape)).unwrap(), shape);
        let windows = format_pts(&shape).replace('\n', "\r\n").replace("n_points: ", "n_points:  ");
        assert_eq!(read_text(&windows).unwrap(), shape);
        assert_eq!(read_text(&format!("\u{feff}{}", format_pts(&shape))).unwrap(), shape);
    }

    #[test]
    fn bad_files_are_explained_by_line() {
        let good = text_of(21);
        for (bad, expected) in [
            (String::new(), vec!["ends", "version: 1"]),
            ("JFIF".into(), vec!["line 1", "version: 1", "JFIF"]),
            (good.replace("n_points: 21", "n_points: 5"), vec!["line 2", "n_points: 68", "n_points: 5"]),
            (good.replace('{', "["), vec!["line 3", "`{`", "`[`"]),
            (good.replace("3.5 5", "3.5"), vec!["line 6", "point 3 of 21", "`3.5`"]),
            (good.replace("3.5 5", "3.5 nan"), vec!["line 6", "3.5 nan"]),
            (good.replace("3.5 5", "3.5 5 6"), vec!["line 6", "3.5 5 6"]),
            (good.replace("3.5 5\n", ""), vec!["line 24", "point 21 of 21", "`}`"]),
            (good.replace("3.5 5\n", "3.5 5\n3.5 5\n"), vec!["line 25", "`}` after 21", "21.5 41"]),
            (good[..good.len() - 20].into(), vec!["ends", "of 21"]),
        ] {
            let message = read_text(&bad).unwrap_err().to_string();
            assert!(message.starts_with("dir/face.pts"), "{message}");
            assert!(expected.iter().all(|part| message.contains(part)), "{expected:?}: {message}");
        }
        let missing = read(Path::new("no/such.pts")).unwrap_err().to_string();
        assert!(missing.contains("no/such.pts") && missing.contains("beside it"), "{missing}");
    }
}
