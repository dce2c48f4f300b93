//! The decision itself: a pure function of the policy, what is remembered and what the governor is told.

use std::time::Duration;

use nanomind_graphs::PowerPolicy;

use super::decision::{Change, Decision, Move, Payback, Placing, Reason};
use super::input::{Hold, Input};
use super::keep::BreakEven;
use super::ladder::Rung;
use super::memory::Memory;
use super::mode::Mode;
use super::observation::{NodeObservation, Observation};
use super::placement::{Aim, Choice, Problem};
use super::thresholds::{alpha, due_mode, heat};
use crate::duty::Keep;

/// A more generous mode comes no sooner than this after the last change, unless somebody asks for it: a loose charger
/// is no reason to begin and end full work all the time.
const RAISE_AFTER: Duration = Duration::from_secs(5);
/// α counts in steps of this much.
const ALPHA_STEP: f64 = 0.01;
/// Without a change of mode, nodes move only if that is predicted to be this much cheaper,
const WORTHWHILE_GAIN: f64 = 1.1;
/// … and has been for this long,
const STEADY: Duration = Duration::from_millis(200);
/// … and none of those that move has moved for this long: at most one move a minute.
const DWELL: Duration = Duration::from_secs(60);
/// … and saves more than it costs within this time, if work goes on as it does now.
const HORIZON: Duration = Duration::from_secs(60);
/// With a change of mode, they move at once if it is cheaper by this much.
const ANY_GAIN: f64 = 1.005;
/// Nodes that work less than this share of their time have nothing to gain.
const IDLE: f64 = 0.01;
/// Of what others take of its cores, this much makes a node crowded.
const CROWDED: f64 = 0.1;
/// More holds than this are one owner's mistake: the oldest goes.
const MOST_HOLDS: usize = 64;

/// Decides what to change, given `policy`, what is remembered and what the governor is told. Deterministic and without
/// effects: the caller carries the decisions out, and passes the new memory in the next time. Nothing but the arguments
/// goes into it, and nothing is gone through in the order of a hash.
pub fn step(policy: PowerPolicy, memory: &Memory, input: &Input) -> (Memory, Vec<Decision>) {
    let mut next = memory.clone();
    let decisions = match input {
        Input::Observed(seen) => next.observe(policy, seen),
        Input::Due { node, every, seen } => next.force_move(seen, node, *every).into_iter().collect(),
        Input::Held { hold, .. } => next.hold(hold),
        Input::Released { id, .. } => {
            next.holds.retain(|hold| hold.id != *id);
            Vec::new()
        }
        Input::Chosen { mode, .. } => {
            next.chosen = *mode;
            Vec::new()
        }
    };
    (next, decisions)
}

impl Memory {
    /// Takes a hold. What it changes is decided by the next look, which follows at once.
    fn hold(&mut self, hold: &Hold) -> Vec<Decision> {
        if self.holds.len() == MOST_HOLDS {
            self.holds.remove(0);
        }
        self.holds.push(hold.clone());
        Vec::new()
    }

    fn observe(&mut self, policy: PowerPolicy, seen: &Observation) -> Vec<Decision> {
        let mut decisions = Vec::new();
        let (mode, because) = self.next_mode(policy, seen);
        let changed = mode != self.mode;
        if changed {
            let change = Change::Mode { from: self.mode, to: mode };
            decisions.push(Decision { at: seen.at, change, reason: because.clone() });
            self.mode = mode;
            self.mode_since = seen.at;
        }
        self.begun = true;
        let rung = self.rung(policy, because.is_asked(), seen);
        let duty = rung.duty();
        if duty != self.duty {
            let reason = self.duty_reason(changed, &because, &duty, seen);
            decisions.push(Decision { at: seen.at, change: Change::Duty { from: self.duty, to: duty }, reason });
            self.duty = duty;
        }
        let aim = Aim { thrift: rung.thrift(), stands_by: duty.standby };
        let mode_changed = changed.then(|| Reason::ModeChanged { mode, because: Box::new(because) });
        decisions.extend(self.place(seen, aim, mode_changed));
        decisions
    }

    /// The mode that is due, and why: what was chosen by hand, else what is held, else what battery and policy say, and
    /// one less than those two while it is hot.
    fn next_mode(&mut self, policy: PowerPolicy, seen: &Observation) -> (Mode, Reason) {
        let (hot, threshold_c) = heat(self.hot, seen.temperature_c);
        self.hot = hot;
        if let Some(mode) = self.chosen {
            return (mode, Reason::Chosen);
        }
        let (mut mode, mut because) = match self.holds.iter().rev().max_by_key(|hold| hold.mode) {
            Some(hold) => (hold.mode, Reason::Held(hold.clone())),
            None => due_mode(self.mode, policy, seen.battery),
        };
        if let Some(temperature_c) = seen.temperature_c.filter(|_| hot) {
            mode = mode.stepped_down();
            because = Reason::Hot { temperature_c, threshold_c, due: Box::new(because) };
        }
        let asked = matches!(because, Reason::Held(_));
        let too_soon = self.begun && seen.at.since(self.mode_since) < RAISE_AFTER;
        if mode < self.mode && too_soon && !asked { (self.mode, because) } else { (mode, because) }
    }

    /// What duty and placement follow from.
    fn rung(&mut self, policy: PowerPolicy, asked: bool, seen: &Observation) -> Rung {
        let now = alpha(policy, seen.battery);
        self.alpha = match (now, self.alpha) {
            (Some(now), Some(posted)) if (now - posted).abs() < ALPHA_STEP && now != 0.0 && now != 1.0 => Some(posted),
            _ => now.map(|now| (now / ALPHA_STEP).round() * ALPHA_STEP),
        };
        let kept = match self.duty.weights {
            Keep::For(time) => Some(time),
            Keep::Always => None,
        };
        let keep = BreakEven::of(seen).map(|even| even.keep(&seen.demand.gaps, kept));
        Rung { policy, mode: self.mode, asked, alpha: self.alpha, hot: self.hot, keep }
    }

    fn duty_reason(
        &self,
        mode_changed: bool,
        because: &Reason,
        duty: &crate::duty::Duty,
        seen: &Observation,
    ) -> Reason {
        if mode_changed {
            return Reason::ModeChanged { mode: self.mode, because: Box::new(because.clone()) };
        }
        let kept_alike = duty.weights == self.duty.weights;
        match (BreakEven::of(seen), seen.battery.zip(self.alpha)) {
            (Some(even), _) if !kept_alike => even.reason(&seen.demand.gaps),
            (_, Some((battery, alpha))) if kept_alike => Reason::Alpha { level: battery.level, alpha },
            _ => because.clone(),
        }
    }

    /// Where nodes work: anew after a change of mode or when an accelerator has failed, else only if that pays.
    fn place(&mut self, seen: &Observation, aim: Aim, mode_changed: Option<Reason>) -> Option<Decision> {
        let lost = seen.nodes.iter().find(|node| node.here().is_none() && !node.places.is_empty());
        let lost = lost.map(|node| Reason::Lost { accelerator: node.on });
        // After a failure only those move that have to.
        let anew = mode_changed.map(|reason| (reason, true)).or(lost.map(|reason| (reason, false)));
        if let Some((reason, all)) = anew {
            self.urge_since = None;
            let problem = Problem::new(seen, aim, |_| all);
            // In another mode even a little is worth a move, nothing is not.
            let choice = problem.best(all.then_some(ANY_GAIN))?;
            return self.moved(seen, problem.placing(&choice), reason);
        }
        let rested =
            |node: &NodeObservation| self.moved.get(&node.node).is_none_or(|moved| seen.at.since(*moved) >= DWELL);
        let activity: f64 = seen.accelerators.iter().flat_map(|place| &place.load).map(|load| load.share).sum();
        let found = (activity >= IDLE).then(|| {
            let problem = Problem::new(seen, aim, rested);
            problem.best(Some(WORTHWHILE_GAIN)).map(|choice| (choice, problem))
        });
        let Some((choice, problem)) = found.flatten() else {
            self.urge_since = None;
            return None;
        };
        let since = *self.urge_since.get_or_insert(seen.at);
        let placing = problem.placing(&choice);
        let payback = payback(seen, &placing, &choice, activity);
        if seen.at.since(since) < STEADY || payback.saves_ms <= payback.costs_ms {
            return None;
        }
        self.urge_since = None;
        let reason = reason_to_move(seen, &placing, &choice, payback);
        self.moved(seen, placing, reason)
    }

    /// The move that the person running the graph asked for: to the next place in turn. `None` where the node has just
    /// one place to be.
    fn force_move(&mut self, seen: &Observation, node: &str, every: u64) -> Option<Decision> {
        let node = seen.node(node).filter(|node| node.places.len() > 1)?;
        let here = node.places.iter().position(|place| place.accelerator == node.on).unwrap_or(0);
        let to = node.places[(here + 1) % node.places.len()].accelerator;
        let moves = vec![Move { node: node.node.clone(), from: node.on, to }];
        let placing = Placing { moves, stay: None, chosen: None, combinations: 1, nodes: Vec::new() };
        self.moved(seen, placing, Reason::Forced { every })
    }

    /// A decision to move, remembered; none if nothing moves.
    fn moved(&mut self, seen: &Observation, placing: Placing, reason: Reason) -> Option<Decision> {
        if placing.moves.is_empty() {
            return None;
        }
        for moved in &placing.moves {
            self.moved.insert(moved.node.clone(), seen.at);
        }
        Some(Decision { at: seen.at, change: Change::Placement(placing), reason })
    }
}

/// What the moves save and take, if the nodes go on working as much as now.
fn payback(seen: &Observation, placing: &Placing, choice: &Choice, activity: f64) -> Payback {
    let horizon_ms = HORIZON.as_secs_f64() * 1e3;
    let costs = placing.moves.iter().filter_map(|moved| {
        let places = &seen.node(&moved.node)?.places;
        Some(places.iter().find(|place| place.accelerator == moved.to)?.move_ms)
    });
    // What is saved is saved of the work that there is.
    let saved = 1.0 - 1.0 / choice.gain;
    Payback { saves_ms: saved * activity * horizon_ms, horizon_ms, costs_ms: costs.sum() }
}

/// Crowded, if one of those that move has neighbours on its cores that work; else merely cheaper.
fn reason_to_move(seen: &Observation, placing: &Placing, choice: &Choice, payback: Payback) -> Reason {
    let gain = choice.gain;
    let crowd = placing.moves.iter().filter_map(|moved| {
        let here = seen.accelerator(&moved.from)?;
        let others = seen.accelerators.iter().filter(|place| place.overlaps(here)).flat_map(|place| &place.load);
        let others: f64 = others.filter(|load| load.node != moved.node).map(|load| load.share).sum();
        Some((others.min(1.0), here.queue_depth))
    });
    match crowd.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((others, queue_depth)) if others > CROWDED => Reason::Crowded { others, queue_depth, gain, payback },
        _ => Reason::Cheaper { gain, payback },
    }
}
