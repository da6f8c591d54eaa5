//! What the documents quote and name is what the repository holds.

use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A fenced block whose first line is "```language path".
struct Quote {
    path: String,
    text: String,
}

/// Code blocks in languages that are quoted from files; one without a path is a mistake.
fn quotes(document: &str) -> Vec<Quote> {
    let text = read(document);
    let mut lines = text.lines();
    let mut quotes = Vec::new();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let (language, path) = info.split_once(' ').unwrap_or((info, ""));
        if ["rust", "wgsl", "toml"].contains(&language) {
            assert!(!path.is_empty(), "{document}: a {language} block names no file: {block:?}");
            quotes.push(Quote { path: path.into(), text: block.join("\n") + "\n" });
        }
    }
    quotes
}

#[test]
fn contributing_quotes_its_example_in_full() {
    for path in ["tests/contributing_example.wgsl", "tests/contributing_example.rs"] {
        let parts: Vec<String> =
            quotes("CONTRIBUTING.md").into_iter().filter(|quote| quote.path == path).map(|quote| quote.text).collect();
        let (quoted, file) = (parts.join("\n"), read(path));
        for (number, (quoted, line)) in quoted.lines().zip(file.lines()).enumerate() {
            assert_eq!(quoted, line, "CONTRIBUTING.md does not quote {path} from line {} on", number + 1);
        }
        assert_eq!(quoted.len(), file.len(), "CONTRIBUTING.md quotes a part of {path} only, or more than there is");
    }
}

#[test]
fn every_quote_is_verbatim() {
    for document in ["CONTRIBUTING.md", "README.md"] {
        for Quote { path, text } in quotes(document) {
            assert!(read(&path).contains(&text), "{document} quotes {path}, which does not contain:\n{text}");
        }
    }
}

#[test]
fn the_table_of_results_is_made_from_the_results() {
    let program = std::process::Command::new(env!("CARGO_BIN_EXE_deepid2"))
        .args(["bench", "report"])
        .arg(root().join("benches/results"))
        .output()
        .unwrap();
    assert!(program.status.success(), "{}", String::from_utf8_lossy(&program.stderr));
    let made = String::from_utf8(program.stdout).unwrap();
    assert!(
        made == read("benches/RESULTS.md"),
        "benches/RESULTS.md is not what its results give: deepid2 bench report benches/results --out benches/RESULTS.md"
    );
}

#[test]
fn every_file_named_exists() {
    for document in ["CONTRIBUTING.md", "README.md"] {
        let text = read(document);
        // The text between pairs of backticks; fences are three of them and keep the parity.
        let named: Vec<&str> = text.split('`').skip(1).step_by(2).filter(|code| is_file_name(code)).collect();
        assert!(!named.is_empty() || document == "README.md", "{document} names no file: is the search broken?");
        let missing: Vec<&str> = named.into_iter().filter(|path| !root().join(path).exists()).collect();
        assert!(missing.is_empty(), "{document} names files that do not exist: {missing:?}");
    }
}

/// A path inside the repository: folders, a name and an ending that source files have.
fn is_file_name(code: &str) -> bool {
    let plain = code.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-./".contains(c));
    let ending = PathBuf::from(code).extension().is_some_and(|ending| {
        ["rs", "wgsl", "md", "toml", "sh", "py"].iter().any(|known| ending.eq_ignore_ascii_case(known))
    });
    plain && ending && code.contains('/') && !code.starts_with('/')
}
