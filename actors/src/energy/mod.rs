//! The energy books of a run: what every job is charged with, settled against what meters or the device's model say.
//!
//! The ledger of hal cuts what was taken into nodes and a rest that is nobody's. The accounts here cut what the nodes were
//! given further, each time into parts that sum to it to the microjoule:
//!
//! - by **phase**: loading, prefill, decode, …; with the tokens of a phase this is energy per token;
//! - by **request**, over all nodes: what an answer took; and what was done for no request, such as loading at the start;
//! - by **edge**: each packet that a node sends for a request bears an equal share of what the node spent on that
//!   request; what an edge drops was wasted. What a node spent on a request for which it sent nothing left by no edge.
//!
//! Of the requests the last 512 are kept one by one; older ones are folded into sums.

mod accounts;

use std::sync::Arc;
use std::time::Duration;

use nanomind_hal::profile::DeviceProfile;
use nanomind_hal::{
    AcceleratorId, BatterySource, Clock, Coverage, Energy, EnergyLedger, EnergySource, EnergyStatement, FemtoJoules,
    MicroJoules, Phase, PowerModel, PowerState, SimulatedBattery, Timestamp,
};
use parking_lot::Mutex;

pub(crate) use accounts::Charge;
use accounts::{Accounts, PhaseAccount};

use crate::report::{EarlierRequests, EdgeEnergy, EnergyReport, PhaseReport, RequestEnergy};
use crate::request::RequestId;
use crate::run_log::{EnergyTaken, Record, RunLog};

/// The books of one run. Clones are the same books.
#[derive(Clone)]
pub struct EnergyBooks {
    clock: Clock,
    books: Arc<Mutex<Books>>,
    log: RunLog,
}

struct Books {
    ledger: EnergyLedger,
    accounts: Accounts,
    source: EnergySource,
    /// The device whose profile estimates what is not measured, and cuts what is.
    device: Option<String>,
    /// The battery of a simulated device, which gives what the device takes.
    drained: Option<SimulatedBattery>,
    /// Whether the source failed to answer, which is said once.
    source_failed: bool,
    /// Up to when it is settled.
    settled: Timestamp,
    /// When the run log was told last.
    logged: Timestamp,
}

/// How often the run log is told.
const LOG_EVERY: Duration = Duration::from_secs(10);

impl EnergyBooks {
    /// Books that begin now, of a device with this profile if it is known, and with what measures its energy.
    pub fn new(
        clock: Clock,
        profile: Option<&DeviceProfile>,
        source: EnergySource,
        battery: &BatterySource,
        log: RunLog,
    ) -> EnergyBooks {
        // A simulated battery is drained by what is booked; measuring by it would count what was estimated.
        let drained = match battery {
            BatterySource::Simulated(battery) if profile.is_some() => Some(battery.clone()),
            _ => None,
        };
        let books = Books {
            ledger: EnergyLedger::new(clock.now(), profile.map(PowerModel::new)),
            accounts: Accounts::default(),
            source,
            device: profile.map(|profile| profile.name.clone()),
            drained,
            source_failed: false,
            settled: clock.now(),
            logged: clock.now(),
        };
        EnergyBooks { clock, books: Arc::new(Mutex::new(books)), log }
    }

    /// A job of `node` ran this long. Gives what it took by the device's model; `None` where none knows.
    pub(crate) fn charge(
        &self,
        node: &Arc<str>,
        accelerator: AcceleratorId,
        ran: Duration,
        charge: Charge,
    ) -> Option<MicroJoules> {
        let mut books = self.books.lock();
        let claim = books.ledger.charge(node, accelerator, ran);
        books.accounts.charge(node, charge, claim);
        claim.map(FemtoJoules::whole)
    }

    /// Accounts for the packets that `producer` hands to one more edge.
    pub(crate) fn edge(&self, producer: &Arc<str>) -> EdgeMeter {
        let edge = self.books.lock().accounts.add_edge();
        EdgeMeter(Some(Metered { books: self.books.clone(), edge, producer: producer.clone() }))
    }

    /// The device enters this state now.
    pub fn enter(&self, state: PowerState) {
        self.books.lock().ledger.enter(self.clock.now(), state);
    }

    /// Settles what was charged up to now, and drains a simulated battery by it. Gives the energy since the time before.
    pub fn settle(&self) -> Energy {
        let mut books = self.books.lock();
        let measured = match books.source.since_last(&self.clock) {
            Ok(measured) => measured,
            Err(error) => {
                if !std::mem::replace(&mut books.source_failed, true) {
                    tracing::warn!("{error}; energy is not measured while this lasts");
                }
                None
            }
        };
        let now = self.clock.now();
        let settled = books.ledger.settle(now, measured);
        books.accounts.settle(&settled.shares);
        let passed = now.since(std::mem::replace(&mut books.settled, now));
        if let Some(watts) = settled.energy.amount().and_then(|taken| taken.over(passed)) {
            crate::trace::counter("power W", watts, now);
        }
        if let (Some(battery), Some(taken)) = (&books.drained, settled.energy.amount()) {
            battery.draw(now, taken);
        }
        if now.since(books.logged) >= LOG_EVERY {
            self.tell(&mut books);
        }
        settled.energy
    }

    /// Settles for the last time, and tells the run log.
    pub(crate) fn close(&self) {
        self.settle();
        self.tell(&mut self.books.lock());
    }

    fn tell(&self, books: &mut Books) {
        books.logged = self.clock.now();
        self.log.write(|| {
            let EnergyStatement { until: at, total, owners, unattributed, .. } = books.ledger.statement();
            let nodes = owners.into_iter().map(|(node, energy)| (node.to_string(), energy)).collect();
            Record::Energy(EnergyTaken { at, total, nodes, unattributed })
        });
    }

    /// All that was settled so far, by node.
    pub fn statement(&self) -> EnergyStatement {
        self.books.lock().ledger.statement()
    }

    /// All that was settled so far, cut in every way but by node and edge.
    pub fn report(&self) -> EnergyReport {
        let books = self.books.lock();
        let statement = books.ledger.statement();
        let part = |amount| books.part(amount);
        let earlier = books.accounts.earlier();
        let loading = books.accounts.phases().iter().filter(|((_, phase), _)| *phase == Phase::Load);
        let requests = books.accounts.requests();
        EnergyReport {
            source: books.source(),
            total: statement.total,
            bricks: part(statement.owners.values().filter_map(|energy| energy.amount()).sum()),
            unattributed: statement.unattributed,
            loading: part(loading.map(|(_, account)| account.energy).sum()),
            requests: requests.map(|(id, taken)| RequestEnergy { request: id.0, energy: part(taken) }).collect(),
            earlier_requests: EarlierRequests { requests: earlier.requests, energy: part(earlier.energy) },
            no_request: part(books.accounts.no_request()),
            unsent: part(books.accounts.edges().1),
            measured_s: statement.measured.as_secs_f64(),
            estimated_s: statement.estimated.as_secs_f64(),
            unmeasured_s: statement.unmeasured.as_secs_f64(),
        }
    }

    /// What a node took in each phase, in the order of [`Phase::ALL`].
    pub fn phases_of(&self, node: &str) -> Vec<PhaseReport> {
        let books = self.books.lock();
        let phases = books.accounts.phases().iter().filter(|((name, _), _)| **name == *node);
        let report = |((_, phase), account): (&(Arc<str>, Phase), &PhaseAccount)| {
            let energy = match account {
                PhaseAccount { energy: MicroJoules::ZERO, unpriced: true, .. } => Energy::Unmeasured,
                account => books.part(account.energy),
            };
            let taken = energy.amount().filter(|_| account.tokens > 0);
            PhaseReport {
                phase: *phase,
                jobs: account.jobs,
                tokens: account.tokens,
                energy,
                mj_per_token: taken.map(|taken| taken.joules() * 1e3 / account.tokens as f64),
            }
        };
        phases.map(report).collect()
    }

    /// What was spent on the packets of each edge, in the order in which they were made known.
    pub(crate) fn edges(&self) -> Vec<EdgeEnergy> {
        let books = self.books.lock();
        let (edges, _) = books.accounts.edges();
        let edges = edges.into_iter();
        edges.map(|edge| EdgeEnergy { energy: books.part(edge.energy), wasted: books.part(edge.wasted) }).collect()
    }
}

impl Books {
    /// A part of the whole: however the whole was measured, a model cut it.
    fn part(&self, amount: MicroJoules) -> Energy {
        if self.device.is_some() { Energy::Estimated(amount) } else { Energy::Unmeasured }
    }

    /// Where the figures come from.
    fn source(&self) -> String {
        let measured = match (&self.source, self.source.coverage()) {
            (EnergySource::Meters(meters), Coverage::Processor) => {
                let names: Vec<&str> = meters.names().collect();
                Some(format!("{} (no board, screen or disk)", names.join(", ")))
            }
            (EnergySource::Meters(meters), _) => Some(meters.names().collect::<Vec<&str>>().join(", ")),
            (EnergySource::Battery(_), _) => Some("battery discharge".to_owned()),
            (EnergySource::None, _) => None,
        };
        let profile = self.device.as_ref().map(|device| format!("profile {device}"));
        match (measured, profile) {
            (Some(measured), Some(profile)) => format!("{measured}, cut by {profile}"),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => "nothing that measures, and no profile of the device".to_owned(),
        }
    }
}

/// Tells the books of the packets of one edge; the default tells nobody.
#[derive(Clone, Default)]
pub struct EdgeMeter(Option<Metered>);

#[derive(Clone)]
struct Metered {
    books: Arc<Mutex<Books>>,
    edge: usize,
    producer: Arc<str>,
}

impl EdgeMeter {
    /// A packet of the request was handed to the edge.
    pub(crate) fn sent(&self, request: RequestId) {
        if let Some(Metered { books, edge, producer }) = &self.0 {
            books.lock().accounts.sent(*edge, producer, request);
        }
    }

    /// The edge dropped such a packet.
    pub(crate) fn dropped(&self, request: RequestId) {
        if let Some(Metered { books, edge, producer }) = &self.0 {
            books.lock().accounts.dropped(*edge, producer, request);
        }
    }
}

impl std::fmt::Debug for EdgeMeter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EdgeMeter").field("edge", &self.0.as_ref().map(|metered| metered.edge)).finish()
    }
}
