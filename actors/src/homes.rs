//! Homes: which memory weights and state are in, by the accelerator that computes on them.

use std::collections::BTreeMap;
use std::sync::Arc;

use nanomind_bricks::language::Target;
use nanomind_hal::AcceleratorId;
use nanomind_kernels::Isa;

/// A memory that weights and the state built on them are in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Home {
    /// The machine's, which most accelerators share.
    Shared,
    /// An accelerator's own.
    Own(AcceleratorId),
}

/// Which accelerators of a machine have memory of their own. What a node has in another home must be brought there before
/// the node can work there.
#[derive(Clone, Default, Debug)]
pub(crate) struct Homes(Arc<BTreeMap<AcceleratorId, Option<Target>>>);

impl Homes {
    /// The cores `own` have memory of their own, too.
    pub(crate) fn with_own(mut self, own: impl IntoIterator<Item = AcceleratorId>) -> Homes {
        Arc::make_mut(&mut self.0).extend(own.into_iter().map(|id| (id, None)));
        self
    }

    /// The accelerator `id` is a device with memory of its own, which computes models as `target`.
    #[cfg(feature = "gpu")]
    pub(crate) fn with_device(mut self, id: AcceleratorId, target: Target) -> Homes {
        Arc::make_mut(&mut self.0).insert(id, Some(target));
        self
    }

    /// The home of what `accelerator` computes on.
    pub(crate) fn of(&self, accelerator: AcceleratorId) -> Home {
        if self.0.contains_key(&accelerator) { Home::Own(accelerator) } else { Home::Shared }
    }

    /// What models are computed with on `accelerator`, where cores compute with `isa`.
    pub(crate) fn target(&self, accelerator: AcceleratorId, isa: Isa) -> Target {
        self.0.get(&accelerator).cloned().flatten().unwrap_or(Target::Cpu(isa))
    }
}
