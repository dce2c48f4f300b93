//! The node kinds that come with nanomind, each with its specification beside its implementation.

mod llm;
mod prompt;
mod stdout;
mod text_file;
mod text_sink;
mod timer;
mod token_embedding;
mod whole_text;

use nanomind_graphs::SpecError;

use crate::library::NodeLibrary;

/// Registers all of them.
pub(crate) fn register_all(library: &mut NodeLibrary) -> Result<(), SpecError> {
    library.register(prompt::spec(), prompt::Prompt::new)?;
    library.register(timer::spec(), timer::Timer::new)?;
    library.register(text_file::spec(), text_file::TextFile::new)?;
    library.register(token_embedding::spec(), token_embedding::TokenEmbedding::new)?;
    library.register(llm::spec(), llm::Llm::new)?;
    library.register(stdout::spec(), stdout::Stdout::new)?;
    library.register(text_sink::spec(), text_sink::TextSink::new)
}
