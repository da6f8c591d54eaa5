//! Loops that are written out, and loops that test at their end.
//!
//! lavapipe runs the lanes of a subgroup under a mask: a lane whose loop is over is masked out and the rest of the body is run
//! all the same; only at the end of the body does it ask whether a lane is left. So a loop that tests before its body runs it
//! once more than it has turns: five times for four. And what that last run loads lies beyond what the loop is about, where
//! there may be numbers that are slow to compute with (`benches/NOTES.md`).
//!
//! ```wgsl
//! for (var c = 0u; c < CHANNELS; c++) {      { var c = 0u; if (c < CHANNELS) { loop { {
//!     …                                          …
//! }                                          } c++; if (!(c < CHANNELS)) { break; } } } }
//! ```
//!
//! The last line of either kind closes at the indentation of its first.

use std::collections::HashMap;
use std::fmt::Write;

/// Writes `lines` out with each `// unroll` loop replaced by copies of its body.
pub(super) fn unroll(lines: &[String], constants: &HashMap<String, u32>, file: &str, text: &mut String) {
    let mut at = 0;
    while at < lines.len() {
        let line = &lines[at];
        let Some((counter, bound)) = counter_and_bound(line) else {
            text.push_str(line);
            text.push('\n');
            at += 1;
            continue;
        };
        let count = match bound.strip_suffix('u').and_then(|literal| literal.parse().ok()) {
            Some(literal) => literal,
            None => *constants.get(bound).unwrap_or_else(|| panic!("{file}: unknown loop bound {bound}")),
        };
        let indent = line.len() - line.trim_start().len();
        let closing = format!("{}}}", &line[..indent]);
        let length = lines[at + 1..]
            .iter()
            .position(|candidate| *candidate == closing)
            .unwrap_or_else(|| panic!("{file}: the unrolled loop over {counter} is not closed"));
        let body = &lines[at + 1..at + 1 + length];
        for index in 0..count {
            let _ = writeln!(text, "{}{{ const {counter} = {index}u;", &line[..indent]);
            unroll(body, constants, file, text);
            text.push_str(&closing);
            text.push('\n');
        }
        at += length + 2;
    }
}

/// `text` with the test of every `for` behind its body; and once before, which is nothing where constants pass it.
///
/// # Panics
/// When a loop is not closed or has a `continue`, which would pass over the test: a mistake in the kernel `file`.
pub(super) fn tested_last(file: &str, text: &str) -> String {
    let mut out = String::new();
    // Indentation and head of the loops that the line is in.
    let mut open: Vec<(&str, Head)> = Vec::new();
    for line in text.lines() {
        let code = line.trim_start();
        let space = &line[..line.len() - code.len()];
        if let Some(head) = head_of(code) {
            let Head { init, condition, .. } = head;
            let _ = writeln!(out, "{space}{{ {init}; if ({condition}) {{ loop {{ {{");
            open.push((space, head));
        } else if let Some((_, Head { condition, step, .. })) = open.pop_if(|(of, _)| code == "}" && *of == space) {
            let _ = writeln!(out, "{space}}} {step}; if (!({condition})) {{ break; }} }} }} }}");
        } else {
            assert!(
                open.is_empty() || !code.contains("continue;"),
                "{file}: `{code}` in a loop; put the rest in an `if`"
            );
            out.push_str(line);
            out.push('\n');
        }
    }
    assert!(open.is_empty(), "{file}: {open:?} is not closed");
    out
}

/// The parts of a loop's first line.
#[derive(Debug, Clone, Copy)]
struct Head<'a> {
    init: &'a str,
    condition: &'a str,
    step: &'a str,
}

/// Takes `for (init; condition; step) {` apart.
fn head_of(code: &str) -> Option<Head<'_>> {
    let inside = code.strip_prefix("for (")?.strip_suffix('{')?.trim_end().strip_suffix(')')?;
    let mut parts = inside.split(';').map(str::trim);
    Some(Head { init: parts.next()?, condition: parts.next()?, step: parts.next()? })
}

/// `for (var c = 0u; c < COUNT; c++) { // unroll` → `(c, COUNT)`.
fn counter_and_bound(line: &str) -> Option<(&str, &str)> {
    let Head { init, condition, .. } = head_of(line.trim().strip_suffix(" // unroll")?)?;
    let counter = init.strip_prefix("var ")?.strip_suffix(" = 0u")?;
    let (_, bound) = condition.split_once(" < ")?;
    Some((counter, bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_moves_behind_the_body() {
        let text = "fn f() {\n    for (var i = 0u; i < 3u; i++) {\n        for (var half = i; half > 0u; half /= 2u) {\n            \
                    g(half);\n        }\n        if (i > 1u) {\n            h();\n        }\n    }\n}\n";
        let expected = "fn f() {\n    { var i = 0u; if (i < 3u) { loop { {\n        { var half = i; if (half > 0u) { loop { {\n            \
                        g(half);\n        } half /= 2u; if (!(half > 0u)) { break; } } } }\n        if (i > 1u) {\n            h();\n        \
                        }\n    } i++; if (!(i < 3u)) { break; } } } }\n}\n";
        assert_eq!(tested_last("sample.wgsl", text), expected);
    }

    #[test]
    #[should_panic(expected = "sample.wgsl: `continue;` in a loop")]
    fn a_continue_is_a_mistake_in_the_kernel() {
        tested_last("sample.wgsl", "for (var i = 0u; i < 3u; i++) {\n    continue;\n}\n");
    }

    #[test]
    #[should_panic(expected = "is not closed")]
    fn a_loop_that_does_not_close_is_a_mistake_in_the_kernel() {
        tested_last("sample.wgsl", "for (var i = 0u; i < 3u; i++) {\n  }\n");
    }
}
