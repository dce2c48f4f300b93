//! Why a run went as it did: its decisions in plain sentences, from its log.

mod sentences;

use std::fmt;
use std::time::Duration;

use indexmap::IndexMap;
use nanomind_hal::{AcceleratorId, Energy, Timestamp};
use serde::Serialize;

use super::reader::{ReadError, RunLogReader};
use super::record::{BatteryLevel, Header, Record};
use crate::duty::Duty;
use crate::governor::{self, Change, Decision, Mode, Observation, Placing};

/// What is asked of a log.
#[derive(Clone, Default, Debug)]
pub struct Question {
    /// About one brick alone.
    pub brick: Option<String>,
    /// About the state at this time of the run's clock, and the last decision before; without it, about every decision.
    pub at: Option<Duration>,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum WhyError {
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There was no such brick.
    #[error("expected one of the bricks {}, found {found:?}", known.join(", "))]
    UnknownBrick {
        /// The bricks that there were.
        known: Vec<String>,
        /// What was asked for.
        found: String,
    },
}

/// The answer: `Display` is plain sentences.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Answer {
    /// The graph that ran.
    pub graph: String,
    /// Its power policy.
    pub policy: String,
    /// The state at the time that was asked for, or else at the end of the log.
    pub state: StateThen,
    /// The decisions that were asked for, the oldest first.
    pub decisions: Vec<Explained>,
}

/// How things stood.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct StateThen {
    /// When, in seconds of the run's clock.
    pub at_s: f64,
    /// The mode.
    pub mode: Mode,
    /// What was asked of the nodes.
    pub duty: Duty,
    /// Where each brick worked.
    pub places: IndexMap<String, AcceleratorId>,
    /// The battery, where it was seen.
    pub battery: Option<BatteryLevel>,
    /// What had been taken, where that is known.
    pub energy: Option<Energy>,
    /// Requests that had come and not ended.
    pub open_requests: u64,
    /// What was predicted for the brick that was asked for, when the governor looked last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted: Option<String>,
}

/// A decision, explained.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Explained {
    /// What was decided and why, in a sentence.
    pub decided: String,
    /// What the governor had seen or heard, in sentences.
    pub seen: Vec<String>,
    /// What the alternatives were predicted to cost, in sentences.
    pub alternatives: Vec<String>,
    /// The number of its record in the log.
    pub record: u64,
    /// The decision itself.
    pub decision: Decision,
    /// Everything that it was made from.
    pub input: governor::Input,
}

/// Answers a question from a log.
///
/// # Errors
/// The log cannot be read, or there was no such brick.
pub fn why(log: &mut RunLogReader, question: &Question) -> Result<Answer, WhyError> {
    let header = log.header().clone();
    let mut then = Following::new(&header);
    if let Some(brick) = &question.brick
        && !then.places.contains_key(brick)
    {
        let known = then.places.keys().cloned().collect();
        return Err(WhyError::UnknownBrick { known, found: brick.clone() });
    }
    let until = question.at.map(|at| Timestamp::default() + at);
    let mut explained = Vec::new();
    for record in log {
        let record = record?;
        if until.is_some_and(|until| record.at() > until) {
            break;
        }
        then.follow(&record);
        let Record::Governor(record) = record else { continue };
        let about = |decision: &&Decision| question.brick.as_ref().is_none_or(|brick| concerns(decision, brick));
        for decision in record.decisions.iter().filter(about) {
            if until.is_some() {
                explained.clear();
            }
            explained.push(explain(&record, decision, question.brick.as_deref()));
        }
    }
    let state = then.state(until, question.brick.as_deref());
    let graph = header.graph.graph.path.clone();
    Ok(Answer { graph, policy: header.policy.to_string(), state, decisions: explained })
}

/// Whether a decision was about where a brick works, or about all bricks.
fn concerns(decision: &Decision, brick: &str) -> bool {
    match &decision.change {
        Change::Mode { .. } | Change::Duty { .. } => false,
        Change::Placement(Placing { moves, .. }) => moves.iter().any(|one| one.node == brick),
    }
}

fn explain(record: &governor::Record, decision: &Decision, brick: Option<&str>) -> Explained {
    Explained {
        decided: sentences::decided(decision),
        seen: sentences::told(&record.input),
        alternatives: sentences::alternatives(decision, brick),
        record: record.number,
        decision: decision.clone(),
        input: record.input.clone(),
    }
}

/// How things stand while a log is followed.
struct Following {
    at: Timestamp,
    mode: Mode,
    duty: Duty,
    places: IndexMap<String, AcceleratorId>,
    battery: Option<BatteryLevel>,
    energy: Option<Energy>,
    open: u64,
    seen: Option<Observation>,
}

impl Following {
    fn new(header: &Header) -> Following {
        let places = header.nodes.iter().filter_map(|node| Some((node.name.clone(), *node.candidates.first()?)));
        let at_start = header.battery;
        Following {
            at: header.started,
            mode: Mode::default(),
            duty: Duty::default(),
            places: places.collect(),
            battery: at_start.map(|start| BatteryLevel { at: header.started, level: start.level, charging: false }),
            energy: None,
            open: 0,
            seen: None,
        }
    }

    fn follow(&mut self, record: &Record) {
        self.at = self.at.max(record.at());
        match record {
            Record::Arrival(_) => self.open += 1,
            Record::Ended(_) => self.open = self.open.saturating_sub(1),
            Record::Battery(level) => self.battery = Some(*level),
            Record::Energy(taken) => self.energy = Some(taken.total),
            Record::Governor(record) => {
                if let Some(seen) = record.input.seen() {
                    self.seen = Some(seen.clone());
                    let level = |battery: governor::BatteryObservation| BatteryLevel {
                        at: seen.at,
                        level: battery.level,
                        charging: battery.charging,
                    };
                    self.battery = seen.battery.map(level).or(self.battery);
                }
                record.decisions.iter().for_each(|decision| self.apply(&decision.change));
            }
            Record::Header(_) | Record::Answer(_) | Record::End(_) => {}
        }
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Mode { to, .. } => self.mode = *to,
            Change::Duty { to, .. } => self.duty = *to,
            Change::Placement(placing) => {
                for one in &placing.moves {
                    self.places.insert(one.node.clone(), one.to);
                }
            }
        }
    }

    fn state(mut self, until: Option<Timestamp>, brick: Option<&str>) -> StateThen {
        let predicted = brick.and_then(|brick| {
            let node = self.seen.as_ref()?.node(brick)?;
            Some(sentences::predicted(brick, &node.places))
        });
        if let Some(brick) = brick {
            self.places.retain(|node, _| node == brick);
        }
        StateThen {
            at_s: until.unwrap_or(self.at).as_secs_f64(),
            mode: self.mode,
            duty: self.duty,
            places: self.places,
            battery: self.battery,
            energy: self.energy,
            open_requests: self.open,
            predicted,
        }
    }
}

impl fmt::Display for StateThen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StateThen { at_s, mode, duty, places, battery, energy, open_requests, predicted } = self;
        writeln!(f, "At {at_s:.3} s the mode was {mode}: {duty}.")?;
        if !places.is_empty() {
            let places = places.iter().map(|(node, place)| format!("{node} worked on {place}"));
            writeln!(f, "{}.", sentences::join(places.collect()))?;
        }
        if let Some(BatteryLevel { at, level, charging }) = battery {
            let charging = if *charging { " and charging" } else { "" };
            writeln!(f, "The battery was at {:.1} %{charging} (seen at {:.3} s).", level * 100.0, at.as_secs_f64())?;
        }
        if let Some(energy) = energy.filter(|energy| energy.amount().is_some()) {
            writeln!(f, "{energy} had been taken.")?;
        }
        let s = if *open_requests == 1 { " was" } else { "s were" };
        writeln!(f, "{open_requests} request{s} open.")?;
        predicted.iter().try_for_each(|predicted| writeln!(f, "{predicted}"))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ran by {}.", self.graph, self.policy)?;
        if self.decisions.is_empty() {
            writeln!(f, "No decision was made about that; it went on as it began.")?;
        }
        for Explained { decided, seen, alternatives, .. } in &self.decisions {
            writeln!(f, "\n{decided}")?;
            seen.iter().chain(alternatives).try_for_each(|line| writeln!(f, "  {line}"))?;
        }
        write!(f, "\n{}", self.state)
    }
}
