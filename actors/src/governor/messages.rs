//! What the governor and the nodes say to each other.

use actix::Message;
use nanomind_hal::AcceleratorId;

/// To a node: its jobs go to `accelerator` from the next one on.
#[derive(Clone, PartialEq, Debug, Message)]
#[rtype(result = "()")]
pub struct Assign {
    /// The node.
    pub node: String,
    /// Where its next job goes.
    pub accelerator: AcceleratorId,
    /// Why, for the log.
    pub reason: String,
}

/// To the governor, from a node that was asked to move every so many tokens: the number of tokens is reached. The answer
/// is where to go on, or `None` where there is no other place.
#[derive(Clone, PartialEq, Debug, Message)]
#[rtype(result = "Option<Assign>")]
pub struct MigrateDue {
    /// The node.
    pub node: String,
    /// Tokens between two moves.
    pub every: u64,
}
