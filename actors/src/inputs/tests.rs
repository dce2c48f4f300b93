//! Firing rules, seen through `Inputs::next`.

use nanomind_graphs::{Firing as Rule, QueuePolicy};
use nanomind_hal::Clock;

use super::*;
use crate::edge::{EdgeContext, EdgeName, EdgeOptions, EdgeSender, HopCounter, edge};
use crate::energy::EdgeMeter;
use crate::request::{Request, Requests};

struct Fixture {
    senders: Vec<EdgeSender>,
    ends: Vec<Input>,
    inputs: Inputs,
    requests: Requests,
    cancellations: Cancellations,
}

fn fixture(ports: &[(&str, Rule)]) -> Fixture {
    let clock = Clock::system();
    let requests = Requests::new(clock.clone());
    let cancellations = Cancellations::new(requests.clone());
    let context = EdgeContext {
        clock,
        cancellations: cancellations.clone(),
        requests: requests.clone(),
        hops: HopCounter::default(),
        meter: EdgeMeter::default(),
    };
    let options = EdgeOptions { policy: QueuePolicy::Block, capacity_packets: 16, capacity_tokens: 1024 };
    let open = |&(port, rule): &(&str, Rule)| {
        let (sender, receiver) = edge(EdgeName::new(("source", port), ("mind", port)), options, context.clone());
        (sender, Input::new(port, rule, receiver))
    };
    let (senders, inputs) = ports.iter().map(open).unzip();
    let ends: Vec<Input> = inputs;
    let inputs = Inputs::new("mind".into(), ends.clone(), cancellations.clone());
    Fixture { senders, ends, inputs, requests, cancellations }
}

impl Fixture {
    /// The node begins anew with the same ends of its edges.
    fn restart(&mut self) {
        self.inputs = Inputs::new("mind".into(), self.ends.clone(), self.cancellations.clone());
    }

    fn bound(&mut self, port: usize, most: usize) {
        self.ends[port] = self.ends[port].clone().bounded(most);
        self.restart();
    }

    async fn send(&self, port: usize, request: Request, text: &str) {
        self.senders[port].send(Packet::text(request, text, 1).ending()).await.unwrap();
    }

    async fn next_text(&mut self) -> Option<String> {
        self.inputs.next().await.map(|firing| firing.packet.as_text().unwrap_or("failed").to_owned())
    }

    async fn waits(&mut self) -> bool {
        futures_util::poll!(std::pin::pin!(self.inputs.next())).is_pending()
    }
}

#[tokio::test]
async fn a_trigger_fires_and_the_end_of_all_triggers_ends_the_inputs() {
    let mut node = fixture(&[("prompt", Rule::Trigger), ("again", Rule::Trigger)]);
    let request = node.requests.mint();
    node.send(1, request, "b").await;
    node.send(0, request, "a").await;
    node.senders.clear();
    assert_eq!(node.next_text().await.as_deref(), Some("a"), "ports are taken in the order of the plan");
    assert_eq!(node.next_text().await.as_deref(), Some("b"));
    assert!(node.next_text().await.is_none());
}

#[tokio::test]
async fn a_latched_value_does_not_fire_and_stays_for_every_firing_after_it() {
    let mut node = fixture(&[("prompt", Rule::Trigger), ("style", Rule::Latched)]);
    let request = node.requests.mint();
    node.send(1, request, "brief").await;
    assert!(node.waits().await, "a latched input alone must not fire");
    for question in ["one", "two"] {
        node.send(0, request, question).await;
        let firing = node.inputs.next().await.unwrap();
        assert_eq!(firing.packet.as_text(), Some(question));
        assert_eq!(firing.latched("style").next().and_then(Packet::as_text), Some("brief"));
    }
}

#[tokio::test]
async fn a_joined_input_holds_the_trigger_back_until_the_same_request_arrives() {
    let mut node = fixture(&[("prompt", Rule::Trigger), ("image", Rule::Joined)]);
    let (first, second) = (node.requests.mint(), node.requests.mint());
    node.send(0, first, "what is this?").await;
    assert!(node.waits().await, "a trigger alone must not fire");
    node.send(1, first, "picture 1").await;
    node.send(1, second, "picture 2").await;
    let firing = node.inputs.next().await.unwrap();
    assert_eq!(firing.joined("image").next().and_then(Packet::as_text), Some("picture 1"));
    node.send(0, second, "and this?").await;
    let firing = node.inputs.next().await.unwrap();
    assert_eq!(firing.joined("image").next().and_then(Packet::as_text), Some("picture 2"));
}

#[tokio::test]
async fn when_a_joined_input_ends_the_request_that_waits_for_it_fails() {
    let mut node = fixture(&[("prompt", Rule::Trigger), ("image", Rule::Joined)]);
    let request = node.requests.mint();
    node.send(0, request, "what is this?").await;
    node.senders.truncate(1);
    let firing = node.inputs.next().await.unwrap();
    let error = firing.failure().expect("no picture, no answer").to_string();
    assert!(error.contains("`image`"), "{error}");
}

#[tokio::test]
async fn a_request_whose_joined_packet_the_edge_has_dropped_fails_when_a_later_one_arrives() {
    let mut node = fixture(&[("prompt", Rule::Trigger), ("image", Rule::Joined)]);
    let (first, second) = (node.requests.mint(), node.requests.mint());
    node.send(0, first, "what is this?").await;
    node.send(1, second, "picture 2").await;
    let firing = node.inputs.next().await.unwrap();
    let told = firing.failure().map(ToString::to_string);
    assert_eq!(told.as_deref(), Some("node `mind`: nothing arrived on `image` for this request"));
    node.send(0, second, "and this?").await;
    assert_eq!(node.next_text().await.as_deref(), Some("and this?"));
}

#[tokio::test]
async fn a_failed_request_does_not_wait_for_what_it_would_join_with() {
    let mut node = fixture(&[("prompt", Rule::Trigger), ("image", Rule::Joined)]);
    let request = node.requests.mint();
    let error = RequestError::Panicked { node: "eye".into(), message: "out of memory".to_owned() };
    node.senders[0].send(Packet::failed(request, error.clone())).await.unwrap();
    assert_eq!(node.inputs.next().await.unwrap().failure(), Some(&error));
    node.send(0, node.requests.mint(), "next").await;
    assert!(node.waits().await);
}

#[tokio::test]
async fn a_held_trigger_goes_when_its_epoch_is_cancelled() {
    let mut node = fixture(&[("prompt", Rule::Trigger), ("image", Rule::Joined)]);
    let (first, second) = (node.requests.mint(), node.requests.mint());
    node.send(0, first, "old").await;
    assert!(node.waits().await);
    node.cancellations.cancel(first.epoch);
    node.send(1, second, "picture").await;
    node.send(0, second, "new").await;
    assert_eq!(node.next_text().await.as_deref(), Some("new"));
}

#[tokio::test]
async fn a_latched_value_that_comes_in_pieces_is_used_when_it_is_whole_and_outlives_a_restart() {
    let mut node = fixture(&[("image", Rule::Trigger), ("prompt", Rule::Latched)]);
    let [first, second, picture] = [0; 3].map(|_| node.requests.mint());
    let prompt = |firing: &Firing| firing.latched("prompt").filter_map(Packet::as_text).collect::<String>();
    node.send(1, first, "What is it?").await;
    for (piece, last, expected) in [("What ", false, "What is it?"), ("colour?", true, "What colour?")] {
        let packet = Packet::text(second, piece, 1);
        node.senders[1].send(if last { packet.ending() } else { packet }).await.unwrap();
        node.send(0, picture, "picture").await;
        assert_eq!(prompt(&node.inputs.next().await.unwrap()), expected);
    }
    let failed = RequestError::Panicked { node: "eye".into(), message: "out of memory".to_owned() };
    node.senders[1].send(Packet::failed(node.requests.mint(), failed)).await.unwrap();
    node.restart();
    node.send(0, picture, "picture").await;
    assert_eq!(prompt(&node.inputs.next().await.unwrap()), "What colour?", "neither a failure nor a restart takes it");
}

#[tokio::test]
async fn several_edges_of_one_input_join_in_the_order_of_the_graph() {
    let mut node = fixture(&[("image", Rule::Joined), ("prompt", Rule::Trigger), ("image", Rule::Joined)]);
    let request = node.requests.mint();
    node.send(1, request, "which is larger?").await;
    node.send(2, request, "right").await;
    assert!(node.waits().await, "the other picture is still to come");
    node.senders[0].send(Packet::text(request, "left", 1)).await.unwrap();
    assert!(node.waits().await, "more of it is to come");
    node.send(0, request, "middle").await;
    let firing = node.inputs.next().await.unwrap();
    let images: Vec<_> = firing.packets("image").filter_map(Packet::as_text).collect();
    assert_eq!(images, ["left", "middle", "right"]);
    assert_eq!(firing.joined("image").count(), 3);
}

#[tokio::test]
async fn inputs_that_join_each_other_fire_together() {
    let mut node = fixture(&[("left", Rule::Joined), ("right", Rule::Joined)]);
    let request = node.requests.mint();
    node.send(0, request, "a").await;
    assert!(node.waits().await, "one of the two must not fire");
    node.send(1, request, "b").await;
    let firing = node.inputs.next().await.unwrap();
    assert_eq!(
        (firing.packet.as_text(), firing.joined("right").next().and_then(Packet::as_text)),
        (Some("a"), Some("b"))
    );
}

#[tokio::test]
async fn what_waits_for_a_trigger_that_was_dropped_or_cancelled_is_given_back() {
    let mut node = fixture(&[("prompt", Rule::Trigger), ("image", Rule::Joined)]);
    let [dropped, cancelled, third] = [0; 3].map(|_| node.requests.mint());
    let alive: Arc<str> = "picture".into();
    for request in [dropped, cancelled] {
        let packet = Packet::new(request, Payload::Text(alive.clone()), 1).ending();
        node.senders[1].send(packet).await.unwrap();
    }
    assert!(node.waits().await);
    assert_eq!(Arc::strong_count(&alive), 3);
    node.cancellations.cancel(cancelled.epoch);
    assert!(node.waits().await);
    assert_eq!(Arc::strong_count(&alive), 2, "the cancelled request's is given back");
    node.send(0, third, "what is this?").await;
    assert!(node.waits().await);
    assert_eq!(Arc::strong_count(&alive), 1, "the question of the first was dropped");
    assert_eq!(node.inputs.unjoined_drops(), 1);
}

#[tokio::test]
async fn a_request_that_brings_more_than_the_input_keeps_fails_and_gives_all_of_it_back() {
    let mut node = fixture(&[("prompt", Rule::Trigger), ("image", Rule::Joined)]);
    node.bound(1, 2);
    let request = node.requests.mint();
    let alive: Arc<str> = "picture".into();
    for _ in 0..4 {
        node.senders[1].send(Packet::new(request, Payload::Text(alive.clone()), 1)).await.unwrap();
    }
    node.send(0, request, "what are these?").await;
    let firing = node.inputs.next().await.unwrap();
    let told = firing.failure().map(ToString::to_string).unwrap_or_default();
    assert!(told.contains("expected at most 2 packets of one request on `image`, found more"), "{told}");
    assert_eq!(Arc::strong_count(&alive), 1);
}
