//! The inputs of a node and their firing rules: one `next` that yields what the node works on.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use nanomind_graphs::Firing as FiringRule;

use crate::cancellation::Cancellations;
use crate::edge::EdgeReceiver;
use crate::packet::{Packet, Payload};
use crate::request::{RequestError, RequestId};

/// At most this many requests may wait on one joined input for their trigger; beyond, the oldest is dropped.
const JOINED_REQUESTS_KEPT: usize = 64;

/// One connected input of a node.
#[derive(Clone)]
pub struct Input {
    port: Arc<str>,
    rule: FiringRule,
    edge: EdgeReceiver,
}

impl Input {
    /// An input that takes from `edge` by `rule`.
    pub fn new(port: impl Into<Arc<str>>, rule: FiringRule, edge: EdgeReceiver) -> Input {
        Input { port: port.into(), rule, edge }
    }

    /// The port's name.
    pub fn port(&self) -> &Arc<str> {
        &self.port
    }
}

/// What a node works on: the packet that fired it, with the values that belong to it.
#[derive(Clone, Debug)]
pub struct Firing {
    /// The input that fired.
    pub port: Arc<str>,
    /// Its packet.
    pub packet: Packet,
    latched: Vec<(Arc<str>, Packet)>,
    joined: Vec<(Arc<str>, Vec<Packet>)>,
}

impl Firing {
    /// The last value of a latched input, if one has come.
    pub fn latched(&self, port: &str) -> Option<&Packet> {
        self.latched.iter().find(|(name, _)| &**name == port).map(|(_, packet)| packet)
    }

    /// The packets of a joined input for this request, in order.
    pub fn joined(&self, port: &str) -> &[Packet] {
        self.joined.iter().find(|(name, _)| &**name == port).map_or(&[], |(_, packets)| packets)
    }

    /// The failure that fired or joined, if any: the request has no answer then.
    pub fn failure(&self) -> Option<&RequestError> {
        let joined = self.joined.iter().flat_map(|(_, packets)| packets).find_map(Packet::as_failure);
        self.packet.as_failure().or(joined)
    }
}

struct Port {
    input: Input,
    ended: bool,
    latched: Option<Packet>,
    joined: BTreeMap<RequestId, Vec<Packet>>,
}

impl Port {
    fn has_joined(&self, request: RequestId) -> bool {
        let packets = self.joined.get(&request);
        packets.is_some_and(|packets| packets.last().is_some_and(|packet| packet.last))
    }

    /// Whether the packet of `request` can no longer come: an edge keeps the order of requests, so a later one says that
    /// the edge has dropped this one.
    fn has_passed(&self, request: RequestId) -> bool {
        self.joined.last_key_value().is_some_and(|(latest, _)| *latest > request)
    }
}

/// All connected inputs of one node.
pub struct Inputs {
    node: Arc<str>,
    cancellations: Cancellations,
    ports: Vec<Port>,
    /// A trigger that waits for what it joins with; no further trigger is taken meanwhile.
    held: Option<(Arc<str>, Packet)>,
    unjoined_drops: u64,
}

impl Inputs {
    /// The inputs of `node`. Values are taken before triggers, so a value that came first is seen by the firing.
    pub fn new(node: Arc<str>, mut inputs: Vec<Input>, cancellations: Cancellations) -> Inputs {
        inputs.sort_by_key(|input| match input.rule {
            FiringRule::Latched => 0,
            FiringRule::Joined => 1,
            FiringRule::Trigger => 2,
        });
        // Without any trigger whatever arrives fires the node.
        if !inputs.iter().any(|input| input.rule == FiringRule::Trigger) {
            inputs.iter_mut().for_each(|input| input.rule = FiringRule::Trigger);
        }
        let port = |input| Port { input, ended: false, latched: None, joined: BTreeMap::new() };
        Inputs { node, cancellations, ports: inputs.into_iter().map(port).collect(), held: None, unjoined_drops: 0 }
    }

    /// Packets of joined inputs that were dropped because too many requests waited for their trigger.
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
        for index in 0..self.ports.len() {
            if self.ports[index].input.rule != FiringRule::Trigger {
                self.poll_values(index, cx);
            }
        }
        if let Some((port, packet)) = self.held.take() {
            if !self.is_joined(&packet) {
                self.held = Some((port, packet));
                return Poll::Pending;
            }
            return Poll::Ready(Step::Fire(Box::new(self.fire(port, packet))));
        }
        let mut ended = true;
        for port in self.ports.iter_mut().filter(|port| port.input.rule == FiringRule::Trigger && !port.ended) {
            match port.input.edge.poll_recv(cx) {
                Poll::Ready(Some(packet)) => {
                    self.held = Some((port.input.port.clone(), packet));
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
        while !port.ended {
            let Poll::Ready(next) = port.input.edge.poll_recv(cx) else { return };
            let Some(packet) = next else {
                port.ended = true;
                return;
            };
            if port.input.rule == FiringRule::Latched {
                port.latched = Some(packet);
                continue;
            }
            port.joined.entry(packet.request).or_default().push(packet);
            if port.joined.len() > JOINED_REQUESTS_KEPT
                && let Some((_, lost)) = port.joined.pop_first()
            {
                self.unjoined_drops += lost.len() as u64;
            }
        }
    }

    fn is_joined(&self, trigger: &Packet) -> bool {
        let joined = self.ports.iter().filter(|port| port.input.rule == FiringRule::Joined);
        // A failed request waits for nothing: what it would join with may never come.
        let decided = |port: &Port| port.ended || port.has_joined(trigger.request) || port.has_passed(trigger.request);
        trigger.as_failure().is_some() || joined.into_iter().all(decided)
    }

    fn fire(&mut self, port: Arc<str>, mut packet: Packet) -> Firing {
        let mut latched = Vec::new();
        let mut joined = Vec::new();
        for candidate in &mut self.ports {
            let name = candidate.input.port.clone();
            match candidate.input.rule {
                FiringRule::Trigger => {}
                FiringRule::Latched => latched.extend(candidate.latched.clone().map(|value| (name, value))),
                FiringRule::Joined => {
                    // A request that streams in keeps what it joined with until its last packet.
                    let packets = if packet.last {
                        candidate.joined.remove(&packet.request)
                    } else {
                        candidate.joined.get(&packet.request).cloned()
                    };
                    match packets {
                        Some(packets) => joined.push((name, packets)),
                        // A graph that connects the input wants what comes by it: a question about a picture is not
                        // answered without the picture, whether the edge dropped it or its source is gone for good.
                        None if packet.as_failure().is_none() => {
                            let error = RequestError::Unjoined { node: self.node.clone(), port: name };
                            packet = Packet { payload: Payload::Failed(error), tokens: 0, last: true, ..packet };
                        }
                        None => {}
                    }
                }
            }
        }
        Firing { port, packet, latched, joined }
    }
}

enum Step {
    Fire(Box<Firing>),
    Held,
    End,
}

#[cfg(test)]
mod tests;
