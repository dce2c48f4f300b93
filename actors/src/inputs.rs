//! The inputs of a node and their firing rules: one `next` that yields what the node works on.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use nanomind_graphs::Firing as FiringRule;
use parking_lot::Mutex;

use crate::cancellation::Cancellations;
use crate::edge::EdgeReceiver;
use crate::packet::{Packet, Payload};
use crate::request::{RequestError, RequestId};

/// At most this many requests may wait on one joined input for their trigger, and as many values of a latched one be put
/// together; beyond, the oldest is dropped.
const REQUESTS_KEPT: usize = 64;

/// One connected input of a node.
#[derive(Clone)]
pub struct Input {
    port: Arc<str>,
    rule: FiringRule,
    edge: EdgeReceiver,
    /// Packets that one request may bring by a joined edge; each of them keeps a slot from its producer.
    most: usize,
    /// What has been taken from the edge and not been worked on; it outlives the node's restarts.
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default, Debug)]
struct Kept {
    /// The value of a latched input.
    latch: Latch,
    /// What a joined input has for requests whose trigger is still to come.
    joined: BTreeMap<RequestId, Vec<Packet>>,
}

impl Input {
    /// An input that takes from `edge` by `rule`.
    pub fn new(port: impl Into<Arc<str>>, rule: FiringRule, edge: EdgeReceiver) -> Input {
        Input { port: port.into(), rule, edge, most: usize::MAX, kept: Arc::default() }
    }

    /// The same input for requests of at most `most` packets each; one that brings more fails.
    pub fn bounded(self, most: usize) -> Input {
        Input { most, ..self }
    }

    /// The port's name.
    pub fn port(&self) -> &Arc<str> {
        &self.port
    }
}

/// The value of a latched input: the packets of the request that came whole last.
#[derive(Default, Debug)]
struct Latch {
    whole: Vec<Packet>,
    forming: BTreeMap<RequestId, Vec<Packet>>,
}

impl Latch {
    /// A value that comes in pieces is not seen before it is whole, and one that fails leaves the one before.
    fn push(&mut self, packet: Packet) {
        if packet.as_failure().is_some() {
            self.forming.remove(&packet.request);
            return;
        }
        let (request, last) = (packet.request, packet.last);
        let pieces = self.forming.entry(request).or_default();
        pieces.push(packet);
        if last {
            self.whole = std::mem::take(pieces);
            self.forming.remove(&request);
        } else if self.forming.len() > REQUESTS_KEPT {
            self.forming.pop_first();
        }
    }
}

/// What a node works on: the packet that fired it, with the values that belong to it.
#[derive(Clone, Debug)]
pub struct Firing {
    /// The input that fired.
    pub port: Arc<str>,
    /// Its packet.
    pub packet: Packet,
    /// What the other edges add, in the order of the graph.
    values: Vec<Value>,
    /// How many of them stand before the one that fired.
    before: usize,
}

#[derive(Clone, Debug)]
struct Value {
    port: Arc<str>,
    rule: FiringRule,
    packets: Vec<Packet>,
}

impl Value {
    fn is(&self, port: &str, rule: FiringRule) -> bool {
        *self.port == *port && self.rule == rule
    }
}

impl Firing {
    /// The packets of the last whole value of a latched input; none if none has come.
    pub fn latched<'a>(&'a self, port: &'a str) -> impl Iterator<Item = &'a Packet> {
        self.values.iter().filter(move |value| value.is(port, FiringRule::Latched)).flat_map(|value| &value.packets)
    }

    /// The packets of a joined input for this request, in order.
    pub fn joined<'a>(&'a self, port: &'a str) -> impl Iterator<Item = &'a Packet> {
        self.values.iter().filter(move |value| value.is(port, FiringRule::Joined)).flat_map(|value| &value.packets)
    }

    /// Every packet of an input, by whichever rule it is there, in the order of the graph's edges.
    pub fn packets<'a>(&'a self, port: &'a str) -> impl Iterator<Item = &'a Packet> {
        let (before, after) = self.values.split_at(self.before);
        let of = move |values: &'a [Value]| {
            values.iter().filter(move |value| *value.port == *port).flat_map(|value| &value.packets)
        };
        let fired = (*self.port == *port).then_some(&self.packet);
        of(before).chain(fired).chain(of(after))
    }

    /// The failure that fired or joined, if any: the request has no answer then.
    pub fn failure(&self) -> Option<&RequestError> {
        let joined = self.values.iter().filter(|value| value.rule == FiringRule::Joined);
        self.packet.as_failure().or(joined.flat_map(|value| &value.packets).find_map(Packet::as_failure))
    }
}

struct Port {
    input: Input,
    ended: bool,
}

impl Port {
    fn is(&self, rule: FiringRule) -> bool {
        self.input.rule == rule
    }

    fn has_joined(&self, request: RequestId) -> bool {
        let kept = self.input.kept.lock();
        kept.joined.get(&request).is_some_and(|packets| packets.last().is_some_and(|packet| packet.last))
    }

    /// Whether the packet of `request` can no longer come: an edge keeps the order of requests, so a later one says that
    /// the edge has dropped this one.
    fn has_passed(&self, request: RequestId) -> bool {
        self.input.kept.lock().joined.last_key_value().is_some_and(|(latest, _)| *latest > request)
    }

    /// Adds a packet to what waits for its trigger; gives what is dropped for it.
    fn join(&self, node: &Arc<str>, packet: Packet) -> usize {
        let (most, request) = (self.input.most, packet.request());
        let joined = &mut self.input.kept.lock().joined;
        let packets = joined.entry(packet.request).or_default();
        if packets.iter().any(|packet| packet.as_failure().is_some()) {
            return 1;
        }
        if packets.len() < most || packet.as_failure().is_some() {
            packets.push(packet);
        } else {
            let cause = format!("expected at most {most} packets of one request on `{}`, found more", self.input.port);
            *packets = vec![Packet::failed(request, RequestError::Refused { node: node.clone(), cause })];
        }
        let overflows = joined.len() > REQUESTS_KEPT;
        overflows.then(|| joined.pop_first()).flatten().map_or(0, |(_, lost)| lost.len())
    }
}

/// All connected inputs of one node.
pub struct Inputs {
    node: Arc<str>,
    cancellations: Cancellations,
    ports: Vec<Port>,
    /// A trigger that waits for what it joins with, and its port; no further trigger is taken meanwhile.
    held: Option<(usize, Packet)>,
    /// Requests whose trigger comes in pieces and has not come whole.
    in_pieces: BTreeSet<RequestId>,
    unjoined_drops: u64,
}

impl Inputs {
    /// The inputs of `node`, in the order of the graph. Values are taken before triggers, so a value that came first is
    /// seen by the firing.
    pub fn new(node: Arc<str>, mut inputs: Vec<Input>, cancellations: Cancellations) -> Inputs {
        if !inputs.iter().any(|input| input.rule == FiringRule::Trigger) {
            // Inputs that join each other need one that waits for the rest; without any, whatever arrives fires the node.
            match inputs.iter_mut().find(|input| input.rule == FiringRule::Joined) {
                Some(first) => first.rule = FiringRule::Trigger,
                None => inputs.iter_mut().for_each(|input| input.rule = FiringRule::Trigger),
            }
        }
        let port = |input| Port { input, ended: false };
        let ports = inputs.into_iter().map(port).collect();
        Inputs { node, cancellations, ports, held: None, in_pieces: BTreeSet::new(), unjoined_drops: 0 }
    }

    /// Packets of joined inputs that were dropped because their trigger did not come, or because they were too many.
    pub fn unjoined_drops(&self) -> u64 {
        self.unjoined_drops
    }

    /// Whether no input is connected.
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }

    /// Whether `port` is connected.
    pub fn is_connected(&self, port: &str) -> bool {
        self.ports.iter().any(|candidate| &*candidate.input.port == port)
    }

    /// What to work on next; `None` when every trigger has ended. Safe to abandon and call again.
    pub async fn next(&mut self) -> Option<Firing> {
        loop {
            let held_epoch = self.held.as_ref().map(|(_, packet)| packet.epoch);
            let cancellations = self.cancellations.clone();
            let cancelled = async {
                match held_epoch {
                    Some(epoch) => cancellations.cancelled(epoch).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = cancelled => self.held = None,
                step = poll_fn(|cx| self.poll_step(cx)) => match step {
                    Step::Fire(firing) => return Some(*firing),
                    Step::Held => {}
                    Step::End => return None,
                },
            }
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        self.forget_cancelled();
        for index in 0..self.ports.len() {
            self.poll_values(index, cx);
        }
        if let Some((port, packet)) = self.held.take() {
            if !self.is_joined(&packet) {
                self.held = Some((port, packet));
                return Poll::Pending;
            }
            return Poll::Ready(Step::Fire(Box::new(self.fire(port, packet))));
        }
        let mut ended = true;
        for (index, port) in self.ports.iter_mut().enumerate() {
            if !port.is(FiringRule::Trigger) || port.ended {
                continue;
            }
            match port.input.edge.poll_recv(cx) {
                Poll::Ready(Some(packet)) => {
                    self.forget_passed(packet.request, packet.last);
                    self.held = Some((index, packet));
                    return Poll::Ready(Step::Held);
                }
                Poll::Ready(None) => port.ended = true,
                Poll::Pending => ended = false,
            }
        }
        if ended { Poll::Ready(Step::End) } else { Poll::Pending }
    }

    /// Takes everything that waits on a latched or joined input.
    fn poll_values(&mut self, index: usize, cx: &mut Context<'_>) {
        let port = &mut self.ports[index];
        while !port.ended && !port.is(FiringRule::Trigger) {
            let Poll::Ready(next) = port.input.edge.poll_recv(cx) else { return };
            match next {
                None => port.ended = true,
                Some(packet) if port.is(FiringRule::Latched) => port.input.kept.lock().latch.push(packet),
                Some(packet) => self.unjoined_drops += port.join(&self.node, packet) as u64,
            }
        }
    }

    /// Gives back what was to be joined by requests that are cancelled: it holds slots.
    fn forget_cancelled(&mut self) {
        for port in &mut self.ports {
            let cancelled = |packet: &Packet| self.cancellations.is_cancelled(packet.epoch);
            port.input.kept.lock().joined.retain(|_, packets| !packets.first().is_some_and(cancelled));
        }
    }

    /// Gives back what was to be joined by requests before `request`, whose trigger has come: an edge keeps the order of
    /// requests, so that theirs was dropped. With several triggers there is no such order.
    fn forget_passed(&mut self, request: RequestId, whole: bool) {
        if whole {
            self.in_pieces.remove(&request);
        } else {
            self.in_pieces.insert(request);
            if self.in_pieces.len() > REQUESTS_KEPT {
                self.in_pieces.pop_first();
            }
        }
        if self.ports.iter().filter(|port| port.is(FiringRule::Trigger)).count() > 1 {
            return;
        }
        for port in &mut self.ports {
            let (in_pieces, mut kept) = (&self.in_pieces, port.input.kept.lock());
            let lost = kept.joined.extract_if(..request, |earlier, _| !in_pieces.contains(earlier));
            self.unjoined_drops += lost.map(|(_, packets)| packets.len() as u64).sum::<u64>();
        }
    }

    fn is_joined(&self, trigger: &Packet) -> bool {
        let mut joined = self.ports.iter().filter(|port| port.is(FiringRule::Joined));
        // A failed request waits for nothing: what it would join with may never come.
        let decided = |port: &Port| port.ended || port.has_joined(trigger.request) || port.has_passed(trigger.request);
        trigger.as_failure().is_some() || joined.all(decided)
    }

    fn fire(&self, fired: usize, mut packet: Packet) -> Firing {
        let (mut values, mut before) = (Vec::new(), 0);
        for (index, candidate) in self.ports.iter().enumerate() {
            let (port, rule) = (candidate.input.port.clone(), candidate.input.rule);
            if index == fired {
                before = values.len();
            }
            let mut kept = candidate.input.kept.lock();
            let packets = match rule {
                FiringRule::Trigger => continue,
                FiringRule::Latched => kept.latch.whole.clone(),
                // A request that streams in keeps what it joined with until its last packet.
                FiringRule::Joined if packet.last => kept.joined.remove(&packet.request).unwrap_or_default(),
                FiringRule::Joined => kept.joined.get(&packet.request).cloned().unwrap_or_default(),
            };
            drop(kept);
            if rule == FiringRule::Joined && packets.is_empty() && packet.as_failure().is_none() {
                // A graph that connects the input wants what comes by it: a question about a picture is not answered
                // without the picture, whether the edge dropped it or its source is gone for good.
                let error = RequestError::Unjoined { node: self.node.clone(), port: port.clone() };
                packet = Packet { payload: Payload::Failed(error), tokens: 0, last: true, ..packet };
            }
            values.push(Value { port, rule, packets });
        }
        Firing { port: self.ports[fired].input.port.clone(), packet, values, before }
    }
}

enum Step {
    Fire(Box<Firing>),
    Held,
    End,
}

#[cfg(test)]
mod tests;
