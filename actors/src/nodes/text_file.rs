//! `TextFile`: a sensor that reads requests from a file.

use std::path::PathBuf;

use futures_util::future::LocalBoxFuture;
use nanomind_graphs::{FieldSpec, NodeSpec, PlannedNode, PortSpec, PortType};

use crate::error::NodeError;
use crate::node::{Node, NodeContext};
use crate::packet::Packet;
use crate::reader::{TextLimit, read_text};

pub(super) fn spec() -> NodeSpec {
    NodeSpec::sensor("TextFile", "Reads a text file: one request for each line, or one for the whole file.")
        .output(PortSpec::new("text", PortType::Text, "The lines, or the whole text."))
        .field(FieldSpec::path("path", "The file, UTF-8."))
        .field(
            FieldSpec::choice("by", &["line", "file"], "What makes a request; empty lines make none.").default("line"),
        )
        .example(
            r#"nodes: {
    "questions": TextFile(path: "questions.txt"),
    "mind":      Llm(model: "smollm2-135m", history: false),
    "answers":   TextSink(path: "answers.txt"),
},
edges: [("questions.text", "mind.prompt"), ("mind.text", "answers.text")]"#,
        )
}

pub(super) struct TextFile {
    path: PathBuf,
    by_line: bool,
}

impl TextFile {
    pub(super) fn new(plan: &PlannedNode) -> Result<TextFile, NodeError> {
        Ok(TextFile { path: plan.path("path")?.to_owned(), by_line: plan.choice("by")? == "line" })
    }
}

impl Node for TextFile {
    fn run(self: Box<Self>, context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            let path = self.path.clone();
            let open = || std::fs::File::open(&self.path);
            let text = open().and_then(|file| read_text(file, TextLimit::Default));
            let text = text.map_err(|source| NodeError::File { path, source })?;
            if !self.by_line {
                return context.send("text", Packet::text(context.requests().mint(), text, 0).ending()).await;
            }
            for line in text.lines().filter(|line| !line.trim().is_empty()) {
                context.send("text", Packet::text(context.requests().mint(), line, 0).ending()).await?;
            }
            Ok(())
        })
    }
}
