//! Homes: which memory weights and state are in, by the accelerator that computes on them.

use std::collections::BTreeSet;
use std::sync::Arc;

use nanomind_hal::AcceleratorId;

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
pub(crate) struct Homes(Arc<BTreeSet<AcceleratorId>>);

impl Homes {
    /// All share the machine's memory but `own`.
    pub(crate) fn with_own(own: impl IntoIterator<Item = AcceleratorId>) -> Homes {
        Homes(Arc::new(own.into_iter().collect()))
    }

    /// The home of what `accelerator` computes on.
    pub(crate) fn of(&self, accelerator: AcceleratorId) -> Home {
        if self.0.contains(&accelerator) { Home::Own(accelerator) } else { Home::Shared }
    }
}
