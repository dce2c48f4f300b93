//! Splits attention into tasks for a lane: heads of keys and values × runs of tokens, or, where these are too few to keep
//! the threads evenly busy, × stretches of positions, which are joined in order afterwards. Both compute the same.

use std::cell::RefCell;
use std::ops::Range;

use nanomind_hal::Lane;

use super::generic::attention::{AttentionTask, KvHead, STRETCH, Sink, space_len};
use super::generic::stretch::{JoinStretches, record_len};
use super::run;
use crate::Isa;
use crate::attention::KvView;

/// Query rows (heads of a group × tokens) of a task: the more, the less it weighs to bring a block of keys and values
/// into the workspace; few enough for the workspace to stay in the second-level cache.
const ROWS: usize = 128;

/// Sixteen values that start a cache line.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [f32; 16]);

thread_local! {
    /// What a thread's tasks work in. It grows to what the widest of them needs and is then reused; on the stack, its
    /// pages would be touched by every call, however small.
    static SPACE: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
    /// What is known of each row after each stretch, of the calling thread, until they are joined.
    static RECORDS: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Tasks for each thread that are enough to keep them evenly busy.
const TASKS_PER_THREAD: usize = 8;

/// The first `len` values of `lines`, which grow to that.
fn room(lines: &mut Vec<Line>, len: usize) -> &mut [f32] {
    if lines.len() * 16 < len {
        // Doubled, as a conversation asks for a little more with each stretch.
        lines.resize(len.div_ceil(16).next_power_of_two(), Line([0.0; 16]));
    }
    &mut bytemuck::cast_slice_mut(lines)[..len]
}

/// A pointer to values that tasks share; each writes its own heads of its own tokens (and stretches).
struct Shared(*mut f32);

// SAFETY: only the address is shared.
unsafe impl Sync for Shared {}

impl Shared {
    fn get(&self) -> *mut f32 {
        self.0
    }
}

/// Which positions the tokens of a call see.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sight {
    /// Token `i` those up to its own, which is `first_position + i`.
    Causal { first_position: usize },
    /// Every token the first `positions`.
    All { positions: usize },
}

impl Sight {
    /// Positions that token `token` sees.
    fn seen(self, token: usize) -> usize {
        match self {
            Sight::Causal { first_position } => first_position + token + 1,
            Sight::All { positions } => positions,
        }
    }

    /// Positions that each token sees beyond those of the token before.
    fn advance(self) -> usize {
        match self {
            Sight::Causal { .. } => 1,
            Sight::All { .. } => 0,
        }
    }
}

/// Attention of `queries` `[tokens, heads · head_dim]`; see [`crate::attention()`].
pub(crate) fn attend(
    lane: &Lane,
    isa: Isa,
    queries: &[f32],
    kv: &KvView<'_>,
    sight: Sight,
    scale: f32,
    out: &mut [f32],
) {
    assert_eq!(queries.len(), out.len(), "{} query values, room for {}", queries.len(), out.len());
    let stride = kv.heads() * kv.head_dim();
    if queries.is_empty() {
        return;
    }
    assert!(queries.len().is_multiple_of(stride), "{} values are no whole number of rows of {stride}", queries.len());
    let tokens = queries.len() / stride;
    let last = sight.seen(tokens - 1);
    assert!(last > 0, "tokens that see no position");
    assert!(last <= kv.capacity(), "positions up to {last} in a cache of {}", kv.capacity());
    let call = Call { isa, queries, kv, sight, scale, tokens, stretches: last.div_ceil(STRETCH) };
    let run_tokens = call.run_tokens();
    let tasks = tokens.div_ceil(run_tokens) * kv.kv_heads();
    let wanted = TASKS_PER_THREAD * lane.threads();
    if lane.threads() > 1 && call.stretches > 1 && tasks == kv.kv_heads() && tasks < wanted {
        call.by_stretches(lane, wanted.div_ceil(tasks), out);
    } else {
        call.by_tokens(lane, run_tokens, out);
    }
}

/// What all tasks of a call share.
struct Call<'a> {
    isa: Isa,
    queries: &'a [f32],
    kv: &'a KvView<'a>,
    sight: Sight,
    scale: f32,
    tokens: usize,
    /// Stretches that the last token sees.
    stretches: usize,
}

impl Call<'_> {
    /// Query heads that share a head of keys and values.
    fn group(&self) -> usize {
        self.kv.heads() / self.kv.kv_heads()
    }

    /// Tokens of a task: a multiple of 8 makes whole tiles of rows.
    fn run_tokens(&self) -> usize {
        let most = (ROWS / self.group()).max(1);
        if most >= 8 { most / 8 * 8 } else { most }.min(self.tokens)
    }

    /// A task for each run of tokens and head.
    fn by_tokens(&self, lane: &Lane, run_tokens: usize, out: &mut [f32]) {
        let (dim, kv_heads) = (self.kv.head_dim(), self.kv.kv_heads());
        let (stride, runs) = (self.kv.heads() * dim, self.tokens.div_ceil(run_tokens));
        let shared = Shared(out.as_mut_ptr());
        lane.for_each(runs * kv_heads, |index| {
            // The last tokens see the most and take longest, so they go first.
            let (token, head) = ((runs - 1 - index / kv_heads) * run_tokens, index % kv_heads);
            let tokens = token..self.tokens.min(token + run_tokens);
            let stretches = 0..self.sight.seen(tokens.end - 1).div_ceil(STRETCH);
            // SAFETY: `out` is as long as the queries, so these heads of this token are in it. They are the task's own:
            // no other index has them.
            let out = unsafe { shared.get().add(token * stride + head * self.group() * dim) };
            self.task(head, tokens, stretches, Sink::Out(out));
        });
    }

    /// A task for each head and about `pieces` runs of stretches.
    fn by_stretches(&self, lane: &Lane, pieces: usize, out: &mut [f32]) {
        let (dim, heads, kv_heads) = (self.kv.head_dim(), self.kv.heads(), self.kv.kv_heads());
        let each = self.stretches.div_ceil(pieces);
        let pieces = self.stretches.div_ceil(each);
        let token_stride = heads * record_len(dim);
        let stretch_stride = self.tokens * token_stride;
        RECORDS.with_borrow_mut(|lines| {
            let records = room(lines, self.stretches * stretch_stride);
            let shared = Shared(records.as_mut_ptr());
            lane.for_each(pieces * kv_heads, |index| {
                let (piece, head) = (index / kv_heads, index % kv_heads);
                let stretches = piece * each..self.stretches.min((piece + 1) * each);
                // SAFETY: records begin with those of the first stretch's first token, which has one for each head.
                let at = unsafe { shared.get().add(head * self.group() * record_len(dim)) };
                self.task(head, 0..self.tokens, stretches, Sink::Records { at, token_stride, stretch_stride });
            });
            run(self.isa, JoinStretches { records, head_dim: dim, out });
        });
    }

    /// Computes stretches for some tokens of the group of a head of keys and values.
    fn task(&self, head: usize, tokens: Range<usize>, stretches: Range<usize>, sink: Sink) {
        let (dim, group) = (self.kv.head_dim(), self.group());
        let stride = self.kv.heads() * dim;
        let queries = &self.queries[tokens.start * stride + head * group * dim..];
        let (keys, values) = self.kv.head(head);
        let head = KvHead { format: self.kv.format(), keys, values, block_bytes: self.kv.block_bytes() };
        SPACE.with_borrow_mut(|lines| {
            let task = AttentionTask {
                head,
                head_dim: dim,
                queries: queries.as_ptr(),
                stride,
                group,
                tokens: tokens.len(),
                seen: self.sight.seen(tokens.start),
                advance: self.sight.advance(),
                scale: self.scale,
                stretches,
                sink,
                space: room(lines, space_len(group * tokens.len(), dim)),
            };
            run(self.isa, task);
        });
    }
}
