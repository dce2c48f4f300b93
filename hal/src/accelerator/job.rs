//! A job from submission to result: the handle that its submitter waits on, and the work behind it.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use super::id::AcceleratorId;
use super::order::JobLabel;
use crate::clock::Timestamp;
use crate::cpu::Lane;

/// A result with its timing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobDone<T> {
    /// What the work gave back.
    pub value: T,
    /// When it was submitted, started and finished.
    pub timing: JobTiming,
    /// How long it was predicted to run, when it started.
    pub predicted: Duration,
}

/// When a job was submitted, started and finished, on the accelerator's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobTiming {
    /// When it was handed to the accelerator.
    pub submitted: Timestamp,
    /// When its work began, cores in hand.
    pub started: Timestamp,
    /// When its work ended.
    pub finished: Timestamp,
}

impl JobTiming {
    /// The time from submission to start.
    pub fn waited(&self) -> Duration {
        self.started.since(self.submitted)
    }

    /// The time from start to end.
    pub fn ran(&self) -> Duration {
        self.finished.since(self.started)
    }
}

/// Why a job has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// Its work panicked. The accelerator and all other jobs are unharmed.
    #[error("{label} panicked: {message}")]
    Panicked {
        /// Whose work it was.
        label: JobLabel,
        /// What the panic said.
        message: String,
    },
    /// The accelerator cannot do this: its profile does not list the phase.
    #[error("{label}: {accelerator} cannot {}", label.phase)]
    Unsupported {
        /// The accelerator.
        accelerator: AcceleratorId,
        /// Whose work it was.
        label: JobLabel,
    },
    /// The accelerator was lost before the job had ended: its driver or its power is gone.
    #[error("{label}: {accelerator} was lost")]
    Lost {
        /// The accelerator.
        accelerator: AcceleratorId,
        /// Whose work it was.
        label: JobLabel,
    },
    /// The accelerator was stopped before the job began.
    #[error("{accelerator} was stopped")]
    Stopped {
        /// The accelerator.
        accelerator: AcceleratorId,
    },
}

/// A job that was submitted: a future of its result. Dropping it does not take the job back.
#[must_use = "the result of a job, or its error, comes through its handle"]
pub struct JobHandle<T: 'static> {
    accelerator: AcceleratorId,
    result: flume::Receiver<JobResult<T>>,
    waiting: flume::r#async::RecvFut<'static, JobResult<T>>,
}

type JobResult<T> = Result<JobDone<T>, JobError>;

impl<T: 'static> JobHandle<T> {
    /// Blocks this thread until the job has ended. Not for async code: there, await the handle; and not for a simulated
    /// accelerator, whose jobs are run by the thread that would be blocked.
    ///
    /// # Errors
    /// The work panicked, or the accelerator was stopped first.
    pub fn wait(self) -> Result<JobDone<T>, JobError> {
        self.result.recv().unwrap_or(Err(JobError::Stopped { accelerator: self.accelerator }))
    }
}

impl<T: 'static> Future for JobHandle<T> {
    type Output = Result<JobDone<T>, JobError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let accelerator = self.accelerator;
        Pin::new(&mut self.waiting).poll(context).map(|result| result.unwrap_or(Err(JobError::Stopped { accelerator })))
    }
}

impl<T: 'static> fmt::Debug for JobHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle").field("accelerator", &self.accelerator).finish_non_exhaustive()
    }
}

/// A job with its types erased. Dropped before its result was handed over, it tells its handle that the accelerator
/// was stopped.
pub(super) trait Job: Send {
    /// Does the work on `lane` and keeps what comes of it; whether it came to its end.
    fn work(&mut self, lane: &Lane) -> bool;

    /// Hands over what came of the work. By then the accelerator's books are written and its cores given back, so
    /// whoever receives it finds them so.
    fn deliver(self: Box<Self>, label: &JobLabel, timing: JobTiming, predicted: Duration);

    /// Hands over an error in place of work that was not done.
    fn refuse(self: Box<Self>, error: JobError);
}

/// Makes a job of `work`, and the handle that waits for it.
pub(super) fn job<T, F>(accelerator: AcceleratorId, work: F) -> (Box<dyn Job>, JobHandle<T>)
where
    T: Send + 'static,
    F: FnOnce(&Lane) -> T + Send + 'static,
{
    let (reply, result) = flume::bounded(1);
    let waiting = result.clone().into_recv_async();
    (Box::new(Work { stage: Stage::Waiting(work), reply }), JobHandle { accelerator, result, waiting })
}

struct Work<T, F> {
    stage: Stage<T, F>,
    reply: flume::Sender<JobResult<T>>,
}

enum Stage<T, F> {
    Waiting(F),
    Running,
    Done(thread::Result<T>),
}

impl<T: Send, F: FnOnce(&Lane) -> T + Send> Job for Work<T, F> {
    fn work(&mut self, lane: &Lane) -> bool {
        let Stage::Waiting(work) = std::mem::replace(&mut self.stage, Stage::Running) else { return false };
        // A job owns what it works on and it is dropped with it, so nobody sees what a panic left half done.
        let outcome = catch_unwind(AssertUnwindSafe(|| work(lane)));
        let succeeded = outcome.is_ok();
        self.stage = Stage::Done(outcome);
        succeeded
    }

    fn deliver(self: Box<Self>, label: &JobLabel, timing: JobTiming, predicted: Duration) {
        let Stage::Done(outcome) = self.stage else { return };
        let result = outcome
            .map(|value| JobDone { value, timing, predicted })
            .map_err(|panic| JobError::Panicked { label: label.clone(), message: panic_message(&*panic) });
        // There is room for one; the handle may be gone, which is its owner's right.
        let _ = self.reply.try_send(result);
    }

    fn refuse(self: Box<Self>, error: JobError) {
        let _ = self.reply.try_send(Err(error));
    }
}

/// What a panic said.
fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}
