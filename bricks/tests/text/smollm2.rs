//! SmolLM2's own vocabulary: against HF tokenizers over `tests/fixtures/language_tokens.json`.

use std::collections::HashMap;
use std::sync::Arc;

use nanomind_bricks::{ChatTemplate, Gguf, GgufWriter, Message, Special, TokenId, Tokenizer};
use serde::Deserialize;

use crate::real_model::smollm2;
use crate::{assert_encodes, json, streamed, tokenizer};

#[derive(Deserialize)]
struct Reference {
    texts: Vec<String>,
    #[serde(flatten)]
    ids: HashMap<String, Vec<Vec<TokenId>>>,
}

fn model() -> Gguf {
    Gguf::open(smollm2()).unwrap()
}

/// The vocabulary of `gguf` under another pre-tokenizer.
fn with_pre_tokenizer(gguf: &Gguf, pre: &str) -> Arc<Tokenizer> {
    let strings = |key: &str| -> Vec<String> {
        gguf.get_array(key).unwrap().strings().unwrap().map(|text| text.unwrap().to_owned()).collect()
    };
    let types = "tokenizer.ggml.token_type";
    let bytes = GgufWriter::new("llama")
        .metadata("tokenizer.ggml.model", "gpt2")
        .metadata("tokenizer.ggml.pre", pre)
        .metadata("tokenizer.ggml.tokens", strings("tokenizer.ggml.tokens"))
        .metadata("tokenizer.ggml.merges", strings("tokenizer.ggml.merges"))
        .metadata(types, gguf.get_array(types).unwrap().to_i32s().unwrap())
        .to_bytes();
    Arc::new(Tokenizer::from_gguf(&Gguf::from_bytes(pre, bytes).unwrap()).unwrap())
}

fn check(tokenizer: &Arc<Tokenizer>, texts: &[String], ids: &[Vec<TokenId>], what: &str) {
    for (text, ids) in texts.iter().zip(ids) {
        assert_encodes(tokenizer, text, Special::Plain, ids, what);
        assert_eq!(tokenizer.decode(ids), streamed(tokenizer, ids), "{what}: at once and in a stream");
        // SentencePiece writes a space as ▁, so that a ▁ of the text comes back as a space.
        if !(what == "sentencepiece" && text.contains('▁')) {
            assert_eq!(&tokenizer.decode(ids), text, "{what}: text goes round");
        }
    }
}

#[test]
fn a_multilingual_corpus_becomes_the_tokens_of_sentencepiece_itself() {
    let reference: Reference = json("language_tokens.json");
    let tokenizer = tokenizer("language_sentencepiece.gguf");
    check(&tokenizer, &reference.texts, &reference.ids["sentencepiece"], "sentencepiece");
}

#[test]
fn a_multilingual_corpus_becomes_the_tokens_of_hf_under_every_pre_tokenizer() {
    let gguf = model();
    let reference: Reference = json("language_tokens.json");
    for pre in ["smollm", "gpt-2", "qwen2", "llama-bpe"] {
        check(&with_pre_tokenizer(&gguf, pre), &reference.texts, &reference.ids[pre], pre);
    }
}

#[test]
fn the_files_own_tokenizer_and_template_make_the_prompt_that_the_model_knows() {
    let gguf = model();
    let tokenizer = Tokenizer::from_gguf(&gguf).unwrap();
    let template = ChatTemplate::from_gguf(&gguf).unwrap();
    let messages = [Message::system("You are a helpful assistant."), Message::user("What is the capital of France?")];
    let prompt = template.render(&messages, true).unwrap();
    assert_encodes(
        &tokenizer,
        &prompt,
        Special::Parse,
        &[
            1, 9690, 198, 2683, 359, 253, 5356, 11173, 30, 2, 198, 1, 4093, 198, 1780, 314, 260, 3575, 282, 4649, 47,
            2, 198, 1, 520, 9531, 198,
        ],
        "prompt",
    );
    assert_eq!(tokenizer.decode(&[504, 3575, 282, 4649, 314, 7042, 30]), "The capital of France is Paris.");
    let ends: Vec<TokenId> = (0..tokenizer.vocab_len() as TokenId).filter(|&token| tokenizer.is_end(token)).collect();
    assert_eq!(ends, [0, 2], "<|endoftext|> and <|im_end|>");
}
