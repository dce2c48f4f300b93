//! What a trace says in figures: time by node and by edge, and what pools of slots saw.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{COPIED_BYTES, SLOTS_IN_USE};

/// No trace of ours is larger; a larger file is refused before it is read.
const LARGEST_FILE: u64 = 2 << 30;

/// A trace could not be summed up.
#[derive(Debug, thiserror::Error)]
pub enum SummaryError {
    /// The file could not be read.
    #[error("cannot read the trace {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is larger than any trace.
    #[error("the trace {} has {bytes} bytes; expected at most {LARGEST_FILE}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The file is no trace.
    #[error("{} is not a Chrome trace (expected a JSON array of events): {source}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What the parser said, with line and column.
        source: serde_json::Error,
    },
}

/// Time by node and by edge. Times are milliseconds.
#[derive(Clone, PartialEq, Default, Debug, Serialize)]
pub struct TraceSummary {
    /// From the first event to the end of the last one.
    pub span_ms: f64,
    /// One line for each (node, accelerator, phase), by node.
    pub nodes: Vec<NodeSummary>,
    /// One line for each edge, by name.
    pub edges: Vec<EdgeSummary>,
    /// One line for each pool of slots, by name.
    pub pools: Vec<PoolSummary>,
    /// Records that the tracer lost; the figures are too small by these.
    pub lost_records: u64,
    /// Whether the file ended in the middle, as after a crash.
    pub cut_short: bool,
}

/// The jobs of one node in one phase on one accelerator.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct NodeSummary {
    /// The node.
    pub node: String,
    /// Where the jobs ran.
    pub accelerator: String,
    /// What they did ("prefill", "decode").
    pub phase: String,
    /// How many there were.
    pub jobs: u64,
    /// How many tokens they computed.
    pub tokens: u64,
    /// How long they ran, together.
    pub run_ms: f64,
    /// How long they waited in the queue, together.
    pub wait_ms: f64,
    /// How long they were predicted to run, together; `None` where the trace does not say.
    pub predicted_ms: Option<f64>,
    /// How far predictions were off, job by job: the median of |predicted − actual| / actual.
    pub median_error: Option<f64>,
    /// What they took by the device's profile, in millijoules; `None` where there is none.
    pub energy_mj: Option<f64>,
    /// Tokens for each second of running; `None` where there are no tokens.
    pub tokens_per_second: Option<f64>,
}

/// The packets of one edge.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct EdgeSummary {
    /// The edge ("mind.text → reply.text").
    pub edge: String,
    /// Packets sent.
    pub packets: u64,
    /// Tokens that they carried.
    pub tokens: u64,
    /// Packets that were sent and never taken: dropped, cancelled, or under way at the end.
    pub not_received: u64,
    /// Mean time from sending to taking; `None` where none was taken.
    pub mean_ms: Option<f64>,
    /// The longest such time.
    pub longest_ms: Option<f64>,
}

/// A pool of slots.
#[derive(Clone, PartialEq, Default, Debug, Serialize)]
pub struct PoolSummary {
    /// The output that it serves ("eye.patches").
    pub pool: String,
    /// The most slots that were in use at once when something was sent.
    pub most_slots: u64,
    /// Embedding bytes that were copied rather than read in place.
    pub copied_bytes: u64,
}

#[derive(Deserialize)]
struct Event {
    ph: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    cat: String,
    #[serde(default)]
    pid: u32,
    #[serde(default)]
    tid: u32,
    #[serde(default)]
    ts: f64,
    #[serde(default)]
    dur: f64,
    #[serde(default)]
    id: Option<u64>,
    #[serde(default)]
    args: Args,
}

#[derive(Default, Deserialize)]
struct Args {
    #[serde(default)]
    name: String,
    #[serde(default)]
    node: String,
    #[serde(default)]
    phase: String,
    #[serde(default)]
    tokens: u64,
    #[serde(default)]
    wait_us: f64,
    #[serde(default)]
    predicted_us: Option<f64>,
    #[serde(default)]
    energy_uj: Option<f64>,
    #[serde(default)]
    lost: u64,
    #[serde(default)]
    value: f64,
}

impl TraceSummary {
    /// Sums up the trace in a file.
    ///
    /// # Errors
    /// [`SummaryError`] where the file cannot be read or holds no trace. One that was cut short is summed up as far as
    /// it goes.
    pub fn read(path: &Path) -> Result<TraceSummary, SummaryError> {
        let read = |source| SummaryError::Read { path: path.to_owned(), source };
        let bytes = fs::metadata(path).map_err(read)?.len();
        if bytes > LARGEST_FILE {
            return Err(SummaryError::TooLarge { path: path.to_owned(), bytes });
        }
        let text = fs::read_to_string(path).map_err(read)?;
        TraceSummary::parse(&text).map_err(|source| SummaryError::Format { path: path.to_owned(), source })
    }

    fn parse(text: &str) -> Result<TraceSummary, serde_json::Error> {
        match serde_json::from_str::<Vec<Event>>(text) {
            Ok(events) => Ok(TraceSummary::of(&events)),
            Err(error) if error.is_eof() => {
                // A run that was killed leaves whole lines and perhaps a part of one; the format allows the missing end.
                let whole = text.rfind(",\n").map_or("[", |end| &text[..end]);
                let events: Vec<Event> = serde_json::from_str(&format!("{whole}]")).map_err(|_| error)?;
                Ok(TraceSummary { cut_short: true, ..TraceSummary::of(&events) })
            }
            Err(error) => Err(error),
        }
    }

    fn of(events: &[Event]) -> TraceSummary {
        let mut tracks = HashMap::new();
        let mut nodes: BTreeMap<(String, String, String), Line> = BTreeMap::new();
        let mut edges: BTreeMap<&str, Hops> = BTreeMap::new();
        let mut pools: BTreeMap<&str, PoolSummary> = BTreeMap::new();
        let (mut first, mut last) = (f64::INFINITY, f64::NEG_INFINITY);
        let mut lost_records = 0;
        for event in events {
            if event.ph != "M" {
                first = first.min(event.ts);
                last = last.max(event.ts + event.dur);
            }
            match (event.ph.as_str(), event.cat.as_str()) {
                ("M", _) if event.name == "thread_name" => {
                    tracks.insert((event.pid, event.tid), event.args.name.as_str());
                }
                ("M", _) if event.name == "lost_records" => lost_records = event.args.lost,
                ("X", "job") => {
                    let accelerator = tracks.get(&(event.pid, event.tid)).copied().unwrap_or("unnamed");
                    add_job(&mut nodes, accelerator, event);
                }
                ("C", _) => add_counter(&mut pools, event),
                ("s" | "f", "edge") => edges.entry(&event.name).or_default().add(event),
                _ => {}
            }
        }
        let nodes = nodes.into_values().map(Line::summary).collect();
        let edges = edges.into_iter().map(|(edge, hops)| hops.summary(edge)).collect();
        let span_ms = if last > first { (last - first) / 1e3 } else { 0.0 };
        let pools = pools.into_values().collect();
        TraceSummary { span_ms, nodes, edges, pools, lost_records, cut_short: false }
    }
}

/// The jobs of one line while they are gathered.
struct Line {
    summary: NodeSummary,
    errors: Vec<f64>,
}

impl Line {
    fn summary(self) -> NodeSummary {
        let Line { mut summary, mut errors } = self;
        errors.sort_by(f64::total_cmp);
        summary.median_error = errors.get(errors.len() / 2).copied();
        summary.tokens_per_second = (summary.tokens > 0).then(|| summary.tokens as f64 / (summary.run_ms / 1e3));
        summary
    }
}

fn add_job(nodes: &mut BTreeMap<(String, String, String), Line>, accelerator: &str, event: &Event) {
    let (node, phase) = (&event.args.node, &event.args.phase);
    let Line { summary, errors } =
        nodes.entry((node.clone(), phase.clone(), accelerator.to_owned())).or_insert_with(|| Line {
            summary: NodeSummary {
                node: node.clone(),
                accelerator: accelerator.to_owned(),
                phase: phase.clone(),
                jobs: 0,
                tokens: 0,
                run_ms: 0.0,
                wait_ms: 0.0,
                predicted_ms: None,
                median_error: None,
                energy_mj: None,
                tokens_per_second: None,
            },
            errors: Vec::new(),
        });
    summary.jobs += 1;
    summary.tokens += event.args.tokens;
    summary.run_ms += event.dur / 1e3;
    summary.wait_ms += event.args.wait_us / 1e3;
    if let Some(predicted) = event.args.predicted_us {
        *summary.predicted_ms.get_or_insert(0.0) += predicted / 1e3;
        if event.dur > 0.0 {
            errors.push((predicted - event.dur).abs() / event.dur);
        }
    }
    if let Some(energy) = event.args.energy_uj {
        *summary.energy_mj.get_or_insert(0.0) += energy / 1e3;
    }
}

/// Takes in a counter, if it is one of a pool; both only ever say how much it is now.
fn add_counter<'e>(pools: &mut BTreeMap<&'e str, PoolSummary>, event: &'e Event) {
    let value = event.args.value as u64;
    if let Some(name) = event.name.strip_prefix(SLOTS_IN_USE) {
        let most = &mut pool_of(pools, name).most_slots;
        *most = value.max(*most);
    } else if let Some(name) = event.name.strip_prefix(COPIED_BYTES) {
        let copied = &mut pool_of(pools, name).copied_bytes;
        *copied = value.max(*copied);
    }
}

fn pool_of<'p, 'e>(pools: &'p mut BTreeMap<&'e str, PoolSummary>, name: &'e str) -> &'p mut PoolSummary {
    pools.entry(name).or_insert_with(|| PoolSummary { pool: name.to_owned(), ..PoolSummary::default() })
}

/// The packets of one edge while they are matched.
#[derive(Default)]
struct Hops {
    under_way: HashMap<u64, f64>,
    sent: u64,
    tokens: u64,
    taken: u64,
    total_us: f64,
    longest_us: f64,
}

impl Hops {
    fn add(&mut self, event: &Event) {
        let Some(hop) = event.id else { return };
        if event.ph == "s" {
            self.under_way.insert(hop, event.ts);
            self.sent += 1;
            self.tokens += event.args.tokens;
        } else if let Some(sent) = self.under_way.remove(&hop) {
            let time = (event.ts - sent).max(0.0);
            self.taken += 1;
            self.total_us += time;
            self.longest_us = self.longest_us.max(time);
        }
    }

    fn summary(self, edge: &str) -> EdgeSummary {
        let taken = (self.taken > 0).then_some(self.taken as f64);
        EdgeSummary {
            edge: edge.to_owned(),
            packets: self.sent,
            tokens: self.tokens,
            not_received: self.under_way.len() as u64,
            mean_ms: taken.map(|taken| self.total_us / taken / 1e3),
            longest_ms: taken.map(|_| self.longest_us / 1e3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::TraceFile;
    use crate::trace::record::{Job, Record};

    fn decode(begin: u64) -> Record {
        Record::Job(Job {
            accelerator: "cpu:0".into(),
            node: "mind".into(),
            phase: "decode".into(),
            tokens: 1,
            begin,
            length: 5_000_000,
            wait: 1_000_000,
            predicted: 4_000_000,
            energy: Some(8_500),
            request: Some(1),
        })
    }

    fn written(finish: bool) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.json");
        let file = TraceFile::create(&path).unwrap();
        for step in 0..4 {
            file.push(decode(step * 6_000_000));
        }
        let (edge, node) = (String::from("mind.text → reply.text"), String::from("mind"));
        file.push(Record::Sent { node: node.clone(), edge: edge.clone(), hop: 7, tokens: 1, at: 5_000_000 });
        file.push(Record::Sent { node, edge: edge.clone(), hop: 8, tokens: 1, at: 6_000_000 });
        file.push(Record::Received { node: "reply".into(), edge, hop: 7, at: 5_500_000 });
        if finish {
            file.finish().unwrap()
        } else {
            file.flush().unwrap()
        }
        (folder, path)
    }

    #[test]
    fn a_written_trace_sums_up_to_what_was_pushed() {
        let (_folder, path) = written(true);
        let summary = TraceSummary::read(&path).unwrap();
        let node = &summary.nodes[0];
        assert_eq!((node.jobs, node.tokens, node.accelerator.as_str()), (4, 4, "cpu:0"), "{summary:?}");
        assert!((node.run_ms - 20.0).abs() < 1e-9 && (node.wait_ms - 4.0).abs() < 1e-9, "{summary:?}");
        assert!((node.tokens_per_second.unwrap() - 200.0).abs() < 1e-6, "{summary:?}");
        let foreseen = [node.predicted_ms, node.median_error, node.energy_mj].map(Option::unwrap);
        let expected = [16.0, 0.2, 34.0];
        assert!(foreseen.iter().zip(expected).all(|(seen, expected)| (seen - expected).abs() < 1e-9), "{summary:?}");
        let edge = &summary.edges[0];
        assert_eq!((edge.packets, edge.not_received), (2, 1), "{summary:?}");
        assert!((edge.mean_ms.unwrap() - 0.5).abs() < 1e-9, "{summary:?}");
        assert!((summary.span_ms - 23.0).abs() < 1e-9 && !summary.cut_short, "{summary:?}");
    }

    #[test]
    fn a_trace_cut_in_the_middle_of_a_line_is_summed_up_as_far_as_it_goes() {
        let (_folder, path) = written(false);
        let text = fs::read_to_string(&path).unwrap();
        let summary = TraceSummary::parse(&text[..text.len() - 20]).unwrap();
        assert!(summary.cut_short, "{summary:?}");
        assert_eq!(summary.nodes[0].jobs, 4, "{summary:?}");
    }

    #[test]
    fn a_file_that_is_no_trace_is_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        fs::write(&path, "hello").unwrap();
        let error = TraceSummary::read(&path).unwrap_err().to_string();
        assert!(error.contains("notes.txt") && error.contains("not a Chrome trace"), "{error}");
    }

    #[test]
    fn a_pool_is_summed_up_by_its_highest_counters() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.json");
        let file = TraceFile::create(&path).unwrap();
        for (at, (slots, copied)) in [(1, 0), (3, 512), (2, 512)].into_iter().enumerate() {
            let counter = |name: &str, value| Record::Counter { name: name.into(), value, at: at as u64 };
            file.push(counter("slots in use eye.patches", f64::from(slots)));
            file.push(counter("copied bytes eye.patches", f64::from(copied)));
            file.push(counter("queue depth cpu", 9.0));
        }
        file.finish().unwrap();
        let eye = PoolSummary { pool: "eye.patches".into(), most_slots: 3, copied_bytes: 512 };
        assert_eq!(TraceSummary::read(&path).unwrap().pools, [eye]);
    }

    #[test]
    fn a_counter_that_does_not_change_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.json");
        let file = TraceFile::create(&path).unwrap();
        for at in 0..5 {
            file.push(Record::Counter { name: "battery".into(), value: 0.5, at });
        }
        file.push(Record::Counter { name: "battery".into(), value: 0.4, at: 9 });
        file.finish().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches("\"C\"").count(), 2, "{text}");
    }
}
