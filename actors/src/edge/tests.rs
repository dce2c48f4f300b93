//! What an edge promises: bounds in packets and tokens, policies, counts, cancellation, and the end of the stream.

use nanomind_graphs::QueuePolicy;

use super::*;
use crate::packet::Packet;
use crate::request::Request;

struct Fixture {
    sender: EdgeSender,
    receiver: EdgeReceiver,
    context: EdgeContext,
}

impl Fixture {
    fn new(policy: QueuePolicy, capacity_packets: usize, capacity_tokens: usize) -> Fixture {
        let clock = Clock::system();
        let requests = Requests::new(clock.clone());
        let cancellations = Cancellations::new(requests.clone());
        let context =
            EdgeContext { clock, cancellations, requests, hops: HopCounter::default(), meter: EdgeMeter::default() };
        let options = EdgeOptions { policy, capacity_packets, capacity_tokens };
        let name = EdgeName::new(("mind", "text"), ("reply", "text"));
        let (sender, receiver) = edge(name, options, context.clone());
        Fixture { sender, receiver, context }
    }

    fn packet(&self, text: &str, tokens: u32) -> Packet {
        Packet::text(self.context.requests.mint(), text, tokens)
    }

    /// Whether a send has gone through without anybody receiving.
    async fn passes(&self, packet: Packet) -> bool {
        futures_util::poll!(std::pin::pin!(self.sender.send(packet))).is_ready()
    }

    async fn receive_all(&mut self) -> Vec<String> {
        let mut texts = Vec::new();
        while let std::task::Poll::Ready(Some(packet)) = futures_util::poll!(std::pin::pin!(self.receiver.recv())) {
            texts.push(packet.as_text().unwrap_or("?").to_owned());
        }
        texts
    }
}

#[tokio::test]
async fn a_blocking_edge_holds_its_sender_back_at_its_capacity_in_packets() {
    let mut edge = Fixture::new(QueuePolicy::Block, 2, 100);
    assert!(edge.passes(edge.packet("a", 1)).await);
    assert!(edge.passes(edge.packet("b", 1)).await);
    assert!(!edge.passes(edge.packet("c", 1)).await, "the third packet of two must wait");
    assert_eq!(edge.receive_all().await, ["a", "b"]);
    assert_eq!(edge.sender.probe().counts().waits, 1);
}

#[tokio::test]
async fn a_blocking_edge_holds_its_sender_back_at_its_capacity_in_tokens() {
    let mut edge = Fixture::new(QueuePolicy::Block, 10, 8);
    assert!(edge.passes(edge.packet("five", 5)).await);
    assert!(!edge.passes(edge.packet("four", 4)).await, "5 + 4 tokens exceed 8");
    assert!(edge.passes(edge.packet("three", 3)).await);
    assert_eq!(edge.receive_all().await, ["five", "three"]);
    assert!(edge.passes(edge.packet("larger than all", 9)).await, "a single large packet passes an empty edge");
    assert!(!edge.passes(edge.packet("one", 1)).await, "and nothing beside it");
}

#[tokio::test]
async fn latest_keeps_only_what_came_last_and_counts_the_rest() {
    let mut edge = Fixture::new(QueuePolicy::Latest, 4, 100);
    for text in ["a", "b", "c"] {
        assert!(edge.passes(edge.packet(text, 1)).await);
    }
    assert_eq!(edge.receive_all().await, ["c"]);
    let counts = edge.sender.probe().counts();
    assert_eq!((counts.packets, counts.dropped, counts.received), (3, 2, 1), "{counts:?}");
}

#[tokio::test]
async fn drop_oldest_makes_room_in_packets_and_in_tokens() {
    let mut edge = Fixture::new(QueuePolicy::DropOldest, 3, 6);
    for (text, tokens) in [("a", 2), ("b", 2), ("c", 2), ("d", 4)] {
        assert!(edge.passes(edge.packet(text, tokens)).await);
    }
    assert_eq!(edge.receive_all().await, ["c", "d"]);
    assert_eq!(edge.sender.probe().counts().dropped, 2);
}

#[tokio::test]
async fn drop_newest_keeps_what_waits_and_settles_a_request_whose_end_it_drops() {
    let mut edge = Fixture::new(QueuePolicy::DropNewest, 1, 100);
    assert!(edge.passes(edge.packet("a", 1)).await);
    let lost = edge.packet("b", 1).ending();
    assert!(edge.passes(lost).await);
    assert_eq!(edge.receive_all().await, ["a"]);
    assert_eq!(edge.context.requests.counts().dropped, 1);
}

#[tokio::test]
async fn packets_of_a_cancelled_epoch_are_dropped_on_send_and_on_pop() {
    let mut edge = Fixture::new(QueuePolicy::Block, 4, 100);
    let request: Request = edge.context.requests.mint();
    assert!(edge.passes(Packet::text(request, "waiting", 1)).await);
    assert!(edge.passes(edge.packet("other", 1)).await);
    edge.context.cancellations.cancel(request.epoch);
    assert!(edge.passes(Packet::text(request, "late", 1)).await);
    assert_eq!(edge.receive_all().await, ["other"]);
    assert_eq!(edge.sender.probe().counts().cancelled, 2);
}

#[tokio::test]
async fn the_stream_ends_when_the_last_sender_is_gone_and_the_queue_is_empty() {
    let Fixture { sender, mut receiver, context } = Fixture::new(QueuePolicy::Block, 4, 100);
    let second = sender.clone();
    sender.send(Packet::text(context.requests.mint(), "a", 1)).await.unwrap();
    drop(sender);
    assert_eq!(receiver.recv().await.and_then(|packet| packet.as_text().map(str::to_owned)), Some("a".to_owned()));
    assert!(futures_util::poll!(std::pin::pin!(receiver.recv())).is_pending(), "another sender is still there");
    drop(second);
    assert!(receiver.recv().await.is_none());
}

#[tokio::test]
async fn a_sender_that_waits_learns_that_its_receiver_is_gone() {
    for (packets, tokens) in [(1, 100), (100, 1)] {
        let Fixture { sender, receiver, context } = Fixture::new(QueuePolicy::Block, packets, tokens);
        sender.send(Packet::text(context.requests.mint(), "a", 1)).await.unwrap();
        let waiting = sender.send(Packet::text(context.requests.mint(), "b", 1));
        let (sent, ()) = tokio::join!(waiting, async { drop(receiver) });
        let error = sent.expect_err("nobody receives");
        assert_eq!(error.to_string(), "nobody receives on mind.text → reply.text any more");
    }
}

#[tokio::test]
async fn what_waits_survives_a_receiver_that_is_replaced() {
    let Fixture { sender, receiver, context } = Fixture::new(QueuePolicy::Block, 4, 100);
    sender.send(Packet::text(context.requests.mint(), "a", 1)).await.unwrap();
    let mut first = receiver.clone();
    assert!(first.recv().await.is_some());
    sender.send(Packet::text(context.requests.mint(), "b", 1)).await.unwrap();
    drop(first);
    let mut second = receiver.clone();
    assert_eq!(second.recv().await.and_then(|packet| packet.as_text().map(str::to_owned)), Some("b".to_owned()));
}
