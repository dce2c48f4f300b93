//! Looking: gathers what there is to see into an observation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nanomind_hal::{
    Accelerator, AcceleratorId, ChargeStatus, JobCost, JobTotals, Phase, PowerModel, PowerState, Timestamp,
};

use super::observation::{
    AcceleratorObservation, Basis, BatteryObservation, FloorObservation, NodeLoad, NodeObservation, Observation,
    PhaseWork, PlaceObservation,
};
use crate::board::{NodeBoard, NodeEntry};
use crate::machine::Machine;
use crate::request::Requests;

/// Within this time, what a node was seen to take of an accelerator fades to a third.
const MEMORY: Duration = Duration::from_secs(1);

/// Gathers what there is to see, look after look.
pub struct Observer {
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
    /// Looks at the accelerators of this machine, and at these nodes and requests.
    pub fn new(machine: &Machine, board: NodeBoard, requests: Requests) -> Observer {
        Observer { power: machine.power_model(), machine: machine.clone(), board, requests, before: None }
    }

    /// The nodes that submit jobs.
    pub(super) fn board(&self) -> &NodeBoard {
        &self.board
    }

    /// What there is to see, with a battery and a temperature that were read.
    pub fn look(&mut self, battery: Option<BatteryObservation>, temperature_c: Option<f64>) -> Observation {
        let at = self.machine.clock().now();
        let before = self.before.take().unwrap_or(Before { at, busy: BTreeMap::new() });
        let mut busy = BTreeMap::new();
        let available = |accelerator: &Accelerator| !accelerator.is_lost() && !accelerator.is_stopped();
        let working = self.machine.accelerators().filter(|(accelerator, _)| available(accelerator));
        let places = working.map(|(accelerator, cores)| {
            observe_accelerator(accelerator, cores, at.since(before.at), &before.busy, &mut busy)
        });
        let mut accelerators: Vec<AcceleratorObservation> = places.collect();
        for place in &mut accelerators {
            place.memory = self.memory_of(place.id);
        }
        let nodes = self.board.iter().map(|entry| self.observe_node(entry, &accelerators)).collect();
        self.before = Some(Before { at, busy });
        let floor = self.power.as_ref().map(|power| FloorObservation {
            awake_w: power.floor_watts(PowerState::Awake),
            standby_w: power.floor_watts(PowerState::Standby),
        });
        Observation { at, battery, temperature_c, floor, demand: self.requests.demand(), accelerators, nodes }
    }

    /// The bytes that an accelerator can use, by the device's profile.
    fn memory_of(&self, id: AcceleratorId) -> Option<u64> {
        let profile = self.machine.profile()?.accelerator(id)?;
        // Fractions of a byte are nobody's.
        Some((profile.memory.value.get() * f64::from(1 << 20)) as u64)
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
            work,
            places,
        }
    }

    fn observe_place(&self, entry: &NodeEntry, id: AcceleratorId, work: &[PhaseWork]) -> Option<PlaceObservation> {
        let accelerator = self.machine.accelerators.get(&id)?;
        let (forecast, basis) = self.forecast(entry, accelerator, work);
        let loading = JobCost { flops: 0, bytes: entry.weight_bytes() };
        let load = accelerator.predict(entry.node(), Phase::Load, loading).time.as_secs_f64();
        let added = self.power.as_ref().and_then(|power| power.added_watts(id));
        let (move_ms, moves_measured) = entry.move_cost(id);
        Some(PlaceObservation {
            accelerator: id,
            ms: forecast * 1e3,
            mj: added.map(|watts| watts * forecast * 1e3),
            basis,
            load_ms: load * 1e3,
            load_mj: added.map(|watts| watts * load * 1e3),
            move_ms: if id == entry.current() { 0.0 } else { move_ms },
            moves_measured,
        })
    }

    /// The seconds of a firing on an accelerator: by what the node's jobs took there; else by what they took elsewhere,
    /// for the place it is at now before any other, scaled as the seeds of both say; else by the seed.
    fn forecast(&self, entry: &NodeEntry, accelerator: &Accelerator, work: &[PhaseWork]) -> (f64, Basis) {
        let there = predict(accelerator, entry.node(), work);
        if there.jobs > 0 {
            return (there.seconds, Basis::Learnt { jobs: there.jobs });
        }
        let known = std::iter::once(entry.current()).chain(entry.allowed().iter().copied()).find_map(|id| {
            let elsewhere = predict(self.machine.accelerators.get(&id)?, entry.node(), work);
            (elsewhere.jobs > 0 && elsewhere.seed > 0.0).then_some((id, elsewhere))
        });
        match known {
            Some((from, known)) => (known.seconds * there.seed / known.seed, Basis::Scaled { from }),
            None => (there.seed, Basis::Seeded),
        }
    }
}

/// What the cost model of an accelerator says of a firing.
struct Forecast {
    seconds: f64,
    seed: f64,
    /// How many jobs it rests on, of the phase with the fewest.
    jobs: u64,
}

fn predict(accelerator: &Accelerator, node: &str, work: &[PhaseWork]) -> Forecast {
    let mut forecast = Forecast { seconds: 0.0, seed: 0.0, jobs: if work.is_empty() { 0 } else { u64::MAX } };
    for part in work {
        let cost = JobCost { flops: part.flops as u64, bytes: part.bytes as u64 };
        let prediction = accelerator.predict(node, part.phase, cost);
        forecast.seconds += part.jobs * prediction.time.as_secs_f64();
        forecast.seed += part.jobs * prediction.seed.as_secs_f64();
        forecast.jobs = forecast.jobs.min(prediction.jobs);
    }
    forecast
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
        let earlier = before.get(&key).copied();
        let (mut share, worked) = earlier.map_or((0.0, Duration::ZERO), |seen| (seen.share, seen.busy));
        if !elapsed.is_zero() {
            let lately = (busy.saturating_sub(worked).as_secs_f64() / elapsed.as_secs_f64()).min(1.0);
            // Of a node that begins to work there is nothing to fade.
            share += (lately - share) * if earlier.is_some() { fresh } else { 1.0 };
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
