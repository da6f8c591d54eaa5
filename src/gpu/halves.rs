//! Stores by the lower half of a subgroup's lanes.
//!
//! lavapipe (Mesa 22.3) stores to a buffer in a loop over the lanes, each iteration of which puts the whole vector in memory
//! to take one number out. Of vectors of 512 bits Intel's processors do not forward the upper half of such a store to the
//! load that follows: it waits until the store is in the cache. Where the upper lanes pass their numbers to the lower ones,
//! which then store twice, a `vec4f` of 16 lanes takes 85 instead of 344 ns (`benches/NOTES.md`).
//!
//! A kernel marks its stores, on a line of their own that all lanes of a subgroup reach together:
//!
//! ```wgsl
//! if (condition) { name[index] = value; } // all lanes
//! ```
//!
//! Here such a line becomes a call of `store_in_name(condition, index, value)`.

use super::accesses;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Lanes of a subgroup whose stores are halved.
pub(super) const LANES: usize = 16;

/// What a kernel's line ends in.
const MARK: &str = "// all lanes";

/// Whether an invocation is one of the lower lanes, set on entry.
const LOWER: &str = "in_lower_half";

/// An index where nothing is stored.
const NOWHERE: &str = "0xffffffffu";

/// `text` with each marked store done by halves.
///
/// # Panics
/// When a marked line is something else, or its array is not declared: a mistake in the kernel `file`.
pub(super) fn with_halves(file: &str, text: &str) -> String {
    let elements: BTreeMap<&str, &str> =
        text.lines().filter_map(accesses::declaration).map(|binding| (binding.name, binding.element)).collect();
    let mut out = String::new();
    let mut functions = BTreeMap::new();
    for line in text.lines() {
        let Some(code) = line.trim_end().strip_suffix(MARK) else {
            out.push_str(line);
            out.push('\n');
            continue;
        };
        let store = store_of(code).and_then(|store| Some((elements.get(store.name)?, store)));
        let (element, Store { condition, name, index, value }) = store.unwrap_or_else(|| {
            panic!("{file}: `{}` is not `if (condition) {{ name[index] = value; }} {MARK}`", line.trim())
        });
        let indent = &line[..line.len() - line.trim_start().len()];
        let _ = writeln!(out, "{indent}store_in_{name}({condition}, {index}, {value});");
        functions.entry(name).or_insert_with(|| function(name, element));
    }
    if functions.is_empty() {
        return out;
    }
    let half = LANES / 2;
    let lane = accesses::Builtin { attribute: "subgroup_invocation_id", fallback: "lane_of_subgroup", ty: "u32" };
    let entered = accesses::on_entry(file, &out, &lane, |lane| format!("{LOWER} = {lane} < {half}u;"));
    format!("var<private> {LOWER}: bool;\n{entered}{}", functions.into_values().collect::<String>())
}

/// The parts of a store.
struct Store<'a> {
    condition: &'a str,
    name: &'a str,
    index: &'a str,
    value: &'a str,
}

/// Takes `if (condition) { name[index] = value; }` apart.
fn store_of(code: &str) -> Option<Store<'_>> {
    let rest = code.trim().strip_prefix("if (")?;
    let (condition, rest) = rest.split_at(accesses::length_inside(rest, '(', ')')?);
    let (name, rest) = rest.strip_prefix(") { ")?.split_once('[')?;
    let (index, rest) = rest.split_at(accesses::length_inside(rest, '[', ']')?);
    let value = rest.strip_prefix("] = ")?.strip_suffix("; }")?;
    Some(Store { condition, name, index, value })
}

/// The function that stores in the array `name`.
fn function(name: &str, element: &str) -> String {
    let half = LANES / 2;
    format!(
        "fn store_in_{name}(stores: bool, index: u32, value: {element}) {{
    let of_upper = subgroupShuffleXor(select({NOWHERE}, index, stores), {half}u);
    let value_of_upper = subgroupShuffleXor(value, {half}u);
    if ({LOWER} && stores) {{
        {name}[index] = value;
    }}
    if ({LOWER} && of_upper != {NOWHERE}) {{
        {name}[of_upper] = value_of_upper;
    }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upper_lanes_pass_their_numbers_down() {
        let text = "@group(0) @binding(0) var<storage, read_write> out: array<vec4f>;\n\
                    @compute @workgroup_size(16)\n\
                    fn write(@builtin(local_invocation_index) lane: u32) {\n\
                    \x20   if (lane < f(9u)) { out[(lane + 1u) % 9u] = vec4f(f32(lane)); } // all lanes\n\
                    }\n\
                    fn f(x: u32) -> u32 { return x; }\n";
        let halved = with_halves("sample.wgsl", text);
        for line in [
            "fn write(@builtin(local_invocation_index) lane: u32, @builtin(subgroup_invocation_id) lane_of_subgroup: u32) { in_lower_half = lane_of_subgroup < 8u;",
            "    store_in_out(lane < f(9u), (lane + 1u) % 9u, vec4f(f32(lane)));",
            "        out[index] = value;",
        ] {
            assert!(halved.lines().any(|found| found == line), "no line `{line}` in:\n{halved}");
        }
        let module = naga::front::wgsl::parse_str(&halved).unwrap_or_else(|error| panic!("{error}\n{halved}"));
        let capabilities = naga::valid::Capabilities::SUBGROUP;
        let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities);
        validator
            .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
            .subgroup_operations(naga::valid::SubgroupOperationSet::all());
        validator.validate(&module).unwrap_or_else(|error| panic!("{error:?}\n{halved}"));
    }

    #[test]
    fn a_text_without_marks_stays_as_it_is() {
        let text = "fn f() { }\n";
        assert_eq!(with_halves("sample.wgsl", text), text);
    }

    #[test]
    #[should_panic(expected = "sample.wgsl: `out[0] = 1.0; // all lanes`")]
    fn a_mark_on_another_line_is_a_mistake_in_the_kernel() {
        with_halves("sample.wgsl", "    out[0] = 1.0; // all lanes\n");
    }
}
