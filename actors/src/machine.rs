//! The machine of a run: its accelerators, made from the core groups that hal finds or a person names.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use indexmap::IndexMap;
#[cfg(feature = "gpu")]
use nanomind_hal::AcceleratorKind;
#[cfg(feature = "gpu")]
use nanomind_hal::gpu::{Gpu, GpuChoice, GpuError};
use nanomind_hal::{
    Accelerator, AcceleratorError, AcceleratorId, Clock, CoreGroup, CoreLease, CpuTopology, GroupsError, MachineMemory,
    Phase, PowerModel, default_groups, parse_groups, profile::DeviceProfile,
};
use nanomind_kernels::Isa;
#[cfg(feature = "gpu")]
use nanomind_kernels::gpu::Kernels;

use crate::homes::Homes;
use crate::jobs::Accelerators;

/// What this machine offers to graphs.
#[derive(Clone)]
pub struct Machine {
    pub(crate) clock: Clock,
    pub(crate) accelerators: Arc<Accelerators>,
    pub(crate) groups: Vec<CoreGroup>,
    pub(crate) isa: Isa,
    pub(crate) homes: Homes,
    memory: Option<u64>,
    /// What accelerators do that do not do everything: those of a device that is simulated.
    phases: IndexMap<AcceleratorId, Vec<Phase>>,
    /// What is known of the device, if anybody said which one it is.
    profile: Option<Arc<DeviceProfile>>,
}

/// Why a machine could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// The core groups make no sense here.
    #[error(transparent)]
    Groups(#[from] GroupsError),
    /// An accelerator did not start.
    #[error(transparent)]
    Accelerator(#[from] AcceleratorError),
    /// There is no such graphics processor, or it does not open.
    #[cfg(feature = "gpu")]
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// The operating system refuses what virtual time needs.
    #[error("cannot make a virtual clock: {0}")]
    Clock(#[from] io::Error),
}

impl Machine {
    /// The machine that this program runs on, with the default core groups (`cpu`, `cpu:0`, `cpu:1`) or those that
    /// `groups` names (`"0-3;4-7"`), computing with `isa` or the best instruction set that it has.
    ///
    /// # Errors
    /// When the groups name cores that are not there, or a thread cannot be started.
    pub fn detect(groups: Option<&str>, isa: Option<Isa>) -> Result<Machine, MachineError> {
        let topology = CpuTopology::detect();
        let groups = match groups {
            Some(text) => parse_groups(text, &topology)?,
            None => default_groups(&topology),
        };
        Machine::with_groups(groups, isa)
    }

    /// A machine with these core groups.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn with_groups(groups: Vec<CoreGroup>, isa: Option<Isa>) -> Result<Machine, MachineError> {
        let clock = Clock::system();
        let lease = CoreLease::new();
        let mut accelerators: Accelerators = IndexMap::new();
        for group in &groups {
            let accelerator = Accelerator::cpu(group.clone(), lease.clone(), clock.clone())?;
            accelerators.insert(accelerator.id(), accelerator);
        }
        let isa = isa.unwrap_or_else(Isa::detect);
        let memory = MachineMemory::read(Path::new("/")).map(|memory| memory.total);
        let (phases, homes) = (IndexMap::new(), Homes::default());
        Ok(Machine { clock, accelerators: Arc::new(accelerators), groups, isa, homes, memory, phases, profile: None })
    }

    /// A device of which there is a profile, simulated in virtual time that begins at `wall`: what its jobs take and draw
    /// is what the profile says. Comes with the runtime that moves its clock; runs on it are started there
    /// ([`crate::Runtime::start_in`]).
    ///
    /// # Errors
    /// When the operating system refuses what a runtime needs.
    pub fn simulated(
        profile: Arc<DeviceProfile>,
        wall: SystemTime,
    ) -> Result<(Machine, tokio::runtime::Runtime), MachineError> {
        let (clock, runtime) = Clock::simulated(wall)?;
        let lease = CoreLease::new();
        let mut accelerators: Accelerators = IndexMap::new();
        for accelerator in &profile.accelerators {
            let simulated = Accelerator::simulated(&profile, accelerator.id, lease.clone(), clock.clone())?;
            accelerators.insert(accelerator.id, simulated);
        }
        let machine = Machine {
            clock,
            accelerators: Arc::new(accelerators),
            groups: profile.core_groups(),
            isa: Isa::detect(),
            homes: Homes::default(),
            memory: Some((profile.memory.value.get() as u64) << 20),
            phases: phases_of(&profile),
            profile: Some(profile),
        };
        Ok((machine, runtime))
    }

    /// Opens a graphics processor, which becomes the accelerator `gpu`. Until then nothing of it is touched. Pipelines that
    /// earlier runs compiled are taken from the folder `cache`, if one is given.
    ///
    /// # Errors
    /// There is none like that, its driver does not open it, or its thread does not start.
    #[cfg(feature = "gpu")]
    pub fn with_gpu(mut self, choice: &GpuChoice, cache: Option<&Path>) -> Result<Machine, MachineError> {
        let id = AcceleratorId::whole(AcceleratorKind::Gpu);
        let kernels = Arc::new(Kernels::new(Gpu::open(choice, cache)?)?);
        let accelerator = Accelerator::gpu(id, kernels.gpu(), self.clock.clone())?;
        Arc::make_mut(&mut self.accelerators).insert(id, accelerator);
        self.homes = self.homes.with_device(id, kernels.into());
        Ok(self)
    }

    /// Says which device this machine is: its figures are where predictions start, and energy that no meter measures is
    /// estimated by it.
    pub fn with_profile(mut self, profile: Arc<DeviceProfile>) -> Machine {
        for accelerator in self.accelerators.values() {
            if let Some(roofline) = profile.roofline(accelerator.id()) {
                accelerator.seed_from(roofline);
            }
        }
        self.profile = Some(profile);
        self
    }

    /// What is known of the device, if anything is.
    pub fn profile(&self) -> Option<&Arc<DeviceProfile>> {
        self.profile.as_ref()
    }

    /// What the device draws by its profile, if it has one.
    pub(crate) fn power_model(&self) -> Option<PowerModel> {
        self.profile.as_deref().map(PowerModel::new)
    }

    /// Has the accelerators `own` hold weights and state in memory of their own, as a processor's groups of cores do best
    /// that have memory of their own (NUMA): a brick that moves there or away takes its state along.
    pub fn with_own_memory(mut self, own: impl IntoIterator<Item = AcceleratorId>) -> Machine {
        self.homes = self.homes.with_own(own);
        self
    }

    /// Bounds the memory that a graph may take, in bytes; without this it is all that the machine has.
    pub fn with_memory(mut self, bytes: u64) -> Machine {
        self.memory = Some(bytes);
        self
    }

    /// The machine as the check of a graph sees it.
    pub fn for_graphs(&self) -> nanomind_graphs::Machine {
        nanomind_graphs::Machine {
            accelerators: self.accelerators.keys().copied().collect(),
            phases: self.phases.clone(),
            memory: self.memory,
        }
    }

    /// Its accelerators, each with the numbers of the cores that it computes on.
    pub fn accelerators(&self) -> impl Iterator<Item = (&Accelerator, Vec<usize>)> {
        self.accelerators.values().map(|accelerator| (accelerator, self.cores_of(accelerator.id())))
    }

    /// The numbers of the cores of an accelerator; none where it is no part of the processor.
    fn cores_of(&self, accelerator: AcceleratorId) -> Vec<usize> {
        let group = self.groups.iter().find(|group| group.name == accelerator);
        group.map_or_else(Vec::new, |group| group.cpus.iter().collect())
    }

    /// The clock that stamps everything of this machine's runs.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The instruction set that kernels compute with.
    pub fn isa(&self) -> Isa {
        self.isa
    }
}

/// What the accelerators of a device do, by its profile.
pub(crate) fn phases_of(profile: &DeviceProfile) -> IndexMap<AcceleratorId, Vec<Phase>> {
    let accelerators = profile.accelerators.iter();
    accelerators.map(|accelerator| (accelerator.id, accelerator.runs.value.keys().copied().collect())).collect()
}
