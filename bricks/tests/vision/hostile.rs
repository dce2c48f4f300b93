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
    refused(tiny().set("clip.projector_type", "ldpv2"), "clip.projector_type`: expected mlp, found ldpv2");
}

#[test]
fn tensors_that_are_missing_misshapen_or_unknown_are_refused() {
    refused(tiny().without("v.blk.0.ln2.bias"), "v.blk.0.ln2.bias");
    refused(tiny().tensor("v.patch_embd.weight", &[4, 4, 1, 8]), "expected shape [8, 3, 4, 4], found [8, 1, 4, 4]");
    refused(tiny().tensor("v.class_embd", &[8]), "v.position_embd.weight");
    refused(tiny().tensor("v.blk.0.ffn_down.weight", &[11, 8]), "v.blk.0.ffn_down.weight");
    refused(tiny().tensor("v.blk.0.ls1.weight", &[8]), "v.blk.0.ls1.weight");
    refused(tiny().tensor("mm.2.weight", &[9, 6]), "mm.2.weight");
    refused(tiny().tensor("model.image_newline", &[6]), "model.image_newline");
}
