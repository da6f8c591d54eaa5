//! Listing adapters and choosing one.

use super::{Error, lavapipe};
use wgpu::{Adapter, Backends, DeviceType, Instance};

/// Vulkan, Metal and DX12: the backends whose compute shaders are complete.
pub const BACKENDS: Backends = Backends::VULKAN.union(Backends::METAL).union(Backends::DX12);

/// Every adapter of this system, the most capable kind first; the order is the one `--adapter INDEX` counts in.
pub fn list() -> Vec<Adapter> {
    let mut adapters = lavapipe::at_best_width(|| {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = BACKENDS;
        descriptor.flags = wgpu::InstanceFlags::from_build_config().with_env();
        pollster::block_on(Instance::new(descriptor).enumerate_adapters(BACKENDS))
    });
    adapters
        .retain(|adapter| adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS));
    adapters.sort_by_key(|adapter| preference(adapter.get_info().device_type));
    adapters
}

fn preference(kind: DeviceType) -> u8 {
    match kind {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    }
}

/// The adapter that `wanted` (an index into [`list`], or part of a name, any case) names; without it the most capable.
///
/// # Errors
/// [`Error::NoAdapter`] where the system has none, [`Error::AdapterNotFound`] where `wanted` matches none.
pub fn choose(wanted: Option<&str>) -> Result<Adapter, Error> {
    let adapters = list();
    if adapters.is_empty() {
        return Err(Error::NoAdapter { backends: "asked Vulkan, Metal and DirectX 12".into() });
    }
    let names: Vec<String> = adapters.iter().map(|adapter| adapter.get_info().name).collect();
    let index = match wanted {
        None => Some(0),
        Some(wanted) => match wanted.parse::<usize>() {
            Ok(index) => (index < adapters.len()).then_some(index),
            Err(_) => names.iter().position(|name| name.to_lowercase().contains(&wanted.to_lowercase())),
        },
    };
    match index.and_then(|index| adapters.into_iter().nth(index)) {
        Some(adapter) => Ok(adapter),
        None => Err(Error::AdapterNotFound {
            wanted: wanted.unwrap_or_default().into(),
            present: names.iter().enumerate().map(|(i, name)| format!("{i} = {name}")).collect::<Vec<_>>().join(", "),
        }),
    }
}
