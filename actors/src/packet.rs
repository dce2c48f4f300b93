//! Packets: the small messages that cross edges. Bulk data stays in slots; a packet holds the handle.

use std::sync::Arc;

pub use nanomind_bricks::vision::Embeddings;
use nanomind_bricks::vision::Picture;
use nanomind_hal::Timestamp;

use crate::request::{Epoch, Request, RequestError, RequestId};

/// What a packet carries.
#[derive(Clone, Debug)]
pub enum Payload {
    /// A piece of text, UTF-8 complete in itself.
    Text(Arc<str>),
    /// Token ids of a language model.
    Tokens(Arc<[u32]>),
    /// A decoded picture, shared by whoever looks at it.
    Image(Arc<Picture>),
    /// Rows of embeddings, read in place from a slot of the token-aware buffer manager.
    Embeddings(Embeddings),
    /// Something happened.
    Event(Event),
    /// The request ends here, without its answer.
    Failed(RequestError),
}

/// Something that happened, seen by a sensor.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// What kind of event ("tick").
    pub name: Arc<str>,
    /// How many of this kind came before it.
    pub count: u64,
    /// When it happened.
    pub at: Timestamp,
}

/// One packet on an edge.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The request that it belongs to.
    pub request: RequestId,
    /// The epoch that cancels it.
    pub epoch: Epoch,
    /// What it carries.
    pub payload: Payload,
    /// How many tokens it counts against the edge's capacity.
    pub tokens: u32,
    /// Whether this is the last packet of its request on this output.
    pub last: bool,
}

impl Packet {
    /// A piece of text that counts `tokens`, not the last one.
    pub fn text(request: Request, text: impl Into<Arc<str>>, tokens: u32) -> Packet {
        Packet::new(request, Payload::Text(text.into()), tokens)
    }

    /// An event; it counts no tokens and ends its request on this output.
    pub fn event(request: Request, event: Event) -> Packet {
        Packet::new(request, Payload::Event(event), 0).ending()
    }

    /// A picture; it counts no tokens and ends its request on this output.
    pub fn image(request: Request, picture: Arc<Picture>) -> Packet {
        Packet::new(request, Payload::Image(picture), 0).ending()
    }

    /// Embeddings; they count their own rows and end the request on this output.
    pub fn embeddings(request: Request, embeddings: Embeddings) -> Packet {
        let tokens = u32::try_from(embeddings.rows.tokens()).unwrap_or(u32::MAX);
        Packet::new(request, Payload::Embeddings(embeddings), tokens).ending()
    }

    /// The request failed; nothing more follows.
    pub fn failed(request: Request, error: RequestError) -> Packet {
        Packet::new(request, Payload::Failed(error), 0).ending()
    }

    /// Any payload, not the last of its request.
    pub fn new(request: Request, payload: Payload, tokens: u32) -> Packet {
        Packet { request: request.id, epoch: request.epoch, payload, tokens, last: false }
    }

    /// The same packet, marked as the last of its request on this output.
    pub fn ending(self) -> Packet {
        Packet { last: true, ..self }
    }

    /// Id and epoch together.
    pub fn request(&self) -> Request {
        Request { id: self.request, epoch: self.epoch }
    }

    /// The text, if it carries text.
    pub fn as_text(&self) -> Option<&str> {
        match &self.payload {
            Payload::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The failure, if it carries one.
    pub fn as_failure(&self) -> Option<&RequestError> {
        match &self.payload {
            Payload::Failed(error) => Some(error),
            _ => None,
        }
    }
}
