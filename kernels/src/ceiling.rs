//! The ceilings that kernels are held against, measured on the lane that computes: how fast it reads memory, and how
//! fast it multiplies with everything in registers.
//!
//! Each figure is the fastest of many short runs, so that others on the machine disturb it little. Measure in the same
//! process, and just before or after, what is compared with it.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

use nanomind_hal::{AlignedBuffer, AllocationError, Clock, Lane};

use crate::Isa;
use crate::cpu::{self, DotProducts, MultiplyAdds, ReadAll};

/// Bytes that a thread claims at once while memory is read.
const PIECE: usize = 256 << 10;

/// Runs, of which the fastest counts.
const RUNS: usize = 12;

/// Tasks of a run that computes: enough that all threads finish together.
const TASKS: usize = 32;

/// Rounds of a task that computes: some tens of microseconds.
const ROUNDS: usize = 512;

/// Bytes a second that `lane` reads from a buffer of `bytes` bytes, over and over: the bound of a decode step whose
/// weights are as large. Where they fit a cache that is what they are read from, as weights would be; several times the
/// size of the caches gives the memory's own bandwidth.
///
/// # Errors
/// There is no memory for the buffer.
///
/// # Panics
/// This machine does not have `isa`.
pub fn read_bandwidth(isa: Isa, lane: &Lane, clock: &Clock, bytes: usize) -> Result<f64, AllocationError> {
    let mut buffer = AlignedBuffer::zeroed(bytes)?;
    // Pages that were never written are all one page of zeros, which is read from the cache.
    lane.for_each_chunk_mut(buffer.as_bytes_mut(), PIECE, |index, piece| piece.fill(index as u8 | 1));
    let data = buffer.as_bytes();
    let pieces = bytes.div_ceil(PIECE);
    let seconds = fastest(clock, || {
        lane.for_each(pieces, |index| {
            let piece = &data[index * PIECE..bytes.min((index + 1) * PIECE)];
            black_box(cpu::run(isa, ReadAll { data: piece }));
        });
    });
    Ok(bytes as f64 / seconds)
}

/// Operations a second (a multiplication and an addition are two) that `lane` makes with the 8-bit integer dot product
/// of `isa`: the bound of a prefill in formats of integers.
///
/// # Panics
/// This machine does not have `isa`.
#[must_use]
pub fn dot_rate(isa: Isa, lane: &Lane, clock: &Clock) -> f64 {
    rate(lane, clock, || cpu::run(isa, DotProducts { rounds: ROUNDS }))
}

/// Operations a second (a multiplication and an addition are two) that `lane` makes with the single-precision
/// multiply-add of `isa`: the bound of a prefill in formats of floats.
///
/// # Panics
/// This machine does not have `isa`.
#[must_use]
pub fn multiply_add_rate(isa: Isa, lane: &Lane, clock: &Clock) -> f64 {
    rate(lane, clock, || cpu::run(isa, MultiplyAdds { rounds: ROUNDS }))
}

fn rate(lane: &Lane, clock: &Clock, task: impl Fn() -> usize + Sync) -> f64 {
    let made = AtomicUsize::new(0);
    let seconds = fastest(clock, || {
        made.store(0, Ordering::Relaxed);
        lane.for_each(TASKS, |_| {
            made.fetch_add(task(), Ordering::Relaxed);
        });
    });
    2.0 * made.into_inner() as f64 / seconds
}

/// Seconds of the fastest of some runs.
fn fastest(clock: &Clock, mut run: impl FnMut()) -> f64 {
    let mut seconds = f64::INFINITY;
    for _ in 0..RUNS {
        let start = clock.now();
        run();
        seconds = seconds.min(clock.now().since(start).as_secs_f64());
    }
    seconds
}
