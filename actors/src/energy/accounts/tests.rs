//! The accounts under random work: whatever is asked of them sums to what the nodes were given.

use proptest::prelude::*;

use super::*;

fn claim(microjoules: u64) -> Option<FemtoJoules> {
    Some(FemtoJoules::of(MicroJoules::new(microjoules)))
}

fn charge(phase: Phase, request: impl Into<Option<u64>>) -> Charge {
    Charge { phase, tokens: 1, requests: request.into().map(RequestId).into_iter().collect() }
}

fn sum(amounts: impl Iterator<Item = MicroJoules>) -> u64 {
    amounts.sum::<MicroJoules>().get()
}

#[test]
fn what_a_node_was_given_is_cut_by_claims_into_phases_and_requests() {
    let (mut accounts, mind): (_, Arc<str>) = (Accounts::default(), "mind".into());
    accounts.charge(&mind, charge(Phase::Load, None), claim(500));
    accounts.charge(&mind, charge(Phase::Prefill, 1), claim(200));
    accounts.charge(&mind, charge(Phase::Decode, 1), claim(100));
    accounts.charge(&mind, charge(Phase::Decode, 2), claim(200));
    // Half of what the model claims is what was measured.
    accounts.settle(&[(mind.clone(), MicroJoules::new(500))]);
    let phases: Vec<_> = accounts.phases().iter().map(|((_, phase), one)| (*phase, one.energy.get())).collect();
    assert_eq!(phases, [(Phase::Load, 250), (Phase::Prefill, 100), (Phase::Decode, 150)]);
    let requests: Vec<_> = accounts.requests().map(|(id, energy)| (id.0, energy.get())).collect();
    assert_eq!((requests, accounts.no_request().get()), (vec![(1, 150), (2, 100)], 250));
}

#[test]
fn what_a_job_took_for_several_requests_is_cut_into_equal_shares_and_it_is_one_job() {
    let (mut accounts, mind): (_, Arc<str>) = (Accounts::default(), "mind".into());
    let requests = [4, 7, 9].map(RequestId).to_vec();
    accounts.charge(&mind, Charge { phase: Phase::Decode, tokens: 5, requests }, claim(300));
    accounts.charge(&mind, charge(Phase::Decode, 9), claim(50));
    accounts.settle(&[(mind.clone(), MicroJoules::new(350))]);
    let requests: Vec<_> = accounts.requests().map(|(id, energy)| (id.0, energy.get())).collect();
    assert_eq!(requests, [(4, 100), (7, 100), (9, 150)]);
    let decode = accounts.phases()[&(mind, Phase::Decode)];
    assert_eq!((decode.jobs, decode.tokens, decode.energy.get()), (2, 6, 350));
}

#[test]
fn packets_bear_equal_shares_and_those_that_were_dropped_were_wasted() {
    let (mut accounts, eye): (_, Arc<str>) = (Accounts::default(), "eye".into());
    let (first, second) = (accounts.add_edge(), accounts.add_edge());
    accounts.charge(&eye, charge(Phase::Encode, 1), claim(400));
    accounts.charge(&eye, charge(Phase::Encode, 2), claim(70));
    for _ in 0..3 {
        accounts.sent(first, &eye, RequestId(1));
    }
    accounts.sent(second, &eye, RequestId(1));
    accounts.dropped(first, &eye, RequestId(1));
    accounts.settle(&[(eye.clone(), MicroJoules::new(470))]);
    let edge = |energy, wasted| EdgeAccount { energy: MicroJoules::new(energy), wasted: MicroJoules::new(wasted) };
    assert_eq!(accounts.edges(), (vec![edge(300, 100), edge(100, 0)], MicroJoules::new(70)));
}

#[test]
fn accounts_keep_a_bounded_number_of_requests_and_lose_no_energy_by_it() {
    let (mut accounts, mind): (_, Arc<str>) = (Accounts::default(), "mind".into());
    let edge = accounts.add_edge();
    let many = REQUESTS_KEPT as u64 * 3;
    for request in 0..many {
        accounts.charge(&mind, charge(Phase::Decode, request), claim(10));
        accounts.sent(edge, &mind, RequestId(request));
        accounts.settle(&[(mind.clone(), MicroJoules::new(10))]);
    }
    // Work on a request that is long folded.
    accounts.charge(&mind, charge(Phase::Decode, 3), claim(10));
    accounts.sent(edge, &mind, RequestId(3));
    accounts.settle(&[(mind, MicroJoules::new(10))]);
    assert_eq!(accounts.requests().count(), REQUESTS_KEPT);
    let earlier = accounts.earlier();
    assert_eq!((earlier.requests, earlier.energy.get()), (many - REQUESTS_KEPT as u64, (many - 512) * 10 + 10));
    let (edges, unsent) = accounts.edges();
    assert_eq!((edges[edge].energy.get(), unsent.get()), (many * 10, 10));
}

#[test]
fn cuts_of_weights_beyond_any_sum_still_sum_to_the_amount() {
    let parts: Vec<u64> =
        cut(MicroJoules::new(u64::MAX), [1 << 120, 1 << 121, 7].into_iter()).map(MicroJoules::get).collect();
    assert_eq!(parts.iter().map(|part| u128::from(*part)).sum::<u128>(), u128::from(u64::MAX), "{parts:?}");
    assert!(parts[1] / 2 >= parts[0] - 1 && parts[2] <= 4, "{parts:?}");
    assert_eq!(cut(MicroJoules::new(5), [0, 0].into_iter()).map(MicroJoules::get).collect::<Vec<_>>(), [0, 5]);
}

#[derive(Clone, Debug)]
enum Step {
    Charge(usize, usize, Option<u64>, u64),
    Sent(usize, u64),
    Dropped(usize, u64),
    /// What of each hundred of what was claimed the nodes are given.
    Settle(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let request = 0u64..1_500;
    let step = prop_oneof![
        (0usize..3, 0usize..7, proptest::option::of(request.clone()), 0u64..5_000_000)
            .prop_map(|(node, phase, request, claim)| Step::Charge(node, phase, request, claim)),
        (0usize..6, request.clone()).prop_map(|(edge, request)| Step::Sent(edge, request)),
        (0usize..6, request).prop_map(|(edge, request)| Step::Dropped(edge, request)),
        (0u64..=100).prop_map(Step::Settle),
    ];
    proptest::collection::vec(step, 1..400)
}

proptest! {
    #[test]
    fn phases_requests_and_edges_sum_to_what_the_nodes_were_given(steps in steps()) {
        let names: [Arc<str>; 3] = ["eye", "mind", "ear"].map(Arc::from);
        let mut accounts = Accounts::default();
        let edges: Vec<usize> = (0..6).map(|_| accounts.add_edge()).collect();
        let (mut claimed, mut given) = ([0; 3], 0);
        for step in steps.into_iter().chain([Step::Settle(50)]) {
            match step {
                Step::Charge(node, phase, request, amount) => {
                    accounts.charge(&names[node], charge(Phase::ALL[phase], request), claim(amount));
                    claimed[node] += amount;
                }
                Step::Sent(edge, request) => accounts.sent(edges[edge], &names[edge % 3], RequestId(request)),
                Step::Dropped(edge, request) => accounts.dropped(edges[edge], &names[edge % 3], RequestId(request)),
                Step::Settle(percent) => {
                    let shares = std::mem::take(&mut claimed).map(|claimed| claimed * percent / 100);
                    given += shares.iter().sum::<u64>();
                    let shares = names.iter().cloned().zip(shares.map(MicroJoules::new));
                    accounts.settle(&shares.collect::<Vec<_>>());
                }
            }
        }
        prop_assert_eq!(sum(accounts.phases().values().map(|phase| phase.energy)), given);
        let requests = sum(accounts.requests().map(|(_, energy)| energy));
        prop_assert_eq!(requests + accounts.earlier().energy.get() + accounts.no_request().get(), given);
        let (edges, unsent) = accounts.edges();
        prop_assert_eq!(sum(edges.iter().map(|edge| edge.energy)) + unsent.get(), given);
        prop_assert!(edges.iter().all(|edge| edge.wasted <= edge.energy));
    }
}
