//! The layer of the `tracing` subscriber that collects a trace's events.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, Filter};

use super::TARGET;
use super::file::TraceFile;
use super::record::{Job, Record};

/// Turns the events of [`TARGET`] into records of a [`TraceFile`]. Add it to the subscriber with
/// [`TraceLayer::with_own_filter`], so that other layers keep their own levels.
#[derive(Debug)]
pub struct TraceLayer {
    file: TraceFile,
}

impl TraceLayer {
    /// A layer that writes to `file`.
    pub fn new(file: TraceFile) -> TraceLayer {
        TraceLayer { file }
    }

    /// The layer together with the filter that lets just the trace's events through.
    pub fn with_own_filter<S>(self) -> impl Layer<S>
    where
        S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    {
        self.with_filter(TraceEvents)
    }
}

impl<S: Subscriber> Layer<S> for TraceLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if let Some(record) = fields.into_record() {
            self.file.push(record);
        }
    }
}

/// Lets just the trace's events through.
struct TraceEvents;

impl<S> Filter<S> for TraceEvents {
    fn enabled(&self, meta: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        meta.target() == TARGET
    }

    fn callsite_enabled(&self, meta: &'static Metadata<'static>) -> Interest {
        if meta.target() == TARGET { Interest::always() } else { Interest::never() }
    }
}

/// The fields of one event, before its kind is known.
#[derive(Default)]
struct Fields {
    kind: String,
    track: String,
    node: String,
    phase: String,
    edge: String,
    what: String,
    reason: String,
    tokens: u64,
    begin: u64,
    length: u64,
    wait: u64,
    predicted: u64,
    energy: Option<u64>,
    hop: u64,
    request: Option<u64>,
    value: f64,
}

impl Fields {
    fn into_record(self) -> Option<Record> {
        Some(match self.kind.as_str() {
            "job" => Record::Job(Job {
                accelerator: self.track,
                node: self.node,
                phase: self.phase,
                tokens: self.tokens,
                begin: self.begin,
                length: self.length,
                wait: self.wait,
                predicted: self.predicted,
                energy: self.energy,
                request: self.request,
            }),
            "work" => Record::Work {
                node: self.track,
                what: self.what,
                begin: self.begin,
                length: self.length,
                request: self.request,
            },
            "mark" => Record::Mark { node: self.track, what: self.what, at: self.begin, request: self.request },
            "sent" => {
                Record::Sent { node: self.track, edge: self.edge, hop: self.hop, tokens: self.tokens, at: self.begin }
            }
            "received" => Record::Received { node: self.track, edge: self.edge, hop: self.hop, at: self.begin },
            "counter" => Record::Counter { name: self.track, value: self.value, at: self.begin },
            "decision" => Record::Decision { what: self.what, reason: self.reason, at: self.begin },
            _ => return None,
        })
    }

    fn text(&mut self, name: &str) -> Option<&mut String> {
        Some(match name {
            "kind" => &mut self.kind,
            "track" => &mut self.track,
            "node" => &mut self.node,
            "phase" => &mut self.phase,
            "edge" => &mut self.edge,
            "what" => &mut self.what,
            "reason" => &mut self.reason,
            _ => return None,
        })
    }
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "tokens" => self.tokens = value,
            "begin" => self.begin = value,
            "length" => self.length = value,
            "wait" => self.wait = value,
            "predicted" => self.predicted = value,
            "energy" => self.energy = Some(value),
            "hop" => self.hop = value,
            "request" => self.request = Some(value),
            _ => {}
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "value" {
            self.value = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if let Some(text) = self.text(field.name()) {
            text.push_str(value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if let Some(text) = self.text(field.name()) {
            *text = format!("{value:?}");
        }
    }
}
