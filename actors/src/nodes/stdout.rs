//! `Stdout`: a sink that shows text as it comes.

use std::io;

use futures_util::future::LocalBoxFuture;
use indexmap::IndexMap;
use nanomind_graphs::{NodeSpec, PlannedNode, PortSpec, PortType};

use crate::error::NodeError;
use crate::node::{Node, NodeContext};
use crate::packet::Packet;
use crate::request::RequestId;
use crate::threads::{Writer, write_at_once};

const STREAM: &str = "standard output";

pub(super) fn spec() -> NodeSpec {
    NodeSpec::sink(
        "Stdout",
        "Writes text to standard output piece by piece as it comes, and a newline after each answer. Of answers that come at \
         once, the one that began first is shown as it comes, the others after it.",
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

/// Writes whatever arrives on `text`. Of answers that come at once, the one that began first is shown as it comes, and
/// each of the others when those before it have ended.
async fn show(writer: Writer, mut context: NodeContext) -> Result<(), NodeError> {
    let broken = |source| NodeError::Stream { stream: STREAM, source };
    let mut page = Page { writer, open: None, waiting: IndexMap::new() };
    while let Some(firing) = context.next().await {
        let packet = &firing.packet;
        let mut text = String::new();
        // What was cancelled while it waited is not shown.
        page.waiting.retain(|request, (_, whole)| *whole || context.requests().is_open(*request));
        // An open answer whose request has ended in another way (cancelled, dropped) has no more to come.
        if page.open.take_if(|open| *open != packet.request && !context.requests().is_open(*open)).is_some() {
            text.push('\n');
            text.push_str(&page.turn());
        }
        if let Some(error) = packet.as_failure() {
            tracing::error!(request = packet.request.0, "{error}");
        }
        if page.open.is_some_and(|open| open != packet.request) {
            page.keep(packet);
        } else {
            if let Some(piece) = packet.as_text() {
                if !piece.is_empty() {
                    context.first_output(packet.request);
                }
                page.open = Some(packet.request);
                text.push_str(piece);
            }
            if packet.last {
                text.push_str(&page.end());
            }
        }
        page.write(text).await.map_err(broken)?;
    }
    Ok(())
}

/// The output, and whose answer stands on its last line. However the node ends, that line is ended, and what waits is shown.
struct Page {
    writer: Writer,
    open: Option<RequestId>,
    /// What has come of answers that began later, and whether that is all of it.
    waiting: IndexMap<RequestId, (String, bool)>,
}

impl Page {
    async fn write(&mut self, text: String) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        // Nothing is on its way: each write was waited for.
        match write_at_once(io::stdout(), &text) {
            Some(written) => written,
            None => self.writer.write(text).await,
        }
    }

    /// Keeps a piece of an answer for when those before it have ended.
    fn keep(&mut self, packet: &Packet) {
        if packet.as_failure().is_some() && !self.waiting.contains_key(&packet.request) {
            return;
        }
        let (text, whole) = self.waiting.entry(packet.request).or_default();
        text.push_str(packet.as_text().unwrap_or_default());
        *whole = packet.last;
    }

    /// The open answer has ended: the rest of its line, and what may be shown now.
    fn end(&mut self) -> String {
        match self.open.take() {
            Some(_) => format!("\n{}", self.turn()),
            None => String::new(),
        }
    }

    /// With no answer open, the next one that waits is: all that are whole up to it, and what it has so far.
    fn turn(&mut self) -> String {
        let mut shown = String::new();
        while let Some((request, (text, whole))) = self.waiting.shift_remove_index(0) {
            shown.push_str(&text);
            if !whole {
                self.open = Some(request);
                break;
            }
            shown.push('\n');
        }
        shown
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let mut rest = String::new();
        while self.open.is_some() {
            rest.push_str(&self.end());
        }
        // Also waits for what may still be on its way, so that it is not lost when the program ends.
        self.writer.write_last(io::stdout(), &rest);
    }
}
