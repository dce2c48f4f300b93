//! One variant of our own, in this process: a graph of the standard bricks between a sensor and a sink that keep time.
use std::{path::PathBuf, rc::Rc, sync::Arc};

use nanomind::{
    actors::{
        GraphFiles, JobSpec, Machine, NodeContext, NodeError, NodeLibrary, Packet, RunOptions, Runtime, StoredModels,
    },
    bricks::vision::{Picture, PictureLimits},
    graphs::{Drawing, NodeSpec, Overrides, PortSpec, PortType, Source, Surroundings, check},
    hal::{AcceleratorKind, JobClass, JobCost, Phase},
};

use super::{Args, WARM_UP, absolute, figures::Outcome, frames::Frames, stopwatch::Stopwatch, variant::Variant};
use crate::{exit::Exit, globals::Globals, models};

/// Frames and question enter, answers leave; every frame is answered, so nothing may be dropped on the way. No frame comes
/// twice, so nothing is kept to be used again.
const EDGES: &str = r#"[
        ("frames.question",  "mind.prompt",       Queue(policy: Block, packets: 8)),
        ("frames.image",     "eye.image",         Queue(policy: Block, packets: 1)),
        ("eye.patches",      "projector.patches", Queue(policy: Block, packets: 1)),
        ("projector.tokens", "mind.embeddings",   Queue(policy: Block, packets: 1)),
        ("mind.text",        "answers.text"),
    ]"#;

/// What the sensor does in which order.
#[derive(Clone)]
struct Programme {
    question: String,
    files: Vec<PathBuf>,
    /// How many of the files, after those to warm up, come one after the other without waiting for an answer.
    stream: usize,
}

/// Runs `variant` to its end.
pub fn run(args: &Args, variant: Variant, frames: &Frames, globals: &Globals) -> Result<Outcome, Exit> {
    let watch = Stopwatch::default();
    let mut library = NodeLibrary::standard().map_err(Exit::failed)?;
    let programme =
        Programme { question: args.question.clone(), files: frames.files().to_vec(), stream: args.frames as usize };
    register(&mut library, programme, &watch).map_err(Exit::failed)?;
    let machine = Machine::detect(None, None).map_err(Exit::failed)?;
    let models = StoredModels::new(models::open_store(globals)?);
    let offered = machine.for_graphs();
    let surroundings =
        Surroundings { registry: library.registry(), loader: &GraphFiles, models: &models, machine: &offered };
    let source = Source::new("pipeline.ron", graph(args, variant)?);
    let plan =
        check(source, &Overrides::none(), surroundings).map_err(|told| Exit::invalid(told.draw(Drawing::PLAIN)))?;
    let report = Runtime::start(&plan, &machine, &library, RunOptions::default()).map_err(Exit::failed)?.wait();
    if report.failed() || report.requests.answered != report.requests.minted {
        return Err(Exit::failed(format!("not every frame was answered\n{report}")));
    }
    let peak = report.memory.peak_resident;
    Ok(Outcome::of(&watch.take(), WARM_UP, args.frames as usize, peak))
}

fn graph(args: &Args, variant: Variant) -> Result<String, Exit> {
    let (vision, model) = (absolute(&args.vision)?, absolute(&args.model)?);
    let (eye, mind) = if variant == Variant::Monolithic { ("cpu", "cpu") } else { ("cpu:0", "cpu:1") };
    let max_tokens = args.max_tokens;
    Ok(format!(
        r#"Graph(
    name: "pipeline",
    nodes: {{
        "frames":    Frames(),
        "eye":       VisionEncoder(model: {vision:?}, cache: "0B"),
        "projector": Projector(model: {vision:?}, cache: "0B"),
        "mind":      Llm(model: {model:?}, context: 1024, max_tokens: {max_tokens}, temperature: 0, history: false),
        "answers":   Answers(),
    }},
    edges: {EDGES},
    placement: {{ "frames": Pin("{eye}"), "eye": Pin("{eye}"), "projector": Pin("{eye}"), "mind": Pin("{mind}") }},
    power: Performance,
)"#
    ))
}

/// Adds the two nodes that keep time.
fn register(
    library: &mut NodeLibrary,
    programme: Programme,
    watch: &Stopwatch,
) -> Result<(), nanomind::graphs::SpecError> {
    let frames = NodeSpec::sensor("Frames", "Reads pictures and asks about each.")
        .output(PortSpec::new("image", PortType::Image, "The picture."))
        .output(PortSpec::new("question", PortType::Text, "The question about it."))
        .runs_on(&[AcceleratorKind::Cpu]);
    let (programme, begun) = (Rc::new(programme), watch.clone());
    library.register(frames, move |_| {
        let (programme, watch) = (programme.clone(), begun.clone());
        Ok(move |context| hand_over(programme, watch, context))
    })?;
    let answers = NodeSpec::sink("Answers", "Hears answers.").input(PortSpec::new("text", PortType::Text, "Text."));
    let ended = watch.clone();
    library.register(answers, move |_| {
        let watch = ended.clone();
        Ok(move |context| listen(watch, context))
    })
}

async fn hand_over(programme: Rc<Programme>, watch: Stopwatch, context: NodeContext) -> Result<(), NodeError> {
    context.others_ready().await;
    let streamed = WARM_UP..WARM_UP + programme.stream;
    let mut waiting = Vec::new();
    for (at, file) in programme.files.iter().enumerate() {
        if !streamed.contains(&at) {
            for request in waiting.drain(..) {
                context.requests().settled(request).await;
            }
        }
        let request = context.requests().mint();
        watch.begin(request.id, file.display().to_string(), context.clock().now());
        waiting.push(request.id);
        let (path, class) = (file.clone(), JobClass::Vision);
        let spec =
            JobSpec { phase: Phase::Prepare, tokens: 0, class, cost: JobCost::default(), request: Some(request.id) };
        let read = context.jobs().run(spec, move |_| Picture::open(&path, &PictureLimits::default())).await?;
        match read.value {
            Ok(picture) => {
                context.send("question", Packet::text(request, programme.question.as_str(), 0).ending()).await?;
                context.send("image", Packet::image(request, Arc::new(picture))).await?;
            }
            Err(error) => context.refuse(request, error).await?,
        }
    }
    Ok(())
}

async fn listen(watch: Stopwatch, mut context: NodeContext) -> Result<(), NodeError> {
    while let Some(firing) = context.next().await {
        let packet = &firing.packet;
        watch.hear(packet.request, packet.as_text().unwrap_or_default(), packet.last, context.clock().now());
    }
    Ok(())
}
