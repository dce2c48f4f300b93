//! The decision itself: a pure function of the policy, what was learnt so far, and what is seen now.

use std::collections::BTreeMap;
use std::time::Duration;

use nanomind_graphs::PowerPolicy;
use nanomind_hal::{AcceleratorId, Timestamp};

use super::decision::{Candidate, Change, Decision, Reason};
use super::mode::Mode;
use super::observation::{AcceleratorObservation, NodeObservation, Observation};
use super::thresholds::next_mode;

/// Without a change of mode, a node moves only if the other place is predicted to be this much cheaper.
const WORTHWHILE_GAIN: f64 = 1.25;
/// … and has been for this many ticks in a row,
const STEADY_TICKS: u32 = 2;
/// … and the node has not moved for this long.
const DWELL: Duration = Duration::from_secs(1);
/// Predictions that differ by less than this count as equal; the order of preference decides then.
const SAME: f64 = 1.02;
/// A step takes 1 / cores^SCALING of its time on one core, where nothing was measured yet.
const SCALING: f64 = 0.8;
/// How much of a new measurement goes into what was learnt.
const LEARNING_RATE: f64 = 0.25;
/// Step time assumed on one core before anything was measured; only ratios matter then.
const NOMINAL_STEP_MS: f64 = 10.0;

/// What the governor remembers from one decision to the next.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Memory {
    /// The power mode.
    pub mode: Mode,
    /// Running time of one step in milliseconds, by node and accelerator.
    learnt: BTreeMap<(String, AcceleratorId), f64>,
    /// Since how many ticks in a row another place would be worth a move.
    urge: BTreeMap<String, u32>,
    /// When each node moved last.
    moved: BTreeMap<String, Timestamp>,
}

/// Decides what to change, given `policy`, what is remembered and what is seen. Deterministic and without effects; the
/// caller carries the decisions out and passes the new memory in the next time.
pub fn decide(policy: PowerPolicy, memory: &Memory, seen: &Observation) -> (Memory, Vec<Decision>) {
    let mut memory = memory.clone();
    memory.learn(seen);
    let mut decisions = Vec::new();

    let (mode, because) = next_mode(memory.mode, policy, seen.battery);
    let changed = mode != memory.mode;
    if changed {
        let change = Change::Mode { from: memory.mode, to: mode };
        decisions.push(Decision { at: seen.at, change, reason: because.clone() });
        memory.mode = mode;
    }

    for node in seen.nodes.iter().filter(|node| node.allowed.len() > 1) {
        let candidates = memory.candidates(node, seen);
        let Some(best) = best(&candidates, mode) else { continue };
        let Some(here) = candidates.iter().find(|candidate| candidate.accelerator == node.on) else { continue };
        if best.accelerator == node.on {
            memory.urge.remove(&node.node);
            continue;
        }
        let gain = here.cost / best.cost;
        let reason = if changed {
            Reason::ModeChanged { mode, because: Box::new(because.clone()) }
        } else if memory.urges(node, gain, seen.at) {
            reason_without_mode(node, seen, gain)
        } else {
            continue;
        };
        let (from, to) = (node.on, best.accelerator);
        memory.note_move(&node.node, seen.at);
        let change = Change::Move { node: node.node.clone(), from, to, candidates: candidates.clone() };
        decisions.push(Decision { at: seen.at, change, reason });
    }
    (memory, decisions)
}

/// The move that the person running the graph asked for: to the next allowed accelerator in turn. `None` where the node
/// has just one place to be.
pub fn force_move(memory: &Memory, seen: &Observation, node: &str, every: u64) -> (Memory, Option<Decision>) {
    let mut memory = memory.clone();
    let Some(node) = seen.nodes.iter().find(|seen| seen.node == node && seen.allowed.len() > 1) else {
        return (memory, None);
    };
    let here = node.allowed.iter().position(|allowed| *allowed == node.on).unwrap_or(0);
    let to = node.allowed[(here + 1) % node.allowed.len()];
    let candidates = memory.candidates(node, seen);
    memory.note_move(&node.node, seen.at);
    let change = Change::Move { node: node.node.clone(), from: node.on, to, candidates };
    (memory, Some(Decision { at: seen.at, change, reason: Reason::Forced { every } }))
}

/// The cheapest candidate; among equals the first that the placement names, or in power-saver the last, since clusters
/// are listed from the fastest to the most frugal.
fn best(candidates: &[Candidate], mode: Mode) -> Option<&Candidate> {
    let cheapest = candidates.iter().map(|candidate| candidate.cost).min_by(f64::total_cmp)?;
    let mut equals = candidates.iter().filter(|candidate| candidate.cost <= cheapest * SAME);
    if mode == Mode::PowerSaver { equals.next_back() } else { equals.next() }
}

fn reason_without_mode(node: &NodeObservation, seen: &Observation, gain: f64) -> Reason {
    let Some(here) = seen.accelerator(&node.on) else { return Reason::Cheaper { gain } };
    let others = others_share(node, here, seen);
    if others > 0.1 {
        Reason::Crowded { others, queue_depth: here.queue_depth, gain }
    } else {
        Reason::Cheaper { gain }
    }
}

/// The share of time that other nodes took on the cores of `place`, 0 to 1.
fn others_share(node: &NodeObservation, place: &AcceleratorObservation, seen: &Observation) -> f64 {
    let overlapping = seen.accelerators.iter().filter(|other| other.overlaps(place));
    let loads = overlapping.flat_map(|other| &other.load).filter(|load| load.node != node.node);
    loads.map(|load| load.share).sum::<f64>().clamp(0.0, 1.0)
}

impl Memory {
    fn learn(&mut self, seen: &Observation) {
        for node in &seen.nodes {
            let Some(step) = node.step_ms.filter(|step| *step > 0.0) else { continue };
            let known = self.learnt.entry((node.node.clone(), node.on)).or_insert(step);
            *known += (step - *known) * LEARNING_RATE;
        }
    }

    /// Counts how long a move has looked worthwhile, and says whether it is time.
    fn urges(&mut self, node: &NodeObservation, gain: f64, now: Timestamp) -> bool {
        if gain < WORTHWHILE_GAIN {
            self.urge.remove(&node.node);
            return false;
        }
        let ticks = self.urge.entry(node.node.clone()).or_insert(0);
        *ticks += 1;
        let rested = self.moved.get(&node.node).is_none_or(|moved| now.since(*moved) >= DWELL);
        *ticks >= STEADY_TICKS && rested
    }

    fn note_move(&mut self, node: &str, now: Timestamp) {
        self.urge.remove(node);
        self.moved.insert(node.to_owned(), now);
    }

    fn candidates(&self, node: &NodeObservation, seen: &Observation) -> Vec<Candidate> {
        let places = node.allowed.iter().filter_map(|id| seen.accelerator(id));
        places.map(|place| self.candidate(node, place, seen)).collect()
    }

    fn candidate(&self, node: &NodeObservation, place: &AcceleratorObservation, seen: &Observation) -> Candidate {
        let (own, measured) = self.own_step(node, place, seen);
        // Jobs of one queue take turns: a node that shares a place with n busy others waits at most n jobs each step,
        // and less if the others leave the place idle in between.
        let others = others_share(node, place, seen);
        let rivals = seen
            .nodes
            .iter()
            .filter(|other| other.node != node.node && other.busy)
            .filter(|other| seen.accelerator(&other.on).is_some_and(|on| on.overlaps(place)))
            .count();
        let step_ms = own * (1.0 / (1.0 - others).max(f64::EPSILON)).min(1.0 + rivals as f64);
        let power = cores(place);
        Candidate { accelerator: place.id, step_ms, measured, cost: step_ms * power.powf(self.mode.thrift()) }
    }

    /// Running time of one step without waiting: as measured there, else scaled from where it was measured.
    fn own_step(&self, node: &NodeObservation, place: &AcceleratorObservation, seen: &Observation) -> (f64, bool) {
        let known = |id: &AcceleratorId| self.learnt.get(&(node.node.clone(), *id)).copied();
        if let Some(step) = known(&place.id) {
            return (step, true);
        }
        let elsewhere = std::iter::once(&node.on).chain(&node.allowed);
        let (step, there) = elsewhere
            .filter_map(|id| Some((known(id)?, cores(seen.accelerator(id)?))))
            .next()
            .unwrap_or((NOMINAL_STEP_MS, 1.0));
        (step * (there / cores(place)).powf(SCALING), false)
    }
}

fn cores(place: &AcceleratorObservation) -> f64 {
    place.cores.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::governor::{BatteryObservation, NodeLoad};

    const ADAPTIVE: PowerPolicy = PowerPolicy::Adaptive { high: 0.5, low: 0.2 };

    fn id(name: &str) -> AcceleratorId {
        name.parse().unwrap()
    }

    fn seen(at_ms: u64, level: f64, on: &str, allowed: &[&str]) -> Observation {
        let accelerator = |name: &str, cores: &[usize]| AcceleratorObservation {
            id: id(name),
            cores: cores.to_vec(),
            queue_depth: 1,
            load: Vec::new(),
        };
        Observation {
            at: Timestamp::from_nanos(at_ms * 1_000_000),
            battery: Some(BatteryObservation { level, charging: false }),
            accelerators: vec![accelerator("cpu", &[0, 1]), accelerator("cpu:0", &[0]), accelerator("cpu:1", &[1])],
            nodes: vec![NodeObservation {
                node: "mind".into(),
                on: id(on),
                allowed: allowed.iter().map(|name| id(name)).collect(),
                busy: true,
                step_ms: Some(5.0),
            }],
        }
    }

    fn crowd(mut seen: Observation, on: &str) -> Observation {
        let place = seen.accelerators.iter_mut().find(|place| place.id == id(on)).unwrap();
        place.queue_depth = 2;
        place.load.push(NodeLoad { node: "crowd".into(), share: 0.6 });
        let node =
            NodeObservation { node: "crowd".into(), on: id(on), allowed: vec![id(on)], busy: true, step_ms: Some(8.0) };
        seen.nodes.push(node);
        seen
    }

    fn moves(decisions: &[Decision]) -> Vec<String> {
        decisions.iter().map(|decision| decision.change.to_string()).collect()
    }

    #[test]
    fn a_low_battery_moves_the_node_to_the_frugal_group_at_once() {
        let (memory, none) = decide(ADAPTIVE, &Memory::default(), &seen(0, 0.8, "cpu:0", &["cpu:0", "cpu:1"]));
        assert_eq!(moves(&none), Vec::<String>::new());
        let (_, low) = decide(ADAPTIVE, &memory, &seen(250, 0.19, "cpu:0", &["cpu:0", "cpu:1"]));
        assert_eq!(moves(&low), ["mode performance → power-saver", "mind: cpu:0 → cpu:1"]);
        let reason = low[1].reason.to_string();
        assert!(reason.contains("power-saver") && reason.contains("19.0 %"), "{reason}");
    }

    #[test]
    fn all_cores_in_performance_and_one_in_power_saver() {
        let all = ["cpu", "cpu:0", "cpu:1"];
        let (memory, full) = decide(ADAPTIVE, &Memory::default(), &seen(0, 0.8, "cpu", &all));
        assert_eq!(moves(&full), Vec::<String>::new());
        let (memory, low) = decide(ADAPTIVE, &memory, &seen(250, 0.1, "cpu", &all));
        assert_eq!(moves(&low)[1..], ["mind: cpu → cpu:1"]);
        let (_, again) = decide(ADAPTIVE, &memory, &seen(500, 0.9, "cpu:1", &all));
        assert_eq!(moves(&again)[1..], ["mind: cpu:1 → cpu"]);
    }

    #[test]
    fn a_crowded_queue_moves_the_node_once_the_crowd_has_lasted() {
        let crowded = |at| crowd(seen(at, 0.8, "cpu:0", &["cpu:0", "cpu:1"]), "cpu:0");
        let (memory, first) = decide(ADAPTIVE, &Memory::default(), &crowded(2000));
        assert_eq!(moves(&first), Vec::<String>::new(), "one tick may be chance");
        let (_, second) = decide(ADAPTIVE, &memory, &crowded(2250));
        assert_eq!(moves(&second), ["mind: cpu:0 → cpu:1"]);
        assert!(matches!(second[0].reason, Reason::Crowded { queue_depth: 2, .. }), "{}", second[0]);
    }

    #[test]
    fn a_node_does_not_move_again_before_it_has_rested() {
        let mut memory = Memory::default();
        let mut on = "cpu:0";
        let mut count = 0;
        // An adversary crowds whichever group the node is on, every 250 ms for 10 s.
        for tick in 0..40u64 {
            let (next, decisions) =
                decide(ADAPTIVE, &memory, &crowd(seen(tick * 250, 0.8, on, &["cpu:0", "cpu:1"]), on));
            memory = next;
            if !decisions.is_empty() {
                count += 1;
                on = if on == "cpu:0" { "cpu:1" } else { "cpu:0" };
            }
        }
        assert!(count <= 10, "{count} moves in 10 s");
    }

    #[test]
    fn a_pinned_node_never_moves() {
        let pinned = crowd(seen(0, 0.05, "cpu:0", &["cpu:0"]), "cpu:0");
        let (memory, decisions) = decide(ADAPTIVE, &Memory::default(), &pinned);
        assert_eq!(moves(&decisions), ["mode performance → power-saver"]);
        assert_eq!(force_move(&memory, &pinned, "mind", 25).1, None);
    }

    #[test]
    fn forced_moves_go_round_the_allowed_accelerators() {
        let (_, decision) = force_move(&Memory::default(), &seen(0, 1.0, "cpu:1", &["cpu:0", "cpu:1"]), "mind", 25);
        assert_eq!(decision.unwrap().change.to_string(), "mind: cpu:1 → cpu:0");
    }

    #[test]
    fn the_same_inputs_give_the_same_decisions() {
        let inputs = crowd(seen(0, 0.1, "cpu", &["cpu", "cpu:0", "cpu:1"]), "cpu");
        assert_eq!(decide(ADAPTIVE, &Memory::default(), &inputs), decide(ADAPTIVE, &Memory::default(), &inputs));
    }
}
