//! `Stdout`: a sink that shows text as it comes.

use std::io::{self, Write};

use futures_util::future::LocalBoxFuture;
use nanomind_graphs::{NodeSpec, PlannedNode, PortSpec, PortType};

use crate::error::NodeError;
use crate::node::{Node, NodeContext};
use crate::request::RequestId;

pub(super) fn spec() -> NodeSpec {
    NodeSpec::sink(
        "Stdout",
        "Writes text to standard output piece by piece as it comes, and a newline after each answer.",
    )
    .input(PortSpec::new("text", PortType::Text, "What to show."))
    .example(
        r#"nodes: {
    "question": Prompt(text: "What is the capital of France?"),
    "reply":    Stdout(),
},
edges: [("question.text", "reply.text")]"#,
    )
}

pub(super) struct Stdout;

impl Stdout {
    pub(super) fn new(_: &PlannedNode) -> Result<Stdout, NodeError> {
        Ok(Stdout)
    }
}

impl Node for Stdout {
    fn run(self: Box<Self>, context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            match show(io::stdout(), context).await {
                // The reader has seen enough (`| head`): nothing is left to do, and that is no error.
                Err(NodeError::Stream { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                result => result,
            }
        })
    }
}

/// Writes whatever arrives on `text`. Pieces of two requests are kept apart by a newline.
async fn show(mut out: impl Write, mut context: NodeContext) -> Result<(), NodeError> {
    let broken = |source| NodeError::Stream { stream: "standard output", source };
    let mut open: Option<RequestId> = None;
    while let Some(firing) = context.next().await {
        let packet = &firing.packet;
        if open.is_some_and(|request| request != packet.request) {
            writeln!(out).map_err(broken)?;
            open = None;
        }
        if let Some(text) = packet.as_text() {
            if !text.is_empty() {
                context.first_output(packet.request);
            }
            out.write_all(text.as_bytes()).map_err(broken)?;
            open = Some(packet.request);
        }
        if let Some(error) = packet.as_failure() {
            tracing::error!(request = packet.request.0, "{error}");
        }
        if packet.last && open.take().is_some() {
            writeln!(out).map_err(broken)?;
        }
        out.flush().map_err(broken)?;
    }
    if open.is_some() {
        writeln!(out).map_err(broken)?;
        out.flush().map_err(broken)?;
    }
    Ok(())
}
