//! The model that the repository ships sees a picture and answers about it.

use std::path::PathBuf;
use std::sync::Arc;

use nanomind_bricks::language::{Generation, GenerationOptions, LanguageModel, PromptPart, RowRun, Sequence};
use nanomind_bricks::vision::{Encoding, Picture, PictureLimits, Projector, Square, VisionEncoder};
use nanomind_bricks::{Gguf, Sampling, Special, Tokenizer};
use nanomind_hal::Lane;
use nanomind_hal::tabm::{ElementType, SlotGeometry, SlotPool, SlotReader};
use nanomind_kernels::Isa;
use serde::Deserialize;

/// A picture, and questions with what the model says when PyTorch computes it.
#[derive(Deserialize)]
struct Sample {
    file: String,
    questions: Vec<Question>,
}

#[derive(Deserialize)]
struct Question {
    question: String,
    model: String,
}

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "examples", "models", "scene", name].iter().collect()
}

pub(super) fn gguf(name: &str) -> Arc<Gguf> {
    Arc::new(Gguf::open(path(name)).unwrap_or_else(|error| panic!("{error}")))
}

/// The picture's rows in a slot of `pool`.
pub(super) fn look(
    lane: &Lane,
    encoding: &mut Encoding,
    projector: &Projector,
    pool: &SlotPool,
    picture: &Picture,
) -> SlotReader {
    let config = encoding.encoder().config().clone();
    let arrangement = projector.arrange(config.preprocess().plan(picture.width(), picture.height()));
    encoding.begin(lane, &config.preprocess().apply(lane, &Arc::new(picture.clone()))[0]).unwrap();
    while !encoding.is_complete() {
        encoding.advance(lane, 2);
    }
    let (patches, width, element) = (config.patches(), config.width, ElementType::F32);
    let between = SlotPool::new(SlotGeometry { slots: 1, max_tokens: patches, width, element }).unwrap();
    let encoded = encoding.publish(lane, between.try_acquire().unwrap()).unwrap();
    let mut slot = pool.try_acquire().unwrap();
    let square = Square { arrangement: &arrangement, tile: 0, patches: encoded.rows_f32() };
    projector.project(lane, &mut projector.projection(), square, 0..patches, &mut slot).unwrap();
    assert_eq!(between.stats().copied_bytes, 0);
    slot.publish(patches)
}

/// What the model says about the picture, greedily.
pub(super) fn answer(
    lane: &Lane,
    mind: &Arc<LanguageModel>,
    tokenizer: &Arc<Tokenizer>,
    picture: SlotReader,
    question: &str,
) -> String {
    let text = |text: &str| PromptPart::Tokens(tokenizer.encode(text, Special::Parse));
    let prompt = vec![
        text("<|user|>"),
        PromptPart::Rows(RowRun::whole(picture, None)),
        text(&format!("{question}<|assistant|>")),
    ];
    let options = GenerationOptions { sampling: Sampling::greedy(), max_tokens: 80, ..GenerationOptions::default() };
    let sequence = Sequence::new(mind, 512).unwrap();
    let mut answer = Generation::new(mind.clone(), tokenizer.clone(), sequence, prompt, &options)
        .map_err(|refused| refused.0)
        .unwrap();
    while answer.finished().is_none() {
        (answer, _) = answer.decode(lane);
    }
    answer.text().to_owned()
}

#[test]
fn the_shipped_model_answers_about_pictures_as_it_does_in_pytorch_and_no_embedding_is_copied() {
    let lane = Lane::spawn(2, None).unwrap();
    let isa = Isa::detect();
    let (language, vision) = (gguf("scene.gguf"), gguf("scene-mmproj.gguf"));
    let tokenizer = Arc::new(Tokenizer::from_gguf(&language).unwrap());
    let mind = Arc::new(LanguageModel::load(&language, isa, &lane, &mut |_| {}).unwrap());
    let encoder = Arc::new(VisionEncoder::load(&vision, isa, &lane, &mut |_| {}).unwrap());
    let projector = Projector::load(&vision, isa, &lane, &mut |_| {}).unwrap();
    let (max_tokens, width) = (encoder.config().patches(), projector.width());
    let pool = SlotPool::new(SlotGeometry { slots: 1, max_tokens, width, element: ElementType::F32 }).unwrap();
    let mut encoding = Encoding::new(encoder).unwrap();
    let samples: Vec<Sample> = serde_json::from_slice(&std::fs::read(path("samples/samples.json")).unwrap()).unwrap();
    let (mut asked, mut differ) = (0, Vec::new());
    for Sample { file, questions } in samples {
        let picture = Picture::open(path(&format!("samples/{file}")), &PictureLimits::default());
        let picture = picture.unwrap_or_else(|error| panic!("{error}"));
        let rows = look(&lane, &mut encoding, &projector, &pool, &picture);
        for Question { question, model } in questions {
            let answer = answer(&lane, &mind, &tokenizer, rows.clone(), &question);
            asked += 1;
            if answer != model {
                differ.push(format!("{file}: {question}\n  expected {model}\n  found    {answer}"));
            }
        }
    }
    assert!(asked > 100, "only {asked} questions");
    // Near ties may fall the other way.
    assert!(differ.len() * 100 <= 3 * asked, "{} of {asked} answers differ:\n{}", differ.len(), differ.join("\n"));
    eprintln!("{} of {asked} answers differ", differ.len());
    assert_eq!((pool.stats().copied_bytes, pool.stats().free), (0, 1));
}
