//! `deepid2 devices`.

use anyhow::Result;
use deepid2::gpu::{Error, Gpu, GpuOptions, Tiles, adapter};
use std::process::ExitCode;

/// Lists every adapter with what matters of it.
pub fn run(tiles: Option<Tiles>) -> Result<ExitCode> {
    let adapters = adapter::list();
    if adapters.is_empty() {
        return Err(Error::NoAdapter { backends: "asked Vulkan, Metal and DirectX 12".into() }.into());
    }
    for (index, adapter) in adapters.iter().enumerate() {
        let info = adapter.get_info();
        println!("{index}  {}", info.name);
        println!("   {:?} on {:?}, driver {} {}", info.device_type, info.backend, info.driver, info.driver_info);
        let limits = adapter.limits();
        println!(
            "   storage binding {}, uniform binding {}, buffer {}",
            bytes(limits.max_storage_buffer_binding_size),
            bytes(limits.max_uniform_buffer_binding_size),
            bytes(limits.max_buffer_size)
        );
        println!(
            "   {} workgroups a dimension, {} invocations a workgroup, {} of workgroup memory, {} storage buffers a stage",
            limits.max_compute_workgroups_per_dimension,
            limits.max_compute_invocations_per_workgroup,
            bytes(limits.max_compute_workgroup_storage_size.into()),
            limits.max_storage_buffers_per_shader_stage
        );
        match Gpu::open(&GpuOptions { adapter: Some(index.to_string()), checks: false, tiles, texels: None }) {
            Ok(gpu) if gpu.features().is_empty() => println!("   features used: none; {} tiles", gpu.tiles()),
            Ok(gpu) => println!("   features used: {}; {} tiles", gpu.features(), gpu.tiles()),
            Err(error) => println!("   cannot be opened: {error}"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn bytes(count: u64) -> String {
    match count {
        0..0x400 => format!("{count} B"),
        0x400..0x10_0000 => format!("{} KiB", count >> 10),
        0x10_0000..0x4000_0000 => format!("{} MiB", count >> 20),
        _ => format!("{} GiB", count >> 30),
    }
}
