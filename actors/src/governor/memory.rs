//! What the governor remembers from one input to the next.

use std::collections::BTreeMap;

use nanomind_hal::Timestamp;

use super::input::Hold;
use super::mode::Mode;
use crate::duty::Duty;

/// What the governor remembers from one input to the next. It changes only with inputs that matter, so that a log of
/// those alone gives it again.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Memory {
    /// The power mode.
    pub mode: Mode,
    /// What is asked of the nodes.
    pub duty: Duty,
    /// Whether it has looked yet.
    pub(super) begun: bool,
    /// When the mode changed last.
    pub(super) mode_since: Timestamp,
    /// α as it was posted, of which later levels must differ by a step to count.
    pub(super) alpha: Option<f64>,
    /// Whether it was hot.
    pub(super) hot: bool,
    /// Who holds a mode.
    pub(super) holds: Vec<Hold>,
    /// The mode that the person running the graph chose.
    pub(super) chosen: Option<Mode>,
    /// Since when another placement has looked worthwhile.
    pub(super) urge_since: Option<Timestamp>,
    /// When each node moved last.
    pub(super) moved: BTreeMap<String, Timestamp>,
}
