//! The report of a simulation as a person reads it.

use std::fmt;

use nanomind_hal::Energy;

use super::percentiles::Percentiles;
use super::report::{BrickUse, ChangedWhat, NodeFailure, SimulationReport, WeightUse};
use crate::report::Table;
use crate::request::RequestCounts;
use crate::standby::StandbyReport;

/// Changes that are shown; all of them are in the report.
const CHANGES: usize = 12;

impl fmt::Display for SimulationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} on {}, {} (seed {}), policy {}\n",
            self.graph, self.device, self.scenario, self.seed, self.policy
        )?;
        writeln!(f, "{}", lasting(self))?;
        writeln!(f, "{}\n", power(self))?;
        writeln!(f, "{}", bricks(self))?;
        writeln!(f, "{}", answers(self.requests))?;
        let latencies = latencies(self);
        if self.first_output.is_some() || self.end_to_end.is_some() {
            writeln!(f, "\n{latencies}")?;
        }
        let modes: Vec<String> = self.modes.iter().map(|time| format!("{} {}", time.mode, hours(time.hours))).collect();
        writeln!(f, "modes     {}; {}", modes.join(", "), standby(self))?;
        writeln!(f, "{}", weights(self.weights))?;
        for edge in self.edges.iter().filter(|edge| edge.counts.dropped > 0) {
            writeln!(f, "dropped   {} on {}", edge.counts.dropped, edge.edge)?;
        }
        for NodeFailure { node, restarts, stayed_down, why } in &self.failures {
            let then = if *stayed_down { ", then it stayed down" } else { "" };
            writeln!(f, "failed    {node}: {why} (started again {restarts} times{then})")?;
        }
        for counted in &self.counters {
            writeln!(f, "counted   {}: {} {}", counted.node, counted.count, counted.what)?;
        }
        changes(f, self)
    }
}

/// How long the battery lasted, or how full it still is.
fn lasting(report: &SimulationReport) -> String {
    let Some(battery) = report.battery else { return format!("{} on mains", hours(report.hours)) };
    match battery.empty_after_hours {
        Some(empty) => format!("battery   empty after {} ({:.2} Wh)", hours(empty), battery.usable_wh),
        None => {
            let projected = report.hours_to_empty();
            let projected =
                projected.map_or_else(String::new, |all| format!(", about {} in all at this rate", hours(all)));
            let level = battery.level_at_end * 100.0;
            format!("battery   {level:.1} % after {} ({:.2} Wh){projected}", hours(report.hours), battery.usable_wh)
        }
    }
}

/// What the device drew.
fn power(report: &SimulationReport) -> String {
    let mean = report.mean_watts.map_or_else(String::new, |watts| format!(", {watts:.3} W in the mean"));
    format!("energy    {}{mean}", report.energy)
}

fn bricks(report: &SimulationReport) -> Table {
    let mut table = Table::new(["BRICK", "ON", "JOBS", "COMPUTING", "MOVES", "ENERGY", "SHARE"]);
    for brick in &report.bricks {
        let places: Vec<String> = brick.ran_on.iter().map(|place| place.accelerator.clone()).collect();
        let busy: f64 = brick.ran_on.iter().map(|place| place.run_ms).sum();
        let moves = if brick.moves > 0 { brick.moves.to_string() } else { String::new() };
        table.row([
            brick.node.clone(),
            places.join(" "),
            jobs(brick).to_string(),
            format!("{:.1} s", busy / 1e3),
            moves,
            watt_hours(brick.energy),
            share(brick.energy, report.energy),
        ]);
    }
    let rest = report.energy_unattributed;
    table.row([
        "(no brick)".to_owned(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        watt_hours(rest),
        share(rest, report.energy),
    ]);
    table
}

fn jobs(brick: &BrickUse) -> u64 {
    brick.ran_on.iter().map(|place| place.jobs).sum()
}

fn answers(requests: RequestCounts) -> String {
    let RequestCounts { minted, answered, failed, cancelled, dropped } = requests;
    let mut text = format!("requests  {answered} of {minted} answered");
    let open = minted.saturating_sub(answered + failed + cancelled + dropped);
    for (count, what) in [(failed, "failed"), (cancelled, "cancelled"), (dropped, "dropped"), (open, "unfinished")] {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    text
}

fn latencies(report: &SimulationReport) -> Table {
    let mut table = Table::new(["LATENCY", "HALF", "90 %", "99 %", "LONGEST"]);
    let mut row = |what: &str, percentiles: Option<Percentiles>| {
        let Some(Percentiles { p50_ms, p90_ms, p99_ms, max_ms, .. }) = percentiles else { return };
        table.row([what.to_owned(), seconds(p50_ms), seconds(p90_ms), seconds(p99_ms), seconds(max_ms)]);
    };
    row("first output", report.first_output);
    row("whole answer", report.end_to_end);
    table
}

/// What the governor changed of mode and places, and how often it changed the duty.
fn changes(f: &mut fmt::Formatter<'_>, report: &SimulationReport) -> fmt::Result {
    let (mut shown, mut more, mut duties) = (0, 0, 0);
    for change in &report.changes {
        let what = match &change.what {
            ChangedWhat::Mode { from, to } => format!("mode {from} → {to}"),
            ChangedWhat::Place { node, from, to } => format!("{node}: {from} → {to}"),
            ChangedWhat::Duty(_) => {
                duties += 1;
                continue;
            }
        };
        if shown == CHANGES {
            more += 1;
            continue;
        }
        shown += 1;
        writeln!(f, "{:>8.3} h  {what} ({})", change.hours, change.why)?;
    }
    if more > 0 {
        writeln!(f, "… and {more} more changes of mode and places (--format json has all)")?;
    }
    if duties > 0 { writeln!(f, "duty changed {duties} times") } else { Ok(()) }
}

/// How long the device stood by, and how often.
fn standby(report: &SimulationReport) -> String {
    match report.standby {
        Some(StandbyReport { entries, seconds }) => {
            format!("standby {} in {entries} times", hours(seconds / 3600.0))
        }
        None => "never in standby".to_owned(),
    }
}

fn weights(weights: WeightUse) -> String {
    let mut text = format!("weights   {} at most", megabytes(weights.peak_bytes));
    for (bytes, when) in [(weights.between_stages_bytes, "between stages"), (weights.in_standby_bytes, "in standby")] {
        if let Some(bytes) = bytes {
            text += &format!(", {} {when}", megabytes(bytes));
        }
    }
    text
}

fn hours(hours: f64) -> String {
    format!("{hours:.2} h")
}

fn seconds(ms: f64) -> String {
    format!("{:.2} s", ms / 1e3)
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn watt_hours(energy: Energy) -> String {
    energy.amount().map_or_else(|| energy.label().to_owned(), |amount| format!("{:.4} Wh", amount.wh()))
}

fn share(part: Energy, whole: Energy) -> String {
    match (part.amount(), whole.amount()) {
        (Some(part), Some(whole)) if whole.get() > 0 => {
            format!("{:.1} %", part.get() as f64 / whole.get() as f64 * 100.0)
        }
        _ => String::new(),
    }
}
