//! Preparing, encoding, projecting, laying out and reading pictures equals what HF transformers does with whole models.

use std::sync::Arc;

use nanomind_bricks::Gguf;
use nanomind_bricks::language::{LanguageModel, Logits, PromptPart, RowRun, Sequence};
use nanomind_bricks::vision::{RowLayout, Span};
use nanomind_hal::Lane;
use nanomind_hal::tabm::SlotReader;
use nanomind_kernels::Isa;

use crate::expected::{Case, cases};
use crate::eye::{Eye, WHOLE};
use crate::small;

impl Case {
    fn eye(&self, isa: Isa) -> Eye {
        Eye::load(self.name, self.framing, isa)
    }

    fn picture(&self) -> Arc<nanomind_bricks::vision::Picture> {
        Arc::new(small::picture(self.picture.0, self.picture.1))
    }

    fn told(&self) -> String {
        format!("{} ({}) on {:?}", self.name, self.framing, self.picture)
    }
}

#[test]
fn pictures_are_prepared_as_hf_processors_do_within_a_255th() {
    let lane = Lane::spawn(2, None).unwrap();
    for case in cases() {
        let (eye, picture) = (case.eye(Isa::detect()), case.picture());
        let preprocess = eye.encoder.config().preprocess();
        let plan = preprocess.plan(picture.width(), picture.height());
        assert_eq!((plan.columns, plan.rows), (case.columns, case.rows), "{}", case.told());
        let squares = eye.squares(&lane, &picture);
        assert_eq!(squares.len(), case.squares.len(), "{}", case.told());
        let plane = preprocess.size.pow(2);
        for (index, (square, levels)) in squares.iter().zip(&case.squares).enumerate() {
            for (at, expected) in levels.iter().enumerate() {
                let value = at * 3 * plane / levels.len();
                let (pixel, channel) = (value / 3, value % 3);
                let (mean, std) = (preprocess.mean[channel], preprocess.std[channel]);
                let level = (square.values()[channel * plane + pixel] * std + mean) * 255.0;
                let off = (level - f32::from(*expected)).abs();
                assert!(off < 0.01, "{}: square {index}, value {value}: {level}, expected {expected}", case.told());
            }
        }
    }
}

#[test]
fn encoders_and_projectors_compute_what_hf_transformers_does_on_every_instruction_set() {
    let lane = Lane::single();
    for isa in Isa::available() {
        for case in cases() {
            let (eye, picture) = (case.eye(isa), case.picture());
            let encoded = eye.encode(&lane, &picture, WHOLE);
            let config = eye.encoder.config();
            for ((square, patch), expected) in &case.encoded {
                let row = row_of_patch(*patch, config.side(), config.projector.block());
                let found = &encoded[*square][row * config.width..][..config.width];
                let what = format!("{} on {isa}: square {square}, patch {patch}", case.told());
                assert_close(&what, expected, found);
            }
            let arrangement = eye.arrange(&picture);
            let rows = eye.project(&lane, &arrangement, &encoded, WHOLE);
            assert!(rows.rows_f32().iter().all(|value| value.is_finite()), "{}: a row was not written", case.told());
            for (row, expected) in &case.projected {
                assert_close(&format!("{} on {isa}: row {row}", case.told()), expected, rows.row(*row));
            }
        }
    }
}

/// The row that patch `patch`, in the order of lines, is of the encoder's output.
fn row_of_patch(patch: usize, side: usize, block: usize) -> usize {
    let (y, x) = (patch / side, patch % side);
    (y / block * (side / block) + x / block) * block * block + y % block * block + x % block
}

#[track_caller]
fn assert_close(what: &str, expected: &[f32], found: &[f32]) {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    let cosine = dot(expected, found) / (dot(expected, expected) * dot(found, found)).sqrt();
    assert!(cosine >= 0.9999, "{what}: cosine {cosine}");
    let off = expected.iter().zip(found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let largest = expected.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    assert!(off <= largest * 5e-3, "{what}: off by {off} of {largest}");
}

#[test]
fn whole_models_read_their_pictures_where_the_processor_puts_them_and_say_what_hf_transformers_says() {
    let lane = Lane::spawn(2, None).unwrap();
    for case in cases() {
        for isa in Isa::available() {
            let (eye, picture) = (case.eye(isa), case.picture());
            let arrangement = eye.arrange(&picture);
            let rows = eye.project(&lane, &arrangement, &eye.encode(&lane, &picture, WHOLE), WHOLE);
            assert_eq!(written(arrangement.layout()), case.prompt, "{}", case.told());
            let found = logits(&lane, &case, isa, &prompt(arrangement.layout(), &rows));
            let largest = case.logits.iter().fold(0.0f32, |most, value| most.max(value.abs()));
            let off = case.logits.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off <= 1e-3 * largest, "{} on {isa}: logits are off by {off} of {largest}", case.told());
        }
    }
}

/// The layout with each run of rows as its number in braces.
fn written(layout: &RowLayout) -> String {
    let span = |span: &Span| match span {
        Span::Rows(rows) => format!("{{{}}}", rows.len()),
        Span::Text(text) => text.to_string(),
    };
    layout.spans().iter().map(span).collect()
}

/// The prompt of the fixture: three tokens, the picture, three tokens.
fn prompt(layout: &RowLayout, rows: &SlotReader) -> Vec<PromptPart> {
    let picture = layout.spans().iter().map(|span| match span {
        Span::Rows(range) => PromptPart::Rows(RowRun { rows: rows.clone(), range: range.clone(), source: None }),
        Span::Text(text) => PromptPart::Tokens(token_ids(text)),
    });
    let around = |tokens: [u32; 3]| PromptPart::Tokens(tokens.to_vec());
    [around([1, 5, 9])].into_iter().chain(picture).chain([around([7, 11, 3])]).collect()
}

/// Tokens of the fixture's made-up vocabulary.
fn token_ids(mut text: &str) -> Vec<u32> {
    let mut ids = Vec::new();
    while !text.is_empty() {
        let end = match text.starts_with('<') {
            true => text.find('>').expect("a closed token") + 1,
            false => text.find('<').unwrap_or(text.len()),
        };
        let (token, rest) = text.split_at(end);
        text = rest;
        ids.push(match token {
            "<fake_token_around_image>" => 91,
            "<global-img>" => 92,
            "\n" => 93,
            "\n\n" => 94,
            cell => {
                let number = |part: &str| part.parse::<u32>().expect("a number");
                let (row, column) = cell
                    .strip_prefix("<row_")
                    .and_then(|cell| cell.strip_suffix('>'))
                    .and_then(|cell| cell.split_once("_col_"))
                    .unwrap_or_else(|| panic!("{cell:?} is no token"));
                40 + 6 * (number(row) - 1) + number(column) - 1
            }
        });
    }
    ids
}

/// The logits after the last position of `prompt`.
fn logits(lane: &Lane, case: &Case, isa: Isa, prompt: &[PromptPart]) -> Vec<f32> {
    let bytes = small::files(case.name, case.framing).language.to_bytes();
    let gguf = Arc::new(Gguf::from_bytes(format!("{}.gguf", case.name), bytes).unwrap());
    let model = LanguageModel::load(&gguf, isa, lane, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"));
    let segments: Vec<_> = prompt.iter().map(PromptPart::as_segment).collect();
    let mut sequence = Sequence::new(&model, 256).unwrap();
    model.prefill(lane, &mut sequence, &segments, Logits::Last).unwrap().to_vec()
}
