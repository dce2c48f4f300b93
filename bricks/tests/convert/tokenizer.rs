//! Tokenizers: the tokens of Hugging Face's own tokenizer, and the parts that tokens have to play.

use nanomind_bricks::{Gguf, Special, Tokenizer};
use nanomind_kernels::Precision;
use serde_json::{Value, json};

use crate::folder::{ModelFolder, byte_level, sentence_piece};
use crate::{options, run};

const TEXTS: [&str; 7] = [
    "the other 123456 things, isn't it?",
    "  two  spaces\n\n and the end ",
    "THE'S the's I'M 12'3",
    "e\u{301}t\u{e9} 你好 🦙🦙",
    "a<tool>b <tool> the",
    "",
    "\tthe\r\n  12 1 2",
];

/// Converts the model `name` with this tokenizer.
fn converted(name: &str, change: impl FnOnce(&mut ModelFolder)) -> Gguf {
    let temporary = tempfile::tempdir().unwrap();
    let mut folder = ModelFolder::new(name);
    change(&mut folder);
    folder.write(&temporary.path().join("in"));
    let options = options(temporary.path(), Precision::F16, Precision::F16);
    let made = run(&temporary.path().join("in"), &options).unwrap_or_else(|error| panic!("{error}"));
    Gguf::open(&made.files[0].path).unwrap()
}

/// The tokenizer as Hugging Face's own implementation reads it.
fn reference(tokenizer: &Value) -> tokenizers::Tokenizer {
    tokenizer.to_string().parse().unwrap()
}

#[test]
fn byte_level_tokenizers_give_the_tokens_of_hugging_faces() {
    for words in ["gpt-2", "smollm", "llama-bpe", "qwen2"] {
        let json = byte_level(words);
        let gguf = converted("llama", |folder| folder.tokenizer = json.clone());
        assert_eq!(gguf.get_str("tokenizer.ggml.pre").unwrap(), words);
        let (ours, theirs) = (Tokenizer::from_gguf(&gguf).unwrap(), reference(&json));
        for text in TEXTS {
            let expected = theirs.encode(text, false).unwrap();
            assert_eq!(ours.encode(text, Special::Plain), expected.get_ids(), "{text:?} with {words}");
        }
        assert_eq!(ours.vocab_len(), 280, "rows without a token are filled");
    }
}

#[test]
fn sentence_piece_tokenizers_give_the_tokens_of_hugging_faces() {
    let json = sentence_piece();
    let gguf = converted("llama", |folder| {
        folder.tokenizer = json.clone();
        folder.settings = json!({ "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>" });
    });
    let (ours, theirs) = (Tokenizer::from_gguf(&gguf).unwrap(), reference(&json));
    for text in ["the inquest", "  the   the", "in", "x = 1\n", "你 the", "        in     the"] {
        let expected = theirs.encode(text, true).unwrap();
        assert_eq!(ours.encode_first(text, Special::Plain), expected.get_ids(), "{text:?}");
    }
    assert_eq!((ours.bos(), ours.eos(), ours.unknown()), (Some(1), Some(2), Some(0)));
    assert!(ours.adds_bos() && gguf.get_bool("tokenizer.ggml.add_space_prefix").unwrap());
}

#[test]
fn the_newer_spelling_of_sentence_piece_is_known_too() {
    let mut json = sentence_piece();
    json["normalizer"] = Value::Null;
    json["pre_tokenizer"] =
        json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false });
    let gguf = converted("llama", |folder| {
        folder.tokenizer = json.clone();
        folder.settings = json!({});
    });
    let (ours, theirs) = (Tokenizer::from_gguf(&gguf).unwrap(), reference(&json));
    let expected = theirs.encode("the inn", true).unwrap();
    assert_eq!(ours.encode_first("the inn", Special::Plain), expected.get_ids());
}

#[test]
fn tokens_with_a_part_to_play_come_from_every_file() {
    let gguf = converted("llama", |folder| {
        folder.others.insert("generation_config.json".into(), json!({ "eos_token_id": [266, 267] }).to_string());
        folder.config["pad_token_id"] = json!(5);
    });
    let id = |name: &str| gguf.find_u32(&format!("tokenizer.ggml.{name}_token_id")).unwrap();
    assert_eq!((id("bos"), id("eos"), id("padding")), (Some(265), Some(266), Some(5)));
    assert_eq!(id("eot"), Some(267), "generation ends at it, and its text does not say so");
    let kinds = gguf.get_array("tokenizer.ggml.token_type").unwrap().to_i32s().unwrap();
    // Control, control, user-defined, and what only looks special; then rows without a token.
    assert_eq!(kinds[264..271], [1, 3, 3, 4, 3, 5, 5]);
    assert!(!gguf.get_bool("tokenizer.ggml.add_bos_token").unwrap());
}

#[test]
fn a_post_processor_decides_about_the_beginning_of_text() {
    let gguf = converted("llama", |folder| {
        let piece = |name: &str, id: &str| json!({ name: { "id": id, "type_id": 0 } });
        let template = json!({ "type": "TemplateProcessing",
            "single": [piece("SpecialToken", "<|begin|>"), piece("Sequence", "A")],
            "pair": [], "special_tokens": {} });
        folder.tokenizer["post_processor"] = json!({ "type": "Sequence",
            "processors": [{ "type": "ByteLevel", "add_prefix_space": true }, template] });
        folder.settings["add_bos_token"] = json!(false);
        folder.settings["add_eos_token"] = json!(true);
    });
    let tokenizer = Tokenizer::from_gguf(&gguf).unwrap();
    assert_eq!((tokenizer.adds_bos(), tokenizer.adds_eos()), (true, false));
}

#[test]
fn chat_templates_are_found_wherever_they_are() {
    let template = |change: &dyn Fn(&mut ModelFolder)| {
        let gguf = converted("llama", |folder| change(folder));
        gguf.find_str("tokenizer.chat_template").unwrap().map(str::to_owned)
    };
    assert_eq!(template(&|_| {}).as_deref(), Some("{{ x }}"));
    let jinja = |folder: &mut ModelFolder| drop(folder.others.insert("chat_template.jinja".into(), "{{ j }}".into()));
    assert_eq!(template(&jinja).as_deref(), Some("{{ j }}"));
    let in_json = |folder: &mut ModelFolder| {
        folder.settings = json!({});
        folder.others.insert("chat_template.json".into(), json!({ "chat_template": "{{ n }}" }).to_string());
    };
    assert_eq!(template(&in_json).as_deref(), Some("{{ n }}"));
    assert_eq!(template(&|folder| folder.settings = json!({})), None);
    let gguf = converted("llama", |folder| {
        let named = |name: &str, text: &str| json!({ "name": name, "template": text });
        folder.settings["chat_template"] = json!([named("tool_use", "{{ t }}"), named("default", "{{ d }}")]);
    });
    assert_eq!(gguf.get_str("tokenizer.chat_template").unwrap(), "{{ d }}");
    assert_eq!(gguf.get_str("tokenizer.chat_template.tool_use").unwrap(), "{{ t }}");
}
