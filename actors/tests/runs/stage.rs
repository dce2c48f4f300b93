//! What the tests share: a machine, a library with small nodes, and a way to run a graph that is written in a test.

use std::sync::{Arc, Mutex};

use nanomind_actors::trace::{TraceFile, TraceLayer};
use nanomind_actors::{Machine, NodeContext, NodeError, NodeLibrary, Packet, RunOptions, RunReport, Running, Runtime};
use nanomind_graphs::{
    FieldSpec, ModelCatalogue, ModelFacts, ModelProblem, NoFiles, NodeSpec, Overrides, Plan, PlannedNode, PortSpec,
    PortType, Source, Surroundings, check,
};
use nanomind_hal::AcceleratorKind;
use tracing::subscriber::{NoSubscriber, with_default};
use tracing_subscriber::layer::SubscriberExt;

/// What a sink saw, in order.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    pub fn push(&self, text: impl Into<String>) {
        self.0.lock().unwrap().push(text.into());
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Does `work` with its trace being written.
pub fn traced<T>(trace: &TraceFile, work: impl FnOnce() -> T) -> T {
    // As long as a process has had one subscriber alone, the thread that comes by an event first says for all whether
    // anybody listens; those of accelerators would say no. With a second one, both are asked.
    let _second = tracing::Dispatch::new(NoSubscriber::default());
    with_default(tracing_subscriber::registry().with(TraceLayer::new(trace.clone()).with_own_filter()), work)
}

struct NoModels;

impl ModelCatalogue for NoModels {
    fn facts(&self, _: &str) -> Result<ModelFacts, ModelProblem> {
        Err(ModelProblem::Unknown { known: Vec::new() })
    }
}

pub struct Stage {
    pub machine: Machine,
    pub library: NodeLibrary,
    pub seen: Seen,
}

impl Stage {
    /// A machine with the default core groups, and a library with the kinds that come with nanomind, `Words` (a sensor
    /// that sends each word of a text as a request) and `Keep` (a sink that remembers).
    pub fn new() -> Stage {
        let mut stage = Stage {
            machine: Machine::detect(None, None).unwrap(),
            library: NodeLibrary::standard().unwrap(),
            seen: Seen::default(),
        };
        stage.library.register(words_spec(), words).unwrap();
        let seen = stage.seen.clone();
        stage.add(NodeSpec::sink("Keep", "Remembers.").input(text_port()), move |mut context| {
            let seen = seen.clone();
            async move {
                while let Some(firing) = context.next().await {
                    match firing.packet.as_failure() {
                        Some(error) => seen.push(format!("failed: {error}")),
                        None => seen.push(firing.packet.as_text().unwrap_or("?")),
                    }
                }
                seen.push("end");
                Ok(())
            }
        });
        stage
    }

    /// Registers a kind whose nodes run an async function.
    pub fn add<F, R>(&mut self, spec: NodeSpec, run: F)
    where
        F: Fn(NodeContext) -> R + Clone + 'static,
        R: Future<Output = Result<(), NodeError>> + 'static,
    {
        self.library.register(spec, move |_| Ok(run.clone())).unwrap();
    }

    pub fn plan(&self, graph: &str) -> Plan {
        let machine = self.machine.for_graphs();
        let surroundings =
            Surroundings { registry: self.library.registry(), loader: &NoFiles, models: &NoModels, machine: &machine };
        check(Source::new("test.ron", graph), &Overrides::none(), surroundings)
            .unwrap_or_else(|report| panic!("{}", report.draw(nanomind_graphs::Drawing::default())))
    }

    pub fn start(&self, graph: &str) -> Running {
        Runtime::start(&self.plan(graph), &self.machine, &self.library, RunOptions::default()).unwrap()
    }

    pub fn run(&self, graph: &str) -> RunReport {
        self.start(graph).wait()
    }
}

/// A brick that takes and gives text.
pub fn brick(kind: &str) -> NodeSpec {
    NodeSpec::brick(kind, "A brick of a test.").input(text_port()).output(text_port()).runs_on(&[AcceleratorKind::Cpu])
}

pub fn text_port() -> PortSpec {
    PortSpec::new("text", PortType::Text, "Text.")
}

fn words_spec() -> NodeSpec {
    NodeSpec::sensor("Words", "Sends each word of a text as a request of its own.")
        .output(text_port())
        .field(FieldSpec::text("text", "The words."))
}

pub type Words = Box<dyn FnOnce(NodeContext) -> futures_util::future::LocalBoxFuture<'static, Result<(), NodeError>>>;

fn words(plan: &PlannedNode) -> Result<Words, NodeError> {
    let text = plan.text("text")?.to_owned();
    Ok(Box::new(move |context: NodeContext| {
        Box::pin(async move {
            for word in text.split_whitespace() {
                context.send("text", Packet::text(context.requests().mint(), word, 1).ending()).await?;
            }
            Ok(())
        })
    }))
}
