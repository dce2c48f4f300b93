//! Turns: bricks either work side by side, or one after the other, each a whole stage at a time.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// The turns of one run. Who comes first goes first: whoever wants to be alone waits for those before it, and those that
/// come later wait behind it. Clones are the same turns.
#[derive(Clone, Default)]
pub(crate) struct Turns(Arc<RwLock<()>>);

/// How a stage is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    /// Beside others.
    Together,
    /// While no other is under way.
    Alone,
}

/// What a stage has while it is its turn, for both locks of the gate.
enum Pass {
    Together { _pass: OwnedRwLockReadGuard<()> },
    Alone { _pass: OwnedRwLockWriteGuard<()> },
}

impl Turns {
    /// Waits for a turn, which ends when it is dropped.
    pub(crate) async fn take(&self, manner: Manner) -> Rc<Turn> {
        let pass = RefCell::new(Some(self.pass(manner).await));
        Rc::new(Turn { turns: self.clone(), manner, pass })
    }

    async fn pass(&self, manner: Manner) -> Pass {
        match manner {
            Manner::Together => Pass::Together { _pass: self.0.clone().read_owned().await },
            Manner::Alone => Pass::Alone { _pass: self.0.clone().write_owned().await },
        }
    }
}

/// A turn of one stage.
pub(crate) struct Turn {
    turns: Turns,
    manner: Manner,
    /// None while it is lent.
    pass: RefCell<Option<Pass>>,
}

impl Turn {
    pub(crate) fn manner(&self) -> Manner {
        self.manner
    }

    /// Waits for `others`, who may need a turn themselves to do what is waited for. If it is not done at once, the turn is
    /// theirs meanwhile, and taken anew afterwards. Where the wait is abandoned, the stage goes on without a turn.
    pub(crate) async fn lend_for<F: Future>(&self, others: F) -> F::Output {
        let mut others = pin!(others);
        if let Poll::Ready(output) = futures_util::poll!(&mut others) {
            return output;
        }
        let was_mine = self.pass.take().is_some();
        let output = others.await;
        if was_mine {
            let pass = self.turns.pass(self.manner).await;
            *self.pass.borrow_mut() = Some(pass);
        }
        output
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn who_works_alone_waits_for_all_and_goes_before_those_that_come_later() {
        let turns = Turns::default();
        let first = turns.take(Manner::Together).now_or_never().expect("nobody is there");
        let second = turns.take(Manner::Together).now_or_never().expect("both work side by side");
        let mut alone = pin!(turns.take(Manner::Alone));
        assert!(alone.as_mut().now_or_never().is_none(), "two are under way");
        let mut later = pin!(turns.take(Manner::Together));
        assert!(later.as_mut().now_or_never().is_none(), "one waits already");
        drop(first);
        assert!(alone.as_mut().now_or_never().is_none(), "one is still under way");
        drop(second);
        let alone = alone.now_or_never().expect("all have ended");
        assert!(later.as_mut().now_or_never().is_none(), "one is alone");
        drop(alone);
        assert!(later.now_or_never().is_some());
    }

    #[test]
    fn a_turn_is_lent_for_what_others_must_do_and_comes_back() {
        let turns = Turns::default();
        let mine = turns.take(Manner::Alone).now_or_never().expect("nobody is there");
        let (done, wait) = tokio::sync::oneshot::channel();
        let mut lent = pin!(mine.lend_for(wait));
        assert!(lent.as_mut().now_or_never().is_none());
        let theirs = turns.take(Manner::Alone).now_or_never().expect("it is lent");
        done.send(7).expect("somebody waits");
        assert!(lent.as_mut().now_or_never().is_none(), "done, but it is not mine yet");
        drop(theirs);
        assert_eq!(lent.now_or_never(), Some(Ok(7)));
        assert!(turns.take(Manner::Alone).now_or_never().is_none(), "it is mine again");
        assert_eq!(mine.lend_for(async { 8 }).now_or_never(), Some(8), "what is done at once takes no lending");
    }

    #[test]
    fn who_goes_away_while_waiting_or_in_a_panic_gives_the_turn_back() {
        let turns = Turns::default();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _mine = turns.0.try_write().expect("nobody is there");
            panic!("as it may happen");
        }));
        assert!(caught.is_err());
        let mine = turns.take(Manner::Alone).now_or_never().expect("a panic has given it back");
        assert!(turns.take(Manner::Alone).now_or_never().is_none(), "abandoned at once");
        drop(mine);
        assert!(turns.take(Manner::Together).now_or_never().is_some(), "nobody waits who has gone away");
    }
}
