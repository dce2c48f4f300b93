//! Residence: how a node holds weights. They are in memory for a stage of work, and after it as long as the duty says.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use nanomind_hal::{AcceleratorId, Clock, Timestamp};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::duty::{DutyBoard, Keep};
use crate::error::NodeError;
use crate::node::NodeContext;
use crate::request::Request;
use crate::turns::{Manner, Turn};
use crate::weights::{WeightSource, WeightStore, Weights};

/// A node's weights `W`, and what it has built on them (`S`: a workspace, a cache of keys and values), which goes with
/// them. Nothing is in memory before [`Residence::enter`] or [`Residence::prepare`].
pub struct Residence<W: Weights, S: 'static = ()> {
    source: Rc<WeightSource<W>>,
    /// Whether stages take the weights along when the node moves.
    follows: bool,
    home: Rc<Home<W, S>>,
    /// Releases what is idle for too long; started by the first stage.
    caretaker: RefCell<Option<JoinHandle<()>>>,
}

/// Where weights stay between stages.
struct Home<W, S> {
    held: RefCell<Option<Held<W, S>>>,
    /// Stages under way.
    stages: Cell<usize>,
    /// Since when nothing is under way; none while something is, or while there is nothing in memory.
    idle: watch::Sender<Option<Timestamp>>,
}

struct Held<W, S> {
    weights: Arc<W>,
    /// Whose home they are in.
    at: AcceleratorId,
    built: Option<S>,
}

impl<W: Weights, S: 'static> Residence<W, S> {
    /// A residence for the weights of `source`, without anything in memory. When the node has moved to where its weights
    /// are not, the next stage loads them there, and what was built on them is lost.
    pub fn new(source: WeightSource<W>) -> Residence<W, S> {
        Residence::with(source, false)
    }

    /// As [`Residence::new`], for a node whose stages begin where the weights are, and bring them and what was built on them
    /// to where the node was moved ([`Stage::load_at`], [`Stage::arrive`]).
    pub(crate) fn following(source: WeightSource<W>) -> Residence<W, S> {
        Residence::with(source, true)
    }

    fn with(source: WeightSource<W>, follows: bool) -> Residence<W, S> {
        let home = Home { held: RefCell::default(), stages: Cell::new(0), idle: watch::Sender::new(None) };
        Residence { source: Rc::new(source), follows, home: Rc::new(home), caretaker: RefCell::default() }
    }

    /// Loads the weights before there is work for them, where the duty is to keep them always: the first answer is not to
    /// wait for what could be there.
    ///
    /// # Errors
    /// The weights cannot be loaded.
    pub async fn prepare(&self, context: &NodeContext) -> Result<(), NodeError> {
        if context.duty().weights == Keep::Always {
            self.enter(context).await?;
        }
        Ok(())
    }

    /// Begins a stage: waits for the node's turn, if bricks work in turn, and loads the weights by a job of the node, unless
    /// they are in memory. The stage ends when what this gives is dropped, in whatever way.
    ///
    /// While a stage is under way, [`NodeContext::send`] lends its turn to others for as long as there is no room for what is
    /// sent; whoever waits for something else that other bricks must do calls [`NodeContext::lend_turn_for`].
    ///
    /// # Errors
    /// The weights cannot be loaded.
    pub async fn enter(&self, context: &NodeContext) -> Result<Stage<W, S>, NodeError> {
        let manner = if context.duty().in_turn { Manner::Alone } else { Manner::Together };
        let turn = context.take_turn(manner).await;
        self.home.begin();
        let (duty, clock) = (context.duty.clone(), context.clock().clone());
        let (store, source) = (context.weights().clone(), self.source.clone());
        let underway = Underway { home: self.home.clone(), source, duty, clock, store, turn };
        let at = context.jobs().assigned_and_there().await?;
        let homes = context.weights().homes();
        let gone = |held: &Held<W, S>| context.jobs().is_lost_with(held.at);
        let elsewhere = |held: &Held<W, S>| !self.follows && homes.of(held.at) != homes.of(at);
        let useless = self.home.held.borrow().as_ref().is_some_and(|held| gone(held) || elsewhere(held));
        if useless && self.home.stages.get() == 1 {
            self.home.release(context.weights());
        }
        let held = self.home.held.borrow().as_ref().map(|held| (held.weights.clone(), held.at));
        let (weights, at) = match held {
            Some(held) => held,
            None => {
                let weights = context.weights().get(&self.source, context.jobs(), at).await?;
                *self.home.held.borrow_mut() = Some(Held { weights: weights.clone(), at, built: None });
                (weights, at)
            }
        };
        context.jobs().stay_near(at);
        self.take_care(context);
        Ok(Stage { weights, underway })
    }

    /// As [`Residence::enter`], for a request; `None` where that is cancelled before the stage begins.
    ///
    /// # Errors
    /// The weights cannot be loaded.
    pub async fn enter_for(&self, context: &NodeContext, request: Request) -> Result<Option<Stage<W, S>>, NodeError> {
        tokio::select! {
            biased;
            () = context.cancelled(request.epoch) => Ok(None),
            stage = self.enter(context) => Ok(Some(stage?)),
        }
    }

    /// Starts what releases idle weights, unless it is at work already.
    fn take_care(&self, context: &NodeContext) {
        let (home, duty) = (self.home.clone(), context.duty.clone());
        let (clock, store) = (context.clock().clone(), context.weights().clone());
        let care = || actix::spawn(async move { home.release_when_idle(&duty, &clock, &store).await });
        self.caretaker.borrow_mut().get_or_insert_with(care);
    }
}

impl<W: Weights, S: 'static> Drop for Residence<W, S> {
    fn drop(&mut self) {
        if let Some(caretaker) = self.caretaker.take() {
            caretaker.abort();
        }
        self.home.idle.send_replace(None);
        drop(self.home.held.take());
    }
}

impl<W: Weights, S: 'static> Home<W, S> {
    fn begin(&self) {
        self.stages.set(self.stages.get() + 1);
        self.idle.send_replace(None);
    }

    /// A stage has ended: what nothing else needs goes at once, or its time begins to run.
    fn end(&self, duty: &DutyBoard, clock: &Clock, store: &WeightStore) {
        self.stages.set(self.stages.get() - 1);
        if self.stages.get() > 0 || self.held.borrow().is_none() {
            return;
        }
        match duty.duty().weights {
            Keep::For(time) if time.is_zero() => self.release(store),
            Keep::For(_) | Keep::Always => drop(self.idle.send_replace(Some(clock.now()))),
        }
    }

    fn release(&self, store: &WeightStore) {
        self.idle.send_replace(None);
        drop(self.held.take());
        store.recount();
    }

    /// Releases the weights whenever they were idle for longer than the duty of the moment lets them.
    async fn release_when_idle(&self, duty: &DutyBoard, clock: &Clock, store: &WeightStore) {
        let mut idle = self.idle.subscribe();
        loop {
            // The home holds the sender, so waiting cannot fail while it is borrowed.
            let Ok(since) = idle.wait_for(Option::is_some).await.map(|since| *since) else { return };
            let Some(since) = since else { continue };
            let posted = duty.duty();
            let due = async {
                match posted.weights {
                    Keep::Always => std::future::pending().await,
                    Keep::For(time) => clock.sleep_until(since + time).await,
                }
            };
            tokio::select! {
                biased;
                _ = idle.changed() => {}
                _ = duty.changed_from(posted) => {}
                () = due => self.release(store),
            }
        }
    }
}

/// A stage of work with weights in memory. Dropping it ends the stage, and the weights go as the duty says:
/// `Keep::For(ZERO)` at once, `Keep::For(time)` when no other stage has begun for so long, `Keep::Always` never.
pub struct Stage<W: Weights, S: 'static = ()> {
    // Dropped first: the stage's end counts what is still in memory.
    weights: Arc<W>,
    underway: Underway<W, S>,
}

impl<W: Weights, S: 'static> Stage<W, S> {
    /// The weights. Who clones this holds them for longer than the stage if need be, and the books say so.
    pub fn weights(&self) -> &Arc<W> {
        &self.weights
    }

    /// Loads the weights in the home of `at`, too, by jobs of the node there.
    pub(crate) fn load_at(
        &self,
        context: &NodeContext,
        at: AcceleratorId,
    ) -> impl Future<Output = Result<Arc<W>, NodeError>> + use<W, S> {
        let (store, source) = (self.underway.store.clone(), self.underway.source.clone());
        let jobs = context.jobs.clone();
        async move { store.get(&source, &jobs, at).await }
    }

    /// The node has moved to `at`, with `weights` that are there and what it has `built` on them; those before go.
    pub(crate) fn arrive(&mut self, context: &NodeContext, weights: Arc<W>, at: AcceleratorId, built: S) {
        self.weights = weights.clone();
        *self.underway.home.held.borrow_mut() = Some(Held { weights, at, built: Some(built) });
        self.underway.store.recount();
        context.jobs().stay_near(at);
    }

    /// Takes out what was built on the weights and put back before: to go into a job, and come back with it.
    pub fn take(&self) -> Option<S> {
        self.underway.home.held.borrow_mut().as_mut()?.built.take()
    }

    /// Keeps what was built on the weights for as long as they are in memory.
    pub fn put(&self, built: S) {
        if let Some(held) = self.underway.home.held.borrow_mut().as_mut() {
            held.built = Some(built);
        }
    }
}

/// That a stage is under way.
struct Underway<W: Weights, S: 'static> {
    home: Rc<Home<W, S>>,
    source: Rc<WeightSource<W>>,
    duty: DutyBoard,
    clock: Clock,
    store: WeightStore,
    // Dropped after all else: the next stage begins when these weights are gone.
    turn: Rc<Turn>,
}

impl<W: Weights, S: 'static> Drop for Underway<W, S> {
    fn drop(&mut self) {
        self.home.end(&self.duty, &self.clock, &self.store);
        if self.turn.manner() == Manner::Alone {
            self.store.books().stage_ended();
        }
    }
}

#[cfg(test)]
mod tests;
