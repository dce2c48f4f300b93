//! Compiled pipelines, kept from run to run in a folder of the caller's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The cache of one device: what its driver made of shaders, and the file where that is kept.
pub(super) struct PipelineCache {
    pub(super) cache: wgpu::PipelineCache,
    file: PathBuf,
    /// What earlier runs left.
    found: Option<Vec<u8>>,
}

impl PipelineCache {
    /// The cache in `folder`, with what earlier runs left there; none where the adapter or its driver keeps none.
    pub(super) fn open(device: &wgpu::Device, folder: &Path) -> Option<PipelineCache> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let file = folder.join(wgpu::util::pipeline_cache_key(&device.adapter_info())?);
        let found = fs::read(&file).ok();
        let descriptor = wgpu::PipelineCacheDescriptor { label: None, data: found.as_deref(), fallback: true };
        // SAFETY: files of this name are written by `save` alone, whole or not at all, from what the same interface
        // gave for a device of the same maker and model; its header, which is checked, tells drivers and versions apart.
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        Some(PipelineCache { cache, file, found })
    }

    /// Writes down what there is, for later runs, unless they find it already.
    ///
    /// # Errors
    /// The folder or the file cannot be written.
    pub(super) fn save(&self) -> io::Result<()> {
        let Some(data) = self.cache.get_data().filter(|data| self.found.as_ref() != Some(data)) else { return Ok(()) };
        if let Some(folder) = self.file.parent() {
            fs::create_dir_all(folder)?;
        }
        // Written beside it and moved, so that nobody reads half of it; named for the process, as others may write too.
        let beside = self.file.with_extension(format!("{}.part", std::process::id()));
        fs::write(&beside, data)?;
        fs::rename(&beside, &self.file)
    }
}
