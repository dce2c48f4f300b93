//! Ctrl-C for verbs without an event loop: they end at once, or look at a flag, and the exit code is 130.
use std::{
    io, process,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

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

/// From now on the first Ctrl-C sets the flag that this gives, for a verb that has something to clean up; a second one
/// ends the process at once.
///
/// # Errors
/// Fails when the system gives no thread or signal handler.
pub fn flag() -> io::Result<&'static AtomicBool> {
    static INTERRUPTED: AtomicBool = AtomicBool::new(false);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let waiting = move || {
        while runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            if INTERRUPTED.swap(true, Ordering::Relaxed) {
                process::exit(Code::Interrupted as i32);
            }
        }
    };
    thread::Builder::new().name("ctrl-c".into()).spawn(waiting)?;
    Ok(&INTERRUPTED)
}
