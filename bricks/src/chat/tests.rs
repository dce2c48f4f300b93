//! Rendering, and what becomes of templates that are broken or hostile.

use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::gguf::{Gguf, GgufWriter};

fn template(source: &str) -> ChatTemplate {
    ChatTemplate::from_source("test.gguf", source, "<s>", "</s>").expect("a sound template")
}

fn render(source: &str) -> String {
    template(source).render(&[Message::user("hi")], true).expect("rendered")
}

#[track_caller]
fn check_error(source: &str, expected: &str) {
    let error = ChatTemplate::from_source("test.gguf", source, "", "")
        .and_then(|template| template.render(&[Message::user("hi")], true))
        .expect_err("a broken template");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_file_without_a_template_gets_chatml() {
    let gguf = Gguf::from_bytes("test.gguf", GgufWriter::new("llama").to_bytes()).expect("a sound file");
    let template = ChatTemplate::from_gguf(&gguf).expect("the fallback");
    assert!(template.is_fallback());
    let messages = [Message::system("Be brief."), Message::user("hi")];
    let expected = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(template.render(&messages, true).expect("rendered"), expected);
    assert_eq!(template.render(&[], false).expect("rendered"), "");
}

#[test]
fn the_template_of_a_file_sees_the_texts_of_its_tokens() {
    let bytes = GgufWriter::new("llama")
        .metadata("tokenizer.ggml.tokens", vec!["a", "<bos>", "<eos>"])
        .metadata("tokenizer.ggml.bos_token_id", 1u32)
        .metadata("tokenizer.ggml.eos_token_id", 2u32)
        .metadata("tokenizer.chat_template", "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}")
        .to_bytes();
    let gguf = Gguf::from_bytes("test.gguf", bytes).expect("a sound file");
    let template = ChatTemplate::from_gguf(&gguf).expect("a template");
    assert!(!template.is_fallback());
    assert_eq!(template.render(&[Message::user("é<&>")], false).expect("rendered"), "<bos>é<&><eos>");
}

#[test]
fn white_space_around_tags_is_removed_as_hugging_face_does() {
    let source = "{% for m in messages %}\n    {% if true %}\n{{ m.role }}\n    {% endif %}\n{% endfor %}\nend\n";
    assert_eq!(render(source), "user\nend");
}

#[test]
fn generation_tags_leave_what_is_between_them() {
    assert_eq!(render("a{% generation %}{{ messages[0].content }}{% endgeneration %}b"), "ahib");
}

#[test]
fn a_template_that_refuses_says_why() {
    check_error(
        "{{ raise_exception('Only user roles!') }}",
        "test.gguf: the chat template refuses these messages: Only user roles!",
    );
}

#[test]
fn broken_templates_are_errors_with_their_line() {
    check_error(
        "\n{% if %}",
        "test.gguf: key `tokenizer.chat_template`: line 2: syntax error: unexpected end of block",
    );
    check_error(
        "a\nb\n{{ nothing.at.all }}",
        "test.gguf: key `tokenizer.chat_template`: line 3: undefined value: `nothing` is undefined",
    );
}

#[test]
fn a_template_without_end_is_stopped() {
    let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}";
    check_error(endless, "test.gguf: the chat template does not come to an end: stopped after 20000000 steps");
    let error = template("{{ ('x' * 1000000000000) | length }}").render(&[Message::user("hi")], true);
    assert!(error.is_err(), "a terabyte of text was made");
    let recursive = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}";
    assert!(template(recursive).render(&[Message::user("hi")], true).is_err(), "endless recursion came to an end");
}

#[test]
fn a_template_cannot_reach_files() {
    let error = template("{% include '/etc/passwd' %}").render(&[Message::user("hi")], true);
    assert!(matches!(error, Err(ChatError::Render { .. })), "{error:?}");
}

#[test]
fn the_date_is_there_only_when_it_is_given() {
    let source = "{% if strftime_now is defined %}{{ strftime_now('%d %b %Y') }}{% else %}no date{% endif %}";
    assert_eq!(render(source), "no date");
    let now = Some(UNIX_EPOCH + Duration::from_secs(1_709_251_199));
    let options = RenderOptions { now, ..RenderOptions::default() };
    assert_eq!(template(source).render_with(&[Message::user("hi")], &options).expect("rendered"), "29 Feb 2024");
}

#[test]
fn tojson_writes_as_python_does() {
    let tools = [serde_json::json!({"z": "<é>", "a": [1, 2]})];
    let render = |source: &str| {
        let options = RenderOptions { tools: &tools, ..RenderOptions::default() };
        template(source).render_with(&[Message::user("hi")], &options).expect("rendered")
    };
    assert_eq!(render("{{ tools[0] | tojson }}"), r#"{"z": "<é>", "a": [1, 2]}"#);
    assert_eq!(render("{{ tools[0]['a'] | tojson(indent=2) }}"), "[\n  1,\n  2\n]");
    assert_eq!(
        render("{{ tools | tojson(separators=(',', ':'), ensure_ascii=true) }}"),
        r#"[{"z":"<\u00e9>","a":[1,2]}]"#
    );
    assert_eq!(render("{{ tools is none }} {{ documents is none }}"), "False True");
}
