//! The language halves: logits of HF transformers, orders of rows, formats.

use std::path::Path;
use std::sync::Arc;

use nanomind_bricks::language::{LanguageModel, Logits, Segment, Sequence};
use nanomind_bricks::{Gguf, TensorType};
use nanomind_hal::Lane;
use nanomind_kernels::{Isa, Precision, quantize};
use safetensors::Dtype;

use crate::folder::{ModelFolder, VOCAB, configurations, fixture, weights};
use crate::{files_of, numbers, options, run};

/// Those of `convert_models.py`.
const TOKENS: [u32; 7] = [1, 44, 199, 7, 7, 250, 13];
const POSITIONS: [usize; 2] = [2, 6];
const EVERY: usize = 7;

/// The logits that the fixture has of each model.
fn expected() -> Vec<(String, Vec<f32>)> {
    let bytes = std::fs::read(fixture("convert_models.bin")).unwrap();
    let all: Vec<f32> = bytes.chunks_exact(4).map(|word| f32::from_le_bytes(word.try_into().unwrap())).collect();
    let names: Vec<String> = configurations().keys().cloned().collect();
    assert_eq!(all.len(), names.len() * POSITIONS.len() * VOCAB.div_ceil(EVERY));
    names.into_iter().zip(all.chunks(POSITIONS.len() * VOCAB.div_ceil(EVERY)).map(<[f32]>::to_vec)).collect()
}

/// Loads the file and gives the logits that the fixture has.
fn logits(file: &Path) -> Vec<f32> {
    let gguf = Arc::new(Gguf::open(file).unwrap());
    let lane = Lane::single();
    let model = LanguageModel::load(&gguf, Isa::detect(), &lane, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"));
    let mut sequence = Sequence::new(&model, TOKENS.len()).unwrap();
    let all = model.prefill(&lane, &mut sequence, &[Segment::Tokens(&TOKENS)], Logits::All).unwrap();
    POSITIONS.iter().flat_map(|position| all[position * VOCAB..][..VOCAB].iter().step_by(EVERY)).copied().collect()
}

fn worst(found: &[f32], expected: &[f32]) -> f32 {
    let largest = expected.iter().fold(0.0f32, |most, logit| most.max(logit.abs()));
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
}

#[test]
fn converted_models_give_the_logits_of_hf_transformers_whatever_floats_they_come_in_and_go_to() {
    for (name, expected) in expected() {
        for (dtype, precision) in
            [(Dtype::F32, Precision::F32), (Dtype::BF16, Precision::F16), (Dtype::F16, Precision::Bf16)]
        {
            let temporary = tempfile::tempdir().unwrap();
            let folder = ModelFolder { dtype, ..ModelFolder::new(&name) };
            folder.write(&temporary.path().join("in"));
            let converted = run(&temporary.path().join("in"), &options(temporary.path(), precision, Precision::F32));
            let converted = converted.unwrap_or_else(|error| panic!("{name}: {error}"));
            let off = worst(&logits(&converted.files[0].path), &expected);
            assert!(off < 1e-3, "{name} from {dtype:?} to {precision:?}: off by {off:.1e} of the largest logit");
        }
    }
}

#[test]
fn quantised_models_stay_near_those_logits() {
    let expected = expected();
    let (name, expected) = &expected[2];
    for (precision, most) in [(Precision::Q8_0, 0.02), (Precision::Q4_1, 0.4), (Precision::Q4_0, 0.4)] {
        let temporary = tempfile::tempdir().unwrap();
        ModelFolder::new(name).write(&temporary.path().join("in"));
        let converted = run(&temporary.path().join("in"), &options(temporary.path(), precision, precision)).unwrap();
        let off = worst(&logits(&converted.files[0].path), expected);
        assert!((1e-4..most).contains(&off), "{name} as {precision:?}: off by {off:.1e} of the largest logit");
    }
}

#[test]
fn shards_and_one_file_make_the_same_model() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = ModelFolder::new("llama3");
    folder.write(&temporary.path().join("whole"));
    folder.write_sharded(&temporary.path().join("cut"));
    let made = ["whole", "cut"].map(|name| {
        let out = temporary.path().join(format!("{name}-out"));
        let options = options(&out, Precision::Q4_0, Precision::F16);
        let converted = run(&temporary.path().join(name), &options).unwrap_or_else(|error| panic!("{name}: {error}"));
        std::fs::read(&converted.files[0].path).unwrap()
    });
    assert!(made[0] == made[1], "the files differ");
}

#[test]
fn rows_of_queries_and_keys_are_dealt_out_for_llama_and_quantised_as_they_then_lie() {
    let files = files_of("llama3", Precision::Q4_0, Precision::F16);
    let rows = |name: &str, rows: usize| -> Vec<Vec<f32>> {
        let all = weights(name, rows * 64);
        // Heads of 32 rows: 0, 16, 1, 17, …
        let source = |row: usize| row / 32 * 32 + row % 2 * 16 + row % 32 / 2;
        (0..rows).map(|row| all[source(row) * 64..][..64].to_vec()).collect()
    };
    for (name, source, count) in [("attn_q", "q_proj", 128), ("attn_k", "k_proj", 64)] {
        let numbers: Vec<f32> = rows(&format!("model.layers.1.self_attn.{source}.weight"), count).concat();
        let mut expected = vec![0; numbers.len() / 32 * 18];
        quantize(&Lane::single(), Precision::Q4_0, &numbers, &mut expected).unwrap();
        let info = files[0].tensor(&format!("blk.1.{name}.weight")).unwrap();
        assert!(files[0].tensor_bytes(info) == expected, "{name} differs");
    }
    let bias = weights("model.layers.0.self_attn.k_proj.bias", 64);
    let found = numbers(&files[0], "blk.0.attn_k.bias");
    assert_eq!(found[..4], [bias[0], bias[16], bias[1], bias[17]]);
}

#[test]
fn every_part_has_the_format_that_it_should() {
    let types = |name: &str, language: Precision| {
        let files = files_of(name, language, Precision::F16);
        move |tensor: &str| files[0].find_tensor(tensor).map(|info| info.tensor_type())
    };
    let untied = types("llama3", Precision::Q4_0);
    assert_eq!(untied("output.weight"), Some(TensorType::Q8_0), "the head has 8 bits");
    assert_eq!(untied("token_embd.weight"), Some(TensorType::Q4_0));
    assert_eq!(untied("blk.0.ffn_down.weight"), Some(TensorType::Q4_0));
    for plain in ["blk.0.attn_norm.weight", "blk.0.attn_q.bias", "output_norm.weight", "rope_freqs.weight"] {
        assert_eq!(untied(plain), Some(TensorType::F32), "{plain}");
    }
    let tied = types("llama", Precision::Q4_1);
    assert_eq!((tied("token_embd.weight"), tied("output.weight")), (Some(TensorType::Q8_0), None));
    // 72 columns are no whole number of blocks.
    let odd = types("qwen2", Precision::Q8_0);
    assert_eq!(odd("blk.0.ffn_down.weight"), Some(TensorType::F16));
    assert_eq!(odd("blk.0.ffn_up.weight"), Some(TensorType::Q8_0));
}

#[test]
fn the_result_says_which_tensors_have_another_format() {
    let temporary = tempfile::tempdir().unwrap();
    ModelFolder::new("qwen2").write(&temporary.path().join("in"));
    let options = options(temporary.path(), Precision::Q4_0, Precision::F16);
    let converted = run(&temporary.path().join("in"), &options).unwrap();
    let file = &converted.files[0];
    let fallbacks: Vec<_> = file.fallbacks.iter().map(|f| (f.tensor.as_str(), f.width, f.wanted, f.written)).collect();
    let expected = ["blk.0.ffn_down.weight", "blk.1.ffn_down.weight"].map(|name| (name, 72, "Q4_0", "F16"));
    assert_eq!(fallbacks, expected);
    let formats: Vec<_> = file.formats.iter().map(|share| (share.format, share.tensors)).collect();
    assert_eq!(formats.iter().map(|(_, tensors)| tensors).sum::<usize>(), 27, "{formats:?}");
    let size = std::fs::metadata(&file.path).unwrap().len();
    assert_eq!(file.bytes, size);
    assert!((file.bits_per_weight - size as f64 * 8.0 / file.parameters as f64).abs() < 1e-9);
}

#[test]
fn a_head_that_is_a_copy_of_the_embedding_is_written_once() {
    let temporary = tempfile::tempdir().unwrap();
    let mut folder = ModelFolder::new("llama");
    folder.shapes.insert("lm_head.weight".into(), vec![VOCAB, 64]);
    let input = temporary.path().join("in");
    folder.write_without_weights(&input);
    let names: Vec<&str> = folder.shapes.keys().map(String::as_str).collect();
    let mut bytes = folder.safetensors(&names);
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let offsets: serde_json::Value = serde_json::from_slice(&bytes[8..header]).unwrap();
    let range = |name: &str| {
        let offsets = &offsets[name]["data_offsets"];
        header + offsets[0].as_u64().unwrap() as usize..header + offsets[1].as_u64().unwrap() as usize
    };
    let table = bytes[range("model.embed_tokens.weight")].to_vec();
    bytes[range("lm_head.weight")].copy_from_slice(&table);
    std::fs::write(input.join("model.safetensors"), bytes).unwrap();
    let converted = run(&input, &options(temporary.path(), Precision::F32, Precision::F32)).unwrap();
    let gguf = Gguf::open(&converted.files[0].path).unwrap();
    assert!(gguf.find_tensor("output.weight").is_none(), "the head is there");
    let (_, expected) = &expected()[0];
    assert!(worst(&logits(&converted.files[0].path), expected) < 1e-3);
}
