//! Where tests of this crate run small graphs: a simulated device, in virtual time.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::LocalBoxFuture;
use nanomind_graphs::{
    Drawing, ModelCatalogue, ModelFacts, ModelProblem, NoFiles, NodeSpec, Overrides, PlannedNode, PortSpec, PortType,
    Source, Surroundings, check,
};
use nanomind_hal::profile::DeviceProfile;
use nanomind_hal::{AcceleratorKind, BatterySource};

use crate::governor::{GovernorConfig, TemperatureSource};
use crate::{Machine, NodeContext, NodeError, NodeLibrary, RunOptions, RunReport, Runtime};

/// What tests write down, and when, in milliseconds of virtual time.
#[derive(Clone, Default)]
pub(crate) struct Diary(Rc<RefCell<Vec<(u64, String)>>>);

impl Diary {
    pub(crate) fn note(&self, context: &NodeContext, what: impl Into<String>) {
        self.0.borrow_mut().push((context.clock().now().as_nanos() / 1_000_000, what.into()));
    }

    /// What was written, without the times.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.0.borrow().iter().map(|(_, what)| what.clone()).collect()
    }
}

struct NoModels;

impl ModelCatalogue for NoModels {
    fn facts(&self, _: &str) -> Result<ModelFacts, ModelProblem> {
        Err(ModelProblem::Unknown { known: Vec::new() })
    }
}

/// What a node does.
pub(crate) type Body = Rc<dyn Fn(NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>>>;

/// Runs bodies as nodes of one graph, each with an output into the next one, in the order given, over edges that hold one
/// packet; the last ends in a sink.
pub(crate) fn run(bodies: Vec<Body>) -> RunReport {
    let (library, graph) = chain(bodies);
    run_graph(&library, &graph)
}

/// As [`run`], on a device each of whose accelerators has memory of its own.
pub(crate) fn run_with_own_memory(bodies: Vec<Body>) -> RunReport {
    let (library, graph) = chain(bodies);
    let profile = Arc::new(DeviceProfile::find("rk3588").unwrap());
    let own: Vec<_> = profile.accelerators.iter().map(|accelerator| accelerator.id).collect();
    let (machine, runtime) = Machine::simulated(profile, SystemTime::UNIX_EPOCH).unwrap();
    run_graph_on(machine.with_own_memory(own), runtime, &library, &graph)
}

/// Nodes with these bodies, and the graph that joins them.
fn chain(bodies: Vec<Body>) -> (NodeLibrary, String) {
    let mut library = NodeLibrary::empty();
    let (mut nodes, mut edges) = (String::new(), String::new());
    let count = bodies.len();
    for (number, body) in bodies.into_iter().enumerate() {
        let kind = format!("Body{number}");
        let spec = match number {
            0 => NodeSpec::sensor(&kind, "The first."),
            _ => NodeSpec::brick(&kind, "One that comes later.").input(PortSpec::new("in", PortType::Text, "Text.")),
        };
        let spec = spec.output(text()).runs_on(&[AcceleratorKind::Cpu]);
        let made = move |_: &PlannedNode| {
            let body = body.clone();
            Ok(move |context: NodeContext| body(context))
        };
        library.register(spec, made).unwrap();
        nodes.push_str(&format!("\"n{number}\": {kind}(), "));
        let to = if number + 1 == count { "end.text".to_owned() } else { format!("n{}.in", number + 1) };
        edges.push_str(&format!("(\"n{number}.text\", \"{to}\", Queue(policy: Block, packets: 1)), "));
    }
    let end = |mut context: NodeContext| async move {
        while context.next().await.is_some() {}
        Ok(())
    };
    library.register(NodeSpec::sink("End", "The end.").input(text()), move |_| Ok(end)).unwrap();
    (library, format!(r#"nodes: {{ {nodes} "end": End() }}, edges: [{edges}]"#))
}

fn text() -> PortSpec {
    PortSpec::new("text", PortType::Text, "Text.")
}

/// Runs a graph of these nodes and edges on an RK3588 without a battery, so that nothing but tests changes the duty.
pub(crate) fn run_graph(library: &NodeLibrary, nodes_and_edges: &str) -> RunReport {
    let profile = Arc::new(DeviceProfile::find("rk3588").unwrap());
    let (machine, runtime) = Machine::simulated(profile, SystemTime::UNIX_EPOCH).unwrap();
    run_graph_on(machine, runtime, library, nodes_and_edges)
}

/// As [`run_graph`], on this machine.
pub(crate) fn run_graph_on(
    machine: Machine,
    runtime: tokio::runtime::Runtime,
    library: &NodeLibrary,
    nodes_and_edges: &str,
) -> RunReport {
    let offered = machine.for_graphs();
    let surroundings =
        Surroundings { registry: library.registry(), loader: &NoFiles, models: &NoModels, machine: &offered };
    let graph = format!(r#"Graph(name: "test", {nodes_and_edges}, power: Performance)"#);
    let plan = check(Source::new("test.ron", graph), &Overrides::none(), surroundings)
        .unwrap_or_else(|report| panic!("{}", report.draw(Drawing::PLAIN)));
    let (battery, temperature) = (BatterySource::None, TemperatureSource::None);
    let governor = GovernorConfig { battery, temperature, ..GovernorConfig::default() };
    let options = RunOptions { governor, ..RunOptions::default() };
    Runtime::start_in(runtime, &plan, &machine, library, options).unwrap().wait()
}

/// A body that does a few things and then ends.
pub(crate) fn body<R>(does: impl Fn(NodeContext) -> R + 'static) -> Body
where
    R: Future<Output = Result<(), NodeError>> + 'static,
{
    Rc::new(move |context| Box::pin(does(context)))
}
