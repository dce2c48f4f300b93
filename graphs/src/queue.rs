//! The queue of an edge: how much it holds and what happens when it is full.
use std::fmt;

use serde::Serialize;

/// What happens to a packet that finds its edge full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QueuePolicy {
    /// The sender waits: back-pressure, nothing is lost.
    Block,
    /// It replaces everything that waits.
    Latest,
    /// The oldest packet makes room.
    DropOldest,
    /// It is dropped.
    DropNewest,
}

impl QueuePolicy {
    pub(crate) const ALL: [Self; 4] = [Self::Block, Self::Latest, Self::DropOldest, Self::DropNewest];

    /// As a graph writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Block => "Block",
            Self::Latest => "Latest",
            Self::DropOldest => "DropOldest",
            Self::DropNewest => "DropNewest",
        }
    }
}

impl fmt::Display for QueuePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The queue of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Queue {
    /// What happens when it is full.
    pub policy: QueuePolicy,
    /// Packets that it holds, at least 1.
    pub packets: u32,
    /// Tokens (rows of an embedding, token ids) that its packets may have together; `None`: only packets count.
    pub tokens: Option<u64>,
}
