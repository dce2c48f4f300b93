//! The forecast: how long a battery lasts with a graph, by the shapes of its models and the profile of its device, before
//! anything runs.
//!
//! It takes the day of a [`Scenario`] as a simulation does, asks the governor's own decision function what it would do at
//! each level of the battery, and sends requests from brick to brick as a whole: what a brick takes is the sum of the jobs
//! that it would cut its work into. What it leaves out, and a simulation has: jobs of one accelerator that come between
//! each other, chargers, faults, holds and heat.

mod arrivals;
mod brick;
mod course;
mod device;
mod flow;
mod steering;

use nanomind_bricks::GgufError;
use nanomind_graphs::{FieldError, Plan, PowerPolicy};
use nanomind_hal::profile::DeviceProfile;

use crate::simulation::{BatteryChoice, Scenario};
use arrivals::Arrivals;
use brick::Demand;
use course::Course;
use device::Device;
use flow::{Flow, SourceKind};
use steering::Steering;

/// A course is followed for so many days at most.
const MOST_DAYS: f64 = 60.0;

/// How long a battery lasts with a graph, by power policy.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Forecast {
    /// The device.
    pub device: String,
    /// The scenario: what is asked, and when something moves.
    pub scenario: String,
    /// What the battery gives, in watt-hours; none on mains.
    pub usable_wh: Option<f64>,
    /// What comes of each policy: of the three modes, and of the graph's own policy where that goes by the battery.
    pub outlooks: Vec<Outlook>,
}

/// What comes of a policy.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Outlook {
    /// The policy.
    pub policy: String,
    /// Hours until the battery is empty; none on mains, or where it lasts for more than sixty days.
    pub hours: Option<f64>,
    /// What the device takes until then in the mean, or through the scenario, in watts.
    pub mean_watts: f64,
    /// Requests that are answered in that time.
    pub answered: u64,
    /// Seconds from asking to the end of the answer, in the mean; none where nothing is answered.
    pub answer_seconds: Option<f64>,
}

/// Why there is no forecast.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForecastError {
    /// The shape of a model cannot be read.
    #[error(transparent)]
    Shape(#[from] GgufError),
    /// A field of a node is not what its kind says; never for a plan that was checked.
    #[error(transparent)]
    Field(#[from] FieldError),
}

impl Forecast {
    /// What is to be expected of a plan that was checked for `device`, living on `battery` through days like `scenario`,
    /// as `seed` draws them.
    ///
    /// # Errors
    /// The shape of a model cannot be read.
    pub fn of(
        plan: &Plan,
        device: &DeviceProfile,
        battery: BatteryChoice,
        scenario: &Scenario,
        seed: u64,
    ) -> Result<Forecast, ForecastError> {
        let mut policies = vec![PowerPolicy::Performance, PowerPolicy::Balanced, PowerPolicy::PowerSaver];
        if !policies.contains(&plan.power()) {
            policies.push(plan.power());
        }
        let outlooks =
            policies.iter().map(|policy| Forecast::of_policy(plan, device, battery, scenario, seed, *policy));
        Ok(Forecast {
            device: device.name.clone(),
            scenario: scenario.name.clone(),
            usable_wh: battery.usable_wh(device),
            outlooks: outlooks.collect::<Result<_, _>>()?,
        })
    }

    /// What is to be expected of one policy, in place of the plan's.
    ///
    /// # Errors
    /// The shape of a model cannot be read.
    pub fn of_policy(
        plan: &Plan,
        profile: &DeviceProfile,
        battery: BatteryChoice,
        scenario: &Scenario,
        seed: u64,
        policy: PowerPolicy,
    ) -> Result<Outlook, ForecastError> {
        let device = Device::new(profile);
        let flow = Flow::of(plan, scenario)?;
        let arrivals: Vec<Arrivals<'_>> =
            flow.sources.iter().map(|source| Arrivals::new(source, scenario, seed)).collect();
        let day = scenario.lasts.as_secs_f64();
        let joules = battery.usable_wh(profile).map(|wh| wh * 3600.0);
        let steering = Steering::new(&device, policy, &flow.bricks, typical(&arrivals));
        let end = if joules.is_some() { day * MOST_DAYS } else { day };
        let ended = Course::new(&device, flow.bricks, steering, joules, scenario.level).run(arrivals, end);
        let answered = ended.answered;
        Ok(Outlook {
            policy: policy.to_string(),
            hours: ended.empty.then_some(ended.seconds / 3600.0),
            mean_watts: ended.joules / ended.seconds.max(1e-9),
            answered,
            answer_seconds: (answered > 0).then(|| ended.waited / answered as f64),
        })
    }
}

/// What a request of the graph is like: one of the sensor that makes the most.
fn typical(arrivals: &[Arrivals<'_>]) -> Demand {
    let busiest = arrivals.iter().find(|one| matches!(one.source.kind, SourceKind::Film { .. })).or(arrivals.first());
    busiest.map_or(Demand { picture: None, question: 0, answer: 0 }, Arrivals::typical)
}
