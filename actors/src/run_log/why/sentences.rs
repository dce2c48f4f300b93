//! Decisions in plain sentences: what was decided and why, what was seen, and what the alternatives would have cost.

use crate::governor::{
    Assessment, Basis, Candidate, Change, Decision, Input, NodeCandidates, Observation, PlaceObservation, Placing,
};

/// What was decided, and why: `At 12.400 s mode performance → balanced: battery at 49.8 % is at or below 50.0 %.`
pub(super) fn decided(decision: &Decision) -> String {
    let at = decision.at.as_secs_f64();
    let what = match &decision.change {
        Change::Mode { from, to } => format!("the mode went from {from} to {to}"),
        Change::Duty { from, to } => format!("nodes were asked for {to} instead of {from}"),
        Change::Placement(placing) => {
            let moves = placing.moves.iter().map(|one| format!("{} went from {} to {}", one.node, one.from, one.to));
            join(moves.collect())
        }
    };
    format!("At {at:.3} s {what}: {}.", decision.reason)
}

/// What the governor saw or heard when it decided.
pub(super) fn told(input: &Input) -> Vec<String> {
    match input {
        Input::Observed(seen) => observed(seen),
        Input::Due { node, every, seen } => {
            let mut lines = vec![format!("{node} had generated {every} tokens since it moved last.")];
            lines.extend(observed(seen));
            lines
        }
        Input::Held { hold, .. } => vec![format!("{} asked for {}: {}.", hold.owner, hold.mode, hold.reason)],
        Input::Released { .. } => vec!["A hold was over.".to_owned()],
        Input::Chosen { mode: Some(mode), .. } => vec![format!("{mode} was chosen by hand.")],
        Input::Chosen { mode: None, .. } => vec!["The choice was given back to the policy.".to_owned()],
    }
}

/// Battery, temperature, demand and queues.
pub(super) fn observed(seen: &Observation) -> Vec<String> {
    let mut state = Vec::new();
    if let Some(battery) = seen.battery {
        let flow = match (battery.charging, battery.watts) {
            (true, _) => " and charging".to_owned(),
            (false, Some(watts)) => format!(", giving {watts:.2} W"),
            (false, None) => String::new(),
        };
        state.push(format!("the battery was at {:.1} %{flow}", battery.level * 100.0));
    } else {
        state.push("no battery was seen".to_owned());
    }
    if let Some(degrees) = seen.temperature_c {
        state.push(format!("it was {degrees:.0} °C warm"));
    }
    state.push(match seen.demand.open {
        0 => "no request was open".to_owned(),
        1 => "one request was open".to_owned(),
        open => format!("{open} requests were open"),
    });
    let mut lines = vec![format!("{}.", capital(&join(state)))];
    let queues = seen.accelerators.iter().filter(|place| place.queue_depth > 0);
    let queues = queues.map(|place| {
        let jobs = if place.queue_depth == 1 { "job" } else { "jobs" };
        format!("{} had {} {jobs} before it ({:.0} ms predicted)", place.id, place.queue_depth, place.backlog_ms)
    });
    let queues: Vec<String> = queues.collect();
    if !queues.is_empty() {
        lines.push(format!("{}.", capital(&join(queues))));
    }
    lines
}

/// What else there was to choose from, and what it was predicted to cost; of one node, or of all.
pub(super) fn alternatives(decision: &Decision, node: Option<&str>) -> Vec<String> {
    let Change::Placement(placing) = &decision.change else { return Vec::new() };
    let mut lines = Vec::new();
    match (placing.stay, placing.chosen) {
        (Some(stay), Some(chosen)) => lines.push(format!(
            "Of {} combinations of places this was predicted to be the cheapest, with {}; staying, {}.",
            placing.combinations,
            assessed(&chosen),
            assessed(&stay)
        )),
        (None, Some(chosen)) => lines.push(format!(
            "Staying was no choice. Of {} combinations of places this was predicted to be the cheapest, with {}.",
            placing.combinations,
            assessed(&chosen)
        )),
        _ => lines.push("The place was not the governor's choice.".to_owned()),
    }
    let of_interest = |one: &&NodeCandidates| node.is_none_or(|node| one.node == node);
    lines.extend(placing.nodes.iter().filter(of_interest).map(|one| candidates(placing, one)));
    lines
}

fn assessed(assessment: &Assessment) -> String {
    let Assessment { latency_ms, energy, cost, .. } = assessment;
    format!("{latency_ms:.1} ms and {energy:.1} units of energy a round (cost {cost:.3})")
}

/// What was predicted for a node on each of its places.
fn candidates(placing: &Placing, node: &NodeCandidates) -> String {
    let to = placing.moves.iter().find(|one| one.node == node.node).map(|one| one.to);
    let place = |place: &Candidate| {
        let mj = place.mj.map(|mj| format!(" and {mj:.1} mJ")).unwrap_or_default();
        let chosen = if Some(place.accelerator) == to { ", chosen" } else { "" };
        let Candidate { accelerator, ms, basis, cost, .. } = place;
        format!("{ms:.1} ms{mj} on {accelerator} ({}, cost {cost:.3}{chosen})", rests_on(basis))
    };
    format!("{} was predicted to take {}.", node.node, join(node.places.iter().map(place).collect()))
}

/// What was predicted for a node when it was looked at, where no decision was made.
pub(super) fn predicted(node: &str, places: &[PlaceObservation]) -> String {
    let place = |place: &PlaceObservation| {
        let mj = place.mj.map(|mj| format!(" and {mj:.1} mJ")).unwrap_or_default();
        format!("{:.1} ms{mj} on {} ({})", place.ms, place.accelerator, rests_on(&place.basis))
    };
    format!("{node} was predicted to take {}.", join(places.iter().map(place).collect()))
}

fn rests_on(basis: &Basis) -> String {
    match basis {
        Basis::Seeded => "by the device's profile or an assumed core".to_owned(),
        Basis::Scaled { from } => format!("scaled from what was measured on {from}"),
        Basis::Learnt { jobs: 1 } => "learnt from 1 job".to_owned(),
        Basis::Learnt { jobs } => format!("learnt from {jobs} jobs"),
    }
}

/// `a, b and c`.
pub(super) fn join(mut parts: Vec<String>) -> String {
    let Some(last) = parts.pop() else { return String::new() };
    if parts.is_empty() { last } else { format!("{} and {last}", parts.join(", ")) }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
