//! Pipelines, compiled once for each (kernel, entry point, specialisation).

use super::{Error, Gpu, Kernel, Specialization};
use std::collections::HashMap;
use std::sync::Mutex;

/// What names a pipeline: two dispatches with equal keys share it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PipelineKey {
    /// File name of the kernel.
    pub file: &'static str,
    /// Its text: kernels of other crates may have the name of one of ours.
    pub source: &'static str,
    /// Whether it may go without bounds checks.
    pub own: bool,
    /// Entry point.
    pub entry: &'static str,
    /// Its constants, and how it reads its bindings.
    pub specialization: Specialization,
}

/// Pipelines by key.
#[derive(Default)]
pub struct PipelineCache {
    pipelines: Mutex<HashMap<PipelineKey, wgpu::ComputePipeline>>,
}

impl Gpu {
    /// The pipeline of `entry` in `kernel`, compiled on first use.
    ///
    /// # Errors
    /// [`Error::Kernel`] with the driver's message.
    pub(crate) fn pipeline(
        &self,
        kernel: &Kernel,
        entry: &'static str,
        specialization: &Specialization,
    ) -> Result<wgpu::ComputePipeline, Error> {
        let key = PipelineKey {
            file: kernel.file,
            source: kernel.source,
            own: kernel.own,
            entry,
            specialization: specialization.clone(),
        };
        let cached = |pipelines: &Mutex<HashMap<_, wgpu::ComputePipeline>>| {
            pipelines.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get(&key).cloned()
        };
        if let Some(pipeline) = cached(&self.pipelines().pipelines) {
            return Ok(pipeline);
        }
        let pipeline = self.compile(kernel, entry, specialization)?;
        self.pipelines()
            .pipelines
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .insert(key, pipeline.clone());
        Ok(pipeline)
    }

    fn compile(
        &self,
        kernel: &Kernel,
        entry: &'static str,
        specialization: &Specialization,
    ) -> Result<wgpu::ComputePipeline, Error> {
        let label = format!("{}:{entry}", kernel.file);
        let source = kernel.specialize(specialization);
        let descriptor =
            wgpu::ShaderModuleDescriptor { label: Some(&label), source: wgpu::ShaderSource::Wgsl(source.into()) };
        let scope = self.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let checks = self.checks() || !kernel.own;
        let module = if checks {
            self.device().create_shader_module(descriptor)
        } else {
            // SAFETY: the text is one of this crate's own kernels, all of which the test suite runs with these checks
            // switched on, with guard words around every buffer, and compares byte for byte with the unchecked run.
            unsafe { self.device().create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
        };
        let pipeline = self.device().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&label),
            layout: None,
            module: &module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &[],
                // Every kernel writes its workgroup memory before reading it; the checked build clears it all the same.
                zero_initialize_workgroup_memory: checks,
            },
            cache: None,
        });
        match pollster::block_on(scope.pop()) {
            None => Ok(pipeline),
            Some(error) => Err(Error::Kernel { kernel: label, reason: error.to_string() }),
        }
    }
}
