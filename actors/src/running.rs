//! A run in progress: wait for it, drain it, stop it, and get its report.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix::{Addr, SystemRunner};
use nanomind_graphs::PlannedNode;
use nanomind_hal::{AcceleratorStats, BatterySource, Energy, ProcessMemory, Timestamp};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::accelerator::{AcceleratorActor, DrainQueue, Stats};
use crate::board::NodeEntry;
use crate::edge::EdgeProbe;
use crate::energy::EnergyBooks;
use crate::governor::{Governor, HoldGuard, Holds, Mode};
use crate::node_actor::{self, Drain, NodeActor, NodeStats, Stop};
use crate::report::{
    AcceleratorReport, EdgeReport, FirstOutput, MemoryReport, NodeOutcome, NodeReport, RunEnd, RunReport,
};
use crate::request::{Epoch, RequestId};
use crate::run_log::{Ending, Record};
use crate::shared::RunShared;
use crate::signals::Signals;
use crate::snapshot::{Watch, Watching};
use crate::supervisor::{Outcomes, Supervisor};
use crate::tally::NodeTally;

/// A node's actor, and what is planned of the node.
pub(crate) struct NodeHandle {
    pub(crate) plan: Arc<PlannedNode>,
    pub(crate) address: Addr<NodeActor>,
    pub(crate) entry: Option<Arc<NodeEntry>>,
    pub(crate) tally: Arc<NodeTally>,
}

/// All actors of a run.
pub(crate) struct Actors {
    pub(crate) graph: String,
    pub(crate) started: Timestamp,
    pub(crate) shared: RunShared,
    pub(crate) nodes: Vec<NodeHandle>,
    pub(crate) accelerators: Vec<Addr<AcceleratorActor>>,
    pub(crate) supervisor: Addr<Supervisor>,
    pub(crate) governor: Addr<Governor>,
    pub(crate) running: watch::Receiver<usize>,
    pub(crate) probes: Vec<EdgeProbe>,
    /// When it is drained, if it has not ended.
    pub(crate) drained_at: Option<Timestamp>,
    pub(crate) interrupts: bool,
    pub(crate) battery: BatterySource,
    pub(crate) watch: Option<Watch>,
    /// Modes that are held as long as the run lasts.
    pub(crate) _held: Vec<HoldGuard>,
}

impl Actors {
    pub(crate) fn on(self, system: SystemRunner) -> Running {
        Running { actors: self, system }
    }
}

/// A run in progress. Its actors live on the thread that started it and make progress in [`Running::wait`].
pub struct Running {
    actors: Actors,
    system: SystemRunner,
}

/// Ends a run from any thread.
#[derive(Clone, Debug)]
pub struct RunHandle {
    signals: Signals,
    cancellations: crate::cancellation::Cancellations,
    holds: Holds,
}

impl RunHandle {
    /// Sensors end; what is in flight flows out.
    pub fn drain(&self) {
        self.signals.drain();
    }

    /// Everything ends at once.
    pub fn stop(&self) {
        self.signals.stop();
    }

    /// Asks for a power mode until the guard is dropped: `owner` and `reason` are shown in the log of decisions.
    pub fn hold(&self, owner: impl Into<String>, reason: impl Into<String>, mode: Mode) -> HoldGuard {
        self.holds.hold(owner, reason, mode)
    }

    /// Chooses the power mode by hand, over everything else; `None` gives the choice back to the policy.
    pub fn choose(&self, mode: Option<Mode>) {
        self.holds.choose(mode);
    }

    /// Drops everything that belongs to an epoch, wherever it is.
    pub fn cancel(&self, epoch: Epoch) {
        self.cancellations.cancel(epoch);
    }
}

impl Running {
    /// A handle that ends the run from another thread, or from a node.
    pub fn handle(&self) -> RunHandle {
        RunHandle {
            signals: self.actors.shared.signals.clone(),
            cancellations: self.actors.shared.cancellations.clone(),
            holds: self.actors.shared.holds.clone(),
        }
    }

    /// What the nodes of the run share.
    pub(crate) fn shared(&self) -> &RunShared {
        &self.actors.shared
    }

    /// Runs until every node has ended, while `companion` goes on beside them for as long.
    pub(crate) fn wait_with(self, companion: impl Future<Output = ()> + 'static) -> RunReport {
        self.system.runtime().spawn(companion);
        self.wait()
    }

    /// Runs until every node has ended, by itself or because the run was drained or stopped.
    pub fn wait(self) -> RunReport {
        let Running { actors, system } = self;
        system.block_on(actors.wait())
    }
}

impl Actors {
    async fn wait(self) -> RunReport {
        let end = self.until_ended().await;
        self.report(end).await
    }

    async fn until_ended(&self) -> RunEnd {
        let mut interrupts = Interrupts::listen(self.interrupts);
        let signals = self.shared.signals.clone();
        let mut running = self.running.clone();
        let (mut draining, mut stopping) = (false, false);
        let mut watching = Watching::new(self);
        let mut time_is_up = std::pin::pin!(self.time_is_up());
        let mut has_lasted = false;
        loop {
            tokio::select! {
                biased;
                over = running.wait_for(|running| *running == 0) => {
                    if over.is_err() {
                        tracing::error!("the supervisor is gone");
                    }
                    break;
                }
                () = watching.next() => watching.show(self),
                () = interrupts.next() => {
                    if draining { signals.stop() } else { signals.drain() }
                }
                () = &mut time_is_up, if !signals.is_draining() => {
                    has_lasted = true;
                    signals.drain();
                }
                () = signals.stopping(), if !stopping => {
                    stopping = true;
                    self.tell(|node| node.do_send(Stop));
                }
                () = signals.draining(), if !draining => {
                    draining = true;
                    tracing::info!("draining: what is in flight flows out; interrupt again to stop at once");
                    self.tell(|node| node.do_send(Drain));
                }
            }
        }
        // Asked anew: whoever drained the run may have been its last node.
        if signals.is_stopping() {
            RunEnd::Stopped
        } else if signals.is_draining() && !has_lasted {
            RunEnd::Drained
        } else {
            RunEnd::Finished
        }
    }

    /// Waits until the run has lasted as long as it may.
    async fn time_is_up(&self) {
        match self.drained_at {
            Some(at) => self.shared.clock.sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    fn tell(&self, message: impl Fn(&Addr<NodeActor>)) {
        self.nodes.iter().for_each(|node| message(&node.address));
    }

    async fn report(self, end: RunEnd) -> RunReport {
        let outcomes = self.supervisor.send(Outcomes).await.unwrap_or_default();
        let decisions = self.governor.send(crate::governor::Finish).await.unwrap_or_default();
        let mut accelerators = Vec::new();
        for accelerator in &self.accelerators {
            if end != RunEnd::Stopped {
                // A node that was drained may have left a job behind; its numbers belong here. An error: no such actor.
                let _ = accelerator.send(DrainQueue).await;
            }
            accelerators.extend(accelerator.send(Stats).await.ok().map(accelerator_report));
        }
        // Whatever ran after the governor looked last is in the books too.
        self.shared.energy.close();
        let (mut nodes, mut pools, mut kv_cache) = (Vec::new(), Vec::new(), 0);
        for (node, (_, outcome)) in self.nodes.iter().zip(outcomes) {
            let Ok(mut stats) = node.address.send(node_actor::Stats).await else { continue };
            pools.append(&mut stats.pools);
            kv_cache += kv_cache_bytes(&node.plan, &stats);
            nodes.push(node_report(&node.plan, outcome, stats, &self.shared.energy));
        }
        let failed = nodes.iter().any(|node| node.outcome.failed);
        let end = if failed && end == RunEnd::Finished { RunEnd::Failed } else { end };
        let at = self.shared.clock.now();
        self.shared.log.write(|| Record::End(Ending { at, end }));
        RunReport {
            graph: self.graph,
            end,
            seconds: at.since(self.started).as_secs_f64(),
            requests: self.shared.requests.counts(),
            first_outputs: self.shared.requests.first_outputs().into_iter().map(first_output).collect(),
            memory: MemoryReport {
                weights: self.shared.weights.books().peak(),
                kv_cache,
                slots: pools.iter().map(|pool| pool.bytes).sum(),
                between_stages: self.shared.weights.books().between_stages(),
                in_standby: self.shared.weights.books().in_standby(),
                peak_resident: ProcessMemory::read(Path::new("/")).map(|memory| memory.peak_resident),
            },
            pools,
            nodes,
            edges: edge_reports(&self.probes, &self.shared.energy),
            accelerators,
            decisions,
            standby: self.shared.standby.report(),
            energy: self.shared.energy.report(),
        }
    }
}

fn first_output((request, after): (RequestId, Duration)) -> FirstOutput {
    FirstOutput { request: request.0, after_ms: after.as_secs_f64() * 1e3 }
}

/// What the longest of a language node's answers have written of its KV caches, of which it has as many as it gives answers
/// at once.
fn kv_cache_bytes(plan: &PlannedNode, stats: &NodeStats) -> u64 {
    let format = plan.choice("kv_cache").ok();
    let position = plan.models.get("model").and_then(|facts| facts.kv_bytes(format)).unwrap_or(0);
    let caches = plan.integer("parallel").ok().and_then(|caches| usize::try_from(caches).ok()).unwrap_or(1);
    let mut lengths: Vec<u64> =
        stats.answers.iter().map(|answer| answer.prompt_tokens + answer.generated_tokens).collect();
    lengths.sort_unstable_by(|one, other| other.cmp(one));
    position * lengths.iter().take(caches).sum::<u64>()
}

fn accelerator_report(stats: AcceleratorStats) -> AcceleratorReport {
    AcceleratorReport {
        accelerator: stats.id.to_string(),
        jobs: stats.total.jobs,
        busy_ms: stats.total.busy.as_secs_f64() * 1e3,
        wait_ms: stats.total.waited.as_secs_f64() * 1e3,
        longest_wait_ms: stats.total.waited_max.as_secs_f64() * 1e3,
    }
}

/// What crossed the edges, in the order of the graph, which is that in which the books know them.
fn edge_reports(probes: &[EdgeProbe], energy: &EnergyBooks) -> Vec<EdgeReport> {
    let report = |(probe, energy): (&EdgeProbe, _)| EdgeReport {
        edge: probe.name().to_string(),
        counts: probe.counts(),
        energy,
    };
    probes.iter().zip(energy.edges()).map(report).collect()
}

fn node_report(plan: &PlannedNode, outcome: NodeOutcome, stats: NodeStats, energy: &EnergyBooks) -> NodeReport {
    NodeReport {
        node: plan.name.clone(),
        kind: plan.kind.clone(),
        outcome,
        ran_on: stats.placements,
        moves: stats.moves,
        counters: stats.counters,
        answers: stats.answers,
        energy: energy.statement().owners.get(plan.name.as_str()).copied().unwrap_or(Energy::Unmeasured),
        phases: energy.phases_of(&plan.name),
    }
}

/// Ctrl-C and SIGTERM, if they are listened to at all.
struct Interrupts(Vec<Signal>);

impl Interrupts {
    fn listen(wanted: bool) -> Interrupts {
        let kinds = if wanted { vec![SignalKind::interrupt(), SignalKind::terminate()] } else { Vec::new() };
        let open = |kind| match signal(kind) {
            Ok(signal) => Some(signal),
            Err(error) => {
                tracing::warn!("a signal cannot be listened to: {error}");
                None
            }
        };
        Interrupts(kinds.into_iter().filter_map(open).collect())
    }

    /// The next one. Pending for ever if none is listened to.
    async fn next(&mut self) {
        std::future::poll_fn(|cx| {
            let ready = self.0.iter_mut().any(|signal| signal.poll_recv(cx).is_ready());
            if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }
}
