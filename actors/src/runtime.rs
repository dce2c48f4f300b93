//! The runtime: from a plan to running actors.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, System, SystemRunner};
use indexmap::IndexMap;
use nanomind_graphs::{Plan, PlannedEdge, PlannedNode};
use nanomind_hal::{AcceleratorId, AcceleratorKind, BatterySource, EnergySource, Phase};

use crate::accelerator::AcceleratorActor;
use crate::board::{NodeBoard, NodeEntry};
use crate::cancellation::Cancellations;
use crate::duty::DutyBoard;
use crate::edge::{EdgeContext, EdgeName, EdgeOptions, EdgeReceiver, EdgeSender, HopCounter, edge};
use crate::energy::{EdgeMeter, EnergyBooks};
use crate::governor::{
    Governor, GovernorConfig, GovernorParts, HoldEvents, HoldOrder, Holds, Mode, Movable, PhaseWork,
};
use crate::inputs::Input;
use crate::library::NodeLibrary;
use crate::machine::Machine;
use crate::memory::MemoryBooks;
use crate::node_actor::{MeetGovernor, NodeActor, NodeParts, Start};
use crate::pools::{PoolSizer, Room};
use crate::readiness::Readiness;
use crate::request::Requests;
use crate::run_log::{BatteryAtStart, DeviceText, GraphText, Header, LoggedNode, RunLog, RunLogError};
use crate::running::{Actors, NodeHandle, Running};
use crate::shared::RunShared;
use crate::signals::Signals;
use crate::snapshot::Watch;
use crate::standby::Standby;
use crate::supervisor::Supervisor;
use crate::turns::Turns;
use crate::weights::{LoadListener, WeightStore};

/// Tokens that an edge holds where the graph says nothing: beyond, only packets count.
const TOKENS_UNBOUNDED: usize = 1 << 24;

/// What can be chosen about a run beside its graph.
#[derive(Clone, Default)]
pub struct RunOptions {
    /// What the governor goes by.
    pub governor: GovernorConfig,
    /// Move every language node each time it has generated so many tokens of an answer.
    pub migrate_every: Option<u64>,
    /// The power mode, chosen by hand over policy, battery, holds and heat; it may be given back while the run goes on.
    pub mode: Option<Mode>,
    /// Modes that are asked for as long as the run lasts.
    pub holds: Vec<HoldOrder>,
    /// How long the run lasts at most: then it is drained, and has finished. Without this it lasts until its nodes end.
    pub lasts: Option<Duration>,
    /// Ctrl-C (and SIGTERM) drain the run, a second one stops it.
    pub interrupts: bool,
    /// Hears how far models have been loaded.
    pub on_load: Option<LoadListener>,
    /// Where to write a run log.
    pub log: Option<LogTo>,
    /// Who is shown the run while it goes on.
    pub watch: Option<Watch>,
}

/// A run log that is to be written.
#[derive(Clone, Debug)]
pub struct LogTo {
    /// The file; one that is there is replaced.
    pub path: PathBuf,
    /// The graph that runs, with everything that it was checked with.
    pub graph: GraphText,
}

/// Why a run could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The plan was made with another library.
    #[error("node `{node}`: kind {kind} is not in this library")]
    UnknownKind {
        /// The node.
        node: String,
        /// Its kind.
        kind: String,
    },
    /// The plan was made for another machine.
    #[error("node `{node}`: accelerator {accelerator} is not on this machine")]
    UnknownAccelerator {
        /// The node.
        node: String,
        /// The accelerator.
        accelerator: AcceleratorId,
    },
    /// The run log cannot be written.
    #[error(transparent)]
    Log(#[from] RunLogError),
}

/// Starts runs.
#[derive(Debug)]
pub struct Runtime;

impl Runtime {
    /// Starts `plan` on `machine`, with nodes from `library`. The actors live on the calling thread; they make progress
    /// in [`Running::wait`]. Must not be called inside another async runtime.
    ///
    /// # Errors
    /// When the plan was made for another library or machine, or the run log cannot be written. Nothing runs then.
    pub fn start(
        plan: &Plan,
        machine: &Machine,
        library: &NodeLibrary,
        options: RunOptions,
    ) -> Result<Running, StartError> {
        Runtime::start_on(System::new, plan, machine, library, options)
    }

    /// As [`Runtime::start`], in the runtime of a virtual clock: that of [`Machine::simulated`].
    ///
    /// # Errors
    /// As [`Runtime::start`].
    pub fn start_in(
        runtime: tokio::runtime::Runtime,
        plan: &Plan,
        machine: &Machine,
        library: &NodeLibrary,
        options: RunOptions,
    ) -> Result<Running, StartError> {
        Runtime::start_on(|| System::with_tokio_rt(|| runtime), plan, machine, library, options)
    }

    fn start_on(
        system: impl FnOnce() -> SystemRunner,
        plan: &Plan,
        machine: &Machine,
        library: &NodeLibrary,
        options: RunOptions,
    ) -> Result<Running, StartError> {
        let (holds, heard) = Holds::new();
        let log = match &options.log {
            Some(to) => RunLog::create(&to.path, header(plan, machine, &options.governor, &to.graph))?,
            None => RunLog::default(),
        };
        let requests = Requests::logged(machine.clock.clone(), log.clone());
        let cancellations = Cancellations::new(requests.clone());
        let (duty, energy) = (DutyBoard::default(), energy_books(machine, &options.governor, log.clone()));
        let memory = MemoryBooks::new(machine.clock.clone());
        let standby =
            Standby::new(machine.clock.clone(), requests.clone(), duty.clone(), memory.clone(), energy.clone());
        let shared = RunShared {
            clock: machine.clock.clone(),
            requests,
            cancellations,
            accelerators: machine.accelerators.clone(),
            weights: WeightStore::new(machine.isa, machine.homes.clone(), options.on_load.clone(), memory),
            turns: Turns::default(),
            signals: Signals::default(),
            readiness: Readiness::of(plan.nodes()),
            duty,
            holds,
            energy,
            standby,
            log,
        };
        let wiring = Wiring::of(plan, &shared);
        let parts = node_parts(plan, machine, library, &options, &wiring)?;
        let system = system();
        let running =
            system.block_on(async move { start_actors(plan, machine, options, heard, shared, wiring, parts) });
        Ok(running.on(system))
    }
}

/// Starts every actor on the arbiter of the calling thread.
fn start_actors(
    plan: &Plan,
    machine: &Machine,
    options: RunOptions,
    heard: HoldEvents,
    shared: RunShared,
    wiring: Wiring,
    parts: Vec<NodeParts>,
) -> Actors {
    let policies = plan.nodes().iter().map(|node| (node.name.as_str().into(), node.restart));
    let (supervisor, running) = Supervisor::new(shared.clock.clone(), policies);
    let supervisor = supervisor.start();
    let accelerators = machine.accelerators.values();
    let accelerators = accelerators
        .map(|accelerator| AcceleratorActor::new(accelerator.clone(), shared.clock.clone()).start())
        .collect();
    let (mut nodes, mut entries, mut movable) = (Vec::new(), Vec::new(), Vec::new());
    for parts in parts {
        let (plan, entry, tally) = (parts.plan.clone(), parts.entry.clone(), parts.tally.clone());
        let address = NodeActor::new(parts, shared.clone(), supervisor.clone()).start();
        if let Some(entry) = entry.clone() {
            movable.push(Movable { node: plan.name.clone(), recipient: address.clone().recipient() });
            entries.push(entry);
        }
        nodes.push(NodeHandle { plan, address, entry, tally });
    }
    let board = NodeBoard::new(entries);
    shared.holds.choose_if(options.mode);
    let held =
        options.holds.into_iter().map(|order| shared.holds.hold(order.owner, order.reason, order.mode)).collect();
    let parts = GovernorParts { policy: plan.power(), board, machine, shared: &shared, nodes: movable, holds: heard };
    let battery = options.governor.battery.clone();
    let mut governor = Governor::new(options.governor, parts);
    // Before anything runs: a run that begins on an empty battery does not begin with full work.
    governor.begin();
    let governor = governor.start();
    actix::spawn(shared.standby.clone().keep());
    for node in &nodes {
        // In order: a node knows the governor before it starts.
        node.address.do_send(MeetGovernor(governor.clone().recipient()));
        node.address.do_send(Start);
    }
    let drained_at = options.lasts.map(|lasts| shared.clock.now() + lasts);
    Actors {
        graph: plan.name().to_owned(),
        started: shared.clock.now(),
        shared,
        nodes,
        accelerators,
        supervisor,
        governor,
        running,
        probes: wiring.senders.iter().map(EdgeSender::probe).collect(),
        drained_at,
        interrupts: options.interrupts,
        battery,
        watch: options.watch,
        _held: held,
    }
}

/// The books of a run: a simulated device has no meter, any other may.
fn energy_books(machine: &Machine, governor: &GovernorConfig, log: RunLog) -> EnergyBooks {
    let source = if machine.clock.is_virtual() {
        EnergySource::None
    } else {
        let (source, refused) = EnergySource::detect(Path::new("/"), governor.battery.clone(), &machine.clock);
        for refusal in refused {
            tracing::info!("{refusal}");
        }
        // What a card takes is this run's only if the run computes on one.
        let on_cards = machine.accelerators.keys().any(|id| id.kind() == AcceleratorKind::Gpu);
        if on_cards { source } else { source.without_cards() }
    };
    EnergyBooks::new(machine.clock.clone(), machine.profile().map(Arc::as_ref), source, &governor.battery, log)
}

/// What a run log says of a run before it begins.
fn header(plan: &Plan, machine: &Machine, governor: &GovernorConfig, graph: &GraphText) -> Header {
    let reading = governor.battery.read(&machine.clock).ok().flatten();
    let battery = reading.map(|reading| BatteryAtStart {
        level: reading.level.fraction(),
        full_wh: reading.full_wh,
        simulated: matches!(governor.battery, BatterySource::Simulated(_)),
    });
    let node = |node: &PlannedNode| LoggedNode {
        name: node.name.clone(),
        kind: node.kind.clone(),
        candidates: node.candidates.clone(),
    };
    Header {
        program: concat!("nanomind ", env!("CARGO_PKG_VERSION")).to_owned(),
        started: machine.clock.now(),
        graph: graph.clone(),
        device: machine
            .profile()
            .map(|profile| DeviceText { name: profile.name.clone(), text: profile.text().to_owned() }),
        policy: plan.power(),
        battery,
        nodes: plan.nodes().iter().map(node).collect(),
    }
}

/// What each node's actor is made of. Fails where plan, library and machine do not fit together.
fn node_parts(
    plan: &Plan,
    machine: &Machine,
    library: &NodeLibrary,
    options: &RunOptions,
    wiring: &Wiring,
) -> Result<Vec<NodeParts>, StartError> {
    let part = |(index, node): (usize, &PlannedNode)| {
        let constructor = library
            .constructor(&node.kind)
            .ok_or_else(|| StartError::UnknownKind { node: node.name.clone(), kind: node.kind.clone() })?;
        let inputs = plan.edges_into(index).map(|(edge, planned)| {
            let input = Input::new(planned.to.port.as_str(), planned.firing, wiring.receivers[edge].clone());
            match held(plan, planned) {
                0 => input,
                most => input.bounded(most),
            }
        });
        let outputs = plan
            .edges_from(index)
            .map(|(edge, planned)| (planned.from.port.as_str().into(), wiring.senders[edge].clone()));
        Ok(NodeParts {
            constructor,
            inputs: inputs.collect(),
            outputs: outputs.collect(),
            pools: PoolSizer::new(&node.name, rooms(plan, index)),
            entry: board_entry(node, machine)?.map(Arc::new),
            ends_requests: ends_requests(plan, index),
            tally: Arc::default(),
            migrate_every: options.migrate_every,
            plan: Arc::new(node.clone()),
        })
    };
    plan.nodes().iter().enumerate().map(part).collect()
}

/// The node's line on the board; none for a node that needs no accelerator.
fn board_entry(node: &PlannedNode, machine: &Machine) -> Result<Option<NodeEntry>, StartError> {
    if let Some(&accelerator) = node.candidates.iter().find(|id| !machine.accelerators.contains_key(*id)) {
        return Err(StartError::UnknownAccelerator { node: node.name.clone(), accelerator });
    }
    let weights = node.models.values().map(|facts| facts.weight_bytes).sum();
    let entry = NodeEntry::new(node.name.as_str().into(), node.candidates.clone());
    Ok(entry.map(|entry| entry.expecting(weights, expected_work(node, weights))))
}

/// What a node is taken to do each time it fires before it has: go through its weights once, two operations for a byte.
fn expected_work(node: &PlannedNode, weights: u64) -> Vec<PhaseWork> {
    let bytes = weights as f64;
    let phase = node.spec.phases.last().copied().unwrap_or(Phase::Decode);
    vec![PhaseWork { phase, jobs: 1.0, flops: 2.0 * bytes, bytes }]
}

/// Whether a request ends with the node: nothing takes it further, and the node does not merely look on while another
/// one ends it.
fn ends_requests(plan: &Plan, node: usize) -> bool {
    let is_last = |node: usize| plan.edges_from(node).next().is_none();
    let looks_on = |node: usize| plan.nodes()[node].spec.onlooker;
    is_last(node) && (!looks_on(node) || (0..plan.nodes().len()).all(|other| looks_on(other) || !is_last(other)))
}

/// How many packets a consumer holds on to, by its own field; 0 where it only works on one after the other.
fn held(plan: &Plan, edge: &PlannedEdge) -> usize {
    let node = &plan.nodes()[edge.to.node];
    let field = node.spec.find_input(&edge.to.port).and_then(|port| port.keeps.as_deref());
    let held = field.and_then(|field| node.integer(field).ok());
    held.and_then(|held| usize::try_from(held).ok()).unwrap_or(0)
}

/// How many packets the edges of each output hold, and their consumers.
fn rooms(plan: &Plan, node: usize) -> IndexMap<String, Room> {
    let mut rooms: IndexMap<String, Room> = IndexMap::new();
    for (_, edge) in plan.edges_from(node) {
        let room = rooms.entry(edge.from.port.clone()).or_default();
        room.queued += edge.queue.packets as usize;
        // While it holds some, a request brings as many more.
        let held = held(plan, edge);
        room.held += held + held.max(1);
    }
    rooms
}

/// Both ends of every edge, in the order of the plan.
struct Wiring {
    senders: Vec<EdgeSender>,
    receivers: Vec<EdgeReceiver>,
}

impl Wiring {
    fn of(plan: &Plan, shared: &RunShared) -> Wiring {
        let context = EdgeContext {
            clock: shared.clock.clone(),
            cancellations: shared.cancellations.clone(),
            requests: shared.requests.clone(),
            hops: HopCounter::default(),
            meter: EdgeMeter::default(),
        };
        let open = |planned: &nanomind_graphs::PlannedEdge| {
            // Of a node that submits no jobs there is nothing to account for.
            let computes = !plan.nodes()[planned.from.node].candidates.is_empty();
            let meter = shared.energy.edge(&planned.from.node_name.as_str().into());
            let context = EdgeContext { meter: if computes { meter } else { EdgeMeter::default() }, ..context.clone() };
            let name =
                EdgeName::new((&planned.from.node_name, &planned.from.port), (&planned.to.node_name, &planned.to.port));
            let options = EdgeOptions {
                policy: planned.queue.policy,
                capacity_packets: planned.queue.packets as usize,
                capacity_tokens: planned
                    .queue
                    .tokens
                    .map_or(TOKENS_UNBOUNDED, |tokens| usize::try_from(tokens).unwrap_or(TOKENS_UNBOUNDED)),
            };
            edge(name, options, context)
        };
        let (senders, receivers) = plan.edges().iter().map(open).unzip();
        Wiring { senders, receivers }
    }
}
