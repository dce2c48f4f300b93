//! Vocabularies that contradict themselves, each with the message that it gets.

use super::*;
use crate::gguf::{Gguf, GgufWriter};

fn build(writer: &GgufWriter) -> Result<Tokenizer, TokenizerError> {
    Tokenizer::from_gguf(&Gguf::from_bytes("test.gguf", writer.to_bytes()).expect("a sound file"))
}

fn byte_level(tokens: Vec<&str>, merges: Vec<&str>) -> GgufWriter {
    GgufWriter::new("llama")
        .metadata("tokenizer.ggml.model", "gpt2")
        .metadata("tokenizer.ggml.pre", "smollm")
        .metadata("tokenizer.ggml.tokens", tokens)
        .metadata("tokenizer.ggml.merges", merges)
}

fn sentence_piece(tokens: Vec<&str>, scores: Vec<f32>) -> GgufWriter {
    GgufWriter::new("llama")
        .metadata("tokenizer.ggml.model", "llama")
        .metadata("tokenizer.ggml.tokens", tokens)
        .metadata("tokenizer.ggml.scores", scores)
}

#[test]
fn contradictory_vocabularies_get_an_error_that_names_the_key() {
    let plain = || byte_level(vec!["a", "b", "ab"], vec!["a b"]);
    let table = [
        (GgufWriter::new("llama"), "key `tokenizer.ggml.model`: expected a string, found no such key"),
        (
            GgufWriter::new("llama").metadata("tokenizer.ggml.model", "bert"),
            "key `tokenizer.ggml.model`: expected `gpt2` or `llama`, found `bert`",
        ),
        (
            GgufWriter::new("llama").metadata("tokenizer.ggml.model", "gpt2").metadata("tokenizer.ggml.pre", "viking"),
            "key `tokenizer.ggml.pre`: expected one of `gpt-2`, `default`, `smollm`, `starcoder`, `refact`, \
             `llama-bpe`, `llama-v3`, `llama3`, `qwen2`, `deepseek-r1-qwen`, found `viking`",
        ),
        (byte_level(vec![], vec![]), "key `tokenizer.ggml.tokens`: expected 1 to 16777216 tokens, found 0"),
        (
            byte_level(vec!["a", "b", "a"], vec![]),
            "key `tokenizer.ggml.tokens`: expected each token once, found \"a\" as 0 and 2",
        ),
        (
            byte_level(vec!["a", "b"], vec!["a b"]),
            "key `tokenizer.ggml.merges`: expected two tokens that join to a third, found \"a b\" at 0",
        ),
        (
            byte_level(vec!["a", "b", "ab"], vec!["a b", "ab"]),
            "key `tokenizer.ggml.merges`: expected two tokens that join to a third, found \"ab\" at 1",
        ),
        (
            plain().metadata("tokenizer.ggml.token_type", vec![1i32, 1]),
            "key `tokenizer.ggml.token_type`: expected as many entries as `tokenizer.ggml.tokens` has, 3, found 2",
        ),
        (
            plain().metadata("tokenizer.ggml.token_type", vec![1i32, 1, 7]),
            "key `tokenizer.ggml.token_type`: expected types from 0 to 6, found 7",
        ),
        (
            plain().metadata("tokenizer.ggml.eos_token_id", 3u32),
            "key `tokenizer.ggml.eos_token_id`: expected a token below 3, found 3",
        ),
        (
            plain().metadata("tokenizer.ggml.bos_token_id", -1i32),
            "key `tokenizer.ggml.bos_token_id`: expected an integer that fits u32, found -1",
        ),
        (
            sentence_piece(vec!["<unk>", "a"], vec![0.0]),
            "key `tokenizer.ggml.scores`: expected one score for each of 2 tokens, found 1",
        ),
        (
            sentence_piece(vec!["<unk>", &"a".repeat(600)], vec![0.0, 0.0]),
            "key `tokenizer.ggml.tokens`: expected tokens of at most 512 bytes, found 600 bytes in token 1",
        ),
        (
            sentence_piece(vec!["<unk>", "a"], vec![0.0, f32::NAN]),
            "key `tokenizer.ggml.scores`: expected a finite float, found NaN",
        ),
    ];
    for (index, (writer, expected)) in table.into_iter().enumerate() {
        let found = match build(&writer) {
            Ok(_) => "the vocabulary was accepted".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, format!("test.gguf: {expected}"), "row {index} of the table");
    }
}

#[test]
fn merges_never_make_a_control_token_from_text() {
    let writer = byte_level(vec!["a", "b", "ab", "c"], vec!["a b"]);
    let plain = build(&writer).expect("a vocabulary");
    assert_eq!(plain.encode("abc", Special::Plain), [2, 3]);
    let controlled = build(&writer.metadata("tokenizer.ggml.token_type", vec![1i32, 1, 3, 1])).expect("a vocabulary");
    assert_eq!(controlled.encode("abc", Special::Plain), [0, 1, 3]);
    assert_eq!(controlled.encode("abc", Special::Parse), [2, 3]);
}

#[test]
fn sentence_piece_merges_the_best_score_first_and_falls_back_to_bytes_then_to_unknown() {
    let tokens = vec!["<unk>", "▁", "a", "b", "c", "ab", "bc", "<0xC3>", "<0xA9>"];
    let scores = vec![0.0, -9.0, -9.0, -9.0, -9.0, -2.0, -1.0, 0.0, 0.0];
    let types = vec![2i32, 1, 1, 1, 1, 1, 1, 6, 6];
    let writer = sentence_piece(tokens, scores)
        .metadata("tokenizer.ggml.token_type", types)
        .metadata("tokenizer.ggml.add_space_prefix", false);
    let tokenizer = build(&writer).expect("a vocabulary");
    assert_eq!(tokenizer.encode("abc ab", Special::Plain), [2, 6, 1, 5]);
    assert_eq!(tokenizer.encode("é", Special::Plain), [7, 8], "bytes that are tokens");
    assert_eq!(tokenizer.encode("語語a", Special::Plain), [0, 2], "bytes that are none, one unknown for all");
    assert_eq!(tokenizer.decode(&[2, 7, 8, 1, 5]), "aé ab");
}

#[test]
fn a_vocabulary_without_the_usual_first_tokens_is_no_trouble() {
    let tokenizer = build(&sentence_piece(vec!["a"], vec![0.0])).expect("a vocabulary of one");
    assert_eq!((tokenizer.unknown(), tokenizer.bos(), tokenizer.eos()), (Some(0), None, None));
    let empty = build(&byte_level(vec!["", "a", ""], vec![])).expect("empty tokens may repeat");
    assert_eq!(empty.encode("aé", Special::Parse), [1], "what has no token at all is dropped, as HF does");
    assert_eq!(empty.decode(&[0, 1, 2]), "a");
}

#[test]
fn a_megabyte_of_odd_white_space_goes_round() {
    let bytes: Vec<String> = (0..=255u8).map(|byte| byte_level::char_of(byte).to_string()).collect();
    let tokenizer = build(&byte_level(bytes.iter().map(String::as_str).collect(), vec![])).expect("the bytes");
    for text in [" ".repeat(1_100_000) + "x", "\n \t\u{3000}".repeat(100_000)] {
        assert_eq!(tokenizer.decode(&tokenizer.encode(&text, Special::Plain)).len(), text.len());
    }
}
