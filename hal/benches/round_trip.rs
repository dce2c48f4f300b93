//! What it costs to hand an accelerator one step after the other, as a node of a graph does: from a job's end to the
//! start of the next, with the result travelling to a runtime on another thread and the next job back.
//!
//! `cargo bench -p nanomind-hal --bench round_trip -- [STEPS] [CALLS] [MICROSECONDS]`: steps of so many calls of the
//! lane, each with so much work.
#![allow(clippy::print_stdout, clippy::cast_precision_loss)]

use std::error::Error;
use std::time::Duration;

use nanomind_hal::{
    Accelerator, AcceleratorId, AcceleratorKind, Clock, CoreGroup, CoreLease, CpuSet, JobClass, JobCost, JobLabel,
    JobOrder, Lane, Phase,
};

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo bench` adds `--bench`.
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let number = |index: usize, default| numbers.get(index).copied().unwrap_or(default);
    let (steps, calls, micros) = (number(0, 500), number(1, 100), number(2, 20));
    let clock = Clock::system();
    let name = AcceleratorId::whole(AcceleratorKind::Cpu);
    let group = CoreGroup { name, cpus: CpuSet::of_this_thread()? };
    let accelerator = Accelerator::cpu(group, CoreLease::new(), clock.clone())?;
    let label = JobLabel { node: "mind".into(), phase: Phase::Decode, tokens: 1 };
    let order = JobOrder { label, class: JobClass::Decode, cost: JobCost::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut gaps = Vec::new();
    let begun = clock.now();
    runtime.block_on(async {
        let mut before = None;
        for _ in 0..steps {
            let clock = clock.clone();
            let done = accelerator.submit(order.clone(), move |lane| step(lane, &clock, calls, micros)).await?;
            if let Some(before) = before.replace(done.timing.finished) {
                gaps.push(done.timing.started.since(before));
            }
        }
        Ok::<(), Box<dyn Error>>(())
    })?;
    let whole = clock.now().since(begun);
    gaps.sort_unstable();
    let at = |share: f64| gaps[((gaps.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    let inside = accelerator.submit(order, move |lane| {
        let clock = Clock::system();
        let begun = clock.now();
        (0..steps).for_each(|_| step(lane, &clock, calls, micros));
        clock.now().since(begun)
    });
    let inside = inside.wait()?.value;
    println!(
        "{} threads: from the end of a job to the start of the next {:.0} µs (median; {:.0} at 90 %); a step {:.0} µs by \
         jobs, {:.0} µs within one",
        accelerator.threads(),
        at(0.5),
        at(0.9),
        whole.as_secs_f64() * 1e6 / steps as f64,
        inside.as_secs_f64() * 1e6 / steps as f64,
    );
    Ok(())
}

/// Calls of the lane, of four tasks that share `micros` of work.
fn step(lane: &Lane, clock: &Clock, calls: u64, micros: u64) {
    let work = Duration::from_micros(micros) / 4;
    for _ in 0..calls {
        lane.for_each(4, |_| {
            let start = clock.now();
            while clock.now().since(start) < work {
                std::hint::spin_loop();
            }
        });
    }
}
