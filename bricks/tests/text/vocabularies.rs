//! Small vocabularies of every kind, trained by HF tokenizers: see `tests/fixtures/tokenizer_vocabularies.py`.

use std::collections::HashMap;

use nanomind_bricks::{Special, TokenId, TokenKind};
use serde::Deserialize;

use crate::{assert_encodes, json, streamed, tokenizer};

#[derive(Deserialize)]
struct Reference {
    texts: Vec<String>,
    #[serde(flatten)]
    rows: HashMap<String, Rows>,
}

#[derive(Deserialize)]
struct Rows {
    parsed: Vec<Vec<TokenId>>,
    plain: Vec<Vec<TokenId>>,
    shown: Vec<Option<String>>,
}

const FILES: [(&str, &str); 5] = [
    ("gpt-2", "tokenizer_gpt-2.gguf"),
    ("smollm", "tokenizer_smollm.gguf"),
    ("qwen2", "tokenizer_qwen2.gguf"),
    ("llama-bpe", "tokenizer_llama-bpe.gguf"),
    ("llama", "language_sentencepiece.gguf"),
];

#[test]
fn texts_become_the_tokens_that_hf_makes_of_them() {
    let reference: Reference = json("tokenizer_vocabularies.json");
    for (name, file) in FILES {
        let tokenizer = tokenizer(file);
        let rows = &reference.rows[name];
        for (index, text) in reference.texts.iter().enumerate() {
            assert_encodes(&tokenizer, text, Special::Parse, &rows.parsed[index], &format!("{name} parsed"));
            assert_encodes(&tokenizer, text, Special::Plain, &rows.plain[index], &format!("{name} plain"));
        }
    }
}

#[test]
fn tokens_become_the_text_that_hf_makes_of_them_at_once_and_in_a_stream() {
    let reference: Reference = json("tokenizer_vocabularies.json");
    for (name, file) in FILES {
        let tokenizer = tokenizer(file);
        let rows = &reference.rows[name];
        for (index, text) in reference.texts.iter().enumerate() {
            let expected = rows.shown[index].as_ref().unwrap_or(text);
            let tokens = &rows.parsed[index];
            assert_eq!(&tokenizer.decode(tokens), expected, "{name}: {tokens:?}");
            assert_eq!(&streamed(&tokenizer, tokens), expected, "{name} in a stream: {tokens:?}");
        }
    }
}

#[test]
fn plain_text_never_becomes_a_control_token() {
    let reference: Reference = json("tokenizer_vocabularies.json");
    for (name, file) in FILES {
        let tokenizer = tokenizer(file);
        for text in &reference.texts {
            let found = tokenizer.encode(text, Special::Plain).into_iter().find(|&token| tokenizer.is_control(token));
            assert_eq!(found, None, "{name}: {text:?} became a control token");
        }
    }
}

#[test]
fn a_sequence_begins_with_one_beginning_of_text_where_the_model_wants_it() {
    let wants = tokenizer("language_sentencepiece.gguf");
    let bos = wants.bos().unwrap();
    assert_eq!(wants.encode_first("", Special::Parse), [bos]);
    let text = wants.encode_first("<s>a", Special::Parse);
    assert_eq!(text.iter().filter(|&&token| token == bos).count(), 1, "{text:?}");
    let wants_none = tokenizer("tokenizer_smollm.gguf");
    assert_eq!(wants_none.encode_first("", Special::Parse), Vec::<TokenId>::new());
    // Llama 3 files may leave the key out and mean it.
    assert!(tokenizer("tokenizer_llama-bpe.gguf").adds_bos());
}

#[test]
fn tokens_that_end_an_answer_are_known_by_key_and_by_name() {
    let tokenizer = tokenizer("tokenizer_smollm.gguf");
    let ends: Vec<String> = (0..tokenizer.vocab_len() as TokenId)
        .filter(|&token| tokenizer.is_end(token))
        .map(|token| tokenizer.decode_all(&[token]))
        .collect();
    assert_eq!(ends, ["<|endoftext|>", "<|im_end|>"]);
    assert_eq!(tokenizer.decode_all(&[tokenizer.eos().unwrap()]), "<|im_end|>");
    assert_eq!(tokenizer.decode(&[tokenizer.eos().unwrap()]), "", "control tokens have no text of their own");
}

#[test]
fn tokens_beyond_the_vocabulary_have_no_text() {
    for (_, file) in FILES {
        let tokenizer = tokenizer(file);
        let beyond = tokenizer.vocab_len() as TokenId;
        assert_eq!(tokenizer.decode(&[beyond, TokenId::MAX]), "");
        assert_eq!(tokenizer.kind(beyond), None);
        assert!(!tokenizer.is_end(beyond));
    }
}

#[test]
fn a_stream_shows_no_unfinished_character() {
    let tokenizer = tokenizer("language_sentencepiece.gguf");
    let tokens: Vec<TokenId> = tokenizer.encode("a🎉b", Special::Plain);
    let bytes = tokens.iter().filter(|&&token| tokenizer.kind(token) == Some(TokenKind::Byte)).count();
    assert_eq!(bytes, 4, "the emoji is four byte tokens here: {tokens:?}");
    let mut decoder = nanomind_bricks::StreamDecoder::new(tokenizer);
    let shown: Vec<String> = tokens.iter().map(|&token| decoder.push(token)).collect();
    let shown: Vec<&str> = shown.iter().map(String::as_str).filter(|piece| !piece.is_empty()).collect();
    assert_eq!(shown, ["a", "🎉", "b"]);
}

#[test]
fn a_character_that_never_ends_is_replaced_when_the_stream_does() {
    let tokenizer = tokenizer("language_sentencepiece.gguf");
    let party = tokenizer.encode("🎉", Special::Plain);
    let first = *party.iter().find(|&&token| tokenizer.kind(token) == Some(TokenKind::Byte)).unwrap();
    let mut decoder = nanomind_bricks::StreamDecoder::new(tokenizer.clone());
    assert_eq!(decoder.push(first), "");
    assert_eq!(decoder.push(first), "\u{fffd}", "a second beginning shows that the first is broken");
    assert_eq!(decoder.finish(), "\u{fffd}");
    assert_eq!(decoder.finish(), "");
}

#[test]
fn a_continued_stream_keeps_its_leading_space() {
    let tokenizer = tokenizer("language_sentencepiece.gguf");
    let tokens = tokenizer.encode("the", Special::Plain);
    let text = |mut decoder: nanomind_bricks::StreamDecoder| {
        tokens.iter().map(|&token| decoder.push(token)).collect::<String>()
    };
    assert_eq!(text(nanomind_bricks::StreamDecoder::new(tokenizer.clone())), "the");
    assert_eq!(text(nanomind_bricks::StreamDecoder::continuing(tokenizer.clone())), " the");
}
