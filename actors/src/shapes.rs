//! Models of which only the shape matters: published ones as a graph names them, and the shape of any model of a plan.

use nanomind_bricks::shape::{self, LanguageShape, ModelShape};
use nanomind_bricks::{Gguf, GgufError};
use nanomind_graphs::{ModelFacts, ModelProblem, PlannedNode};
use nanomind_kernels::KvFormat;

use crate::models::kv_bytes_by_format;

/// What the name of a shape begins with in a graph: `shape:llava-onevision-qwen2-0.5b`.
const PREFIX: &str = "shape:";

/// The name of the shape, where `model` names one.
pub(crate) fn name(model: &str) -> Option<&str> {
    model.strip_prefix(PREFIX)
}

/// What is known of the shape of this name; only a simulation can go without weights.
pub(crate) fn facts(name: &str, simulated: bool) -> Result<ModelFacts, ModelProblem> {
    let found = ModelShape::find(name);
    match found {
        Some(shape) if simulated => Ok(ModelFacts { reference: format!("{PREFIX}{name}"), ..facts_of(&shape) }),
        found => {
            let known = shape::names().map(|name| format!("{PREFIX}{name}")).collect();
            Err(ModelProblem::OnlyAShape { known, is_known: found.is_some() })
        }
    }
}

fn facts_of(shape: &ModelShape) -> ModelFacts {
    let facts = ModelFacts { architecture: "of a shape".to_owned(), ..ModelFacts::default() };
    match shape {
        ModelShape::Language(shape) => ModelFacts {
            embedding_width: u32::try_from(shape.width).ok(),
            context_length: u64::try_from(shape.context_length).ok(),
            weight_bytes: shape.weight_bytes(),
            kv_bytes_per_token: shape.kv_bytes(1),
            kv_bytes_by_format: kv_bytes_by_format(|format| Some(shape.with_kv_cache(format)?.kv_bytes(1))),
            ..facts
        },
        ModelShape::Vision(shape) => ModelFacts {
            encoder_width: u32::try_from(shape.encoder_width()).ok(),
            projection_width: u32::try_from(shape.width()).ok(),
            encoder_rows: u64::try_from(shape.patches()).ok(),
            projection_rows: u64::try_from(shape.most_rows()).ok(),
            encoder_work_bytes: shape.config().work_bytes(),
            weight_bytes: shape.encoder_bytes() + shape.projector_bytes(),
            ..facts
        },
        ModelShape::Speech(shape) => ModelFacts { weight_bytes: shape.weight_bytes(), ..facts },
    }
}

/// The shape of a node's language model with the cache that the node keeps.
pub(crate) fn with_cache_of(plan: &PlannedNode, shape: LanguageShape) -> LanguageShape {
    let format = plan.choice("kv_cache").ok().and_then(KvFormat::from_name);
    format.and_then(|format| shape.with_kv_cache(format)).unwrap_or(shape)
}

/// The shape of a model of a plan: the published one that it names, or that of its file, of which only the header is
/// read.
///
/// # Errors
/// The file cannot be read, or holds no model that is computed here.
pub fn shape_of(model: &ModelFacts) -> Result<ModelShape, GgufError> {
    match name(&model.reference).and_then(ModelShape::find) {
        Some(shape) => Ok(shape),
        None => ModelShape::of_gguf(&Gguf::open(&model.path)?),
    }
}
