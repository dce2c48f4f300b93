//! The search: all combinations, a node after the other, leaving out those that cannot become the cheapest any more.

use super::problem::{Problem, Spot};

/// The cheapest combination that costs less than `bound` and fits in memory, and its cost. Of equals the one whose spots
/// come first.
pub(super) fn cheapest(problem: &Problem<'_>, bound: f64) -> Option<(Vec<usize>, f64)> {
    let mut search = Search::new(problem, bound);
    search.place(0, Sums::default());
    search.best.map(|best| (best, search.bound))
}

/// Sums over the nodes that have a place already.
#[derive(Clone, Copy, Default)]
struct Sums {
    /// What they cost, but for the bottleneck.
    cost: f64,
    /// Milliseconds of the busiest resource.
    bottleneck: f64,
    /// Milliseconds of all resources together.
    loads: f64,
}

/// What lies on an accelerator, by those that have a place already.
#[derive(Clone, Copy, Default)]
struct Occupied {
    /// The share of time that nodes work on cores of it.
    share: f64,
    /// Milliseconds of a firing of those nodes.
    ms: f64,
    /// Bytes of weights there.
    bytes: u64,
}

struct Search<'p, 'a> {
    problem: &'p Problem<'a>,
    /// The cost that is to be undercut.
    bound: f64,
    best: Option<Vec<usize>>,
    spots: Vec<usize>,
    /// For each number of placed nodes, what lies on each accelerator, and on each resource.
    occupied: Vec<Vec<Occupied>>,
    loads: Vec<Vec<f64>>,
    /// For each number of placed nodes, the least that the others cost, and the least that they load resources with.
    least: Vec<(f64, f64)>,
}

impl<'p, 'a> Search<'p, 'a> {
    fn new(problem: &'p Problem<'a>, bound: f64) -> Search<'p, 'a> {
        let nodes = problem.spots.len();
        let mut least = vec![(0.0, 0.0); nodes + 1];
        for (node, spots) in problem.spots.iter().enumerate().rev() {
            let cost = spots.iter().map(|spot| own_cost(problem, spot)).fold(f64::INFINITY, f64::min);
            let load = spots.iter().map(|spot| load(problem, spot)).fold(f64::INFINITY, f64::min);
            least[node] = (least[node + 1].0 + cost, least[node + 1].1 + load);
        }
        Search {
            problem,
            bound,
            best: None,
            spots: vec![0; nodes],
            occupied: vec![vec![Occupied::default(); problem.units.len()]; nodes + 1],
            loads: vec![vec![0.0; problem.resources]; nodes + 1],
            least,
        }
    }

    /// Tries all spots of node number `node`, those before it being placed.
    fn place(&mut self, node: usize, sums: Sums) {
        let problem = self.problem;
        let Some(spots) = problem.spots.get(node) else {
            let cost = sums.cost + problem.per_ms * sums.bottleneck;
            if cost < self.bound {
                self.bound = cost;
                self.best = Some(self.spots.clone());
            }
            return;
        };
        for (index, spot) in spots.iter().enumerate() {
            let unit = &problem.units[spot.at];
            let there = self.occupied[node][spot.at];
            if unit.memory.is_some_and(|memory| there.bytes.saturating_add(spot.bytes) > memory) {
                continue;
            }
            // Each waits for the other: this one for those who are there, and those for this one.
            let in_the_way = spot.ms * there.share + there.ms * spot.share;
            let cost = sums.cost + own_cost(problem, spot) + problem.per_ms * in_the_way;
            let mut bottleneck = sums.bottleneck;
            for resource in &unit.resources {
                bottleneck = bottleneck.max(self.loads[node][*resource] + spot.ms);
            }
            let loads = sums.loads + load(problem, spot);
            let (least_cost, least_load) = self.least[node + 1];
            // The busiest resource has at least its even share of everything.
            let busiest = bottleneck.max((loads + least_load) / problem.resources.max(1) as f64);
            if (cost + least_cost + problem.per_ms * busiest) * ROUNDING >= self.bound {
                continue;
            }
            self.occupy(node, spot);
            self.spots[node] = index;
            self.place(node + 1, Sums { cost, bottleneck, loads });
        }
    }

    /// Writes down what lies where once the node has this spot.
    fn occupy(&mut self, node: usize, spot: &Spot) {
        let unit = &self.problem.units[spot.at];
        let (before, after) = self.occupied.split_at_mut(node + 1);
        after[0].copy_from_slice(&before[node]);
        for other in &unit.overlaps {
            let occupied = &mut after[0][*other];
            occupied.share += spot.share;
            occupied.ms += spot.ms;
        }
        after[0][spot.at].bytes += spot.bytes;
        let (before, after) = self.loads.split_at_mut(node + 1);
        after[0].copy_from_slice(&before[node]);
        for resource in &unit.resources {
            after[0][*resource] += spot.ms;
        }
    }
}

/// Sums in another order differ in their last bits; a branch is left only if it is dearer beyond that.
const ROUNDING: f64 = 1.0 - 1e-12;

/// What a node costs at a spot, the others left out.
fn own_cost(problem: &Problem<'_>, spot: &Spot) -> f64 {
    let own = problem.per_ms * (spot.ms + spot.queue_ms) + problem.per_energy * spot.energy;
    own * spot.preference
}

/// What a node loads all resources with, together.
fn load(problem: &Problem<'_>, spot: &Spot) -> f64 {
    spot.ms * problem.units[spot.at].resources.len() as f64
}
