//! Threads that only wait for the outside world (a pipe, a terminal); what computes goes to an accelerator instead.

use std::io::{self, Write};
use std::sync::mpsc::{SyncSender, sync_channel};

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
    receiver.await.unwrap_or_else(|_| Err(gone()))
}

/// Text to be written, and who is told when it is.
type Order = (String, oneshot::Sender<io::Result<()>>);

/// Writes on a thread of its own: a reader that does not read holds up the writer and nobody else.
pub(crate) struct Writer {
    orders: SyncSender<Order>,
}

impl Writer {
    /// Starts the thread, which ends when this is dropped.
    pub(crate) fn start(name: &str, mut out: impl Write + Send + 'static) -> io::Result<Writer> {
        let (orders, ordered) = sync_channel::<Order>(1);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            for (text, told) in ordered {
                let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
                // Nobody waits any more when the run was stopped meanwhile.
                let _ = told.send(written);
            }
        })?;
        Ok(Writer { orders })
    }

    /// Writes and flushes, in the order of the calls.
    pub(crate) async fn write(&mut self, text: String) -> io::Result<()> {
        let (told, written) = oneshot::channel();
        self.orders.send((text, told)).map_err(|_| gone())?;
        written.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread that waited for it panicked")
}
