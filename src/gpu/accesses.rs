//! The bindings that a kernel's text declares, the accesses to them, and its entry points.

use super::Kernel;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::ops::Range;

/// A `@binding(N) var<…> name: array<…>;` line.
pub(super) struct Binding<'a> {
    pub number: usize,
    pub name: &'a str,
    pub element: &'a str,
    /// `storage`, `storage, read`, `storage, read_write` or `uniform`.
    pub space: &'a str,
    /// Whether its comment says `in place`: what is stored there depends on no element but the one that it replaces.
    pub in_place: bool,
}

/// The storage or uniform array that `line` declares, alone and in whole: with `@binding` and a literal number in front.
pub(super) fn declaration(line: &str) -> Option<Binding<'_>> {
    let code = code_of(line).trim_end().strip_suffix(';').filter(|code| !code.contains(';'))?;
    let (attributes, variable) = code.split_once("var<")?;
    let (_, number) = attributes.split_once("@binding(")?;
    let (space, rest) = variable.split_once('>')?;
    if !space.starts_with("storage") && space != "uniform" {
        return None;
    }
    let (name, ty) = rest.split_once(':')?;
    let element = ty.trim().strip_prefix("array<").unwrap_or(ty);
    let end = element.find(',').unwrap_or(element.len());
    Some(Binding {
        number: number.split_once(')')?.0.trim().parse().ok()?,
        name: name.trim(),
        element: element[..end].trim_end_matches('>').trim(),
        space,
        in_place: line.contains("// in place"),
    })
}

/// The bindings that `kernel` declares.
pub(super) fn bindings(kernel: &Kernel) -> impl Iterator<Item = Binding<'static>> {
    kernel.shared.iter().chain([&kernel.source]).flat_map(|text| text.lines()).filter_map(declaration)
}

/// The bindings that `entry` of `kernel` uses, itself or in functions that it calls.
pub(super) fn used(kernel: &Kernel, entry: &str) -> impl Iterator<Item = Binding<'static>> {
    // Words of each function, which ends with the first line that is a lone bracket.
    let mut functions: Vec<(&str, BTreeSet<&str>)> = Vec::new();
    let mut inside = false;
    for line in kernel.shared.iter().chain([&kernel.source]).flat_map(|text| text.lines()) {
        if let Some((name, _)) = line.strip_prefix("fn ").and_then(|rest| rest.split_once('(')) {
            functions.push((name, BTreeSet::new()));
            inside = true;
        }
        if let Some((_, words)) = functions.last_mut().filter(|_| inside) {
            words.extend(code_of(line).split(|c| !is_word(c)));
        }
        inside &= line != "}";
    }
    let mut words = BTreeSet::from([entry]);
    let mut known = 0;
    while words.len() > known {
        known = words.len();
        let called = functions.iter().filter(|(name, _)| words.contains(name));
        let inner: Vec<&str> = called.flat_map(|(_, inner)| inner.iter().copied()).collect();
        words.extend(inner);
    }
    let used: BTreeSet<String> = words.into_iter().map(String::from).collect();
    bindings(kernel).filter(move |binding| used.contains(binding.name))
}

/// `line` without its comment.
fn code_of(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

/// What stands before and after the index of an access, in place of `name[` and `]`.
pub(super) type Access = (String, &'static str);

/// `text` with each `name[index]` whose name `rewritten` knows as `before index after`. `rewritten` is also told whether the
/// access begins a statement, and so is a store.
///
/// # Panics
/// When such a name is used other than by indexing it: a mistake in the kernel `file`, which the test of its operation
/// shows.
pub(super) fn rewrite(file: &str, text: &str, rewritten: impl Fn(&str, bool) -> Option<Access>) -> String {
    let mut out = String::new();
    // What closes each bracket that is open.
    let mut brackets = Vec::new();
    for line in text.lines() {
        let code = if declaration(line).is_some() { "" } else { code_of(line) };
        let mut at = 0;
        while at < code.len() {
            let rest = &code[at..];
            let word = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
            if word > 0 {
                let stored = matches!(code[..at].trim_end().chars().last(), None | Some('{' | ';' | '}'));
                let access = rewritten(&rest[..word], stored).filter(|_| !code[..at].ends_with('.'));
                at += word;
                let Some((before, after)) = access else {
                    out.push_str(&rest[..word]);
                    continue;
                };
                assert!(
                    rest[word..].starts_with('['),
                    "{file}: {} is a binding, which can only be indexed here; `{}` does not",
                    &rest[..word],
                    line.trim()
                );
                out.push_str(&before);
                brackets.push(after);
                at += 1;
                continue;
            }
            let character = rest.chars().next().expect("there is a rest");
            at += character.len_utf8();
            match character {
                '[' => brackets.push("]"),
                ']' => {
                    out.push_str(brackets.pop().unwrap_or("]"));
                    continue;
                }
                _ => {}
            }
            out.push(character);
        }
        out.push_str(&line[code.len()..]);
        out.push('\n');
    }
    out
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// An input of entry points.
pub(super) struct Builtin {
    /// Its name in WGSL.
    pub attribute: &'static str,
    /// What the parameter is called where an entry point has none for it.
    pub fallback: &'static str,
    pub ty: &'static str,
}

/// `text` with `statement(parameter)` as the first statement of each entry point.
///
/// # Panics
/// When an entry point is written in a way that is not known here: a mistake in the kernel `file`.
pub(super) fn on_entry(file: &str, text: &str, builtin: &Builtin, statement: impl Fn(&str) -> String) -> String {
    let Builtin { attribute, fallback, ty } = builtin;
    let mut out = String::new();
    let mut rest = text;
    while let Some(found) = rest.find("@compute") {
        let comment = rest[..found].rsplit('\n').next().is_some_and(|line| line.contains("//"));
        let (before, after) = rest.split_at(found + "@compute".len());
        out.push_str(before);
        rest = after;
        if comment {
            continue;
        }
        let signature = signature(rest).unwrap_or_else(|| panic!("{file}: an entry point has no `fn name(…) {{`"));
        let parameters = &rest[signature.parameters.clone()];
        out.push_str(&rest[..signature.parameters.end]);
        let own = parameters.split_once(&format!("@builtin({attribute})")).and_then(|(_, rest)| rest.split_once(':'));
        let name = own.map_or(*fallback, |(name, _)| name.trim());
        if own.is_none() {
            let comma = if parameters.trim().is_empty() { "" } else { ", " };
            let _ = write!(out, "{comma}@builtin({attribute}) {fallback}: {ty}");
        }
        out.push_str(&rest[signature.parameters.end..signature.body]);
        let _ = write!(out, " {}", statement(name));
        rest = &rest[signature.body..];
    }
    out.push_str(rest);
    out
}

/// Where a function's parameters are, and its body after the opening brace.
struct Signature {
    parameters: Range<usize>,
    body: usize,
}

fn signature(text: &str) -> Option<Signature> {
    let start = text.find("fn ")?;
    let open = start + text[start..].find('(')? + 1;
    let close = open + length_inside(&text[open..], '(', ')')?;
    Some(Signature { parameters: open..close, body: close + text[close..].find('{')? + 1 })
}

/// Bytes of `text` up to the bracket that closes one open before it.
pub(super) fn length_inside(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 1;
    text.find(|character| {
        depth += i32::from(character == open) - i32::from(character == close);
        depth == 0
    })
}
