//! Threads that only wait for the outside world (a pipe, a terminal); what computes goes to an accelerator instead.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::mpsc::{SyncSender, sync_channel};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::{mpsc, oneshot};

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

/// What is no longer than this fits wherever there is any room: a pipe that is ready takes a page.
const SHORT: usize = 1024;

/// Whether `out` takes something now without making its writer wait.
fn is_ready(out: &impl AsFd) -> bool {
    let mut polled = [PollFd::new(out, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut polled, Some(&at_once)), Ok(ready) if ready > 0)
}

/// Writes a short text here and now, if `out` takes it without making anybody wait; `None` where a [`Writer`] should. On
/// a machine whose cores all compute, a piece of an answer so wakes no further thread.
pub(crate) fn write_at_once(mut out: impl Write + AsFd, text: &str) -> Option<io::Result<()>> {
    (text.len() <= SHORT && is_ready(&out)).then(|| out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Text to be written, and whom to tell when it is.
type Order = (String, Box<dyn FnOnce(io::Result<()>) + Send>);

/// Writes on a thread of its own: a reader that does not read holds up the writer and nobody else.
pub(crate) struct Writer {
    orders: SyncSender<Order>,
}

impl Writer {
    /// Starts the thread, which ends when this is dropped.
    pub(crate) fn start(name: &str, mut out: impl Write + Send + 'static) -> io::Result<Writer> {
        // One that was sent and is perhaps not taken yet, and a last one.
        let (orders, ordered) = sync_channel::<Order>(2);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            for (text, tell) in ordered {
                tell(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
            }
        })?;
        Ok(Writer { orders })
    }

    /// Writes and flushes, in the order of the calls.
    pub(crate) async fn write(&mut self, text: String) -> io::Result<()> {
        let (told, written) = oneshot::channel();
        // Nobody waits any more when the run was stopped meanwhile.
        let tell = Box::new(move |result| drop(told.send(result)));
        self.orders.send((text, tell)).map_err(|_| gone())?;
        written.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Writes a last short text without anybody to wait for it, unless `out`, which this writes to, takes nothing now: a
    /// reader that does not read must not keep the program from ending.
    pub(crate) fn write_last(&mut self, out: impl AsFd, text: &str) {
        if !is_ready(&out) {
            return;
        }
        let (told, written) = sync_channel(1);
        let tell = Box::new(move |_| {
            let _ = told.send(());
        });
        if self.orders.try_send((text.to_owned(), tell)).is_ok() {
            // An error means that the thread is gone, and the text with it.
            let _ = written.recv();
        }
    }
}

/// What a [`Worker`] does next.
type Call = Box<dyn FnOnce() + Send>;

/// Makes calls that wait, one after another on one thread of its own.
pub(crate) struct Worker {
    calls: mpsc::Sender<Call>,
}

impl Worker {
    /// Starts the thread, which ends when this is dropped and its last call has returned.
    pub(crate) fn start(name: &str) -> io::Result<Worker> {
        let (calls, mut called) = mpsc::channel::<Call>(1);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            while let Some(call) = called.blocking_recv() {
                call();
            }
        })?;
        Ok(Worker { calls })
    }

    /// Calls `wait` on the thread, after the calls before it. If nobody waits for its result any more, that is dropped on
    /// the thread. Fails when a call has panicked.
    pub(crate) async fn call<T: Send + 'static>(&self, wait: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let (sender, receiver) = oneshot::channel();
        let call = Box::new(move || drop(sender.send(wait())));
        self.calls.send(call).await.map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread that waited for it panicked")
}
