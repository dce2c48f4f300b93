//! In steady state a request takes no memory for its embeddings: slots are made once and go round.
#![allow(clippy::unwrap_used)]

use std::alloc::System;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use nanomind_actors::{GraphFiles, Machine, NodeContext, NodeLibrary, Packet, RunOptions, Runtime, StoredModels};
use nanomind_bricks::store::{Store, StoreSettings};
use nanomind_graphs::{Drawing, NodeSpec, Overrides, PortSpec, PortType, Source, Surroundings, check};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const REQUESTS: usize = 40;
/// Rows of a slot; with the model's width this makes a slot so large that it cannot hide among small packets.
const MAX_TOKENS: usize = 2048;

/// Without the test harness, whose own thread allocates while a test runs.
fn main() {
    let mut library = NodeLibrary::standard().unwrap();
    let text = || PortSpec::new("text", PortType::Text, "Text.");
    let questions = |context: NodeContext| async move {
        for number in 0..REQUESTS {
            let request = context.requests().mint();
            context.send("text", Packet::text(request, format!("question {number}"), 1).ending()).await?;
            // One after the other, so that what is counted between two answers belongs to one request.
            context.requests().settled(request.id).await;
        }
        Ok(())
    };
    library.register(NodeSpec::sensor("Questions", "Asks.").output(text()), move |_| Ok(questions)).unwrap();
    // Bytes allocated since the start, at the end of each answer.
    let marks = Arc::new(Mutex::new(Vec::with_capacity(REQUESTS)));
    let marked = marks.clone();
    let count = move |mut context: NodeContext| {
        let marked = marked.clone();
        async move {
            while let Some(firing) = context.next().await {
                if firing.packet.last {
                    marked.lock().unwrap().push(ALLOCATOR.stats().bytes_allocated);
                }
            }
            Ok(())
        }
    };
    library.register(NodeSpec::sink("Count", "Counts.").input(text()), move |_| Ok(count.clone())).unwrap();

    let report = run(&library);
    let pool = &report.pools[0];
    assert_eq!((pool.copied_bytes, pool.free), (0, pool.slots), "{pool:?}");
    assert_eq!(pool.published, REQUESTS as u64, "{pool:?}");
    let marks = marks.lock().unwrap();
    let each: Vec<usize> = marks.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let steady = &each[REQUESTS / 2..];
    assert!(steady.iter().all(|&bytes| bytes < MAX_TOKENS * 4 * 16), "bytes allocated for each request: {each:?}");
}

fn run(library: &NodeLibrary) -> nanomind_actors::RunReport {
    let model: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "..", "tests", "fixtures", "language_llama_gqa_f32.gguf"].iter().collect();
    let model = model.display();
    let graph = format!(
        r#"Graph(
            name: "steady",
            nodes: {{
                "questions": Questions(),
                "embed": TokenEmbedding(model: "{model}", max_tokens: {MAX_TOKENS}),
                "mind":  Llm(model: "{model}", context: 256, temperature: 0, max_tokens: 4),
                "count": Count(),
            }},
            edges: [
                ("questions.text", "embed.text"),
                ("questions.text", "mind.prompt"),
                ("embed.embeddings", "mind.embeddings"),
                ("mind.text", "count.text"),
            ],
        )"#
    );
    let nowhere = |name: &str| (name == "NANOMIND_HOME").then(|| "/nonexistent".into());
    let models = StoredModels::new(Store::open(StoreSettings::from_variables(nowhere).unwrap()));
    let machine = Machine::detect(None, None).unwrap();
    let offered = machine.for_graphs();
    let surroundings =
        Surroundings { registry: library.registry(), loader: &GraphFiles, models: &models, machine: &offered };
    let plan = check(Source::new("steady.ron", graph), &Overrides::none(), surroundings)
        .unwrap_or_else(|report| panic!("{}", report.draw(Drawing::PLAIN)));
    Runtime::start(&plan, &machine, library, RunOptions::default()).unwrap().wait()
}
