//! `TokenEmbedding`: a brick that looks up the embedding rows of a text's tokens, straight into a slot of the
//! token-aware buffer manager.

use std::path::PathBuf;

use futures_util::future::LocalBoxFuture;
use nanomind_bricks::{Special, TokenId};
use nanomind_graphs::{FieldSpec, MemoryNeed, NodeSpec, PlannedNode, PortSpec, PortType};
use nanomind_hal::tabm::SlotWriter;
use nanomind_hal::{AcceleratorKind, JobClass, JobCost, Phase};

use super::whole_text::WholeText;
use crate::error::NodeError;
use crate::inputs::Firing;
use crate::jobs::JobSpec;
use crate::node::{Node, NodeContext};
use crate::packet::{Embeddings, Packet, Payload};
use crate::request::Request;
use crate::residence::Residence;
use crate::weights::{LoadedModel, WeightSource};

pub(super) fn spec() -> NodeSpec {
    NodeSpec::brick("TokenEmbedding", "Looks up the embedding rows of a text's tokens in a language model's table.")
        .input(PortSpec::new("text", PortType::Text, "Text to embed, without special tokens.").optional())
        .input(PortSpec::new("tokens", PortType::Tokens, "Token ids to embed.").optional())
        .output(PortSpec::new("embeddings", PortType::embeddings_of("model"), "One row for each token."))
        .field(FieldSpec::model("model", "The language model whose table and tokenizer are used."))
        .field(
            FieldSpec::integer("max_tokens", 1..=65_536, "Rows that a slot holds; a longer text is refused.")
                .unit("tokens")
                .default(512),
        )
        .runs_on(&[AcceleratorKind::Cpu])
        .phases(&[Phase::Embed])
        .memory(MemoryNeed::Model { field: "model".to_owned(), context: None, sequences: None, kv_format: None })
        .example(
            r#"nodes: {
    "question":  Prompt(text: "What colour is it?"),
    "background": TokenEmbedding(model: "smollm2-135m"),
    "mind":      Llm(model: "smollm2-135m"),
    "reply":     Stdout(),
},
edges: [
    ("question.text", "background.text"),
    ("background.embeddings", "mind.embeddings"),
    ("question.text", "mind.prompt"),
    ("mind.text", "reply.text"),
]"#,
        )
}

pub(super) struct TokenEmbedding {
    file: PathBuf,
    max_tokens: usize,
    texts: WholeText,
}

impl TokenEmbedding {
    pub(super) fn new(plan: &PlannedNode) -> Result<TokenEmbedding, NodeError> {
        let max_tokens = usize::try_from(plan.integer("max_tokens")?).unwrap_or(1);
        Ok(TokenEmbedding { file: plan.model("model")?.path.clone(), max_tokens, texts: WholeText::default() })
    }

    /// What a firing completes, if it completes anything.
    fn take(&mut self, firing: &Firing) -> Option<Said> {
        match &firing.packet.payload {
            Payload::Tokens(tokens) => Some(Said::Tokens(tokens.to_vec())),
            _ => self.texts.push(&firing.packet).map(Said::Text),
        }
    }
}

/// What is to be embedded.
enum Said {
    Text(String),
    Tokens(Vec<TokenId>),
}

impl Said {
    fn tokens(self, loaded: &LoadedModel) -> Vec<TokenId> {
        match self {
            Said::Tokens(tokens) => tokens,
            Said::Text(text) => loaded.tokenizer.encode_first(&text, Special::Plain),
        }
    }
}

impl Node for TokenEmbedding {
    fn run(mut self: Box<Self>, mut context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            let residence: Residence<LoadedModel> = Residence::new(WeightSource::language(&self.file));
            residence.prepare(&context).await?;
            while let Some(firing) = context.next().await {
                let (said, request) = (self.take(&firing), firing.packet.request());
                drop(firing);
                let Some(said) = said else { continue };
                if let Some(stage) = residence.enter_for(&context, request).await? {
                    let tokens = said.tokens(stage.weights());
                    embed(&context, stage.weights(), self.max_tokens, request, tokens).await?;
                }
            }
            Ok(())
        })
    }
}

/// Writes the rows of `tokens` into a slot and sends them.
async fn embed(
    context: &NodeContext,
    loaded: &LoadedModel,
    most: usize,
    request: Request,
    tokens: Vec<TokenId>,
) -> Result<(), NodeError> {
    if tokens.is_empty() || tokens.len() > most {
        let found = tokens.len();
        return context.refuse(request, format!("expected 1 to {most} tokens (field max_tokens), found {found}")).await;
    }
    let (count, width) = (tokens.len(), loaded.model.config().width);
    let spec = JobSpec {
        phase: Phase::Embed,
        tokens: u32::try_from(count).unwrap_or(u32::MAX),
        class: JobClass::Prefill,
        cost: JobCost { flops: (count * width) as u64, bytes: (count * width * 4) as u64 },
        request: Some(request.id),
    };
    let pool = context.slot_pool("embeddings", most, width)?;
    let mut slot: SlotWriter = context.lend_turn_for(pool.acquire()).await;
    let model = loaded.model.clone();
    let written = context.jobs().run(spec, move |_| {
        let rows = &mut slot.rows_mut_f32()[..count * width];
        model.embed(&tokens, rows).map(|()| slot)
    });
    let slot = written.await?.value;
    if context.is_cancelled(request.epoch) {
        return Ok(());
    }
    match slot {
        Ok(slot) => {
            let rows = Embeddings::whole(slot.publish(count), None);
            context.send("embeddings", Packet::embeddings(request, rows)).await
        }
        Err(error) => context.refuse(request, error).await,
    }
}
