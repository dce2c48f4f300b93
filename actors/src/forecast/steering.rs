//! What the governor would decide: the very function of a run, shown what is expected instead of what is measured.

use std::time::Duration;

use nanomind_graphs::PowerPolicy;
use nanomind_hal::{AcceleratorId, Phase, Timestamp};

use super::brick::{Brick, Demand};
use super::device::Device;
use crate::duty::Duty;
use crate::governor::{
    AcceleratorObservation, Basis, BatteryObservation, Change, DemandObservation, FloorObservation, Gaps, Input,
    Memory, NodeLoad, NodeObservation, Observation, PlaceObservation, step,
};

/// Looks that are taken one after the other while work goes on, until nothing moves any more.
const LOOKS: u64 = 4;

/// The decisions of a policy as the battery empties.
pub(super) struct Steering<'a> {
    device: &'a Device,
    policy: PowerPolicy,
    /// What a request of the graph would take of each brick at each of its places.
    expected: Vec<Vec<PlaceObservation>>,
    memory: Memory,
    /// Where each brick works.
    pub(super) places: Vec<AcceleratorId>,
    pub(super) gaps: Gaps,
}

impl<'a> Steering<'a> {
    /// Nothing is decided yet: every brick is where its placement likes it best. `typical` is what a request of the graph is
    /// like.
    pub(super) fn new(device: &'a Device, policy: PowerPolicy, bricks: &[Brick], typical: Demand) -> Steering<'a> {
        let places = bricks.iter().filter_map(|brick| brick.places.first().copied()).collect();
        let expected = bricks.iter().map(|brick| expected(device, brick, &typical)).collect();
        Steering { device, policy, expected, memory: Memory::default(), places, gaps: Gaps::default() }
    }

    /// What is asked of the nodes.
    pub(super) fn duty(&self) -> Duty {
        self.memory.duty
    }

    /// Decides at `seconds` for a battery at `level`, if there is one. `works` tells whether requests are under way: bricks
    /// are only moved while they work.
    pub(super) fn look(&mut self, seconds: f64, level: Option<f64>, bricks: &[Brick], works: bool) {
        for look in 0..if works { LOOKS } else { 1 } {
            let at = Timestamp::default() + Duration::from_secs_f64(seconds) + Duration::from_millis(250 * look);
            let seen = self.observation(at, level, bricks, works);
            let (memory, decisions) = step(self.policy, &self.memory, &Input::Observed(seen));
            self.memory = memory;
            let placings = decisions.iter().filter_map(|decision| match &decision.change {
                Change::Placement(placing) => Some(placing),
                _ => None,
            });
            for moved in placings.flat_map(|placing| &placing.moves) {
                let brick = bricks.iter().position(|brick| brick.node == moved.node);
                if let Some(place) = brick.and_then(|brick| self.places.get_mut(brick)) {
                    *place = moved.to;
                }
            }
        }
    }

    fn observation(&self, at: Timestamp, level: Option<f64>, bricks: &[Brick], works: bool) -> Observation {
        let nodes = bricks.iter().zip(&self.places).zip(&self.expected).map(|((brick, on), places)| NodeObservation {
            node: brick.node.clone(),
            on: *on,
            busy: works,
            weight_bytes: brick.weight_bytes(),
            work: Vec::new(),
            places: places.clone(),
        });
        let nodes: Vec<NodeObservation> = nodes.collect();
        let all: f64 = nodes.iter().filter_map(|node| node.here()).map(|place| place.ms).sum();
        let share = |node: &NodeObservation| node.here().map_or(0.0, |place| place.ms / all.max(1e-9));
        let accelerators = self.device.units.iter().map(|unit| AcceleratorObservation {
            id: unit.id,
            cores: unit.cores.clone(),
            queue_depth: 0,
            backlog_ms: 0.0,
            memory: None,
            load: nodes
                .iter()
                .filter(|node| works && node.on == unit.id)
                .map(|node| NodeLoad { node: node.node.clone(), share: share(node) })
                .collect(),
        });
        Observation {
            at,
            battery: level.map(|level| BatteryObservation { level, charging: false, watts: None }),
            temperature_c: None,
            floor: Some(FloorObservation { awake_w: self.device.awake_w, standby_w: self.device.standby_w }),
            demand: DemandObservation { open: usize::from(works), minted: 0, gaps: self.gaps.clone() },
            accelerators: accelerators.collect(),
            nodes,
        }
    }
}

/// What a request would take of a brick at each of its places.
fn expected(device: &Device, brick: &Brick, typical: &Demand) -> Vec<PlaceObservation> {
    let places = brick.places.iter().filter_map(|id| {
        let unit = &device.units[device.unit(*id)?];
        let ms = brick.expect(typical, unit) * 1e3;
        let load_ms = unit.time(Phase::Load, brick.load()).as_secs_f64() * 1e3;
        Some(PlaceObservation {
            accelerator: *id,
            ms,
            mj: Some(ms * unit.added_w),
            basis: Basis::Seeded,
            load_ms,
            load_mj: Some(load_ms * unit.added_w),
            move_ms: 0.0,
            moves_measured: 0,
        })
    });
    places.collect()
}
