//! What attention knows of one row after a stretch of positions, and how stretches become one.
//!
//! A record is the weighted sum of values, padded to whole vectors, then the largest score and the sum of weights.

use super::attention::PAD;
use super::rows::{exp, larger};
use crate::cpu::Op;
use crate::cpu::vector::Vector;

/// Values of a record.
pub(crate) fn record_len(head_dim: usize) -> usize {
    head_dim.next_multiple_of(PAD) + PAD
}

/// Writes a record.
///
/// # Safety
/// As [`Op::run`]; `record` has [`record_len`] values, `totals` `padded`.
#[inline(always)]
pub(super) unsafe fn write<V: Vector>(record: *mut f32, totals: *const f32, most: f32, sum: f32, padded: usize) {
    // SAFETY: as the caller says.
    unsafe {
        for d in (0..padded).step_by(V::LANES) {
            V::store(record.add(d), V::load(totals.add(d)));
        }
        record.add(padded).write(most);
        record.add(padded + 1).write(sum);
    }
}

/// Joins the next stretch to a record.
///
/// # Safety
/// As [`write()`], and the record was written.
#[inline(always)]
pub(super) unsafe fn join<V: Vector>(record: *mut f32, totals: *const f32, most: f32, sum: f32, padded: usize) {
    // SAFETY: as the caller says.
    unsafe {
        let (most_before, sum_before) = (*record.add(padded), *record.add(padded + 1));
        let together = larger(most_before, most);
        let (before, now) = (exp(most_before - together), exp(most - together));
        let (by_before, by_now) = (V::splat(before), V::splat(now));
        for d in (0..padded).step_by(V::LANES) {
            let before = V::mul(V::load(record.add(d)), by_before);
            V::store(record.add(d), V::mul_add(V::load(totals.add(d)), by_now, before));
        }
        record.add(padded).write(together);
        record.add(padded + 1).write(sum_before * before + sum * now);
    }
}

/// Divides by the sum of weights and writes the result.
///
/// # Safety
/// The record was written; `out` has room for `head_dim` values.
#[inline(always)]
pub(super) unsafe fn finish(record: *const f32, padded: usize, head_dim: usize, out: *mut f32) {
    // SAFETY: as the caller says.
    unsafe {
        let inverse = 1.0 / *record.add(padded + 1);
        for d in 0..head_dim {
            // Adding zero makes every zero positive: exact zeros of unseen positions may have turned its sign.
            out.add(d).write(*record.add(d) * inverse + 0.0);
        }
    }
}

/// Joins the records of all stretches, `[stretches][rows]`, in order, and writes the rows' results.
pub(crate) struct JoinStretches<'a> {
    pub(crate) records: &'a mut [f32],
    pub(crate) head_dim: usize,
    /// `[rows][head_dim]`.
    pub(crate) out: &'a mut [f32],
}

impl Op for JoinStretches<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let (len, padded) = (record_len(self.head_dim), self.head_dim.next_multiple_of(PAD));
        let rows = self.out.len() / self.head_dim;
        let (first, others) = self.records.split_at_mut(rows * len);
        for (row, out) in self.out.chunks_exact_mut(self.head_dim).enumerate() {
            let record = first[row * len..][..len].as_mut_ptr();
            for stretch in others.chunks_exact(rows * len) {
                let next = &stretch[row * len..][..len];
                // SAFETY: both are records.
                unsafe { join::<V>(record, next.as_ptr(), next[padded], next[padded + 1], padded) }
            }
            // SAFETY: `out` is a row.
            unsafe { finish(record, padded, self.head_dim, out.as_mut_ptr()) }
        }
    }
}
