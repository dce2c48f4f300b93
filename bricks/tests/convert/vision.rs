//! The vision halves: the names, numbers and keys that llama.cpp's `mmproj` files have.

use nanomind_bricks::{Gguf, TensorType};
use nanomind_kernels::Precision;

use crate::folder::{ModelFolder, weights};
use crate::{files_of, files_of_folder, numbers, options, run};

/// Checks that each tensor of the file holds the numbers of the checkpoint's.
fn assert_tensors(gguf: &Gguf, expected: &[(&str, &str)]) {
    for (name, source) in expected {
        let found = numbers(gguf, name);
        assert_eq!(found, weights(source, found.len()), "{name}, which is {source}");
    }
}

/// The names of a layer.
fn layer(prefix: &str, index: usize) -> Vec<(String, String)> {
    let names = [
        ("ln1", "layer_norm1"),
        ("ln2", "layer_norm2"),
        ("attn_q", "self_attn.q_proj"),
        ("attn_k", "self_attn.k_proj"),
        ("attn_v", "self_attn.v_proj"),
        ("attn_out", "self_attn.out_proj"),
        ("ffn_up", "mlp.fc1"),
        ("ffn_down", "mlp.fc2"),
    ];
    let both = |(name, source): (&str, &str)| {
        ["weight", "bias"].map(|end| {
            (format!("v.blk.{index}.{name}.{end}"), format!("{prefix}encoder.layers.{index}.{source}.{end}"))
        })
    };
    names.into_iter().flat_map(both).collect()
}

fn assert_layers(gguf: &Gguf, prefix: &str, layers: usize) {
    for index in 0..layers {
        let names = layer(prefix, index);
        let names: Vec<(&str, &str)> = names.iter().map(|(name, source)| (name.as_str(), source.as_str())).collect();
        assert_tensors(gguf, &names);
    }
    let beyond = format!("v.blk.{layers}.");
    assert!(!gguf.tensors().any(|tensor| tensor.name().starts_with(&beyond)), "there is a layer {layers}");
}

#[test]
fn llava_ends_with_the_layer_whose_rows_it_takes() {
    let files = files_of("llava", Precision::Q8_0, Precision::F32);
    let [language, vision] = &files[..] else { panic!("{} files", files.len()) };
    assert_eq!(language.architecture().unwrap(), "llama");
    assert_eq!(vision.architecture().unwrap(), "clip");
    assert_layers(vision, "vision_tower.", 2);
    assert_tensors(
        vision,
        &[
            ("v.class_embd", "vision_tower.embeddings.class_embedding"),
            ("v.patch_embd.weight", "vision_tower.embeddings.patch_embedding.weight"),
            ("v.position_embd.weight", "vision_tower.embeddings.position_embedding.weight"),
            ("v.pre_ln.weight", "vision_tower.pre_layrnorm.weight"),
            ("v.pre_ln.bias", "vision_tower.pre_layrnorm.bias"),
            ("mm.0.weight", "multi_modal_projector.linear_1.weight"),
            ("mm.0.bias", "multi_modal_projector.linear_1.bias"),
            ("mm.2.weight", "multi_modal_projector.linear_2.weight"),
            ("mm.2.bias", "multi_modal_projector.linear_2.bias"),
        ],
    );
    assert_eq!(vision.tensors().len(), 9 + 2 * 16, "nothing else, no last norm above all");
    assert_eq!(vision.tensor("v.patch_embd.weight").unwrap().dims(), [6, 6, 3, 32]);
    let size = |key: &str| vision.get_u32(&format!("clip.vision.{key}")).unwrap();
    assert_eq!((size("image_size"), size("patch_size"), size("embedding_length")), (24, 6, 32));
    assert_eq!((size("block_count"), size("feed_forward_length"), size("projection_dim")), (2, 64, 64));
    assert_eq!(vision.get_array("clip.vision.feature_layer").unwrap().to_u32s().unwrap(), [2]);
    assert_eq!(vision.get_array("clip.vision.image_mean").unwrap().to_f32s().unwrap(), [0.5, 0.25, 0.125]);
    assert_eq!(vision.get_array("clip.vision.image_std").unwrap().to_f32s().unwrap(), [0.5, 0.5, 0.25]);
    assert_eq!(vision.get_f32("clip.vision.attention.layer_norm_epsilon").unwrap(), 1e-5, "the default of CLIP");
    assert_eq!(vision.get_str("clip.projector_type").unwrap(), "mlp");
    assert!(vision.get_bool("clip.has_vision_encoder").unwrap() && !vision.get_bool("clip.use_gelu").unwrap());
    assert_eq!(vision.get_str("clip.vision.image_aspect_ratio").unwrap(), "square");
}

#[test]
fn llava_whose_processor_pads_says_so() {
    let mut folder = ModelFolder::new("llava");
    for preprocessing in folder.others.values_mut() {
        *preprocessing = preprocessing.replacen('{', "{\"do_pad\": true, ", 1);
    }
    let files = files_of_folder(&folder, "padded", Precision::Q8_0, Precision::F32);
    assert_eq!(files[1].get_str("clip.vision.image_aspect_ratio").unwrap(), "pad");
}

#[test]
fn llava_onevision_says_how_pictures_are_cut_and_keeps_its_newline() {
    let files = files_of("onevision", Precision::Q8_0, Precision::F32);
    let [language, vision] = &files[..] else { panic!("{} files", files.len()) };
    assert_eq!(language.architecture().unwrap(), "qwen2");
    assert_layers(vision, "vision_tower.", 2);
    assert_tensors(
        vision,
        &[
            ("v.image_newline", "image_newline"),
            ("v.patch_embd.bias", "vision_tower.embeddings.patch_embedding.bias"),
            ("mm.2.weight", "multi_modal_projector.linear_2.weight"),
        ],
    );
    assert!(vision.find_tensor("v.post_ln.weight").is_none(), "the rows are taken before the last norm");
    assert_eq!(vision.get_array("clip.vision.feature_layer").unwrap().to_u32s().unwrap(), [2], "the last one");
    assert_eq!(vision.get_str("clip.vision.mm_patch_merge_type").unwrap(), "spatial_unpad");
    assert_eq!(vision.get_str("clip.vision.image_aspect_ratio").unwrap(), "anyres_max_9");
    let pinpoints = vision.get_array("clip.vision.image_grid_pinpoints").unwrap().to_u32s().unwrap();
    assert_eq!(pinpoints, [24, 24, 24, 48, 48, 24]);
    assert!(vision.get_bool("clip.use_gelu").unwrap());
}

#[test]
fn smolvlm_keeps_its_last_norm_and_folds_patches() {
    let files = files_of("smolvlm", Precision::Q8_0, Precision::F16);
    let [language, vision] = &files[..] else { panic!("{} files", files.len()) };
    assert_eq!(language.architecture().unwrap(), "llama");
    assert_layers(vision, "model.vision_model.", 2);
    assert_tensors(
        vision,
        &[
            ("v.post_ln.weight", "model.vision_model.post_layernorm.weight"),
            ("mm.model.fc.weight", "model.connector.modality_projection.proj.weight"),
        ],
    );
    assert_eq!(vision.tensor("mm.model.fc.weight").unwrap().dims(), [128, 64]);
    assert_eq!(vision.get_str("clip.projector_type").unwrap(), "idefics3");
    assert_eq!(vision.get_u32("clip.vision.projector.scale_factor").unwrap(), 2);
    assert_eq!(vision.get_u32("clip.vision.preproc_image_size").unwrap(), 48);
    let kind = |name: &str| vision.tensor(name).unwrap().tensor_type();
    assert_eq!(kind("v.blk.0.attn_q.weight"), TensorType::F16);
    assert_eq!(kind("v.patch_embd.weight"), TensorType::F32, "as llama.cpp's converter has it for this family");
}

#[test]
fn each_half_has_its_own_format() {
    let files = files_of("llava", Precision::Q4_0, Precision::Q8_0);
    let kind = |file: usize, name: &str| files[file].tensor(name).unwrap().tensor_type();
    assert_eq!(kind(0, "blk.0.attn_v.weight"), TensorType::Q4_0);
    for matrix in ["v.blk.0.attn_v.weight", "mm.0.weight"] {
        assert_eq!(kind(1, matrix), TensorType::Q8_0, "{matrix}");
    }
    for plain in ["v.patch_embd.weight", "v.position_embd.weight", "v.class_embd", "v.blk.0.ln1.bias", "mm.2.bias"] {
        assert_eq!(kind(1, plain), TensorType::F32, "{plain}");
    }
    let half = files_of("llava", Precision::Q4_0, Precision::F16);
    assert_eq!(half[1].tensor("v.patch_embd.weight").unwrap().tensor_type(), TensorType::F16);
}

#[test]
fn older_and_newer_places_of_the_tensors_are_found() {
    let expected = files_of("llava", Precision::F16, Precision::F16);
    for (from, to) in [
        ("vision_tower.", "vision_tower.vision_model."),
        ("vision_tower.", "model.vision_tower."),
        ("language_model.model.", "model.language_model."),
        ("language_model.lm_head.", "lm_head."),
        ("multi_modal_projector.", "model.multi_modal_projector."),
    ] {
        let temporary = tempfile::tempdir().unwrap();
        let mut folder = ModelFolder::new("llava");
        folder.shapes = folder.shapes.iter().map(|(name, shape)| (name.replacen(from, to, 1), shape.clone())).collect();
        folder.write(&temporary.path().join("in"));
        let options = options(temporary.path(), Precision::F16, Precision::F16);
        let made =
            run(&temporary.path().join("in"), &options).unwrap_or_else(|error| panic!("{from} as {to}: {error}"));
        for (file, expected) in made.files.iter().zip(&expected) {
            let names = |gguf: &Gguf| gguf.tensors().map(|tensor| tensor.name().to_owned()).collect::<Vec<_>>();
            assert_eq!(names(&Gguf::open(&file.path).unwrap()), names(expected), "{from} as {to}");
        }
    }
}
