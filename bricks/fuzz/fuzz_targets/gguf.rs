//! Any bytes as a GGUF file: an error or a file whose every value, tensor and token can be read, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nanomind_bricks::{ChatTemplate, Gguf, Special, Tokenizer};

fuzz_target!(|bytes: &[u8]| {
    let Ok(gguf) = Gguf::from_bytes("fuzz.gguf", bytes.to_vec()) else { return };
    for (key, value) in gguf.metadata() {
        let _ = (value.to_string(), gguf.find_u32(key), gguf.find_str(key), gguf.find_u32_each(key, 2));
        if let Ok(array) = value.as_array() {
            let _ = (array.to_u32s(), array.to_f32s(), array.strings().map(|strings| strings.count()));
            assert_eq!(array.iter().count(), array.len(), "every element of {key} is read again");
        }
    }
    let mut taken = 0;
    for tensor in gguf.tensors() {
        assert_eq!(gguf.tensor_bytes(tensor).len(), tensor.byte_len());
        assert_eq!(tensor.byte_range().start % gguf.alignment() as usize, 0, "{} is aligned", tensor.name());
        taken += tensor.byte_len();
    }
    assert!(taken <= bytes.len(), "tensors of {taken} bytes in a file of {}", bytes.len());
    if let Ok(tokenizer) = Tokenizer::from_gguf(&gguf) {
        let tokens = tokenizer.encode_first("It's 12 <|im_start|> é😀\n\n  ▁x", Special::Parse);
        assert!(tokens.iter().all(|&token| (token as usize) < tokenizer.vocab_len()), "{tokens:?}");
        let _ = tokenizer.decode(&tokens);
    }
    // Compiled only: a hostile template may take seconds until it is stopped.
    let _ = ChatTemplate::from_gguf(&gguf);
});
