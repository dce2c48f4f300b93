//! A run at one moment: what is shown of it while it goes on.

use std::sync::Arc;
use std::time::Duration;

use nanomind_hal::{AcceleratorId, ChargeStatus, Energy, Interval, MicroJoules, Timestamp};

use crate::governor::{BatteryObservation, Mode};
use crate::report::PlacementReport;
use crate::request::RequestCounts;
use crate::running::{Actors, NodeHandle};

/// A run at one moment. Rates and times are those since the snapshot before.
#[derive(Clone, PartialEq, Debug)]
pub struct Snapshot {
    /// When, on the run's clock.
    pub at: Timestamp,
    /// For how long it has run, in seconds.
    pub seconds: f64,
    /// The power mode.
    pub mode: Mode,
    /// The battery, where there is one that can be read.
    pub battery: Option<BatteryObservation>,
    /// What the device drew in the mean, in watts, where that is known; `energy` says how.
    pub watts: Option<f64>,
    /// What it has taken from the beginning.
    pub energy: Energy,
    /// What became of requests.
    pub requests: RequestCounts,
    /// Requests that have not ended.
    pub open: usize,
    /// The nodes that submit jobs, in the order of the graph.
    pub nodes: Vec<NodeSnapshot>,
}

/// One node at one moment.
#[derive(Clone, PartialEq, Debug)]
pub struct NodeSnapshot {
    /// Its name.
    pub node: String,
    /// Where its next job goes.
    pub on: AcceleratorId,
    /// Whether it works on a request.
    pub busy: bool,
    /// Jobs that wait or run on that accelerator, whoever submitted them.
    pub queue_depth: usize,
    /// Tokens that its jobs worked on, by second of their running; none where no job ran.
    pub tokens_per_s: Option<f64>,
    /// What its jobs were predicted to run, each, in milliseconds.
    pub predicted_ms: Option<f64>,
    /// What they ran, each, in milliseconds.
    pub actual_ms: Option<f64>,
    /// How far predictions were from that, job by job: the mean of |predicted − actual| / actual.
    pub error: Option<f64>,
    /// How often it was moved from the beginning.
    pub moves: u64,
    /// What it has taken from the beginning.
    pub energy: Energy,
}

/// Who is shown the run while it goes on, and how often.
#[derive(Clone)]
pub struct Watch {
    /// How often.
    pub every: Duration,
    /// Is called with each snapshot, on the control thread: it must not block for long.
    pub show: Arc<dyn Fn(&Snapshot) + Send + Sync>,
}

/// A watch that goes on; what it showed last is what rates are counted from.
pub(crate) struct Watching {
    ticks: Option<(Watch, Interval)>,
    before: Before,
}

/// What the snapshot before went up to.
#[derive(Default)]
struct Before {
    at: Timestamp,
    taken: MicroJoules,
    /// Sums over the jobs of each node.
    jobs: Vec<PlacementReport>,
}

impl Watching {
    pub(crate) fn new(run: &Actors) -> Watching {
        let ticks = run.watch.clone().map(|watch| {
            let ticks = run.shared.clock.interval(watch.every);
            (watch, ticks)
        });
        Watching { ticks, before: Before { at: run.started, ..Before::default() } }
    }

    /// Waits until something is to be shown; for ever, if nobody watches.
    pub(crate) async fn next(&mut self) {
        match &mut self.ticks {
            Some((_, ticks)) => {
                ticks.tick().await;
            }
            None => std::future::pending().await,
        }
    }

    /// Shows the run as it is now.
    pub(crate) fn show(&mut self, run: &Actors) {
        let Some((watch, _)) = &self.ticks else { return };
        let show = watch.show.clone();
        let (snapshot, before) = snapshot(run, &self.before);
        self.before = before;
        show(&snapshot);
    }
}

fn snapshot(run: &Actors, before: &Before) -> (Snapshot, Before) {
    let shared = &run.shared;
    shared.energy.settle();
    let (at, statement) = (shared.clock.now(), shared.energy.statement());
    let taken = statement.total.amount();
    let watts = taken.and_then(|taken| taken.saturating_sub(before.taken).over(at.since(before.at)));
    let bricks: Vec<&NodeHandle> = run.nodes.iter().filter(|node| node.entry.is_some()).collect();
    let jobs: Vec<PlacementReport> = bricks.iter().map(|node| sum(&node.tally.placements())).collect();
    let nodes = bricks.iter().zip(&jobs).enumerate().filter_map(|(index, (node, now))| {
        let energy = statement.owners.get(node.plan.name.as_str()).copied().unwrap_or(Energy::Unmeasured);
        node_snapshot(run, node, now, before.jobs.get(index), energy)
    });
    let snapshot = Snapshot {
        at,
        seconds: at.since(run.started).as_secs_f64(),
        mode: shared.duty.duty().mode,
        battery: battery(run),
        watts,
        energy: statement.total,
        requests: shared.requests.counts(),
        open: shared.requests.open_count(),
        nodes: nodes.collect(),
    };
    (snapshot, Before { at, taken: taken.unwrap_or_default(), jobs })
}

/// The battery; one that cannot be read is none, as the governor has said already.
fn battery(run: &Actors) -> Option<BatteryObservation> {
    let reading = run.battery.read(&run.shared.clock).ok().flatten()?;
    let charging = matches!(reading.status, ChargeStatus::Charging | ChargeStatus::Full);
    Some(BatteryObservation { level: reading.level.fraction(), charging, watts: reading.watts })
}

fn node_snapshot(
    run: &Actors,
    node: &NodeHandle,
    now: &PlacementReport,
    before: Option<&PlacementReport>,
    energy: Energy,
) -> Option<NodeSnapshot> {
    let entry = node.entry.as_ref()?;
    let since = before.cloned().unwrap_or_default();
    let jobs = now.jobs.saturating_sub(since.jobs);
    let each = |now: f64, since: f64| (jobs > 0).then(|| (now - since) / jobs as f64);
    let on = entry.current();
    let stats = run.shared.accelerators.get(&on).map(nanomind_hal::Accelerator::stats);
    let (tokens, run_ms) = (now.tokens.saturating_sub(since.tokens), now.run_ms - since.run_ms);
    Some(NodeSnapshot {
        node: node.plan.name.clone(),
        on,
        busy: entry.busy(),
        queue_depth: stats.map_or(0, |stats| stats.queue_depth + usize::from(stats.running.is_some())),
        tokens_per_s: (tokens > 0 && run_ms > 0.0).then(|| tokens as f64 * 1e3 / run_ms),
        predicted_ms: each(now.predicted_ms, since.predicted_ms),
        actual_ms: each(now.run_ms, since.run_ms),
        error: each(now.errors, since.errors),
        moves: entry.moves(),
        energy,
    })
}

/// Sums over all places of a node.
fn sum(places: &[PlacementReport]) -> PlacementReport {
    places.iter().fold(PlacementReport::default(), |sum, place| PlacementReport {
        jobs: sum.jobs + place.jobs,
        tokens: sum.tokens + place.tokens,
        run_ms: sum.run_ms + place.run_ms,
        predicted_ms: sum.predicted_ms + place.predicted_ms,
        errors: sum.errors + place.errors,
        ..sum
    })
}
