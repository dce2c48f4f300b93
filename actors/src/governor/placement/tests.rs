//! The search against trying everything.

use nanomind_hal::Timestamp;
use proptest::prelude::*;

use super::super::observation::{
    AcceleratorObservation, Basis, FloorObservation, NodeLoad, NodeObservation, Observation, PlaceObservation,
};
use super::problem::{Aim, Problem};
use super::search::cheapest;

const ACCELERATORS: [(&str, &[usize]); 4] = [("cpu", &[0, 1]), ("cpu:0", &[0]), ("cpu:1", &[1]), ("npu", &[])];

/// What a node is made of in a generated problem: its allowed places as bits, milliseconds by place, watts by place,
/// share, megabytes, and where it is now.
type Parts = (u8, [f64; 4], [f64; 4], f64, u64, usize);

fn observation(nodes: &[Parts], npu_memory: Option<u64>, floor: bool) -> Observation {
    let mut accelerators: Vec<AcceleratorObservation> = ACCELERATORS
        .iter()
        .map(|(name, cores)| AcceleratorObservation {
            id: name.parse().unwrap(),
            cores: cores.to_vec(),
            queue_depth: 0,
            backlog_ms: 3.0,
            memory: npu_memory.filter(|_| *name == "npu"),
            load: Vec::new(),
        })
        .collect();
    let mut seen_nodes = Vec::new();
    for (index, (allowed, ms, watts, share, bytes, on)) in nodes.iter().enumerate() {
        let node = format!("n{index}");
        let places: Vec<PlaceObservation> = (0..4)
            .filter(|place| allowed >> place & 1 == 1)
            .map(|place| PlaceObservation {
                accelerator: accelerators[place].id,
                ms: ms[place],
                mj: Some(ms[place] * watts[place]),
                basis: Basis::Seeded,
                load_ms: 0.0,
                load_mj: Some(0.0),
                move_ms: 20.0,
                moves_measured: 0,
            })
            .collect();
        let on = places[on % places.len()].accelerator;
        let there = accelerators.iter_mut().find(|place| place.id == on).unwrap();
        there.load.push(NodeLoad { node: node.clone(), share: *share });
        let work = Vec::new();
        seen_nodes.push(NodeObservation { node, on, busy: true, weight_bytes: *bytes, work, places });
    }
    let floor = floor.then_some(FloorObservation { awake_w: 1.5, standby_w: 0.3 });
    Observation {
        at: Timestamp::default(),
        battery: None,
        temperature_c: None,
        floor,
        demand: Default::default(),
        accelerators,
        nodes: seen_nodes,
    }
}

/// The least cost of all combinations, each assessed from nothing.
fn by_trying_everything(problem: &Problem<'_>) -> Option<f64> {
    let mut choice = vec![0; problem.spots.len()];
    let mut least: Option<f64> = None;
    'combinations: loop {
        if fits(problem, &choice) {
            let cost = problem.assess(&choice).cost;
            least = Some(least.map_or(cost, |least| least.min(cost)));
        }
        for (index, spots) in problem.spots.iter().enumerate() {
            choice[index] += 1;
            if choice[index] < spots.len() {
                continue 'combinations;
            }
            choice[index] = 0;
        }
        return least;
    }
}

fn fits(problem: &Problem<'_>, choice: &[usize]) -> bool {
    (0..problem.units.len()).all(|unit| {
        let there =
            problem.spots.iter().zip(choice).map(|(spots, index)| &spots[*index]).filter(|spot| spot.at == unit);
        problem.units[unit].memory.is_none_or(|memory| there.map(|spot| spot.bytes).sum::<u64>() <= memory)
    })
}

fn parts() -> impl Strategy<Value = Parts> {
    let ms = || proptest::array::uniform4(0.1f64..200.0);
    let watts = proptest::array::uniform4(0.1f64..5.0);
    (1u8..16, ms(), watts, 0.0f64..1.0, 0u64..100, 0usize..4)
}

proptest! {
    #[test]
    fn the_search_finds_what_trying_everything_finds(
        nodes in proptest::collection::vec(parts(), 1..7),
        thrift in prop_oneof![Just(0.0), Just(1.0), 0.0f64..1.0],
        memory in proptest::option::of(0u64..250),
        stands_by in any::<bool>(),
    ) {
        let seen = observation(&nodes, memory, true);
        let problem = Problem::new(&seen, Aim { thrift, stands_by }, |_| true);
        let found = cheapest(&problem, f64::INFINITY);
        let least = by_trying_everything(&problem);
        prop_assert_eq!(found.is_some(), least.is_some());
        if let (Some((choice, cost)), Some(least)) = (found, least) {
            prop_assert!(fits(&problem, &choice));
            prop_assert!((cost - least).abs() <= 1e-9 * least.max(1e-9), "found {cost}, there is {least}");
            prop_assert!((problem.assess(&choice).cost - cost).abs() <= 1e-9 * cost.max(1e-9));
        }
    }

    #[test]
    fn a_better_choice_is_found_only_if_it_is_better_by_what_is_asked(
        nodes in proptest::collection::vec(parts(), 1..6), thrift in 0.0f64..1.0, gain in 1.0f64..1.5,
    ) {
        let seen = observation(&nodes, None, false);
        let problem = Problem::new(&seen, Aim { thrift, stands_by: false }, |_| true);
        let stay = problem.placing(&problem.best(None).unwrap()).stay.unwrap().cost;
        prop_assert!((stay - 1.0).abs() < 1e-9, "staying costs 1: {stay}");
        let least = by_trying_everything(&problem).unwrap();
        match problem.best(Some(gain)) {
            Some(choice) => prop_assert!(choice.gain >= gain * (1.0 - 1e-9)),
            None => prop_assert!(least >= stay / gain * (1.0 - 1e-9), "{least} was to be found"),
        }
    }
}

#[test]
fn two_bricks_of_a_stream_take_a_group_each_and_a_lone_one_takes_all_cores() {
    let node = |ms: [f64; 4]| (0b0111, ms, [2.0, 1.0, 1.0, 1.0], 0.0, 0, 1);
    let fast_alone = [10.0, 17.0, 17.0, 1.0];
    let seen = observation(&[node(fast_alone)], None, false);
    let alone = Problem::new(&seen, Aim { thrift: 0.0, stands_by: false }, |_| true);
    assert_eq!(alone.placing(&alone.best(None).unwrap()).moves[0].to.to_string(), "cpu");
    // All cores help little, so that each is better off with a group of its own.
    let small = [15.0, 17.0, 17.0, 1.0];
    let seen = observation(&[node(small), node(small)], None, false);
    let both = Problem::new(&seen, Aim { thrift: 0.0, stands_by: false }, |_| true);
    let moves = both.placing(&both.best(None).unwrap()).moves;
    assert_eq!(moves.len(), 1, "{moves:?}");
    assert_eq!(moves[0].to.to_string(), "cpu:1");
}

#[test]
fn energy_alone_takes_the_most_frugal_place_and_a_device_that_stands_by_counts_its_floor() {
    // The NPU adds least for each firing, but takes so long that the device had better be done sooner.
    let slow_npu = (0b1001, [10.0, 0.0, 0.0, 60.0], [3.0, 1.0, 1.0, 0.3], 0.0, 0, 0);
    let seen = observation(&[slow_npu], None, true);
    let to = |stands_by| {
        let problem = Problem::new(&seen, Aim { thrift: 1.0, stands_by }, |_| true);
        problem.placing(&problem.best(None).unwrap()).moves.first().map(|moved| moved.to.to_string())
    };
    assert_eq!(to(false).as_deref(), Some("npu"), "18 mJ against 30");
    assert_eq!(to(true), None, "90 mJ against 42, the floor counted");
}
