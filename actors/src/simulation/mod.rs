//! Simulation: a graph on a device of which there is a profile, in virtual time: days of its battery in seconds.
//!
//! Actors, edges, requests, governor, placements and energy books are those of a run. What differs are the bodies of nodes
//! (bricks compute nothing, but submit the jobs that the shape of their model makes), the accelerators, which take the time
//! that the device's profile says, and the world: a [`Scenario`] says what people ask, what moves, when a charger is
//! there and what fails. Everything by chance is drawn from a seed, nothing depends on the machine that simulates, and so
//! the same simulation has the same report, to the byte.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use nanomind_actors::simulation::{Scenario, Simulation};
//! use nanomind_actors::{GraphFiles, StoredModels};
//! use nanomind_graphs::{Overrides, Source};
//! use nanomind_hal::profile::DeviceProfile;
//! # fn example(models: StoredModels, source: Source) -> Result<(), Box<dyn std::error::Error>> {
//! let device = Arc::new(DeviceProfile::find("rk3566")?);
//! let simulation = Simulation { seed: 7, scenario: Scenario::day(), ..Simulation::of(device) };
//! let plan = simulation.check(source, &Overrides::none(), &GraphFiles, &models)?.map_err(|report| report.to_string())?;
//! let report = simulation.run(&plan)?;
//! println!("{report}");
//! # Ok(())
//! # }
//! ```

mod battery;
mod environment;
mod library;
mod nodes;
mod percentiles;
mod plot;
mod report;
mod scenario;
mod screen;
pub mod suite;
mod timetable;
mod world;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nanomind_graphs::{
    Loader, ModelCatalogue, Overrides, Plan, PowerPolicy, Report, Source, SpecError, Surroundings, check,
};
use nanomind_hal::profile::DeviceProfile;
use nanomind_hal::{BatterySource, PowerModel, SimulatedBattery, Timestamp};
use parking_lot::Mutex;

use crate::governor::{Change, Decision, GovernorConfig, Mode, Move, Recorder, TemperatureSource};
use crate::machine::{Machine, MachineError};
use crate::report::{NodeReport, RunReport};
use crate::runtime::{LogTo, RunOptions, Runtime, StartError};
use environment::{Environment, EnvironmentLog, most_watts};
use world::World;

pub(crate) use nodes::{TEMPLATE as TEMPLATE_TOKENS, TURN as TURN_TOKENS, tokens as tokens_of};
pub(crate) use timetable::{motion, questions};

pub use battery::{BatteryChoice, BatteryChoiceError};
pub use percentiles::Percentiles;
pub use report::{
    BatteryUse, BrickUse, Changed, ChangedWhat, Counted, EdgeUse, ModeTime, Sample, SimulationReport, WeightUse,
};
pub use scenario::{
    Ambient, Arrival, Charging, Failing, Fault, ModeHold, Motion, Moving, Prompts, Question, Rate, Recorded, Scenario,
    ScenarioError,
};

/// What is simulated, beside the graph.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// The device.
    pub device: Arc<DeviceProfile>,
    /// What it lives on.
    pub battery: BatteryChoice,
    /// What happens to it.
    pub scenario: Scenario,
    /// What chance is drawn from.
    pub seed: u64,
    /// The power policy, in place of the graph's.
    pub policy: Option<PowerPolicy>,
    /// Where to write a run log.
    pub log: Option<LogTo>,
}

/// Why nothing could be simulated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulationError {
    /// The scenario speaks of something that is not there.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The device cannot be made.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The graph could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The simulated kinds contradict themselves; never in a released version.
    #[error(transparent)]
    Kinds(#[from] SpecError),
}

/// The date at which every simulation begins, but for the time of day: 1 January 2026, in seconds since 1970.
const DATE: Duration = Duration::from_secs(1_767_225_600);

impl Simulation {
    /// The stated day on a device with its own battery, drawn from 0.
    pub fn of(device: Arc<DeviceProfile>) -> Simulation {
        Simulation { device, battery: BatteryChoice::Own, scenario: Scenario::day(), seed: 0, policy: None, log: None }
    }

    /// Checks a graph for the device.
    ///
    /// # Errors
    /// When the device cannot be made. The inner result is that of the check.
    pub fn check(
        &self,
        source: Source,
        overrides: &Overrides,
        loader: &dyn Loader,
        models: &dyn ModelCatalogue,
    ) -> Result<Result<Plan, Report>, SimulationError> {
        let (machine, _runtime) = self.machine()?;
        let library = library::simulated(&Rc::new(World::new(Scenario::default(), 0)))?;
        let machine = machine.for_graphs();
        Ok(check(source, overrides, Surroundings { registry: library.registry(), loader, models, machine: &machine }))
    }

    /// Simulates a plan that was checked for the device ([`Simulation::check`]), until the scenario is over or the battery
    /// empty. Must not be called inside an async runtime.
    ///
    /// # Errors
    /// When the plan or the scenario does not fit the device, or the operating system refuses what a runtime needs.
    pub fn run(&self, plan: &Plan) -> Result<SimulationReport, SimulationError> {
        let plan = match self.policy {
            Some(policy) => plan.clone().with_power(policy),
            None => plan.clone(),
        };
        self.scenario.check(&plan, &self.device)?;
        let (machine, runtime) = self.machine()?;
        let world = Rc::new(World::new(self.scenario.clone(), self.seed));
        let library = library::simulated(&world)?;
        let settings = self.battery.settings(&self.device, &self.scenario);
        let battery = settings.map(|settings| SimulatedBattery::new(machine.clock().now(), settings));
        let source = battery.clone().map_or(BatterySource::None, BatterySource::Simulated);
        let temperature = TemperatureSource::settable();
        let decisions: Arc<Mutex<Vec<Decision>>> = Arc::default();
        let kept = decisions.clone();
        let recorder = Recorder::new(move |record| kept.lock().extend(record.decisions.iter().cloned()));
        let options = RunOptions {
            governor: GovernorConfig {
                battery: source,
                temperature: temperature.clone(),
                recorder: Some(recorder),
                ..GovernorConfig::default()
            },
            log: self.log.clone(),
            ..RunOptions::default()
        };
        let running = Runtime::start_in(runtime, &plan, &machine, &library, options)?;
        let (shared, log) = (running.shared().clone(), Rc::new(RefCell::new(EnvironmentLog::default())));
        let most = most_watts(&PowerModel::new(&self.device), self.device.accelerators.iter().map(|one| one.id));
        let environment = Environment::new(
            &self.scenario,
            shared.clone(),
            running.handle(),
            battery.clone(),
            temperature,
            most,
            log.clone(),
        );
        let run = running.wait_with(environment.run());
        let log = log.borrow().clone();
        let changes = decisions.lock().iter().flat_map(changed).collect();
        Ok(self.report(&plan, run, log, &world, battery, changes))
    }

    fn machine(&self) -> Result<(Machine, tokio::runtime::Runtime), MachineError> {
        let wall = SystemTime::UNIX_EPOCH + DATE + self.scenario.begins;
        Machine::simulated(self.device.clone(), wall)
    }

    /// Puts together what the run, its environment and its sinks have to say.
    fn report(
        &self,
        plan: &Plan,
        run: RunReport,
        log: EnvironmentLog,
        world: &World,
        battery: Option<SimulatedBattery>,
        changes: Vec<Changed>,
    ) -> SimulationReport {
        let ended = log.emptied.unwrap_or(log.ended);
        let hours = ended.as_secs_f64() / 3600.0;
        let latencies = world.latencies();
        let energy = run.energy.total.amount();
        let battery = battery.map(|battery| {
            let reading = battery.read(ended);
            BatteryUse {
                usable_wh: reading.full_wh.unwrap_or(0.0),
                level_at_start: self.scenario.level,
                level_at_end: log.samples.last().and_then(|sample| sample.level).unwrap_or(0.0),
                empty_after_hours: log.emptied.map(|at| at.as_secs_f64() / 3600.0),
            }
        });
        let edges = run.edges.iter().map(|edge| EdgeUse { edge: edge.edge.clone(), counts: edge.counts });
        let counters = run.nodes.iter().flat_map(counted);
        SimulationReport {
            graph: run.graph.clone(),
            device: self.device.name.clone(),
            policy: plan.power().to_string(),
            scenario: self.scenario.name.clone(),
            seed: self.seed,
            begins_hours: self.scenario.begins.as_secs_f64() / 3600.0,
            end: run.end,
            hours,
            battery,
            energy: run.energy.total,
            energy_loading: run.energy.loading,
            mean_watts: energy.and_then(|energy| energy.over(ended.since(Timestamp::default()))),
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
            bricks: run.nodes.into_iter().filter(|node| !node.ran_on.is_empty()).map(brick).collect(),
            samples: log.samples,
        }
    }
}

fn brick(node: NodeReport) -> BrickUse {
    BrickUse { node: node.node, kind: node.kind, energy: node.energy, ran_on: node.ran_on, moves: node.moves }
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
