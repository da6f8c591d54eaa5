//! Several nets in one dispatch.
//!
//! Nets of one shape have their tensors one after another in the same buffers, and the z of a dispatch counts nets. A
//! kernel is written for one net; here its text gets the net index: every access `name[i]` to a binding that each net
//! has a copy of becomes `name[net_of_dispatch * LENGTHu + (i)]`, LENGTH the elements from one copy to the next. All
//! else, and so every rounding, stays as it is for a net alone.

use super::Kernel;
use super::accesses::{self, Binding};
use std::collections::HashMap;

/// The net of an invocation, set on entry; helper functions that read a binding see it too.
const NET: &str = "net_of_dispatch";

/// Bytes from one element of an array to the next.
fn bytes_of(element: &str) -> Option<u64> {
    match element {
        "f32" | "u32" | "i32" => Some(4),
        "vec2f" | "vec2u" | "vec2i" => Some(8),
        "vec4f" | "vec4u" | "vec4i" => Some(16),
        _ => None,
    }
}

/// Number of the binding that `kernel` declares under the name `variable`.
///
/// # Panics
/// When it declares none: a mistake in the op.
pub(super) fn binding_of(kernel: &Kernel, variable: &str) -> usize {
    let found = accesses::bindings(kernel).find(|binding| binding.name == variable);
    found.unwrap_or_else(|| panic!("{}: no binding is named {variable}", kernel.file)).number
}

/// `text` with every entry point finding out its net, and every access to a binding going to that net's copy.
/// `strides` are bytes between copies, by binding; `None` for what all nets share.
///
/// # Panics
/// When a binding is declared on several lines, used other than by indexing it, or holds elements of a type that is not
/// known here: a mistake in the kernel `file`, which the test of its operation shows.
pub(super) fn with_net_index(file: &str, text: &str, strides: &[Option<u64>]) -> String {
    let mut lengths = HashMap::new();
    for binding in text.lines().filter_map(accesses::declaration) {
        let Binding { number, name, element, .. } = binding;
        if let Some(Some(stride)) = strides.get(number) {
            let bytes = bytes_of(element).unwrap_or_else(|| {
                panic!(
                    "{file}: several nets can share arrays of numbers and of vectors of 2 or 4, not {name} of {element}"
                )
            });
            lengths.insert(name.to_string(), stride / bytes);
        }
    }
    let declared: Vec<usize> = text.lines().filter_map(accesses::declaration).map(|binding| binding.number).collect();
    for (number, stride) in strides.iter().enumerate() {
        assert!(
            stride.is_none() || declared.contains(&number),
            "{file}: several nets need the declaration of binding {number} on one line, as `@group(0) @binding({number}) \
             var<…> name: array<…>;`"
        );
    }
    let group = accesses::Builtin { attribute: "workgroup_id", fallback: "group_of_dispatch", ty: "vec3u" };
    let text = accesses::on_entry(file, text, &group, |group| format!("{NET} = {group}.z;"));
    let moved = accesses::rewrite(file, &text, |name, _| {
        lengths.get(name).map(|length| (format!("{name}[{NET} * {length}u + ("), ")]"))
    });
    format!("var<private> {NET}: u32;\n{moved}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Specialization;

    const SAMPLE: Kernel = Kernel::new(
        "sample.wgsl",
        "// total of x[i], one @compute a row\n\
         @group(0) @binding(0) var<storage, read> x: array<vec4f>;\n\
         @group(0) @binding(1) var<storage, read> at: array<u32>;\n\
         @group(0) @binding(2) var<storage, read> shared_rates: array<f32>;\n\
         @group(0) @binding(3) var<storage, read_write> total: array<f32>;\n\
         fn helper(i: u32) -> f32 { return x[i].x; } // not x[0]\n\
         @compute @workgroup_size(1)\n\
         fn sum(@builtin(workgroup_id) tile: vec3u, @builtin(local_invocation_index) lane: u32) {\n\
         \x20   total[tile.x | lane] = helper(at[min(at[lane], 3u)]) * shared_rates[0];\n\
         }\n\
         @compute @workgroup_size(1)\n\
         fn lonely(@builtin(local_invocation_index) lane: u32) {\n\
         \x20   var sums: array<f32, 2>;\n\
         \x20   total[lane] = sums[lane];\n\
         }\n\
         @compute @workgroup_size(1)\n\
         fn bare() { total[0] = 1.0; }\n",
        &[],
    );

    fn three_nets() -> Specialization {
        let strides = vec![Some(64), Some(16), None, Some(32)];
        Specialization::default().over_nets(&SAMPLE, 3, strides, 1 << 16)
    }

    #[test]
    fn every_access_goes_to_the_copy_of_the_net() {
        let text = SAMPLE.specialize(&three_nets());
        for line in [
            "var<private> net_of_dispatch: u32;",
            "// total of x[i], one @compute a row",
            "@group(0) @binding(0) var<storage, read> x: array<vec4f>;",
            "fn helper(i: u32) -> f32 { return x[net_of_dispatch * 4u + (i)].x; } // not x[0]",
            "fn sum(@builtin(workgroup_id) tile: vec3u, @builtin(local_invocation_index) lane: u32) { net_of_dispatch = tile.z;",
            "    total[net_of_dispatch * 8u + (tile.x | lane)] = helper(at[net_of_dispatch * 4u + (min(at[net_of_dispatch * 4u + (lane)], 3u))]) * shared_rates[0];",
            "fn lonely(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group_of_dispatch: vec3u) { net_of_dispatch = group_of_dispatch.z;",
            "    total[net_of_dispatch * 8u + (lane)] = sums[lane];",
            "fn bare(@builtin(workgroup_id) group_of_dispatch: vec3u) { net_of_dispatch = group_of_dispatch.z; total[net_of_dispatch * 8u + (0)] = 1.0; }",
        ] {
            assert!(text.lines().any(|found| found == line), "no line `{line}` in:\n{text}");
        }
        let module = naga::front::wgsl::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let flags = naga::valid::ValidationFlags::all();
        let mut validator = naga::valid::Validator::new(flags, naga::valid::Capabilities::empty());
        validator.validate(&module).unwrap_or_else(|error| panic!("{error:?}\n{text}"));
    }

    #[test]
    fn one_net_is_the_file_as_it_stands() {
        assert_eq!(SAMPLE.specialize(&Specialization::default()), SAMPLE.source);
    }

    #[test]
    fn a_uniform_array_is_widened_where_it_fits_and_else_a_storage_buffer() {
        let read = Specialization { uniforms: vec![("x", 4)], ..Specialization::default() };
        let strides = || vec![Some(64), Some(16), None, Some(32)];
        let fits = SAMPLE.specialize(&read.clone().over_nets(&SAMPLE, 3, strides(), 192));
        assert!(fits.contains("var<uniform> x: array<vec4f, 12>;"), "{fits}");
        assert!(fits.contains("return x[net_of_dispatch * 4u + (i)].x;"), "{fits}");
        let too_large = SAMPLE.specialize(&read.clone().over_nets(&SAMPLE, 3, strides(), 191));
        assert!(too_large.contains("var<storage, read> x: array<vec4f>;"), "{too_large}");
        // What all nets share stays as it is, in size and place.
        let shared = SAMPLE.specialize(&read.over_nets(&SAMPLE, 3, vec![None; 4], 64));
        assert!(shared.contains("var<uniform> x: array<vec4f, 4>;") && shared.contains("return x[i].x;"), "{shared}");
    }

    #[test]
    #[should_panic(expected = "sample.wgsl: y is a binding")]
    fn a_binding_that_is_not_indexed_is_a_mistake_in_the_kernel() {
        let text = "@group(0) @binding(0) var<storage, read> y: array<f32>;\nfn f(y: u32) -> u32 { return y; }\n";
        with_net_index("sample.wgsl", text, &[Some(16)]);
    }

    #[test]
    #[should_panic(expected = "the declaration of binding 0 on one line")]
    fn a_declaration_of_two_lines_is_a_mistake_in_the_kernel() {
        let text = "@group(0) @binding(0)\nvar<storage, read> y: array<f32>;\nfn f(i: u32) -> f32 { return y[i]; }\n";
        with_net_index("sample.wgsl", text, &[Some(16)]);
    }

    #[test]
    #[should_panic(expected = "mat4x4f")]
    fn an_unknown_element_is_a_mistake_in_the_kernel() {
        let text = "@group(0) @binding(0) var<storage, read> y: array<mat4x4f>;\n";
        with_net_index("sample.wgsl", text, &[Some(64)]);
    }
}
