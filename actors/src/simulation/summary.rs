//! The summary of a simulation: its report, put together from what the run, its environment and its sinks have to say.

use std::time::Duration;

use nanomind_graphs::Plan;
use nanomind_hal::{SimulatedBattery, Timestamp};

use super::Simulation;
use super::environment::EnvironmentLog;
use super::percentiles::Percentiles;
use super::report::{
    BatteryUse, BrickUse, Changed, ChangedWhat, Counted, EdgeUse, ModeTime, NodeFailure, SimulationEnd,
    SimulationReport, WeightUse,
};
use super::world::World;
use crate::governor::{Change, Decision, Mode, Move};
use crate::report::{NodeOutcome, NodeReport, RunReport};

/// What a report is put together from, beside the run's own.
pub(super) struct Summary<'a> {
    pub(super) simulation: &'a Simulation,
    pub(super) plan: &'a Plan,
    pub(super) log: EnvironmentLog,
    pub(super) world: &'a World,
    pub(super) battery: Option<SimulatedBattery>,
    pub(super) decisions: Vec<Decision>,
}

impl Summary<'_> {
    pub(super) fn of(self, run: RunReport) -> SimulationReport {
        let Summary { simulation, plan, log, world, battery, decisions } = self;
        let changes: Vec<Changed> = decisions.iter().flat_map(changed).collect();
        let lasted = match log.emptied {
            Some(at) => at.since(Timestamp::default()),
            None => Duration::from_secs_f64(run.seconds),
        };
        let hours = lasted.as_secs_f64() / 3600.0;
        let latencies = world.latencies();
        let battery = battery.map(|battery| {
            // What it holds does not depend on when it is asked.
            let reading = battery.read(Timestamp::default());
            BatteryUse {
                usable_wh: reading.full_wh.unwrap_or(0.0),
                level_at_start: simulation.scenario.level,
                level_at_end: reading.level.fraction(),
                empty_after_hours: log.emptied.map(|_| hours),
            }
        });
        let edges = run.edges.iter().map(|edge| EdgeUse { edge: edge.edge.clone(), counts: edge.counts });
        let counters = run.nodes.iter().flat_map(counted);
        SimulationReport {
            graph: run.graph.clone(),
            device: simulation.device.name.clone(),
            policy: plan.power().to_string(),
            scenario: simulation.scenario.name.clone(),
            seed: simulation.seed,
            begins_hours: simulation.scenario.begins.as_secs_f64() / 3600.0,
            end: log.end.unwrap_or(SimulationEnd::GraphEnded),
            hours,
            battery,
            energy: run.energy.total,
            energy_loading: run.energy.loading,
            mean_watts: run.energy.total.amount().and_then(|energy| energy.over(lasted)),
            energy_unattributed: run.energy.unattributed,
            modes: mode_times(&changes, hours),
            changes,
            requests: run.requests,
            first_output: Percentiles::of(latencies.first_output),
            end_to_end: Percentiles::of(latencies.end_to_end),
            standby: run.standby,
            edges: edges.collect(),
            weights: WeightUse {
                peak_bytes: run.memory.weights,
                between_stages_bytes: run.memory.between_stages.map(|resident| resident.weights),
                in_standby_bytes: run.memory.in_standby.map(|resident| resident.weights),
            },
            counters: counters.collect(),
            failures: run.nodes.iter().filter_map(failure).collect(),
            bricks: run.nodes.into_iter().filter(|node| !node.ran_on.is_empty()).map(brick).collect(),
            samples: log.samples,
        }
    }
}

fn brick(node: NodeReport) -> BrickUse {
    BrickUse { node: node.node, kind: node.kind, energy: node.energy, ran_on: node.ran_on, moves: node.moves }
}

fn failure(node: &NodeReport) -> Option<NodeFailure> {
    let NodeOutcome { failed, restarts, last_failure, .. } = &node.outcome;
    let why = last_failure.clone()?;
    Some(NodeFailure { node: node.node.clone(), restarts: *restarts, stayed_down: *failed, why })
}

fn counted(node: &NodeReport) -> impl Iterator<Item = Counted> {
    let counters = node.counters.iter().filter(|(_, count)| **count > 0);
    counters.map(|(what, count)| Counted { node: node.node.clone(), what: what.clone(), count: *count })
}

/// What a decision changes, move by move.
fn changed(decision: &Decision) -> Vec<Changed> {
    let what = match &decision.change {
        Change::Mode { from, to } => vec![ChangedWhat::Mode { from: *from, to: *to }],
        Change::Duty { to, .. } => vec![ChangedWhat::Duty(*to)],
        Change::Placement(placing) => {
            let place = |one: &Move| ChangedWhat::Place { node: one.node.clone(), from: one.from, to: one.to };
            placing.moves.iter().map(place).collect()
        }
    };
    let (hours, why) = (decision.at.as_secs_f64() / 3600.0, decision.reason.to_string());
    what.into_iter().map(|what| Changed { hours, what, why: why.clone() }).collect()
}

/// How long each mode was in force, in the order in which they first were; a run begins in performance.
fn mode_times(changes: &[Changed], end: f64) -> Vec<ModeTime> {
    let mut times: Vec<ModeTime> = Vec::new();
    let mut add = |mode: Mode, hours: f64| match times.iter_mut().find(|time| time.mode == mode) {
        Some(time) => time.hours += hours,
        None if hours > 0.0 => times.push(ModeTime { mode, hours }),
        None => {}
    };
    let (mut mode, mut since) = (Mode::default(), 0.0);
    for change in changes {
        if let ChangedWhat::Mode { to, .. } = change.what {
            add(mode, change.hours - since);
            (mode, since) = (to, change.hours);
        }
    }
    add(mode, (end - since).max(0.0));
    times
}
