//! What a recorded run would have come to under another power policy: its arrivals, simulated on its device.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nanomind_graphs::{ModelCatalogue, PowerPolicy, Report};
use nanomind_hal::profile::{DeviceProfile, DeviceProfileError};
use nanomind_hal::{Energy, Timestamp};
use serde::Serialize;

use super::reader::{ReadError, RunLogReader};
use super::record::{Arrival, Brought, Header, Record};
use crate::request::{RequestEnd, RequestId};
use crate::simulation::{
    self, BatteryChoice, Charging, Percentiles, Recorded, Scenario, Simulation, SimulationError, SimulationReport,
};

/// A text is taken to have one token for so many bytes: the log has no tokens of what was asked.
const BYTES_A_TOKEN: u64 = 4;

/// A charger that was there is taken to give this much: the log has only that it was there.
const CHARGER_WATTS: f64 = 10.0;

/// What a recorded run came to, and what a simulation of it comes to.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Counterfactual {
    /// The device that was simulated.
    pub device: String,
    /// What was recorded.
    pub recorded: Outcome,
    /// The same arrivals simulated under the same policy.
    pub simulated: Outcome,
    /// The same simulated under the other one.
    pub otherwise: Outcome,
    /// What the simulations assume, since the log does not say it.
    pub assumed: Vec<String>,
}

/// What came of a run.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Outcome {
    /// The power policy.
    pub policy: String,
    /// How long it was, in hours.
    pub hours: f64,
    /// What it took.
    pub energy: Energy,
    /// Requests that came.
    pub requests: u64,
    /// Requests that were answered.
    pub answered: u64,
    /// Requests that were dropped.
    pub dropped: u64,
    /// From a request to the end of its answer; nothing where none was answered.
    pub latency: Option<Percentiles>,
    /// How full the battery was at the end, 0 to 1; nothing where there was none.
    pub level_at_end: Option<f64>,
    /// When the battery was empty, in hours; nothing where it never was.
    pub empty_after_hours: Option<f64>,
}

/// Why nothing could be simulated.
#[derive(Debug, thiserror::Error)]
pub enum CounterfactualError {
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log does not say which device it was.
    #[error("the log does not say which device ran it: expected the name or profile of one, found none")]
    NoDevice,
    /// The profile in the log is wrong.
    #[error(transparent)]
    Device(#[from] DeviceProfileError),
    /// The graph of the log does not fit the device.
    #[error("the graph of the log cannot be simulated")]
    Graph(Box<Report>),
    /// The simulation could not be made.
    #[error(transparent)]
    Simulation(#[from] SimulationError),
}

/// Another world than that of the log.
#[derive(Clone, Default, Debug)]
pub struct Instead {
    /// The device; without one, that of the log.
    pub device: Option<Arc<DeviceProfile>>,
    /// The battery; without one, as full and as large as the log has it.
    pub battery: Option<BatteryChoice>,
}

/// Simulates the arrivals of a log under its own policy and under another one.
///
/// # Errors
/// The log cannot be read, says nothing of its device, or cannot be simulated there.
pub fn counterfactual(
    log: &mut RunLogReader,
    policy: PowerPolicy,
    instead: &Instead,
    models: &dyn ModelCatalogue,
) -> Result<Counterfactual, CounterfactualError> {
    let header = log.header().clone();
    let device = match (&instead.device, &header.device) {
        (Some(device), _) => device.clone(),
        (None, Some(device)) => Arc::new(DeviceProfile::parse(device.name.as_ref(), &device.text)?),
        (None, None) => return Err(CounterfactualError::NoDevice),
    };
    let mut gathered = Gathered::new(&header);
    for record in log {
        gathered.add(&record?);
    }
    let simulation = Simulation {
        battery: instead.battery.unwrap_or_else(|| battery(&header, &device)),
        scenario: gathered.scenario(&header),
        ..Simulation::of(device.clone())
    };
    let checked = simulation.check(header.graph.source(), &header.graph.overrides(), &header.graph, models)?;
    let plan = checked.map_err(|report| CounterfactualError::Graph(Box::new(report)))?;
    let under = |policy| -> Result<Outcome, SimulationError> {
        let simulation = Simulation { policy: Some(policy), ..simulation.clone() };
        Ok(outcome(&simulation.run(&plan)?))
    };
    Ok(Counterfactual {
        device: device.name.clone(),
        recorded: gathered.outcome(&header),
        simulated: under(header.policy)?,
        otherwise: under(policy)?,
        assumed: gathered.assumed(),
    })
}

/// The battery that the log has.
fn battery(header: &Header, device: &DeviceProfile) -> BatteryChoice {
    match header.battery {
        None => BatteryChoice::Mains,
        Some(start) => start.full_wh.map_or(BatteryChoice::Own, |full| {
            // A choice says what the label says, of which the device uses a share.
            BatteryChoice::WattHours(full / device.battery.as_ref().map_or(1.0, |own| own.usable.value.get()))
        }),
    }
}

fn outcome(report: &SimulationReport) -> Outcome {
    Outcome {
        policy: report.policy.clone(),
        hours: report.hours,
        energy: report.energy,
        requests: report.requests.minted,
        answered: report.requests.answered,
        dropped: report.requests.dropped,
        latency: report.end_to_end,
        level_at_end: report.battery.map(|battery| battery.level_at_end),
        empty_after_hours: report.battery.and_then(|battery| battery.empty_after_hours),
    }
}

/// What of a log matters here.
struct Gathered {
    started: Timestamp,
    ended: Timestamp,
    arrivals: Vec<Arrival>,
    /// Generated tokens, by request.
    answers: BTreeMap<RequestId, u64>,
    ends: BTreeMap<RequestId, (Timestamp, RequestEnd)>,
    energy: Energy,
    level: Option<f64>,
    charging: Vec<(Timestamp, Option<Timestamp>)>,
}

impl Gathered {
    fn new(header: &Header) -> Gathered {
        Gathered {
            started: header.started,
            ended: header.started,
            arrivals: Vec::new(),
            answers: BTreeMap::new(),
            ends: BTreeMap::new(),
            energy: Energy::Unmeasured,
            level: header.battery.map(|start| start.level),
            charging: Vec::new(),
        }
    }

    fn add(&mut self, record: &Record) {
        self.ended = self.ended.max(record.at());
        match record {
            Record::Arrival(arrival) => self.arrivals.push(arrival.clone()),
            Record::Answer(answer) => *self.answers.entry(answer.request).or_insert(0) += answer.generated_tokens,
            Record::Ended(ended) => {
                self.ends.insert(ended.request, (ended.at, ended.end));
            }
            Record::Battery(battery) => {
                self.level = Some(battery.level);
                match (self.charging.last_mut(), battery.charging) {
                    (Some((_, until @ None)), false) => *until = Some(battery.at),
                    (Some((_, None)), true) | (None, false) => {}
                    (Some((_, Some(_))), false) => {}
                    (_, true) => self.charging.push((battery.at, None)),
                }
            }
            Record::Energy(taken) => self.energy = taken.total,
            Record::Header(_) | Record::Governor(_) | Record::End(_) => {}
        }
    }

    /// The moment as a time of the scenario.
    fn time(&self, at: Timestamp) -> Duration {
        at.since(self.started)
    }

    fn scenario(&self, header: &Header) -> Scenario {
        let mean = self.answers.values().sum::<u64>().checked_div(self.answers.len() as u64).unwrap_or(0);
        let mean = u32::try_from(mean).unwrap_or(u32::MAX).max(1);
        let charging = self.charging.iter().map(|(from, until)| Charging {
            from: self.time(*from),
            to: self.time(until.unwrap_or(self.ended)),
            watts: CHARGER_WATTS,
        });
        let mut scenario = Scenario {
            name: format!("the arrivals of {}", header.graph.graph.path),
            lasts: self.time(self.ended),
            level: header.battery.map_or(1.0, |start| start.level),
            charging: charging.collect(),
            recorded: self.arrivals.iter().filter_map(|arrival| self.recorded(arrival, mean)).collect(),
            ..Scenario::default()
        };
        scenario.prompts.answers = mean..=mean;
        let mut sizes = self.arrivals.iter().filter_map(|arrival| match arrival.brought {
            Brought::Picture { width, height } => Some((width, height)),
            _ => None,
        });
        if let Some(size) = sizes.next_back() {
            scenario.picture = size;
        }
        scenario
    }

    fn recorded(&self, arrival: &Arrival, mean: u32) -> Option<Recorded> {
        let what = match arrival.brought {
            Brought::Text { bytes } => {
                let tokens = u32::try_from(bytes.div_ceil(BYTES_A_TOKEN)).unwrap_or(u32::MAX).max(1);
                let answer =
                    self.answers.get(&arrival.request).map(|tokens| u32::try_from(*tokens).unwrap_or(u32::MAX));
                simulation::Arrival::Question { tokens, answer: answer.unwrap_or(mean).max(1) }
            }
            Brought::Picture { .. } => simulation::Arrival::Frame { moving: true },
            Brought::Tokens { .. } | Brought::Event | Brought::Failure => return None,
        };
        Some(Recorded { sensor: arrival.sensor.clone(), time: self.time(arrival.at), what })
    }

    fn assumed(&self) -> Vec<String> {
        let mut assumed = Vec::new();
        if self.arrivals.iter().any(|arrival| matches!(arrival.brought, Brought::Text { .. })) {
            assumed.push(format!("a token for every {BYTES_A_TOKEN} bytes of a question"));
        }
        if self.arrivals.iter().any(|arrival| matches!(arrival.brought, Brought::Picture { .. })) {
            assumed.push("no frames beside those that were passed on, each with something that moved".to_owned());
        }
        if !self.charging.is_empty() {
            assumed.push(format!("a charger of {CHARGER_WATTS} W"));
        }
        assumed
    }

    fn outcome(&self, header: &Header) -> Outcome {
        let ended = |wanted| self.ends.values().filter(|(_, end)| *end == wanted).count() as u64;
        let answered = self.arrivals.iter().filter_map(|arrival| match self.ends.get(&arrival.request)? {
            (at, RequestEnd::Answered) => Some(at.since(arrival.at)),
            _ => None,
        });
        Outcome {
            policy: header.policy.to_string(),
            hours: self.time(self.ended).as_secs_f64() / 3_600.0,
            energy: self.energy,
            requests: self.arrivals.len() as u64,
            answered: ended(RequestEnd::Answered),
            dropped: ended(RequestEnd::Dropped),
            latency: Percentiles::of(answered.collect()),
            level_at_end: self.level,
            empty_after_hours: None,
        }
    }
}
