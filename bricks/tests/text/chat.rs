//! Chat templates in the styles of many model families, against HF: see `tests/fixtures/tokenizer_chat.py`.

use std::collections::HashMap;

use nanomind_bricks::{ChatError, ChatTemplate, Message, RenderOptions};
use serde::Deserialize;
use serde_json::Value;

use crate::json;

#[derive(Deserialize)]
struct Reference {
    templates: HashMap<String, Template>,
    conversations: HashMap<String, Conversation>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Template {
    bos: String,
    eos: String,
    source: String,
}

#[derive(Deserialize)]
struct Conversation {
    messages: Vec<Value>,
    #[serde(default)]
    tools: Vec<Value>,
}

#[derive(Deserialize)]
struct Case {
    template: String,
    conversation: String,
    add_generation_prompt: bool,
    text: Option<String>,
    refused: Option<String>,
}

#[test]
fn conversations_are_rendered_as_hf_renders_them() {
    let reference: Reference = json("tokenizer_chat.json");
    for case in &reference.cases {
        let Template { bos, eos, source } = &reference.templates[&case.template];
        let Conversation { messages, tools } = &reference.conversations[&case.conversation];
        let template = ChatTemplate::from_source(&case.template, source, bos, eos).unwrap();
        let options = RenderOptions { add_generation_prompt: case.add_generation_prompt, tools, now: None };
        let (text, refused) = match template.render_with(messages, &options) {
            Ok(text) => (Some(text), None),
            Err(ChatError::Refused { reason, .. }) => (None, Some(reason)),
            Err(error) => panic!("{} with {:?}: {error}", case.template, case.conversation),
        };
        let what = format!("{} with {:?}, {}", case.template, case.conversation, case.add_generation_prompt);
        assert_eq!(text, case.text, "{what}");
        assert_eq!(refused, case.refused, "{what}");
    }
}

#[test]
fn messages_of_the_library_and_messages_as_json_render_alike() {
    let reference: Reference = json("tokenizer_chat.json");
    let Template { bos, eos, source } = &reference.templates["qwen2.5"];
    let template = ChatTemplate::from_source("qwen2.5", source, bos, eos).unwrap();
    let messages: Vec<Message> = reference.conversations["turns"]
        .messages
        .iter()
        .map(|message| serde_json::from_value(message.clone()).unwrap())
        .collect();
    let case = reference
        .cases
        .iter()
        .find(|case| case.template == "qwen2.5" && case.conversation == "turns" && case.add_generation_prompt);
    assert_eq!(template.render(&messages, true).ok(), case.unwrap().text);
}
