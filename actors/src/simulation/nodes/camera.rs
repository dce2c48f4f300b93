//! Simulated `Camera`, `SceneCamera`, `Image` and `ImageFolder`: pictures of a size and nothing more, in which something
//! moves when the scenario says so.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use nanomind_bricks::vision::Picture;
use nanomind_graphs::{FieldError, PlannedNode};
use nanomind_hal::{JobCost, Timestamp};

use super::super::scenario::Moving;
use super::super::world::World;
use super::words;
use crate::duty::Frames;
use crate::error::NodeError;
use crate::jobs::JobSpec;
use crate::node::{Node, NodeContext};
use crate::nodes::pace::Pace;
use crate::nodes::picture_show::picture_job;
use crate::packet::{Event, Packet};
use crate::request::{Origin, Request};

/// The node.
pub(in super::super) struct Camera {
    world: Rc<World>,
    /// Width and height of a picture.
    size: (usize, usize),
    /// From one frame to the next, where no question asks for it.
    every: Duration,
    /// Whether it shows the same picture whenever it is asked.
    is_still: bool,
    /// `None`: without end.
    frames: Option<u64>,
}

impl Camera {
    /// A camera, as its fields describe it.
    pub(in super::super) fn filming(plan: &PlannedNode, world: Rc<World>) -> Result<Camera, NodeError> {
        let side = |field| plan.integer(field).map(|side| usize::try_from(side).unwrap_or(1).max(1));
        let size = match plan.spec.find_field("size") {
            Some(_) => (side("size")?, side("size")?),
            None => (side("width")?, side("height")?),
        };
        let frames = Some(plan.integer("frames")?.unsigned_abs()).filter(|&count| count > 0);
        Ok(Camera { size, every: plan.duration("every")?, is_still: false, frames, world })
    }

    /// A picture in a file.
    pub(in super::super) fn still(world: Rc<World>) -> Camera {
        Camera { size: size_of(&world), every: Duration::ZERO, is_still: true, frames: Some(1), world }
    }

    /// The pictures of a folder: one more whenever something moves.
    pub(in super::super) fn folder(plan: &PlannedNode, world: Rc<World>) -> Result<Camera, FieldError> {
        let every = plan.duration("every")?;
        Ok(Camera { size: size_of(&world), every, is_still: false, frames: None, world })
    }

    /// Each question gets a picture.
    async fn answer(&self, mut context: NodeContext) -> Result<(), NodeError> {
        let mut taken = 0;
        while let Some(firing) = context.next().await {
            // A question that comes in pieces is about one picture.
            if !firing.packet.last {
                continue;
            }
            let (request, now) = (firing.packet.request(), context.clock().now());
            drop(firing);
            if self.is_blind(&context, now) {
                context.refuse(request, Blind { sensor: context.name().to_string() }).await?;
                continue;
            }
            taken += 1;
            self.take(&context, Some(request)).await?;
            self.send(&context, request, taken).await?;
        }
        Ok(())
    }

    /// Each frame makes a request, but for those that the duty passes over: one job has looked at each, as in a run.
    async fn film(&self, context: &NodeContext) -> Result<(), NodeError> {
        let mut reel = Reel::new(self, context);
        let mut taken = 0;
        while self.frames.is_none_or(|end| taken < end) {
            let Some(moved) = reel.wind(context).await else { break };
            if self.is_blind(context, context.clock().now()) {
                context.count("not seen", 1);
                continue;
            }
            taken += 1;
            self.take(context, None).await?;
            let shows = match context.duty().frames {
                // What moved while every frame was shown is of no interest later.
                Frames::All => {
                    reel.shown = None;
                    true
                }
                Frames::Moving if moved => {
                    reel.shown = Some(context.clock().now());
                    true
                }
                Frames::Moving => false,
            };
            reel.pace.moved(shows);
            if shows {
                self.send(context, context.requests().mint_for(Origin::Stream), taken).await?;
            } else {
                context.count("unmoved", 1);
            }
        }
        std::future::pending().await
    }

    /// Takes a picture in a job.
    async fn take(&self, context: &NodeContext, request: Option<Request>) -> Result<(), NodeError> {
        // Read and written once, three bytes a pixel.
        let bytes = 2 * 3 * (self.size.0 * self.size.1) as u64;
        let job = JobSpec { cost: JobCost { flops: 0, bytes }, ..picture_job(request) };
        context.jobs().run(job, |_| ()).await.map(|_| ())
    }

    /// Sends a picture.
    async fn send(&self, context: &NodeContext, request: Request, number: u64) -> Result<(), NodeError> {
        context.count("frames", 1);
        if context.has_output("truth") {
            context.send("truth", Packet::text(request, words::question(8), 0).ending()).await?;
        }
        if context.has_output("event") {
            let event = Event { name: "something moves".into(), count: number, at: context.clock().now() };
            context.send("event", Packet::event(request, event)).await?;
        }
        let number = if self.is_still { 0 } else { number };
        let picture = Picture::unseen(self.size.0, self.size.1, number);
        context.send("image", Packet::image(request, Arc::new(picture))).await
    }

    fn is_blind(&self, context: &NodeContext, now: Timestamp) -> bool {
        self.world.blind_until(context.name(), now.since(Timestamp::default())).is_some()
    }
}

impl Node for Camera {
    fn run(self: Box<Self>, context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            if context.has_input("question") { self.answer(context).await } else { self.film(&context).await }
        })
    }
}

/// A sensor that is asked while a fault of the scenario blinds it.
#[derive(Debug, thiserror::Error)]
#[error("{sensor}: sees nothing")]
struct Blind {
    sensor: String,
}

fn size_of(world: &World) -> (usize, usize) {
    let (width, height) = world.scenario().picture;
    (width.max(1) as usize, height.max(1) as usize)
}

/// The frames that a camera takes by itself, one after the other.
struct Reel {
    pace: Pace,
    motion: Vec<Moving>,
    recorded: Option<std::vec::IntoIter<(Duration, bool)>>,
    /// When the frame was taken that showed motion last, since only those that do are shown; the first of them always does.
    shown: Option<Timestamp>,
}

impl Reel {
    fn new(camera: &Camera, context: &NodeContext) -> Reel {
        Reel {
            // As fast as they are taken is as fast as a camera takes them.
            pace: Pace::new(camera.every.max(FASTEST)),
            motion: camera.world.motion(context.name()),
            recorded: camera.world.frames(context.name()).map(Vec::into_iter),
            shown: None,
        }
    }

    /// Waits for the next frame, and says whether something has moved since the one that was shown last; `None`: there is
    /// none any more.
    async fn wind(&mut self, context: &NodeContext) -> Option<bool> {
        if let Some(recorded) = &mut self.recorded {
            let (time, moving) = recorded.next()?;
            context.clock().sleep_until(Timestamp::default() + time).await;
            return Some(moving);
        }
        self.pace.wait(context).await;
        Some(self.has_moved(context.clock().now()))
    }

    fn has_moved(&self, now: Timestamp) -> bool {
        let at = |time: Duration| Timestamp::default() + time;
        let Some(shown) = self.shown else { return true };
        // Spans are in order and do not overlap: the first that had not ended by then is the only one that may count.
        let next = self.motion.partition_point(|moving| at(moving.time + moving.lasts) <= shown);
        self.motion.get(next).is_some_and(|moving| at(moving.time) <= now)
    }
}

/// The least time between two frames of a camera that takes them as fast as it can.
const FASTEST: Duration = Duration::from_millis(33);
