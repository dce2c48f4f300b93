//! The report as a person reads it when a run ends: one screen, and nothing on it that was not measured.

use std::fmt;

use nanomind_hal::{MicroJoules, Phase};

use super::table::Table;
use super::{AnswerReport, EnergyReport, MemoryReport, NodeOutcome, NodeReport, RunReport};
use crate::edge::EdgeCounts;
use crate::memory::Resident;
use crate::request::RequestCounts;

/// So many lines are shown of what may be without end: drops, decisions, failures.
const LINES: usize = 3;

impl fmt::Display for RunReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", bricks(self))?;
        for node in self.nodes.iter().filter(|node| !node.answers.is_empty()) {
            write_answers(f, self, node)?;
        }
        if !self.pools.is_empty() {
            writeln!(f, "copied  {} bytes of embeddings ({})", self.copied_bytes(), by_pool(self))?;
        }
        writeln!(f, "memory  {}", memory(&self.memory))?;
        write_lines(f, at_rest(self).into_iter())?;
        write_energy(f, self)?;
        write_lines(f, self.nodes.iter().filter_map(trouble))?;
        let lossy = self.edges.iter().filter(|edge| edge.counts.dropped + edge.counts.cancelled > 0);
        write_lines(
            f,
            lossy.map(|edge| {
                let EdgeCounts { packets, dropped, cancelled, .. } = edge.counts;
                format!("{}: {packets} packets, {dropped} dropped, {cancelled} cancelled", edge.edge)
            }),
        )?;
        let decisions = self.decisions.iter().rev();
        write_lines(f, decisions.map(|record| format!("decision {}: {}", record.number, record.decision)))?;
        write!(f, "{}", ending(self))
    }
}

/// What each node had accelerators do.
fn bricks(report: &RunReport) -> Table {
    let mut table = Table::new(["BRICK", "ON", "JOBS", "COMPUTING", "WAITING", "TOKENS", "FROM CACHE", "ENERGY"]);
    for node in report.nodes.iter().filter(|node| !node.ran_on.is_empty()) {
        let places: Vec<&str> = node.ran_on.iter().map(|place| place.accelerator.as_str()).collect();
        let (run, wait) = node.job_ms();
        table.row([
            node.node.clone(),
            places.join(" "),
            node.ran_on.iter().map(|place| place.jobs).sum::<u64>().to_string(),
            time(run),
            time(wait),
            some(node.tokens()),
            from_cache(node),
            node.energy.amount().map(|energy| energy.to_string()).unwrap_or_default(),
        ]);
    }
    table
}

/// What a node found in its cache: tokens of a language node, whole inputs of any other.
fn from_cache(node: &NodeReport) -> String {
    let tokens: u64 = node.answers.iter().map(|answer| answer.cached_tokens).sum();
    match node.counters.get("cache_hits") {
        Some(hits) => format!("{hits} {}", if *hits == 1 { "time" } else { "times" }),
        None if tokens > 0 => format!("{tokens} tokens"),
        None => String::new(),
    }
}

/// Three lines about all answers of a language node.
fn write_answers(f: &mut fmt::Formatter<'_>, report: &RunReport, node: &NodeReport) -> fmt::Result {
    let answers = &node.answers;
    let sum = |of: fn(&AnswerReport) -> u64| answers.iter().map(of).sum::<u64>();
    let first = |answer: &AnswerReport| {
        let shown = report.first_outputs.iter().find(|first| first.request == answer.request);
        shown.map_or(answer.first_token_ms, |first| first.after_ms)
    };
    let mut firsts: Vec<f64> = answers.iter().map(first).collect();
    firsts.sort_by(f64::total_cmp);
    write!(f, "{:<7} first token after {}", node.node, time(firsts[firsts.len() / 2]))?;
    match answers.as_slice() {
        [_] => writeln!(f)?,
        _ => writeln!(f, " ({} to {} in {} answers)", time(firsts[0]), time(firsts[firsts.len() - 1]), firsts.len())?,
    }
    let (generated, decode_ms) = (sum(|answer| answer.generated_tokens), answers.iter().map(|one| one.decode_ms).sum());
    write!(f, "        {generated} tokens generated{}", rate(generated, decode_ms))?;
    let (guessed, right) = (sum(|answer| answer.guessed_tokens), sum(|answer| answer.right_guesses));
    if guessed > 0 {
        write!(f, ", {right} of {guessed} guesses right")?;
    }
    match answers.as_slice() {
        [one] => writeln!(f, " ({})", one.finish)?,
        _ => writeln!(f)?,
    }
    let (prompt, cached) = (sum(|answer| answer.prompt_tokens), sum(|answer| answer.cached_tokens));
    let prefill_ms = answers.iter().map(|one| one.prefill_ms).sum();
    write!(f, "        {prompt} prompt tokens")?;
    if cached > 0 {
        write!(f, ", {cached} from the cache")?;
    }
    if prompt > cached {
        write!(f, ", read{}", rate(prompt - cached, prefill_ms))?;
    }
    let moves = sum(|answer| answer.moves);
    if moves > 0 { writeln!(f, ", moved {moves} times meanwhile") } else { writeln!(f) }
}

fn by_pool(report: &RunReport) -> String {
    let pools: Vec<String> = report.pools.iter().map(|pool| format!("{} {}", pool.pool, pool.copied_bytes)).collect();
    pools.join(", ")
}

fn memory(memory: &MemoryReport) -> String {
    let parts = [("weights", memory.weights), ("KV cache", memory.kv_cache), ("slots", memory.slots)];
    let parts = parts.into_iter().filter(|(_, bytes)| *bytes > 0);
    let parts: Vec<String> = parts.map(|(what, bytes)| format!("{what} {}", megabytes(bytes))).collect();
    match memory.peak_resident {
        Some(peak) if parts.is_empty() => format!("process peak {}", megabytes(peak)),
        Some(peak) => format!("{}; process peak {}", parts.join(", "), megabytes(peak)),
        None => parts.join(", "),
    }
}

/// What was in memory while no brick worked, where bricks worked in turn or the device stood by.
fn at_rest(report: &RunReport) -> Vec<String> {
    let amount = |resident: &Resident| {
        let process = resident.process.map(|bytes| format!(", process {}", megabytes(bytes))).unwrap_or_default();
        format!("weights {}{process}", megabytes(resident.weights))
    };
    let MemoryReport { between_stages, in_standby, .. } = &report.memory;
    let stages = between_stages.map(|after| format!("        {} after {} stages in turn", amount(&after), after.times));
    let standby = report.standby.zip(*in_standby).map(|(standby, memory)| {
        let times = if standby.entries == 1 { "once" } else { &format!("{} times", standby.entries) };
        format!("standby {times}, {:.1} s; {}", standby.seconds, amount(&memory))
    });
    stages.into_iter().chain(standby).collect()
}

/// What was out of the ordinary with a node.
fn trouble(node: &NodeReport) -> Option<String> {
    let NodeOutcome { end, failed, restarts, last_failure, .. } = &node.outcome;
    let why = || last_failure.as_deref().unwrap_or("it ended");
    match (*failed, *restarts) {
        (true, 0) => Some(format!("{}: {end}", node.node)),
        (true, restarts) => Some(format!("{}: restarted {restarts} times, then {end}", node.node)),
        (false, 0) => None,
        (false, restarts) => Some(format!("{}: restarted {restarts} times ({})", node.node, why())),
    }
}

/// The first lines, and how many there are besides.
fn write_lines(f: &mut fmt::Formatter<'_>, lines: impl Iterator<Item = String>) -> fmt::Result {
    let mut more = 0u64;
    for (at, line) in lines.enumerate() {
        if at < LINES { writeln!(f, "{line}")? } else { more += 1 }
    }
    if more > 0 { writeln!(f, "… and {more} more of this kind (--report has all)") } else { Ok(()) }
}

/// The last line: how long, and what became of the requests.
fn ending(report: &RunReport) -> String {
    let RequestCounts { minted, answered, failed, cancelled, dropped } = report.requests;
    let mut text = format!("{:.2} s, {answered} of {minted} requests answered", report.seconds);
    let unfinished = minted.saturating_sub(answered + failed + cancelled + dropped);
    for (count, what) in
        [(failed, "failed"), (cancelled, "cancelled"), (dropped, "dropped"), (unfinished, "unfinished")]
    {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    text
}

/// At most two lines about energy; none where nothing is known of it.
fn write_energy(f: &mut fmt::Formatter<'_>, report: &RunReport) -> fmt::Result {
    let EnergyReport { total, bricks, loading, .. } = &report.energy;
    if total.amount().is_none() {
        return Ok(());
    }
    write!(f, "energy  {total}")?;
    let (Some(_), Some(loaded)) = (bricks.amount(), loading.amount()) else { return writeln!(f) };
    write!(f, "; bricks {bricks}")?;
    if loaded > MicroJoules::ZERO {
        write!(f, ", loading {loaded}")?;
    }
    writeln!(f)?;
    let phase = |phase| {
        let lines = report.nodes.iter().filter(|node| !node.answers.is_empty()).flat_map(|node| &node.phases);
        let lines = lines.filter(move |line| line.phase == phase);
        let (tokens, joules) = lines.fold((0, 0.0), |(tokens, joules), line| {
            (tokens + line.tokens, joules + line.energy.amount().map_or(0.0, MicroJoules::joules))
        });
        (tokens > 0).then(|| joules * 1e3 / tokens as f64)
    };
    let answered: Vec<MicroJoules> = {
        let taken = report.answers().filter_map(|(_, answer)| report.energy.of_request(answer.request)?.amount());
        taken.collect()
    };
    let mean = answered.iter().copied().sum::<MicroJoules>().joules() * 1e3 / answered.len().max(1) as f64;
    let parts = [
        ("read", phase(Phase::Prefill)),
        ("generated", phase(Phase::Decode)),
        ("answer", (!answered.is_empty()).then_some(mean)),
    ];
    let parts = parts.into_iter().filter_map(|(what, mj)| mj.map(|mj| (what, mj)));
    let parts: Vec<String> = parts
        .map(|(what, mj)| match what {
            "answer" => format!("{} an answer", millijoules(mj)),
            what => format!("{} a token {what}", millijoules(mj)),
        })
        .collect();
    if parts.is_empty() { Ok(()) } else { writeln!(f, "        {}", parts.join(", ")) }
}

fn millijoules(mj: f64) -> String {
    if mj < 999.95 { format!("{mj:.1} mJ") } else { format!("{:.2} J", mj / 1e3) }
}

fn some(count: u64) -> String {
    if count > 0 { count.to_string() } else { String::new() }
}

fn rate(tokens: u64, ms: f64) -> String {
    if ms > 0.0 { format!(" at {:.1} tokens/s", tokens as f64 * 1e3 / ms) } else { String::new() }
}

fn time(ms: f64) -> String {
    match ms {
        ms if ms < 99.95 => format!("{ms:.1} ms"),
        ms if ms < 9_999.5 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1e3),
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests;
