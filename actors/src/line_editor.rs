//! Line editing at a terminal, with history, on a thread of its own.

use std::io;

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use tokio::sync::oneshot;

/// What the person entered.
#[derive(Debug)]
pub(crate) enum Line {
    /// A line of text.
    Text(String),
    /// Ctrl-D, or Ctrl-C at the cursor.
    End,
}

type Reply = oneshot::Sender<io::Result<Line>>;

/// Asks for one line at a time; between two lines the terminal is in its usual mode, so that Ctrl-C is a signal.
pub(crate) struct LineEditor {
    asks: std::sync::mpsc::SyncSender<Reply>,
}

impl LineEditor {
    /// Starts the thread; `invite` stands before the cursor.
    pub(crate) fn start(invite: String) -> io::Result<LineEditor> {
        let mut editor = DefaultEditor::new().map_err(io::Error::other)?;
        let (asks, asked) = std::sync::mpsc::sync_channel::<Reply>(1);
        std::thread::Builder::new().name("line-editor".to_owned()).spawn(move || {
            for reply in asked {
                // A failed send means that the run has ended while the person was typing.
                let _ = reply.send(read_line(&mut editor, &invite));
            }
        })?;
        Ok(LineEditor { asks })
    }

    /// Waits for the next line.
    pub(crate) async fn next_line(&mut self) -> io::Result<Line> {
        let gone = || io::Error::other("the line editor has ended");
        let (reply, answer) = oneshot::channel();
        self.asks.send(reply).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn read_line(editor: &mut DefaultEditor, invite: &str) -> io::Result<Line> {
    match editor.readline(invite) {
        Ok(line) => {
            if !line.trim().is_empty() {
                editor.add_history_entry(line.as_str()).map_err(io::Error::other)?;
            }
            Ok(Line::Text(line))
        }
        Err(ReadlineError::Eof | ReadlineError::Interrupted) => Ok(Line::End),
        Err(ReadlineError::Io(error)) => Err(error),
        Err(other) => Err(io::Error::other(other)),
    }
}
