//! The suite that stands beside the NANOMIND paper (arXiv 2510.05109): its table, and a study of power policies over many
//! days.
//!
//! A figure that rests on a number of the device's profile that was fitted to it is called fitted, never reproduced.

mod paper;
mod screen;
mod study;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use nanomind_graphs::{Loader, ModelCatalogue, NoFiles, Overrides, Plan, PowerPolicy, Report, Source};
use nanomind_hal::profile::{DeviceProfile, DeviceProfileError};
use serde::Serialize;

pub use paper::{Basis, Row};
pub use study::{Comparison, PolicyResult, Study};

use super::{Scenario, Simulation, SimulationError};
use crate::forecast::ForecastError;

/// The board of the paper.
const DEVICE: &str = "rk3566";
const WATCH: &str = include_str!("watch.ron");
const ASSISTANT: &str = include_str!("assistant.ron");

/// The paper's table with ours beside it, and what our policies are worth beyond it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct PaperSuite {
    /// The device.
    pub device: String,
    /// The rows of the table.
    pub rows: Vec<Row>,
    /// Energy of a picture and its answer against running all of the model on one accelerator, for each that can; the
    /// difference as a share.
    pub monolithic: Vec<(String, f64)>,
    /// Figures of the profile that were fitted, and to what.
    pub fitted: Vec<FittedFigure>,
    /// What the paper does not say and is assumed here.
    pub assumed: Vec<String>,
    /// The policies, over many days.
    pub study: Study,
}

/// A figure of the profile that was fitted.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FittedFigure {
    /// Where it stands: `power.standby`.
    pub place: String,
    /// It, with its unit.
    pub value: String,
    /// To what.
    pub to: String,
}

/// Why there is no suite.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuiteError {
    /// The device's profile cannot be read.
    #[error(transparent)]
    Device(#[from] DeviceProfileError),
    /// Something could not be simulated.
    #[error(transparent)]
    Simulation(#[from] SimulationError),
    /// Something could not be forecast.
    #[error(transparent)]
    Forecast(#[from] ForecastError),
    /// A graph of the suite is not sound; never in a released version.
    #[error("{0}")]
    Graph(Report),
}

impl PaperSuite {
    /// Simulates all of it: the table once, the study for `days` days, drawn from the seeds 1, 2, …. `models` knows the shapes
    /// of models; `progress` hears how many of how many simulations are done.
    ///
    /// # Errors
    /// Something cannot be simulated: never in a released version.
    pub fn run(
        days: u64,
        models: &dyn ModelCatalogue,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<PaperSuite, SuiteError> {
        let device = Arc::new(DeviceProfile::find(DEVICE)?);
        let bench = Bench { device: device.clone(), models };
        let total = paper::SIMULATIONS + days as usize * study::POLICIES.len();
        let mut done = 0;
        let mut step = || {
            done += 1;
            progress(done, total);
        };
        let (rows, monolithic) = paper::table(&bench, &mut step)?;
        let study = Study::over(days, &bench, &mut step)?;
        Ok(PaperSuite {
            device: device.name.clone(),
            rows,
            monolithic,
            fitted: fitted(&device),
            assumed: paper::ASSUMED.map(str::to_owned).to_vec(),
            study,
        })
    }
}

fn fitted(device: &DeviceProfile) -> Vec<FittedFigure> {
    let figures = device.fitted().map(|figure| FittedFigure {
        place: figure.place,
        value: figure.value,
        to: figure.origin.to_string(),
    });
    figures.collect()
}

/// What every simulation of the suite shares.
struct Bench<'a> {
    device: Arc<DeviceProfile>,
    models: &'a dyn ModelCatalogue,
}

impl Bench<'_> {
    /// The simulation of a scenario on the board.
    fn simulation(&self, scenario: Scenario, seed: u64, policy: PowerPolicy) -> Simulation {
        Simulation { scenario, seed, policy: Some(policy), ..Simulation::of(self.device.clone()) }
    }

    /// A graph of the suite, checked, with parameters set.
    fn plan(&self, text: &str, params: &[(&str, &str)]) -> Result<Plan, SuiteError> {
        let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let overrides = Overrides { params, ..Overrides::none() };
        let loader: &dyn Loader = &NoFiles;
        let simulation = Simulation::of(self.device.clone());
        simulation.check(Source::new("paper.ron", text), &overrides, loader, self.models)?.map_err(SuiteError::Graph)
    }
}
