//! What is no model, or a broken or unknown one, is refused with file, field, expected and found, and leaves nothing.

use std::fs;
use std::path::Path;

use nanomind_kernels::Precision;
use safetensors::Dtype;
use serde_json::{Value, json};

use crate::folder::{ModelFolder, byte_level, sentence_piece};
use crate::{options, run};

/// The message for a folder, which must name it; nothing may have been written.
fn refusal(write: impl FnOnce(&Path)) -> String {
    let temporary = tempfile::tempdir().unwrap();
    let (input, out) = (temporary.path().join("in"), temporary.path().join("out"));
    write(&input);
    let error = run(&input, &options(&out, Precision::Q4_0, Precision::F16)).expect_err("a refusal");
    assert!(!out.exists(), "{error}: something was written");
    error.to_string().replace(&input.display().to_string(), "DIR")
}

/// The message for a changed model.
fn changed(name: &str, change: impl FnOnce(&mut ModelFolder)) -> String {
    refusal(|input| {
        let mut folder = ModelFolder::new(name);
        change(&mut folder);
        folder.write(input);
    })
}

/// The message for changed bytes of the weights.
fn spoilt(change: impl FnOnce(&mut Vec<u8>)) -> String {
    refusal(|input| {
        ModelFolder::new("llama").write(input);
        let mut bytes = fs::read(input.join("model.safetensors")).unwrap();
        change(&mut bytes);
        fs::write(input.join("model.safetensors"), bytes).unwrap();
    })
}

#[test]
fn an_unknown_architecture_is_told_which_are_known() {
    let message = changed("llama", |folder| folder.config["architectures"] = json!(["MambaForCausalLM"]));
    assert_eq!(
        message,
        "DIR/config.json: field `architectures`: expected one of the supported architectures LlamaForCausalLM, \
         Qwen2ForCausalLM, LlavaForConditionalGeneration, LlavaOnevisionForConditionalGeneration, \
         SmolVLMForConditionalGeneration, Idefics3ForConditionalGeneration, found [\"MambaForCausalLM\"]"
    );
    let message = changed("llava", |folder| folder.config["vision_config"]["model_type"] = json!("pixtral"));
    assert!(
        message.starts_with("DIR/config.json: field `vision_config.model_type`: expected a vision encoder"),
        "{message}"
    );
    let message = changed("llava", |folder| folder.config["text_config"]["model_type"] = json!("mistral"));
    assert!(message.contains("supported types llama and qwen2, found \"mistral\""), "{message}");
}

#[test]
fn tensors_that_are_missing_of_another_shape_or_superfluous_are_named() {
    let name = "model.layers.1.mlp.up_proj.weight";
    let message = changed("llama", |folder| drop(folder.shapes.remove(name)));
    let expected = format!("DIR/model.safetensors: tensor `{name}`: expected a tensor of shape [96, 64], found none");
    assert_eq!(message, expected);
    let message = changed("llama", |folder| drop(folder.shapes.insert(name.into(), vec![64, 96])));
    let expected = format!("DIR/model.safetensors: tensor `{name}`: expected shape [96, 64], found [64, 96]");
    assert_eq!(message, expected);
    let message = changed("llama", |folder| drop(folder.shapes.insert("model.layers.2.mlp.x.weight".into(), vec![1])));
    let expected = "DIR/model.safetensors: tensor `model.layers.2.mlp.x.weight`: expected only tensors of the \
                    architecture, found one that would be ignored";
    assert_eq!(message, expected);
    let message = changed("llama3", |folder| drop(folder.shapes.remove("lm_head.weight")));
    assert!(message.contains("tensor `lm_head.weight`: expected a tensor of shape [280, 64], found none"), "{message}");
    let message = changed("llama", |folder| folder.dtype = Dtype::I32);
    assert!(message.ends_with("expected numbers in F32, F16 or BF16, found I32"), "{message}");
}

#[test]
fn buffers_that_hold_no_weights_are_left_out_and_counted() {
    let temporary = tempfile::tempdir().unwrap();
    let mut folder = ModelFolder::new("llama");
    folder.shapes.insert("model.layers.0.self_attn.rotary_emb.inv_freq".into(), vec![8]);
    folder.write(&temporary.path().join("in"));
    let options = options(temporary.path(), Precision::F16, Precision::F16);
    assert_eq!(run(&temporary.path().join("in"), &options).unwrap().left_out, 1);
}

#[test]
fn safetensors_that_are_cut_short_or_lie_are_refused() {
    let message = spoilt(|bytes| bytes.truncate(bytes.len() - 100));
    assert!(message.starts_with("DIR/model.safetensors: data: expected exactly the bytes"), "{message}");
    let message = spoilt(|bytes| bytes.truncate(5));
    assert_eq!(message, "DIR/model.safetensors: length of the header: expected 8 bytes, found a file of 5");
    let message = spoilt(|bytes| bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes()));
    assert!(message.contains("length of the header: expected at most the"), "{message}");
    assert!(message.ends_with(&format!("bytes that follow, found {}", u64::MAX)), "{message}");
    let message = spoilt(|bytes| bytes[8] = b'!');
    assert!(message.starts_with("DIR/model.safetensors: header: expected a sound header, found: "), "{message}");
    let lie = |from: &str, to: &str| {
        spoilt(|bytes| {
            let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).expect(from);
            bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        })
    };
    let message = lie("\"shape\":[280,64]", "\"shape\":[281,64]");
    assert!(message.starts_with("DIR/model.safetensors: header: "), "{message}");
    let message = lie("\"data_offsets\":[0,", "\"data_offsets\":[4,");
    assert!(message.starts_with("DIR/model.safetensors: header: "), "{message}");
}

#[test]
fn any_cut_and_any_changed_byte_of_a_header_is_an_answer_and_no_panic() {
    let temporary = tempfile::tempdir().unwrap();
    let (input, out) = (temporary.path().join("in"), temporary.path().join("out"));
    ModelFolder::new("llama").write(&input);
    let whole = fs::read(input.join("model.safetensors")).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    for at in (0..header).step_by(41) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x15;
        fs::write(input.join("model.safetensors"), &bytes).unwrap();
        // A byte of padding or of a number may be of no consequence.
        let _ = run(&input, &options(&out.join(at.to_string()), Precision::Q4_0, Precision::F16));
        fs::write(input.join("model.safetensors"), &whole[..at]).unwrap();
        run(&input, &options(&out, Precision::Q4_0, Precision::F16)).expect_err("a file that was cut short");
    }
}

#[test]
fn an_index_must_name_files_of_the_folder_that_hold_what_it_says() {
    let with_index = |change: &dyn Fn(&mut Value)| {
        refusal(|input| {
            ModelFolder::new("llama").write_sharded(input);
            let path = input.join("model.safetensors.index.json");
            let mut index: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            change(&mut index);
            fs::write(path, index.to_string()).unwrap();
        })
    };
    let message = with_index(&|index| index["weight_map"]["model.norm.weight"] = json!("model-00003.safetensors"));
    let expected =
        "DIR/model-00003.safetensors: file: expected a file that model.safetensors.index.json names, found none";
    assert_eq!(message, expected);
    for path in ["../in/model-00001.safetensors", "/etc/passwd", "..", ""] {
        let message = with_index(&|index| index["weight_map"]["model.norm.weight"] = json!(path));
        let expected =
            format!("field `weight_map.model.norm.weight`: expected the name of a file in the folder, found {path:?}");
        assert!(message.ends_with(&expected), "{message}");
    }
    let message = with_index(&|index| index["weight_map"]["model.norm.weight"] = json!("model-00001.safetensors"));
    assert!(
        message.contains("tensor `model.norm.weight`: expected the tensor that model.safetensors.index.json says"),
        "{message}"
    );
    let message = with_index(&|index| index["weight_map"] = json!({}));
    assert!(message.ends_with("expected 1 to 4096 files, found 0"), "{message}");
}

#[test]
fn a_folder_without_its_files_says_which_is_missing() {
    let message = refusal(|input| fs::create_dir_all(input).unwrap());
    assert_eq!(message, "DIR/config.json: file: expected the configuration of a model, found none");
    let message = refusal(|_| {});
    assert_eq!(message, "expected a folder with a Hugging Face model, found none at DIR");
    let message = refusal(|input| ModelFolder::new("llama").write_without_weights(input));
    assert!(message.starts_with("DIR/model.safetensors: file: expected weights, here or in the files of"), "{message}");
    let message = refusal(|input| {
        ModelFolder::new("llama").write(input);
        fs::remove_file(input.join("tokenizer.json")).unwrap();
    });
    assert_eq!(message, "DIR/tokenizer.json: file: expected the tokenizer of the model, found none");
    let message = refusal(|input| {
        ModelFolder::new("llama").write(input);
        fs::File::create(input.join("tokenizer_config.json")).unwrap().set_len(17 << 20).unwrap();
    });
    assert_eq!(message, "DIR/tokenizer_config.json: file: expected at most 16777216 bytes, found 17825792");
    let message = changed("smolvlm", |folder| folder.others.clear());
    assert_eq!(message, "DIR/preprocessor_config.json: file: expected how pictures are prepared, found none");
    let message = refusal(|input| {
        ModelFolder::new("llama").write(input);
        fs::write(input.join("config.json"), "{\"architectures\": [").unwrap();
    });
    assert!(message.starts_with("DIR/config.json: file: expected JSON, found EOF while parsing"), "{message}");
}

#[test]
fn hyperparameters_out_of_bounds_or_not_computed_are_refused() {
    let with = |field: &str, value: Value| changed("llama", |folder| folder.config[field] = value);
    // Four million rows of tokens are not made room for on the word of a configuration.
    let message = with("vocab_size", json!(1 << 22));
    assert!(message.ends_with("expected shape [4194304, 64], found [280, 64]"), "{message}");
    for (field, value, expected) in [
        ("num_hidden_layers", json!(1 << 20), "expected an integer from 1 to 1024, found 1048576"),
        ("hidden_size", json!(-64), "expected an integer from 0 to 4294967295, found -64"),
        ("hidden_size", json!("64"), "expected an integer from 0 to 4294967295, found \"64\""),
        ("num_key_value_heads", json!(3), "expected a divisor of the 4 heads, found 3"),
        ("rms_norm_eps", json!(0), "expected a number above 0 and at most 1, found 0"),
        ("hidden_act", json!("gelu"), "expected silu, found \"gelu\""),
        ("rope_scaling", json!({ "rope_type": "yarn" }), "scaling: default, linear, llama3, found \"yarn\""),
        ("use_sliding_window", json!(true), "expected false: attention to a window is not supported, found true"),
    ] {
        let message = with(field, value);
        assert!(message.starts_with("DIR/config.json: field `"), "{message}");
        assert!(message.ends_with(expected), "{message}");
    }
    let message = with("quantization_config", json!({ "bits": 4 }));
    assert!(message.contains("field `quantization_config`: expected weights in F32, F16 or BF16"), "{message}");
    for (field, value, expected) in [
        ("vision_feature_layer", json!([-2, -5]), "expected one layer, from 1 to 3 or from -3 to -1, found [-2,-5]"),
        ("vision_feature_select_strategy", json!("full"), "expected default: every patch gives a row"),
        ("projector_hidden_act", json!("relu"), "expected gelu, found \"relu\""),
    ] {
        let message = changed("llava", |folder| folder.config[field] = value);
        assert!(
            message.contains(&format!("DIR/config.json: field `{field}`: ")) && message.contains(expected),
            "{message}"
        );
    }
    let message = changed("smolvlm", |folder| folder.config["scale_factor"] = json!(3));
    assert!(message.ends_with("expected a divisor of the 4 patches a side, found 3"), "{message}");
}

#[test]
fn words_that_are_not_known_are_shown_and_never_guessed() {
    let message = changed("llama", |folder| {
        folder.tokenizer["pre_tokenizer"] = json!({ "type": "Whitespace" });
    });
    let expected = "DIR/tokenizer.json: field `pre_tokenizer`: expected the words of one of gpt-2, smollm, llama-bpe, \
                    qwen2, found {\"type\":\"Whitespace\"}";
    assert_eq!(message, expected);
    for (change, expected) in [
        (("add_prefix_space", json!(true)), "expected the words of one of"),
        (("use_regex", json!(false)), "expected the words of one of"),
    ] {
        let (field, value) = change;
        let message = changed("llama", |folder| {
            folder.tokenizer = byte_level("gpt-2");
            folder.tokenizer["pre_tokenizer"][field] = value;
        });
        assert!(message.contains(expected), "{message}");
    }
    let message = changed("llama", |folder| folder.tokenizer["pre_tokenizer"] = Value::Null);
    assert!(
        message.contains("field `pre_tokenizer`: expected the rule that cuts text into words, found none"),
        "{message}"
    );
    let message = changed("llama", |folder| folder.tokenizer["normalizer"] = json!({ "type": "Lowercase" }));
    assert!(message.contains("field `normalizer`: expected none, as smollm has it"), "{message}");
    let message = changed("llama", |folder| {
        folder.tokenizer = byte_level("llama-bpe");
        folder.tokenizer["model"]["ignore_merges"] = json!(false);
    });
    assert!(
        message.ends_with("field `model.ignore_merges`: expected true, as llama-bpe has it, found false"),
        "{message}"
    );
}

#[test]
fn vocabularies_that_contradict_themselves_are_refused() {
    let with = |change: &dyn Fn(&mut Value)| changed("llama", |folder| change(&mut folder.tokenizer));
    let message = with(&|tokenizer| tokenizer["model"]["type"] = json!("Unigram"));
    assert!(message.ends_with("field `model.type`: expected BPE, found \"Unigram\""), "{message}");
    let message = with(&|tokenizer| tokenizer["model"]["vocab"]["the"] = json!(280));
    assert!(
        message.contains("expected numbers below 280, the rows of the embedding table, found 280 for"),
        "{message}"
    );
    let message = with(&|tokenizer| tokenizer["model"]["vocab"]["the"] = json!(3));
    assert!(message.contains("expected a number of its own for each token"), "{message}");
    let message = with(&|tokenizer| tokenizer["model"]["merges"][0] = json!(["t", "q"]));
    assert!(
        message.contains("expected two tokens of the vocabulary that join to a third, found [\"t\",\"q\"] at 0"),
        "{message}"
    );
    let message = with(&|tokenizer| tokenizer["added_tokens"][0]["id"] = json!(4_000_000_000u32));
    assert!(message.contains("field `added_tokens[0]`: expected an id below 280"), "{message}");
    let message = with(&|tokenizer| tokenizer["added_tokens"][0]["id"] = json!(7));
    assert!(message.contains("which has this number in `model.vocab`"), "{message}");
    let message = changed("llama", |folder| folder.settings["eos_token"] = json!("<|nowhere|>"));
    assert!(
        message.ends_with("field `eos_token`: expected a token of the vocabulary, found \"<|nowhere|>\""),
        "{message}"
    );
}

#[test]
fn merges_that_no_scores_can_stand_for_are_refused() {
    let with = |change: &dyn Fn(&mut Value)| {
        changed("llama", |folder| {
            folder.settings = json!({});
            folder.tokenizer = sentence_piece();
            change(&mut folder.tokenizer);
        })
    };
    let message = with(&|tokenizer| drop(tokenizer["model"]["merges"].as_array_mut().unwrap().remove(3)));
    assert!(
        message
            .contains("expected every way to cut a token in two, as SentencePiece's merges are, found none of \"i n\""),
        "{message}"
    );
    let message = with(&|tokenizer| tokenizer["model"]["merges"].as_array_mut().unwrap().swap(5, 8));
    assert!(message.contains("expected merges sorted by what they join to"), "{message}");
    assert!(message.ends_with("found \"▁▁ ▁\" at 6, after merges of other tokens"), "{message}");
    let message = with(&|tokenizer| tokenizer["normalizer"] = Value::Null);
    assert!(
        message.contains("field `normalizer`: expected SentencePiece's spelling of spaces, found none"),
        "{message}"
    );
}
