//! Whether a scenario fits a graph and a device: what it speaks of must be there.

use nanomind_graphs::{Plan, Role, nearest_word};
use nanomind_hal::profile::DeviceProfile;

use super::{Failing, Scenario, ScenarioError};

impl Scenario {
    /// Checks that the sensors and accelerators that it speaks of are there.
    pub(crate) fn check(&self, plan: &Plan, device: &DeviceProfile) -> Result<(), ScenarioError> {
        let sensors = plan.nodes().iter().filter(|node| node.role == Role::Sensor).map(|node| node.name.clone());
        let sensors: Vec<String> = sensors.collect();
        let accelerators: Vec<String> = device.accelerators.iter().map(|one| one.id.to_string()).collect();
        for (number, fault) in self.faults.iter().enumerate() {
            match &fault.what {
                Failing::Sensor(name) => self.one_of(format!("faults[{number}].node"), "a sensor", name, &sensors)?,
                Failing::Accelerator(id) => {
                    let field = format!("faults[{number}].name");
                    self.one_of(field, "an accelerator", &id.to_string(), &accelerators)?;
                }
                Failing::Meter => {}
            }
        }
        for (number, recorded) in self.recorded.iter().enumerate() {
            self.one_of(format!("recorded[{number}].sensor"), "a sensor", &recorded.sensor, &sensors)?;
        }
        Ok(())
    }

    fn one_of(&self, field: String, what: &str, found: &str, there: &[String]) -> Result<(), ScenarioError> {
        if there.iter().any(|name| name == found) {
            return Ok(());
        }
        let expected = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
        Err(ScenarioError::Stranger {
            name: self.name.clone(),
            field,
            expected: format!("{what} that is there ({expected})"),
            found: found.to_owned(),
            suggestion: nearest_word(found, there.iter().map(String::as_str)).map(str::to_owned),
        })
    }
}
