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

/// The shipped model as it looks at one picture after another.
pub(super) struct Seer {
    lane: Lane,
    tokenizer: Arc<Tokenizer>,
    mind: Arc<LanguageModel>,
    encoding: Encoding,
    projector: Projector,
    /// One slot, as wide as the language model.
    pool: SlotPool,
}

impl Seer {
    pub(super) fn load() -> Seer {
        let gguf = |name| Arc::new(Gguf::open(path(name)).unwrap_or_else(|error| panic!("{error}")));
        let (lane, isa) = (Lane::spawn(2, None).unwrap(), Isa::detect());
        let (language, vision) = (gguf("scene.gguf"), gguf("scene-mmproj.gguf"));
        let tokenizer = Arc::new(Tokenizer::from_gguf(&language).unwrap());
        let mind = Arc::new(LanguageModel::load(&language, isa, &lane, &mut |_| {}).unwrap());
        let encoder = Arc::new(VisionEncoder::load(&vision, isa, &lane, &mut |_| {}).unwrap());
        let projector = Projector::load(&vision, isa, &lane, &mut |_| {}).unwrap();
        let pool = one_slot(encoder.config().patches(), projector.width());
        Seer { lane, tokenizer, mind, encoding: Encoding::new(encoder).unwrap(), projector, pool }
    }

    /// The picture's rows.
    pub(super) fn look(&mut self, picture: &Picture) -> SlotReader {
        let Seer { lane, encoding, projector, pool, .. } = self;
        let config = encoding.encoder().config().clone();
        let arrangement = projector.arrange(config.preprocess().plan(picture.width(), picture.height()));
        encoding.begin(lane, &config.preprocess().apply(lane, &Arc::new(picture.clone()))[0]).unwrap();
        while !encoding.is_complete() {
            encoding.advance(lane, 2);
        }
        let patches = config.patches();
        let between = one_slot(patches, config.width);
        let encoded = encoding.publish(lane, between.try_acquire().unwrap()).unwrap();
        let mut slot = pool.try_acquire().unwrap();
        let square = Square { arrangement: &arrangement, tile: 0, patches: encoded.rows_f32() };
        projector.project(lane, &mut projector.projection(), square, 0..patches, &mut slot).unwrap();
        assert_eq!(between.stats().copied_bytes, 0);
        slot.publish(patches)
    }

    /// What the model says about the picture, greedily.
    pub(super) fn answer(&self, picture: SlotReader, question: &str) -> String {
        let text = |text: &str| PromptPart::Tokens(self.tokenizer.encode(text, Special::Parse));
        let prompt = vec![
            text("<|user|>"),
            PromptPart::Rows(RowRun::whole(picture, None)),
            text(&format!("{question}<|assistant|>")),
        ];
        let options =
            GenerationOptions { sampling: Sampling::greedy(), max_tokens: 80, ..GenerationOptions::default() };
        let sequence = Sequence::new(&self.mind, 512).unwrap();
        let mut answer = Generation::new(self.mind.clone(), self.tokenizer.clone(), sequence, prompt, &options)
            .map_err(|refused| refused.0)
            .unwrap();
        while answer.finished().is_none() {
            (answer, _) = answer.decode(&self.lane);
        }
        answer.text().to_owned()
    }
}

fn one_slot(max_tokens: usize, width: usize) -> SlotPool {
    SlotPool::new(SlotGeometry { slots: 1, max_tokens, width, element: ElementType::F32 }).unwrap()
}

#[test]
fn the_shipped_model_answers_about_pictures_as_it_does_in_pytorch_and_no_embedding_is_copied() {
    let mut seer = Seer::load();
    let samples: Vec<Sample> = serde_json::from_slice(&std::fs::read(path("samples/samples.json")).unwrap()).unwrap();
    let (mut asked, mut differ) = (0, Vec::new());
    for Sample { file, questions } in samples {
        let picture = Picture::open(path(&format!("samples/{file}")), &PictureLimits::default());
        let picture = picture.unwrap_or_else(|error| panic!("{error}"));
        let rows = seer.look(&picture);
        for Question { question, model } in questions {
            let answer = seer.answer(rows.clone(), &question);
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
    assert_eq!((seer.pool.stats().copied_bytes, seer.pool.stats().free), (0, 1));
}
