//! The energy ledger: what a run took, cut into what each owner took and a rest that is nobody's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::energy::{Energy, FemtoJoules, MicroJoules};
use super::model::{PowerModel, PowerState};
use crate::accelerator::AcceleratorId;
use crate::clock::Timestamp;

/// Books energy by owner, such as a brick. Busy times are charged as jobs end; from time to time the ledger is settled,
/// with what was measured since or else by the model. What a model says of an owner is its claim: where all claims come
/// to more than was measured, they are cut alike. Whatever the rounding, owners and rest sum to the total.
#[derive(Clone, Debug)]
pub struct EnergyLedger {
    model: Option<PowerModel>,
    state: PowerState,
    /// Up to when the floor is counted.
    counted: Timestamp,
    /// Up to when all is settled.
    settled: Timestamp,
    /// The floor of the model since then, and what it left below a microjoule before.
    floor: FemtoJoules,
    /// The claims since then, likewise.
    claims: BTreeMap<Arc<str>, Claim>,
    owners: BTreeMap<Arc<str>, Account>,
    unattributed: MicroJoules,
    total: MicroJoules,
    times: Times,
    /// The weakest of what the total is made of; none before anything is.
    weakest: Option<Origin>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Claim {
    energy: FemtoJoules,
    unpriced: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Account {
    energy: MicroJoules,
    /// Busy time of which nothing is known.
    unpriced: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    Measured,
    Estimated,
}

#[derive(Clone, Copy, Debug, Default)]
struct Times {
    measured: Duration,
    estimated: Duration,
    unmeasured: Duration,
}

impl EnergyLedger {
    /// A ledger that begins now, the device being awake. Without a model nothing can be said of owners.
    pub fn new(now: Timestamp, model: Option<PowerModel>) -> EnergyLedger {
        EnergyLedger {
            model,
            state: PowerState::Awake,
            counted: now,
            settled: now,
            floor: FemtoJoules::default(),
            claims: BTreeMap::new(),
            owners: BTreeMap::new(),
            unattributed: MicroJoules::ZERO,
            total: MicroJoules::ZERO,
            times: Times::default(),
            weakest: None,
        }
    }

    /// The device enters this state now.
    pub fn enter(&mut self, now: Timestamp, state: PowerState) {
        self.count_floor(now);
        self.state = state;
    }

    /// Charges an owner with the time that a job of it ran. Gives the claim, as the model has it; `None` where the model
    /// knows nothing of the accelerator.
    pub fn charge(&mut self, owner: &Arc<str>, accelerator: AcceleratorId, ran: Duration) -> Option<FemtoJoules> {
        let price = self.model.as_ref().and_then(|model| model.added_over(accelerator, ran));
        if !self.claims.contains_key(owner) {
            self.claims.insert(Arc::clone(owner), Claim::default());
        }
        let claim = self.claims.get_mut(owner)?;
        match price {
            Some(energy) => claim.energy += energy,
            None => claim.unpriced += ran,
        }
        price
    }

    /// Settles what was charged and what passed up to now: with what was measured since the ledger was settled before,
    /// or else by the model.
    pub fn settle(&mut self, now: Timestamp, measured: Option<MicroJoules>) -> Settlement {
        self.count_floor(now);
        let passed = now.since(self.settled);
        self.settled = self.settled.max(now);
        let claims = self.take_claims();
        let claimed: MicroJoules = claims.iter().map(|(_, energy)| *energy).sum();
        match measured {
            Some(total) => {
                self.floor = FemtoJoules::default();
                self.times.measured += passed;
                self.weakest = self.weakest.max(Some(Origin::Measured));
                Settlement { energy: Energy::Measured(total), shares: self.book(total, claims, claimed) }
            }
            None if self.model.is_some() => {
                let total = claimed + self.floor.take_whole();
                self.times.estimated += passed;
                self.weakest = Some(Origin::Estimated);
                Settlement { energy: Energy::Estimated(total), shares: self.book(total, claims, claimed) }
            }
            None => {
                self.times.unmeasured += passed;
                Settlement { energy: Energy::Unmeasured, shares: Vec::new() }
            }
        }
    }

    /// All that was settled so far.
    pub fn statement(&self) -> EnergyStatement {
        let label = |amount, origin| match origin {
            None => Energy::Unmeasured,
            Some(Origin::Measured) => Energy::Measured(amount),
            Some(Origin::Estimated) => Energy::Estimated(amount),
        };
        let owner = |account: &Account| match account {
            Account { energy: MicroJoules::ZERO, unpriced } if !unpriced.is_zero() => Energy::Unmeasured,
            // However the total was measured, a model cut it.
            account => label(account.energy, self.weakest.map(|_| Origin::Estimated)),
        };
        // The rest of what was measured is as good as what was taken from it.
        let rest = if self.unattributed == self.total { self.weakest } else { Some(Origin::Estimated) };
        EnergyStatement {
            until: self.settled,
            total: label(self.total, self.weakest),
            owners: self.owners.iter().map(|(name, account)| (Arc::clone(name), owner(account))).collect(),
            unattributed: label(self.unattributed, rest),
            measured: self.times.measured,
            estimated: self.times.estimated,
            unmeasured: self.times.unmeasured,
        }
    }

    fn count_floor(&mut self, now: Timestamp) {
        if let Some(model) = &self.model {
            self.floor += model.floor_over(self.state, now.since(self.counted));
        }
        self.counted = self.counted.max(now);
    }

    /// The claims in whole microjoules; what is left of them waits for the next time.
    fn take_claims(&mut self) -> Vec<(Arc<str>, MicroJoules)> {
        let mut taken = Vec::with_capacity(self.claims.len());
        for (name, claim) in &mut self.claims {
            if !self.owners.contains_key(name) {
                self.owners.insert(Arc::clone(name), Account::default());
            }
            if let Some(account) = self.owners.get_mut(name) {
                account.unpriced += std::mem::take(&mut claim.unpriced);
            }
            taken.push((Arc::clone(name), claim.energy.take_whole()));
        }
        taken
    }

    /// Books a total, and gives what of it each owner took.
    fn book(
        &mut self,
        total: MicroJoules,
        claims: Vec<(Arc<str>, MicroJoules)>,
        claimed: MicroJoules,
    ) -> Vec<(Arc<str>, MicroJoules)> {
        let mut attributed = MicroJoules::ZERO;
        let mut shares = claims;
        for (name, share) in &mut shares {
            if claimed > total {
                let part = u128::from(share.get()) * u128::from(total.get()) / u128::from(claimed.get());
                // A share of the total is no more than it.
                *share = MicroJoules::new(u64::try_from(part).unwrap_or(u64::MAX));
            }
            attributed += *share;
            if let Some(account) = self.owners.get_mut(name) {
                account.energy += *share;
            }
        }
        self.unattributed += total.saturating_sub(attributed);
        self.total += total;
        shares
    }
}

/// What a ledger settled at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The energy since it was settled before.
    pub energy: Energy,
    /// What each owner took of it; the rest is nobody's. Of what is unmeasured nobody took anything that is known.
    pub shares: Vec<(Arc<str>, MicroJoules)>,
}

/// What a ledger says: owners and rest sum to the total.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnergyStatement {
    /// Up to when it goes.
    pub until: Timestamp,
    /// All energy.
    pub total: Energy,
    /// What each owner took.
    pub owners: BTreeMap<Arc<str>, Energy>,
    /// What nobody took: the board, the screen, an idle processor.
    pub unattributed: Energy,
    /// How long the energy was measured.
    pub measured: Duration,
    /// How long it was estimated by the model.
    pub estimated: Duration,
    /// How long nothing was known of it; the total does not have that time in it.
    pub unmeasured: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::DeviceProfile;
    use proptest::prelude::*;

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_nanos((seconds * 1e9) as u64)
    }

    fn rk3566() -> Option<PowerModel> {
        Some(PowerModel::new(&DeviceProfile::find("rk3566").expect("a profile")))
    }

    fn owners(statement: &EnergyStatement) -> Vec<String> {
        statement.owners.iter().map(|(name, energy)| format!("{name}: {energy}")).collect()
    }

    fn id(name: &str) -> AcceleratorId {
        name.parse().expect(name)
    }

    #[test]
    fn without_a_meter_the_model_says_what_each_brick_and_the_board_took() {
        let mut ledger = EnergyLedger::new(at(1.0), rk3566());
        ledger.charge(&"eye".into(), id("npu"), Duration::from_millis(500));
        ledger.charge(&"mind".into(), id("gpu"), Duration::from_secs(2));
        let window = ledger.settle(at(11.0), None).energy;
        // 10 s at 0.85 W, half a second at 1.1 W, two at 1.7 W.
        assert_eq!(window, Energy::Estimated(MicroJoules::new(8_500_000 + 550_000 + 3_400_000)));
        let statement = ledger.statement();
        assert_eq!(owners(&statement), ["eye: 550.000 mJ (estimated)", "mind: 3.400 J (estimated)"]);
        assert_eq!(statement.unattributed.to_string(), "8.500 J (estimated)");
        assert_eq!(statement.estimated, Duration::from_secs(10));
    }

    #[test]
    fn the_floor_follows_the_state_of_the_device() {
        let mut ledger = EnergyLedger::new(at(0.0), rk3566());
        ledger.enter(at(10.0), PowerState::Standby);
        ledger.enter(at(110.0), PowerState::Suspended);
        let window = ledger.settle(at(1_110.0), None).energy;
        // 10 s at 0.85 W, 100 s at 0.33 W, 1,000 s at 0.089 W.
        assert_eq!(window, Energy::Estimated(MicroJoules::new(8_500_000 + 33_000_000 + 89_000_000)));
    }

    #[test]
    fn what_was_measured_is_cut_by_claims_and_claims_beyond_it_alike() {
        let mut ledger = EnergyLedger::new(at(0.0), rk3566());
        ledger.charge(&"eye".into(), id("npu"), Duration::from_secs(1));
        ledger.settle(at(1.0), Some(MicroJoules::new(2_000_000)));
        assert_eq!(ledger.statement().unattributed, Energy::Estimated(MicroJoules::new(900_000)));
        assert_eq!(ledger.statement().total, Energy::Measured(MicroJoules::new(2_000_000)));
        // 1.1 J and 1.7 J are claimed of 0.7 J.
        ledger.charge(&"eye".into(), id("npu"), Duration::from_secs(1));
        ledger.charge(&"mind".into(), id("gpu"), Duration::from_secs(1));
        ledger.settle(at(2.0), Some(MicroJoules::new(700_000)));
        let statement = ledger.statement();
        assert_eq!(owners(&statement), ["eye: 1.375 J (estimated)", "mind: 425.000 mJ (estimated)"]);
        assert_eq!(statement.unattributed.amount(), Some(MicroJoules::new(900_000)));
    }

    #[test]
    fn what_is_not_known_is_unmeasured_and_not_zero() {
        let mut ledger = EnergyLedger::new(at(0.0), None);
        ledger.charge(&"mind".into(), id("cpu"), Duration::from_secs(1));
        assert_eq!(ledger.settle(at(2.0), None).energy, Energy::Unmeasured);
        let statement = ledger.statement();
        assert_eq!((statement.total, statement.unattributed), (Energy::Unmeasured, Energy::Unmeasured));
        assert_eq!(owners(&statement), ["mind: unmeasured"]);
        assert_eq!(statement.unmeasured, Duration::from_secs(2));
        ledger.settle(at(3.0), Some(MicroJoules::new(5)));
        let statement = ledger.statement();
        assert_eq!(statement.total, Energy::Measured(MicroJoules::new(5)));
        assert_eq!((statement.unattributed, owners(&statement)), (statement.total, vec!["mind: unmeasured".into()]));
    }

    #[test]
    fn short_jobs_do_not_round_away() {
        let mut ledger = EnergyLedger::new(at(0.0), rk3566());
        let mut now = Timestamp::default();
        for _ in 0..10_000 {
            // 1.1 W for 303 ns are a third of a microjoule.
            ledger.charge(&"eye".into(), id("npu"), Duration::from_nanos(303));
            now = now + Duration::from_nanos(303);
            ledger.settle(now, None);
        }
        assert_eq!(ledger.statement().owners["eye"], Energy::Estimated(MicroJoules::new(3_333)));
    }

    /// A window: who ran where for how long, how long it was, what was measured.
    type Window = (Vec<(usize, usize, u64)>, u64, Option<u64>);

    fn windows() -> impl Strategy<Value = Vec<Window>> {
        let job = (0usize..4, 0usize..6, 0u64..3_000_000_000);
        let measured = proptest::option::of(0u64..20_000_000);
        proptest::collection::vec((proptest::collection::vec(job, 0..12), 0u64..5_000_000_000, measured), 1..20)
    }

    proptest! {
        #[test]
        fn owners_and_rest_sum_to_the_total_and_the_total_to_the_windows(windows in windows(), modelled in any::<bool>()) {
            let names: [Arc<str>; 4] = ["eye", "mind", "ear", "voice"].map(Arc::from);
            let places = ["cpu", "cpu:0", "cpu:1", "gpu", "npu", "npu:7"].map(id);
            let mut ledger = EnergyLedger::new(Timestamp::default(), rk3566().filter(|_| modelled));
            let (mut now, mut sum, mut times) = (Timestamp::default(), 0, Duration::ZERO);
            let mut shared: BTreeMap<Arc<str>, u64> = BTreeMap::new();
            for (jobs, length, measured) in windows {
                for (name, place, ran) in jobs {
                    ledger.charge(&names[name], places[place], Duration::from_nanos(ran));
                }
                now = now + Duration::from_nanos(length);
                times += Duration::from_nanos(length);
                let Settlement { energy: window, shares } = ledger.settle(now, measured.map(MicroJoules::new));
                for (name, share) in shares {
                    *shared.entry(name).or_insert(0) += share.get();
                }
                sum += window.amount().map_or(0, MicroJoules::get);
                if let Some(measured) = measured {
                    prop_assert_eq!(window, Energy::Measured(MicroJoules::new(measured)));
                }
                let statement = ledger.statement();
                let known = |energy: Energy| energy.amount().map_or(0, MicroJoules::get);
                let parts: u64 = statement.owners.values().copied().map(known).sum();
                prop_assert_eq!(parts + known(statement.unattributed), known(statement.total));
                prop_assert_eq!(known(statement.total), sum);
                for (name, owner) in &statement.owners {
                    prop_assert_eq!(known(*owner), shared.get(name).copied().unwrap_or(0));
                }
                prop_assert_eq!(statement.measured + statement.estimated + statement.unmeasured, times);
            }
        }
    }
}
