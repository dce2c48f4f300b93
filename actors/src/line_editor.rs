//! Line editing at a terminal, with history, on a thread of its own.

use std::io::{self, Write};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use tokio::sync::oneshot;

/// So many lines can be called back with the arrow keys.
const HISTORY_LINES: usize = 500;

/// What the person entered.
#[derive(Debug)]
pub(crate) enum Line {
    /// A line of text.
    Text(String),
    /// Ctrl-C at the cursor.
    Interrupt,
    /// Ctrl-D.
    End,
}

/// Turns the terminal's bracketed paste off, which an editor turns on for the time of a line.
const PASTE_OFF_AND_NEWLINE: &[u8] = b"\x1b[?2004l\n";

type Reply = oneshot::Sender<io::Result<Line>>;

/// Asks for one line at a time; between two lines the terminal is in its usual mode, so that Ctrl-C is a signal.
pub(crate) struct LineEditor {
    asks: std::sync::mpsc::SyncSender<Reply>,
    /// How the terminal was before the first line.
    usual: Option<Termios>,
    asking: bool,
}

impl LineEditor {
    /// Starts the thread; `invite` stands before the cursor.
    pub(crate) fn start(invite: String) -> io::Result<LineEditor> {
        let (asks, asked) = std::sync::mpsc::sync_channel::<Reply>(1);
        std::thread::Builder::new().name("line-editor".to_owned()).spawn(move || {
            let mut history = Vec::new();
            for reply in asked {
                // A failed send means that the run has ended while the person was typing.
                let _ = reply.send(read_line(&mut history, &invite));
            }
        })?;
        Ok(LineEditor { asks, usual: tcgetattr(io::stdin()).ok(), asking: false })
    }

    /// Waits for the next line.
    pub(crate) async fn next_line(&mut self) -> io::Result<Line> {
        let gone = || io::Error::other("the line editor has ended");
        let (reply, answer) = oneshot::channel();
        self.asks.send(reply).map_err(|_| gone())?;
        self.asking = true;
        let line = answer.await.unwrap_or_else(|_| Err(gone()));
        self.asking = false;
        line
    }
}

impl Drop for LineEditor {
    fn drop(&mut self) {
        // The run ends while the thread still waits for a key (a signal from elsewhere): nobody but us can leave the
        // terminal as we found it. Where that fails there is no terminal any more.
        if let Some(usual) = self.usual.as_ref().filter(|_| self.asking) {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, usual);
            let _ = io::stderr().write_all(PASTE_OFF_AND_NEWLINE);
            tracing::warn!("stopped while waiting for a line");
        }
    }
}

/// Reads a line with an editor made for it alone: as long as an editor lives, it keeps the signal of Ctrl-C from whoever
/// listened before.
fn read_line(history: &mut Vec<String>, invite: &str) -> io::Result<Line> {
    let mut editor = DefaultEditor::new().map_err(io::Error::other)?;
    for line in history.iter() {
        editor.add_history_entry(line).map_err(io::Error::other)?;
    }
    match editor.readline(invite) {
        Ok(line) => {
            if !line.trim().is_empty() && history.last() != Some(&line) {
                history.push(line.clone());
                let too_many = history.len().saturating_sub(HISTORY_LINES);
                history.drain(..too_many);
            }
            Ok(Line::Text(line))
        }
        Err(ReadlineError::Interrupted) => Ok(Line::Interrupt),
        Err(ReadlineError::Eof) => Ok(Line::End),
        Err(ReadlineError::Io(error)) => Err(error),
        Err(other) => Err(io::Error::other(other)),
    }
}
