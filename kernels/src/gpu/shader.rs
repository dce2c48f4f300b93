//! The shaders by name: their texts, and what they reach.

use nanomind_hal::gpu::Access;

use crate::Format;

/// Bytes of the parameters of one step. All kernels take as many, so that their places in the buffer are all alike.
pub(super) const PARAMETERS: usize = 128;

/// A kernel: which shader, and what it is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Shader {
    /// A product of few tokens with weights of a format.
    ProductRows(Format, Variant),
    /// A product of more tokens, 32 at a time.
    ProductTiles(Format, Variant),
    /// A product of many tokens, 64 at a time.
    ProductBlocks(Format, Variant),
    Embed(Format),
    Rotate,
    Attention,
    AttentionJoin,
    Argmax,
    TopK,
    Norm,
    Elements,
}

/// What a product does to its inputs and its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Variant {
    pub(super) normed: bool,
    pub(super) biased: bool,
    pub(super) adds: bool,
    pub(super) gated: bool,
    /// Whether the invocations of a step share a row instead of several; of few tokens only.
    pub(super) alone: bool,
    /// 0 for none, else as the shader numbers them.
    pub(super) function: u8,
}

const P: Access = Access::Parameters(PARAMETERS as u32);
const R: Access = Access::Read;
const W: Access = Access::Write;

impl Shader {
    /// The function of the text that is the kernel; also what it is called.
    pub(super) fn entry(self) -> &'static str {
        match self {
            Shader::ProductRows(..) => "product_rows",
            Shader::ProductTiles(..) => "product_tiles",
            Shader::ProductBlocks(..) => "product_blocks",
            Shader::Embed(_) => "embed",
            Shader::Rotate => "rotate",
            Shader::Attention => "attention",
            Shader::AttentionJoin => "attention_join",
            Shader::Argmax => "argmax",
            Shader::TopK => "top_k",
            Shader::Norm => "norm",
            Shader::Elements => "elements",
        }
    }

    /// How it reaches its buffers, the parameters first.
    pub(super) fn bindings(self) -> &'static [Access] {
        match self {
            Shader::ProductRows(..) | Shader::ProductTiles(..) | Shader::ProductBlocks(..) => &[P, R, R, R, R, W],
            Shader::Embed(_) => &[P, R, R, W],
            Shader::Rotate => &[P, R, W, W, W],
            Shader::Attention => &[P, R, R, R, W],
            Shader::AttentionJoin | Shader::Argmax | Shader::TopK => &[P, R, W],
            Shader::Norm => &[P, R, R, R, W],
            Shader::Elements => &[P, R, R, W],
        }
    }

    /// Its text. `in_step` says that invocations that follow each other run in step and can be summed over.
    pub(super) fn text(self, in_step: bool) -> String {
        let product = include_str!("shaders/product.wgsl");
        let lanes = match in_step {
            true => include_str!("shaders/lanes_subgroup.wgsl"),
            false => include_str!("shaders/lanes_shared.wgsl"),
        };
        match self {
            Shader::ProductRows(format, _) => {
                format!("{product}{}{lanes}{}", weights(format), include_str!("shaders/product_rows.wgsl"))
            }
            Shader::ProductTiles(format, _) => {
                format!("{product}{}{}", weights(format), include_str!("shaders/product_tiles.wgsl"))
            }
            Shader::ProductBlocks(format, _) => {
                format!("{product}{}{}", weights(format), include_str!("shaders/product_blocks.wgsl"))
            }
            Shader::Embed(format) => format!("{}{}", include_str!("shaders/embed.wgsl"), weights(format)),
            Shader::Rotate => include_str!("shaders/rotate.wgsl").to_owned(),
            Shader::Attention => include_str!("shaders/attention.wgsl").to_owned(),
            Shader::AttentionJoin => include_str!("shaders/attention_join.wgsl").to_owned(),
            Shader::Argmax => include_str!("shaders/argmax.wgsl").to_owned(),
            Shader::TopK => include_str!("shaders/top_k.wgsl").to_owned(),
            Shader::Norm => include_str!("shaders/norm.wgsl").to_owned(),
            Shader::Elements => include_str!("shaders/elements.wgsl").to_owned(),
        }
    }

    /// The values of its `override` constants, where so many invocations run in step.
    pub(super) fn constants(self, in_step: Option<u32>) -> Vec<(&'static str, f64)> {
        match self {
            Shader::ProductRows(_, variant) | Shader::ProductTiles(_, variant) | Shader::ProductBlocks(_, variant) => {
                let Variant { normed, biased, adds, gated, alone, function } = variant;
                let flags = [("NORMED", normed), ("BIASED", biased), ("ADDS", adds), ("GATED", gated)];
                let flags = flags.map(|(name, on)| (name, f64::from(u8::from(on))));
                let few = matches!(self, Shader::ProductRows(..));
                let in_step = in_step.filter(|_| few).map(|size| ("IN_STEP", f64::from(size)));
                let alone = few.then_some(("ALONE", f64::from(u8::from(alone))));
                let others = [("FUNCTION", f64::from(function))].into_iter().chain(in_step).chain(alone);
                flags.into_iter().chain(others).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// How weights of a format are read, eight at a time.
fn weights(format: Format) -> String {
    let word = include_str!("weights/word.wgsl");
    let fifth = include_str!("weights/fifth.wgsl");
    let k_scale = include_str!("weights/k_scale.wgsl");
    let parts: &[&str] = match format {
        Format::F32 => &[include_str!("weights/f32.wgsl")],
        Format::F16 => &[include_str!("weights/f16.wgsl")],
        Format::Bf16 => &[include_str!("weights/bf16.wgsl")],
        Format::Q4_0 => &[include_str!("weights/q4_0.wgsl")],
        Format::Q4_1 => &[include_str!("weights/q4_1.wgsl")],
        Format::Q5_0 => &[fifth, include_str!("weights/q5_0.wgsl")],
        Format::Q5_1 => &[fifth, include_str!("weights/q5_1.wgsl")],
        Format::Q8_0 => &[include_str!("weights/q8_0.wgsl")],
        Format::Q4K => &[k_scale, include_str!("weights/q4_k.wgsl")],
        Format::Q5K => &[fifth, k_scale, include_str!("weights/q5_k.wgsl")],
        Format::Q6K => &[include_str!("weights/q6_k.wgsl")],
    };
    format!("{word}{}", parts.concat())
}
