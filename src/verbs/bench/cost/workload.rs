//! The runs behind the figures: two graphs of the standard bricks, pinned to one accelerator, fed by a sensor that asks one
//! question after the other.
use std::{
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

use nanomind::{
    actors::{
        GraphFiles, JobSpec, Machine, NodeContext, NodeError, NodeLibrary, Packet, RunOptions, Runtime, StoredModels,
        governor::GovernorConfig,
    },
    bricks::vision::{Picture, PictureLimits},
    graphs::{Drawing, NodeSpec, Overrides, PortSpec, PortType, Source, Surroundings, check},
    hal::{AcceleratorId, AcceleratorKind, Accuracy, BatterySource, JobClass, JobCost, Phase},
};

use super::{super::pipeline::frames::Frames, Args};
use crate::{exit::Exit, globals::Globals, models};

/// What prompts are made of: some of its first words each time.
const TEXT: &str = "A lighthouse keeper wrote in her log every evening what the sea had been like, how many ships had gone \
    by, which birds had rested on the gallery and whether the lamp had burnt well. One winter the storms came so close \
    together that she had no time to write, and in spring she found the pages empty and filled them from memory, day after \
    day, as well as she could. Tell how she did that, and what she found out about the ships that nobody else had seen.";

/// What one question of the sensor is.
#[derive(Clone)]
struct Question {
    text: String,
    picture: Option<PathBuf>,
}

/// The accelerators of this machine.
pub(super) fn places() -> Result<Vec<AcceleratorId>, Exit> {
    Ok(machine()?.accelerators().map(|(accelerator, _)| accelerator.id()).collect())
}

/// Runs everything on one accelerator, and says how good the predictions were that a new cost model made meanwhile.
pub(super) fn run(
    args: &Args,
    language: Option<&Path>,
    place: AcceleratorId,
    globals: &Globals,
) -> Result<Vec<Accuracy>, Exit> {
    let frames = Frames::draw(args.frames as usize)?;
    let scenes =
        frames.files().iter().map(|file| Question { text: "What do you see?".to_owned(), picture: Some(file.clone()) });
    let mut found = answer(&scene_graph(args, place)?, scenes.collect(), place, globals)?;
    if let Some(model) = language {
        let words: Vec<&str> = TEXT.split(' ').collect();
        let prompts = (0..args.prompts as usize).map(|prompt| Question {
            // Lengths from an eighth of the text to all of it, in no order that a line could follow.
            text: words[..words.len() * (1 + prompt * 5 % 8) / 8].join(" "),
            picture: None,
        });
        found.extend(answer(&language_graph(model, place)?, prompts.collect(), place, globals)?);
    }
    Ok(found)
}

fn machine() -> Result<Machine, Exit> {
    Machine::detect(None, None).map_err(Exit::failed)
}

/// Runs a graph until all questions are answered.
fn answer(
    graph: &str,
    questions: Vec<Question>,
    place: AcceleratorId,
    globals: &Globals,
) -> Result<Vec<Accuracy>, Exit> {
    let mut library = NodeLibrary::standard().map_err(Exit::failed)?;
    register(&mut library, questions).map_err(Exit::failed)?;
    let machine = machine()?;
    let models = StoredModels::new(models::open_store(globals)?);
    let offered = machine.for_graphs();
    let surroundings =
        Surroundings { registry: library.registry(), loader: &GraphFiles, models: &models, machine: &offered };
    let plan = check(Source::new("cost.ron", graph), &Overrides::none(), surroundings)
        .map_err(|told| Exit::invalid(told.draw(Drawing::PLAIN)))?;
    let governor = GovernorConfig { battery: BatterySource::None, ..GovernorConfig::default() };
    let options = RunOptions { governor, ..RunOptions::default() };
    let report = Runtime::start(&plan, &machine, &library, options).map_err(Exit::failed)?.wait();
    if report.failed() || report.requests.answered != report.requests.minted {
        return Err(Exit::failed(format!("not every question was answered\n{report}")));
    }
    let found = machine.accelerators().find(|(accelerator, _)| accelerator.id() == place);
    Ok(found.map(|(accelerator, _)| accelerator.accuracy()).unwrap_or_default())
}

fn scene_graph(args: &Args, place: AcceleratorId) -> Result<String, Exit> {
    let (vision, model) = (absolute(&args.vision)?, absolute(&args.model)?);
    Ok(format!(
        r#"Graph(
    name: "scenes",
    nodes: {{
        "asks":      Asks(),
        "eye":       VisionEncoder(model: {vision:?}, cache: "0B"),
        "projector": Projector(model: {vision:?}, cache: "0B"),
        "mind":      Llm(model: {model:?}, context: 1024, max_tokens: 48, temperature: 0, history: false),
        "answers":   TextSink(path: "/dev/null"),
    }},
    edges: [
        ("asks.question",    "mind.prompt"),
        ("asks.image",       "eye.image"),
        ("eye.patches",      "projector.patches"),
        ("projector.tokens", "mind.embeddings"),
        ("mind.text",        "answers.text"),
    ],
    placement: {{ "*": Pin("{place}") }},
    power: Performance,
)"#
    ))
}

fn language_graph(model: &Path, place: AcceleratorId) -> Result<String, Exit> {
    let model = absolute(model)?;
    Ok(format!(
        r#"Graph(
    name: "prompts",
    nodes: {{
        "asks":    Asks(),
        "speaker": Llm(model: {model:?}, context: 1024, max_tokens: 24, temperature: 0, history: false),
        "answers": TextSink(path: "/dev/null"),
    }},
    edges: [("asks.question", "speaker.prompt"), ("speaker.text", "answers.text")],
    placement: {{ "*": Pin("{place}") }},
    power: Performance,
)"#
    ))
}

fn absolute(path: &Path) -> Result<PathBuf, Exit> {
    std::fs::canonicalize(path).map_err(|error| Exit::invalid(format!("cannot read {}: {error}", path.display())))
}

/// Adds the sensor that asks.
fn register(library: &mut NodeLibrary, questions: Vec<Question>) -> Result<(), nanomind::graphs::SpecError> {
    let asks = NodeSpec::sensor("Asks", "Asks one question after the other.")
        .output(PortSpec::new("image", PortType::Image, "A picture."))
        .output(PortSpec::new("question", PortType::Text, "The question about it."))
        .runs_on(&[AcceleratorKind::Cpu]);
    let questions = Rc::new(questions);
    library.register(asks, move |_| {
        let questions = questions.clone();
        Ok(move |context| ask(questions, context))
    })
}

async fn ask(questions: Rc<Vec<Question>>, context: NodeContext) -> Result<(), NodeError> {
    context.others_ready().await;
    for question in questions.iter() {
        let request = context.requests().mint();
        context.send("question", Packet::text(request, question.text.as_str(), 0).ending()).await?;
        if let Some(path) = question.picture.clone() {
            let (cost, class) = (JobCost::default(), JobClass::Vision);
            let spec = JobSpec { phase: Phase::Prepare, tokens: 0, class, cost, request: Some(request.id) };
            let read = context.jobs().run(spec, move |_| Picture::open(&path, &PictureLimits::default())).await?;
            match read.value {
                Ok(picture) => context.send("image", Packet::image(request, Arc::new(picture))).await?,
                Err(error) => context.refuse(request, error).await?,
            }
        }
        context.requests().settled(request.id).await;
    }
    Ok(())
}
