//! `TextSink`: a sink that keeps answers in a file.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use futures_util::future::LocalBoxFuture;
use nanomind_graphs::{FieldSpec, NodeSpec, PlannedNode, PortSpec, PortType};

use super::whole_text::WholeText;
use crate::error::NodeError;
use crate::node::{Node, NodeContext};

pub(super) fn spec() -> NodeSpec {
    NodeSpec::sink("TextSink", "Writes each whole text to a file as one line block, and flushes after each.")
        .input(PortSpec::new("text", PortType::Text, "What to keep."))
        .field(FieldSpec::path("path", "The file."))
        .field(
            FieldSpec::choice(
                "mode",
                &["replace", "append"],
                "`replace` fills a file of its own beside it and gives it the name when the run ends (a device or a pipe is \
                 written directly); `append` adds to it.",
            )
            .default("replace"),
        )
        .example(
            r#"nodes: {
    "note":  Prompt(text: "remember this"),
    "notes": TextSink(path: "notes.txt", mode: "append"),
},
edges: [("note.text", "notes.text")]"#,
        )
}

pub(super) struct TextSink {
    path: PathBuf,
    append: bool,
}

impl TextSink {
    pub(super) fn new(plan: &PlannedNode) -> Result<TextSink, NodeError> {
        Ok(TextSink { path: plan.path("path")?.to_owned(), append: plan.choice("mode")? == "append" })
    }
}

impl Node for TextSink {
    fn run(self: Box<Self>, mut context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            let TextSink { path, append } = *self;
            let failed = |source| NodeError::File { path: path.clone(), source };
            // A restarted sink goes on in the file that its first life has filled.
            let mut file = Target::open(&path, append || context.life() > 0).map_err(failed)?;
            let mut texts = WholeText::default();
            while let Some(firing) = context.next().await {
                if let Some(error) = firing.packet.as_failure() {
                    tracing::error!(request = firing.packet.request.0, "{error}");
                    continue;
                }
                if let Some(text) = texts.push(&firing.packet) {
                    file.write(&text).map_err(failed)?;
                }
            }
            file.finish().map_err(failed)
        })
    }
}

/// The file being written. A replaced file gets its name at the end, or when the sink is dropped after the first text:
/// nobody reads half a file, and nothing that was written is lost.
struct Target {
    file: File,
    /// The name while it is written and the name it gets.
    rename: Option<(PathBuf, PathBuf)>,
    texts: u64,
}

impl Target {
    fn open(path: &Path, append: bool) -> io::Result<Target> {
        if append {
            let file = File::options().create(true).append(true).open(path)?;
            return Ok(Target { file, rename: None, texts: 0 });
        }
        // A name given to a file takes it from what bore it: a device or a pipe must keep its own, and so must a link.
        if std::fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            let file = File::options().write(true).open(path)?;
            return Ok(Target { file, rename: None, texts: 0 });
        }
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let part = path.with_file_name(name);
        let file = File::create(&part)?;
        Ok(Target { file, rename: Some((part, path)), texts: 0 })
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.texts += 1;
        let newline = if text.ends_with('\n') { "" } else { "\n" };
        self.file.write_all(format!("{text}{newline}").as_bytes())?;
        self.file.flush()
    }

    fn finish(mut self) -> io::Result<()> {
        self.settle()
    }

    fn settle(&mut self) -> io::Result<()> {
        let Some((part, path)) = self.rename.take() else { return Ok(()) };
        self.file.sync_all()?;
        std::fs::rename(part, path)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if self.texts == 0 {
            if let Some((part, _)) = self.rename.take() {
                // Nothing was written, so the file that may already be there stays as it is.
                let _ = std::fs::remove_file(part);
            }
        } else if let Err(error) = self.settle() {
            tracing::error!("the answers could not be given their file name: {error}");
        }
    }
}
