//! The weights of a projector, packed once for the kernels of one instruction set.

use std::sync::Arc;

use nanomind_hal::Lane;
use nanomind_kernels::backend::Linear;
use nanomind_kernels::{Cpu, Isa};

use super::config::{Merge, ProjectorConfig, ProjectorKind};
use super::downsample::Peg;
use crate::gguf::Gguf;
use crate::loader::{Bias, LoadProgress, Loader, ModelError};

/// What llama.cpp calls the learned row at the end of a line, today and before.
pub(in crate::vision) const NEWLINES: [&str; 2] = ["v.image_newline", "model.image_newline"];

/// The weights of each kind.
pub(super) enum Weights {
    Mlp { first: Linear, second: Linear, newline: Option<Vec<f32>> },
    Idefics3 { fc: Linear },
    Ldpv2 { first: Linear, second: Linear, peg: Peg },
}

impl Weights {
    pub(super) fn load(
        gguf: &Arc<Gguf>,
        config: &ProjectorConfig,
        isa: Isa,
        lane: &Lane,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Weights, ModelError> {
        let cpu = Cpu::new(isa);
        let mut loader = Loader::new(gguf, &cpu, lane, is_ours, progress);
        let weights = match config.kind {
            ProjectorKind::Mlp(merge) => {
                let (first, second) = pair(&mut loader, config)?;
                Weights::Mlp { first, second, newline: newline(&mut loader, config, merge)? }
            }
            ProjectorKind::Idefics3 { scale } => {
                let cols = scale * scale * config.patch_width;
                Weights::Idefics3 { fc: loader.linear(config.kind.first(), config.width, cols, Bias::Optional)? }
            }
            ProjectorKind::Ldpv2 => {
                let (first, second) = pair(&mut loader, config)?;
                let peg = Peg {
                    weight: loader.depthwise("mm.model.peg.0.weight", config.width, 3)?,
                    bias: loader.vector("mm.model.peg.0.bias", config.width)?,
                };
                Weights::Ldpv2 { first, second, peg }
            }
        };
        loader.refuse_unknown()?;
        Ok(weights)
    }

    /// Bytes of the projector's tensors in a file.
    pub(super) fn stored_bytes(gguf: &Gguf) -> u64 {
        gguf.tensors().filter(|info| is_ours(info.name())).map(|info| info.byte_len() as u64).sum()
    }

    /// Every projection.
    pub(super) fn linears(&self) -> impl Iterator<Item = &Linear> {
        let (one, two) = match self {
            Weights::Mlp { first, second, .. } | Weights::Ldpv2 { first, second, .. } => (first, Some(second)),
            Weights::Idefics3 { fc } => (fc, None),
        };
        [one].into_iter().chain(two)
    }
}

/// Whether the tensor of this name is the projector's.
fn is_ours(name: &str) -> bool {
    !name.starts_with("v.") || NEWLINES.contains(&name)
}

/// Two projections one after the other.
fn pair(loader: &mut Loader<'_>, config: &ProjectorConfig) -> Result<(Linear, Linear), ModelError> {
    let (first, second) = (config.kind.first(), config.kind.last());
    let hidden = loader.gguf().tensor(&format!("{first}.weight"))?.rows();
    let first = loader.linear(first, hidden, config.patch_width, Bias::Optional)?;
    let second = loader.linear(second, config.width, hidden, Bias::Optional)?;
    Ok((first, second))
}

/// The learned row, which lines end with where tiles are merged by lines. A file that merges otherwise may have one
/// all the same, which llama.cpp passes over, too.
fn newline(loader: &mut Loader<'_>, config: &ProjectorConfig, merge: Merge) -> Result<Option<Vec<f32>>, ModelError> {
    let name = NEWLINES.into_iter().find(|name| loader.has(name));
    match (merge, name) {
        (Merge::SpatialUnpad { .. }, name) => loader.vector(name.unwrap_or(NEWLINES[0]), config.width).map(Some),
        (Merge::Flat, Some(name)) => {
            loader.pass_over(name);
            Ok(None)
        }
        (Merge::Flat, None) => Ok(None),
    }
}
