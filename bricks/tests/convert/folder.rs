//! Hugging Face model folders made on the spot: the configurations of `tests/fixtures/convert_models.json` with weights
//! that come from their names, and small tokenizers. `convert_models.py` makes the same weights.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Map, Value, json};

/// Rows of every embedding table here.
pub(crate) const VOCAB: usize = 280;

/// The path of a file in `tests/fixtures`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let root = if here.ends_with("bricks") { here.join("..") } else { here };
    root.join("tests/fixtures").join(name)
}

/// The names and configurations of the models, in the order of the file.
pub(crate) fn configurations() -> Map<String, Value> {
    let text = fs::read_to_string(fixture("convert_models.json")).expect("a fixture");
    serde_json::from_str(&text).expect("an object")
}

/// The weights of a tensor, as `convert_models.py` makes them: numbers that every float format holds.
pub(crate) fn weights(name: &str, count: usize) -> Vec<f32> {
    let hash = |state: u64, byte: u8| (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
    let mut state = name.bytes().fold(0xCBF2_9CE4_8422_2325, hash);
    let next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let byte = (z ^ (z >> 31)) >> 56;
        let uniform = byte as f32 / 128.0 - 1.0;
        match (name.contains("norm") && name.ends_with("weight"), name.contains("embed_tokens")) {
            (true, _) => 1.0 + ((byte / 8) as f32 - 16.0) / 64.0,
            (_, true) => uniform,
            _ => uniform / 4.0,
        }
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// Names and shapes of the tensors of a checkpoint.
pub(crate) type Shapes = BTreeMap<String, Vec<usize>>;

/// A model folder that is being made; tests spoil it before it is written.
pub(crate) struct ModelFolder {
    pub(crate) config: Value,
    pub(crate) shapes: Shapes,
    pub(crate) tokenizer: Value,
    /// tokenizer_config.json.
    pub(crate) settings: Value,
    pub(crate) dtype: Dtype,
    /// Other files, by name.
    pub(crate) others: BTreeMap<String, String>,
}

impl ModelFolder {
    /// The model `name` of the fixtures.
    pub(crate) fn new(name: &str) -> ModelFolder {
        let config = configurations()[name].clone();
        let shapes = shapes(&config);
        let mut others = BTreeMap::new();
        if config.get("vision_config").is_some() {
            let preprocessing = json!({
                "image_mean": [0.5, 0.25, 0.125], "image_std": [0.5, 0.5, 0.25], "rescale_factor": 1.0 / 255.0,
                "size": { "longest_edge": 48 },
            });
            others.insert("preprocessor_config.json".into(), preprocessing.to_string());
        }
        let settings =
            json!({ "bos_token": "<|begin|>", "eos_token": { "content": "<|end|>" }, "chat_template": "{{ x }}" });
        ModelFolder { config, shapes, tokenizer: byte_level("smollm"), settings, dtype: Dtype::F32, others }
    }

    /// Writes all files to `folder`.
    pub(crate) fn write(&self, folder: &Path) {
        self.write_without_weights(folder);
        let names: Vec<&str> = self.shapes.keys().map(String::as_str).collect();
        fs::write(folder.join("model.safetensors"), self.safetensors(&names)).expect("a file");
    }

    /// Writes the weights to two files and an index.
    pub(crate) fn write_sharded(&self, folder: &Path) {
        self.write_without_weights(folder);
        let names: Vec<&str> = self.shapes.keys().map(String::as_str).collect();
        let (first, second) = names.split_at(names.len() / 2);
        let mut map = Map::new();
        for (file, names) in [("model-00001.safetensors", first), ("model-00002.safetensors", second)] {
            fs::write(folder.join(file), self.safetensors(names)).expect("a file");
            map.extend(names.iter().map(|name| ((*name).to_owned(), json!(file))));
        }
        let index = json!({ "metadata": { "total_size": 1 }, "weight_map": map });
        fs::write(folder.join("model.safetensors.index.json"), index.to_string()).expect("a file");
    }

    pub(crate) fn write_without_weights(&self, folder: &Path) {
        fs::create_dir_all(folder).expect("a folder");
        let files = [
            ("config.json", &self.config),
            ("tokenizer.json", &self.tokenizer),
            ("tokenizer_config.json", &self.settings),
        ];
        for (name, value) in files {
            fs::write(folder.join(name), value.to_string()).expect("a file");
        }
        for (name, text) in &self.others {
            fs::write(folder.join(name), text).expect("a file");
        }
    }

    /// The tensors `names` as a safetensors file.
    pub(crate) fn safetensors(&self, names: &[&str]) -> Vec<u8> {
        let data = |name: &str| {
            let weights = weights(name, self.shapes[name].iter().product());
            match self.dtype {
                Dtype::F16 => weights.iter().flat_map(|weight| half::f16::from_f32(*weight).to_le_bytes()).collect(),
                Dtype::BF16 => weights.iter().flat_map(|weight| half::bf16::from_f32(*weight).to_le_bytes()).collect(),
                Dtype::F32 => weights.iter().flat_map(|weight| weight.to_le_bytes()).collect(),
                // Of the right size is all that such a file is for.
                _ => vec![0u8; weights.len() * self.dtype.bitsize() / 8],
            }
        };
        let bytes: Vec<(&str, Vec<u8>)> = names.iter().map(|name| (*name, data(name))).collect();
        let mut views = Vec::new();
        for (name, bytes) in &bytes {
            let view = TensorView::new(self.dtype, self.shapes[*name].clone(), bytes).expect("bytes of its shape");
            views.push((*name, view));
        }
        safetensors::serialize(views, None).expect("a file")
    }
}

fn size(config: &Value, name: &str) -> usize {
    config[name].as_u64().unwrap_or_else(|| panic!("no {name} in {config}")) as usize
}

/// The tensors of a configuration, named as transformers saves them.
fn shapes(config: &Value) -> Shapes {
    let mut shapes = Shapes::new();
    match config["architectures"][0].as_str().expect("a class") {
        "LlamaForCausalLM" | "Qwen2ForCausalLM" => language(&mut shapes, config, "model.", "lm_head.weight"),
        "SmolVLMForConditionalGeneration" => {
            let (text, vision) = (&config["text_config"], &config["vision_config"]);
            language(&mut shapes, text, "model.text_model.", "lm_head.weight");
            encoder(&mut shapes, vision, "model.vision_model.");
            let cols = size(vision, "hidden_size") * size(config, "scale_factor").pow(2);
            let name = "model.connector.modality_projection.proj.weight".to_owned();
            shapes.insert(name, vec![size(text, "hidden_size"), cols]);
        }
        class => {
            let (text, vision) = (&config["text_config"], &config["vision_config"]);
            language(&mut shapes, text, "language_model.model.", "language_model.lm_head.weight");
            encoder(&mut shapes, vision, "vision_tower.");
            let (from, to) = (size(vision, "hidden_size"), size(text, "hidden_size"));
            for (layer, cols) in [("linear_1", from), ("linear_2", to)] {
                shapes.insert(format!("multi_modal_projector.{layer}.weight"), vec![to, cols]);
                shapes.insert(format!("multi_modal_projector.{layer}.bias"), vec![to]);
            }
            if class.contains("Onevision") {
                shapes.insert("image_newline".into(), vec![to]);
            }
        }
    }
    shapes
}

fn language(shapes: &mut Shapes, config: &Value, body: &str, head: &str) {
    let (width, wide, heads) =
        (size(config, "hidden_size"), size(config, "intermediate_size"), size(config, "num_attention_heads"));
    let head_dim = config["head_dim"].as_u64().map_or(width / heads, |head_dim| head_dim as usize);
    let (query, key) = (heads * head_dim, size(config, "num_key_value_heads") * head_dim);
    let flag = |name: &str| config[name].as_bool().unwrap_or(false);
    let is_qwen2 = config["model_type"] == "qwen2";
    shapes.insert(format!("{body}embed_tokens.weight"), vec![VOCAB, width]);
    shapes.insert(format!("{body}norm.weight"), vec![width]);
    if !flag("tie_word_embeddings") {
        shapes.insert(head.into(), vec![VOCAB, width]);
    }
    for layer in 0..size(config, "num_hidden_layers") {
        let mut projection = |name: &str, rows: usize, cols: usize, bias: bool| {
            shapes.insert(format!("{body}layers.{layer}.{name}.weight"), vec![rows, cols]);
            if bias {
                shapes.insert(format!("{body}layers.{layer}.{name}.bias"), vec![rows]);
            }
        };
        for (name, rows) in [("q_proj", query), ("k_proj", key), ("v_proj", key)] {
            projection(&format!("self_attn.{name}"), rows, width, is_qwen2 || flag("attention_bias"));
        }
        projection("self_attn.o_proj", width, query, !is_qwen2 && flag("attention_bias"));
        projection("mlp.gate_proj", wide, width, flag("mlp_bias"));
        projection("mlp.up_proj", wide, width, flag("mlp_bias"));
        projection("mlp.down_proj", width, wide, flag("mlp_bias"));
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            shapes.insert(format!("{body}layers.{layer}.{norm}.weight"), vec![width]);
        }
    }
}

fn encoder(shapes: &mut Shapes, config: &Value, prefix: &str) {
    let (width, wide) = (size(config, "hidden_size"), size(config, "intermediate_size"));
    let patch = size(config, "patch_size");
    let patches = (size(config, "image_size") / patch).pow(2);
    let is_clip = config["model_type"] == "clip_vision_model";
    let mut with_bias = |name: &str, shape: Vec<usize>, bias: bool| {
        let rows = shape[0];
        shapes.insert(format!("{prefix}{name}.weight"), shape);
        if bias {
            shapes.insert(format!("{prefix}{name}.bias"), vec![rows]);
        }
    };
    with_bias("embeddings.patch_embedding", vec![width, 3, patch, patch], !is_clip);
    with_bias("embeddings.position_embedding", vec![patches + usize::from(is_clip), width], false);
    with_bias("post_layernorm", vec![width], true);
    if is_clip {
        with_bias("pre_layrnorm", vec![width], true);
    }
    for layer in 0..size(config, "num_hidden_layers") {
        let name = |part: &str| format!("encoder.layers.{layer}.{part}");
        for part in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            with_bias(&name(&format!("self_attn.{part}")), vec![width, width], true);
        }
        with_bias(&name("mlp.fc1"), vec![wide, width], true);
        with_bias(&name("mlp.fc2"), vec![width, wide], true);
        with_bias(&name("layer_norm1"), vec![width], true);
        with_bias(&name("layer_norm2"), vec![width], true);
    }
    if is_clip {
        shapes.insert(format!("{prefix}embeddings.class_embedding"), vec![width]);
    }
}

/// The characters by which byte-level vocabularies write bytes.
fn byte_alphabet() -> Vec<char> {
    let plain = |byte: u32| matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut spare = 0x100;
    let character = |byte: u32| {
        let code = if plain(byte) { byte } else { spare };
        spare += u32::from(!plain(byte));
        char::from_u32(code).expect("a character")
    };
    (0..256).map(character).collect()
}

const CONTRACTIONS_AND_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+";
const THE_REST: &str = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// A tokenizer.json with bytes, some merges and some added tokens, whose words are cut as `words` says.
pub(crate) fn byte_level(words: &str) -> Value {
    let mut tokens: Vec<String> = byte_alphabet().into_iter().map(String::from).collect();
    let merges = [
        ["t", "h"],
        ["h", "e"],
        ["Ġ", "t"],
        ["th", "e"],
        ["Ġt", "he"],
        ["1", "2"],
        ["12", "3"],
        ["'", "s"],
        ["Ġ", "Ġ"],
    ];
    tokens.extend(merges.iter().map(|merge| merge.concat()));
    let vocab: Map<String, Value> = tokens.iter().enumerate().map(|(id, text)| (text.clone(), json!(id))).collect();
    let first = tokens.len();
    let added = ["<|begin|>", "<|end|>", "<tool>", "<|looks special|>"].iter().enumerate().map(|(at, text)| {
        json!({ "id": first + at, "content": text, "special": at < 2, "normalized": false,
            "lstrip": false, "rstrip": false, "single_word": false })
    });
    let bytes = |use_regex: bool| {
        json!({ "type": "ByteLevel", "add_prefix_space": false, "use_regex": use_regex,
        "trim_offsets": true })
    };
    let split = |digits: &str| {
        let regex = format!("{CONTRACTIONS_AND_WORDS}|{digits}|{THE_REST}");
        let split = json!({ "type": "Split", "pattern": { "Regex": regex }, "behavior": "Isolated", "invert": false });
        json!({ "type": "Sequence", "pretokenizers": [split, bytes(false)] })
    };
    let digits = json!({ "type": "Digits", "individual_digits": true });
    let rule = match words {
        "gpt-2" => bytes(true),
        "smollm" => json!({ "type": "Sequence", "pretokenizers": [digits, bytes(true)] }),
        "llama-bpe" => split(r"\p{N}{1,3}"),
        "qwen2" => split(r"\p{N}"),
        other => panic!("no words {other}"),
    };
    json!({
        "version": "1.0",
        "added_tokens": added.collect::<Vec<_>>(),
        "normalizer": if words == "qwen2" { json!({ "type": "NFC" }) } else { Value::Null },
        "pre_tokenizer": rule,
        "post_processor": null,
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": words == "llama-bpe", "vocab": vocab, "merges": merges,
        },
    })
}

/// A tokenizer.json as Hugging Face's converter makes it of Llama 2's SentencePiece model.
pub(crate) fn sentence_piece() -> Value {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).into();
    tokens.extend((0..256).map(|byte| format!("<0x{byte:02X}>")));
    // In the order of their scores: what is merged, then single characters.
    tokens.extend(["▁t", "he", "▁the", "in", "▁▁", "▁▁▁", "▁▁▁▁"].map(String::from));
    tokens.extend("▁theinqusra".chars().map(String::from));
    let mut merges = vec![["▁", "t"], ["h", "e"], ["▁t", "he"], ["i", "n"]];
    // Runs of spaces have one score, the worst: between them the longer merge goes first.
    merges.extend([["▁▁▁", "▁"], ["▁▁", "▁▁"], ["▁▁", "▁"], ["▁", "▁▁▁"], ["▁", "▁▁"], ["▁", "▁"]]);
    let vocab: Map<String, Value> = tokens.iter().enumerate().map(|(id, text)| (text.clone(), json!(id))).collect();
    let special = ["<unk>", "<s>", "</s>", "<image>"].iter().map(|text| {
        let id = tokens.iter().position(|token| token == text).unwrap_or(tokens.len());
        json!({ "id": id, "content": text, "special": true, "normalized": false, "lstrip": false, "rstrip": false,
            "single_word": false })
    });
    let around =
        json!([{ "SpecialToken": { "id": "<s>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }]);
    json!({
        "version": "1.0",
        "added_tokens": special.collect::<Vec<_>>(),
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "Prepend", "prepend": "▁" },
            { "type": "Replace", "pattern": { "String": " " }, "content": "▁" },
        ] },
        "pre_tokenizer": null,
        "post_processor": { "type": "TemplateProcessing", "single": around, "pair": around,
            "special_tokens": { "<s>": { "id": "<s>", "ids": [1], "tokens": ["<s>"] } } },
        "decoder": null,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": vocab, "merges": merges,
        },
    })
}
