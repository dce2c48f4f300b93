//! What a folder becomes: the architecture is recognised, everything is read and checked, and nothing is written yet.

use std::path::Path;

use super::ConvertOptions;
use super::checkpoint::Checkpoint;
use super::error::InputError;
use super::file_plan::FilePlan;
use super::json::{Folder, Json};
use super::language::LanguageShape;
use super::precision::Precisions;
use super::tensors::{self, LanguagePrefix};
use super::vision::{Framing, ProjectorShape, VisionShape};
use super::vocabulary::Vocabulary;
use crate::gguf::GgufWriter;

/// Of the formats that quantised tensors have; llama.cpp wants to know.
const QUANTISATION_VERSION: u32 = 2;

/// The folder's weights, and the files that they go to.
pub(super) struct Plan {
    pub(super) checkpoint: Checkpoint,
    /// The language model, then the vision half if there is one.
    pub(super) files: Vec<FilePlan>,
    /// Tensors that no file needs.
    pub(super) left_out: usize,
}

/// The architectures that are known, by the names of their classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// `LlamaForCausalLM`, `Qwen2ForCausalLM`.
    CausalLanguage,
    Llava,
    LlavaOnevision,
    /// SmolVLM's too.
    Idefics3,
}

const CLASSES: [(&str, Class); 6] = [
    ("LlamaForCausalLM", Class::CausalLanguage),
    ("Qwen2ForCausalLM", Class::CausalLanguage),
    ("LlavaForConditionalGeneration", Class::Llava),
    ("LlavaOnevisionForConditionalGeneration", Class::LlavaOnevision),
    ("SmolVLMForConditionalGeneration", Class::Idefics3),
    ("Idefics3ForConditionalGeneration", Class::Idefics3),
];

/// Where the tensors of a class are, in the order of likelihood: transformers has moved them more than once.
struct Places {
    /// Before all of the language model but its head.
    body: &'static [&'static str],
    head: &'static [&'static str],
    vision: &'static [&'static str],
    projector: &'static [&'static str],
    newline: &'static [&'static str],
}

impl Class {
    fn read(config: &Json<'_>) -> Result<Class, InputError> {
        let field = config.get("architectures", "the name of the model's class")?;
        let names = field.items()?;
        let known = names.iter().find_map(|name| {
            let name = name.value().as_str()?;
            CLASSES.iter().find(|(known, _)| *known == name).map(|(_, class)| *class)
        });
        known.ok_or_else(|| {
            let supported = CLASSES.map(|(name, _)| name).join(", ");
            field.unlike(format!("one of the supported architectures {supported}"))
        })
    }

    fn places(self) -> Places {
        let none: &[&str] = &[""];
        match self {
            Class::CausalLanguage => {
                Places { body: &["model."], head: &["lm_head.weight"], vision: none, projector: none, newline: none }
            }
            Class::Llava | Class::LlavaOnevision => Places {
                body: &["language_model.model.", "model.language_model."],
                head: &["language_model.lm_head.weight", "lm_head.weight"],
                vision: &[
                    "vision_tower.vision_model.",
                    "vision_tower.",
                    "model.vision_tower.vision_model.",
                    "model.vision_tower.",
                ],
                projector: &["multi_modal_projector.", "model.multi_modal_projector."],
                newline: &["image_newline", "model.image_newline"],
            },
            Class::Idefics3 => Places {
                body: &["model.text_model."],
                head: &["lm_head.weight"],
                vision: &["model.vision_model."],
                projector: &["model.connector.modality_projection."],
                newline: none,
            },
        }
    }
}

impl Plan {
    /// Reads the folder.
    pub(super) fn make(path: &Path, name: &str, options: &ConvertOptions) -> Result<Plan, InputError> {
        let folder = Folder::new(path);
        let config = folder.required_json("config.json", "the configuration of a model")?;
        let config = config.root();
        let class = Class::read(&config)?;
        if let Some(quantised) = config.find("quantization_config") {
            return Err(quantised.unlike("weights in F32, F16 or BF16, which have no such field"));
        }
        let text_config = match class {
            Class::CausalLanguage => config.clone(),
            _ => config.get("text_config", "the configuration of the language model")?,
        };
        let language = LanguageShape::read(&text_config, &config)?;
        let vision = match class {
            Class::CausalLanguage => None,
            Class::Llava => Some(VisionShape::llava(&config, &folder, language.width)?),
            Class::LlavaOnevision => Some(VisionShape::llava_onevision(&config, &folder, language.width)?),
            Class::Idefics3 => Some(VisionShape::idefics3(&config, &folder, language.width)?),
        };
        let mut checkpoint = Checkpoint::open(&folder)?;
        let places = class.places();
        let mut file = plan_language(&mut checkpoint, &places, &language, name, options)?;
        // Only now is it known that the embedding table has as many rows as the configuration says.
        let vocabulary = Vocabulary::read(&folder, &config, language.vocab)?;
        file.describe(|writer| vocabulary.describe(writer));
        let mut files = vec![file];
        let mut left_out = checkpoint.leave_out(is_buffer);
        if let Some(vision) = &vision {
            let (file, unused) = plan_vision(&mut checkpoint, &places, vision, name, options)?;
            files.push(file);
            left_out += unused;
        }
        checkpoint.refuse_the_rest()?;
        Ok(Plan { checkpoint, files, left_out })
    }
}

fn plan_language(
    checkpoint: &mut Checkpoint,
    places: &Places,
    language: &LanguageShape,
    name: &str,
    options: &ConvertOptions,
) -> Result<FilePlan, InputError> {
    let body = checkpoint.prefix_of(places.body, "embed_tokens.weight");
    let embedding = format!("{body}embed_tokens.weight");
    let head = checkpoint.prefix_of(places.head, "");
    // A second copy of the embedding table is none: what shares it reads the same numbers.
    let copies = checkpoint.same(head, &embedding);
    if copies {
        checkpoint.leave_out(|tensor| tensor == head);
    }
    let is_shared = copies || (language.tied && !checkpoint.has(head));
    let prefix = LanguagePrefix { body, head: (!is_shared).then(|| head.to_owned()) };
    let precisions = Precisions::language(options.language);
    let architecture = language.architecture.name();
    let writer = language.describe(head_of_file(architecture, "model", name, precisions));
    let mut file = FilePlan::new(writer, architecture.to_owned());
    if let Some(factors) = &language.rope.factors {
        file.make("rope_freqs.weight", factors.clone())?;
    }
    file.take(checkpoint, tensors::language(language, &prefix), precisions)?;
    Ok(file)
}

/// The vision half, and how many of its tensors are of no use.
fn plan_vision(
    checkpoint: &mut Checkpoint,
    places: &Places,
    vision: &VisionShape,
    name: &str,
    options: &ConvertOptions,
) -> Result<(FilePlan, usize), InputError> {
    let is_idefics3 = matches!(vision.projector, ProjectorShape::PixelShuffle { .. });
    let precisions = Precisions::vision(options.vision, is_idefics3);
    let writer = vision.describe(head_of_file("clip", "mmproj", name, precisions));
    let mut file = FilePlan::new(writer, format!("clip ({})", vision.projector_type()));
    let prefix = checkpoint.prefix_of(places.vision, "embeddings.patch_embedding.weight");
    file.take(checkpoint, tensors::vision(vision, prefix), precisions)?;
    let wanted = match &vision.projector {
        ProjectorShape::Mlp { bias, framing } => {
            let prefix = checkpoint.prefix_of(places.projector, "linear_1.weight");
            let mut wanted = tensors::mlp_projector(vision, prefix, *bias);
            if matches!(framing, Framing::Tiles(_)) {
                let newline = checkpoint.prefix_of(places.newline, "");
                wanted.push(tensors::image_newline(vision, newline));
            }
            wanted
        }
        ProjectorShape::PixelShuffle { scale } => {
            let source = format!("{}proj.weight", places.projector[0]);
            vec![tensors::pixel_shuffle_projector(vision, &source, *scale)]
        }
    };
    file.take(checkpoint, wanted, precisions)?;
    let layer = |name: &str| {
        let rest = name.strip_prefix(prefix)?.strip_prefix("encoder.layers.")?;
        rest.split('.').next()?.parse::<usize>().ok()
    };
    let unused = checkpoint.leave_out(|name| {
        let rest = name.strip_prefix(prefix).unwrap_or_default();
        let after_norm = !vision.takes_post_norm() && rest.starts_with("post_layernorm.");
        after_norm || rest.starts_with("head.") || layer(name).is_some_and(|layer| layer >= vision.layers)
    });
    Ok((file, unused))
}

/// Tensors that hold no weights: positions by number, and frequencies that the configuration gives.
fn is_buffer(name: &str) -> bool {
    name.ends_with(".rotary_emb.inv_freq") || name.ends_with(".embeddings.position_ids")
}

/// The keys that every file begins with.
fn head_of_file(architecture: &str, kind: &str, name: &str, precisions: Precisions) -> GgufWriter {
    GgufWriter::new(architecture)
        .metadata("general.type", kind)
        .metadata("general.name", name)
        .metadata("general.file_type", precisions.file_type())
        .metadata("general.quantization_version", QUANTISATION_VERSION)
}
