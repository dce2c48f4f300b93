//! A day of a board that is not at hand: clock, accelerators, ledger and battery together, through the public face.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nanomind_hal::profile::DeviceProfile;
use nanomind_hal::{
    Accelerator, BatteryReading, BatterySettings, Clock, CoreLease, EnergyLedger, EnergyStatement, JobClass, JobCost,
    JobLabel, JobOrder, MicroJoules, Phase, PowerModel, SimulatedBattery, Timestamp,
};

/// A picture every half minute, and an answer of 40 tokens to each.
const EVERY: Duration = Duration::from_secs(30);
const TOKENS: u32 = 40;

/// What a picture takes on the neural processor, and a token on the graphics processor.
const PICTURE: JobCost = JobCost { flops: 500_000_000_000, bytes: 400_000_000 };
const TOKEN: JobCost = JobCost { flops: 1_000_000_000, bytes: 350_000_000 };

/// How a day went.
#[derive(Debug, PartialEq)]
struct Day {
    statement: EnergyStatement,
    answers: Vec<Timestamp>,
    battery: BatteryReading,
    remaining: MicroJoules,
    emptied_at: Option<Timestamp>,
}

fn day(device: &DeviceProfile) -> Day {
    let (clock, runtime) = Clock::simulated(SystemTime::UNIX_EPOCH).expect("a runtime");
    let lease = CoreLease::new();
    let start = |name: &str| {
        Accelerator::simulated(device, name.parse().expect(name), lease.clone(), clock.clone()).expect(name)
    };
    let (npu, gpu) = (start("npu"), start("gpu"));
    let settings = BatterySettings::of(device.battery.as_ref().expect("a battery"));
    let battery = SimulatedBattery::new(clock.now(), settings);
    let mut ledger = EnergyLedger::new(clock.now(), Some(PowerModel::new(device)));
    let order = |node: &str, phase, cost| JobOrder {
        label: JobLabel { node: node.into(), phase, tokens: 1 },
        class: JobClass::Decode,
        cost,
    };
    let (eye, mind): (Arc<str>, Arc<str>) = ("eye".into(), "mind".into());
    let mut answers = Vec::new();
    runtime.block_on(async {
        let mut pictures = clock.interval(EVERY);
        while clock.now() < Timestamp::from_nanos(86_400_000_000_000) {
            pictures.tick().await;
            let seen = npu.submit(order("eye", Phase::Encode, PICTURE), |_| "a cup").await.expect("a result");
            ledger.charge(&eye, npu.id(), seen.timing.ran());
            for _ in 0..TOKENS {
                let said =
                    gpu.submit(order("mind", Phase::Decode, TOKEN), move |_| seen.value).await.expect("a result");
                ledger.charge(&mind, gpu.id(), said.timing.ran());
            }
            answers.push(clock.now());
            let window = ledger.settle(clock.now(), None).energy;
            battery.draw(clock.now(), window.amount().expect("a model"));
        }
    });
    Day {
        statement: ledger.statement(),
        answers,
        battery: battery.read(clock.now()),
        remaining: battery.remaining(),
        emptied_at: battery.emptied_at(),
    }
}

#[test]
fn a_day_takes_the_energy_that_the_model_says_and_goes_twice_the_same() {
    let device = DeviceProfile::find("rk3566").expect("a profile");
    let first = day(&device);
    assert_eq!(first, day(&device));
    assert_eq!(first.answers.len(), 2_880 + 1, "a picture at the very end, too");

    // The same by hand: watts and gigabytes of the profile, nothing of the product's code.
    let picture_s = 500e-6 + 500e9 / (800e9 * 0.42);
    let (computed_s, read_s) = (1e9 / (51e9 * 0.45), 350e6 / (8.4e9 * 0.75));
    let token_s = 400e-6 + f64::max(computed_s, read_s);
    let busy_s = picture_s + f64::from(TOKENS) * token_s;
    let last = first.answers.last().expect("an answer").as_secs_f64();
    assert!((last - (86_400.0 + busy_s)).abs() < 1e-3, "the day ended at {last} s");
    let count = first.answers.len() as f64;
    let joules = |energy: nanomind_hal::Energy| energy.amount().expect("an amount").joules();
    let (eye, mind) = (joules(first.statement.owners["eye"]), joules(first.statement.owners["mind"]));
    assert!((eye - count * picture_s * 1.1).abs() < 0.01, "the eye took {eye} J");
    assert!((mind - count * f64::from(TOKENS) * token_s * 1.7).abs() < 0.01, "the mind took {mind} J");
    assert!((joules(first.statement.unattributed) - last * 0.85).abs() < 0.01, "{}", first.statement.unattributed);

    // All of it came out of the battery, which was empty when its energy was gone.
    assert_eq!((first.battery.level.fraction(), first.remaining), (0.0, MicroJoules::ZERO));
    let usable = 2.0 * 3.7 * 0.953 * 3_600.0;
    let watts = (eye + mind + last * 0.85) / last;
    let emptied = first.emptied_at.expect("it ran empty").as_secs_f64();
    assert!((emptied - usable / watts).abs() < EVERY.as_secs_f64(), "empty at {emptied} s at a mean of {watts} W");
}
