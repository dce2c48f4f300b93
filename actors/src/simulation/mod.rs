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
mod dialogue;
mod environment;
mod library;
mod nodes;
mod percentiles;
mod plot;
mod report;
mod scenario;
mod screen;
pub mod suite;
mod summary;
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
use nanomind_hal::{BatterySource, PowerModel, SimulatedBattery};
use parking_lot::Mutex;

use crate::governor::{Decision, GovernorConfig, Recorder, TemperatureSource};
use crate::machine::{Machine, MachineError};
use crate::runtime::{LogTo, RunOptions, Runtime, StartError};
use environment::{Environment, EnvironmentLog, Outside, most_watts};
use summary::Summary;
use world::World;

pub(crate) use dialogue::Dialogue;
pub(crate) use nodes::tokens as tokens_of;
pub(crate) use timetable::{motion, questions};

pub use battery::{BatteryChoice, BatteryChoiceError};
pub use percentiles::Percentiles;
pub use report::{
    BatteryUse, BrickUse, Changed, ChangedWhat, Counted, EdgeUse, ModeTime, NodeFailure, Sample, SimulationEnd,
    SimulationReport, WeightUse,
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
        self.run_watched(plan, |_| {})
    }

    /// As [`Simulation::run`]; `watch` hears, now and then, how much time has been simulated.
    ///
    /// # Errors
    /// As [`Simulation::run`].
    pub fn run_watched(
        &self,
        plan: &Plan,
        watch: impl Fn(Duration) + 'static,
    ) -> Result<SimulationReport, SimulationError> {
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
        let most_watts = most_watts(&PowerModel::new(&self.device), self.device.accelerators.iter().map(|one| one.id));
        let outside =
            Outside { battery: battery.clone(), temperature, most_watts, log: log.clone(), watch: Box::new(watch) };
        let environment = Environment::new(&self.scenario, shared, running.handle(), outside);
        let run = running.wait_with(environment.run());
        let decisions = std::mem::take(&mut *decisions.lock());
        let summary = Summary { simulation: self, plan: &plan, log: log.take(), world: &world, battery, decisions };
        Ok(summary.of(run))
    }

    fn machine(&self) -> Result<(Machine, tokio::runtime::Runtime), MachineError> {
        let wall = SystemTime::UNIX_EPOCH + DATE + self.scenario.begins;
        Machine::simulated(self.device.clone(), wall)
    }
}
