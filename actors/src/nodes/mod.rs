//! The node kinds that come with nanomind, each with its specification beside its implementation.

mod camera;
mod frames;
mod image;
mod image_folder;
pub(crate) mod llm;
pub(crate) mod pace;
pub(crate) mod picture_show;
mod preview;
pub(crate) mod projector;
mod prompt;
pub(crate) mod row_cache;
mod scene_camera;
mod stdout;
mod text_file;
mod text_sink;
pub(crate) mod timer;
mod token_embedding;
mod vision_encoder;
pub(crate) mod whole_text;

use nanomind_graphs::SpecError;

use crate::library::NodeLibrary;

/// The example of every kind that sight needs: a picture and a question meet at the language model.
const SIGHT: &str = r#"nodes: {
    "question":  Prompt(text: "What do you see?"),
    "picture":   Image(path: "examples/models/scene/samples/scene-00.png"),
    "eye":       VisionEncoder(model: "examples/models/scene/scene-mmproj.gguf"),
    "projector": Projector(model: "examples/models/scene/scene-mmproj.gguf"),
    "mind":      Llm(model: "examples/models/scene/scene.gguf", context: 1024),
    "reply":     Stdout(),
},
edges: [
    ("question.text",    "picture.question"),
    ("picture.image",    "eye.image"),
    ("eye.patches",      "projector.patches"),
    ("projector.tokens", "mind.embeddings"),
    ("question.text",    "mind.prompt"),
    ("mind.text",        "reply.text"),
]"#;

/// Registers all of them.
pub(crate) fn register_all(library: &mut NodeLibrary) -> Result<(), SpecError> {
    library.register(prompt::spec(), prompt::Prompt::new)?;
    library.register(timer::spec(), timer::Timer::new)?;
    library.register(text_file::spec(), text_file::TextFile::new)?;
    library.register(image::spec(), image::Image::new)?;
    library.register(image_folder::spec(), image_folder::ImageFolder::new)?;
    library.register(camera::spec(), camera::Camera::new)?;
    library.register(scene_camera::spec(), scene_camera::SceneCameraNode::new)?;
    library.register(token_embedding::spec(), token_embedding::TokenEmbedding::new)?;
    library.register(vision_encoder::spec(), vision_encoder::VisionEncoder::new)?;
    library.register(projector::spec(), projector::Projector::new)?;
    library.register(llm::spec(), llm::Llm::new)?;
    library.register(preview::spec(), preview::Preview::new)?;
    library.register(stdout::spec(), stdout::Stdout::new)?;
    library.register(text_sink::spec(), text_sink::TextSink::new)
}
