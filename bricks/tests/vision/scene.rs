//! The model that the repository ships sees a picture and answers about it.

use std::path::PathBuf;
use std::sync::Arc;

use nanomind_bricks::language::{Generation, GenerationOptions, LanguageModel, PromptPart, Sequence};
use nanomind_bricks::vision::{Encoding, Picture, PictureLimits, Projector, VisionEncoder};
use nanomind_bricks::{Gguf, Sampling, Special, Tokenizer};
use nanomind_hal::Lane;
use nanomind_hal::tabm::{ElementType, SlotGeometry, SlotPool, SlotReader};
use nanomind_kernels::Isa;

/// Pictures, questions, and what the model says to them when PyTorch computes it.
const ASKED: [(&str, &str, &str); 6] = [
    ("scene-01.png", "What is on the left?", "It is a white digit 6."),
    ("scene-03.png", "Is the chair above or below the black digit 3?", "It is below the black digit 3."),
    ("scene-05.png", "Where do you see the word \"cafe\"?", "It is at the bottom."),
    ("scene-10.png", "Read the digits.", "I see 9 and 0."),
    ("scene-15.png", "Is there a taco?", "Yes, there is a taco."),
    ("scene-23.png", "What is at the bottom?", "It is a backpack."),
];

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "examples", "models", "scene", name].iter().collect()
}

fn gguf(name: &str) -> Arc<Gguf> {
    Arc::new(Gguf::open(path(name)).unwrap_or_else(|error| panic!("{error}")))
}

/// The picture's rows in a slot of `pool`.
fn look(lane: &Lane, encoding: &mut Encoding, projector: &Projector, pool: &SlotPool, picture: &str) -> SlotReader {
    let picture = Picture::open(path(picture), &PictureLimits::default()).unwrap_or_else(|error| panic!("{error}"));
    let config = encoding.encoder().config().clone();
    encoding.begin(lane, &config.preprocess().apply(lane, &picture)).unwrap();
    while !encoding.is_complete() {
        encoding.advance(lane, 2);
    }
    let (patches, width, element) = (config.patches(), config.width, ElementType::F32);
    let between = SlotPool::new(SlotGeometry { slots: 1, max_tokens: patches, width, element }).unwrap();
    let encoded = encoding.publish(lane, between.try_acquire().unwrap()).unwrap();
    let mut slot = pool.try_acquire().unwrap();
    projector.project(lane, &mut projector.projection(), encoded.rows_f32(), 0..patches, &mut slot).unwrap();
    assert_eq!(between.stats().copied_bytes, 0);
    slot.publish(patches)
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
    for (picture, question, expected) in ASKED {
        let rows = look(&lane, &mut encoding, &projector, &pool, &format!("samples/{picture}"));
        let text = |text: &str| PromptPart::Tokens(tokenizer.encode(text, Special::Parse));
        let prompt = vec![text("<|user|>"), PromptPart::Rows(rows), text(&format!("{question}<|assistant|>"))];
        let options =
            GenerationOptions { sampling: Sampling::greedy(), max_tokens: 80, ..GenerationOptions::default() };
        let sequence = Sequence::new(&mind, 512).unwrap();
        let mut answer = Generation::new(mind.clone(), tokenizer.clone(), sequence, prompt, &options)
            .map_err(|refused| refused.0)
            .unwrap();
        while answer.finished().is_none() {
            (answer, _) = answer.decode(&lane);
        }
        assert_eq!(answer.text(), expected, "{picture}: {question}");
    }
    assert_eq!((pool.stats().copied_bytes, pool.stats().free), (0, 1));
}
