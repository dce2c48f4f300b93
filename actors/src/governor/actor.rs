//! The governor's actor: looks each tick, decides, tells the nodes, and keeps the log.

use std::collections::BTreeMap;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, MessageResult, Recipient};
use nanomind_graphs::PowerPolicy;
use nanomind_hal::{Accelerator, AcceleratorId, BatterySource, ChargeStatus, JobTotals, Timestamp};

use super::decide::{Memory, decide, force_move};
use super::decision::{Change, Decision};
use super::log::{DecisionLog, DecisionRecord};
use super::messages::{Assign, MigrateDue};
use super::observation::{AcceleratorObservation, BatteryObservation, NodeLoad, NodeObservation, Observation};
use crate::board::{NodeBoard, NodeEntry};
use crate::machine::Machine;
use crate::trace::{self, TraceFile};

/// What the governor goes by, beside the graph's power policy.
#[derive(Clone, Debug)]
pub struct GovernorConfig {
    /// How often it looks.
    pub period: Duration,
    /// The battery that it reads.
    pub battery: BatterySource,
    /// The trace that is being written, if there is one: flushed at each look.
    pub trace: Option<TraceFile>,
}

impl Default for GovernorConfig {
    fn default() -> GovernorConfig {
        GovernorConfig { period: Duration::from_millis(250), battery: BatterySource::system(), trace: None }
    }
}

/// A node that can be told where to go.
#[derive(Clone, Debug)]
pub struct Movable {
    /// The node.
    pub node: String,
    /// Its actor.
    pub recipient: Recipient<Assign>,
}

/// Ends the governor's work; the answer is all that it decided.
#[derive(Message)]
#[rtype(result = "Vec<DecisionRecord>")]
pub struct Finish;

/// Decides the power mode and where the bricks work.
pub struct Governor {
    config: GovernorConfig,
    policy: PowerPolicy,
    log: DecisionLog,
    board: NodeBoard,
    machine: Machine,
    nodes: Vec<Movable>,
    memory: Memory,
    /// Whether the battery failed to answer, which is said once.
    battery_failed: bool,
    /// When it looked last, and what each node had had each accelerator do by then.
    before: Option<(Timestamp, Counts)>,
}

/// Sums over the jobs of each node on each accelerator.
type Counts = BTreeMap<(AcceleratorId, String), JobTotals>;

impl Governor {
    /// A governor of the nodes on `board`, working by `policy`.
    pub fn new(
        config: GovernorConfig,
        policy: PowerPolicy,
        log: DecisionLog,
        board: NodeBoard,
        machine: &Machine,
        nodes: Vec<Movable>,
    ) -> Governor {
        let machine = machine.clone();
        Governor {
            config,
            policy,
            log,
            board,
            machine,
            nodes,
            memory: Memory::default(),
            battery_failed: false,
            before: None,
        }
    }

    fn tick(&mut self) {
        let seen = self.look();
        self.show(&seen);
        let (memory, decisions) = decide(self.policy, &self.memory, &seen);
        self.memory = memory;
        for decision in decisions {
            if let Some(assign) = assignment(&decision)
                && let Some(node) = self.nodes.iter().find(|node| node.node == assign.node)
            {
                node.recipient.do_send(assign);
            }
            self.keep(decision, &seen);
        }
        self.flush_trace();
    }

    /// Gathers what there is to see, and starts counting anew.
    fn look(&mut self) -> Observation {
        let at = self.machine.clock().now();
        let (since, before) = self.before.take().unwrap_or((at, Counts::new()));
        let mut counts = Counts::new();
        let places = self.machine.groups.iter().filter_map(|group| {
            let accelerator = self.machine.accelerators.get(&group.name)?;
            let cores = group.cpus.iter().collect();
            Some(observe_accelerator(accelerator, cores, at.since(since), &before, &mut counts))
        });
        let accelerators = places.collect();
        let nodes = self.board.iter().map(|entry| observe_node(entry, &before, &counts)).collect();
        self.before = Some((at, counts));
        Observation { at, battery: self.read_battery(), accelerators, nodes }
    }

    /// The battery, as far as it matters to a decision. One that cannot be read counts as none.
    fn read_battery(&mut self) -> Option<BatteryObservation> {
        match self.config.battery.read(self.machine.clock()) {
            Ok(reading) => {
                self.battery_failed = false;
                let reading = reading?;
                let charging = matches!(reading.status, ChargeStatus::Charging | ChargeStatus::Full);
                Some(BatteryObservation { level: reading.level.fraction(), charging })
            }
            Err(error) => {
                if !std::mem::replace(&mut self.battery_failed, true) {
                    tracing::warn!("{error}; the governor goes on as without a battery");
                }
                None
            }
        }
    }

    /// Tells the trace what is seen.
    fn show(&self, seen: &Observation) {
        if let Some(battery) = seen.battery {
            trace::counter("battery %", battery.level * 100.0, seen.at);
        }
        for entry in self.board.iter().filter(|entry| entry.tokens_generated() > 0) {
            let rate = if entry.busy() { entry.tokens_per_second() } else { 0.0 };
            trace::counter(&format!("tokens/s {}", entry.node()), rate, seen.at);
        }
    }

    /// Logs a decision with what it was made from.
    fn keep(&mut self, decision: Decision, seen: &Observation) {
        let (change, reason) = (decision.change.to_string(), decision.reason.to_string());
        tracing::info!(%change, %reason, "decision");
        trace::decision(&change, &reason, decision.at);
        if let Err(error) = self.log.add(decision, seen.clone()) {
            tracing::warn!("{error}; later decisions are kept in memory alone");
        }
    }

    fn flush_trace(&mut self) {
        if let Some(Err(error)) = self.config.trace.as_ref().map(TraceFile::flush) {
            tracing::warn!("{error}; the run goes on without a trace");
        }
    }
}

impl Actor for Governor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        let ticks = self.machine.clock().interval(self.config.period);
        // A stream of moments, each handed to the actor as it comes.
        let ticks = futures_util::stream::unfold(ticks, |mut ticks| async {
            ticks.tick().await;
            Some((Tick, ticks))
        });
        context.add_message_stream(ticks);
    }
}

/// It is time to look.
#[derive(Message)]
#[rtype(result = "()")]
struct Tick;

impl Handler<Tick> for Governor {
    type Result = ();

    fn handle(&mut self, _: Tick, _: &mut Context<Self>) {
        self.tick();
    }
}

impl Handler<MigrateDue> for Governor {
    type Result = Option<Assign>;

    fn handle(&mut self, due: MigrateDue, _: &mut Context<Self>) -> Self::Result {
        let seen = self.look();
        let (memory, decision) = force_move(&self.memory, &seen, &due.node, due.every);
        self.memory = memory;
        let decision = decision?;
        let assign = assignment(&decision);
        self.keep(decision, &seen);
        assign
    }
}

impl Handler<Finish> for Governor {
    type Result = MessageResult<Finish>;

    fn handle(&mut self, _: Finish, _: &mut Context<Self>) -> Self::Result {
        let seen = self.look();
        self.show(&seen);
        self.flush_trace();
        MessageResult(self.log.records().to_vec())
    }
}

/// What a decision tells a node.
fn assignment(decision: &Decision) -> Option<Assign> {
    match &decision.change {
        Change::Mode { .. } => None,
        Change::Move { node, to, .. } => {
            Some(Assign { node: node.clone(), accelerator: *to, reason: decision.reason.to_string() })
        }
    }
}

fn observe_accelerator(
    accelerator: &Accelerator,
    cores: Vec<usize>,
    elapsed: Duration,
    before: &Counts,
    counts: &mut Counts,
) -> AcceleratorObservation {
    let stats = accelerator.stats();
    let mut load = Vec::new();
    for (node, totals) in &stats.nodes {
        let key = (stats.id, node.to_string());
        let busy = totals.busy.saturating_sub(before.get(&key).map_or(Duration::ZERO, |totals| totals.busy));
        if !busy.is_zero() && !elapsed.is_zero() {
            let share = (busy.as_secs_f64() / elapsed.as_secs_f64()).min(1.0);
            load.push(NodeLoad { node: node.to_string(), share });
        }
        counts.insert(key, *totals);
    }
    let queue_depth = stats.queue_depth + usize::from(stats.running.is_some());
    AcceleratorObservation { id: stats.id, cores, queue_depth, load }
}

fn observe_node(entry: &NodeEntry, before: &Counts, counts: &Counts) -> NodeObservation {
    let on = entry.current();
    let key = (on, entry.node().to_string());
    let earlier = before.get(&key).copied().unwrap_or_default();
    let step_ms = counts.get(&key).and_then(|totals| {
        let (jobs, tokens) = (totals.jobs - earlier.jobs, totals.tokens - earlier.tokens);
        // Only a time in which every job was one token tells what a decode step takes.
        let all_decode = jobs > 0 && jobs == tokens;
        all_decode.then(|| (totals.busy - earlier.busy).as_secs_f64() * 1e3 / jobs as f64)
    });
    NodeObservation {
        node: entry.node().to_string(),
        on,
        allowed: entry.allowed().to_vec(),
        busy: entry.busy(),
        step_ms,
    }
}
