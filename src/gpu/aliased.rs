//! A buffer and images over the same memory, which wgpu itself does not offer, for lavapipe alone.
//!
//! wgpu knows buffer and image as two resources and puts no barrier between a kernel that writes the one and a kernel that
//! reads the other. lavapipe needs none: it runs the commands of a queue one after another, each dispatch to its end, on
//! the processor's own memory, where an image of linear tiling is its rows and nothing else. Inside a dispatch, what is read
//! from an image is written at most in place, by the invocation that has read it, and of use to no other.

use super::{Error, Gpu, tensor_buffer, texels};
use ash::vk;
use std::ops::Range;
use std::sync::Arc;
use wgpu::hal::vulkan;

/// Bytes beyond a buffer's end for the last rows of its images: lavapipe rounds heights up to blocks of 4 rows, of 16 bytes
/// a texel at most. Nobody touches them, so they stay addresses without memory.
const BEYOND: u64 = 4 * texels::ROW as u64 * 16;

/// Device memory and the buffer bound to it. wgpu's buffer and images each hold it, until wgpu is done with them.
pub(super) struct Memory {
    device: ash::Device,
    buffer: vk::Buffer,
    memory: vk::DeviceMemory,
    /// Its kind, an index among the device's.
    kind: u32,
    bytes: u64,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("memory", &self.memory).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: every holder has let go, of which wgpu's resources do so after the device's last use of them; each holder
        // keeps the device, or drops this before what keeps it.
        unsafe {
            self.device.destroy_buffer(self.buffer, None);
            self.device.free_memory(self.memory, None);
        }
    }
}

/// Allocates a buffer of zeros whose memory images may share.
pub(super) fn allocate(gpu: &Gpu, what: &str, bytes: u64) -> Result<(Arc<Memory>, wgpu::Buffer), Error> {
    let refused = |reason: String| Error::OutOfMemory { what: what.into(), bytes, reason };
    gpu.check_buffer_size(what, bytes)?;
    // SAFETY: the device is asked for handles only.
    let device = unsafe { gpu.device().as_hal::<vulkan::Api>() };
    let device = device.ok_or_else(|| refused("the adapter is not one of Vulkan".into()))?.raw_device().clone();
    let failed = |result: vk::Result| refused(result.to_string());
    let usage = vk::BufferUsageFlags::STORAGE_BUFFER
        | vk::BufferUsageFlags::UNIFORM_BUFFER
        | vk::BufferUsageFlags::TRANSFER_SRC
        | vk::BufferUsageFlags::TRANSFER_DST;
    let info = vk::BufferCreateInfo::default().size(bytes).usage(usage).sharing_mode(vk::SharingMode::EXCLUSIVE);
    // SAFETY: a buffer of at least one byte, within the device's limit, of usages that every device has.
    let buffer = unsafe { device.create_buffer(&info, None) }.map_err(failed)?;
    // From here on dropped, and so destroyed, where something fails; freeing no memory is allowed.
    let mut memory = Memory { device, buffer, memory: vk::DeviceMemory::null(), kind: 0, bytes: 0 };
    let device = &memory.device;
    // SAFETY: the buffer is this device's.
    let requirements = unsafe { device.get_buffer_memory_requirements(buffer) };
    memory.bytes = requirements.size + BEYOND;
    memory.kind = requirements.memory_type_bits.trailing_zeros();
    let info = vk::MemoryAllocateInfo::default().allocation_size(memory.bytes).memory_type_index(memory.kind);
    // SAFETY: the type of memory is one that the buffer may have.
    memory.memory = unsafe { device.allocate_memory(&info, None) }.map_err(failed)?;
    // SAFETY: fresh memory, large enough, bound once.
    unsafe { memory.device.bind_buffer_memory(buffer, memory.memory, 0) }.map_err(failed)?;
    let memory = Arc::new(memory);
    let held = memory.clone();
    // SAFETY: the buffer lives as long as `held`, which wgpu drops when it is done with it. It has the size and the usages of
    // the descriptor; its first command fills it.
    let buffer = unsafe {
        let raw = vulkan::Buffer::from_raw_externally_owned(buffer, Box::new(move || drop(held)));
        gpu.device().create_buffer_from_hal::<vulkan::Api>(
            raw,
            &wgpu::BufferDescriptor {
                label: Some(what),
                size: bytes,
                usage: tensor_buffer::USAGE,
                mapped_at_creation: false,
            },
        )
    };
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    encoder.clear_buffer(&buffer, 0, None);
    gpu.queue().submit([encoder.finish()]);
    Ok((memory, buffer))
}

/// Rows of `row` bytes that hold `range`, at most `limit` of them.
pub(super) fn height_of(range: &Range<u64>, row: u64, limit: u32) -> Option<u32> {
    u32::try_from((range.end - range.start).div_ceil(row)).ok().filter(|height| *height <= limit)
}

/// The `range` of the buffer's bytes as an image; `None` where the device has none of that height, or lays its rows out in
/// another way.
pub(super) fn image(
    gpu: &Gpu,
    memory: &Arc<Memory>,
    format: wgpu::TextureFormat,
    range: Range<u64>,
) -> Option<wgpu::TextureView> {
    let texel = u64::from(format.block_copy_size(None)?);
    let row = u64::from(texels::ROW) * texel;
    let height = height_of(&range, row, gpu.limits().max_texture_dimension_2d)?;
    let raw_format = match format {
        wgpu::TextureFormat::Rgba32Float => vk::Format::R32G32B32A32_SFLOAT,
        wgpu::TextureFormat::Rgba32Uint => vk::Format::R32G32B32A32_UINT,
        wgpu::TextureFormat::Rg32Float => vk::Format::R32G32_SFLOAT,
        wgpu::TextureFormat::R32Float => vk::Format::R32_SFLOAT,
        wgpu::TextureFormat::R32Uint => vk::Format::R32_UINT,
        _ => return None,
    };
    let info = vk::ImageCreateInfo::default()
        .image_type(vk::ImageType::TYPE_2D)
        .format(raw_format)
        .extent(vk::Extent3D { width: texels::ROW, height, depth: 1 })
        .mip_levels(1)
        .array_layers(1)
        .samples(vk::SampleCountFlags::TYPE_1)
        .tiling(vk::ImageTiling::LINEAR)
        .usage(vk::ImageUsageFlags::STORAGE)
        .sharing_mode(vk::SharingMode::EXCLUSIVE)
        .initial_layout(vk::ImageLayout::PREINITIALIZED);
    let device = memory.device.clone();
    // SAFETY: asked for handles only.
    let hal = unsafe { gpu.device().as_hal::<vulkan::Api>() }?;
    // SAFETY: an image within the device's limits. Vulkan promises storage in these formats for optimal tiling only; lavapipe
    // has them in linear tiling as well.
    let image = unsafe { device.create_image(&info, None) }.ok()?;
    let held = memory.clone();
    let destroy = move || {
        // SAFETY: wgpu is done with the image, and what it lies in still lives.
        unsafe { held.device.destroy_image(image, None) };
    };
    let aspect = vk::ImageSubresource::default().aspect_mask(vk::ImageAspectFlags::COLOR);
    // SAFETY: the image is this device's, linear, and has one level and layer.
    let (needs, layout) =
        unsafe { (device.get_image_memory_requirements(image), device.get_image_subresource_layout(image, aspect)) };
    let fits = needs.memory_type_bits & (1 << memory.kind) != 0
        && range.start.is_multiple_of(needs.alignment)
        && range.start + needs.size <= memory.bytes;
    let plain = layout.offset == 0 && layout.row_pitch == row;
    // SAFETY: inside the memory, at an offset of the image's alignment, bound once.
    let bound = fits && plain && unsafe { device.bind_image_memory(image, memory.memory, range.start) }.is_ok();
    if !bound {
        destroy();
        return None;
    }
    let descriptor = wgpu::TextureDescriptor {
        label: Some("texels"),
        size: wgpu::Extent3d { width: texels::ROW, height, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::STORAGE_BINDING,
        view_formats: &[],
    };
    let state = wgpu::TextureUses::STORAGE_READ_ONLY;
    let raw_descriptor = wgpu::hal::TextureDescriptor {
        label: descriptor.label,
        size: descriptor.size,
        mip_level_count: descriptor.mip_level_count,
        sample_count: descriptor.sample_count,
        dimension: descriptor.dimension,
        format: descriptor.format,
        usage: state,
        memory_flags: wgpu::hal::MemoryFlags::empty(),
        view_formats: Vec::new(),
    };
    // SAFETY: the image is what the descriptors say and lives until wgpu calls `destroy`. Its bytes are the buffer's, which
    // were filled when it was made, so that wgpu need not clear it. Its layout is not the one that wgpu is told: an image
    // that is only read never changes its layout, and lavapipe has but one.
    let texture = unsafe {
        let raw =
            hal.texture_from_raw(image, &raw_descriptor, Some(Box::new(destroy)), vulkan::TextureMemory::External);
        gpu.device().create_texture_from_hal::<vulkan::Api>(raw, &descriptor, state)
    };
    Some(texture.create_view(&Default::default()))
}
