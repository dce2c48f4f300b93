//! The slot pool in every order that its threads can touch it. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p nanomind-hal --release --target-dir target/loom loom`.

use super::*;
use loom::thread;

fn pool(slots: usize) -> SlotPool {
    let geometry = SlotGeometry { slots, max_tokens: 1, width: 1, element: ElementType::F32 };
    SlotPool::new(geometry).expect("a pool")
}

/// Takes a slot, writes `value` and publishes it, if there is a free one.
fn produce(pool: &SlotPool, value: f32) -> Option<SlotReader> {
    let mut writer = pool.try_acquire()?;
    writer.rows_mut_f32()[0] = value;
    Some(writer.publish(1))
}

fn assert_all_free(pool: &SlotPool, slots: usize) {
    let writers: Vec<SlotWriter> = (0..slots).filter_map(|_| pool.try_acquire()).collect();
    assert_eq!(writers.len(), slots, "a slot was lost");
    assert!(pool.try_acquire().is_none(), "a slot was there twice");
}

#[test]
fn loom_two_readers_free_a_slot_once_and_the_next_writer_races_nobody() {
    loom::model(|| {
        let pool = pool(1);
        let reader = produce(&pool, 1.0).expect("a free slot");
        let copy = reader.clone();
        let other = thread::spawn(move || assert_eq!(copy.row(0), [1.0]));
        let again = thread::spawn({
            let pool = pool.clone();
            move || {
                if let Some(reader) = produce(&pool, 2.0) {
                    assert_eq!(reader.row(0), [2.0]);
                }
            }
        });
        assert_eq!(reader.row(0), [1.0]);
        drop(reader);
        other.join().expect("a reader");
        again.join().expect("a writer");
        assert_all_free(&pool, 1);
    });
}

#[test]
fn loom_writers_that_give_up_and_writers_that_publish_share_the_slots() {
    loom::model(|| {
        let pool = pool(2);
        let publisher = thread::spawn({
            let pool = pool.clone();
            move || {
                for value in [1.0, 2.0] {
                    if let Some(reader) = produce(&pool, value) {
                        assert_eq!(reader.row(0), [value]);
                    }
                }
            }
        });
        if let Some(mut writer) = pool.try_acquire() {
            writer.rows_mut_f32()[0] = 3.0;
        }
        drop(pool.try_acquire());
        publisher.join().expect("a publisher");
        assert_all_free(&pool, 2);
    });
}

#[test]
fn loom_a_reader_that_fans_out_while_another_lets_go_keeps_the_slot() {
    loom::model(|| {
        let pool = pool(1);
        let reader = produce(&pool, 1.0).expect("a free slot");
        let first = reader.clone();
        let other = thread::spawn(move || drop(first));
        let copy = reader.clone();
        drop(reader);
        assert!(pool.try_acquire().is_none(), "the slot still has a reader");
        assert_eq!(copy.row(0), [1.0]);
        drop(copy);
        other.join().expect("a reader");
        assert_all_free(&pool, 1);
    });
}
