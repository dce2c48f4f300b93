//! Simulated sinks: they take every packet at once, and the time at which answers begin and end.

use std::rc::Rc;

use futures_util::future::LocalBoxFuture;

use super::super::world::World;
use crate::error::NodeError;
use crate::node::{Node, NodeContext};

/// Whoever reads the answers.
pub(in super::super) struct Reader {
    pub(in super::super) world: Rc<World>,
}

impl Node for Reader {
    fn run(self: Box<Self>, mut context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            while let Some(firing) = context.next().await {
                let packet = &firing.packet;
                let Some(piece) = packet.as_text() else { continue };
                if !piece.is_empty() {
                    context.first_output(packet.request);
                }
                if packet.last
                    && let Some(times) = context.requests().times(packet.request)
                {
                    self.world.answered(times, context.clock().now());
                }
            }
            Ok(())
        })
    }
}

/// A sink that only looks on.
pub(in super::super) struct Onlooker;

impl Node for Onlooker {
    fn run(self: Box<Self>, mut context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            while context.next().await.is_some() {}
            Ok(())
        })
    }
}

/// A node as in a run, which the device outlives.
pub(in super::super) struct Lasting<N>(pub(in super::super) N);

impl<N: Node + 'static> Node for Lasting<N> {
    fn run(self: Box<Self>, context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            Box::new(self.0).run(context).await?;
            std::future::pending().await
        })
    }
}
