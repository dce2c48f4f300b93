//! The slot pool under test: no slot is ever lost, whoever panics, is cancelled or shares.

use super::*;
use half::f16;
use proptest::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::{Context, Poll, Waker};
use std::thread;

fn geometry(slots: usize) -> SlotGeometry {
    SlotGeometry { slots, max_tokens: 4, width: 3, element: ElementType::F32 }
}

fn pool(slots: usize) -> SlotPool {
    SlotPool::new(geometry(slots)).expect("a pool")
}

#[test]
fn rows_are_read_where_they_were_written() {
    let pool = pool(2);
    let mut writer = pool.try_acquire().expect("a free slot");
    let written = writer.rows_mut_f32();
    assert_eq!((written.len(), written.as_ptr().addr() % 64), (12, 0));
    written.iter_mut().enumerate().for_each(|(index, value)| *value = index as f32);
    let address = written.as_ptr();
    let reader = writer.publish(2);
    assert_eq!((reader.tokens(), reader.width()), (2, 3));
    assert_eq!(reader.rows_f32(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(reader.rows_f32().as_ptr(), address, "the rows moved");
    assert_eq!(reader.row(1), [3.0, 4.0, 5.0]);
    let stats = pool.stats();
    assert_eq!((stats.free, stats.writing, stats.ready_or_reading, stats.tokens_in_flight), (1, 0, 1, 2));
    assert_eq!(stats.copied_bytes, 0);
}

#[test]
fn a_copy_is_counted_and_so_is_a_conversion() {
    let pool = SlotPool::new(SlotGeometry { element: ElementType::F16, ..geometry(1) }).expect("a pool");
    let mut writer = pool.try_acquire().expect("a free slot");
    writer.rows_mut_f16().fill(f16::from_f32(0.5));
    let reader = writer.publish(3);
    let mut out = [0.0; 9];
    reader.copy_to(&mut out);
    assert_eq!(out, [0.5; 9]);
    assert_eq!(pool.stats().copied_bytes, 18);
}

#[test]
fn a_slot_is_free_after_its_last_reader_and_not_before() {
    let pool = pool(1);
    let reader = pool.try_acquire().expect("a free slot").publish(0);
    let copies = vec![reader.clone(); 5];
    drop(reader);
    assert!(pool.try_acquire().is_none(), "{pool:?}");
    drop(copies);
    assert!(pool.try_acquire().is_some(), "{pool:?}");
}

#[test]
fn a_writer_that_is_dropped_or_panics_gives_its_slot_back() {
    let pool = pool(1);
    drop(pool.try_acquire());
    for _ in 0..3 {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut writer = pool.try_acquire().expect("a free slot");
            writer.rows_mut_f32()[0] = 1.0;
            resume_unwind(Box::new("out of luck"));
        }));
        assert!(outcome.is_err());
        assert_eq!(pool.stats().free, 1);
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let _reader = pool.try_acquire().expect("a free slot").publish(5);
    }));
    assert!(outcome.is_err(), "five tokens do not fit into four rows");
    assert_eq!(pool.stats().free, 1);
}

#[test]
fn a_panicking_reader_gives_its_share_back() {
    let pool = pool(1);
    let reader = pool.try_acquire().expect("a free slot").publish(1);
    let copy = reader.clone();
    let outcome = catch_unwind(AssertUnwindSafe(move || {
        let reader = copy;
        let _ = reader.row(1);
    }));
    assert!(outcome.is_err(), "there is no second row");
    drop(reader);
    assert_eq!(pool.stats().free, 1);
}

#[test]
fn waiting_for_a_slot_ends_when_one_comes_back() {
    let pool = pool(1);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let held = pool.try_acquire().expect("a free slot");
    let waiter = thread::spawn({
        let pool = pool.clone();
        move || runtime.block_on(pool.acquire()).publish(1).tokens()
    });
    drop(held);
    assert_eq!(waiter.join().expect("the waiter"), 1);
    assert_eq!(pool.stats().free, 1);
}

#[test]
fn a_cancelled_wait_loses_no_slot_even_when_one_was_on_its_way() {
    let pool = pool(1);
    let mut context = Context::from_waker(Waker::noop());
    for handed_over in [false, true] {
        let held = pool.try_acquire().expect("a free slot");
        let mut first = Box::pin(pool.acquire());
        let mut second = Box::pin(pool.acquire());
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        if handed_over {
            // The slot comes back and wakes the first waiter, which is cancelled before it looks.
            drop(held);
            drop(first);
        } else {
            drop(first);
            drop(held);
        }
        assert!(matches!(second.as_mut().poll(&mut context), Poll::Ready(_)), "{pool:?}");
    }
    assert_eq!(pool.stats().free, 1);
}

#[test]
fn an_impossible_geometry_says_why() {
    let too_large = SlotGeometry { slots: 2, max_tokens: usize::MAX / 8, width: 1, element: ElementType::F32 };
    for (geometry, message) in [
        (SlotGeometry { slots: 0, ..geometry(1) }, "a slot pool needs at least one of its slots, found 0".to_owned()),
        (SlotGeometry { width: 0, ..geometry(1) }, "a slot pool needs at least one of its width, found 0".to_owned()),
        (
            SlotGeometry { slots: 4, ..too_large },
            format!("a slot pool of 4 slots × {} tokens × 1 elements is larger than any memory", usize::MAX / 8),
        ),
        (
            SlotGeometry { slots: 1, ..too_large },
            format!("out of memory: {} bytes could not be allocated", usize::MAX / 8 * 4),
        ),
    ] {
        assert_eq!(SlotPool::new(geometry).expect_err("no such pool").to_string(), message);
    }
}

#[test]
fn many_producers_and_readers_lose_no_slot_and_mix_no_rows() {
    let pool = pool(3);
    let (send, receive) = flume::bounded::<SlotReader>(2);
    thread::scope(|scope| {
        for producer in 0..3u32 {
            let (pool, send) = (&pool, send.clone());
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
                for round in 0..2_000u32 {
                    let mut writer = runtime.block_on(pool.acquire());
                    writer.rows_mut_f32().fill((producer * 10_000 + round) as f32);
                    if round % 7 == 0 {
                        continue;
                    }
                    send.send(writer.publish(4)).expect("a reader");
                }
            });
        }
        drop(send);
        for _ in 0..2 {
            let receive = &receive;
            scope.spawn(move || {
                for reader in receive.iter() {
                    let copy = reader.clone();
                    let first = reader.rows_f32()[0];
                    drop(reader);
                    assert!(copy.rows_f32().iter().all(|value| *value == first), "{:?}", copy.rows_f32());
                }
            });
        }
    });
    let stats = pool.stats();
    assert_eq!((stats.free, stats.acquired, stats.copied_bytes), (3, 6_000, 0));
    assert_eq!(stats.published, 6_000 - 3 * 286);
}

proptest! {
    #[test]
    fn whatever_is_held_and_dropped_every_slot_is_free_or_held(steps in proptest::collection::vec(0u8..6, 0..200)) {
        let slots = 3;
        let pool = pool(slots);
        let mut writers = Vec::new();
        let mut readers: Vec<SlotReader> = Vec::new();
        for step in steps {
            match step {
                0 => writers.extend(pool.try_acquire()),
                1 => drop(writers.pop()),
                2 | 3 => readers.extend(writers.pop().map(|writer| writer.publish(2))),
                4 => readers.extend(readers.last().cloned()),
                _ => drop(readers.pop()),
            }
            let stats = pool.stats();
            prop_assert_eq!(stats.free + stats.writing + stats.ready_or_reading, slots);
            prop_assert_eq!(stats.writing, writers.len());
            prop_assert_eq!(stats.tokens_in_flight, stats.ready_or_reading * 2);
        }
        drop((writers, readers));
        prop_assert_eq!(pool.stats().free, slots);
    }
}
