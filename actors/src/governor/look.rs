//! Looking: gathers what there is to see into an observation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nanomind_hal::{Accelerator, AcceleratorId, ChargeStatus, JobCost, JobTotals, Phase, PowerModel, Timestamp};

use super::observation::{
    AcceleratorObservation, Basis, BatteryObservation, FloorObservation, NodeLoad, NodeObservation, Observation,
    PhaseWork, PlaceObservation,
};
use crate::board::{NodeBoard, NodeEntry};
use crate::machine::Machine;
use crate::request::Requests;
use nanomind_hal::PowerState;

/// Within this time, what a node was seen to take of an accelerator fades to a third.
const MEMORY: Duration = Duration::from_secs(1);

/// Gathers what there is to see, look after look.
pub(super) struct Observer {
    machine: Machine,
    board: NodeBoard,
    requests: Requests,
    power: Option<PowerModel>,
    /// When it looked last, what each node had had each accelerator do by then, and the shares of time of late.
    before: Option<Before>,
}

struct Before {
    at: Timestamp,
    busy: BTreeMap<(AcceleratorId, Arc<str>), Seen>,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    busy: Duration,
    share: f64,
}

impl Observer {
    pub(super) fn new(machine: &Machine, board: NodeBoard, requests: Requests) -> Observer {
        Observer { power: machine.power_model(), machine: machine.clone(), board, requests, before: None }
    }

    /// The nodes that submit jobs.
    pub(super) fn board(&self) -> &NodeBoard {
        &self.board
    }

    /// What there is to see, with a battery and a temperature that were read.
    pub(super) fn look(&mut self, battery: Option<BatteryObservation>, temperature_c: Option<f64>) -> Observation {
        let at = self.machine.clock().now();
        let before = self.before.take().unwrap_or(Before { at, busy: BTreeMap::new() });
        let mut busy = BTreeMap::new();
        let working = self.machine.accelerators().filter(|(accelerator, _)| !accelerator.is_lost());
        let places = working.map(|(accelerator, cores)| {
            observe_accelerator(accelerator, cores, at.since(before.at), &before.busy, &mut busy)
        });
        let accelerators: Vec<AcceleratorObservation> = places.collect();
        let nodes = self.board.iter().map(|entry| self.observe_node(entry, &accelerators)).collect();
        self.before = Some(Before { at, busy });
        let floor = self.power.as_ref().map(|power| FloorObservation {
            awake_w: power.floor_watts(PowerState::Awake),
            standby_w: power.floor_watts(PowerState::Standby),
        });
        Observation { at, battery, temperature_c, floor, demand: self.requests.demand(), accelerators, nodes }
    }

    fn observe_node(&self, entry: &NodeEntry, accelerators: &[AcceleratorObservation]) -> NodeObservation {
        let work = entry.work();
        let working = entry.allowed().iter().filter(|id| accelerators.iter().any(|one| one.id == **id));
        let places = working.filter_map(|id| self.observe_place(entry, *id, &work)).collect();
        NodeObservation {
            node: entry.node().to_string(),
            on: entry.current(),
            busy: entry.busy(),
            weight_bytes: entry.weight_bytes(),
            resident: entry.resident(),
            work,
            places,
        }
    }

    fn observe_place(&self, entry: &NodeEntry, id: AcceleratorId, work: &[PhaseWork]) -> Option<PlaceObservation> {
        let accelerator = self.machine.accelerators.get(&id)?;
        let seconds: f64 = work
            .iter()
            .map(|part| {
                let cost = JobCost { flops: part.flops as u64, bytes: part.bytes as u64 };
                part.jobs * accelerator.predict(part.phase, cost).as_secs_f64()
            })
            .sum();
        let load = accelerator.predict(Phase::Load, JobCost { flops: 0, bytes: entry.weight_bytes() }).as_secs_f64();
        let added = self.power.as_ref().and_then(|power| power.added_watts(id));
        let (move_ms, moves_measured) = entry.move_cost(id);
        Some(PlaceObservation {
            accelerator: id,
            ms: seconds * 1e3,
            mj: added.map(|watts| watts * seconds * 1e3),
            basis: Basis::Seeded,
            load_ms: load * 1e3,
            load_mj: added.map(|watts| watts * load * 1e3),
            move_ms: if id == entry.current() { 0.0 } else { move_ms },
            moves_measured,
        })
    }
}

/// What a reading of the battery comes to.
pub(super) fn observe_battery(reading: &nanomind_hal::BatteryReading) -> BatteryObservation {
    let charging = matches!(reading.status, ChargeStatus::Charging | ChargeStatus::Full);
    BatteryObservation { level: reading.level.fraction(), charging, watts: reading.watts }
}

fn observe_accelerator(
    accelerator: &Accelerator,
    cores: Vec<usize>,
    elapsed: Duration,
    before: &BTreeMap<(AcceleratorId, Arc<str>), Seen>,
    now: &mut BTreeMap<(AcceleratorId, Arc<str>), Seen>,
) -> AcceleratorObservation {
    let stats = accelerator.stats();
    let fresh = 1.0 - (-elapsed.as_secs_f64() / MEMORY.as_secs_f64()).exp();
    let mut load = Vec::new();
    for (node, JobTotals { busy, .. }) in stats.nodes {
        let key = (stats.id, node);
        let earlier = before.get(&key).copied().unwrap_or_default();
        let mut share = earlier.share;
        if !elapsed.is_zero() {
            let lately = busy.saturating_sub(earlier.busy).as_secs_f64() / elapsed.as_secs_f64();
            share += (lately.min(1.0) - share) * fresh;
        }
        if share > 1e-3 {
            load.push(NodeLoad { node: key.1.to_string(), share });
        }
        now.insert(key, Seen { busy, share });
    }
    AcceleratorObservation {
        id: stats.id,
        cores,
        queue_depth: stats.queue_depth + usize::from(stats.running.is_some()),
        backlog_ms: stats.backlog.as_secs_f64() * 1e3,
        memory: None,
        load,
    }
}
