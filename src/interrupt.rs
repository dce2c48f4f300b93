//! Ctrl-C for verbs that have nothing to drain: they end at once, with exit code 130.
use std::{io, process, thread};

use crate::exit::Code;

/// From now on Ctrl-C prints `message` on stderr and ends the process. For verbs that keep nothing in memory that
/// would be lost; a verb that drains has its own way.
///
/// # Errors
/// Fails when the system gives no thread or signal handler.
pub fn end_at_once(message: &'static str) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let waiting = move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            eprintln!("\n{message}");
            process::exit(Code::Interrupted as i32);
        }
    };
    thread::Builder::new().name("ctrl-c".into()).spawn(waiting).map(drop)
}
