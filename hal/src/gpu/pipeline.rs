//! Pipelines: compiled shaders, what they reach, and the buffers that are bound to them.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use parking_lot::Mutex;

use super::buffer::Buffer;
use super::device::Gpu;
use super::error::GpuError;

/// Buffers that one shader reaches at most.
const MOST_BUFFERS: usize = 12;

/// How a shader reaches the buffer at one binding of group 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// `var<uniform>` of so many bytes, at an offset that each dispatch names.
    Parameters(u32),
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    Write,
}

/// A shader's text and what it is compiled for.
#[derive(Clone, Copy, Debug)]
pub struct PipelineText<'a> {
    /// What it is called in errors and in debuggers.
    pub label: &'a str,
    /// The text in WGSL.
    pub wgsl: &'a str,
    /// The function that is the kernel.
    pub entry: &'a str,
    /// How each binding of group 0 is reached, in order.
    pub bindings: &'a [Access],
    /// Values of `override` constants by name.
    pub constants: &'a [(&'a str, f64)],
}

/// A compiled shader.
pub struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    bindings: Vec<Access>,
}

/// Buffers that are bound to all pipelines with the same list of [`Access`].
pub struct Bindings {
    pub(super) group: wgpu::BindGroup,
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("bindings", &self.bindings).finish_non_exhaustive()
    }
}

impl fmt::Debug for Bindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bindings").finish_non_exhaustive()
    }
}

/// One layout for each list of bindings, so that buffers bound once serve all pipelines that reach them alike.
#[derive(Default)]
pub(super) struct Layouts {
    known: Mutex<HashMap<Vec<Access>, Arc<Layout>>>,
}

struct Layout {
    layout: wgpu::BindGroupLayout,
    /// What is bound by it, by the numbers of the buffers.
    bound: Mutex<HashMap<Box<[u64]>, Arc<Bindings>>>,
}

impl Layouts {
    /// Unbinds a buffer that is dropped, which would stay in memory otherwise.
    pub(super) fn unbind(&self, buffer: u64) {
        for layout in self.known.lock().values() {
            layout.bound.lock().retain(|buffers, _| !buffers.contains(&buffer));
        }
    }
}

impl Gpu {
    /// Compiles a shader, or takes it from the pipeline cache. Takes milliseconds to seconds.
    ///
    /// # Errors
    /// The text does not compile or does not fit its bindings, or the device is lost.
    pub fn pipeline(&self, text: &PipelineText) -> Result<Pipeline, GpuError> {
        self.attempt(text.label, 0, || {
            let device = &self.inner.device;
            let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(text.label),
                source: wgpu::ShaderSource::Wgsl(text.wgsl.into()),
            });
            let group = &self.layout(text.bindings).layout;
            let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some(text.label),
                bind_group_layouts: &[Some(group)],
                ..Default::default()
            });
            let compilation_options = wgpu::PipelineCompilationOptions {
                constants: text.constants,
                // Kernels write what they share before they read it.
                zero_initialize_workgroup_memory: false,
            };
            let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(text.label),
                layout: Some(&layout),
                module: &module,
                entry_point: Some(text.entry),
                compilation_options,
                cache: self.inner.cache.as_ref().map(|cache| &cache.cache),
            });
            Pipeline { pipeline, bindings: text.bindings.to_vec() }
        })
    }

    /// Binds `buffers` in order, for this pipeline and all with the same list of [`Access`]. What was bound before, and is
    /// still there, is taken as it is.
    ///
    /// # Errors
    /// A buffer is not of the use that the pipeline makes of it, or the device is lost.
    pub fn bind(&self, pipeline: &Pipeline, buffers: &[&Buffer]) -> Result<Arc<Bindings>, GpuError> {
        let layout = self.layout(&pipeline.bindings);
        let mut ids = [0; MOST_BUFFERS];
        let Some(ids) = ids.get_mut(..buffers.len()) else {
            return Err(self.refused(format!("{} buffers for one shader, at most {MOST_BUFFERS}", buffers.len())));
        };
        for (id, buffer) in ids.iter_mut().zip(buffers) {
            *id = buffer.id();
        }
        if let Some(bindings) = layout.bound.lock().get(&*ids) {
            return Ok(Arc::clone(bindings));
        }
        let entries: Vec<wgpu::BindGroupEntry> = pipeline
            .bindings
            .iter()
            .zip(buffers)
            .enumerate()
            .map(|(binding, (access, buffer))| {
                let size = match access {
                    Access::Parameters(bytes) => NonZeroU64::new(u64::from(*bytes)),
                    Access::Read | Access::Write => None,
                };
                let resource =
                    wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: &buffer.buffer, offset: 0, size });
                wgpu::BindGroupEntry { binding: binding as u32, resource }
            })
            .collect();
        let group = self.attempt("bindings", 0, || {
            let descriptor = wgpu::BindGroupDescriptor { label: None, layout: &layout.layout, entries: &entries };
            self.inner.device.create_bind_group(&descriptor)
        })?;
        let bindings = Arc::new(Bindings { group });
        layout.bound.lock().insert((&*ids).into(), Arc::clone(&bindings));
        Ok(bindings)
    }

    fn layout(&self, bindings: &[Access]) -> Arc<Layout> {
        let mut known = self.inner.layouts.known.lock();
        if let Some(layout) = known.get(bindings) {
            return Arc::clone(layout);
        }
        let entries: Vec<wgpu::BindGroupLayoutEntry> = bindings
            .iter()
            .enumerate()
            .map(|(binding, access)| {
                let (ty, bytes) = match access {
                    Access::Parameters(bytes) => (wgpu::BufferBindingType::Uniform, Some(*bytes)),
                    Access::Read => (wgpu::BufferBindingType::Storage { read_only: true }, None),
                    Access::Write => (wgpu::BufferBindingType::Storage { read_only: false }, None),
                };
                let min_binding_size = bytes.and_then(|bytes| NonZeroU64::new(u64::from(bytes)));
                let ty = wgpu::BindingType::Buffer { ty, has_dynamic_offset: bytes.is_some(), min_binding_size };
                let visibility = wgpu::ShaderStages::COMPUTE;
                wgpu::BindGroupLayoutEntry { binding: binding as u32, visibility, ty, count: None }
            })
            .collect();
        let descriptor = wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries };
        let layout = self.inner.device.create_bind_group_layout(&descriptor);
        let layout = Arc::new(Layout { layout, bound: Mutex::default() });
        known.insert(bindings.to_vec(), Arc::clone(&layout));
        layout
    }
}
