//! Why a conversation could not be rendered.

use std::fmt;

use minijinja::ErrorKind;

use crate::gguf::GgufError;

/// A chat template that cannot be used, or that refuses the messages.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// The key of the template, or of a token that it names, is of another type.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The template is no Jinja.
    #[error("{file}: key `tokenizer.chat_template`: line {line}: {}", said(source))]
    Syntax {
        /// The file.
        file: String,
        /// Line of the template, from 1.
        line: usize,
        /// What the engine said.
        source: minijinja::Error,
    },
    /// The template itself refused the messages, with `raise_exception`.
    #[error("{file}: the chat template refuses these messages: {reason}")]
    Refused {
        /// The file.
        file: String,
        /// The template's words.
        reason: String,
    },
    /// The template did more work than any real one does.
    #[error("{file}: the chat template does not come to an end: stopped after {steps} steps")]
    Endless {
        /// The file.
        file: String,
        /// The bound.
        steps: u64,
    },
    /// The template failed on these messages.
    #[error("{file}: key `tokenizer.chat_template`: line {line}: {}", said(source))]
    Render {
        /// The file.
        file: String,
        /// Line of the template, from 1.
        line: usize,
        /// What the engine said.
        source: minijinja::Error,
    },
}

/// What the engine said, without the name and line of the template.
fn said(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

/// What `raise_exception` throws, so that it is told from other failures.
#[derive(Debug)]
pub(super) struct Raised(pub(super) String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

impl ChatError {
    /// Sorts a failure of rendering by its cause.
    pub(super) fn from_render(file: &str, steps: u64, error: minijinja::Error) -> ChatError {
        let file = file.to_owned();
        if error.kind() == ErrorKind::OutOfFuel {
            return ChatError::Endless { file, steps };
        }
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(current) = cause {
            if let Some(Raised(reason)) = current.downcast_ref::<Raised>() {
                return ChatError::Refused { file, reason: reason.clone() };
            }
            cause = current.source();
        }
        ChatError::Render { file, line: error.line().unwrap_or(1), source: error }
    }
}
