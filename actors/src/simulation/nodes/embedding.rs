//! Simulated `TokenEmbedding`: rows of a text's tokens, a job a text.

use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use nanomind_bricks::shape::LanguageShape;
use nanomind_graphs::PlannedNode;
use nanomind_hal::{JobClass, Phase};

use super::super::world::World;
use super::words;
use crate::error::NodeError;
use crate::inputs::Firing;
use crate::jobs::JobSpec;
use crate::node::{Node, NodeContext};
use crate::nodes::whole_text::WholeText;
use crate::packet::{Embeddings, Packet, Payload};
use crate::residence::Residence;
use crate::weights::{WeightBytes, WeightSource};

/// The node.
pub(in super::super) struct Lookup {
    shape: LanguageShape,
    /// What the graph calls the model.
    model: String,
    max_tokens: usize,
    texts: WholeText,
}

impl Lookup {
    pub(in super::super) fn new(plan: &PlannedNode, world: &Rc<World>) -> Result<Lookup, NodeError> {
        let max_tokens = usize::try_from(plan.integer("max_tokens")?).unwrap_or(1);
        let model = plan.model("model")?.reference.clone();
        Ok(Lookup { shape: world.language(plan, "model")?, model, max_tokens, texts: WholeText::default() })
    }

    /// How many tokens a firing completes, if it completes any.
    fn tokens(&mut self, firing: &Firing) -> Option<usize> {
        match &firing.packet.payload {
            Payload::Tokens(tokens) => Some(tokens.len()),
            _ => self.texts.push(&firing.packet).map(|text| words::tokens(&text)),
        }
    }
}

impl Node for Lookup {
    fn run(mut self: Box<Self>, mut context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            let source = WeightSource::simulated(&self.model, "language", self.shape.weight_bytes(), self.shape.load());
            let residence: Residence<WeightBytes> = Residence::new(source);
            residence.prepare(&context).await?;
            let pool = context.slot_pool("embeddings", self.max_tokens, self.shape.width)?;
            while let Some(firing) = context.next().await {
                let request = firing.packet.request();
                let Some(count) = self.tokens(&firing) else { continue };
                drop(firing);
                let Some(_stage) = residence.enter_for(&context, request).await? else { continue };
                if count == 0 || count > self.max_tokens {
                    let cause = format!("expected 1 to {} tokens (field max_tokens), found {count}", self.max_tokens);
                    context.refuse(request, cause).await?;
                    continue;
                }
                let spec = JobSpec {
                    phase: Phase::Embed,
                    tokens: u32::try_from(count).unwrap_or(u32::MAX),
                    class: JobClass::Prefill,
                    cost: self.shape.embed(count),
                    request: Some(request.id),
                };
                let slot = context.lend_turn_for(pool.acquire()).await;
                context.jobs().run(spec, |_| ()).await?;
                if context.is_cancelled(request.epoch) {
                    continue;
                }
                let rows = Embeddings::whole(slot.publish(count), None);
                context.send("embeddings", Packet::embeddings(request, rows)).await?;
            }
            Ok(())
        })
    }
}
