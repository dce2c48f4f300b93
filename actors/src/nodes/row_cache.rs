//! Rows of pictures that a node has made before, kept in their slots; the least recently used are given back first.

use nanomind_bricks::vision::{Embeddings, PictureDigest};
use nanomind_graphs::{FieldSpec, PlannedNode};

use crate::error::NodeError;
use crate::node::NodeContext;
use crate::request::RequestId;

/// The field that bounds a cache.
pub(crate) const FIELD: &str = "cache";

/// However small pictures are, no more slots than these are kept: looking through them takes no time worth a thought.
const MOST_SLOTS: u64 = 32;

/// The field of a node that keeps rows.
pub(crate) fn field() -> FieldSpec {
    FieldSpec::bytes(
        FIELD,
        0..=1 << 40,
        "Memory for the rows of pictures seen before (32 at most): the same picture again is not computed again, and the one \
         that was longest not asked for is forgotten first. \"0B\": none are kept.",
    )
    .default("64MiB")
}

/// How many slots of `max_tokens` rows of `width` elements the field of `plan` lets a node keep.
pub(crate) fn slots(plan: &PlannedNode, max_tokens: usize, width: usize) -> Result<usize, NodeError> {
    let slot = (max_tokens * width * size_of::<f32>()).max(1) as u64;
    Ok(usize::try_from((plan.bytes(FIELD)? / slot).min(MOST_SLOTS)).unwrap_or(0))
}

/// What one node keeps, in at most `slots` slots.
#[derive(Default)]
pub(crate) struct RowCache {
    slots: usize,
    /// By what they were made of, the least recently used first. A picture may take several slots.
    kept: Vec<(PictureDigest, Vec<Embeddings>)>,
}

impl RowCache {
    /// Says how many slots may be kept; before, it is none.
    pub(crate) fn allow(&mut self, slots: usize) {
        self.slots = slots;
    }

    /// What was made of `source` before. Counts a hit, which the trace shows, or a miss.
    pub(crate) fn recall(
        &mut self,
        context: &NodeContext,
        request: RequestId,
        source: PictureDigest,
    ) -> Option<Vec<Embeddings>> {
        let Some(found) = self.kept.iter().position(|(known, _)| *known == source) else {
            context.count("cache_misses", 1);
            return None;
        };
        context.count("cache_hits", 1);
        context.mark("from cache", request);
        self.kept[found..].rotate_left(1);
        self.kept.last().map(|(_, rows)| rows.clone())
    }

    /// Keeps what was made of `source`, if there is room for it when all else is given back.
    pub(crate) fn keep(&mut self, context: &NodeContext, source: PictureDigest, rows: &[Embeddings]) {
        if rows.is_empty() || rows.len() > self.slots {
            return;
        }
        self.make_room(context, rows.len());
        self.kept.push((source, rows.to_vec()));
    }

    /// Whether a picture of `slots` slots will be kept; if so, there is room for it from now on.
    pub(crate) fn reserve(&mut self, context: &NodeContext, slots: usize) -> bool {
        let fits = slots <= self.slots;
        if fits {
            self.make_room(context, slots);
        }
        fits
    }

    /// Gives slots back until `slots` more can be kept. Whoever makes a picture of several slots does so first, and then
    /// always finds a free one.
    fn make_room(&mut self, context: &NodeContext, slots: usize) {
        let mut taken: usize = self.kept.iter().map(|(_, rows)| rows.len()).sum();
        let mut evicted = 0;
        while taken + slots > self.slots && evicted < self.kept.len() {
            taken -= self.kept[evicted].1.len();
            evicted += 1;
        }
        self.kept.drain(..evicted);
        if evicted > 0 {
            context.count("evicted", evicted as u64);
        }
    }
}
