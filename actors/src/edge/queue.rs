//! The queue under an edge: the one place that knows which channel library is used.

use std::pin::Pin;
use std::task::{Context, Poll};

use flume::r#async::RecvStream;
use futures_util::Stream;

pub(super) struct QueueSender<T>(flume::Sender<T>);

/// The queue was full; the item comes back.
pub(super) struct Full<T>(pub(super) T);

pub(super) struct QueueReceiver<T: 'static>(RecvStream<'static, T>);

/// A second way out of the queue, for the sender that drops what is oldest.
pub(super) struct QueueDrain<T>(flume::Receiver<T>);

pub(super) fn bounded<T>(capacity: usize) -> (QueueSender<T>, QueueReceiver<T>, QueueDrain<T>) {
    let (sender, receiver) = flume::bounded(capacity);
    let drain = QueueDrain(receiver.clone());
    (QueueSender(sender), QueueReceiver(receiver.into_stream()), drain)
}

impl<T> Clone for QueueSender<T> {
    fn clone(&self) -> Self {
        QueueSender(self.0.clone())
    }
}

impl<T> QueueSender<T> {
    /// Waits for room. False when nobody is left to receive.
    pub(super) async fn push(&self, item: T) -> bool {
        self.0.send_async(item).await.is_ok()
    }

    /// Does not wait.
    pub(super) fn try_push(&self, item: T) -> Result<(), Full<T>> {
        self.0.try_send(item).map_err(|error| Full(error.into_inner()))
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.is_full()
    }
}

impl<T> Clone for QueueReceiver<T> {
    fn clone(&self) -> Self {
        QueueReceiver(self.0.clone())
    }
}

impl<T> QueueReceiver<T> {
    /// The next item; `None` once every sender is gone and the queue is empty. Safe to abandon between polls.
    pub(super) fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll_next(cx)
    }

    /// Items waiting now.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl<T> Clone for QueueDrain<T> {
    fn clone(&self) -> Self {
        QueueDrain(self.0.clone())
    }
}

impl<T> QueueDrain<T> {
    pub(super) fn pop_oldest(&self) -> Option<T> {
        self.0.try_recv().ok()
    }
}
