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
//! one of an image with rows of [`ROW`] texels, and each access `name[i]` becomes `texel_of_name(i)`. An array that is
//! written in place, as its declaration's comment says, has an image beside, for the loads.

use super::accesses::{self, Binding};
use super::{Error, Gpu, Kernel};
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

/// From the number of an array that is written in place to that of its image.
const BESIDE: usize = 16;

/// An array that a kernel reads as an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Image {
    /// Number of the array's binding.
    pub array: usize,
    /// Number of the image's: the same where the kernel only reads the array, and otherwise one beside.
    pub number: usize,
    /// What its texels are.
    pub format: TextureFormat,
}

/// An image with what it shows.
pub(crate) type BoundImage = (Image, wgpu::TextureView);

impl Gpu {
    /// Binds the `arrays` of a dispatch by number, but for those in whose place are `images`, and the images.
    ///
    /// # Errors
    /// [`Error::Kernel`] where `pipeline` declares other bindings.
    pub(crate) fn bind_group<'a>(
        &self,
        label: &str,
        pipeline: &wgpu::ComputePipeline,
        arrays: impl Iterator<Item = wgpu::BufferBinding<'a>>,
        images: &[BoundImage],
    ) -> Result<wgpu::BindGroup, Error> {
        let arrays = arrays.enumerate().filter(|(array, _)| images.iter().all(|(image, _)| image.number != *array));
        let arrays = arrays.map(|(array, buffer)| (array, wgpu::BindingResource::Buffer(buffer)));
        let images = images.iter().map(|(image, view)| (image.number, wgpu::BindingResource::TextureView(view)));
        let entries: Vec<_> = arrays
            .chain(images)
            .map(|(number, resource)| wgpu::BindGroupEntry { binding: number as u32, resource })
            .collect();
        let scope = self.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let bind_group = self.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(label),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        match pollster::block_on(scope.pop()) {
            None => Ok(bind_group),
            Some(error) => Err(Error::Kernel { kernel: label.into(), reason: error.to_string() }),
        }
    }
}

/// The image that `binding` may be read as: where it is only read, or written in place.
fn image_of(binding: &Binding<'_>) -> Option<(Image, &'static str)> {
    let (format, name) = format_of(binding.element)?;
    let number = match binding.space {
        "storage, read" => binding.number,
        "storage, read_write" if binding.in_place => binding.number + BESIDE,
        _ => return None,
    };
    Some((Image { array: binding.number, number, format }, name))
}

/// The arrays that `entry` of `kernel` uses and that may be read as images.
pub(super) fn readable(kernel: &Kernel, entry: &str) -> impl Iterator<Item = (Binding<'static>, Image)> {
    accesses::used(kernel, entry).filter_map(|binding| image_of(&binding).map(|(image, _)| (binding, image)))
}

/// `text` with the arrays whose images have these `numbers` read as such.
///
/// # Panics
/// When such an array is used other than by indexing it: a mistake in the kernel `file`.
pub(super) fn with_texels(file: &str, text: &str, numbers: &[usize]) -> String {
    let image = |line| {
        let binding = accesses::declaration(line)?;
        let (image, format) = image_of(&binding).filter(|(image, _)| numbers.contains(&image.number))?;
        Some((binding, image, format))
    };
    let in_place: BTreeMap<&str, bool> =
        text.lines().filter_map(image).map(|(binding, ..)| (binding.name, binding.in_place)).collect();
    let read = |name: &str, stored: bool| {
        let loaded = in_place.get(name).is_some_and(|in_place| !(*in_place && stored));
        loaded.then(|| (format!("texel_of_{name}("), ")"))
    };
    let mut out = String::new();
    let mut functions = String::new();
    for line in accesses::rewrite(file, text, read).lines() {
        let Some((Binding { name, element, .. }, Image { array, number, .. }, format)) = image(line) else {
            out.push_str(line);
            out.push('\n');
            continue;
        };
        if number != array {
            out.push_str(line);
            out.push('\n');
        }
        let _ = writeln!(out, "@group(0) @binding({number}) var image_of_{name}: texture_storage_2d<{format}, read>;");
        let parts = match element {
            "f32" | "u32" => ".x",
            "vec2f" => ".xy",
            _ => "",
        };
        let _ = writeln!(
            functions,
            "fn texel_of_{name}(i: u32) -> {element} {{ return textureLoad(image_of_{name}, vec2u(i % {ROW}u, i / {ROW}u)){parts}; }}"
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
         @group(0) @binding(3) var<storage, read_write> total: array<vec4f>; // in place\n\
         @group(0) @binding(0) var<storage, read> other: array<u32>;\n\
         fn helper(i: u32) -> f32 {\n\
         \x20   return x[i].x; // not other[0]\n\
         }\n\
         @compute @workgroup_size(1)\n\
         fn sum(@builtin(workgroup_id) tile: vec3u) {\n\
         \x20   total[tile.x] = total[tile.x] + vec4f(helper(at[min(at[tile.x], 3u)]) * rates[0]);\n\
         }\n\
         @compute @workgroup_size(1)\n\
         fn store(@builtin(workgroup_id) tile: vec3u) {\n\
         \x20   total[tile.x] = vec4f(f32(other[tile.x]));\n\
         }\n",
        &[],
    );

    fn image(array: usize, number: usize, format: TextureFormat) -> Image {
        Image { array, number, format }
    }

    #[test]
    fn arrays_that_an_entry_point_only_reads_or_writes_in_place_have_images() {
        let of_sum: Vec<_> = readable(&SAMPLE, "sum").map(|(_, image)| image).collect();
        let expected = [
            image(0, 0, TextureFormat::Rgba32Float),
            image(1, 1, TextureFormat::R32Uint),
            image(2, 2, TextureFormat::R32Float),
            image(3, 3 + BESIDE, TextureFormat::Rgba32Float),
        ];
        assert_eq!(of_sum, expected);
        let text =
            SAMPLE.specialize(&Specialization { texels: vec![0, 1, 2, 3 + BESIDE], ..Specialization::default() });
        for line in [
            "@group(0) @binding(0) var image_of_x: texture_storage_2d<rgba32float, read>;",
            "@group(0) @binding(1) var image_of_at: texture_storage_2d<r32uint, read>;",
            "@group(0) @binding(2) var image_of_rates: texture_storage_2d<r32float, read>;",
            "@group(0) @binding(3) var<storage, read_write> total: array<vec4f>; // in place",
            "@group(0) @binding(19) var image_of_total: texture_storage_2d<rgba32float, read>;",
            "    return texel_of_x(i).x; // not other[0]",
            "    total[tile.x] = texel_of_total(tile.x) + vec4f(helper(texel_of_at(min(texel_of_at(tile.x), 3u))) * texel_of_rates(0));",
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
