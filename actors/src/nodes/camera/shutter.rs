//! The shutter: takes frames on a thread that waits for the camera, and waits for a camera that is away.

use std::sync::Arc;
use std::time::Duration;

use nanomind_hal::camera::{Camera, CameraError, CameraSource, Frame};
use nanomind_hal::{Clock, FolderChange, FolderWatch, WatchFor};

use crate::error::NodeError;
use crate::threads::Worker;

/// Between two tries to open a camera that is away, while nothing tells that it is back: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The name of the thread.
const THREAD: &str = "camera";

/// A frame and what is known of it.
pub(super) struct Taken {
    /// The camera's name.
    pub(super) camera: Arc<str>,
    pub(super) frame: Frame,
    /// Frames that the camera took since the last one, and that nobody sees.
    pub(super) missed: u64,
}

enum State {
    Here(Box<dyn Camera>),
    /// A frame is being taken; left behind where the taking was abandoned.
    Busy,
    Away(Away),
}

/// A camera that is away.
struct Away {
    /// Why.
    lost: CameraError,
    /// Tells when something shows up where it would.
    watch: Option<FolderWatch>,
    /// Whether something has happened since the last try to open it.
    try_now: bool,
}

/// A camera, here or away.
pub(super) struct Shutter {
    source: Arc<dyn CameraSource>,
    clock: Clock,
    worker: Worker,
    state: State,
    /// The camera's count at the last frame since it was opened.
    last: Option<u64>,
    /// How long to wait for the next try to open it.
    pause: Duration,
    /// How often it has come back since that was asked last.
    returns: u64,
}

impl Shutter {
    /// Opens the camera, which must be there.
    pub(super) async fn open(source: Arc<dyn CameraSource>, clock: Clock) -> Result<Shutter, NodeError> {
        let worker = Worker::start(THREAD).map_err(thread)?;
        let opener = source.clone();
        let camera = worker.call(move || opener.open()).await.map_err(thread)??;
        Ok(Shutter { source, clock, worker, state: State::Here(camera), last: None, pause: FIRST_PAUSE, returns: 0 })
    }

    pub(super) fn is_away(&self) -> bool {
        matches!(self.state, State::Away(_))
    }

    /// How often the camera has come back since this was asked last.
    pub(super) fn returns(&mut self) -> u64 {
        std::mem::take(&mut self.returns)
    }

    /// A fresh frame, or why there is none: then the camera is away. The outer error ends the node.
    pub(super) async fn take(&mut self) -> Result<Result<Taken, CameraError>, NodeError> {
        // Whoever asks all the time leaves no pause in which it could be seen that the camera is back.
        if matches!(&self.state, State::Away(away) if away.try_now) {
            self.reopen().await?;
        }
        let mut camera = match std::mem::replace(&mut self.state, State::Busy) {
            State::Here(camera) => camera,
            State::Busy => return Err(thread(std::io::Error::other("a frame is being taken already"))),
            State::Away(away) => {
                let lost = away.lost.clone();
                self.state = State::Away(away);
                return Ok(Err(lost));
            }
        };
        let name: Arc<str> = camera.name().into();
        // Whatever the camera needs to be closed happens on the thread too.
        let taken = self.worker.call(move || camera.frame().map(|frame| (camera, frame))).await;
        let lost = match taken {
            Ok(Ok((camera, frame))) => {
                self.state = State::Here(camera);
                self.pause = FIRST_PAUSE;
                let last = self.last.replace(frame.sequence);
                let missed = last.map_or(0, |last| frame.sequence.saturating_sub(last + 1));
                return Ok(Ok(Taken { camera: name, frame, missed }));
            }
            Ok(Err(lost)) => lost,
            Err(panic) => {
                self.worker = Worker::start(THREAD).map_err(thread)?;
                CameraError::Broken { device: name.to_string(), step: "take a frame", cause: panic.to_string() }
            }
        };
        tracing::warn!(error = %lost, "lost the camera; waiting for it to come back");
        let watch = FolderWatch::new(self.source.folder(), WatchFor::Devices).ok();
        // One that gave no frame since it was opened is not opened again at once.
        let try_now = self.last.take().is_some();
        self.state = State::Away(Away { lost: lost.clone(), watch, try_now });
        Ok(Err(lost))
    }

    /// Waits until the camera is here again. Abandoning the wait loses nothing. Fails where the camera has come back as
    /// one that cannot be used.
    pub(super) async fn returned(&mut self) -> Result<(), NodeError> {
        while let State::Away(away) = &mut self.state {
            if !away.try_now {
                if let Wake::Pause = away.wake(&self.clock, self.pause).await {
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                }
                away.try_now = true;
            }
            self.reopen().await?;
        }
        Ok(())
    }

    /// Tries to open the camera that is away. A try that was abandoned is made again: what it opened is closed before.
    async fn reopen(&mut self) -> Result<(), NodeError> {
        let opener = self.source.clone();
        let opened = self.worker.call(move || opener.open()).await.map_err(thread)?;
        match (opened, &mut self.state) {
            (Ok(camera), state) => {
                tracing::info!(camera = camera.name(), "the camera is back");
                *state = State::Here(camera);
                self.returns += 1;
            }
            (Err(error), _) if !error.may_pass() => return Err(error.into()),
            (Err(error), state) => {
                tracing::debug!(%error, "the camera is not back yet");
                if let State::Away(away) = state {
                    away.try_now = false;
                }
            }
        }
        Ok(())
    }
}

/// What ended the wait for a camera.
enum Wake {
    /// Something has shown up.
    Change,
    /// Time has passed.
    Pause,
}

impl Away {
    /// Waits until something shows up where the camera would, or for `pause`.
    async fn wake(&mut self, clock: &Clock, pause: Duration) -> Wake {
        let watch = &mut self.watch;
        let shown = async {
            while let Some(watched) = watch {
                match watched.changes().await {
                    Ok(changes) if !changes.contains(&FolderChange::Gone) => return,
                    // Without a watch there is still the clock.
                    _ => *watch = None,
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = shown => Wake::Change,
            () = clock.sleep(pause) => Wake::Pause,
        }
    }
}

fn thread(source: std::io::Error) -> NodeError {
    NodeError::Stream { stream: "the camera's thread", source }
}
