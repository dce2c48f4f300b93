//! What HF transformers computes with the drawn models; `tests/fixtures/vision_models.py` wrote it and describes it.

use std::path::PathBuf;

/// The cases in the order of the file: model, its `image_aspect_ratio` where there is a choice.
pub(crate) const CASES: [(&str, &str); 10] = [
    ("onevision", "anyres"),
    ("onevision", "anyres"),
    ("onevision", "anyres"),
    ("llava", "square"),
    ("llava", "pad"),
    ("siglip", "square"),
    ("smolvlm", "split"),
    ("smolvlm", "split"),
    ("smolvlm", "split"),
    ("mobilevlm", "pad"),
];

/// Bytes of a square that are stored.
const LEVELS: usize = 48;

/// One picture seen by one model.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) framing: &'static str,
    pub(crate) picture: (usize, usize),
    pub(crate) columns: usize,
    pub(crate) rows: usize,
    /// Levels of each square, evenly from `[size, size, 3]`.
    pub(crate) squares: Vec<Vec<u8>>,
    /// The picture's part of the prompt, with a run of rows as its number in braces.
    pub(crate) prompt: String,
    /// Square, patch in the order of lines, and its embedding.
    pub(crate) encoded: Vec<((usize, usize), Vec<f32>)>,
    /// Row and its values.
    pub(crate) projected: Vec<(usize, Vec<f32>)>,
    pub(crate) logits: Vec<f32>,
}

/// Reads the fixture.
pub(crate) fn cases() -> Vec<Case> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "tests", "fixtures", "vision_models.bin"].iter().collect();
    let bytes = std::fs::read(path).expect("a fixture");
    let mut left = Left(&bytes);
    let cases = CASES.map(|(name, framing)| case(&mut left, name, framing)).into();
    assert!(left.0.is_empty(), "{} bytes are left of the fixture", left.0.len());
    cases
}

struct Left<'a>(&'a [u8]);

impl<'a> Left<'a> {
    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (now, rest) = self.0.split_at(count);
        self.0 = rest;
        now
    }

    fn count(&mut self) -> usize {
        u32::from_le_bytes(self.bytes(4).try_into().expect("four bytes")) as usize
    }

    fn floats(&mut self, count: usize) -> Vec<f32> {
        let words = self.bytes(count * 4).chunks_exact(4);
        words.map(|word| f32::from_le_bytes(word.try_into().expect("four bytes"))).collect()
    }
}

fn case(left: &mut Left<'_>, name: &'static str, framing: &'static str) -> Case {
    let [width, height, columns, rows, squares] = [(); 5].map(|()| left.count());
    let squares = (0..squares).map(|_| left.bytes(LEVELS).to_vec()).collect();
    let prompt = left.count();
    let prompt = String::from_utf8(left.bytes(prompt).to_vec()).expect("text");
    let [count, wide] = [(); 2].map(|()| left.count());
    let encoded = (0..count).map(|_| ((left.count(), left.count()), left.floats(wide))).collect();
    let [count, wide] = [(); 2].map(|()| left.count());
    let projected = (0..count).map(|_| (left.count(), left.floats(wide))).collect();
    let vocab = left.count();
    let logits = left.floats(vocab);
    let picture = (width, height);
    Case { name, framing, picture, columns, rows, squares, prompt, encoded, projected, logits }
}
