//! Residence under test: simulated weights on a simulated device, in virtual time.

use std::cell::RefCell;
use std::time::Duration;

use nanomind_hal::{JobClass, JobCost, Phase};

use super::*;
use crate::RunReport;
use crate::duty::Duty;
use crate::jobs::JobSpec;
use crate::packet::Packet;
use crate::virtual_stage::{Diary, body, run, run_with_own_memory};
use crate::weights::WeightBytes;

const MEGABYTES: u64 = 30 << 20;

/// Weights of 30 MiB, which nodes of the same model share.
fn weights(model: &str) -> Residence<WeightBytes> {
    Residence::new(WeightSource::simulated(model, "all", MEGABYTES, JobCost { flops: 0, bytes: MEGABYTES }))
}

/// A job that takes some time of the device.
async fn work(context: &NodeContext) -> Result<(), NodeError> {
    let cost = JobCost { flops: 4_000_000_000, bytes: 1 << 20 };
    let spec = JobSpec { phase: Phase::Encode, tokens: 1, class: JobClass::Vision, cost, request: None };
    context.jobs().run(spec, |_| ()).await?;
    Ok(())
}

fn keeping(weights: Keep) -> Duty {
    Duty { weights, ..Duty::default() }
}

fn cascade() -> Duty {
    Duty { in_turn: true, standby: true, ..keeping(Keep::For(Duration::ZERO)) }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Loads that a run did, by all nodes together.
fn loads(report: &RunReport) -> u64 {
    report.nodes.iter().filter_map(|node| node.counters.get("loads")).sum()
}

#[test]
fn weights_stay_for_as_long_as_the_next_work_may_come_and_no_longer() {
    let diary = Diary::default();
    let notes = diary.clone();
    let report = run(vec![body(move |context| {
        let diary = diary.clone();
        async move {
            let (residence, store) = (weights("one"), context.weights().clone());
            assert_eq!(store.bytes(), 0, "nothing is in memory before there is work");
            context.duty.post(keeping(Keep::For(seconds(5))));
            drop(residence.enter(&context).await?);
            context.clock().sleep(seconds(4)).await;
            diary.note(&context, format!("{} after 4 s", store.bytes()));
            drop(residence.enter(&context).await?);
            context.clock().sleep(seconds(4)).await;
            diary.note(&context, format!("{} after 4 s more, for the time began anew", store.bytes()));
            context.clock().sleep(seconds(2)).await;
            diary.note(&context, format!("{} after 6 s", store.bytes()));
            drop(residence.enter(&context).await?);
            diary.note(&context, format!("{} in memory again", store.bytes()));
            Ok(())
        }
    })]);
    assert_eq!(
        notes.notes(),
        [
            "31457280 after 4 s",
            "31457280 after 4 s more, for the time began anew",
            "0 after 6 s",
            "31457280 in memory again"
        ]
    );
    assert_eq!(loads(&report), 2);
}

#[test]
fn another_duty_is_heard_while_nothing_is_going_on() {
    run(vec![body(|context| async move {
        let (residence, store) = (weights("one"), context.weights().clone());
        residence.prepare(&context).await?;
        assert_eq!(store.bytes(), MEGABYTES, "there before the first work, where they are always kept");
        context.clock().sleep(seconds(3600)).await;
        assert_eq!(store.bytes(), MEGABYTES);
        context.duty.post(keeping(Keep::For(seconds(7200))));
        context.clock().sleep(seconds(3500)).await;
        assert_eq!(store.bytes(), MEGABYTES, "idle for less than two hours");
        context.duty.post(cascade());
        context.clock().sleep(Duration::from_nanos(1)).await;
        assert_eq!(store.bytes(), 0, "what is idle goes at once");
        residence.prepare(&context).await?;
        assert_eq!(store.bytes(), 0, "nothing is loaded ahead of work");
        let stage = residence.enter(&context).await?;
        context.duty.post(Duty::default());
        drop(stage);
        context.clock().sleep(seconds(10)).await;
        assert_eq!(store.bytes(), MEGABYTES, "the duty at the end of the stage counts");
        Ok(())
    })]);
}

/// A chain of bricks, each with weights of its own, through which `requests` requests go.
fn chain(duty: Duty, bricks: usize, requests: usize, diary: &Diary) -> RunReport {
    let first = body(move |context| async move {
        context.duty.post(duty);
        for _ in 0..requests {
            context.send("text", Packet::text(context.requests().mint(), "ask", 1).ending()).await?;
        }
        Ok(())
    });
    let brick = |number: usize| {
        let diary = diary.clone();
        body(move |mut context| {
            let diary = diary.clone();
            async move {
                let residence = weights(&format!("model {number}"));
                while let Some(firing) = context.next().await {
                    let request = firing.packet.request();
                    let stage = residence.enter(&context).await?;
                    diary.note(&context, format!("+{number}"));
                    work(&context).await?;
                    // Sent while the stage is under way, into an edge that holds one packet only.
                    for _ in 0..2 {
                        context.send("text", Packet::text(request, "piece", 1)).await?;
                    }
                    diary.note(&context, format!("-{number}"));
                    drop(stage);
                    context.send("text", Packet::text(request, "end", 1).ending()).await?;
                }
                Ok(())
            }
        })
    };
    run(std::iter::once(first).chain((0..bricks).map(brick)).collect())
}

#[test]
fn bricks_in_turn_have_one_models_weights_in_memory_at_a_time_and_side_by_side_all_of_them() {
    let diary = Diary::default();
    let report = chain(cascade(), 1, 3, &diary);
    assert_eq!(diary.notes(), ["+0", "-0", "+0", "-0", "+0", "-0"]);
    assert_eq!((report.memory.weights, loads(&report)), (MEGABYTES, 3));
    let between = report.memory.between_stages.unwrap();
    assert_eq!((between.times, between.weights, between.process), (3, 0, None), "a simulation measures no process");
    let together = chain(Duty::default(), 3, 3, &Diary::default());
    assert_eq!((together.memory.weights, loads(&together)), (3 * MEGABYTES, 3));
    assert_eq!(together.memory.between_stages, None, "none of them in turn");
}

#[test]
fn a_stage_that_waits_for_room_lends_its_turn_so_that_the_cascade_never_hangs() {
    let diary = Diary::default();
    let report = chain(cascade(), 3, 3, &diary);
    assert_eq!((report.requests.answered, report.requests.minted), (3, 3), "{:?}", diary.notes());
    // Whoever has come to its end has begun: every brick once for each packet that reaches it.
    let began = diary.notes().iter().filter(|note| note.starts_with('+')).count();
    let ended = diary.notes().iter().filter(|note| note.starts_with('-')).count();
    assert_eq!(began, ended);
    assert_eq!(report.memory.between_stages.unwrap().times as usize, ended);
}

#[test]
fn two_nodes_with_one_model_load_it_once_and_it_goes_when_both_have_let_go() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let noted = seen.clone();
    let user = move |stays: u64| {
        let seen = seen.clone();
        body(move |context| {
            let seen = seen.clone();
            async move {
                context.duty.post(keeping(Keep::For(Duration::ZERO)));
                let residence = weights("shared");
                let stage = residence.enter(&context).await?;
                context.clock().sleep(seconds(stays)).await;
                drop(stage);
                seen.borrow_mut().push(context.weights().bytes());
                Ok(())
            }
        })
    };
    let report = run(vec![user(10), user(20)]);
    assert_eq!(*noted.borrow(), [MEGABYTES, 0], "the first to let go leaves them to the other");
    assert_eq!((report.memory.weights, loads(&report)), (MEGABYTES, 1));
}

#[test]
fn who_is_cancelled_while_it_waits_for_its_turn_leaves_the_turn_to_the_others() {
    run(vec![body(|context| async move {
        context.duty.post(cascade());
        let context = Rc::new(context);
        let (holder, waiter) = (weights("holder"), weights("waiter"));
        let other = context.turns.take(Manner::Alone).await;
        let request = context.requests().mint();
        let cancel = async {
            context.clock().sleep(seconds(1)).await;
            context.cancel(request.epoch);
        };
        let (entered, ()) = tokio::join!(waiter.enter_for(&context, request), cancel);
        assert!(entered?.is_none());
        assert_eq!(context.weights().bytes(), 0, "nothing was loaded for it");
        drop(other);
        let stage = holder.enter(&context).await?;
        assert_eq!(context.weights().bytes(), MEGABYTES);
        drop(stage);
        Ok(())
    })]);
}

#[test]
fn the_device_stands_by_when_nothing_is_asked_and_nothing_is_in_memory_and_wakes_at_once() {
    let report = run(vec![body(|context| async move {
        context.duty.post(cascade());
        context.clock().sleep(seconds(100)).await;
        // A minute of work for a request, with weights in memory.
        let request = context.requests().mint();
        let residence = weights("one");
        let stage = residence.enter(&context).await?;
        context.clock().sleep(seconds(60)).await;
        drop(stage);
        context.send("text", Packet::text(request, "answer", 1).ending()).await?;
        context.clock().sleep(seconds(40)).await;
        // Weights that stay keep it awake, though nothing is asked.
        context.duty.post(Duty { standby: true, ..keeping(Keep::Always) });
        residence.prepare(&context).await?;
        context.clock().sleep(seconds(10)).await;
        Ok(())
    })]);
    let standby = report.standby.unwrap();
    assert_eq!((standby.entries, standby.seconds.round()), (2, 140.0), "{standby:?}");
    let memory = report.memory.in_standby.unwrap();
    assert_eq!((memory.times, memory.weights), (2, 0));
    // Awake floor 4.5 W and standby 1.5 W by the profile, and what loading took beside.
    let energy = report.energy.unattributed.amount().unwrap().joules();
    let (awake, standby) = (4.5 * (report.seconds - standby.seconds), 1.5 * standby.seconds);
    assert!((energy - awake - standby).abs() < 0.01, "{energy} J, expected {awake} J and {standby} J");
}

#[test]
fn weights_that_were_lost_with_their_device_are_loaded_where_the_node_works_next() {
    let report = run_with_own_memory(vec![body(|context| async move {
        let source = WeightSource::simulated("one", "all", MEGABYTES, JobCost { flops: 0, bytes: MEGABYTES });
        let residence: Residence<WeightBytes> = Residence::following(source);
        drop(residence.enter(&context).await?);
        let first = context.jobs().place().unwrap();
        work(&context).await?;
        context.jobs().accelerators()[&first].set_lost(true);
        drop(residence.enter(&context).await?);
        work(&context).await?;
        assert_ne!(context.jobs().place().unwrap(), first);
        Ok(())
    })]);
    assert_eq!(loads(&report), 2);
}
