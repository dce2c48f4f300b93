//! The core lease: accelerators that share cores take turns, in the order in which they asked.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use parking_lot::{Condvar, Mutex};

use crate::cpu::CpuSet;

/// The right to use cores. Clones share one book: groups of cores that overlap never hold it at once, groups that do
/// not overlap hold it side by side. Whoever asked first goes first, so a wide group is not starved by narrow ones.
#[derive(Clone, Default)]
pub struct CoreLease {
    book: Arc<Book>,
}

#[derive(Default)]
struct Book {
    entries: Mutex<Entries>,
    changed: Condvar,
}

#[derive(Default)]
struct Entries {
    /// Who holds cores and who waits for them, in the order in which they asked.
    queue: VecDeque<Entry>,
    next: u64,
}

struct Entry {
    ticket: u64,
    cpus: Arc<CpuSet>,
    /// The task that waits; a thread waits for `changed`.
    waker: Option<Waker>,
}

impl Entries {
    /// Whether nobody who asked earlier holds or wants any of these cores.
    fn is_next(&self, ticket: u64, cpus: &CpuSet) -> bool {
        self.queue.iter().take_while(|entry| entry.ticket != ticket).all(|entry| !entry.cpus.overlaps(cpus))
    }
}

impl CoreLease {
    /// A lease of which nobody holds anything.
    pub fn new() -> CoreLease {
        CoreLease::default()
    }

    /// Blocks this thread until it has `cpus`, and holds them until the guard is dropped. A thread that holds some
    /// must not ask for more.
    pub(crate) fn acquire(&self, cpus: &Arc<CpuSet>) -> LeaseGuard<'_> {
        let guard = self.line_up(cpus);
        let mut entries = self.book.entries.lock();
        while !entries.is_next(guard.ticket, cpus) {
            self.book.changed.wait(&mut entries);
        }
        drop(entries);
        guard
    }

    /// [`CoreLease::acquire`] for a task. Giving up the wait gives up the place in the line.
    pub(crate) async fn acquire_async(&self, cpus: &Arc<CpuSet>) -> LeaseGuard<'_> {
        let guard = self.line_up(cpus);
        poll_fn(|context| {
            let mut entries = self.book.entries.lock();
            if entries.is_next(guard.ticket, cpus) {
                return Poll::Ready(());
            }
            if let Some(mine) = entries.queue.iter_mut().find(|entry| entry.ticket == guard.ticket) {
                mine.waker = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
        guard
    }

    /// Takes a place in the line.
    fn line_up(&self, cpus: &Arc<CpuSet>) -> LeaseGuard<'_> {
        let mut entries = self.book.entries.lock();
        let ticket = entries.next;
        entries.next += 1;
        entries.queue.push_back(Entry { ticket, cpus: Arc::clone(cpus), waker: None });
        LeaseGuard { book: &self.book, ticket }
    }
}

impl fmt::Debug for CoreLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.book.entries.lock();
        let cpus = entries.queue.iter().map(|entry| entry.cpus.to_string());
        f.debug_struct("CoreLease").field("held_or_wanted", &cpus.collect::<Vec<_>>()).finish()
    }
}

/// Cores that are held, or a place in the line for them; dropping it gives them to who waits.
pub(crate) struct LeaseGuard<'a> {
    book: &'a Book,
    ticket: u64,
}

impl LeaseGuard<'_> {
    /// Whether somebody waits for cores that are held here.
    pub(crate) fn is_wanted(&self) -> bool {
        let entries = self.book.entries.lock();
        let Some(mine) = entries.queue.iter().position(|entry| entry.ticket == self.ticket) else { return false };
        entries.queue.iter().skip(mine + 1).any(|entry| entry.cpus.overlaps(&entries.queue[mine].cpus))
    }
}

impl Drop for LeaseGuard<'_> {
    fn drop(&mut self) {
        let mut entries = self.book.entries.lock();
        entries.queue.retain(|entry| entry.ticket != self.ticket);
        // In the order of the line, so that a simulation takes the same course each time.
        let waiting: Vec<Waker> = entries.queue.iter_mut().filter_map(|entry| entry.waker.take()).collect();
        drop(entries);
        self.book.changed.notify_all();
        waiting.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Context;
    use std::thread;

    fn cpus(list: &str) -> Arc<CpuSet> {
        Arc::new(CpuSet::parse(list).expect(list))
    }

    /// Waits until `count` holders and waiters are in the book.
    fn wait_for(lease: &CoreLease, count: usize) {
        while lease.book.entries.lock().queue.len() < count {
            thread::yield_now();
        }
    }

    #[test]
    fn overlapping_groups_never_hold_it_at_once() {
        let lease = CoreLease::new();
        let users: [AtomicUsize; 4] = Default::default();
        thread::scope(|scope| {
            for list in ["0-3", "0-1", "2-3", "1-2", "0-3"] {
                let (lease, users) = (&lease, &users);
                scope.spawn(move || {
                    let cpus = cpus(list);
                    for _ in 0..2_000 {
                        let guard = lease.acquire(&cpus);
                        for cpu in cpus.iter() {
                            let others = users[cpu].fetch_add(1, Ordering::SeqCst);
                            assert_eq!(others, 0, "cpu {cpu} of {list} is in use");
                        }
                        for cpu in cpus.iter() {
                            users[cpu].fetch_sub(1, Ordering::SeqCst);
                        }
                        drop(guard);
                    }
                });
            }
        });
        assert!(lease.book.entries.lock().queue.is_empty());
    }

    #[test]
    fn groups_that_do_not_overlap_hold_it_side_by_side() {
        let lease = CoreLease::new();
        let (one, other) = (cpus("0"), cpus("1"));
        let first = lease.acquire(&one);
        let second = lease.acquire(&other);
        assert!(!first.is_wanted() && !second.is_wanted());
    }

    #[test]
    fn a_task_waits_its_turn_and_one_that_gives_up_leaves_the_line() {
        let lease = CoreLease::new();
        let (all, first) = (cpus("0-1"), cpus("0"));
        let mut context = Context::from_waker(Waker::noop());
        let held = lease.acquire(&first);
        let mut wide = Box::pin(lease.acquire_async(&all));
        let mut narrow = Box::pin(lease.acquire_async(&first));
        assert!(wide.as_mut().poll(&mut context).is_pending());
        assert!(narrow.as_mut().poll(&mut context).is_pending());
        drop(held);
        assert!(narrow.as_mut().poll(&mut context).is_pending(), "the wide group asked first");
        drop(wide);
        assert!(narrow.as_mut().poll(&mut context).is_ready());
    }

    #[test]
    fn a_wide_group_that_waits_goes_before_a_narrow_one_that_came_later() {
        let lease = CoreLease::new();
        let order = Mutex::new(Vec::new());
        thread::scope(|scope| {
            let (lease, order) = (&lease, &order);
            let held = lease.acquire(&cpus("0"));
            for (nth, list) in ["0-1", "1"].into_iter().enumerate() {
                scope.spawn(move || {
                    let cpus = cpus(list);
                    let guard = lease.acquire(&cpus);
                    order.lock().push(list);
                    drop(guard);
                });
                wait_for(lease, nth + 2);
            }
            assert!(held.is_wanted());
            assert!(order.lock().is_empty(), "{order:?} went before the holder was done");
            drop(held);
        });
        assert_eq!(*order.lock(), ["0-1", "1"]);
    }
}
