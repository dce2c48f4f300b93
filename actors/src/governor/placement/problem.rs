//! The problem of placement in numbers: what each node takes at each place, and who is in whose way.

use nanomind_hal::AcceleratorId;

use super::super::decision::{Assessment, Candidate, Move, NodeCandidates, Placing};
use super::super::observation::{AcceleratorObservation, NodeObservation, Observation, PlaceObservation};
use super::search;

/// The choice is exact for so many nodes that can move; of more, the ones with the least work stay where they are.
const MOST_MOVABLE: usize = 8;
/// What being named later in a placement counts as: predictions that differ by less than this are equal, and then the
/// first place is taken, or in power-saver the last, since clusters are listed from the fastest to the most frugal.
const PREFERENCE: f64 = 0.02;
/// A firing takes at least this long, in milliseconds, so that no cost is relative to nothing.
const LEAST_MS: f64 = 1e-6;

/// What a placement aims for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(in super::super) struct Aim {
    /// How much energy weighs against latency, 0 to 1.
    pub(in super::super) thrift: f64,
    /// Whether the device stands by when it is idle, so that time awake is energy.
    pub(in super::super) stands_by: bool,
}

/// A combination of places, one for each node of the problem.
#[derive(Clone, PartialEq, Debug)]
pub(in super::super) struct Choice {
    /// For each node, which of its spots.
    pub(super) spots: Vec<usize>,
    /// Cost of staying divided by its cost; 1 where staying is impossible.
    pub(in super::super) gain: f64,
}

/// One place of one node, in numbers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Spot {
    /// Which accelerator, by its place in the problem.
    pub(super) at: usize,
    /// Milliseconds of a firing, waiting left out.
    pub(super) ms: f64,
    /// The share of time that the node would work there, 0 to 1.
    pub(super) share: f64,
    /// Milliseconds until the accelerator has done what others have queued there.
    pub(super) queue_ms: f64,
    /// Energy of a firing.
    pub(super) energy: f64,
    /// A factor from 1 to 1 + [`PREFERENCE`] on what the node itself takes.
    pub(super) preference: f64,
    /// Bytes of weights that come to stay there.
    pub(super) bytes: u64,
}

/// An accelerator, in numbers.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Unit {
    /// Which accelerators it shares cores with, itself among them.
    pub(super) overlaps: Vec<usize>,
    /// Which cores, or other things that only one job has at a time, it takes: each a resource of the problem.
    pub(super) resources: Vec<usize>,
    /// Bytes of weights that fit, where it has memory of its own.
    pub(super) memory: Option<u64>,
}

/// What each node takes at each place, who is in whose way, and what is aimed for.
#[derive(Clone, Debug)]
pub(in super::super) struct Problem<'a> {
    seen: &'a Observation,
    /// The nodes of the observation that are placed, those with the most work first.
    nodes: Vec<&'a NodeObservation>,
    /// The spots that each may take.
    pub(super) spots: Vec<Vec<Spot>>,
    pub(super) units: Vec<Unit>,
    pub(super) resources: usize,
    /// Cost of a millisecond and of a unit of energy.
    pub(super) per_ms: f64,
    pub(super) per_energy: f64,
    /// Where every node is now, if all can stay.
    stay: Option<Vec<usize>>,
}

impl<'a> Problem<'a> {
    /// The problem of placing all nodes of `seen`, of which those that are not `free` stay where they are.
    pub(in super::super) fn new(
        seen: &'a Observation,
        aim: Aim,
        free: impl Fn(&NodeObservation) -> bool,
    ) -> Problem<'a> {
        let (units, resources) = units(&seen.accelerators);
        let energy = EnergyScale::of(seen, aim);
        let mut nodes: Vec<&NodeObservation> = seen.nodes.iter().filter(|node| !node.places.is_empty()).collect();
        nodes.sort_by(|a, b| work(b).total_cmp(&work(a)));
        let mut left = MOST_MOVABLE;
        let spots = nodes.iter().map(|node| {
            let mut spots = spots_of(node, seen, &energy, aim);
            let homeless = node.here().is_none();
            let moves = spots.len() > 1 && free(node) && left > 0;
            left -= usize::from(moves);
            if !moves && !homeless {
                spots.retain(|spot| seen.accelerators[spot.at].id == node.on);
            }
            spots
        });
        let spots: Vec<Vec<Spot>> = spots.collect();
        let at_home = |(node, spots): (&&NodeObservation, &Vec<Spot>)| {
            spots.iter().position(|spot| seen.accelerators[spot.at].id == node.on)
        };
        let stay: Option<Vec<usize>> = nodes.iter().zip(&spots).map(at_home).collect();
        let mut problem = Problem { seen, nodes, spots, units, resources, per_ms: 1.0, per_energy: 1.0, stay };
        problem.weigh(aim);
        problem
    }

    /// Weighs time and energy so that staying, or else the first spot of every node, costs 1.
    fn weigh(&mut self, aim: Aim) {
        let reference = self.stay.clone().unwrap_or_else(|| vec![0; self.spots.len()]);
        if self.spots.iter().any(Vec::is_empty) {
            return;
        }
        let taken = self.assess(&reference);
        let (time, energy) = (taken.latency_ms + taken.bottleneck_ms, taken.energy);
        self.per_ms = (1.0 - aim.thrift) / time.max(LEAST_MS);
        self.per_energy = if energy > 0.0 { aim.thrift / energy } else { 0.0 };
    }

    /// How many combinations there are.
    pub(super) fn combinations(&self) -> u64 {
        self.spots.iter().fold(1, |product, spots| product.saturating_mul(spots.len() as u64))
    }

    /// The cheapest combination; with `gain`, only if it is cheaper than staying by at least this factor. `None` where
    /// there is none, or where a node has nowhere to go.
    pub(in super::super) fn best(&self, gain: Option<f64>) -> Option<Choice> {
        if self.combinations() == 0 {
            return None;
        }
        let stay = self.stay.as_ref().map(|stay| self.assess(stay).cost);
        let bound = match (stay, gain) {
            (Some(stay), Some(gain)) => stay / gain,
            _ => f64::INFINITY,
        };
        let (spots, cost) = search::cheapest(self, bound)?;
        Some(Choice { spots, gain: stay.map_or(1.0, |stay| if cost > 0.0 { stay / cost } else { 1.0 }) })
    }

    /// What a combination takes, computed from nothing.
    pub(super) fn assess(&self, choice: &[usize]) -> Assessment {
        let chosen: Vec<&Spot> = self.spots.iter().zip(choice).map(|(spots, &index)| &spots[index]).collect();
        let (mut latency, mut energy) = (0.0, 0.0);
        let mut loads = vec![0.0; self.resources];
        for (index, spot) in chosen.iter().enumerate() {
            let others = chosen.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, spot)| spot);
            let crowd: f64 =
                others.filter(|other| self.units[spot.at].overlaps.contains(&other.at)).map(|o| o.share).sum();
            latency += (spot.ms + spot.queue_ms) * spot.preference + spot.ms * crowd;
            energy += spot.energy * spot.preference;
            self.units[spot.at].resources.iter().for_each(|resource| loads[*resource] += spot.ms);
        }
        let bottleneck = loads.into_iter().fold(0.0, f64::max);
        let cost = self.per_ms * (latency + bottleneck) + self.per_energy * energy;
        Assessment { latency_ms: latency, bottleneck_ms: bottleneck, energy, cost }
    }

    /// A choice as a decision has it, with what there was beside it.
    pub(in super::super) fn placing(&self, choice: &Choice) -> Placing {
        let id = |spot: &Spot| self.seen.accelerators[spot.at].id;
        let moves = self.seen.nodes.iter().filter_map(|node| {
            let index = self.nodes.iter().position(|placed| placed.node == node.node)?;
            let to = id(&self.spots[index][choice.spots[index]]);
            (to != node.on).then(|| Move { node: node.node.clone(), from: node.on, to })
        });
        let several = self.nodes.iter().enumerate().filter(|(index, _)| self.spots[*index].len() > 1);
        let nodes = several.map(|(index, node)| {
            let candidate = |(spot, one): (usize, &Spot)| {
                let mut there = choice.spots.clone();
                there[index] = spot;
                let place = place_of(node, id(one))?;
                let PlaceObservation { accelerator, ms, mj, basis, .. } = *place;
                Some(Candidate { accelerator, ms, mj, basis, cost: self.assess(&there).cost })
            };
            let places = self.spots[index].iter().enumerate().filter_map(candidate).collect();
            NodeCandidates { node: node.node.clone(), places }
        });
        Placing {
            moves: moves.collect(),
            stay: self.stay.as_ref().map(|stay| self.assess(stay)),
            chosen: Some(self.assess(&choice.spots)),
            combinations: self.combinations(),
            nodes: nodes.collect(),
        }
    }
}

/// How energy is counted.
struct EnergyScale {
    /// Whether every place says what it takes; otherwise it is the cores times the time.
    millijoules: bool,
    /// Watts that each millisecond of work keeps the device awake for.
    awake_w: f64,
}

impl EnergyScale {
    fn of(seen: &Observation, aim: Aim) -> EnergyScale {
        let millijoules = seen.nodes.iter().flat_map(|node| &node.places).all(|place| place.mj.is_some());
        let floor = seen.floor.filter(|_| aim.stands_by && millijoules);
        EnergyScale { millijoules, awake_w: floor.map_or(0.0, |floor| (floor.awake_w - floor.standby_w).max(0.0)) }
    }

    fn energy(&self, place: &PlaceObservation, cores: usize) -> f64 {
        match place.mj {
            Some(mj) if self.millijoules => mj + self.awake_w * place.ms,
            _ => place.ms * cores.max(1) as f64,
        }
    }
}

/// The most that a node may take at one of its places.
fn work(node: &NodeObservation) -> f64 {
    node.places.iter().map(|place| place.ms).fold(0.0, f64::max)
}

fn place_of(node: &NodeObservation, accelerator: AcceleratorId) -> Option<&PlaceObservation> {
    node.places.iter().find(|place| place.accelerator == accelerator)
}

fn spots_of(node: &NodeObservation, seen: &Observation, energy: &EnergyScale, aim: Aim) -> Vec<Spot> {
    let busy: f64 = seen.accelerators.iter().map(|place| place.share_of(&node.node)).sum();
    let here_ms = node.here().map_or(0.0, |place| place.ms);
    let last = node.places.len().saturating_sub(1).max(1) as f64;
    let spot = |(index, place): (usize, &PlaceObservation)| {
        let at = seen.accelerators.iter().position(|one| one.id == place.accelerator)?;
        let share = if here_ms > 0.0 { busy * place.ms / here_ms } else { busy };
        let rank = index as f64 / last;
        let rank = if aim.thrift > 0.5 { 1.0 - rank } else { rank };
        Some(Spot {
            at,
            ms: place.ms,
            share: share.clamp(0.0, 1.0),
            queue_ms: queued_by_others(node, &seen.accelerators, at),
            energy: energy.energy(place, seen.accelerators[at].cores.len()),
            preference: 1.0 + PREFERENCE * rank,
            bytes: node.weight_bytes,
        })
    };
    node.places.iter().enumerate().filter_map(spot).collect()
}

/// What others have queued for the cores of an accelerator.
fn queued_by_others(node: &NodeObservation, accelerators: &[AcceleratorObservation], at: usize) -> f64 {
    let sharing = accelerators.iter().filter(|place| place.overlaps(&accelerators[at]));
    sharing.map(|place| queued_at(place, node)).sum()
}

/// What nodes other than this one have queued on an accelerator, by how much of its work is theirs of late.
fn queued_at(place: &AcceleratorObservation, node: &NodeObservation) -> f64 {
    let (mine, all) = (place.share_of(&node.node), place.load.iter().map(|load| load.share).sum::<f64>());
    let theirs = if all > 0.0 {
        1.0 - mine / all
    } else if place.id == node.on {
        0.0
    } else {
        1.0
    };
    place.backlog_ms * theirs
}

/// The accelerators in numbers, and how many resources they share.
fn units(accelerators: &[AcceleratorObservation]) -> (Vec<Unit>, usize) {
    // A resource is a set of cores that belong to the same accelerators; what has no cores is one by itself.
    let mut resources: Vec<Vec<usize>> = Vec::new();
    let mut cores: Vec<usize> = accelerators.iter().flat_map(|one| &one.cores).copied().collect();
    cores.sort_unstable();
    cores.dedup();
    for core in cores {
        let users = (0..accelerators.len()).filter(|one| accelerators[*one].cores.contains(&core)).collect();
        if !resources.contains(&users) {
            resources.push(users);
        }
    }
    resources.extend((0..accelerators.len()).filter(|one| accelerators[*one].cores.is_empty()).map(|one| vec![one]));
    let unit = |index: usize| Unit {
        overlaps: (0..accelerators.len()).filter(|o| accelerators[*o].overlaps(&accelerators[index])).collect(),
        resources: (0..resources.len()).filter(|resource| resources[*resource].contains(&index)).collect(),
        memory: accelerators[index].memory,
    };
    ((0..accelerators.len()).map(unit).collect(), resources.len())
}
