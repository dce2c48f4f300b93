//! Files whose hyperparameters or tensors make no sense are refused, naming file, field, expected and found.

use std::sync::Arc;

use nanomind_bricks::language::LanguageModel;
use nanomind_bricks::{Gguf, GgufWriter, TensorType, WriteValue};
use nanomind_hal::Lane;
use nanomind_kernels::Isa;

/// What a file says; a whole, tiny model until a test changes it.
struct File {
    metadata: Vec<(&'static str, WriteValue)>,
    tensors: Vec<(String, Vec<u64>, f32)>,
}

/// A llama of one layer, 8 wide, with 2 heads of 4 and 6 tokens.
fn tiny() -> File {
    let metadata: Vec<(&str, WriteValue)> = vec![
        ("general.architecture", "llama".into()),
        ("llama.block_count", 1u32.into()),
        ("llama.context_length", 64u32.into()),
        ("llama.embedding_length", 8u32.into()),
        ("llama.feed_forward_length", 12u32.into()),
        ("llama.attention.head_count", 2u32.into()),
        ("llama.attention.head_count_kv", 1u32.into()),
        ("llama.attention.layer_norm_rms_epsilon", 1e-5f32.into()),
    ];
    let shapes: [(&str, &[u64]); 11] = [
        ("token_embd.weight", &[8, 6]),
        ("output_norm.weight", &[8]),
        ("blk.0.attn_norm.weight", &[8]),
        ("blk.0.attn_q.weight", &[8, 8]),
        ("blk.0.attn_k.weight", &[8, 4]),
        ("blk.0.attn_v.weight", &[8, 4]),
        ("blk.0.attn_output.weight", &[8, 8]),
        ("blk.0.ffn_norm.weight", &[8]),
        ("blk.0.ffn_gate.weight", &[8, 12]),
        ("blk.0.ffn_up.weight", &[8, 12]),
        ("blk.0.ffn_down.weight", &[12, 8]),
    ];
    let tensors = shapes.iter().map(|(name, dims)| ((*name).to_owned(), dims.to_vec(), 0.5)).collect();
    File { metadata, tensors }
}

impl File {
    fn set(mut self, key: &'static str, value: impl Into<WriteValue>) -> File {
        self = self.without(key);
        self.metadata.push((key, value.into()));
        self
    }

    fn without(mut self, name: &str) -> File {
        self.metadata.retain(|(key, _)| *key != name);
        self.tensors.retain(|(tensor, _, _)| tensor != name);
        self
    }

    fn tensor(mut self, name: &str, dims: &[u64], value: f32) -> File {
        self = self.without(name);
        self.tensors.push((name.to_owned(), dims.to_vec(), value));
        self
    }

    fn load(self) -> Result<LanguageModel, String> {
        let mut writer = GgufWriter::empty();
        for (key, value) in self.metadata {
            writer = writer.metadata(key, value);
        }
        for (name, dims, value) in self.tensors {
            let elements = dims.iter().product::<u64>() as usize;
            let bytes = std::iter::repeat_n(value.to_le_bytes(), elements).flatten().collect();
            writer = writer.tensor(name, TensorType::F32, &dims, bytes);
        }
        let gguf = Arc::new(Gguf::from_bytes("tiny.gguf", writer.to_bytes()).unwrap());
        LanguageModel::load(&gguf, Isa::detect(), &Lane::single(), &mut |_| {}).map_err(|error| error.to_string())
    }
}

#[track_caller]
fn refused(file: File, message: &str) {
    match file.load() {
        Ok(_) => panic!("the file was loaded, expected: {message}"),
        Err(found) => assert_eq!(found, message),
    }
}

#[test]
fn a_whole_file_is_loaded_and_its_defaults_are_those_of_the_field() {
    let model = tiny().load().unwrap();
    let config = model.config();
    assert_eq!((config.heads, config.kv_heads, config.head_dim, config.rope_dim, config.vocab), (2, 1, 4, 4, 6));
    assert_eq!((config.rope_base, config.rope_scale), (10_000.0, 1.0));
    assert!(model.is_tied());
    let config = tiny().without("llama.attention.head_count_kv").tensor("blk.0.attn_k.weight", &[8, 8], 0.1);
    let config = config.tensor("blk.0.attn_v.weight", &[8, 8], 0.1).load().unwrap().config().clone();
    assert_eq!(config.kv_heads, 2, "without a count every head has its own keys");
    let scaled = tiny().set("llama.rope.scaling.type", "linear").set("llama.rope.scaling.factor", 4.0f32);
    assert_eq!(scaled.load().unwrap().config().rope_scale, 4.0);
}

#[test]
fn hyperparameters_out_of_bounds_are_named() {
    refused(
        tiny().set("general.architecture", "mamba"),
        "tiny.gguf: key `general.architecture`: expected llama or qwen2, found mamba",
    );
    refused(
        tiny().without("llama.block_count"),
        "tiny.gguf: key `llama.block_count`: expected an integer, found no such key",
    );
    refused(
        tiny().set("llama.block_count", 0u32),
        "tiny.gguf: key `llama.block_count`: expected an integer from 1 to 1024, found 0",
    );
    refused(
        tiny().set("llama.context_length", u32::MAX),
        "tiny.gguf: key `llama.context_length`: expected an integer from 1 to 16777216, found 4294967295",
    );
    refused(
        tiny().set("llama.embedding_length", "wide"),
        "tiny.gguf: key `llama.embedding_length`: expected an integer that fits u32, found \"wide\"",
    );
    refused(
        tiny().set("llama.attention.head_count_kv", 3u32),
        "tiny.gguf: key `llama.attention.head_count_kv`: expected a divisor of the 2 heads of attention.head_count, \
         found 3",
    );
    refused(
        tiny().set("llama.attention.head_count", 3u32).without("llama.attention.head_count_kv"),
        "tiny.gguf: key `llama.attention.head_count`: expected a divisor of the embedding_length of 8, as there is no \
         key_length, found 3",
    );
    refused(
        tiny().set("llama.attention.layer_norm_rms_epsilon", 0.0f32),
        "tiny.gguf: key `llama.attention.layer_norm_rms_epsilon`: expected a number above 0 and at most 1, found 0.0",
    );
    refused(
        tiny().set("llama.rope.freq_base", f32::NAN),
        "tiny.gguf: key `llama.rope.freq_base`: expected a finite float, found NaN",
    );
    refused(
        tiny().set("llama.vocab_size", 7u32),
        "tiny.gguf: key `llama.vocab_size`: expected 6, the rows of token_embd.weight, found 7",
    );
}

#[test]
fn what_is_not_computed_here_is_refused_and_never_ignored() {
    refused(
        tiny().set("llama.expert_count", 8u32),
        "tiny.gguf: key `llama.expert_count`: expected 0: mixtures of experts are not supported, found 8",
    );
    refused(
        tiny().set("llama.rope.scaling.type", "yarn"),
        "tiny.gguf: key `llama.rope.scaling.type`: expected none or linear, found yarn",
    );
    refused(
        tiny().set("llama.attention.key_length", 4u32).set("llama.attention.value_length", 8u32),
        "tiny.gguf: key `llama.attention.value_length`: expected 4, the elements of a key, found 8",
    );
    refused(
        tiny().set("llama.attention.key_length", 512u32),
        "tiny.gguf: key `llama.attention.key_length`: expected an integer from 2 to 256, found 512",
    );
    refused(
        tiny().tensor("blk.0.attn_q_norm.weight", &[4], 1.0),
        "tiny.gguf: tensor `blk.0.attn_q_norm.weight`: expected only tensors of the architecture, found one that would \
         be ignored",
    );
}

#[test]
fn tensors_that_do_not_fit_the_hyperparameters_are_named() {
    refused(
        tiny().without("blk.0.ffn_up.weight"),
        "tiny.gguf: tensor `blk.0.ffn_up.weight`: expected a tensor of this name, found none among 10",
    );
    refused(
        tiny().tensor("blk.0.attn_k.weight", &[8, 8], 0.1),
        "tiny.gguf: tensor `blk.0.attn_k.weight`: expected shape [4, 8], found [8, 8]",
    );
    refused(
        tiny().tensor("output_norm.weight", &[4], 0.1),
        "tiny.gguf: tensor `output_norm.weight`: expected shape [8], found [4]",
    );
    refused(
        tiny().tensor("blk.0.attn_norm.weight", &[8], f32::INFINITY),
        "tiny.gguf: tensor `blk.0.attn_norm.weight`: expected finite numbers, found inf",
    );
    refused(
        tiny().tensor("rope_freqs.weight", &[2], 0.0),
        "tiny.gguf: tensor `rope_freqs.weight`: expected numbers above 0, found 0",
    );
    refused(
        tiny().set("llama.block_count", 2u32),
        "tiny.gguf: tensor `blk.1.attn_norm.weight`: expected a tensor of this name, found none among 11",
    );
    refused(
        tiny().without("token_embd.weight"),
        "tiny.gguf: tensor `token_embd.weight`: expected a tensor of this name, found none among 10",
    );
}

#[test]
fn a_qwen2_file_needs_the_biases_of_its_architecture() {
    let mut file = tiny();
    for (key, value) in &mut file.metadata {
        match *key {
            "general.architecture" => *value = "qwen2".into(),
            _ => *key = format!("qwen2{}", key.strip_prefix("llama").unwrap_or(key)).leak(),
        }
    }
    refused(file, "tiny.gguf: tensor `blk.0.attn_q.bias`: expected a tensor of this name, found none among 11");
}
