//! The energy of a run in a report. Amounts are whole microjoules, and every figure says how it came about: `measured` by
//! a meter or the battery, `estimated` by the device's profile, or `unmeasured`, which is no zero.

use nanomind_hal::{Energy, Phase};
use serde::{Deserialize, Serialize};

/// What a run took. `bricks` + `unattributed` = `total`; `requests` + `earlier_requests` + `no_request` = `bricks`; the
/// energies of all edges + `unsent` = `bricks`: each to the microjoule.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EnergyReport {
    /// Where the figures come from: `package-0, dram`, `battery discharge`, `profile rk3566`.
    pub source: String,
    /// All of it.
    pub total: Energy,
    /// What all nodes took together; [`super::NodeReport::energy`] has each.
    pub bricks: Energy,
    /// What no node took: the board, the screen, an idle processor.
    pub unattributed: Energy,
    /// What of the nodes' energy went into loading models.
    pub loading: Energy,
    /// What each request took of all nodes together (the last 512).
    pub requests: Vec<RequestEnergy>,
    /// What the requests before those took.
    pub earlier_requests: EarlierRequests,
    /// What nodes took for no request, such as loading at the start.
    pub no_request: Energy,
    /// What nodes spent on requests for which they sent nothing on; [`super::EdgeReport`] has what they sent.
    pub unsent: Energy,
    /// For how long the total was measured, in seconds.
    pub measured_s: f64,
    /// For how long it was estimated, in seconds.
    pub estimated_s: f64,
    /// For how long nothing was known of it, in seconds: the total does not have that time in it.
    pub unmeasured_s: f64,
}

/// What a request took of all nodes together.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct RequestEnergy {
    /// The request.
    pub request: u64,
    /// What it took.
    pub energy: Energy,
}

/// Requests that are no longer kept one by one.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct EarlierRequests {
    /// How many.
    pub requests: u64,
    /// What they took together.
    pub energy: Energy,
}

/// What a node took in one phase.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PhaseReport {
    /// The phase.
    pub phase: Phase,
    /// Jobs of it.
    pub jobs: u64,
    /// Tokens that they worked on.
    pub tokens: u64,
    /// What they took.
    pub energy: Energy,
    /// Millijoules for each token; nothing where there are no tokens or the energy is unmeasured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mj_per_token: Option<f64>,
}

/// What producers spent on the packets of an edge: each packet of a request bears an equal share of what its producer
/// spent on that request.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct EdgeEnergy {
    /// On all packets that were handed to the edge.
    pub energy: Energy,
    /// On those of them that the edge dropped: it was wasted.
    pub wasted: Energy,
}

impl Default for EdgeEnergy {
    fn default() -> EdgeEnergy {
        EdgeEnergy { energy: Energy::Unmeasured, wasted: Energy::Unmeasured }
    }
}

impl EnergyReport {
    /// What a request took; `None` where it is not kept one by one.
    pub fn of_request(&self, request: u64) -> Option<Energy> {
        self.requests.iter().find(|one| one.request == request).map(|one| one.energy)
    }
}
