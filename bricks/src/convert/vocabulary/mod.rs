//! The tokenizer of a model folder: tokenizer.json and what lies beside it, in the keys of `tokenizer.ggml.*`.

mod chat_template;
mod merges;
mod roles;
mod tokens;
mod words;

use super::error::InputError;
use super::json::{Folder, Json, TOKENIZER};
use crate::gguf::GgufWriter;
use crate::tokenizer::PreTokenizer;
use chat_template::ChatTemplates;
use merges::Merge;
use roles::Roles;
use tokens::Tokens;

/// A tokenizer, ready to be written.
pub(super) struct Vocabulary {
    tokens: Tokens,
    model: Model,
    roles: Roles,
    templates: ChatTemplates,
}

/// What text is merged by.
enum Model {
    /// Byte-level BPE; words by a named rule.
    ByteLevel { words: PreTokenizer, merges: Vec<Merge> },
    /// SentencePiece's BPE, by scores.
    SentencePiece { scores: Vec<f32>, leading_space: bool },
}

impl Vocabulary {
    /// Reads the tokenizer of a model whose embedding table has `size` rows, which is known to be so: tokens fill them all.
    pub(super) fn read(folder: &Folder, config: &Json<'_>, size: usize) -> Result<Vocabulary, InputError> {
        let tokenizer = folder.required_json(TOKENIZER, "the tokenizer of the model")?;
        let settings = folder.json("tokenizer_config.json")?;
        let settings = settings.as_ref().map(|file| file.root());
        let root = tokenizer.root();
        let model = root.get("model", "an object")?;
        let kind = model.get("type", "BPE")?;
        if kind.as_str()? != "BPE" {
            return Err(kind.unlike("BPE"));
        }
        for name in ["continuing_subword_prefix", "end_of_word_suffix"] {
            if let Some(affix) = model.find(name).filter(|affix| affix.value().as_str() != Some("")) {
                return Err(affix.unlike("none"));
            }
        }
        let is_sentence_piece = model.find_bool("byte_fallback")?.unwrap_or(false);
        let tokens = Tokens::read(&root, settings.as_ref(), size, is_sentence_piece)?;
        let merges = merges::read(&model, &tokens)?;
        let model = if is_sentence_piece {
            let leading_space = words::leading_space(&root)?;
            Model::SentencePiece { scores: merges::scores(&model, &tokens, &merges)?, leading_space }
        } else {
            Model::ByteLevel { words: words::detect(&root)?, merges }
        };
        let roles = Roles::read(folder, &root, settings.as_ref(), config, &tokens)?;
        let templates = ChatTemplates::read(folder, settings.as_ref())?;
        Ok(Vocabulary { tokens, model, roles, templates })
    }

    /// The `tokenizer.*` keys, as llama.cpp's converter writes them.
    pub(super) fn describe(&self, writer: GgufWriter) -> GgufWriter {
        let writer = match &self.model {
            Model::ByteLevel { words, merges } => {
                let merges: Vec<String> = merges.iter().map(|merge| merge.text(&self.tokens)).collect();
                let writer = writer
                    .metadata("tokenizer.ggml.model", "gpt2")
                    .metadata("tokenizer.ggml.pre", words.name())
                    .metadata("tokenizer.ggml.tokens", self.tokens.texts());
                writer
                    .metadata("tokenizer.ggml.token_type", self.tokens.kinds())
                    .metadata("tokenizer.ggml.merges", merges)
            }
            Model::SentencePiece { scores, leading_space } => writer
                .metadata("tokenizer.ggml.model", "llama")
                .metadata("tokenizer.ggml.pre", "default")
                .metadata("tokenizer.ggml.tokens", self.tokens.texts())
                .metadata("tokenizer.ggml.scores", scores.clone())
                .metadata("tokenizer.ggml.token_type", self.tokens.kinds())
                .metadata("tokenizer.ggml.add_space_prefix", *leading_space),
        };
        self.templates.describe(self.roles.describe(writer))
    }
}
