//! The tensors that a file is to hold: names and shapes as data, of each what it is called here and there.

use super::language::LanguageShape;
use super::vision::VisionShape;
use crate::language::Architecture;

/// A tensor to take from the checkpoint and to write.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Its name in the checkpoint.
    pub(super) source: String,
    /// Its name in the file.
    pub(super) name: String,
    /// Its shape in the checkpoint, the contiguous dimension last.
    pub(super) shape: Vec<usize>,
    pub(super) order: RowOrder,
    pub(super) part: Part,
}

/// What a tensor is, which decides about its precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The token embedding.
    Embedding,
    /// The head, or an embedding that is the head too.
    Head,
    /// A matrix of a product.
    Matrix,
    /// The convolution that embeds patches.
    Patch,
    /// A norm, a bias, a position: stays in single precision.
    Plain,
}

/// In which order the rows go to the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowOrder {
    Same,
    /// In each head of this many rows the two halves, which RoPE turns as pairs, are dealt out side by side: how
    /// `llama` files have queries and keys.
    Interleaved {
        head_dim: usize,
    },
}

impl RowOrder {
    /// The row of the checkpoint that becomes `row` of the file.
    pub(super) fn source_row(self, row: usize) -> usize {
        match self {
            RowOrder::Same => row,
            RowOrder::Interleaved { head_dim } => {
                let (head, within) = (row / head_dim, row % head_dim);
                head * head_dim + within % 2 * (head_dim / 2) + within / 2
            }
        }
    }
}

/// Rows of a projection.
#[derive(Clone, Copy)]
enum Dim {
    Width,
    FeedForward,
    Query,
    KeyValue,
}

impl Dim {
    fn of(self, shape: &LanguageShape) -> usize {
        match self {
            Dim::Width => shape.width,
            Dim::FeedForward => shape.feed_forward,
            Dim::Query => shape.heads * shape.head_dim,
            Dim::KeyValue => shape.kv_heads * shape.head_dim,
        }
    }
}

/// Which flag of the configuration gives a projection its bias.
#[derive(Clone, Copy)]
enum BiasOf {
    Queries,
    Output,
    FeedForward,
}

/// The projections of a layer: here, in the file, rows, columns, bias.
const PROJECTIONS: [(&str, &str, Dim, Dim, BiasOf); 7] = [
    ("self_attn.q_proj", "attn_q", Dim::Query, Dim::Width, BiasOf::Queries),
    ("self_attn.k_proj", "attn_k", Dim::KeyValue, Dim::Width, BiasOf::Queries),
    ("self_attn.v_proj", "attn_v", Dim::KeyValue, Dim::Width, BiasOf::Queries),
    ("self_attn.o_proj", "attn_output", Dim::Width, Dim::Query, BiasOf::Output),
    ("mlp.gate_proj", "ffn_gate", Dim::FeedForward, Dim::Width, BiasOf::FeedForward),
    ("mlp.up_proj", "ffn_up", Dim::FeedForward, Dim::Width, BiasOf::FeedForward),
    ("mlp.down_proj", "ffn_down", Dim::Width, Dim::FeedForward, BiasOf::FeedForward),
];

/// The norms of a layer.
const NORMS: [(&str, &str); 2] = [("input_layernorm", "attn_norm"), ("post_attention_layernorm", "ffn_norm")];

/// Where the tensors of a language model are in a checkpoint.
pub(super) struct LanguagePrefix<'a> {
    /// Of all but the head.
    pub(super) body: &'a str,
    /// The head, where it is not the embedding table.
    pub(super) head: Option<String>,
}

/// The tensors of a language model.
pub(super) fn language(shape: &LanguageShape, prefix: &LanguagePrefix<'_>) -> Vec<Wanted> {
    let body = |name: &str| format!("{}{name}", prefix.body);
    let embedding = if prefix.head.is_some() { Part::Embedding } else { Part::Head };
    let table = vec![shape.vocab, shape.width];
    let mut wanted = vec![plain(body("embed_tokens.weight"), "token_embd.weight", table.clone(), embedding)];
    for layer in 0..shape.layers {
        for (here, there) in NORMS {
            let source = body(&format!("layers.{layer}.{here}.weight"));
            wanted.push(plain(source, format!("blk.{layer}.{there}.weight"), vec![shape.width], Part::Plain));
        }
        for projection in PROJECTIONS {
            let (here, there, rows, cols, bias) = projection;
            let (here, there) = (body(&format!("layers.{layer}.{here}")), format!("blk.{layer}.{there}"));
            let (rows, cols) = (rows.of(shape), cols.of(shape));
            let order = order(shape, projection.1);
            let weight = plain(format!("{here}.weight"), format!("{there}.weight"), vec![rows, cols], Part::Matrix);
            wanted.push(Wanted { order, ..weight });
            let has_bias = match bias {
                BiasOf::Queries => shape.query_bias,
                BiasOf::Output => shape.output_bias,
                BiasOf::FeedForward => shape.feed_forward_bias,
            };
            if has_bias {
                let bias = plain(format!("{here}.bias"), format!("{there}.bias"), vec![rows], Part::Plain);
                wanted.push(Wanted { order, ..bias });
            }
        }
    }
    wanted.push(plain(body("norm.weight"), "output_norm.weight", vec![shape.width], Part::Plain));
    if let Some(head) = &prefix.head {
        wanted.push(plain(head.clone(), "output.weight", table, Part::Head));
    }
    wanted
}

fn order(shape: &LanguageShape, projection: &str) -> RowOrder {
    match (shape.architecture, projection) {
        (Architecture::Llama, "attn_q" | "attn_k") => RowOrder::Interleaved { head_dim: shape.head_dim },
        _ => RowOrder::Same,
    }
}

fn plain(source: String, name: impl Into<String>, shape: Vec<usize>, part: Part) -> Wanted {
    Wanted { source, name: name.into(), shape, order: RowOrder::Same, part }
}

/// The square projections of a vision layer.
const VISION_SQUARES: [(&str, &str); 4] = [
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.out_proj", "attn_out"),
];

/// The norms of a vision layer.
const VISION_NORMS: [(&str, &str); 2] = [("layer_norm1", "ln1"), ("layer_norm2", "ln2")];

/// The tensors of a vision encoder; `prefix` is where they are in the checkpoint.
pub(super) fn vision(shape: &VisionShape, prefix: &str) -> Vec<Wanted> {
    let (width, wide) = (shape.width, shape.feed_forward);
    let source = |name: &str| format!("{prefix}{name}");
    let mut wanted = Vec::new();
    let mut with_bias = |here: String, there: String, dims: Vec<usize>, part: Part, bias: bool| {
        let rows = dims[0];
        wanted.push(plain(format!("{here}.weight"), format!("{there}.weight"), dims, part));
        if bias {
            wanted.push(plain(format!("{here}.bias"), format!("{there}.bias"), vec![rows], Part::Plain));
        }
    };
    let patch = vec![width, 3, shape.patch_size, shape.patch_size];
    with_bias(source("embeddings.patch_embedding"), "v.patch_embd".into(), patch, Part::Patch, !shape.is_clip());
    let positions = vec![shape.positions(), width];
    with_bias(source("embeddings.position_embedding"), "v.position_embd".into(), positions, Part::Plain, false);
    if shape.is_clip() {
        // The misspelling is transformers'.
        with_bias(source("pre_layrnorm"), "v.pre_ln".into(), vec![width], Part::Plain, true);
    }
    for layer in 0..shape.layers {
        let here = |name: &str| source(&format!("encoder.layers.{layer}.{name}"));
        let there = |name: &str| format!("v.blk.{layer}.{name}");
        for (norm, name) in VISION_NORMS {
            with_bias(here(norm), there(name), vec![width], Part::Plain, true);
        }
        for (square, name) in VISION_SQUARES {
            with_bias(here(square), there(name), vec![width, width], Part::Matrix, true);
        }
        with_bias(here("mlp.fc1"), there("ffn_up"), vec![wide, width], Part::Matrix, true);
        with_bias(here("mlp.fc2"), there("ffn_down"), vec![width, wide], Part::Matrix, true);
    }
    if shape.takes_post_norm() {
        with_bias(source("post_layernorm"), "v.post_ln".into(), vec![width], Part::Plain, true);
    }
    if shape.is_clip() {
        wanted.push(plain(source("embeddings.class_embedding"), "v.class_embd", vec![width], Part::Plain));
    }
    wanted
}

/// LLaVA's two projections; llama.cpp numbers them as the layers of a sequence with the activation between them.
pub(super) fn mlp_projector(shape: &VisionShape, prefix: &str, bias: bool) -> Vec<Wanted> {
    let layers = [("linear_1", "mm.0", shape.width), ("linear_2", "mm.2", shape.projected)];
    let mut wanted = Vec::new();
    for (here, there, cols) in layers {
        let dims = vec![shape.projected, cols];
        wanted.push(plain(format!("{prefix}{here}.weight"), format!("{there}.weight"), dims, Part::Matrix));
        if bias {
            let dims = vec![shape.projected];
            wanted.push(plain(format!("{prefix}{here}.bias"), format!("{there}.bias"), dims, Part::Plain));
        }
    }
    wanted
}

/// Idefics3's one projection, of `scale²` patches side by side.
pub(super) fn pixel_shuffle_projector(shape: &VisionShape, source: &str, scale: usize) -> Wanted {
    let dims = vec![shape.projected, shape.width * scale * scale];
    plain(source.to_owned(), "mm.model.fc.weight", dims, Part::Matrix)
}

/// LLaVA-OneVision's row that ends each line of patches. llama.cpp's present name, where older files say
/// `model.image_newline`.
pub(super) fn image_newline(shape: &VisionShape, source: &str) -> Wanted {
    plain(source.to_owned(), "v.image_newline", vec![shape.projected], Part::Plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_a_head_are_dealt_out_side_by_side() {
        let order = RowOrder::Interleaved { head_dim: 6 };
        let rows: Vec<usize> = (0..12).map(|row| order.source_row(row)).collect();
        assert_eq!(rows, [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]);
        assert_eq!((0..3).map(|row| RowOrder::Same.source_row(row)).collect::<Vec<_>>(), [0, 1, 2]);
    }
}
