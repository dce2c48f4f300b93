//! The outputs of a node: each fans out to the edges that start at it.

use std::sync::Arc;

use crate::edge::{EdgeClosed, EdgeSender};
use crate::packet::Packet;

/// All outputs of one node.
#[derive(Clone)]
pub struct Outputs {
    edges: Vec<(Arc<str>, EdgeSender)>,
}

impl Outputs {
    /// Edges by the output port that they start at, in the order of the plan.
    pub fn new(edges: Vec<(Arc<str>, EdgeSender)>) -> Outputs {
        Outputs { edges }
    }

    /// Whether anything listens on `port`.
    pub fn is_connected(&self, port: &str) -> bool {
        self.edges.iter().any(|(name, _)| &**name == port)
    }

    /// Sends to every edge of `port`, waiting for room where the edge's policy is to block. A port that nobody listens to
    /// takes everything.
    ///
    /// Fails only when every edge of the port is closed: one ended consumer does not silence the others.
    pub async fn send(&self, port: &str, packet: Packet) -> Result<(), EdgeClosed> {
        let mut closed = None;
        let mut open = false;
        let mut edges = self.edges.iter().filter(|(name, _)| &**name == port).peekable();
        let mut packet = Some(packet);
        while let Some((_, edge)) = edges.next() {
            let copy = if edges.peek().is_some() { packet.clone() } else { packet.take() };
            let Some(copy) = copy else { break };
            match edge.send(copy).await {
                Ok(()) => open = true,
                Err(error) => closed = Some(error),
            }
        }
        match closed {
            Some(error) if !open => Err(error),
            _ => Ok(()),
        }
    }

    /// Sends to every edge of every port: how a failed request is told to all who wait for it.
    pub async fn send_everywhere(&self, packet: Packet) -> Result<(), EdgeClosed> {
        let mut closed = None;
        let mut open = self.edges.is_empty();
        for (_, edge) in &self.edges {
            match edge.send(packet.clone()).await {
                Ok(()) => open = true,
                Err(error) => closed = Some(error),
            }
        }
        match closed {
            Some(error) if !open => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether the node has no outgoing edge: it is a sink.
    pub fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }
}
