//! The accelerator actor: the control face of one accelerator. Jobs do not pass here; they go straight to its queue.

use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture};
use nanomind_hal::{Accelerator, AcceleratorStats, Clock};

/// How often a drain looks whether the queue has run empty, and the trace is told the queue depth.
const LOOK: Duration = Duration::from_millis(50);

/// Asks for the accelerator's counts.
#[derive(Message)]
#[rtype(result = "AcceleratorStats")]
pub(crate) struct Stats;

/// Waits until the queue has run empty.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct DrainQueue;

/// The actor of one accelerator.
pub(crate) struct AcceleratorActor {
    accelerator: Accelerator,
    clock: Clock,
}

impl AcceleratorActor {
    /// An actor that answers for `accelerator`.
    pub(crate) fn new(accelerator: Accelerator, clock: Clock) -> AcceleratorActor {
        AcceleratorActor { accelerator, clock }
    }
}

impl Actor for AcceleratorActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        // Looking wakes the machine up: only for a trace.
        if !tracing::enabled!(target: crate::trace::TARGET, tracing::Level::TRACE) {
            return;
        }
        let (accelerator, clock) = (self.accelerator.clone(), self.clock.clone());
        let name = format!("queue depth {}", accelerator.id());
        let watch = async move {
            let mut ticks = clock.interval(LOOK);
            let mut before = None;
            loop {
                let now = ticks.tick().await;
                let depth = accelerator.stats().queue_depth;
                if before.replace(depth) != Some(depth) {
                    crate::trace::counter(&name, depth as f64, now);
                }
            }
        };
        context.spawn(actix::fut::wrap_future(watch));
    }
}

impl Handler<Stats> for AcceleratorActor {
    type Result = MessageResult<Stats>;

    fn handle(&mut self, _: Stats, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.accelerator.stats())
    }
}

impl Handler<DrainQueue> for AcceleratorActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: DrainQueue, _: &mut Context<Self>) -> Self::Result {
        let (accelerator, clock) = (self.accelerator.clone(), self.clock.clone());
        Box::pin(async move {
            let busy = |stats: AcceleratorStats| stats.queue_depth > 0 || stats.running.is_some();
            while busy(accelerator.stats()) {
                clock.sleep(LOOK).await;
            }
        })
    }
}
