//! Threads that only wait for the outside world (a pipe, a keyboard); what computes goes to an accelerator instead.

use std::io;

use tokio::sync::oneshot;

/// Calls `wait` on a thread of its own and waits for its result without holding up the control thread.
pub(crate) async fn call<T: Send + 'static>(
    name: &str,
    wait: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        // The receiver is gone when the run stops; then nobody wants the result.
        let _ = sender.send(wait());
    })?;
    receiver.await.unwrap_or_else(|_| Err(io::Error::other("the thread that waited for it panicked")))
}
