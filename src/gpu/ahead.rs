//! Compiles the pipelines of a program before its first run, with all cores, for lavapipe.
//!
//! lavapipe translates a kernel to machine code when it is dispatched first, in the one thread that runs the commands of a
//! device, and keeps the result in Mesa's cache on disk, for all devices. So this dispatches each pipeline once, with no
//! workgroups. Where that takes long, because the cache has none of them yet, helpers dispatch some on devices of their own,
//! and the program's device finds these in the cache.

use super::{Error, Gpu, GpuOptions, Image, Kernel, Specialization, TensorBuffer, lavapipe, texels};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long the program's device goes on alone: loading all pipelines of a training step from the cache takes less.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Devices beside the program's; about 25 kernels of a training step take long.
const MOST_HELPERS: usize = 7;

/// Bytes of what helpers bind in place of tensors: three rows of the widest texels, and any uniform buffer.
const STAND_IN: u64 = 3 * texels::ROW as u64 * 16;

/// A pipeline, and what it is bound to.
pub(crate) struct Job {
    pub kernel: &'static Kernel,
    pub entry: &'static str,
    pub specialization: Specialization,
    /// Bytes of the array at each binding.
    pub arrays: Vec<u64>,
    /// Images that some of them are read as.
    pub images: Vec<Image>,
}

/// Has lavapipe translate `jobs`; `dispatch` dispatches one of them on `gpu` with no workgroups, and waits. Other drivers have
/// done so when they made the pipeline.
pub(crate) fn compile<E>(gpu: &Gpu, jobs: &[Job], dispatch: impl Fn(usize) -> Result<(), E>) -> Result<(), E> {
    if !lavapipe::runs(gpu.info()) {
        return Ok(());
    }
    let next = AtomicUsize::new(0);
    let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|job| *job < jobs.len());
    let helpers = (rayon::current_num_threads() - 1).min(MOST_HELPERS);
    let started = Instant::now();
    let helped = std::thread::scope(|scope| {
        let mut helped = false;
        while let Some(job) = take() {
            dispatch(job)?;
            if !helped && started.elapsed() > PATIENCE {
                helped = true;
                let left = jobs.len().saturating_sub(next.load(Ordering::Relaxed));
                for _ in 0..helpers.min(left) {
                    scope.spawn(|| help(gpu, jobs, take));
                }
            }
        }
        Ok(helped)
    })?;
    if helped { (0..jobs.len()).try_for_each(dispatch) } else { Ok(()) }
}

/// Takes jobs until none is left. What goes wrong here is left to the program's device.
fn help(gpu: &Gpu, jobs: &[Job], take: impl Fn() -> Option<usize>) {
    let options = GpuOptions {
        adapter: Some(gpu.info().name.clone()),
        checks: gpu.checks(),
        tiles: Some(gpu.tiles()),
        texels: Some(gpu.target().texels),
    };
    let Ok(own) = Gpu::open(&options) else { return };
    let mut stand_ins = Vec::new();
    while let Some(job) = take() {
        if translate(&own, &jobs[job], &mut stand_ins).is_none() {
            return;
        }
    }
}

/// Translates `job`, bound to `stand_ins`; `None` where something fails.
pub(crate) fn translate(gpu: &Gpu, job: &Job, stand_ins: &mut Vec<TensorBuffer>) -> Option<()> {
    while stand_ins.len() < job.arrays.len() {
        stand_ins.push(gpu.tensor_buffer("stand-in", STAND_IN).ok()?);
    }
    let pipeline = gpu.pipeline(job.kernel, job.entry, &job.specialization).ok()?;
    let view = |image: &Image| {
        let row = u64::from(texels::ROW) * u64::from(image.format.block_copy_size(None)?);
        // The code depends on whether an image's height is a power of two.
        let rows = if job.arrays[image.array].div_ceil(row).is_power_of_two() { 2 } else { 3 };
        stand_ins[image.array].texels(gpu, image.format, 0..rows * row)
    };
    let images: Vec<_> = job.images.iter().map(|image| Some((*image, view(image)?))).collect::<Option<_>>()?;
    let arrays = stand_ins.iter().zip(&job.arrays).map(|(buffer, bytes)| wgpu::BufferBinding {
        buffer,
        offset: 0,
        size: wgpu::BufferSize::new((*bytes).min(STAND_IN)),
    });
    let bind_group = gpu.bind_group("stand-ins", &pipeline, arrays, &images).ok()?;
    dispatch_nothing(gpu, &pipeline, &bind_group).ok()
}

/// Has the driver do all that a dispatch takes but its work, and waits.
pub(crate) fn dispatch_nothing(
    gpu: &Gpu,
    pipeline: &wgpu::ComputePipeline,
    bind_group: &wgpu::BindGroup,
) -> Result<(), Error> {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    pass.set_pipeline(pipeline);
    pass.set_bind_group(0, bind_group, &[]);
    pass.dispatch_workgroups(0, 0, 0);
    drop(pass);
    gpu.queue().submit([encoder.finish()]);
    gpu.finish()
}
