//! The free list: the numbers of the slots that nobody holds.

#[cfg(not(loom))]
pub(super) use channel::FreeList;
#[cfg(loom)]
pub(super) use model::FreeList;

#[cfg(not(loom))]
mod channel {
    /// A bounded channel with room for all slots, so that it can be waited for both in async code and not at all.
    pub(in super::super) struct FreeList {
        put: flume::Sender<usize>,
        take: flume::Receiver<usize>,
    }

    impl FreeList {
        /// A list of `slots` slots, all free.
        pub(in super::super) fn full(slots: usize) -> FreeList {
            let (put, take) = flume::bounded(slots);
            let list = FreeList { put, take };
            (0..slots).for_each(|index| list.put(index));
            list
        }

        pub(in super::super) fn try_take(&self) -> Option<usize> {
            self.take.try_recv().ok()
        }

        pub(in super::super) async fn take(&self) -> usize {
            self.take.recv_async().await.expect("the list itself holds the sender, so the channel never closes")
        }

        pub(in super::super) fn put(&self, index: usize) {
            let full = self.put.try_send(index).is_err();
            debug_assert!(!full, "slot {index} came back twice");
        }
    }
}

/// The same for loom, which cannot look into a channel.
#[cfg(loom)]
mod model {
    use crate::sync::Mutex;

    pub(in super::super) struct FreeList(Mutex<Vec<usize>>);

    impl FreeList {
        pub(in super::super) fn full(slots: usize) -> FreeList {
            FreeList(Mutex::new((0..slots).collect()))
        }

        pub(in super::super) fn try_take(&self) -> Option<usize> {
            self.0.lock().pop()
        }

        pub(in super::super) fn put(&self, index: usize) {
            let mut list = self.0.lock();
            assert!(!list.contains(&index), "slot {index} came back twice");
            list.push(index);
        }
    }
}
