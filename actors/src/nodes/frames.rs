//! The frames of a stream: the one loop of all sensors that show pictures unasked, paced and gated by the duty.
//!
//! A frame makes a request when it is worth showing. While the duty is to show moving frames only, the others are counted
//! as `unmoved`: one job on one core has looked at each, and nobody else wakes for it.

use std::time::Duration;

use nanomind_bricks::vision::{MotionGate, Picture, PictureError};

use super::pace::Pace;
use super::picture_show::picture_job;
use crate::duty::Frames;
use crate::error::NodeError;
use crate::node::NodeContext;
use crate::packet::{Event, Packet};
use crate::request::{Origin, Request};

/// Makes a frame; a job of its own, since decoding and drawing compute.
pub(super) type Develop = Box<dyn FnOnce() -> Result<Developed, NodeError> + Send>;

/// A frame, and what is told of it.
pub(super) struct Developed {
    /// The picture, or why there is none: then its request is refused, and the next frame follows.
    pub(super) picture: Result<Picture, PictureError>,
    /// By the output that it goes to.
    pub(super) captions: Vec<(&'static str, Caption)>,
}

/// What is told of a frame beside it.
pub(super) enum Caption {
    Text(String),
    Event { name: String, count: u64 },
}

impl From<Result<Picture, PictureError>> for Developed {
    fn from(picture: Result<Picture, PictureError>) -> Developed {
        Developed { picture, captions: Vec::new() }
    }
}

/// Where frames come from, one after the other.
pub(super) trait FrameSource {
    /// Waits until the next frame is due by `pace` and there; `None`: there is none, and none will come.
    async fn next(&mut self, context: &NodeContext, pace: &mut Pace) -> Result<Option<Develop>, NodeError>;
}

/// Shows frames, each in a request of its own, `every` so often as the duty allows, until there are none, or `most` have
/// been taken.
pub(super) async fn film(
    context: &NodeContext,
    mut source: impl FrameSource,
    every: Duration,
    most: Option<u64>,
) -> Result<(), NodeError> {
    let (mut pace, mut gate, mut taken) = (Pace::new(every), None, 0);
    while most.is_none_or(|most| taken < most) {
        let Some(develop) = source.next(context, &mut pace).await? else { break };
        taken += 1;
        // What moved while every frame was shown is of no interest later.
        gate = match context.duty().frames {
            Frames::All => None,
            Frames::Moving => Some(gate.unwrap_or_else(MotionGate::default)),
        };
        let looked = context.jobs().run(picture_job(None), move |_| {
            let developed = develop()?;
            let shows = match (&mut gate, &developed.picture) {
                (Some(gate), Ok(picture)) => gate.lets_through(picture),
                _ => true,
            };
            Ok::<_, NodeError>((developed, shows, gate))
        });
        let (developed, shows);
        (developed, shows, gate) = looked.await?.value?;
        pace.moved(shows);
        if shows {
            send(context, context.requests().mint_for(Origin::Stream), developed).await?;
        } else {
            context.count("unmoved", 1);
        }
    }
    Ok(())
}

/// Makes a frame that somebody asked for, and shows it.
pub(super) async fn show(context: &NodeContext, request: Request, develop: Develop) -> Result<(), NodeError> {
    let developed = context.jobs().run(picture_job(Some(request)), move |_| develop());
    send(context, request, developed.await?.value?).await
}

async fn send(context: &NodeContext, request: Request, developed: Developed) -> Result<(), NodeError> {
    let picture = match developed.picture {
        Ok(picture) => picture,
        Err(error) => return context.refuse(request, error).await,
    };
    context.count("frames", 1);
    // What is told of a frame comes before it, so that whoever joins them waits for nothing else.
    for (port, caption) in developed.captions {
        let packet = match caption {
            Caption::Text(text) => Packet::text(request, text, 0).ending(),
            Caption::Event { name, count } => {
                Packet::event(request, Event { name: name.into(), count, at: context.clock().now() })
            }
        };
        context.send(port, packet).await?;
    }
    context.send("image", Packet::image(request, picture.into())).await
}

#[cfg(test)]
mod tests;
