//! Pictures of many squares in a graph: each travels by itself, and the language model reads what the library computes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use nanomind_actors::report::RunEnd;
use nanomind_actors::{Packet, RunOptions, RunReport, Runtime};
use nanomind_bricks::language::{GenerationOptions, LanguageModel};
use nanomind_bricks::vision::{Embeddings, Encoding, Picture, Projector, Square, VisionEncoder};
use nanomind_bricks::{ChatTemplate, Conversation, ConversationOptions, Gguf, Sampling, Tokenizer};
use nanomind_graphs::{Drawing, NodeSpec, PortSpec, PortType};
use nanomind_hal::Lane;
use nanomind_hal::tabm::{ElementType, SlotGeometry, SlotPool};
use nanomind_kernels::Isa;

use super::language::check_with_files;
use super::stage::{Stage, text_port};

#[path = "../../../bricks/tests/vision/small/mod.rs"]
mod small;

/// Tokens of an answer.
const ANSWER: usize = 12;

/// Writes both files of a drawn model, the language model with a vocabulary of letters and of SmolVLM's marks.
fn write(folder: &Path, name: &str, vocab: usize) {
    let marks = ["<fake_token_around_image>", "<global-img>", "<|end|>", "Ċ", "ĊĊ", "Ġ"].map(str::to_owned);
    let cells = (1..=4).flat_map(|row| (1..=4).map(move |column| format!("<row_{row}_col_{column}>")));
    let tokens = ('a'..='z').map(String::from).chain(marks).chain(cells);
    let tokens: Vec<String> = tokens.chain((0..).map(|index| format!("<unused_{index}>"))).take(vocab).collect();
    let kinds: Vec<i32> = tokens.iter().map(|token| if token.starts_with('<') { 3 } else { 1 }).collect();
    let end = tokens.iter().position(|token| token == "<|end|>").unwrap() as u32;
    let files = small::files(name, "");
    let language = files
        .language
        .metadata("tokenizer.ggml.model", "gpt2")
        .metadata("tokenizer.ggml.pre", "smollm")
        .metadata("tokenizer.ggml.tokens", tokens)
        .metadata("tokenizer.ggml.token_type", kinds)
        .metadata("tokenizer.ggml.merges", vec!["Ċ Ċ".to_owned()])
        .metadata("tokenizer.ggml.eos_token_id", end)
        .metadata("tokenizer.ggml.add_bos_token", false)
        .metadata("tokenizer.chat_template", "{% for message in messages %}{{ message.content }}{% endfor %}");
    std::fs::write(folder.join("language.gguf"), language.to_bytes()).unwrap();
    std::fs::write(folder.join("vision.gguf"), files.vision.to_bytes()).unwrap();
}

/// What the library says to a question about a picture, and how many squares and rows the picture makes.
fn expected(folder: &Path, picture: &Arc<Picture>, question: &str) -> (Vec<u32>, usize, usize) {
    let (isa, lane) = (Isa::detect(), Lane::single());
    let open = |name: &str| Arc::new(Gguf::open(folder.join(name)).unwrap());
    let (language, vision) = (open("language.gguf"), open("vision.gguf"));
    let encoder = Arc::new(VisionEncoder::load(&vision, isa, &lane, &mut |_| {}).unwrap());
    let projector = Projector::load(&vision, isa, &lane, &mut |_| {}).unwrap();
    let config = encoder.config().clone();
    let arrangement = projector.arrange(config.preprocess().plan(picture.width(), picture.height()));
    let (max_tokens, width, element) = (arrangement.rows(), projector.width(), ElementType::F32);
    let pool = SlotPool::new(SlotGeometry { slots: 1, max_tokens, width, element }).unwrap();
    let mut slot = pool.try_acquire().unwrap();
    let (mut encoding, mut work) = (Encoding::new(encoder).unwrap(), projector.projection());
    let squares = config.preprocess().apply(&lane, picture);
    for (tile, square) in squares.iter().enumerate() {
        encoding.begin(&lane, square).unwrap();
        encoding.advance(&lane, usize::MAX);
        let mut patches = vec![0.0; config.patches() * config.width];
        encoding.write(&lane, &mut patches);
        let square = Square { arrangement: &arrangement, tile, patches: &patches };
        projector.project(&lane, &mut work, square, 0..projector.config().blocks(), &mut slot).unwrap();
    }
    let (rows, layout) = (slot.publish(arrangement.rows()), arrangement.layout().clone());
    let model = Arc::new(LanguageModel::load(&language, isa, &lane, &mut |_| {}).unwrap());
    let tokenizer = Arc::new(Tokenizer::from_gguf(&language).unwrap());
    let template = Arc::new(ChatTemplate::from_gguf(&language).unwrap());
    let mut conversation = Conversation::new(model, tokenizer, template, ConversationOptions::new(256));
    let options = GenerationOptions { sampling: Sampling::greedy(), max_tokens: ANSWER, ..Default::default() };
    let picture = Embeddings { rows, source: None, layout };
    let mut answer = conversation.ask(question, vec![picture], &options).unwrap();
    let mut tokens = Vec::new();
    while answer.finished().is_none() {
        let step;
        (answer, step) = answer.decode(&lane);
        tokens.extend(step.tokens);
    }
    (tokens, squares.len(), arrangement.rows())
}

type Answers = Arc<Mutex<BTreeMap<u64, String>>>;

/// Shows each picture with its question, one after the other, to the model in `folder`.
fn look(folder: &Path, shown: Vec<(Arc<Picture>, &'static str)>, fields: &str) -> (RunReport, Vec<String>) {
    let mut stage = Stage::new();
    let image = PortSpec::new("image", PortType::Image, "Pictures.");
    stage.add(NodeSpec::sensor("Shows", "Shows.").output(image).output(text_port()), move |context| {
        let shown = shown.clone();
        async move {
            for (picture, question) in shown {
                let request = context.requests().mint();
                context.send("image", Packet::image(request, picture)).await?;
                context.send("text", Packet::text(request, question, 1).ending()).await?;
            }
            Ok(())
        }
    });
    let answers = Answers::default();
    let heard = answers.clone();
    stage.add(NodeSpec::sink("Answers", "Remembers.").input(text_port()), move |mut context| {
        let heard = heard.clone();
        async move {
            while let Some(firing) = context.next().await {
                let failure = firing.packet.as_failure().map(|error| format!("failed: {error}"));
                let piece = failure.unwrap_or_else(|| firing.packet.as_text().unwrap_or("?").to_owned());
                heard.lock().unwrap().entry(firing.packet.request.0).or_default().push_str(&piece);
            }
            Ok(())
        }
    });
    let (vision, language) = (folder.join("vision.gguf"), folder.join("language.gguf"));
    let graph = format!(
        r#"Graph(
            name: "squares",
            nodes: {{
                "shows":     Shows(),
                "eye":       VisionEncoder(model: "{vision}"),
                "projector": Projector(model: "{vision}"{fields}),
                "mind":      Llm(model: "{language}", context: 256, temperature: 0, max_tokens: {ANSWER}, history: false),
                "answers":   Answers(),
            }},
            edges: [
                ("shows.image",      "eye.image"),
                ("eye.patches",      "projector.patches"),
                ("projector.tokens", "mind.embeddings"),
                ("shows.text",       "mind.prompt"),
                ("mind.text",        "answers.text"),
            ],
        )"#,
        vision = vision.display(),
        language = language.display(),
    );
    let plan = check_with_files(&stage, &graph).unwrap_or_else(|report| panic!("{}", report.draw(Drawing::PLAIN)));
    let report = Runtime::start(&plan, &stage.machine, &stage.library, RunOptions::default()).unwrap().wait();
    let answers = answers.lock().unwrap().values().cloned().collect();
    (report, answers)
}

#[test]
fn a_graph_says_about_pictures_of_many_squares_what_the_library_says_and_no_embedding_is_copied() {
    for (name, vocab) in [("smolvlm", 128), ("onevision", 96)] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), name, vocab);
        let [wide, tall] = [(90, 64), (150, 301)].map(|(width, height)| Arc::new(small::picture(width, height)));
        // The first picture again, last: it is known by then.
        let shown = vec![(wide.clone(), "what"), (tall, "where"), (wide, "who")];
        let expected: Vec<_> =
            shown.iter().map(|(picture, question)| expected(folder.path(), picture, question)).collect();
        let (report, answers) = look(folder.path(), shown, "");
        assert_eq!((report.end, report.requests.answered), (RunEnd::Finished, 3), "{name}: {answers:?}");
        let told: Vec<&Vec<u32>> = report.answers().map(|(_, answer)| &answer.token_ids).collect();
        let wanted: Vec<&Vec<u32>> = expected.iter().map(|(tokens, ..)| tokens).collect();
        assert_eq!(told, wanted, "{name}");
        assert!(expected[0].1 > 1, "{name}: {} squares", expected[0].1);
        for pool in &report.pools {
            let squares = (expected[0].1 + expected[1].1) as u64;
            let published = if pool.pool == "eye.patches" { squares } else { 2 };
            assert_eq!((pool.copied_bytes, pool.published), (0, published), "{name}: {pool:?}");
            assert_eq!(pool.free, pool.slots, "{name}: every slot is free again: {pool:?}");
        }
    }
}

#[test]
fn a_picture_of_more_rows_than_a_slot_holds_is_refused_and_the_next_one_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "onevision", 96);
    let [large, small] = [(301, 263), (50, 37)].map(|(width, height)| Arc::new(small::picture(width, height)));
    let (tokens, _, rows) = expected(folder.path(), &small, "what");
    assert_eq!(rows, 26);
    let shown = vec![(large, "what"), (small, "what")];
    let (report, answers) = look(folder.path(), shown, ", max_tokens: 30");
    assert_eq!((report.requests.failed, report.requests.answered), (1, 1), "{answers:?}");
    assert!(answers[0].contains("the slot has room for 30 rows, expected at least 159"), "{answers:?}");
    let told: Vec<&Vec<u32>> = report.answers().map(|(_, answer)| &answer.token_ids).collect();
    assert_eq!(told, [&tokens]);
}
