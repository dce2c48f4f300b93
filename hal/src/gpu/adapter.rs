//! Adapters: which graphics processors there are, what they can do, and which is meant.

use std::fmt;
use std::str::FromStr;

use super::error::GpuError;
use super::now;

/// A graphics processor as its driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuAdapter {
    /// Its place in the list of [`adapters`].
    pub index: usize,
    /// What its driver calls it.
    pub name: String,
    /// The interface that it is spoken to through: `vulkan` or `metal`.
    pub backend: String,
    /// The driver and its version.
    pub driver: String,
    /// What kind of device it is.
    pub kind: GpuKind,
    /// What it may be asked for at most.
    pub limits: GpuLimits,
    /// What it can do beyond what all can.
    pub features: GpuFeatures,
}

/// What kind of device an adapter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GpuKind {
    /// A card with memory of its own.
    Discrete,
    /// A part of the processor's chip that shares its memory.
    Integrated,
    /// A share of a device of another machine.
    Virtual,
    /// The processor that plays a graphics processor: right, but slow.
    Emulated,
    /// Something else.
    Other,
}

/// What an adapter may be asked for at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuLimits {
    /// Bytes of one buffer.
    pub buffer_bytes: u64,
    /// Bytes of one buffer that a shader can reach.
    pub binding_bytes: u64,
    /// Buffers that one shader can reach.
    pub bindings: u32,
    /// Bytes of memory that a workgroup shares.
    pub workgroup_bytes: u32,
    /// Invocations of a workgroup.
    pub workgroup_size: u32,
    /// Workgroups of a dispatch in each direction.
    pub workgroups: u32,
    /// What places of parameters in a buffer are multiples of, in bytes.
    pub parameter_alignment: u32,
}

/// What an adapter can do beyond what all can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuFeatures {
    /// Arithmetic in half precision.
    pub f16: bool,
    /// Sums and exchanges among the invocations that run in step: between how few and how many they are.
    pub subgroups: Option<(u32, u32)>,
    /// Buffers that both shaders and the processor reach where they are.
    pub host_visible: bool,
    /// Dot products of four 8-bit integers. Where the device has none, its driver emulates them.
    pub int8_dot: bool,
    /// Compiled pipelines can be kept from run to run.
    pub pipeline_cache: bool,
}

impl GpuAdapter {
    /// Whether the processor itself plays the graphics processor.
    pub fn is_emulated(&self) -> bool {
        self.kind == GpuKind::Emulated
    }
}

/// The graphics processors that have a driver, in the driver's order. Loads drivers, opens no device.
pub fn adapters() -> Vec<GpuAdapter> {
    let instance = instance();
    let described = all(&instance).into_iter().enumerate();
    described.map(|(index, adapter)| describe(index, &adapter, &instance)).collect()
}

/// Which graphics processor is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum GpuChoice {
    /// The one that promises most: a card, else a part of the chip, else whatever there is.
    #[default]
    Best,
    /// The one at this place in the list of [`adapters`].
    Index(usize),
    /// The first whose name has this part, in upper or lower case.
    Name(String),
}

impl FromStr for GpuChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<GpuChoice, Self::Err> {
        Ok(match text.parse() {
            Ok(index) => GpuChoice::Index(index),
            Err(_) if text.is_empty() => GpuChoice::Best,
            Err(_) => GpuChoice::Name(text.to_owned()),
        })
    }
}

impl fmt::Display for GpuChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GpuChoice::Best => f.write_str("best"),
            GpuChoice::Index(index) => write!(f, "{index}"),
            GpuChoice::Name(name) => f.write_str(name),
        }
    }
}

impl GpuChoice {
    /// The place of the one that is meant among `adapters`.
    ///
    /// # Errors
    /// There is none, or none that is meant.
    pub(super) fn among(&self, adapters: &[GpuAdapter]) -> Result<usize, GpuError> {
        if adapters.is_empty() {
            return Err(GpuError::NoAdapter);
        }
        let chosen = match self {
            GpuChoice::Best => adapters.iter().min_by_key(|adapter| (adapter.kind, adapter.index)),
            GpuChoice::Index(index) => adapters.iter().find(|adapter| adapter.index == *index),
            GpuChoice::Name(part) => {
                let part = part.to_lowercase();
                adapters.iter().find(|adapter| adapter.name.to_lowercase().contains(&part))
            }
        };
        chosen.map(|adapter| adapter.index).ok_or_else(|| {
            let names = adapters.iter().map(|adapter| format!("{} {:?}", adapter.index, adapter.name));
            GpuError::NotFound { wanted: self.to_string(), found: names.collect::<Vec<_>>().join(", ") }
        })
    }
}

/// The way to the drivers. Layers that check every call are for those who debug drivers.
pub(super) fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL;
    descriptor.flags = wgpu::InstanceFlags::empty();
    wgpu::Instance::new(descriptor)
}

/// The adapters of all drivers.
pub(super) fn all(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    now(instance.enumerate_adapters(wgpu::Backends::all()))
}

/// What an adapter is and can.
pub(super) fn describe(index: usize, adapter: &wgpu::Adapter, instance: &wgpu::Instance) -> GpuAdapter {
    let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => GpuKind::Discrete,
        wgpu::DeviceType::IntegratedGpu => GpuKind::Integrated,
        wgpu::DeviceType::VirtualGpu => GpuKind::Virtual,
        wgpu::DeviceType::Cpu => GpuKind::Emulated,
        wgpu::DeviceType::Other => GpuKind::Other,
    };
    let subgroups = features.contains(wgpu::Features::SUBGROUP);
    let dots = wgpu::WgslLanguageFeatures::Packed4x8IntegerDotProduct;
    GpuAdapter {
        index,
        name: info.name,
        backend: format!("{:?}", info.backend).to_lowercase(),
        driver: [info.driver, info.driver_info].join(" ").trim().to_owned(),
        kind,
        limits: GpuLimits {
            buffer_bytes: limits.max_buffer_size,
            binding_bytes: limits.max_storage_buffer_binding_size,
            bindings: limits.max_storage_buffers_per_shader_stage,
            workgroup_bytes: limits.max_compute_workgroup_storage_size,
            workgroup_size: limits.max_compute_invocations_per_workgroup,
            workgroups: limits.max_compute_workgroups_per_dimension,
            parameter_alignment: limits.min_uniform_buffer_offset_alignment,
        },
        features: GpuFeatures {
            f16: features.contains(wgpu::Features::SHADER_F16),
            subgroups: subgroups.then_some((info.subgroup_min_size, info.subgroup_max_size)),
            host_visible: features.contains(wgpu::Features::MAPPABLE_PRIMARY_BUFFERS),
            int8_dot: instance.wgsl_language_features().contains(dots),
            pipeline_cache: features.contains(wgpu::Features::PIPELINE_CACHE),
        },
    }
}

impl fmt::Display for GpuKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            GpuKind::Discrete => "card",
            GpuKind::Integrated => "integrated",
            GpuKind::Virtual => "virtual",
            GpuKind::Emulated => "emulated on the processor",
            GpuKind::Other => "of unknown kind",
        })
    }
}

impl fmt::Display for GpuFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subgroups = match self.subgroups {
            Some((least, most)) if least == most => Some(format!("subgroups of {least}")),
            Some((least, most)) => Some(format!("subgroups of {least} to {most}")),
            None => None,
        };
        let named = [("f16", self.f16), ("host-visible buffers", self.host_visible), ("int8 dot", self.int8_dot)];
        let named = named.iter().filter(|(_, there)| *there).map(|(name, _)| (*name).to_owned());
        let all: Vec<String> = named.chain(subgroups).collect();
        f.write_str(if all.is_empty() { "no features beyond the least" } else { "" })?;
        f.write_str(&all.join(", "))
    }
}
