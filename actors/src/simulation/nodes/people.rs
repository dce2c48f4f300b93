//! Simulated `Prompt` and `TextFile`: people who ask when the scenario says so.

use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use nanomind_graphs::PlannedNode;
use nanomind_hal::Timestamp;

use super::super::world::World;
use super::words::question;
use crate::error::NodeError;
use crate::node::{Node, NodeContext};
use crate::packet::Packet;

/// Who asks.
pub(in super::super) struct People {
    world: Rc<World>,
    /// The one question of a graph that asks no other: it is put at once, as in a run.
    standing: Option<String>,
}

impl People {
    /// Those who ask through a `Prompt`. With a text of its own and no `follow_up` it asks that alone.
    pub(in super::super) fn at_prompt(plan: &PlannedNode, world: Rc<World>) -> Result<People, NodeError> {
        let text = plan.text("text")?;
        let standing = (!text.is_empty() && !plan.bool("follow_up")?).then(|| text.to_owned());
        Ok(People { world, standing })
    }

    /// Those whose questions a file would hold.
    pub(in super::super) fn of_file(world: Rc<World>) -> People {
        People { world, standing: None }
    }

    async fn ask(&self, context: &NodeContext) -> Result<(), NodeError> {
        for asked in self.world.questions(context.name()) {
            context.clock().sleep_until(Timestamp::default() + asked.time).await;
            if self.world.blind_until(context.name(), asked.time).is_some() {
                context.count("not heard", 1);
                continue;
            }
            let request = context.requests().mint();
            self.world.asked(request.id, asked.answer);
            context.send("text", Packet::text(request, question(asked.tokens), 0).ending()).await?;
        }
        Ok(())
    }
}

impl Node for People {
    fn run(self: Box<Self>, context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            match &self.standing {
                Some(text) => {
                    let request = context.requests().mint();
                    context.send("text", Packet::text(request, text.as_str(), 0).ending()).await?;
                }
                None => self.ask(&context).await?,
            }
            // The device goes on until the scenario ends, whether somebody asks or not.
            std::future::pending().await
        })
    }
}
