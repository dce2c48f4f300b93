//! Attention over thousands of positions takes no memory that grows with them, but a little for each stretch of a decode
//! step on several threads.
#![allow(clippy::unwrap_used)]

use std::alloc::System;

use nanomind_hal::Lane;
use nanomind_kernels::{Isa, KvFormat, KvLayout, KvSide, KvView, attention};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CONTEXT: usize = 8192;
const CHUNK: usize = 128;
const HEADS: usize = 3;
const HEAD_DIM: usize = 32;

/// Without the test harness, whose own thread allocates while a test runs.
fn main() {
    for format in KvFormat::ALL {
        for threads in [1, 2] {
            memory_does_not_grow_with_the_context(format, &Lane::spawn(threads, None).unwrap());
        }
    }
}

fn memory_does_not_grow_with_the_context(format: KvFormat, lane: &Lane) {
    let layout = KvLayout::new(format, 1, CONTEXT, HEAD_DIM).unwrap();
    let rows: Vec<f32> = (0..CONTEXT * HEAD_DIM).map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0).collect();
    let [keys, values] = [KvSide::Keys, KvSide::Values].map(|side| {
        let mut bytes = vec![0; layout.bytes()];
        layout.store(lane, Isa::detect(), side, 0, &rows, &mut bytes);
        bytes
    });
    let view = KvView::new(layout, HEADS, &keys, &values);
    let queries = &rows[..CHUNK * HEADS * HEAD_DIM];
    let mut out = vec![0.0; queries.len()];
    let mut attend = |first: usize, tokens: usize| {
        let len = tokens * HEADS * HEAD_DIM;
        attention(lane, Isa::detect(), &queries[..len], &view, first, 0.2, &mut out[..len]);
    };
    let region = Region::new(ALLOCATOR);
    // A prompt and what follows it, from the first position to the last.
    for first in (0..CONTEXT - CHUNK).step_by(CHUNK) {
        attend(first, CHUNK);
    }
    for first in (CONTEXT - CHUNK)..CONTEXT {
        attend(first, 1);
    }
    let change = region.change();
    let allocated = change.bytes_allocated.saturating_add_signed(change.bytes_reallocated);
    // A workspace for each thread, which holds 128 rows of queries and a block of positions; the scores of one row alone
    // would be 32 kB, those of a chunk 12 MB.
    let workspaces = lane.threads() * (192 << 10);
    let stretches = 2 * (CONTEXT / 256) * HEADS * (HEAD_DIM + 16) * 4;
    let most = workspaces + if lane.threads() > 1 { stretches } else { 0 };
    assert!(allocated <= most, "{format}, {} threads: {allocated} bytes, at most {most}", lane.threads());
}
