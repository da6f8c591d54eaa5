//! One opened device and what the kernels need to know of it.

use super::{Error, adapter, halves, lavapipe, pipeline::PipelineCache};
use std::fmt::{Display, Formatter};
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use wgpu::{AdapterInfo, Features, Limits};

/// How to open a device.
#[derive(Debug, Clone, Default)]
pub struct GpuOptions {
    /// Index or part of a name; the most capable adapter when absent.
    pub adapter: Option<String>,
    /// Compile this crate's own kernels with bounds checks and loop bounding, as those of other crates always are.
    /// Slower (1.3× and more on arithmetic loops); the tests run every kernel both ways and expect the same bytes.
    pub checks: bool,
    /// Whose tiles the kernels take; those of the adapter's kind when absent.
    pub tiles: Option<Tiles>,
    /// Whether kernels with software tiles read tensors as images, which lavapipe alone can do; where that is faster when
    /// absent.
    pub texels: Option<bool>,
}

/// The two presets of register tiles, split counts and shared loads; `src/ops/tuning/` holds their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tiles {
    /// Few invocations with large tiles, whose lanes share loads: a driver that runs on a few processor cores.
    Software,
    /// Many invocations with small tiles: a graphics card.
    Hardware,
}

impl Tiles {
    /// By the kind of adapter.
    fn of(info: &AdapterInfo) -> Self {
        if info.device_type == wgpu::DeviceType::Cpu { Self::Software } else { Self::Hardware }
    }
}

impl FromStr for Tiles {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "software" => Ok(Self::Software),
            "hardware" => Ok(Self::Hardware),
            _ => Err("expected `software` or `hardware`".into()),
        }
    }
}

impl Display for Tiles {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Software => "software",
            Self::Hardware => "hardware",
        })
    }
}

/// Facts about the adapter that choose a kernel's specialisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Largest uniform binding in bytes; weights that fit are read through it, one scalar load for a whole subgroup. 0 with
    /// hardware tiles: an H100 runs forward convolutions up to 1.18 times as fast with storage bindings.
    pub uniform_bytes: u64,
    /// Largest storage binding in bytes.
    pub storage_bytes: u64,
    /// Largest dispatch in one dimension.
    pub workgroups_per_dimension: u32,
    /// Few, large register tiles instead of many invocations: [`Tiles::Software`].
    pub software: bool,
    /// Lanes of a subgroup, with software tiles on an adapter whose subgroups have one size; otherwise 1. There a load costs as
    /// much as a hundred multiply-adds, and lanes that share theirs are the difference. A GPU does without.
    pub subgroup: usize,
    /// Whether kernels read tensors as images, so that a load costs less.
    pub texels: bool,
}

impl Target {
    /// Whether the lower lanes of a subgroup do what the upper ones store, in half the time: with vectors of 512 bits where
    /// images are known to be read faster, on Intel's processors.
    pub(crate) fn stores_by_halves(&self) -> bool {
        self.texels && self.subgroup == halves::LANES
    }
}

/// An opened device. Cheap to clone; clones share pipelines.
#[derive(Clone)]
pub struct Gpu {
    shared: Arc<Shared>,
    target: Target,
}

struct Shared {
    info: AdapterInfo,
    features: Features,
    limits: Limits,
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipelines: PipelineCache,
    lost: Arc<Mutex<Option<String>>>,
    checks: bool,
}

impl Gpu {
    /// Opens the adapter that `options` names with the adapter's own limits.
    ///
    /// # Errors
    /// [`Error::NoAdapter`], [`Error::AdapterNotFound`] or [`Error::Request`].
    pub fn open(options: &GpuOptions) -> Result<Self, Error> {
        let adapter = adapter::choose(options.adapter.as_deref())?;
        let info = adapter.get_info();
        let tiles = options.tiles.unwrap_or_else(|| Tiles::of(&info));
        let software = tiles == Tiles::Software;
        let aliases = cfg!(target_os = "linux") && lavapipe::runs(&info) && info.backend == wgpu::Backend::Vulkan;
        let texels = software && aliases && options.texels.unwrap_or_else(lavapipe::gains_by_texels);
        // The last for images of two numbers a texel.
        let features = adapter.features()
            & (Features::SUBGROUP
                | Features::TIMESTAMP_QUERY
                | Features::TIMESTAMP_QUERY_INSIDE_ENCODERS
                | if texels { Features::TEXTURE_ADAPTER_SPECIFIC_FORMAT_FEATURES } else { Features::empty() });
        let limits = adapter.limits();
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("deepid2"),
            required_features: features,
            required_limits: limits.clone(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        }))
        .map_err(|error| Error::Request { adapter: info.name.clone(), reason: error.to_string() })?;
        let lost = Arc::new(Mutex::new(None));
        let lost_by_callback = lost.clone();
        device.set_device_lost_callback(move |reason, message| {
            *lost_by_callback.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) =
                Some(format!("{reason:?}: {message}"));
        });
        let one_size = info.subgroup_min_size == info.subgroup_max_size && features.contains(Features::SUBGROUP);
        let target = Target {
            uniform_bytes: if software { limits.max_uniform_buffer_binding_size } else { 0 },
            storage_bytes: limits.max_storage_buffer_binding_size.min(limits.max_buffer_size),
            workgroups_per_dimension: limits.max_compute_workgroups_per_dimension,
            software,
            subgroup: if software && one_size { info.subgroup_min_size as usize } else { 1 },
            texels,
        };
        // wgpu's own handler ends the process. What no scope caught is told at the next poll, as a lost device is.
        let lost_by_error = lost.clone();
        device.on_uncaptured_error(Arc::new(move |error| {
            let mut lost = lost_by_error.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            lost.get_or_insert_with(|| error.to_string());
        }));
        let shared = Shared {
            info,
            features,
            limits,
            device,
            queue,
            pipelines: PipelineCache::default(),
            lost,
            checks: options.checks,
        };
        let mut gpu = Self { shared: Arc::new(shared), target };
        if texels {
            // A driver that lays images out in another way gets buffers, and tiles for them.
            let trial = gpu.tensor_buffer("trial", 16)?;
            gpu.target.texels = trial.texels(&gpu, wgpu::TextureFormat::Rgba32Float, 0..16).is_some();
        }
        Ok(gpu)
    }

    /// Name, backend and driver.
    pub fn info(&self) -> &AdapterInfo {
        &self.shared.info
    }

    /// Features in use.
    pub fn features(&self) -> Features {
        self.shared.features
    }

    /// The adapter's limits, all of which were requested.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Whether kernels carry bounds checks.
    pub fn checks(&self) -> bool {
        self.shared.checks
    }

    /// The preset in use.
    pub fn tiles(&self) -> Tiles {
        if self.target.software { Tiles::Software } else { Tiles::Hardware }
    }

    /// The facts that choose specialisations.
    pub fn target(&self) -> Target {
        self.target
    }

    /// The same device with a smaller limit of storage bindings.
    #[cfg(test)]
    pub(crate) fn with_storage_bytes(mut self, storage_bytes: u64) -> Self {
        self.target.storage_bytes = storage_bytes;
        self
    }

    pub(crate) fn device(&self) -> &wgpu::Device {
        &self.shared.device
    }

    pub(crate) fn queue(&self) -> &wgpu::Queue {
        &self.shared.queue
    }

    pub(crate) fn pipelines(&self) -> &PipelineCache {
        &self.shared.pipelines
    }

    /// [`Error::Limit`] for a buffer beyond the adapter's largest.
    pub(super) fn check_buffer_size(&self, what: &str, bytes: u64) -> Result<(), Error> {
        let allowed = self.limits().max_buffer_size;
        if bytes > allowed {
            return Err(Error::Limit { what: what.into(), limit: "max_buffer_size", needed: bytes, allowed });
        }
        Ok(())
    }

    /// Allocates a buffer, turning the driver's refusal into an error.
    pub(crate) fn buffer(&self, what: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer, Error> {
        self.check_buffer_size(what, bytes)?;
        let scope = self.device().push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some(what),
            size: bytes,
            usage,
            mapped_at_creation: false,
        });
        match pollster::block_on(scope.pop()) {
            None => Ok(buffer),
            Some(error) => Err(Error::OutOfMemory { what: what.into(), bytes, reason: error.to_string() }),
        }
    }

    /// Runs callbacks of finished work without waiting.
    ///
    /// # Errors
    /// [`Error::Lost`] when the device stopped.
    pub fn poll(&self) -> Result<(), Error> {
        self.device().poll(wgpu::PollType::Poll).map_err(|error| Error::Lost(error.to_string()))?;
        self.alive()
    }

    /// Waits until all submitted work is done.
    ///
    /// # Errors
    /// [`Error::Lost`] when the device stopped.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        self.device().poll(wgpu::PollType::wait_indefinitely()).map_err(|error| Error::Lost(error.to_string()))?;
        self.alive()
    }

    fn alive(&self) -> Result<(), Error> {
        match &*self.shared.lost.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) {
            None => Ok(()),
            Some(reason) => Err(Error::Lost(reason.clone())),
        }
    }
}
