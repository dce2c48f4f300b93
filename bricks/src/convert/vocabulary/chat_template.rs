//! The chat templates of a folder, wherever it keeps them.

use crate::convert::error::InputError;
use crate::convert::json::{Folder, Json};
use crate::gguf::GgufWriter;

/// The default template, and others by name.
#[derive(Debug, Default)]
pub(super) struct ChatTemplates {
    default: Option<String>,
    named: Vec<(String, String)>,
}

impl ChatTemplates {
    /// As transformers looks for them: `chat_template.jinja`, then tokenizer_config.json, then chat_template.json.
    pub(super) fn read(folder: &Folder, settings: Option<&Json<'_>>) -> Result<ChatTemplates, InputError> {
        if let Some(text) = folder.text("chat_template.jinja")? {
            return Ok(ChatTemplates { default: Some(text), named: Vec::new() });
        }
        if let Some(field) = settings.and_then(|settings| settings.find("chat_template")) {
            return ChatTemplates::of(&field);
        }
        match folder.json("chat_template.json")? {
            Some(file) => ChatTemplates::of(&file.root().get("chat_template", "a text")?),
            None => Ok(ChatTemplates::default()),
        }
    }

    /// One text, or an array of names and texts.
    fn of(field: &Json<'_>) -> Result<ChatTemplates, InputError> {
        if !field.value().is_array() {
            return Ok(ChatTemplates { default: Some(field.as_str()?.to_owned()), named: Vec::new() });
        }
        let mut templates = ChatTemplates::default();
        for item in field.items()? {
            let name = item.get("name", "a text")?.as_str()?.to_owned();
            let text = item.get("template", "a text")?.as_str()?.to_owned();
            match name.as_str() {
                "default" => templates.default = Some(text),
                _ => templates.named.push((name, text)),
            }
        }
        Ok(templates)
    }

    pub(super) fn describe(&self, mut writer: GgufWriter) -> GgufWriter {
        if !self.named.is_empty() {
            let names: Vec<String> = self.named.iter().map(|(name, _)| name.clone()).collect();
            writer = writer.metadata("tokenizer.chat_templates", names);
        }
        for (name, text) in &self.named {
            writer = writer.metadata(format!("tokenizer.chat_template.{name}"), text.as_str());
        }
        match &self.default {
            Some(text) => writer.metadata("tokenizer.chat_template", text.as_str()),
            None => writer,
        }
    }
}
