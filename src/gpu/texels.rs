//! Tensors that a kernel reads as the texels of an image.
//!
//! lavapipe (Mesa 22.3) reads a storage buffer in a loop over the lanes, with a branch, a bounds check for each number and a
//! store of the whole vector in each iteration; an image without a branch, a texel a lane in one instruction and a
//! transposition at the end. Images of the bytes of a buffer ([`super::tensor_buffer`]) take 21 instead of 33 ns a load
//! of 8 lanes, 34 instead of 152 of 16 (`benches/NOTES.md`).
//!
//! With them vectors of 512 bits pay on Intel's processors too: those do not forward the upper half of such a store to the
//! loads of its words, one a lane, that make the loop over a buffer.
//!
//! A kernel is written for buffers. Here its text gets the images: the declaration of an array that it only reads becomes
//! one of an image with rows of [`ROW`] texels, and each access `name[i]` becomes `texel_of_name(i)`.

use super::Kernel;
use super::accesses::{self, Binding};
use std::collections::BTreeMap;
use std::fmt::Write;
use wgpu::TextureFormat;

/// Texels of a row; a power of two, so that row and column of an index are a shift and a mask.
pub const ROW: u32 = 2048;

/// The format of texels that holds an array's elements, and its name in WGSL.
fn format_of(element: &str) -> Option<(TextureFormat, &'static str)> {
    match element {
        "vec4f" => Some((TextureFormat::Rgba32Float, "rgba32float")),
        "vec4u" => Some((TextureFormat::Rgba32Uint, "rgba32uint")),
        "vec2f" => Some((TextureFormat::Rg32Float, "rg32float")),
        "f32" => Some((TextureFormat::R32Float, "r32float")),
        "u32" => Some((TextureFormat::R32Uint, "r32uint")),
        _ => None,
    }
}

/// The bindings of `kernel` that may be read as images, with their formats: arrays that it only reads, whose number no
/// other entry point uses for something else.
pub(super) fn readable(kernel: &Kernel) -> impl Iterator<Item = (Binding<'static>, TextureFormat)> {
    let mut declared = BTreeMap::new();
    for binding in accesses::bindings(kernel) {
        declared.entry(binding.number).or_insert_with(Vec::new).push(binding);
    }
    let alone = declared.into_values().filter(|bindings| bindings.len() == 1).flatten();
    let read = alone.filter(|binding| binding.space == "storage, read");
    read.filter_map(|binding| format_of(binding.element).map(|(format, _)| (binding, format)))
}

/// `text` with the arrays of `bindings`, by number, read as images.
///
/// # Panics
/// When such an array is used other than by indexing it: a mistake in the kernel `file`.
pub(super) fn with_texels(file: &str, text: &str, bindings: &[usize]) -> String {
    let image = |line| {
        let read = accesses::declaration(line).filter(|binding| binding.space == "storage, read")?;
        let (_, format) = format_of(read.element).filter(|_| bindings.contains(&read.number))?;
        Some((read, format))
    };
    let names: Vec<&str> = text.lines().filter_map(image).map(|(binding, _)| binding.name).collect();
    let read = |name: &str| names.contains(&name).then(|| (format!("texel_of_{name}("), ")"));
    let mut out = String::new();
    let mut functions = String::new();
    for line in accesses::rewrite(file, text, read).lines() {
        let Some((Binding { number, name, element, .. }, format)) = image(line) else {
            out.push_str(line);
            out.push('\n');
            continue;
        };
        let _ = writeln!(out, "@group(0) @binding({number}) var {name}: texture_storage_2d<{format}, read>;");
        let parts = match element {
            "f32" | "u32" => ".x",
            "vec2f" => ".xy",
            _ => "",
        };
        let _ = writeln!(
            functions,
            "fn texel_of_{name}(i: u32) -> {element} {{ return textureLoad({name}, vec2u(i % {ROW}u, i / {ROW}u)){parts}; }}"
        );
    }
    out + &functions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Specialization;

    const SAMPLE: Kernel = Kernel::new(
        "sample.wgsl",
        "@group(0) @binding(0) var<storage, read> x: array<vec4f>; // images\n\
         @group(0) @binding(1) var<storage, read> at: array<u32>;\n\
         @group(0) @binding(2) var<storage, read> rates: array<f32>;\n\
         @group(0) @binding(3) var<storage, read_write> total: array<vec4f>;\n\
         fn helper(i: u32) -> f32 { return x[i].x; } // not x[0]\n\
         @compute @workgroup_size(1)\n\
         fn sum(@builtin(workgroup_id) tile: vec3u) {\n\
         \x20   total[tile.x] = vec4f(helper(at[min(at[tile.x], 3u)]) * rates[0]);\n\
         }\n",
        &[],
    );

    #[test]
    fn arrays_that_are_only_read_become_images() {
        let found: Vec<_> = readable(&SAMPLE).map(|(binding, format)| (binding.number, format)).collect();
        assert_eq!(found, [(0, TextureFormat::Rgba32Float), (1, TextureFormat::R32Uint), (2, TextureFormat::R32Float)]);
        let text = SAMPLE.specialize(&Specialization { texels: vec![0, 1, 2], ..Specialization::default() });
        for line in [
            "@group(0) @binding(0) var x: texture_storage_2d<rgba32float, read>;",
            "@group(0) @binding(1) var at: texture_storage_2d<r32uint, read>;",
            "@group(0) @binding(2) var rates: texture_storage_2d<r32float, read>;",
            "fn helper(i: u32) -> f32 { return texel_of_x(i).x; } // not x[0]",
            "    total[tile.x] = vec4f(helper(texel_of_at(min(texel_of_at(tile.x), 3u))) * texel_of_rates(0));",
        ] {
            assert!(text.lines().any(|found| found == line), "no line `{line}` in:\n{text}");
        }
        validate(&text);
    }

    #[test]
    fn an_image_holds_the_copies_of_all_nets() {
        let strides = vec![Some(64), None, None, Some(64)];
        let nets = Specialization { texels: vec![0], ..Specialization::default() }.over_nets(&SAMPLE, 3, strides, 0);
        let text = SAMPLE.specialize(&nets);
        assert!(text.contains("return texel_of_x(net_of_dispatch * 4u + (i)).x;"), "{text}");
        validate(&text);
    }

    fn validate(text: &str) {
        let module = naga::front::wgsl::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let flags = naga::valid::ValidationFlags::all();
        let mut validator = naga::valid::Validator::new(flags, naga::valid::Capabilities::empty());
        validator.validate(&module).unwrap_or_else(|error| panic!("{error:?}\n{text}"));
    }
}
