//! What jobs were charged with, cut further than by node: by phase, by request, and by the edges that packets took.

use std::collections::BTreeMap;
use std::sync::Arc;

use nanomind_hal::{FemtoJoules, MicroJoules, Phase};

use crate::request::RequestId;

/// So many requests are kept one by one; what older ones took is folded into sums.
pub(crate) const REQUESTS_KEPT: usize = 512;

/// A job as the accounts see it.
#[derive(Clone, Debug)]
pub(crate) struct Charge {
    pub(crate) phase: Phase,
    pub(crate) tokens: u32,
    /// The requests that it worked for, all alike.
    pub(crate) requests: Vec<RequestId>,
}

/// The accounts of a run. Whatever is asked of them sums to what the nodes were given.
#[derive(Default, Debug)]
pub(super) struct Accounts {
    /// What was charged and not settled, in the order of nodes.
    pending: BTreeMap<Purpose, Pending>,
    phases: BTreeMap<(Arc<str>, Phase), PhaseAccount>,
    /// The younger requests, with what each node did for them.
    requests: BTreeMap<RequestId, BTreeMap<Arc<str>, Work>>,
    /// The older ones.
    earlier: Earlier,
    no_request: MicroJoules,
    /// What the older requests took, by edge, and what of it left by none.
    edges: Vec<EdgeAccount>,
    unsent: MicroJoules,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Purpose {
    node: Arc<str>,
    phase: Phase,
    request: Option<RequestId>,
}

#[derive(Clone, Copy, Default, Debug)]
struct Pending {
    jobs: u64,
    tokens: u64,
    claim: FemtoJoules,
    unpriced: bool,
}

/// What a node took in one phase.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub(super) struct PhaseAccount {
    pub(super) jobs: u64,
    pub(super) tokens: u64,
    pub(super) energy: MicroJoules,
    /// Whether some of the jobs ran where the model knows nothing.
    pub(super) unpriced: bool,
}

/// Requests that are no longer kept one by one.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub(super) struct Earlier {
    pub(super) requests: u64,
    pub(super) energy: MicroJoules,
    /// The youngest of them.
    until: Option<RequestId>,
}

/// What a node did for one request.
#[derive(Clone, Default, Debug)]
struct Work {
    energy: MicroJoules,
    flows: Vec<Flow>,
}

/// The packets of one request on one edge.
#[derive(Clone, Copy, Debug)]
struct Flow {
    edge: usize,
    packets: u64,
    dropped: u64,
}

/// What was spent on the packets of an edge.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub(super) struct EdgeAccount {
    /// On all of them.
    pub(super) energy: MicroJoules,
    /// On those that the edge dropped.
    pub(super) wasted: MicroJoules,
}

impl Accounts {
    /// A job of `node` was charged.
    pub(super) fn charge(&mut self, node: &Arc<str>, charge: Charge, claim: Option<FemtoJoules>) {
        let parts = charge.requests.len().max(1);
        let mut claims = claim.map(|claim| claim.split(parts));
        let mut tokens = u64::from(charge.tokens);
        for part in 0..parts {
            let request = charge.requests.get(part).copied();
            let pending =
                self.pending.entry(Purpose { node: Arc::clone(node), phase: charge.phase, request }).or_default();
            // Tokens go by equal shares, too; the job is counted once.
            let share = tokens / (parts - part) as u64;
            tokens -= share;
            pending.jobs += u64::from(part == 0);
            pending.tokens += share;
            match claims.as_mut().and_then(Iterator::next) {
                Some(claim) => pending.claim += claim,
                None => pending.unpriced = true,
            }
        }
    }

    /// Hands on what each node was given for all that was charged to it since the last time.
    pub(super) fn settle(&mut self, shares: &[(Arc<str>, MicroJoules)]) {
        let pending = std::mem::take(&mut self.pending);
        let pending: Vec<(Purpose, Pending)> = pending.into_iter().collect();
        for jobs in pending.chunk_by(|(one, _), (other, _)| one.node == other.node) {
            let node = &jobs[0].0.node;
            let share = shares.iter().find(|(name, _)| name == node).map_or(MicroJoules::ZERO, |(_, share)| *share);
            let parts = cut(share, jobs.iter().map(|(_, pending)| pending.claim.get()));
            for ((purpose, pending), part) in jobs.iter().zip(parts) {
                self.book(purpose, pending, part);
            }
        }
        while self.requests.len() > REQUESTS_KEPT {
            self.fold_oldest();
        }
    }

    fn book(&mut self, purpose: &Purpose, pending: &Pending, energy: MicroJoules) {
        let phase = self.phases.entry((Arc::clone(&purpose.node), purpose.phase)).or_default();
        phase.jobs += pending.jobs;
        phase.tokens += pending.tokens;
        phase.energy += energy;
        phase.unpriced |= pending.unpriced;
        match purpose.request {
            None => {
                self.no_request += energy;
                self.unsent += energy;
            }
            Some(request) if self.is_folded(request) => {
                self.earlier.energy += energy;
                self.unsent += energy;
            }
            Some(request) => self.work(request, &purpose.node).energy += energy,
        }
    }

    /// Makes room for the packets of one more edge; gives its number.
    pub(super) fn add_edge(&mut self) -> usize {
        self.edges.push(EdgeAccount::default());
        self.edges.len() - 1
    }

    /// `producer` handed a packet of a request to an edge.
    pub(super) fn sent(&mut self, edge: usize, producer: &Arc<str>, request: RequestId) {
        if let Some(flow) = self.flow(edge, producer, request) {
            flow.packets += 1;
        }
    }

    /// The edge dropped such a packet.
    pub(super) fn dropped(&mut self, edge: usize, producer: &Arc<str>, request: RequestId) {
        if let Some(flow) = self.flow(edge, producer, request) {
            flow.dropped = (flow.dropped + 1).min(flow.packets);
        }
    }

    fn flow(&mut self, edge: usize, producer: &Arc<str>, request: RequestId) -> Option<&mut Flow> {
        if self.is_folded(request) {
            return None;
        }
        let flows = &mut self.work(request, producer).flows;
        let at = flows.iter().position(|flow| flow.edge == edge).unwrap_or_else(|| {
            flows.push(Flow { edge, packets: 0, dropped: 0 });
            flows.len() - 1
        });
        flows.get_mut(at)
    }

    fn work(&mut self, request: RequestId, node: &Arc<str>) -> &mut Work {
        self.requests.entry(request).or_default().entry(Arc::clone(node)).or_default()
    }

    fn is_folded(&self, request: RequestId) -> bool {
        self.earlier.until.is_some_and(|until| request <= until)
    }

    fn fold_oldest(&mut self) {
        let Some((request, works)) = self.requests.pop_first() else { return };
        self.earlier.requests += 1;
        self.earlier.until = Some(request);
        for work in works.values() {
            self.earlier.energy += work.energy;
            self.unsent += hand_on(work, &mut self.edges);
        }
    }

    /// What each node took in each of its phases.
    pub(super) fn phases(&self) -> &BTreeMap<(Arc<str>, Phase), PhaseAccount> {
        &self.phases
    }

    /// What each of the younger requests took.
    pub(super) fn requests(&self) -> impl Iterator<Item = (RequestId, MicroJoules)> {
        self.requests.iter().map(|(id, works)| (*id, works.values().map(|work| work.energy).sum()))
    }

    /// What the older ones took.
    pub(super) fn earlier(&self) -> Earlier {
        self.earlier
    }

    /// What was done for no request.
    pub(super) fn no_request(&self) -> MicroJoules {
        self.no_request
    }

    /// What was spent on the packets of each edge, and on what left by none.
    pub(super) fn edges(&self) -> (Vec<EdgeAccount>, MicroJoules) {
        let (mut edges, mut unsent) = (self.edges.clone(), self.unsent);
        for work in self.requests.values().flat_map(BTreeMap::values) {
            unsent += hand_on(work, &mut edges);
        }
        (edges, unsent)
    }
}

/// Hands what a node spent on a request on to the packets that it sent for it, to each alike. Gives what no packet took.
fn hand_on(work: &Work, edges: &mut [EdgeAccount]) -> MicroJoules {
    if work.flows.iter().all(|flow| flow.packets == 0) {
        return work.energy;
    }
    let parts = cut(work.energy, work.flows.iter().map(|flow| u128::from(flow.packets)));
    for (flow, part) in work.flows.iter().zip(parts) {
        let account = &mut edges[flow.edge];
        let kept = [flow.packets - flow.dropped, flow.dropped].map(u128::from);
        account.energy += part;
        account.wasted += cut(part, kept.into_iter()).nth(1).unwrap_or_default();
    }
    MicroJoules::ZERO
}

/// Cuts an amount by weights; the parts sum to it. Where nothing weighs anything, the last part is all of it.
fn cut(amount: MicroJoules, weights: impl Iterator<Item = u128> + Clone) -> impl Iterator<Item = MicroJoules> {
    let total: u128 = weights.clone().sum();
    let last = weights.clone().count();
    let (mut weighed, mut given) = (0, 0);
    weights.enumerate().map(move |(at, weight)| {
        weighed += weight;
        // Sums of weights in units so fine may be too large to multiply: then only their leading digits count.
        let shift = total.checked_ilog2().unwrap_or(0).saturating_sub(62);
        let until = match total >> shift {
            _ if at + 1 == last => amount.get(),
            0 => 0,
            total => u64::try_from(u128::from(amount.get()) * (weighed >> shift) / total).unwrap_or(u64::MAX),
        };
        let part = until - given;
        given = until;
        MicroJoules::new(part)
    })
}

#[cfg(test)]
mod tests;
