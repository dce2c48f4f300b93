//! The files of the drawn models: shape rules of published ones, scaled down.

use nanomind_bricks::TensorType::{self, BF16, F16, F32, Q4_0, Q8_0};
use nanomind_bricks::{GgufWriter, WriteValue};

use super::tensor;

/// A model as llama.cpp's users have it: two files.
pub(crate) struct Files {
    /// The language model.
    pub(crate) language: GgufWriter,
    /// Encoder and projector.
    pub(crate) vision: GgufWriter,
}

/// A file in the making, and the type of each tensor by the beginning of its name; vectors are F32.
struct File {
    writer: GgufWriter,
    kinds: &'static [(&'static str, TensorType)],
}

impl File {
    fn new(architecture: &str, kinds: &'static [(&'static str, TensorType)]) -> File {
        File { writer: GgufWriter::new(architecture), kinds }
    }

    fn set(mut self, key: &str, value: impl Into<WriteValue>) -> File {
        self.writer = self.writer.metadata(key, value);
        self
    }

    fn tensor(mut self, name: &str, shape: &[usize]) -> File {
        let kind = match shape.len() {
            1 => F32,
            _ => self.kinds.iter().find(|(start, _)| name.starts_with(start)).expect("a type for each name").1,
        };
        let dims: Vec<u64> = shape.iter().rev().map(|side| *side as u64).collect();
        self.writer = self.writer.tensor(name, kind, &dims, tensor(name, shape, kind));
        self
    }

    fn linear(self, name: &str, rows: usize, cols: usize) -> File {
        self.tensor(&format!("{name}.weight"), &[rows, cols]).tensor(&format!("{name}.bias"), &[rows])
    }

    fn norm(self, name: &str, width: usize) -> File {
        self.tensor(&format!("{name}.weight"), &[width]).tensor(&format!("{name}.bias"), &[width])
    }
}

/// Sizes of a vision encoder.
struct Eye {
    image: usize,
    patch: usize,
    width: usize,
    feed_forward: usize,
    /// Layers that the file speaks of, and those that it holds.
    layers: (usize, usize),
    class_token: bool,
    epsilon: f32,
}

impl Eye {
    fn write(&self, mut file: File, projector: &str, mean: [f32; 3], std: [f32; 3]) -> File {
        let Eye { image, patch, width, feed_forward, layers, class_token, epsilon } = *self;
        file = file.set("clip.has_vision_encoder", true).set("clip.projector_type", projector);
        for (key, value) in [
            ("image_size", image),
            ("patch_size", patch),
            ("embedding_length", width),
            ("feed_forward_length", feed_forward),
            ("block_count", layers.0),
            ("attention.head_count", 4),
        ] {
            file = file.set(&format!("clip.vision.{key}"), value as u32);
        }
        file = file
            .set("clip.vision.attention.layer_norm_epsilon", epsilon)
            .set("clip.vision.image_mean", mean.to_vec())
            .set("clip.vision.image_std", std.to_vec())
            .tensor("v.patch_embd.weight", &[width, 3, patch, patch])
            .tensor("v.position_embd.weight", &[(image / patch).pow(2) + usize::from(class_token), width]);
        file = match class_token {
            true => file.tensor("v.class_embd", &[width]).norm("v.pre_ln", width),
            false => file.tensor("v.patch_embd.bias", &[width]).set("clip.use_gelu", true),
        };
        for layer in 0..layers.1 {
            let name = |part: &str| format!("v.blk.{layer}.{part}");
            for part in ["attn_q", "attn_k", "attn_v", "attn_out"] {
                file = file.linear(&name(part), width, width);
            }
            file = file
                .norm(&name("ln1"), width)
                .norm(&name("ln2"), width)
                .linear(&name("ffn_up"), feed_forward, width)
                .linear(&name("ffn_down"), width, feed_forward);
        }
        file
    }
}

/// Sizes of a language model.
struct Mind {
    architecture: &'static str,
    vocab: usize,
    width: usize,
    feed_forward: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    tied: bool,
    epsilon: f32,
    rope_base: f32,
}

impl Mind {
    fn write(&self, kinds: &'static [(&'static str, TensorType)]) -> GgufWriter {
        let Mind { architecture, vocab, width, feed_forward, layers, heads, kv_heads, .. } = *self;
        let key = |name: &str| format!("{architecture}.{name}");
        let mut file = File::new(architecture, kinds);
        for (name, value) in [
            ("block_count", layers),
            ("context_length", 512),
            ("embedding_length", width),
            ("feed_forward_length", feed_forward),
            ("attention.head_count", heads),
            ("attention.head_count_kv", kv_heads),
        ] {
            file = file.set(&key(name), value as u32);
        }
        file = file
            .set(&key("attention.layer_norm_rms_epsilon"), self.epsilon)
            .set(&key("rope.freq_base"), self.rope_base)
            .tensor("token_embd.weight", &[vocab, width])
            .tensor("output_norm.weight", &[width]);
        if !self.tied {
            file = file.tensor("output.weight", &[vocab, width]);
        }
        let kv = width / heads * kv_heads;
        for layer in 0..layers {
            let name = |part: &str| format!("blk.{layer}.{part}");
            for (part, rows) in [("attn_q", width), ("attn_k", kv), ("attn_v", kv)] {
                file = match architecture {
                    "qwen2" => file.linear(&name(part), rows, width),
                    _ => file.tensor(&name(&format!("{part}.weight")), &[rows, width]),
                };
            }
            for (part, shape) in [
                ("attn_output", &[width, width][..]),
                ("attn_norm", &[width]),
                ("ffn_norm", &[width]),
                ("ffn_gate", &[feed_forward, width]),
                ("ffn_up", &[feed_forward, width]),
                ("ffn_down", &[width, feed_forward]),
            ] {
                file = file.tensor(&name(&format!("{part}.weight")), shape);
            }
        }
        file.writer
    }
}

const CLIP_MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const CLIP_STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];
const HALVES: [f32; 3] = [0.5; 3];

/// The files of the model `name`: LLaVA-OneVision, LLaVA 1.5, SigLIP under LLaVA's projector, SmolVLM or MobileVLM 2.
/// `framing`, where it is not empty, is the file's `image_aspect_ratio`.
pub(crate) fn files(name: &str, framing: &str) -> Files {
    match name {
        "onevision" => onevision(),
        "llava" => llava(framing),
        "siglip" => siglip(framing),
        "smolvlm" => smolvlm(),
        "mobilevlm" => mobilevlm(framing),
        other => panic!("no model {other}"),
    }
}

const SIGLIP: Eye =
    Eye { image: 62, patch: 14, width: 48, feed_forward: 72, layers: (2, 2), class_token: false, epsilon: 1e-6 };

fn onevision() -> Files {
    const KINDS: &[(&str, TensorType)] = &[("v.patch_embd", F32), ("v.position_embd", F32), ("mm.2", BF16), ("", F16)];
    let pinpoints = (1..=6u32).flat_map(|tall| (1..=6).flat_map(move |wide| [62 * tall, 62 * wide]));
    let vision = SIGLIP
        .write(File::new("clip", KINDS), "mlp", CLIP_MEAN, CLIP_STD)
        .set("clip.vision.feature_layer", vec![2u32])
        .set("clip.vision.mm_patch_merge_type", "spatial_unpad")
        .set("clip.vision.image_aspect_ratio", "anyres_max_9")
        .set("clip.vision.image_grid_pinpoints", pinpoints.collect::<Vec<u32>>())
        .linear("mm.0", 56, 48)
        .linear("mm.2", 56, 56)
        .tensor("v.image_newline", &[56]);
    let mind = Mind {
        architecture: "qwen2",
        vocab: 96,
        width: 56,
        feed_forward: 160,
        layers: 2,
        heads: 7,
        kv_heads: 1,
        tied: true,
        epsilon: 1e-6,
        rope_base: 1e6,
    };
    Files { language: mind.write(KINDS), vision: vision.writer }
}

fn llava(framing: &str) -> Files {
    const KINDS: &[(&str, TensorType)] = &[
        ("v.patch_embd", F16),
        ("v.position_embd", F32),
        ("v.blk", Q4_0),
        ("mm.", Q8_0),
        ("token_embd", F16),
        ("", Q8_0),
    ];
    let eye =
        Eye { image: 70, patch: 14, width: 64, feed_forward: 256, layers: (3, 2), class_token: true, epsilon: 1e-5 };
    let vision = eye
        .write(File::new("clip", KINDS), "mlp", CLIP_MEAN, CLIP_STD)
        .set("clip.vision.image_aspect_ratio", framing)
        .linear("mm.0", 64, 64)
        .linear("mm.2", 64, 64);
    let mind = Mind {
        architecture: "llama",
        vocab: 96,
        width: 64,
        feed_forward: 192,
        layers: 2,
        heads: 4,
        kv_heads: 4,
        tied: false,
        epsilon: 1e-5,
        rope_base: 1e4,
    };
    Files { language: mind.write(KINDS), vision: vision.writer }
}

fn siglip(framing: &str) -> Files {
    const KINDS: &[(&str, TensorType)] = &[("v.patch_embd", F16), ("v.position_embd", F32), ("", F32)];
    let vision = Eye { layers: (3, 2), ..SIGLIP }
        .write(File::new("clip", KINDS), "mlp", HALVES, HALVES)
        .set("clip.vision.image_aspect_ratio", framing)
        .linear("mm.0", 48, 48)
        .linear("mm.2", 48, 48);
    let mind = Mind {
        architecture: "qwen2",
        vocab: 96,
        width: 48,
        feed_forward: 80,
        layers: 1,
        heads: 4,
        kv_heads: 2,
        tied: false,
        epsilon: 1e-6,
        rope_base: 1e6,
    };
    Files { language: mind.write(KINDS), vision: vision.writer }
}

fn smolvlm() -> Files {
    const KINDS: &[(&str, TensorType)] =
        &[("v.patch_embd", F32), ("v.position_embd", F32), ("v.blk", Q8_0), ("mm.", F16), ("", F16)];
    let eye =
        Eye { image: 128, patch: 16, width: 64, feed_forward: 256, layers: (2, 2), class_token: false, epsilon: 1e-6 };
    let vision = eye
        .write(File::new("clip", KINDS), "idefics3", HALVES, HALVES)
        .set("clip.vision.projector.scale_factor", 4u32)
        .set("clip.vision.preproc_image_size", 512u32)
        .norm("v.post_ln", 64)
        .tensor("mm.model.fc.weight", &[72, 1024]);
    let mind = Mind {
        architecture: "llama",
        vocab: 128,
        width: 72,
        feed_forward: 192,
        layers: 2,
        heads: 9,
        kv_heads: 3,
        tied: false,
        epsilon: 1e-5,
        rope_base: 1e5,
    };
    Files { language: mind.write(KINDS), vision: vision.writer }
}

fn mobilevlm(framing: &str) -> Files {
    const KINDS: &[(&str, TensorType)] = &[
        ("v.patch_embd", F16),
        ("v.position_embd", F32),
        ("v.blk", Q8_0),
        ("mm.model.peg", F32),
        ("mm.", Q4_0),
        ("", F16),
    ];
    let eye =
        Eye { image: 84, patch: 14, width: 64, feed_forward: 128, layers: (2, 1), class_token: true, epsilon: 1e-5 };
    let vision = eye
        .write(File::new("clip", KINDS), "ldpv2", CLIP_MEAN, CLIP_STD)
        .set("clip.vision.image_aspect_ratio", framing)
        .linear("mm.model.mlp.0", 64, 64)
        .linear("mm.model.mlp.2", 64, 64)
        .tensor("mm.model.peg.0.weight", &[64, 1, 3, 3])
        .tensor("mm.model.peg.0.bias", &[64]);
    let mind = Mind {
        architecture: "llama",
        vocab: 96,
        width: 64,
        feed_forward: 96,
        layers: 1,
        heads: 4,
        kv_heads: 4,
        tied: false,
        epsilon: 1e-5,
        rope_base: 1e4,
    };
    Files { language: mind.write(KINDS), vision: vision.writer }
}
