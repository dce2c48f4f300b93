//! The paper's table, and what the same board comes to here.

use std::time::Duration;

use nanomind_graphs::{Plan, PowerPolicy};
use serde::Serialize;

use super::super::scenario::{Motion, Moving};
use super::super::{BatteryChoice, Scenario, SimulationReport};
use super::{Bench, SuiteError, WATCH};
use crate::forecast::Forecast;

/// How many simulations the table takes.
pub(super) const SIMULATIONS: usize = 4;
/// Two figures that differ by more are explained.
const NEAR: f64 = 0.10;

/// What the paper leaves open.
pub(super) const ASSUMED: [&str; 3] = [
    "pictures are 384 by 384 pixels, the least that LLaVA-OneVision takes: two squares, 1,485 rows",
    "in the cascade something happens once an hour: one picture is looked at and described in some 40 tokens; that often \
     because it comes near the paper's 18.8 h, so this row is fitted in that, too",
    "language in Q4_0 with a head of Q8_0, vision in Q8_0 (F16 where a row is no whole number of blocks)",
];

/// What a figure of ours rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// On nothing that was fitted to it.
    Predicted,
    /// On figures of the profile that were fitted to the paper's.
    Fitted,
}

/// A row of the table.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    /// What it is about.
    pub what: String,
    /// The unit.
    pub unit: String,
    /// The paper's figure.
    pub paper: f64,
    /// Ours, as simulated.
    pub ours: f64,
    /// What the forecast says, where it says something of the kind.
    pub forecast: Option<f64>,
    /// What ours rests on.
    pub basis: Basis,
    /// Why the two differ, if they do by more than a tenth.
    pub difference: Option<String>,
}

impl Row {
    /// Ours over the paper's.
    pub fn ratio(&self) -> f64 {
        self.ours / self.paper
    }

    fn new(what: &str, unit: &str, paper: f64, (ours, forecast): (f64, Option<f64>), basis: Basis, why: &str) -> Row {
        let row = Row { what: what.to_owned(), unit: unit.to_owned(), paper, ours, forecast, basis, difference: None };
        let differs = (row.ratio() - 1.0).abs() > NEAR;
        Row { difference: differs.then(|| why.to_owned()), ..row }
    }
}

/// A simulation with what was forecast of it.
struct Run {
    report: SimulationReport,
    hours: f64,
    watts: f64,
    expected_hours: Option<f64>,
    expected_watts: Option<f64>,
}

impl Run {
    fn of(bench: &Bench<'_>, plan: &Plan, scenario: Scenario, policy: PowerPolicy) -> Result<Run, SuiteError> {
        let report = bench.simulation(scenario.clone(), 0, policy).run(plan)?;
        let forecast = Forecast::of_policy(plan, &bench.device, BatteryChoice::Own, &scenario, 0, policy)?;
        Ok(Run {
            hours: report.hours_to_empty().unwrap_or(f64::INFINITY),
            watts: report.mean_watts.unwrap_or(0.0),
            report,
            expected_hours: forecast.hours,
            expected_watts: Some(forecast.mean_watts),
        })
    }

    /// Joules of one answer, the board's included.
    fn joules_an_answer(&self) -> f64 {
        self.watts * self.report.hours * 3600.0 / self.report.requests.answered.max(1) as f64
    }
}

/// Where all of the model can run.
const MONOLITHIC_ON: [&str; 2] = ["gpu", "cpu"];

/// A simulation of the table: its name, what happens, the policy, and where the bricks stand.
type Case = (&'static str, Scenario, PowerPolicy, &'static [(&'static str, &'static str)]);

/// What is simulated for the table.
pub(super) fn cases() -> [Case; SIMULATIONS] {
    let full = PowerPolicy::Performance;
    [
        ("parallel mode", nothing_happens(), full, &[]),
        ("cascade", something_every_hour(), PowerPolicy::PowerSaver, &[]),
        ("monolithic on gpu", nothing_happens(), full, &[("eye_on", "gpu"), ("mind_on", "gpu")]),
        ("monolithic on cpu", nothing_happens(), full, &[("eye_on", "cpu"), ("mind_on", "cpu")]),
    ]
}

/// The rows, and the energy against running everything on one accelerator, by accelerator.
type Table = (Vec<Row>, Vec<(String, f64)>);

/// Simulates what the table needs.
pub(super) fn table(bench: &Bench<'_>, step: &mut dyn FnMut()) -> Result<Table, SuiteError> {
    let mut runs = Vec::new();
    for (_, scenario, policy, params) in cases() {
        runs.push(Run::of(bench, &bench.plan(WATCH, params)?, scenario, policy)?);
        step();
    }
    let [parallel, cascade, monolithic @ ..] = &runs[..] else { return Ok((Vec::new(), Vec::new())) };
    let against = |(run, accelerator): (&Run, &&str)| {
        ((*accelerator).to_owned(), parallel.joules_an_answer() / run.joules_an_answer() - 1.0)
    };
    let monolithic: Vec<(String, f64)> = monolithic.iter().zip(&MONOLITHIC_ON).map(against).collect();
    let busy = |node: &str| {
        let brick = parallel.report.bricks.iter().filter(|brick| brick.node == node);
        let ran: f64 = brick.flat_map(|brick| &brick.ran_on).map(|on| on.run_ms).sum();
        100.0 * ran / (parallel.report.hours * 3600e3)
    };
    let why_parallel = format!(
        "the GPU is what all wait for: it works {:.0} % of the time, the NPU {:.0} %. The profile charges the processor nothing \
         for the camera, for feeding the two and for the system; {:.1} W for that would close the gap",
        busy("mind"),
        busy("eye") + busy("projector"),
        PARALLEL_W - parallel.watts,
    );
    let of = |run: &Run| ((run.hours, run.expected_hours), (run.watts, run.expected_watts));
    let ((hours, watts), (rest_hours, rest_watts)) = (of(parallel), of(cascade));
    let saved = monolithic.first().map_or(0.0, |(_, difference)| 100.0 * difference);
    let rows = vec![
        Row::new("parallel mode", "h", 2.4, hours, Basis::Predicted, &why_parallel),
        Row::new("parallel mode", "W", PARALLEL_W, watts, Basis::Predicted, &why_parallel),
        Row::new("cascade", "h", 18.8, rest_hours, Basis::Fitted, WHY_CASCADE),
        Row::new("cascade", "W", 0.375, rest_watts, Basis::Fitted, WHY_CASCADE),
        Row::new("energy against monolithic", "%", -42.3, (saved, None), Basis::Predicted, WHY_MONOLITHIC),
    ];
    Ok((rows, monolithic))
}

const WHY_CASCADE: &str =
    "the paper does not say how often something happens in its 18.8 hours; here it is once an hour";
/// What the paper's board draws in parallel mode, about.
const PARALLEL_W: f64 = 3.0;
const WHY_MONOLITHIC: &str = "monolithic is the whole model on the GPU, all of it in memory, one step after the other. By the \
    profile's peaks and sustained shares the NPU encodes 15 times as fast as the GPU, so taking vision off the GPU saves more \
    than the paper measured. On the processor, whose 8-bit products the profile has at 3.5 times the GPU's 16-bit ones, all \
    of the model would take less energy than its parts where the paper has them";

/// Nobody asks and nothing moves; the camera takes its pictures all the same.
fn nothing_happens() -> Scenario {
    Scenario { picture: (384, 384), ..Scenario::default() }
}

/// Something shows up for a moment, every hour on the half hour: one picture.
fn something_every_hour() -> Scenario {
    let moving = |hour: u64| Moving { time: Duration::from_secs(hour * 3600 + 1800), lasts: Duration::ZERO };
    Scenario {
        name: "something happens once an hour".to_owned(),
        motion: Motion { at: (0..24).map(moving).collect(), ..Motion::default() },
        ..nothing_happens()
    }
}
