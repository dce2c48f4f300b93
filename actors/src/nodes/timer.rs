//! `Timer`: a sensor that ticks, and can ask the same question at every tick.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use nanomind_graphs::{FieldSpec, NodeSpec, PlannedNode, PortSpec, PortType};

use crate::error::NodeError;
use crate::node::{Node, NodeContext};
use crate::packet::{Event, Packet};

/// The longest time between two things that a sensor sends.
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn spec() -> NodeSpec {
    NodeSpec::sensor("Timer", "Ticks at a steady pace; each tick is a request of its own.")
        .output(PortSpec::new("tick", PortType::Event, "An event at each tick."))
        .output(PortSpec::new("text", PortType::Text, "The text of `text` at each tick."))
        .field(
            FieldSpec::duration(
                "every",
                Duration::from_millis(1)..=DAY,
                "Time between two ticks; the first is at once.",
            )
            .default(Duration::from_secs(1)),
        )
        .field(
            FieldSpec::integer("count", 0..=i64::MAX, "Ticks until it ends; 0: it never does.")
                .unit("ticks")
                .default(0),
        )
        .field(FieldSpec::text("text", "What to send on `text` at each tick.").default(""))
        .example(
            r#"nodes: {
    "clock": Timer(every: "10min", count: 6, text: "Name one thing to do in a break of five minutes."),
    "mind":  Llm(model: "smollm2-135m"),
    "reply": Stdout(),
},
edges: [("clock.text", "mind.prompt"), ("mind.text", "reply.text")]"#,
        )
}

pub(crate) struct Timer {
    every: Duration,
    /// `None`: without end.
    count: Option<u64>,
    text: Arc<str>,
}

impl Timer {
    pub(crate) fn new(plan: &PlannedNode) -> Result<Timer, NodeError> {
        let count = u64::try_from(plan.integer("count")?).ok().filter(|&count| count > 0);
        Ok(Timer { every: plan.duration("every")?, count, text: plan.text("text")?.into() })
    }
}

impl Node for Timer {
    fn run(self: Box<Self>, context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            let mut ticks = context.clock().interval(self.every);
            let mut count = 0;
            while self.count.is_none_or(|end| count < end) {
                let at = ticks.tick().await;
                let request = context.requests().mint();
                let event = Event { name: "tick".into(), count, at };
                context.send("tick", Packet::event(request, event)).await?;
                context.send("text", Packet::text(request, self.text.clone(), 0).ending()).await?;
                count += 1;
            }
            Ok(())
        })
    }
}
