//! A graphics processor that is opened: one device with one queue.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::adapter::{self, GpuAdapter, GpuChoice, GpuKind};
use super::error::GpuError;
use super::now;
use super::pipeline::Layouts;
use super::pipeline_cache::PipelineCache;

/// An opened graphics processor. Clones are handles of the same device, which closes with the last of them and of the
/// buffers and pipelines made with it.
#[derive(Clone)]
pub struct Gpu {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) adapter: GpuAdapter,
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) layouts: Layouts,
    pub(super) cache: Option<PipelineCache>,
    lost: Arc<AtomicBool>,
    /// The first refusal that no error scope caught, until somebody is told.
    refusal: Arc<Mutex<Option<String>>>,
}

/// What is switched on where an adapter has it.
const FEATURES: wgpu::Features = wgpu::Features::SHADER_F16
    .union(wgpu::Features::SUBGROUP)
    .union(wgpu::Features::MAPPABLE_PRIMARY_BUFFERS)
    .union(wgpu::Features::PIPELINE_CACHE);

impl Gpu {
    /// Opens an adapter. Compiled pipelines of earlier runs are taken from `cache`, a folder, if one is given, and what this
    /// run compiles is kept there when the last handle goes.
    ///
    /// # Errors
    /// There is no such adapter, or its driver does not open it.
    pub fn open(choice: &GpuChoice, cache: Option<&Path>) -> Result<Gpu, GpuError> {
        let instance = adapter::instance();
        let mut found = adapter::all(&instance);
        let described: Vec<GpuAdapter> =
            found.iter().enumerate().map(|(index, adapter)| adapter::describe(index, adapter, &instance)).collect();
        let index = choice.among(&described)?;
        let (adapter, described) = (found.swap_remove(index), described[index].clone());
        let mut features = adapter.features() & FEATURES;
        if described.kind == GpuKind::Discrete {
            // A card would move every storage buffer into memory that the processor reaches, which is the slower one.
            features.remove(wgpu::Features::MAPPABLE_PRIMARY_BUFFERS);
        }
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("nanomind"),
            required_features: features,
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let (device, queue) = now(adapter.request_device(&descriptor))
            .map_err(|error| GpuError::NotOpened { adapter: described.name.clone(), reason: error.to_string() })?;
        let (lost, refusal) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
        let (gone, refused) = (Arc::clone(&lost), Arc::clone(&refusal));
        device.set_device_lost_callback(move |reason, message| {
            tracing::debug!(?reason, message, "a graphics processor is gone");
            gone.store(true, Ordering::Release);
        });
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            refused.lock().get_or_insert_with(|| error.to_string());
        }));
        let cache = cache.and_then(|folder| PipelineCache::open(&device, folder));
        tracing::debug!(adapter = described.name, "opened a graphics processor");
        let inner = Inner { adapter: described, device, queue, layouts: Layouts::default(), cache, lost, refusal };
        Ok(Gpu { inner: Arc::new(inner) })
    }

    /// What it is and can.
    pub fn adapter(&self) -> &GpuAdapter {
        &self.inner.adapter
    }

    /// Whether it is gone. Nothing brings it back but opening it anew.
    pub fn is_lost(&self) -> bool {
        self.inner.lost.load(Ordering::Acquire)
    }

    /// Gives the device up with all that is on it, as a driver does that crashes: every later call says that it is lost.
    pub fn lose(&self) {
        self.inner.lost.store(true, Ordering::Release);
        self.inner.device.destroy();
    }

    /// The flag that says whether it is lost.
    pub(crate) fn lost_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.inner.lost)
    }

    /// That it is there and has refused nothing since this was last asked.
    ///
    /// # Errors
    /// It is lost, or a command was refused.
    pub fn check(&self) -> Result<(), GpuError> {
        if self.is_lost() {
            return Err(self.lost());
        }
        self.inner.refusal.lock().take().map_or(Ok(()), |reason| Err(self.refused(reason)))
    }

    /// Runs `make` and says what the driver had against it.
    pub(super) fn attempt<T>(&self, what: &str, bytes: u64, make: impl FnOnce() -> T) -> Result<T, GpuError> {
        if self.is_lost() {
            return Err(self.lost());
        }
        let filters = [wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Validation];
        let mut scopes: Vec<wgpu::ErrorScopeGuard> =
            filters.iter().map(|filter| self.inner.device.push_error_scope(*filter)).collect();
        let made = make();
        let mut errors = Vec::new();
        while let Some(scope) = scopes.pop() {
            errors.extend(now(scope.pop()));
        }
        if self.is_lost() {
            return Err(self.lost());
        }
        match errors.into_iter().next() {
            None => Ok(made),
            Some(wgpu::Error::OutOfMemory { .. }) => {
                Err(GpuError::OutOfMemory { adapter: self.inner.adapter.name.clone(), what: what.to_owned(), bytes })
            }
            Some(error) => Err(self.refused(format!("{what}: {error}"))),
        }
    }

    pub(super) fn lost(&self) -> GpuError {
        GpuError::Lost { adapter: self.inner.adapter.name.clone() }
    }

    pub(super) fn refused(&self, reason: String) -> GpuError {
        GpuError::Refused { adapter: self.inner.adapter.name.clone(), reason }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Without it the next run compiles again, which is no reason to trouble this one.
        if let Some(Err(error)) = self.cache.as_ref().map(PipelineCache::save) {
            tracing::info!(%error, "compiled pipelines could not be kept");
        }
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpu").field("adapter", &self.inner.adapter.name).field("lost", &self.is_lost()).finish()
    }
}
