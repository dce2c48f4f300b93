//! Small random encoders and what HF transformers computes with them; `tests/fixtures/vision_random.py` writes both and
//! describes the format.

use std::path::PathBuf;
use std::sync::Arc;

use nanomind_bricks::Gguf;
use nanomind_bricks::vision::{Encoding, Picture, PictureLimits, Pixels, Projector, VisionEncoder};
use nanomind_hal::Lane;
use nanomind_kernels::Isa;

/// Names of the random models.
pub(crate) const MODELS: [&str; 2] = ["clip", "siglip"];

/// A picture as a processor of HF's prepares it.
pub(crate) struct Prepared {
    pub(crate) size: usize,
    /// Before normalisation, `[size, size, 3]`.
    pub(crate) bytes: Vec<u8>,
}

/// What one of [`MODELS`] makes of the picture.
pub(crate) struct Expected {
    pub(crate) patches: usize,
    pub(crate) width: usize,
    pub(crate) projected_width: usize,
    pub(crate) encoded: Vec<f32>,
    pub(crate) projected: Vec<f32>,
}

/// The path of a file in `tests/fixtures`.
pub(crate) fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "tests", "fixtures", name].iter().collect()
}

/// The picture that every model looks at.
pub(crate) fn picture() -> Picture {
    Picture::open(path("vision_picture.png"), &PictureLimits::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// The file of the random model `name`.
pub(crate) fn gguf(name: &str) -> Arc<Gguf> {
    Arc::new(Gguf::open(path(&format!("vision_{name}.gguf"))).expect("a fixture"))
}

/// The encoder of the random model `name`.
pub(crate) fn encoder(name: &str, isa: Isa) -> Arc<VisionEncoder> {
    let loaded = VisionEncoder::load(&gguf(name), isa, &Lane::single(), &mut |_| {});
    Arc::new(loaded.unwrap_or_else(|error| panic!("{error}")))
}

/// The projector of the random model `name`.
pub(crate) fn projector(name: &str, isa: Isa) -> Projector {
    Projector::load(&gguf(name), isa, &Lane::single(), &mut |_| {}).unwrap_or_else(|error| panic!("{error}"))
}

/// The picture, prepared for the random model `name`.
pub(crate) fn pixels(encoder: &VisionEncoder) -> Pixels {
    encoder.config().preprocess().apply(&Lane::single(), &picture())
}

/// The picture on its way, all layers done in jobs of `layers`.
pub(crate) fn encoding(encoder: &Arc<VisionEncoder>, lane: &Lane, layers: usize) -> Encoding {
    let mut encoding = Encoding::new(Arc::clone(encoder)).unwrap();
    encoding.begin(lane, &pixels(encoder)).unwrap();
    while !encoding.is_complete() {
        encoding.advance(lane, layers);
    }
    encoding
}

/// The patch embeddings of an encoding.
pub(crate) fn rows(encoding: &Encoding, lane: &Lane) -> Vec<f32> {
    let config = encoding.encoder().config();
    let mut rows = vec![f32::NAN; config.patches() * config.width];
    encoding.write(lane, &mut rows);
    rows
}

/// The prepared pictures (CLIP and SigLIP for their models, then CLIP enlarged) and what each model makes of its own.
pub(crate) fn expected() -> (Vec<Prepared>, Vec<Expected>) {
    let bytes = std::fs::read(path("vision_expected.bin")).expect("a fixture");
    let mut left = bytes.as_slice();
    let mut take = |count: usize| {
        let (now, rest) = left.split_at(count);
        left = rest;
        now
    };
    let number = |word: &[u8]| u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
    let prepared = (0..3)
        .map(|_| {
            let size = number(take(4)) as usize;
            Prepared { size, bytes: take(size * size * 3).to_vec() }
        })
        .collect();
    let models = MODELS
        .map(|_| {
            let [patches, width, projected_width] = [(); 3].map(|()| number(take(4)) as usize);
            let mut floats =
                |count: usize| take(count * 4).chunks_exact(4).map(|word| f32::from_bits(number(word))).collect();
            let (encoded, projected) = (floats(patches * width), floats(patches * projected_width));
            Expected { patches, width, projected_width, encoded, projected }
        })
        .into();
    assert!(left.is_empty(), "{} bytes are left of the fixture", left.len());
    (prepared, models)
}
