//! Sight again: what was seen is not computed twice, answers do not change by it, and every slot comes back.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nanomind_actors::report::{AnswerReport, NodeReport, RunEnd};
use nanomind_actors::trace::{TraceFile, TraceSummary};
use nanomind_actors::{NodeContext, Packet, RunOptions, RunReport, Runtime};
use nanomind_bricks::vision::{Picture, PictureLimits};
use nanomind_graphs::{Drawing, NodeSpec, PortSpec, PortType};
use nanomind_hal::AcceleratorKind;
use serde_json::Value;

use super::language::check_with_files;
use super::sight::{Answers, scene};
use super::stage::{Stage, text_port, traced};

/// Patches of a picture, and rows that the language model reads of it.
const PATCHES: u64 = 144;

/// A run in the making: pictures of the samples, and what is asked about which of them.
struct Sight {
    /// `(pictures, question)`: each is a request of its own.
    asks: Vec<(Vec<usize>, String)>,
    /// Fields of the nodes, as a graph writes them.
    eye: String,
    projector: String,
    mind: String,
    /// Cancel each third request a while after it was asked, by the throws of dice with this seed.
    cancel: Option<u64>,
}

impl Sight {
    fn new(asks: &[(&[usize], &str)]) -> Sight {
        Sight {
            asks: asks.iter().map(|(pictures, question)| (pictures.to_vec(), (*question).to_owned())).collect(),
            eye: String::new(),
            projector: String::new(),
            mind: "context: 700, temperature: 0".to_owned(),
            cancel: None,
        }
    }

    /// Nothing is kept by the vision nodes.
    fn without_caches(self) -> Sight {
        self.caches("0B")
    }

    fn caches(mut self, bytes: &str) -> Sight {
        self.eye = format!(", cache: \"{bytes}\"");
        self.projector = format!(", cache: \"{bytes}\", max_tokens: {PATCHES}");
        self
    }

    fn mind(mut self, fields: &str) -> Sight {
        self.mind = format!("{}, {fields}", self.mind);
        self
    }

    fn graph(&self) -> String {
        let (vision, language) = (scene("scene-mmproj.gguf"), scene("scene.gguf"));
        let Sight { eye, projector, mind, .. } = self;
        format!(
            r#"Graph(
                name: "sight",
                nodes: {{
                    "album":     Album(),
                    "eye":       VisionEncoder(model: "{vision}"{eye}),
                    "projector": Projector(model: "{vision}"{projector}),
                    "mind":      Llm(model: "{language}", {mind}),
                    "answers":   Answers(),
                }},
                edges: [
                    ("album.image",      "eye.image"),
                    ("eye.patches",      "projector.patches"),
                    ("projector.tokens", "mind.embeddings"),
                    ("album.text",       "mind.prompt"),
                    ("mind.text",        "answers.text"),
                ],
            )"#
        )
    }

    fn run(&self) -> RunReport {
        let mut stage = Stage::new();
        super::sight::register(&mut stage, &[], Answers::default());
        self.register_album(&mut stage);
        run(&stage, &self.graph())
    }

    /// Adds `Album`: a sensor that asks each question with its pictures, once the one before has ended.
    fn register_album(&self, stage: &mut Stage) {
        let image = PortSpec::new("image", PortType::Image, "Pictures.");
        let spec = NodeSpec::sensor("Album", "Asks about pictures.").output(image).output(text_port());
        let (asks, cancel) = (self.asks.clone(), self.cancel);
        stage.add(spec, move |context: NodeContext| {
            let asks = asks.clone();
            async move {
                let mut dice = Dice(cancel.unwrap_or(0));
                for (pictures, question) in asks {
                    let request = context.requests().mint();
                    let last = pictures.len();
                    for (number, picture) in pictures.into_iter().enumerate() {
                        let packet = Packet::image(request, picture_of(picture));
                        context.send("image", Packet { last: number + 1 == last, ..packet }).await?;
                    }
                    context.send("text", Packet::text(request, question, 1).ending()).await?;
                    if cancel.is_some() && dice.roll(3) > 0 {
                        // Anywhere between the first layer of the encoder and the last token.
                        context.clock().sleep(Duration::from_millis(dice.roll(160))).await;
                        context.cancel(request.epoch);
                    } else if cancel.is_none() || dice.roll(2) == 0 {
                        context.requests().settled(request.id).await;
                    }
                }
                Ok(())
            }
        });
    }
}

fn run(stage: &Stage, graph: &str) -> RunReport {
    let plan = check_with_files(stage, graph).unwrap_or_else(|report| panic!("{}", report.draw(Drawing::PLAIN)));
    let report = Runtime::start(&plan, &stage.machine, &stage.library, RunOptions::default()).unwrap().wait();
    for pool in &report.pools {
        assert_eq!(pool.copied_bytes, 0, "{pool:?}");
        assert_eq!(pool.free, pool.slots, "every slot is free again: {pool:?}");
    }
    report
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn picture_of(number: usize) -> Arc<Picture> {
    let path = scene(&format!("samples/scene-{number:02}.png"));
    Arc::new(Picture::open(path, &PictureLimits::default()).unwrap())
}

fn node<'r>(report: &'r RunReport, name: &str) -> &'r NodeReport {
    report.nodes.iter().find(|node| node.node == name).unwrap()
}

fn jobs(report: &RunReport, name: &str) -> u64 {
    node(report, name).ran_on.iter().map(|place| place.jobs).sum()
}

/// Hits, misses and evictions of a node's cache.
fn cache(report: &RunReport, name: &str) -> [u64; 3] {
    let counters = &node(report, name).counters;
    ["cache_hits", "cache_misses", "evicted"].map(|counter| counters.get(counter).copied().unwrap_or(0))
}

fn answers(report: &RunReport) -> &[AnswerReport] {
    &node(report, "mind").answers
}

fn tokens(report: &RunReport) -> Vec<Vec<u32>> {
    answers(report).iter().map(|answer| answer.token_ids.clone()).collect()
}

const THREE: [(&[usize], &str); 3] =
    [(&[0], "What do you see?"), (&[0], "How many things are there?"), (&[0], "Is there a cat?")];

/// Set in a process that runs one test by itself: a trace hears of whatever the process does.
const ALONE: &str = "NANOMIND_TEST_ALONE";

#[test]
fn further_questions_about_a_picture_run_no_vision_job_and_read_only_what_is_new() {
    if std::env::var_os(ALONE).is_none() {
        let name = "sight_reuse::further_questions_about_a_picture_run_no_vision_job_and_read_only_what_is_new";
        let mut alone = Command::new(std::env::current_exe().unwrap());
        let ran = alone.args([name, "--exact"]).env(ALONE, "1").output().unwrap();
        let told = String::from_utf8_lossy(&ran.stdout);
        return assert!(ran.status.success() && told.contains("1 passed"), "{told}");
    }
    let folder = tempfile::tempdir().unwrap();
    let trace = TraceFile::create(&folder.path().join("trace.json")).unwrap();
    let report = traced(&trace, || Sight::new(&THREE).run());
    trace.finish().unwrap();
    assert_eq!((report.end, report.requests.answered), (RunEnd::Finished, 3), "{report}");

    let once = Sight::new(&THREE[..1]).run();
    for (name, pool) in [("eye", "eye.patches"), ("projector", "projector.tokens")] {
        assert_eq!(cache(&report, name), [2, 1, 0], "{name}");
        let published = report.pools.iter().find(|report| report.pool == pool).unwrap().published;
        assert_eq!(published, 1, "{name} made its rows once");
        // Not by the number of jobs: how many layers and rows one takes is predicted from the time that others took.
        assert!(jobs(&report, name) > 0 && jobs(&once, name) > 0);
    }
    let [first, second, third] = answers(&report) else { panic!("three answers: {report}") };
    assert_eq!(first.cached_tokens, 0);
    assert!(first.prompt_tokens > PATCHES);
    for (before, after) in [(first, second), (second, third)] {
        // The last token of an answer was chosen and not read.
        let there = before.prompt_tokens + before.generated_tokens - 1;
        let read = after.prompt_tokens - after.cached_tokens;
        assert!(after.cached_tokens >= there && read < 24, "{there} were there: {after:?}");
    }
    check_trace(trace.path(), answers(&report));
}

/// What the file of the trace says about the same run.
fn check_trace(path: &Path, answers: &[AnswerReport]) {
    let events: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let of = |node: &str, request: u64| -> Vec<&Value> {
        let is_job = |event: &&Value| event["cat"] == "job" && event["args"]["node"] == node;
        events.iter().filter(is_job).filter(|event| event["args"]["request"] == request).collect()
    };
    let marks = events.iter().filter(|event| event["name"] == "from cache");
    let mut marked: Vec<u64> = marks.map(|event| event["args"]["request"].as_u64().unwrap()).collect();
    marked.sort_unstable();
    let [first, later @ ..] = answers else { panic!("answers") };
    assert_eq!(marked, later.iter().flat_map(|answer| [answer.request; 2]).collect::<Vec<_>>(), "eye and projector");
    for name in ["eye", "projector"] {
        assert!(!of(name, first.request).is_empty(), "{name} has worked on the first question");
        for answer in later {
            assert!(of(name, answer.request).is_empty(), "{name}: {:?}", of(name, answer.request));
        }
    }
    for answer in answers {
        let prefilled = of("mind", answer.request)
            .iter()
            .filter(|job| job["args"]["phase"] == "prefill")
            .fold(0, |sum, job| sum + job["args"]["tokens"].as_u64().unwrap());
        assert_eq!(prefilled, answer.prompt_tokens - answer.cached_tokens, "request {}", answer.request);
    }
    let summary = TraceSummary::read(path).unwrap();
    let pools: Vec<_> = summary.pools.iter().map(|pool| (pool.pool.as_str(), pool.copied_bytes)).collect();
    assert_eq!(pools, [("eye.patches", 0), ("projector.tokens", 0)]);
    assert!(summary.pools.iter().all(|pool| pool.most_slots >= 1), "{summary:?}");
}

#[test]
fn answers_are_the_same_tokens_without_any_cache() {
    let kept = Sight::new(&THREE).run();
    let lost = Sight::new(&THREE).without_caches().run();
    assert_eq!(tokens(&kept), tokens(&lost));
    assert_eq!(cache(&lost, "eye"), [0, 3, 0]);

    // Each question by itself, in one run that keeps what it can and in runs that have seen nothing.
    let alone = Sight::new(&THREE).mind("history: false").run();
    let separate = THREE.map(|ask| tokens(&Sight::new(&[ask]).run()).concat());
    assert_eq!(tokens(&alone), separate);
    let cached: Vec<u64> = answers(&alone).iter().map(|answer| answer.cached_tokens).collect();
    assert!(cached[0] == 0 && cached[1..].iter().all(|&cached| cached > PATCHES), "template and picture: {cached:?}");
    assert!(
        answers(&alone)
            .iter()
            .all(|answer| answer.prompt_tokens - answer.cached_tokens < 24 || answer.cached_tokens == 0)
    );
}

#[test]
fn the_picture_that_was_longest_not_asked_for_is_forgotten_first() {
    let question = "What do you see?";
    let order = [0, 1, 0, 2, 0, 1];
    let asks = order.map(|number| ([number], question));
    let asks: Vec<(&[usize], &str)> = asks.iter().map(|(picture, question)| (picture.as_slice(), *question)).collect();
    // Two pictures of either node; in turn they take 144 × 256 and 144 × 320 floats.
    let report = Sight::new(&asks).caches("380kB").mind("history: false, max_tokens: 2").run();
    for name in ["eye", "projector"] {
        assert_eq!(cache(&report, name), [2, 4, 2], "{name}: 0, 1, 2 and 1 again are new; 1 and then 2 are evicted");
    }
    let all = Sight::new(&asks).mind("history: false, max_tokens: 2").run();
    assert_eq!(cache(&all, "eye"), [3, 3, 0]);
    assert_eq!(tokens(&report), tokens(&all));
}

#[test]
fn a_question_may_be_about_two_pictures_and_the_conversation_goes_on_about_others() {
    let asks: [(&[usize], &str); 5] = [
        (&[0, 1], "Which is larger?"),
        (&[0, 1], "What do you see?"),
        (&[2], "What do you see?"),
        (&[2], "How many things are there?"),
        (&[0, 1, 2], "What do you see?"),
    ];
    let report = Sight::new(&asks).run();
    assert_eq!((report.requests.answered, report.requests.failed), (4, 1), "three pictures are too many: {report}");
    assert_eq!(cache(&report, "eye"), [6, 3, 0]);
    let [both, again, other, more] = answers(&report) else { panic!("four answers: {report}") };
    assert!(both.prompt_tokens > 2 * PATCHES && again.cached_tokens > 2 * PATCHES, "{both:?} {again:?}");
    assert!(again.prompt_tokens - again.cached_tokens < 24, "{again:?}");
    assert!(other.prompt_tokens - other.cached_tokens > PATCHES, "the turns about both are forgotten: {other:?}");
    assert!(other.prompt_tokens < 2 * PATCHES, "{other:?}");
    assert!(more.prompt_tokens - more.cached_tokens < 24, "{more:?}");
}

/// Two encoders that feed one input, each with a picture of its own: the same as one that sends two.
#[test]
fn two_edges_into_the_embeddings_show_two_pictures_in_the_order_of_the_graph() {
    let (vision, language) = (scene("scene-mmproj.gguf"), scene("scene.gguf"));
    let [left, right] = [0, 1].map(|number| scene(&format!("samples/scene-{number:02}.png")));
    let see = |first: &str, second: &str| {
        let mut stage = Stage::new();
        super::sight::register(&mut stage, &["Which is larger?"], Answers::default());
        let chain = |number: usize, path: &str| {
            format!(
                r#""picture{number}": Image(path: "{path}"), "eye{number}": VisionEncoder(model: "{vision}"),
                "projector{number}": Projector(model: "{vision}"),"#
            )
        };
        let edges = |number: usize| {
            format!(
                r#"("asks.text", "picture{number}.question"), ("picture{number}.image", "eye{number}.image"),
                ("eye{number}.patches", "projector{number}.patches"),
                ("projector{number}.tokens", "mind.embeddings"),"#
            )
        };
        run(
            &stage,
            &format!(
                r#"Graph(
                name: "two", nodes: {{ "asks": Asks(), {} {}
                    "mind": Llm(model: "{language}", context: 700, temperature: 0, max_tokens: 24),
                    "answers": Answers() }},
                edges: [ {} {} ("asks.text", "mind.prompt"), ("mind.text", "answers.text") ],
            )"#,
                chain(1, first),
                chain(2, second),
                edges(1),
                edges(2)
            ),
        )
    };
    let report = see(&left, &right);
    assert_eq!(report.requests.answered, 1, "{report}");
    let expected = Sight::new(&[(&[0, 1], "Which is larger?")]).run();
    assert_eq!(tokens(&report), tokens(&expected));
    assert_eq!(answers(&report)[0].prompt_tokens, answers(&expected)[0].prompt_tokens);
    let turned = Sight::new(&[(&[1, 0], "Which is larger?")]).run();
    assert_eq!(tokens(&see(&right, &left)), tokens(&turned));
}

/// Each picture of a stream is asked the question that came last, in a request of its own.
#[test]
fn a_latched_question_is_asked_about_each_picture_of_a_stream() {
    let mut stage = Stage::new();
    super::sight::register(&mut stage, &[], Answers::default());
    let image = PortSpec::new("image", PortType::Image, "Pictures.");
    let spec =
        NodeSpec::sensor("Stream", "Sends pictures, and a question after the first.").output(image).output(text_port());
    stage.add(spec, |context: NodeContext| async move {
        for (number, pieces) in [(0, &["What do", " you see?"][..]), (1, &[]), (2, &["Is there ", "a cat?"]), (3, &[])]
        {
            let request = context.requests().mint();
            context.send("image", Packet::image(request, picture_of(number))).await?;
            context.requests().settled(request.id).await;
            let question = context.requests().mint();
            for (at, piece) in pieces.iter().enumerate() {
                let packet = Packet::text(question, *piece, 1);
                context.send("text", if at + 1 == pieces.len() { packet.ending() } else { packet }).await?;
            }
        }
        Ok(())
    });
    let (vision, language) = (scene("scene-mmproj.gguf"), scene("scene.gguf"));
    let report = run(
        &stage,
        &format!(
            r#"Graph(
            name: "stream",
            nodes: {{
                "stream":    Stream(),
                "eye":       VisionEncoder(model: "{vision}"),
                "projector": Projector(model: "{vision}"),
                "mind":      Llm(model: "{language}", context: 700, temperature: 0, max_tokens: 24, history: false),
                "answers":   Answers(),
            }},
            edges: [
                ("stream.image",     "eye.image"),
                ("eye.patches",      "projector.patches"),
                ("projector.tokens", "mind.embeddings", Trigger),
                ("stream.text",      "mind.prompt", Latched),
                ("mind.text",        "answers.text"),
            ],
        )"#
        ),
    );
    assert_eq!(node(&report, "mind").counters.get("pictures before any question"), Some(&1), "{report}");
    let expected = [(1, "What do you see?"), (2, "What do you see?"), (3, "Is there a cat?")]
        .map(|(picture, question)| tokens(&Sight::new(&[(&[picture], question)]).run()).concat());
    assert_eq!(tokens(&report), expected);
    // Three pictures and two questions have their answer; the picture before any question has none.
    assert_eq!((report.requests.answered, report.requests.dropped), (5, 1), "{:?}", report.requests);
}

#[test]
fn no_slot_is_lost_whenever_requests_are_cancelled() {
    for seed in 0..3 {
        let mut dice = Dice(seed);
        let asks: Vec<(Vec<usize>, String)> = (0..14)
            .map(|_| {
                let pictures = (0..1 + dice.roll(2)).map(|_| dice.roll(4) as usize).collect();
                (pictures, ["What do you see?", "How many things are there?"][dice.roll(2) as usize].to_owned())
            })
            .collect();
        // Small caches, so that slots are evicted while others hold them.
        let sight = Sight { asks, cancel: Some(seed), ..Sight::new(&[]).caches("190kB").mind("max_tokens: 12") };
        let report = sight.run();
        assert_eq!(report.end, RunEnd::Finished, "seed {seed}");
        let counts = report.requests;
        assert_eq!(counts.answered + counts.cancelled + counts.failed, counts.minted, "seed {seed}: {counts:?}");
        assert!(counts.cancelled > 0 && counts.answered > 0, "seed {seed}: {counts:?}");
        assert!(counts.failed == 0, "seed {seed}: {report}");
    }
}

#[test]
fn a_node_that_is_restarted_gives_its_slots_back_and_sees_again() {
    let mut stage = Stage::new();
    super::sight::register(&mut stage, &[], Answers::default());
    let sight = Sight::new(&THREE);
    sight.register_album(&mut stage);
    let (vision, language) = (scene("scene-mmproj.gguf"), scene("scene.gguf"));
    let rows =
        || PortType::Embeddings { width: nanomind_graphs::Width::Any, element: nanomind_graphs::ElementType::F32 };
    let spec = NodeSpec::brick("Fragile", "Passes rows on, and fails with the second ones that it ever takes.")
        .input(PortSpec::new("rows", rows(), "Rows."))
        .output(PortSpec::new(
            "rows",
            PortType::Embeddings {
                width: nanomind_graphs::Width::Fixed(320),
                element: nanomind_graphs::ElementType::F32,
            },
            "The same rows.",
        ))
        .runs_on(&[AcceleratorKind::Cpu]);
    stage.add(spec, |mut context: NodeContext| async move {
        let mut held = Vec::new();
        while let Some(firing) = context.next().await {
            held.push(firing.packet.clone());
            assert!(context.life() > 0 || held.len() < 2, "fragile");
            context.send("rows", firing.packet).await?;
        }
        Ok(())
    });
    let report = run(
        &stage,
        &format!(
            r#"Graph(
            name: "restart",
            nodes: {{
                "album":     Album(),
                "eye":       VisionEncoder(model: "{vision}"),
                "projector": Projector(model: "{vision}"),
                "fragile":   Fragile(),
                "mind":      Llm(model: "{language}", context: 700, temperature: 0, max_tokens: 24),
                "answers":   Answers(),
            }},
            edges: [
                ("album.image",      "eye.image"),
                ("eye.patches",      "projector.patches"),
                ("projector.tokens", "fragile.rows"),
                ("fragile.rows",     "mind.embeddings"),
                ("album.text",       "mind.prompt"),
                ("mind.text",        "answers.text"),
            ],
            restart: {{ "*": OnFailure(max: 3, within: "1min") }},
        )"#
        ),
    );
    assert_eq!(node(&report, "fragile").outcome.restarts, 1, "{report}");
    assert_eq!((report.requests.answered, report.requests.failed), (2, 1), "{:?}", report.requests);
    assert_eq!(cache(&report, "projector"), [2, 1, 0]);
    let [first, third] = answers(&report) else { panic!("two answers: {report}") };
    assert!(third.cached_tokens >= first.prompt_tokens, "the conversation went on: {third:?}");
}
