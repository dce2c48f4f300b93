//! Files whose hyperparameters or tensors make no sense are refused, naming file, field, expected and found.

use std::sync::Arc;

use nanomind_bricks::vision::{Projector, VisionEncoder};
use nanomind_bricks::{Gguf, GgufWriter, TensorType, WriteValue};
use nanomind_hal::Lane;
use nanomind_kernels::Isa;

/// What a file says; a whole, tiny model until a test changes it.
struct File {
    metadata: Vec<(&'static str, WriteValue)>,
    tensors: Vec<(String, Vec<u64>)>,
}

/// One computed layer of two, 8 wide, with 2 heads and 4 patches.
fn tiny() -> File {
    let metadata: Vec<(&str, WriteValue)> = vec![
        ("general.architecture", "clip".into()),
        ("clip.projector_type", "mlp".into()),
        ("clip.vision.image_size", 8u32.into()),
        ("clip.vision.patch_size", 4u32.into()),
        ("clip.vision.embedding_length", 8u32.into()),
        ("clip.vision.feed_forward_length", 12u32.into()),
        ("clip.vision.block_count", 2u32.into()),
        ("clip.vision.attention.head_count", 2u32.into()),
        ("clip.vision.attention.layer_norm_epsilon", 1e-5f32.into()),
        ("clip.vision.image_mean", vec![0.5f32; 3].into()),
        ("clip.vision.image_std", vec![0.5f32; 3].into()),
    ];
    let shapes: [(&str, &[u64]); 14] = [
        ("v.patch_embd.weight", &[4, 4, 3, 8]),
        ("v.position_embd.weight", &[8, 4]),
        ("v.blk.0.ln1.weight", &[8]),
        ("v.blk.0.ln1.bias", &[8]),
        ("v.blk.0.ln2.weight", &[8]),
        ("v.blk.0.ln2.bias", &[8]),
        ("v.blk.0.attn_q.weight", &[8, 8]),
        ("v.blk.0.attn_k.weight", &[8, 8]),
        ("v.blk.0.attn_v.weight", &[8, 8]),
        ("v.blk.0.attn_out.weight", &[8, 8]),
        ("v.blk.0.ffn_up.weight", &[8, 12]),
        ("v.blk.0.ffn_down.weight", &[12, 8]),
        ("mm.0.weight", &[8, 10]),
        ("mm.2.weight", &[10, 6]),
    ];
    File { metadata, tensors: shapes.iter().map(|(name, dims)| ((*name).to_owned(), dims.to_vec())).collect() }
}

impl File {
    fn set(mut self, key: &'static str, value: impl Into<WriteValue>) -> File {
        self = self.without(key);
        self.metadata.push((key, value.into()));
        self
    }

    fn without(mut self, name: &str) -> File {
        self.metadata.retain(|(key, _)| *key != name);
        self.tensors.retain(|(tensor, _)| tensor != name);
        self
    }

    fn tensor(mut self, name: &str, dims: &[u64]) -> File {
        self = self.without(name);
        self.tensors.push((name.to_owned(), dims.to_vec()));
        self
    }

    /// Loads both bricks; the first error, if there is one.
    fn load(self) -> Result<(), String> {
        let mut writer = GgufWriter::empty();
        for (key, value) in self.metadata {
            writer = writer.metadata(key, value);
        }
        for (name, dims) in self.tensors {
            let elements = dims.iter().product::<u64>() as usize;
            let bytes = std::iter::repeat_n(0.5f32.to_le_bytes(), elements).flatten().collect();
            writer = writer.tensor(name, TensorType::F32, &dims, bytes);
        }
        let gguf = Arc::new(Gguf::from_bytes("tiny.gguf", writer.to_bytes()).unwrap());
        let (isa, lane) = (Isa::detect(), Lane::single());
        VisionEncoder::load(&gguf, isa, &lane, &mut |_| {}).map_err(|error| error.to_string())?;
        Projector::load(&gguf, isa, &lane, &mut |_| {}).map_err(|error| error.to_string())?;
        Ok(())
    }
}

#[track_caller]
fn refused(file: File, message: &str) {
    let error = file.load().expect_err("an error");
    assert!(error.contains(message), "expected an error with `{message}`, found `{error}`");
    assert!(error.starts_with("tiny.gguf: "), "the file is not named: {error}");
}

#[test]
fn the_tiny_file_is_whole_and_layers_that_nobody_reads_are_passed_over() {
    assert_eq!(tiny().load(), Ok(()));
    assert_eq!(tiny().tensor("v.blk.1.anything", &[3]).load(), Ok(()));
}

#[test]
fn hyperparameters_out_of_bounds_are_refused() {
    refused(tiny().set("general.architecture", "llama"), "general.architecture`: expected clip, found llama");
    refused(tiny().set("clip.has_vision_encoder", false), "clip.has_vision_encoder`: expected true");
    refused(tiny().set("clip.vision.image_size", 0u32), "image_size`: expected an integer from 1 to 4096, found 0");
    refused(tiny().set("clip.vision.image_size", u32::MAX), "image_size`: expected");
    refused(tiny().set("clip.vision.patch_size", 9u32), "patch_size`: expected an integer from 1 to 8, found 9");
    refused(tiny().set("clip.vision.image_size", 16u32), "v.position_embd.weight");
    let many = tiny().set("clip.vision.image_size", 4096u32).set("clip.vision.patch_size", 2u32);
    refused(many, "patch_size`: expected a size that makes at most 16384 patches");
    refused(tiny().set("clip.vision.attention.head_count", 3u32), "head_count`: expected a divisor of");
    refused(tiny().set("clip.vision.attention.layer_norm_epsilon", 0.0f32), "layer_norm_epsilon`: expected");
    refused(tiny().set("clip.vision.image_mean", vec![0.5f32; 2]), "image_mean`: expected three numbers");
    refused(tiny().set("clip.vision.image_std", vec![0.0f32; 3]), "image_std`: expected three numbers");
    refused(tiny().set("clip.vision.feature_layer", vec![3u32]), "feature_layer`: expected one layer from 0 to 2");
    refused(tiny().set("clip.vision.feature_layer", vec![0u32, 1]), "feature_layer`: expected one layer");
    refused(tiny().set("clip.use_gelu", true).set("clip.use_silu", true), "use_silu`: expected one activation");
    let other = "clip.projector_type`: expected mlp, idefics3, ldpv2, found resampler";
    refused(tiny().set("clip.projector_type", "resampler"), other);
}

#[test]
fn ways_to_cut_pictures_that_make_no_sense_are_refused_before_anything_is_sized_by_them() {
    let aspect = |text: &str| tiny().set("clip.vision.image_aspect_ratio", text);
    let anyres = |sizes: Vec<u32>| aspect("anyres").set("clip.vision.image_grid_pinpoints", sizes);
    refused(aspect("wide"), "image_aspect_ratio`: expected square, pad or anyres, found wide");
    let pairs = "image_grid_pinpoints`: expected 1 to 256 pairs of height and width, found";
    refused(aspect("anyres"), &format!("{pairs} 0 numbers"));
    refused(anyres(vec![8, 8, 16]), &format!("{pairs} 3 numbers"));
    refused(anyres(vec![8; 514]), &format!("{pairs} 514 numbers"));
    let multiples = "image_grid_pinpoints`: expected multiples of the image_size of 8 that make at most 256 tiles";
    for pair in [[8, 0], [8, 12], [u32::MAX, 8], [8, 8 * 257], [8 * 32, 8 * 32]] {
        refused(anyres(vec![8, 8, pair[0], pair[1]]), multiples);
    }
    let merge = |kind: &str| anyres(vec![8, 16]).set("clip.vision.mm_patch_merge_type", kind);
    refused(merge("unpad"), "mm_patch_merge_type`: expected flat or spatial_unpad, found unpad");
    refused(merge("spatial_unpad"), "tensor `v.image_newline`");
    refused(merge("spatial_unpad").tensor("v.image_newline", &[7]), "v.image_newline`: expected shape [6], found [7]");
    assert_eq!(merge("spatial_unpad").tensor("model.image_newline", &[6]).load(), Ok(()));
    for limit in ["anyres_max_", "anyres_max_0", "anyres_max_257", "anyres_max_-1", "anyres_max_9.5"] {
        let file = merge("spatial_unpad").set("clip.vision.image_aspect_ratio", limit);
        refused(file, "image_aspect_ratio`: expected anyres_max_ and a number from 1 to 256, found");
    }
}

/// The tiny file with Idefics3's projector of blocks of 2 by 2 patches.
fn shuffled() -> File {
    let file = tiny().without("mm.0.weight").without("mm.2.weight").without("clip.projector_type");
    let file = file.set("clip.projector_type", "idefics3").set("clip.vision.projector.scale_factor", 2u32);
    let blocks = ["ln1.weight", "ln1.bias", "ln2.weight", "ln2.bias"].map(|name| (name, vec![8]));
    let squares = ["attn_q", "attn_k", "attn_v", "attn_out"].map(|name| (name, vec![8, 8]));
    let mut file = file.tensor("mm.model.fc.weight", &[32, 6]);
    for (name, dims) in blocks {
        file = file.tensor(&format!("v.blk.1.{name}"), &dims);
    }
    for (name, dims) in squares {
        file = file.tensor(&format!("v.blk.1.{name}.weight"), &dims);
    }
    file.tensor("v.blk.1.ffn_up.weight", &[8, 12]).tensor("v.blk.1.ffn_down.weight", &[12, 8])
}

#[test]
fn blocks_and_tiles_of_idefics3_that_make_no_sense_are_refused() {
    assert_eq!(shuffled().load(), Ok(()));
    let scale = |scale: u32| shuffled().set("clip.vision.projector.scale_factor", scale);
    refused(scale(0), "projector.scale_factor`: expected an integer from 1 to 64, found 0");
    refused(scale(65), "projector.scale_factor`: expected an integer from 1 to 64, found 65");
    refused(scale(3), "projector.scale_factor`: expected whole blocks of 3 by 3 patches, found 2 patches a side");
    refused(scale(1), "tensor `mm.model.fc.weight`: expected shape [6, 8], found [6, 32]");
    let longest = |longest: u32| shuffled().set("clip.vision.preproc_image_size", longest);
    refused(longest(0), "preproc_image_size`: expected an integer from 1 to 4096, found 0");
    refused(longest(4097), "preproc_image_size`: expected an integer from 1 to 4096, found 4097");
    refused(longest(1000), "preproc_image_size`: expected at most 256 tiles of 8 by 8 pixels, found 1000, which");
    refused(shuffled().without("mm.model.fc.weight"), "tensor `mm.model.fc.weight`");
    refused(shuffled().tensor("mm.0.weight", &[8, 6]), "mm.0.weight");
}

#[test]
fn the_convolution_of_mobilevlm_must_have_its_shape() {
    let convolved = || {
        let file = tiny().without("mm.0.weight").without("mm.2.weight").without("clip.projector_type");
        let file = file.set("clip.projector_type", "ldpv2").tensor("mm.model.mlp.0.weight", &[8, 10]);
        let file = file.tensor("mm.model.mlp.2.weight", &[10, 6]).tensor("mm.model.peg.0.bias", &[6]);
        file.tensor("mm.model.peg.0.weight", &[3, 3, 1, 6])
    };
    assert_eq!(convolved().load(), Ok(()));
    let other = convolved().tensor("mm.model.peg.0.weight", &[3, 3, 6, 1]);
    refused(other, "mm.model.peg.0.weight`: expected shape [6, 1, 3, 3], found [1, 6, 3, 3]");
    let odd = convolved().set("clip.vision.image_size", 12u32).tensor("v.position_embd.weight", &[8, 9]);
    refused(odd, "patch_size`: expected whole blocks of 2 by 2 patches, found 3 patches a side");
}

#[test]
fn projections_that_early_converters_exchanged_are_set_right() {
    let exchanged = tiny().tensor("v.blk.0.ffn_up.weight", &[12, 8]).tensor("v.blk.0.ffn_down.weight", &[8, 12]);
    assert_eq!(exchanged.load(), Ok(()));
}

#[test]
fn tensors_that_are_missing_misshapen_or_unknown_are_refused() {
    refused(tiny().without("v.blk.0.ln2.bias"), "v.blk.0.ln2.bias");
    refused(tiny().tensor("v.patch_embd.weight", &[4, 4, 1, 8]), "expected shape [8, 3, 4, 4], found [8, 1, 4, 4]");
    refused(tiny().tensor("v.class_embd", &[8]), "v.position_embd.weight");
    refused(tiny().tensor("v.blk.0.ffn_down.weight", &[11, 8]), "v.blk.0.ffn_down.weight");
    refused(tiny().tensor("v.blk.0.ls1.weight", &[8]), "v.blk.0.ls1.weight");
    refused(tiny().tensor("mm.2.weight", &[9, 6]), "mm.2.weight");
    // As llama.cpp, which does not read the learned row where tiles are merged flat.
    assert_eq!(tiny().tensor("model.image_newline", &[6]).load(), Ok(()));
}
