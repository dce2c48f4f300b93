//! `Stdout`: a sink that shows text as it comes.

use std::io;

use futures_util::future::LocalBoxFuture;
use nanomind_graphs::{NodeSpec, PlannedNode, PortSpec, PortType};

use crate::error::NodeError;
use crate::node::{Node, NodeContext};
use crate::request::RequestId;
use crate::threads::Writer;

const STREAM: &str = "standard output";

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
            let broken = |source| NodeError::Stream { stream: STREAM, source };
            let writer = Writer::start("standard-output", io::stdout()).map_err(broken)?;
            match show(writer, context).await {
                // The reader has seen enough (`| head`): nothing is left to do, and that is no error.
                Err(NodeError::Stream { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                result => result,
            }
        })
    }
}

/// Writes whatever arrives on `text`. Pieces of two requests are kept apart by a newline.
async fn show(writer: Writer, mut context: NodeContext) -> Result<(), NodeError> {
    let broken = |source| NodeError::Stream { stream: STREAM, source };
    let mut page = Page { writer, open: None };
    while let Some(firing) = context.next().await {
        let packet = &firing.packet;
        let mut text = String::new();
        if page.open.take_if(|request| *request != packet.request).is_some() {
            text.push('\n');
        }
        if let Some(piece) = packet.as_text() {
            if !piece.is_empty() {
                context.first_output(packet.request);
            }
            page.open = Some(packet.request);
            text.push_str(piece);
        }
        if let Some(error) = packet.as_failure() {
            tracing::error!(request = packet.request.0, "{error}");
        }
        if packet.last && page.open.take().is_some() {
            text.push('\n');
        }
        page.write(text).await.map_err(broken)?;
    }
    Ok(())
}

/// The output, and whose answer stands on its last line. However the node ends, that line is ended.
struct Page {
    writer: Writer,
    open: Option<RequestId>,
}

impl Page {
    async fn write(&mut self, text: String) -> io::Result<()> {
        if text.is_empty() { Ok(()) } else { self.writer.write(text).await }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // Also waits for what may still be on its way, so that it is not lost when the program ends.
        self.writer.write_last(io::stdout(), if self.open.is_some() { "\n" } else { "" });
    }
}
