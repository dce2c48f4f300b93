//! `Llm`: a brick that answers prompts with a language model, one job a step, so that it can be moved between any two.

mod answer;
mod asks;
mod desk;
mod fields;
mod migration;
mod mind;

use std::path::PathBuf;

use futures_util::future::LocalBoxFuture;
use nanomind_graphs::{Demand, FieldSpec, FieldType, MemoryNeed, NodeSpec, PlannedNode, PortSpec, PortType};
use nanomind_hal::{AcceleratorKind, Phase};

use crate::error::NodeError;
use crate::node::{Node, NodeContext};
use crate::packet::Packet;
use crate::request::{Request, RequestEnd};
use crate::residence::Residence;
use crate::weights::{LoadedModel, WeightSource};
pub(crate) use asks::{Ask, Asked, Asks};
pub(crate) use desk::CHUNKS;
use desk::{Desk, dealt_with};
use fields::LlmFields;
use mind::Readers;

pub(super) fn spec() -> NodeSpec {
    let ports = NodeSpec::brick(
        "Llm",
        "Answers each prompt with a language model, token by token; remembers the turns before. A question may be about \
         pictures; with `prompt` latched and `embeddings` as the trigger, the last question is asked about each picture of \
         a stream, which makes a request of its own. With `parallel` it answers several requests at once, each as it would \
         alone.",
    )
    .input(PortSpec::new("prompt", PortType::Text, "The question; it may come in pieces."))
    .input(
        PortSpec::new(
            "embeddings",
            PortType::embeddings_of("model"),
            "Pictures that stand before the question of the same request, in the order of the edges, as many as `pictures` \
             says. Those that the conversation looks at already are not read again.",
        )
        .joined()
        .optional()
        .many()
        .keeps("pictures"),
    )
    .output(PortSpec::new("text", PortType::Text, "The answer, piece by piece."))
    .output(PortSpec::new("tokens", PortType::Tokens, "The token ids of the answer, one by one."));
    with_fields(ports)
        .runs_on(&[AcceleratorKind::Cpu, AcceleratorKind::Gpu])
        .phases(&[Phase::Prefill, Phase::Decode])
        .memory(MemoryNeed::Model {
            field: "model".to_owned(),
            context: Some("context".to_owned()),
            sequences: Some("parallel".to_owned()),
            kv_format: Some("kv_cache".to_owned()),
        })
        .example(
            r#"nodes: {
    "question": Prompt(text: "What is the capital of France?"),
    "mind":     Llm(model: "smollm2-135m", context: 2048, temperature: 0, max_tokens: 64),
    "reply":    Stdout(),
},
edges: [("question.text", "mind.prompt"), ("mind.text", "reply.text")]"#,
        )
}

fn with_fields(spec: NodeSpec) -> NodeSpec {
    spec.field(FieldSpec::model("model", "The model: a name of the catalogue or a GGUF file."))
        .field(
            FieldSpec::integer("context", 16..=1_048_576, "Positions of the KV cache: template, turns and answer together.")
                .unit("tokens")
                .default(2048),
        )
        .field(
            FieldSpec::choice(
                "kv_cache",
                &["f16", "q8_0"],
                "How keys and values are kept: in half precision, or in blocks of 32 × 8 bit, which take 53 % of that.",
            )
            .default("f16"),
        )
        .field(FieldSpec::text("system", "The system message; empty: whatever the template says by itself.").default(""))
        .field(FieldSpec::number("temperature", 0.0..=100.0, "Randomness of the choice; 0: always the likeliest.").default(0.8))
        .field(FieldSpec::integer("top_k", 0..=1_000_000, "Only the so many likeliest; 0: all.").unit("tokens").default(40))
        .field(FieldSpec::number("top_p", 0.0..=1.0, "Only the likeliest that add up to this; 1: all.").default(0.95))
        .field(
            FieldSpec::number("min_p", 0.0..=1.0, "Only those at least so likely as against the likeliest; 0: all.")
                .default(0.05),
        )
        .field(
            FieldSpec::number("repeat_penalty", 0.01..=100.0, "Above 1 makes tokens of the last 64 less likely.").default(1.0),
        )
        .field(
            FieldSpec::integer("seed", -1..=i64::MAX, "Start of the random numbers; -1: another one in each run.").default(-1),
        )
        .field(FieldSpec::integer("max_tokens", 1..=1_048_576, "Longest answer.").unit("tokens").default(1024))
        .field(
            FieldSpec::list("stop", FieldType::Text, "Texts that end an answer; they are not part of it.")
                .default(nanomind_graphs::FieldValue::List(Vec::new())),
        )
        .field(FieldSpec::bool("history", "Whether a question sees the turns before it.").default(true))
        .field(
            FieldSpec::choice(
                "on_full",
                &["forget_oldest", "refuse"],
                "When turns and question exceed the context, or their pictures `pictures`: forget the oldest turns (the \
                 system message stays), or refuse the question. An answer that reaches the end of the context ends there.",
            )
            .default("forget_oldest"),
        )
        .field(
            FieldSpec::integer(
                "pictures",
                1..=64,
                "Pictures that the turns may show together, and one question by itself. Their rows stay in their slots \
                 for as long as the turn is remembered.",
            )
            .default(2),
        )
        .field(
            FieldSpec::integer(
                "parallel",
                1..=64,
                "Requests that are answered at once: a step of all of them reads the weights once. Each has a KV cache of \
                 `context` tokens.",
            )
            .unit("requests")
            .default(1),
        )
        .field(
            FieldSpec::integer(
                "speculate",
                0..=64,
                "Tokens that a step may guess, from what followed the last ones before, and check: answers that quote or \
                 repeat come sooner, to the same tokens. 0: none.",
            )
            .unit("tokens")
            .default(0),
        )
        .demand(Demand {
            field: "parallel".to_owned(),
            above: 1,
            other: "history".to_owned(),
            value: false,
            reason: "requests that are answered at once have no turns before them: set history: false".to_owned(),
        })
}

/// The node.
pub(super) struct Llm {
    file: PathBuf,
    fields: LlmFields,
}

impl Llm {
    pub(super) fn new(plan: &PlannedNode) -> Result<Llm, NodeError> {
        Ok(Llm { file: plan.model("model")?.path.clone(), fields: LlmFields::of(plan)? })
    }
}

impl Node for Llm {
    fn run(self: Box<Self>, mut context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            let residence: Residence<LoadedModel, Readers> = Residence::following(WeightSource::language(&self.file));
            residence.prepare(&context).await?;
            let mut asks = Asks::new(self.fields.pictures());
            let mut desk = Desk::new(&self.fields.resolve(context.clock()), self.fields.parallel());
            loop {
                while desk.has_room(&context) {
                    let next = match desk.is_idle() {
                        true => context.next().await,
                        false => context.next_if_there().await,
                    };
                    let Some(firing) = next else { break };
                    let (asked, request) = (asks.take(&firing), firing.packet.request());
                    drop(firing);
                    match asked {
                        Asked::InPieces => {}
                        Asked::Nothing => pass_over(&context, request),
                        Asked::TooMany => context.refuse(request, too_many(self.fields.pictures())).await?,
                        Asked::Whole(ask) => seat(&mut context, &residence, &mut desk, *ask).await?,
                    }
                }
                if desk.is_idle() {
                    return Ok(());
                }
                desk.step(&mut context).await?;
            }
        })
    }
}

/// Has `ask` join those that are answered, unless it is cancelled before.
async fn seat(
    context: &mut NodeContext,
    residence: &Residence<LoadedModel, Readers>,
    desk: &mut Desk,
    ask: Ask,
) -> Result<(), NodeError> {
    let kept = context.keep();
    if !desk.has_stage() {
        match residence.enter_for(context, ask.request).await? {
            Some(stage) => desk.begin(stage),
            None => {
                dealt_with(context, kept, ask.latched);
                return Ok(());
            }
        }
    }
    desk.join(context, ask, kept).await
}

/// A picture that came before any question is out of date when the first one comes: it is dropped, and counted.
pub(crate) fn pass_over(context: &NodeContext, request: Request) {
    tracing::info!(node = &**context.name(), "no question has come yet: pictures are passed over");
    context.count("pictures before any question", 1);
    context.requests().settle(request.id, RequestEnd::Dropped);
}

/// What is wrong with a request that brings more than `most` pictures.
pub(crate) fn too_many(most: usize) -> String {
    format!("expected at most {most} pictures of one request (field pictures), found more")
}

/// What the node sends of an answer.
pub(super) fn piece(request: Request, text: String, last: bool) -> Packet {
    let packet = Packet::text(request, text, 1);
    if last { packet.ending() } else { packet }
}
