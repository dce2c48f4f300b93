//! Puts texts together that arrive in pieces, request by request.

use std::collections::BTreeMap;

use crate::packet::Packet;
use crate::request::RequestId;

/// At most this many texts are put together at once; a text whose end never comes must not stay forever.
const TEXTS_KEPT: usize = 64;

/// Texts in the making.
#[derive(Default, Debug)]
pub(crate) struct WholeText {
    parts: BTreeMap<RequestId, String>,
}

impl WholeText {
    /// Takes a packet; gives the whole text with its last piece. Packets without text add nothing.
    pub(crate) fn push(&mut self, packet: &Packet) -> Option<String> {
        let piece = packet.as_text().unwrap_or_default();
        if packet.last && !self.parts.contains_key(&packet.request) {
            return Some(piece.to_owned());
        }
        self.parts.entry(packet.request).or_default().push_str(piece);
        if packet.last {
            return self.parts.remove(&packet.request);
        }
        if self.parts.len() > TEXTS_KEPT {
            self.parts.pop_first();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Epoch, Request};

    fn piece(id: u64, text: &str) -> Packet {
        Packet::text(Request { id: RequestId(id), epoch: Epoch(id) }, text, 1)
    }

    #[test]
    fn pieces_of_two_requests_do_not_mix() {
        let mut texts = WholeText::default();
        assert_eq!(texts.push(&piece(1, "he")), None);
        assert_eq!(texts.push(&piece(2, "whole").ending()), Some("whole".to_owned()));
        assert_eq!(texts.push(&piece(3, "wo")), None);
        assert_eq!(texts.push(&piece(1, "llo").ending()), Some("hello".to_owned()));
        assert_eq!(texts.push(&piece(3, "rld").ending()), Some("world".to_owned()));
        assert!(texts.parts.is_empty(), "{texts:?}");
    }
}
