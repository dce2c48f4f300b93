//! What an `Llm` is asked: a question and its pictures, put together from what the graph's edges bring.

use nanomind_bricks::vision::Embeddings;

use super::super::whole_text::WholeText;
use crate::inputs::Firing;
use crate::packet::{Packet, Payload};
use crate::request::{Request, RequestId};

/// A question, whole.
pub(crate) struct Ask {
    /// The request that the answer belongs to.
    pub(crate) request: Request,
    /// The request that the question came with, where it is another one: it is latched and asked about each picture.
    pub(crate) latched: Option<RequestId>,
    pub(crate) question: String,
    pub(crate) pictures: Vec<Embeddings>,
}

/// What a firing makes of it.
pub(crate) enum Asked {
    /// This is to be answered.
    Whole(Box<Ask>),
    /// More of it is to come.
    InPieces,
    /// A picture, but no question about it has come yet.
    Nothing,
    /// More pictures than an answer may be about.
    TooMany,
}

/// Questions in the making.
pub(crate) struct Asks {
    texts: WholeText,
    /// Pictures of a request that triggers by them and brings more than one.
    pictures: Option<(RequestId, Vec<Embeddings>)>,
    most_pictures: usize,
}

impl Asks {
    pub(crate) fn new(most_pictures: usize) -> Asks {
        Asks { texts: WholeText::default(), pictures: None, most_pictures }
    }

    /// Takes what fired: the question, if the graph has it trigger the node, or else a picture, which the last whole
    /// question is asked about.
    pub(crate) fn take(&mut self, firing: &Firing) -> Asked {
        let request = firing.packet.request();
        if *firing.port == *"prompt" {
            return match self.texts.push(&firing.packet) {
                Some(question) => {
                    let pictures = firing.packets("embeddings").filter_map(embeddings).collect();
                    Asked::Whole(Box::new(Ask { request, latched: None, question, pictures }))
                }
                None => Asked::InPieces,
            };
        }
        let mut pieces = firing.latched("prompt").peekable();
        let Some(latched) = pieces.peek().map(|piece| piece.request) else {
            self.pictures = None;
            return Asked::Nothing;
        };
        let question = pieces.filter_map(Packet::as_text).collect();
        let mut pictures =
            self.pictures.take().filter(|(id, _)| *id == request.id).map_or(Vec::new(), |(_, kept)| kept);
        let begun = pictures.len();
        if firing.packet.last {
            pictures.extend(firing.packets("embeddings").filter_map(embeddings));
            return Asked::Whole(Box::new(Ask { request, latched: Some(latched), question, pictures }));
        }
        if begun == self.most_pictures {
            return Asked::TooMany;
        }
        pictures.extend(embeddings(&firing.packet));
        self.pictures = Some((request.id, pictures));
        Asked::InPieces
    }
}

fn embeddings(packet: &Packet) -> Option<Embeddings> {
    match &packet.payload {
        Payload::Embeddings(embeddings) => Some(embeddings.clone()),
        _ => None,
    }
}
