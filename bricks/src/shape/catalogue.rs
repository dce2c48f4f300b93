//! Shapes of published models whose weights need not be at hand, from what their configurations say.
//!
//! Weights are taken to be stored as people run such models on boards: the layers of a language model in `Q4_0`, its head
//! in `Q8_0` or `Q6_K` as llama.cpp's quantiser leaves it, vision in `Q8_0`, and in `F16` where a row is no whole number
//! of blocks; vectors in `F32`.

use nanomind_kernels::Format;

use super::layers::LayersShape;
use super::matrix::MatrixShape;
use super::speech::{POSITIONS_PER_SECOND, WINDOW_SECONDS};
use super::{EncoderShape, LanguageShape, LanguageSizes, ModelShape, ProjectorShape, SpeechShape, VisionShape};
use crate::language::KvGeometry;
use crate::vision::{Activation, Framing, Merge, ProjectorConfig, ProjectorKind, VisionConfig};

/// A model whose shape is published.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// What graphs call it after `shape:`.
    pub name: &'static str,
    /// Where its numbers are published.
    pub source: &'static str,
    /// Its shape.
    pub shape: ModelShape,
}

/// Every model whose shape is known, in the order in which lists show them.
pub fn published() -> Vec<Published> {
    let language =
        |name, source, model: Language| Published { name, source, shape: ModelShape::Language(model.shape()) };
    let vision = |name, source, model: Vision| Published { name, source, shape: ModelShape::Vision(model.shape()) };
    vec![
        language("llava-onevision-qwen2-0.5b", LLAVA_ONEVISION, QWEN2_0_5B),
        vision("llava-onevision-qwen2-0.5b/vision", LLAVA_ONEVISION, llava_onevision_vision()),
        language("smolvlm-256m", SMOLVLM, SMOLVLM_LANGUAGE),
        vision("smolvlm-256m/vision", SMOLVLM, smolvlm_vision()),
        language("qwen2-vl-2b", QWEN2_VL, QWEN2_VL_LANGUAGE),
        vision("qwen2-vl-2b/vision", QWEN2_VL, qwen2_vl_vision()),
        language("llama-3-8b", "config.json of meta-llama/Meta-Llama-3-8B", LLAMA_3_8B),
        Published { name: "whisper-base", source: WHISPER, shape: ModelShape::Speech(WHISPER_BASE.shape()) },
    ]
}

const LLAVA_ONEVISION: &str = "config.json of llava-hf/llava-onevision-qwen2-0.5b-ov-hf";
const SMOLVLM: &str = "config.json and preprocessor_config.json of HuggingFaceTB/SmolVLM-256M-Instruct";
const QWEN2_VL: &str =
    "config.json of Qwen/Qwen2-VL-2B-Instruct; pictures of 256 rows, the least that its model card sets";
const WHISPER: &str = "config.json of openai/whisper-base";

/// What a configuration says of a language model.
struct Language {
    layers: usize,
    width: usize,
    feed_forward: usize,
    heads: usize,
    kv_heads: usize,
    vocab: usize,
    context_length: usize,
    /// Whether queries, keys and values have biases.
    attention_bias: bool,
    /// The format of an embedding table that the head does not share.
    table: Option<Format>,
    head: Format,
}

const QWEN2_0_5B: Language = Language {
    layers: 24,
    width: 896,
    feed_forward: 4864,
    heads: 14,
    kv_heads: 2,
    vocab: 152_000,
    context_length: 32_768,
    attention_bias: true,
    table: None,
    head: Format::Q8_0,
};

/// SmolLM2-135M with a head of its own.
const SMOLVLM_LANGUAGE: Language = Language {
    layers: 30,
    width: 576,
    feed_forward: 1536,
    heads: 9,
    kv_heads: 3,
    vocab: 49_280,
    context_length: 8192,
    attention_bias: false,
    table: Some(Format::Q8_0),
    head: Format::Q8_0,
};

const QWEN2_VL_LANGUAGE: Language = Language {
    layers: 28,
    width: 1536,
    feed_forward: 8960,
    heads: 12,
    kv_heads: 2,
    vocab: 151_936,
    context_length: 32_768,
    attention_bias: true,
    table: None,
    head: Format::Q6K,
};

const LLAMA_3_8B: Language = Language {
    layers: 32,
    width: 4096,
    feed_forward: 14_336,
    heads: 32,
    kv_heads: 8,
    vocab: 128_256,
    context_length: 8192,
    attention_bias: false,
    table: Some(Format::Q4_0),
    head: Format::Q6K,
};

/// The format of the layers of language models.
const LAYERS: Format = Format::Q4_0;
/// Bytes of a number of a vector.
const VECTOR_BYTES: usize = size_of::<f32>();

impl Language {
    fn shape(&self) -> LanguageShape {
        let Language { width, feed_forward, heads, kv_heads, layers, vocab, .. } = *self;
        let head_dim = width / heads;
        let key_value = kv_heads * head_dim;
        let projections = [
            (width, width),
            (key_value, width),
            (key_value, width),
            (width, width),
            (feed_forward, width),
            (feed_forward, width),
            (width, feed_forward),
        ];
        let layer = projections.map(|(rows, cols)| matrix(LAYERS, rows, cols));
        let biases = if self.attention_bias { width + 2 * key_value } else { 0 };
        let vectors = layers * (2 * width + biases) + width;
        let sizes = LanguageSizes {
            width,
            context_length: self.context_length,
            heads,
            kv: KvGeometry { layers, kv_heads, head_dim },
            table_weights: self.table.map_or(0, |_| vocab as u64 * width as u64),
            other_stored_bytes: (vectors * VECTOR_BYTES) as u64,
        };
        LanguageShape::new(sizes, (0..layers).flat_map(|_| layer), matrix(self.head, vocab, width))
    }
}

/// What configurations say of a vision encoder and its projector.
struct Vision {
    config: VisionConfig,
    /// Numbers of a patch before it is embedded.
    patch_values: usize,
    /// Rows and columns of the projections after it.
    projections: Vec<(usize, usize)>,
}

/// SigLIP-so400m without its last layer, LLaVA's projector, squares of 384 pixels, at most about nine.
fn llava_onevision_vision() -> Vision {
    let sides = || (1..=6).map(|squares| squares * 384);
    let config = VisionConfig {
        image_size: 384,
        patch_size: 14,
        width: 1152,
        feed_forward: 4304,
        blocks: 26,
        layers: 26,
        heads: 16,
        head_dim: 72,
        projector: ProjectorKind::Mlp(Merge::SpatialUnpad { most_tiles: Some(9) }),
        framing: Framing::Grid(sides().flat_map(|tall| sides().map(move |wide| (tall, wide))).collect()),
        ..SIGLIP
    };
    Vision { config, patch_values: 3 * 14 * 14, projections: vec![(896, 1152), (896, 896)] }
}

/// SigLIP-base with squares of 512 pixels, and a projection of blocks of 4 by 4 patches.
fn smolvlm_vision() -> Vision {
    let config = VisionConfig {
        image_size: 512,
        patch_size: 16,
        width: 768,
        feed_forward: 3072,
        blocks: 12,
        layers: 12,
        heads: 12,
        head_dim: 64,
        projector: ProjectorKind::Idefics3 { scale: 4 },
        framing: Framing::Split { longest: 2048 },
        ..SIGLIP
    };
    Vision { config, patch_values: 3 * 16 * 16, projections: vec![(576, 16 * 768)] }
}

/// Pictures of 448 by 448 pixels: the encoder takes any size, and its model card shows how to bound it, from 256 rows
/// up, a row for each square of 28 pixels. Patches show two frames; blocks of 2 by 2 are projected together.
fn qwen2_vl_vision() -> Vision {
    let config = VisionConfig {
        image_size: 448,
        patch_size: 14,
        width: 1280,
        feed_forward: 5120,
        blocks: 32,
        layers: 32,
        heads: 16,
        head_dim: 80,
        activation: Activation::QuickGelu,
        // Rows and squares are those of Idefics3's blocks; the projections are its own.
        projector: ProjectorKind::Idefics3 { scale: 2 },
        framing: Framing::Fit,
        ..SIGLIP
    };
    Vision { config, patch_values: 3 * 2 * 14 * 14, projections: vec![(5120, 5120), (1536, 5120)] }
}

/// What SigLIP's encoders have in common.
const SIGLIP: VisionConfig = VisionConfig {
    image_size: 0,
    patch_size: 0,
    width: 0,
    feed_forward: 0,
    blocks: 0,
    layers: 0,
    heads: 0,
    head_dim: 0,
    norm_epsilon: 1e-6,
    activation: Activation::Gelu,
    class_token: false,
    projector: ProjectorKind::Mlp(Merge::Flat),
    framing: Framing::Stretch,
    mean: [0.5; 3],
    std: [0.5; 3],
};

impl Vision {
    fn shape(self) -> VisionShape {
        let Vision { config, patch_values, projections } = self;
        let VisionConfig { width, feed_forward, layers, .. } = config;
        let square = vision_matrix(width, width);
        let (up, down) = (vision_matrix(feed_forward, width), vision_matrix(width, feed_forward));
        let layer = [square, square, square, square, up, down];
        let patch = matrix(Format::F16, width, patch_values);
        // Norms and biases of each layer, the embeddings of the positions, the patches' bias.
        let vectors = layers * (9 * width + feed_forward) + (config.tokens() + 1) * width;
        let of_layers = layers as u64 * layer.iter().map(MatrixShape::stored_bytes).sum::<u64>();
        let stored_bytes = patch.stored_bytes() + of_layers + (vectors * VECTOR_BYTES) as u64;
        let encoder = EncoderShape::new(&config, patch, (0..layers).map(|_| layer), stored_bytes);
        let linears: Vec<MatrixShape> = projections.iter().map(|(rows, cols)| vision_matrix(*rows, *cols)).collect();
        let of_projector = linears.iter().map(MatrixShape::stored_bytes).sum();
        let out = projections.last().map_or(0, |(rows, _)| *rows);
        let projector = ProjectorConfig::beside(&config, out);
        VisionShape::new(config, encoder, Some((projector, ProjectorShape::new(linears.into_iter(), of_projector))))
    }
}

/// What a configuration says of a Whisper model; encoder and decoder are alike.
struct Speech {
    layers: usize,
    width: usize,
    feed_forward: usize,
    heads: usize,
    vocab: usize,
    context_length: usize,
    /// Bands of the spectrogram.
    bands: usize,
}

const WHISPER_BASE: Speech =
    Speech { layers: 6, width: 512, feed_forward: 2048, heads: 8, vocab: 51_865, context_length: 448, bands: 80 };

impl Speech {
    fn shape(&self) -> SpeechShape {
        let Speech { layers, width, feed_forward, heads, .. } = *self;
        let half = |rows, cols| matrix(Format::F16, rows, cols);
        let (square, up, down) = (half(width, width), half(feed_forward, width), half(width, feed_forward));
        let positions = WINDOW_SECONDS * POSITIONS_PER_SECOND;
        let encoder = [square, square, square, square, up, down];
        // Queries, keys, values and outputs of its own text; queries and outputs of what it looks at.
        let decoder = [square, square, square, square, square, square, up, down];
        let kv = KvGeometry { layers, kv_heads: heads, head_dim: width / heads };
        let sizes = LanguageSizes {
            width,
            context_length: self.context_length,
            heads,
            kv,
            table_weights: 0,
            other_stored_bytes: ((positions + self.context_length) * width * VECTOR_BYTES) as u64,
        };
        let decoder = LanguageShape::new(sizes, (0..layers).flat_map(|_| decoder), half(self.vocab, width));
        SpeechShape {
            convolutions: [(half(width, 3 * self.bands), 2 * positions), (half(width, 3 * width), positions)],
            layers: LayersShape { tokens: positions, width, layers: (0..layers).map(|_| encoder).collect() },
            cross: vec![square; 2 * layers],
            decoder,
            cross_attention: 2 * (layers * width) as u64,
            // Keys and values of the sound take what those of the text do.
            cross_position_bytes: decoder.kv_bytes(1),
        }
    }
}

/// A matrix of a vision model.
fn vision_matrix(rows: usize, cols: usize) -> MatrixShape {
    let format = if cols.is_multiple_of(Format::Q8_0.block_len()) { Format::Q8_0 } else { Format::F16 };
    matrix(format, rows, cols)
}

fn matrix(format: Format, rows: usize, cols: usize) -> MatrixShape {
    MatrixShape::new(format, rows, cols).expect("rows of this catalogue are whole blocks; a test makes every one")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(name: &str) -> ModelShape {
        ModelShape::find(name).unwrap_or_else(|| panic!("{name} is in the catalogue"))
    }

    fn weights(name: &str) -> u64 {
        match shape(name) {
            ModelShape::Language(shape) => shape.weights(),
            ModelShape::Vision(shape) => shape.weights(),
            ModelShape::Speech(shape) => shape.weights(),
        }
    }

    /// The numbers of parameters are those that Hugging Face counts in the files, which know nothing of the
    /// configurations. Matrices are almost all of them.
    #[test]
    fn models_have_as_many_weights_as_their_files_are_said_to_have() {
        for (parts, published) in [
            (&["llava-onevision-qwen2-0.5b", "llava-onevision-qwen2-0.5b/vision"][..], 894e6),
            (&["smolvlm-256m", "smolvlm-256m/vision"], 256.5e6),
            (&["qwen2-vl-2b", "qwen2-vl-2b/vision"], 2.209e9),
            (&["llama-3-8b"], 8.030e9),
            (&["whisper-base"], 72.6e6),
        ] {
            let found = parts.iter().map(|part| weights(part)).sum::<u64>() as f64;
            let share = found / published;
            assert!((0.98..=1.001).contains(&share), "{parts:?}: {found} of {published}");
        }
    }

    #[test]
    fn a_token_of_the_papers_model_reads_what_quantised_files_hold() {
        let ModelShape::Language(qwen) = shape("llava-onevision-qwen2-0.5b") else { panic!("a language model") };
        // 357.8 million weights of 4.5 bits, 136.2 million of 8.5.
        let expected = 357.8e6 * 4.5 / 8.0 + 136.2e6 * 8.5 / 8.0;
        let found = qwen.decode(0).bytes as f64;
        assert!((found / expected - 1.0).abs() < 0.01, "{found} of {expected}");
        assert_eq!(qwen.kv_bytes(1), 2 * 2 * 24 * 2 * 64, "keys and values, halves, layers, heads, elements");
    }

    #[test]
    fn pictures_make_the_squares_and_rows_that_processors_make() {
        let rows = |name: &str, width, height| {
            let ModelShape::Vision(shape) = shape(name) else { panic!("a vision model") };
            assert!(shape.rows(width, height) <= shape.most_rows(), "{name}");
            (shape.squares(width, height), shape.rows(width, height))
        };
        // transformers: 729 of the whole and 2 by 2 squares of 27 by 27, a quarter of whose lines are padding, with a
        // newline at the end of each of 40 lines.
        let lines = 54 - 2 * 7;
        assert_eq!(rows("llava-onevision-qwen2-0.5b/vision", 640, 480), (5, 729 + lines * 55));
        assert_eq!(rows("llava-onevision-qwen2-0.5b/vision", 384, 384), (2, 729 + 27 * 28));
        // 64 rows of each of 4 by 3 squares and of the whole.
        assert_eq!(rows("smolvlm-256m/vision", 640, 480), (13, 13 * 64));
        assert_eq!(rows("qwen2-vl-2b/vision", 640, 480), (1, 256));
    }

    #[test]
    fn a_square_costs_two_operations_for_each_weight_and_patch_and_attention_beside() {
        let ModelShape::Vision(shape) = shape("llava-onevision-qwen2-0.5b/vision") else { panic!("a vision model") };
        let layer = 729.0 * 2.0 * 15.22e6 + 4.0 * 729.0 * 729.0 * 1152.0;
        let all = shape.layers(0, shape.layer_count()).flops as f64;
        assert!((all / (26.0 * layer) - 1.0).abs() < 0.01, "{all} of {}", 26.0 * layer);
        let halves = super::super::matrix::sum(shape.layers(0, 13), shape.layers(13, 26));
        assert_eq!(halves, shape.layers(0, 26), "layers cost the same in whatever jobs");
    }
}
