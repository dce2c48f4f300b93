//! `Prompt`: a sensor for what a person asks: from the graph, from a pipe, or line by line at a terminal.

use std::io::{self, IsTerminal};

use futures_util::future::LocalBoxFuture;
use nanomind_graphs::{FieldSpec, NodeSpec, PlannedNode, PortSpec, PortType};

use crate::error::NodeError;
use crate::line_editor::{Line, LineEditor};
use crate::node::{Node, NodeContext};
use crate::packet::Packet;
use crate::reader::{TextLimit, read_text};
use crate::threads::Writer;

pub(super) fn spec() -> NodeSpec {
    NodeSpec::sensor(
        "Prompt",
        "Sends what a person asks: `text` if it is set; else standard input, which makes one request of a whole pipe, and \
         one of each line at a terminal, until Ctrl-D. With `follow_up`, lines at a terminal come after `text`, too.",
    )
    .output(PortSpec::new("text", PortType::Text, "The question."))
    .field(FieldSpec::text("text", "The question; empty: read standard input.").default(""))
    .field(FieldSpec::bool("follow_up", "Whether a person at a terminal may ask on after `text`.").default(false))
    .field(FieldSpec::text("invite", "What stands before the cursor at a terminal.").default("> "))
    .example(
        r#"nodes: {
    "question": Prompt(),
    "mind":     Llm(model: "smollm2-135m"),
    "reply":    Stdout(),
},
edges: [("question.text", "mind.prompt"), ("mind.text", "reply.text")]"#,
    )
}

pub(super) struct Prompt {
    text: String,
    follow_up: bool,
    invite: String,
}

impl Prompt {
    pub(super) fn new(plan: &PlannedNode) -> Result<Prompt, NodeError> {
        let text = |field| plan.text(field).map(str::to_owned);
        Ok(Prompt { text: text("text")?, follow_up: plan.bool("follow_up")?, invite: text("invite")? })
    }
}

impl Node for Prompt {
    fn run(self: Box<Self>, context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            let Prompt { text, follow_up, invite } = *self;
            let at_terminal = io::stdin().is_terminal();
            match text.is_empty() {
                true if at_terminal => converse(&invite, &context).await,
                true => ask_pipe(&context).await,
                false if follow_up && at_terminal && io::stdout().is_terminal() => {
                    ask_shown(&invite, text, &context).await?;
                    converse(&invite, &context).await
                }
                false => {
                    let request = context.requests().mint();
                    context.send("text", Packet::text(request, text, 0).ending()).await
                }
            }
        })
    }
}

/// Asks `text` as if the person had typed it, and waits for the answer.
async fn ask_shown(invite: &str, text: String, context: &NodeContext) -> Result<(), NodeError> {
    let stream = |source| NodeError::Stream { stream: "terminal", source };
    // Whoever loads a model shows it on the same terminal.
    context.others_ready().await;
    let mut terminal = Writer::start("prompt", io::stderr()).map_err(stream)?;
    terminal.write(format!("{invite}{text}\n")).await.map_err(stream)?;
    let request = context.requests().mint();
    context.send("text", Packet::text(request, text, 0).ending()).await?;
    context.requests().settled(request.id).await;
    Ok(())
}

/// Everything that the pipe holds is one question, but for the newline that `echo` adds.
async fn ask_pipe(context: &NodeContext) -> Result<(), NodeError> {
    const STREAM: &str = "standard input";
    // Read on a thread of its own: the control thread must not wait for whoever writes into the pipe.
    let reading = crate::threads::call("standard-input", || read_text(io::stdin().lock(), TextLimit::Default));
    let text = reading.await.map_err(|source| NodeError::Stream { stream: STREAM, source })?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if text.trim().is_empty() {
        return Err(NodeError::EmptyInput { stream: STREAM });
    }
    context.send("text", Packet::text(context.requests().mint(), text, 0).ending()).await
}

/// Line by line; the next line is asked for when the answer to the last one is complete.
async fn converse(invite: &str, context: &NodeContext) -> Result<(), NodeError> {
    let stream = |source| NodeError::Stream { stream: "terminal", source };
    let mut editor = LineEditor::start(invite.to_owned()).map_err(stream)?;
    // Whoever loads a model shows it on the same terminal.
    context.others_ready().await;
    loop {
        match editor.next_line().await.map_err(stream)? {
            Line::Text(text) if text.trim().is_empty() => {}
            Line::Text(text) => {
                let request = context.requests().mint();
                context.send("text", Packet::text(request, text, 0).ending()).await?;
                context.requests().settled(request.id).await;
            }
            Line::Interrupt => {
                context.drain_run();
                return Ok(());
            }
            Line::End => return Ok(()),
        }
    }
}
