//! The suite against what it promises, and the forecast against the simulation over it.

use nanomind_bricks::store::{Store, StoreSettings};
use nanomind_graphs::PowerPolicy;

use super::super::BatteryChoice;
use super::study::POLICIES;
use super::*;
use crate::forecast::Forecast;
use crate::models::StoredModels;

/// Models by their shapes; nothing is stored.
fn shapes() -> StoredModels {
    let nowhere = tempfile::tempdir().unwrap();
    let home = |name: &str| (name == "NANOMIND_HOME").then(|| nowhere.path().as_os_str().to_owned());
    StoredModels::new(Store::open(StoreSettings::from_variables(home).unwrap())).with_shapes()
}

fn bench(models: &StoredModels) -> Bench<'_> {
    Bench { device: Arc::new(DeviceProfile::find(DEVICE).unwrap()), models }
}

/// Simulated and expected hours of a battery.
fn both(bench: &Bench<'_>, plan: &Plan, scenario: &Scenario, seed: u64, policy: PowerPolicy) -> (f64, f64) {
    let simulated = bench.simulation(scenario.clone(), seed, policy).run(plan).unwrap();
    let expected = Forecast::of_policy(plan, &bench.device, BatteryChoice::Own, scenario, seed, policy).unwrap();
    (simulated.hours_to_empty().unwrap(), expected.hours.unwrap())
}

#[test]
fn the_forecast_is_within_a_tenth_of_the_simulation_over_the_suite() {
    let models = shapes();
    let bench = bench(&models);
    let mut apart = Vec::new();
    let mut compare = |what: String, (simulated, expected): (f64, f64)| {
        let ratio = expected / simulated;
        if (ratio - 1.0).abs() > 0.10 {
            apart.push(format!("{what}: simulated {simulated:.2} h, expected {expected:.2} h"));
        }
    };
    for (name, scenario, policy, params) in paper::cases() {
        let plan = bench.plan(WATCH, params).unwrap();
        compare(name.to_owned(), both(&bench, &plan, &scenario, 0, policy));
    }
    let assistant = bench.plan(ASSISTANT, &[]).unwrap();
    for policy in POLICIES {
        for seed in 1..=2 {
            let hours = both(&bench, &assistant, &Scenario::day(), seed, policy);
            compare(format!("assistant, {policy}, day {seed}"), hours);
        }
    }
    assert!(apart.is_empty(), "{apart:#?}");
}

#[test]
fn a_row_that_is_more_than_a_tenth_apart_is_explained_and_what_was_fitted_is_never_a_prediction() {
    let models = shapes();
    let mut heard = Vec::new();
    let suite = PaperSuite::run(1, &models, &mut |done, all| heard.push((done, all))).unwrap();
    assert_eq!(heard.last(), Some(&(heard.len(), heard.len())), "all of it was heard of");
    for row in &suite.rows {
        let apart = (row.ratio() - 1.0).abs() > 0.10;
        assert_eq!(apart, row.difference.is_some(), "{row:?}");
    }
    let fitted: Vec<&str> = suite.fitted.iter().map(|figure| figure.place.as_str()).collect();
    assert_eq!(
        fitted,
        ["power.standby", "battery.usable"],
        "a further one must be told of in the rows that rest on it"
    );
    let basis = |what: &str| suite.rows.iter().filter(|row| row.what == what).map(|row| row.basis).collect::<Vec<_>>();
    // Both figures were fitted to the cascade's; the other rows rest on neither or on the battery alone.
    assert_eq!(basis("cascade"), [Basis::Fitted; 2]);
    assert_eq!(basis("energy against monolithic"), [Basis::Predicted]);
    assert!(suite.study.policies[0].policy.starts_with("Adaptive"));
    let lives: Vec<f64> = suite.study.policies.iter().map(PolicyResult::mean_hours).collect();
    assert!(lives.iter().all(|hours| *hours > 0.5 && *hours < 48.0), "{lives:?}");
}
