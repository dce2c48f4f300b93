//! Tokenizers and chat templates through their public face, against what Hugging Face's libraries make of the same input.
#![allow(clippy::unwrap_used)]

mod chat;
#[path = "../real_model/mod.rs"]
mod real_model;
mod smollm2;
mod vocabularies;

use std::path::PathBuf;
use std::sync::Arc;

use nanomind_bricks::{Gguf, Special, StreamDecoder, TokenId, Tokenizer};
use serde::de::DeserializeOwned;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name)
}

fn json<T: DeserializeOwned>(name: &str) -> T {
    let text = std::fs::read(fixture(name)).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn tokenizer(name: &str) -> Arc<Tokenizer> {
    Arc::new(Tokenizer::from_gguf(&Gguf::open(fixture(name)).unwrap()).unwrap())
}

#[track_caller]
fn assert_encodes(tokenizer: &Tokenizer, text: &str, special: Special, expected: &[TokenId], what: &str) {
    let found = tokenizer.encode(text, special);
    let show = |tokens: &[TokenId]| {
        let token = |&token: &TokenId| format!("{token}:{:?}", String::from_utf8_lossy(tokenizer.token_bytes(token)));
        tokens.iter().map(token).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(found, expected, "{what}, {text:?}\n found    {}\n expected {}", show(&found), show(expected));
}

/// All that a stream decoder shows, and a check that no piece is shown before it is certain.
fn streamed(tokenizer: &Arc<Tokenizer>, tokens: &[TokenId]) -> String {
    let mut decoder = StreamDecoder::new(tokenizer.clone());
    let mut text: String = tokens.iter().map(|&token| decoder.push(token)).collect();
    text.push_str(&decoder.finish());
    text
}
