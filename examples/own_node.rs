//! Registers a kind of node of its own. Graphs that use it are checked like any other: try `--set`-like arguments that are
//! wrong, and read what the check says.
//!
//!     cargo run --example own_node -- times=5
//!     cargo run --example own_node -- times=many
use std::{env, error::Error};

use nanomind::{
    actors::{Machine, NodeContext, NodeError, NodeLibrary, Packet, RunOptions, Runtime, StoredModels},
    bricks::store::{Store, StoreSettings},
    graphs::{Drawing, FieldSpec, NoFiles, NodeSpec, Overrides, PortSpec, PortType, Source, Surroundings, check},
};

/// What the check knows about the node, and what a reader finds in its reference.
fn spec() -> NodeSpec {
    NodeSpec::brick("Repeat", "Says everything several times.")
        .input(PortSpec::new("text", PortType::Text, "What to say."))
        .output(PortSpec::new("text", PortType::Text, "It, several times."))
        .field(FieldSpec::integer("times", 1..=10, "How often.").default(2))
}

/// The node's life: take, work, send, until the inputs end. An async function of the context is a node.
async fn repeat(times: usize, mut context: NodeContext) -> Result<(), NodeError> {
    while let Some(firing) = context.next().await {
        let text = firing.packet.as_text().unwrap_or_default();
        let packet = Packet::text(firing.packet.request(), vec![text; times].join(" "), 1);
        context.send("text", if firing.packet.last { packet.ending() } else { packet }).await?;
        context.count("repetitions", times as u64);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut library = NodeLibrary::standard()?;
    library.register(spec(), |plan| {
        let times = usize::try_from(plan.integer("times")?).unwrap_or(1);
        Ok(move |context| repeat(times, context))
    })?;

    let params =
        env::args().skip(1).filter_map(|set| set.split_once('=').map(|(name, value)| (name.into(), value.into())));
    let overrides = Overrides { params: params.collect(), ..Overrides::none() };
    let models = StoredModels::new(Store::open(StoreSettings::from_environment()?));
    let machine = Machine::detect(None, None)?;
    let offered = machine.for_graphs();
    let surroundings =
        Surroundings { registry: library.registry(), loader: &NoFiles, models: &models, machine: &offered };
    let source = Source::new("own_node.ron", include_str!("own_node.ron"));
    let plan = check(source, &overrides, surroundings).map_err(|mistakes| mistakes.draw(Drawing::PLAIN))?;
    let report = Runtime::start(&plan, &machine, &library, RunOptions::default())?.wait();
    eprintln!("{report}");
    Ok(())
}
