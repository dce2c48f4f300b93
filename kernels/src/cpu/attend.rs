//! Splits attention into tasks for a lane: heads of keys and values × runs of tokens.

use std::cell::RefCell;

use half::f16;
use nanomind_hal::Lane;

use super::generic::attention::{AttentionTask, space_len};
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
}

/// A pointer to the output that tasks share; each writes its own heads of its own tokens.
struct SharedOut(*mut f32);

// SAFETY: only the address is shared.
unsafe impl Sync for SharedOut {}

impl SharedOut {
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
    let (dim, kv_heads) = (kv.head_dim(), kv.kv_heads());
    assert_eq!(queries.len(), out.len(), "{} query values, room for {}", queries.len(), out.len());
    let heads = kv.heads();
    let stride = heads * dim;
    if queries.is_empty() {
        return;
    }
    assert!(queries.len().is_multiple_of(stride), "{} values are no whole number of rows of {stride}", queries.len());
    let tokens = queries.len() / stride;
    let last = sight.seen(tokens - 1);
    assert!(last > 0, "tokens that see no position");
    assert!(last <= kv.capacity(), "positions up to {last} in a cache of {}", kv.capacity());
    let group = heads / kv_heads;
    // A multiple of 8 tokens makes whole tiles of rows.
    let most = (ROWS / group).max(1);
    let run_tokens = if most >= 8 { most / 8 * 8 } else { most }.min(tokens);
    let runs = tokens.div_ceil(run_tokens);
    let shared = SharedOut(out.as_mut_ptr());
    lane.for_each(runs * kv_heads, |index| {
        // The last tokens see the most and take longest, so they go first.
        let (token, head) = ((runs - 1 - index / kv_heads) * run_tokens, index % kv_heads);
        let at = token * stride + head * group * dim;
        let (keys, values): (&[f16], &[f16]) = kv.head(head);
        let tokens = run_tokens.min(tokens - token);
        let space_len = space_len(group * tokens, dim);
        SPACE.with_borrow_mut(|space| {
            if space.len() * 16 < space_len {
                space.resize(space_len.div_ceil(16), Line([0.0; 16]));
            }
            let task = AttentionTask {
                keys,
                values,
                head_dim: dim,
                queries: queries[at..].as_ptr(),
                // SAFETY: `out` is as long as `queries`, which has just been sliced there.
                out: unsafe { shared.get().add(at) },
                stride,
                group,
                tokens,
                seen: sight.seen(token),
                advance: sight.advance(),
                scale,
                space: &mut bytemuck::cast_slice_mut(space)[..space_len],
            };
            // The task's heads of its tokens are its own: no other index has them.
            run(isa, task);
        });
    });
}
