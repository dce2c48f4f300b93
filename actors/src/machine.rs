//! The machine of a run: its accelerators, made from the core groups that hal finds or a person names.

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use nanomind_hal::{
    Accelerator, AcceleratorError, Clock, CoreGroup, CoreLease, CpuTopology, GroupsError, MachineMemory,
    default_groups, parse_groups,
};
use nanomind_kernels::Isa;

use crate::jobs::Accelerators;

/// What this machine offers to graphs.
#[derive(Clone)]
pub struct Machine {
    pub(crate) clock: Clock,
    pub(crate) accelerators: Arc<Accelerators>,
    pub(crate) groups: Vec<CoreGroup>,
    pub(crate) isa: Isa,
    memory: Option<u64>,
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
        Ok(Machine { clock, accelerators: Arc::new(accelerators), groups, isa, memory })
    }

    /// Bounds the memory that a graph may take, in bytes; without this it is all that the machine has.
    pub fn with_memory(mut self, bytes: u64) -> Machine {
        self.memory = Some(bytes);
        self
    }

    /// The machine as the check of a graph sees it.
    pub fn for_graphs(&self) -> nanomind_graphs::Machine {
        nanomind_graphs::Machine { accelerators: self.accelerators.keys().copied().collect(), memory: self.memory }
    }

    /// Its accelerators, each with the numbers of the cores that it computes on.
    pub fn accelerators(&self) -> impl Iterator<Item = (&Accelerator, Vec<usize>)> {
        self.groups.iter().filter_map(|group| {
            let accelerator = self.accelerators.get(&group.name)?;
            Some((accelerator, group.cpus.iter().collect()))
        })
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
