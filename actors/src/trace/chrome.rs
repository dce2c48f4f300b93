//! Records as lines of a Chrome trace: one event a line, so that a trace cut short is still readable.

use std::collections::HashMap;
use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::record::{Job, Record};

/// The head of the file.
pub(super) const HEAD: &str = "[\n";

/// The process that holds the tracks of the accelerators.
pub(super) const ACCELERATORS: u32 = 1;
/// The process that holds the tracks of the nodes.
pub(super) const NODES: u32 = 2;

/// The end of the file.
pub(super) fn tail(lost: u64) -> String {
    format!("{}\n]\n", json!({"ph": "M", "pid": NODES, "tid": 0, "name": "lost_records", "args": {"lost": lost}}))
}

/// The numbers of the tracks that were named so far.
#[derive(Default, Debug)]
pub(super) struct Tracks {
    numbers: HashMap<(u32, String), u32>,
}

impl Tracks {
    /// The number of a track; a new one is named in the file first.
    fn number(&mut self, out: &mut impl Write, process: u32, name: &str) -> io::Result<u32> {
        if let Some(&number) = self.numbers.get(&(process, name.to_owned())) {
            return Ok(number);
        }
        if !self.numbers.keys().any(|(known, _)| *known == process) {
            let title = if process == ACCELERATORS { "accelerators" } else { "nodes" };
            line(out, json!({"ph": "M", "pid": process, "tid": 0, "name": "process_name", "args": {"name": title}}))?;
        }
        let number = u32::try_from(self.numbers.len() + 1).unwrap_or(u32::MAX);
        line(out, json!({"ph": "M", "pid": process, "tid": number, "name": "thread_name", "args": {"name": name}}))?;
        self.numbers.insert((process, name.to_owned()), number);
        Ok(number)
    }
}

/// Writes one record.
pub(super) fn write(out: &mut impl Write, tracks: &mut Tracks, record: &Record) -> io::Result<()> {
    match record {
        Record::Job(job) => write_job(out, tracks, job),
        Record::Work { node, what, begin, length, request } => {
            let tid = tracks.number(out, NODES, node)?;
            line(
                out,
                json!({"ph": "X", "cat": "node", "name": what, "pid": NODES, "tid": tid, "ts": micros(*begin),
                    "dur": micros(*length), "args": of_request(*request)}),
            )
        }
        Record::Mark { node, what, at, request } => {
            let tid = tracks.number(out, NODES, node)?;
            line(
                out,
                json!({"ph": "i", "s": "t", "cat": "mark", "name": what, "pid": NODES, "tid": tid, "ts": micros(*at),
                    "args": of_request(*request)}),
            )
        }
        Record::Sent { node, edge, hop, tokens, at } => {
            let tid = tracks.number(out, NODES, node)?;
            line(
                out,
                json!({"ph": "s", "cat": "edge", "name": edge, "id": hop, "pid": NODES, "tid": tid,
                    "ts": micros(*at), "args": {"tokens": tokens}}),
            )
        }
        Record::Received { node, edge, hop, at } => {
            let tid = tracks.number(out, NODES, node)?;
            // Without a binding point the arrow ends at the next slice of its track: the work on what has come.
            line(
                out,
                json!({"ph": "f", "cat": "edge", "name": edge, "id": hop, "pid": NODES, "tid": tid,
                    "ts": micros(*at)}),
            )
        }
        Record::Counter { name, value, at } => line(
            out,
            json!({"ph": "C", "name": name, "pid": ACCELERATORS, "tid": 0, "ts": micros(*at),
                "args": {"value": value}}),
        ),
        Record::Decision { what, reason, at } => {
            let tid = tracks.number(out, NODES, "governor")?;
            line(
                out,
                json!({"ph": "i", "s": "t", "cat": "decision", "name": what, "pid": NODES, "tid": tid,
                    "ts": micros(*at), "args": {"reason": reason}}),
            )
        }
    }
}

fn write_job(out: &mut impl Write, tracks: &mut Tracks, job: &Job) -> io::Result<()> {
    let tid = tracks.number(out, ACCELERATORS, &job.accelerator)?;
    let name = match (job.phase.as_str(), job.tokens) {
        ("decode" | "load", _) => format!("{}: {}", job.node, job.phase),
        (phase, tokens) => format!("{}: {phase} {tokens} tokens", job.node),
    };
    let mut args = of_request(job.request);
    args.insert("node".into(), json!(job.node));
    args.insert("phase".into(), json!(job.phase));
    args.insert("tokens".into(), json!(job.tokens));
    args.insert("wait_us".into(), json!(micros(job.wait)));
    args.insert("predicted_us".into(), json!(micros(job.predicted)));
    if let Some(energy) = job.energy {
        args.insert("energy_uj".into(), json!(energy));
    }
    line(
        out,
        json!({"ph": "X", "cat": "job", "name": name, "pid": ACCELERATORS, "tid": tid, "ts": micros(job.begin),
            "dur": micros(job.length), "args": args}),
    )
}

/// The arguments of an event that belongs to a request or to none.
fn of_request(request: Option<u64>) -> Map<String, Value> {
    request.map(|request| ("request".to_owned(), json!(request))).into_iter().collect()
}

/// Nanoseconds as the format's microseconds.
fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

fn line(out: &mut impl Write, event: Value) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &event)?;
    out.write_all(b",\n")
}
