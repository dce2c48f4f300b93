//! The shape that a header gives is that of the loaded model.

use std::path::PathBuf;
use std::sync::Arc;

use nanomind_bricks::Gguf;
use nanomind_bricks::language::LanguageModel;
use nanomind_bricks::shape::{LanguageShape, ModelShape};
use nanomind_hal::Lane;
use nanomind_kernels::{Isa, KvFormat};

use crate::fixture::{self, MODELS};

#[test]
fn a_header_gives_the_shape_of_the_model_that_is_loaded() {
    let shipped: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "..", "examples", "models", "scene", "scene.gguf"].iter().collect();
    let shipped = Arc::new(Gguf::open(shipped).unwrap());
    for gguf in MODELS.iter().map(|(name, _)| fixture::gguf(name)).chain([shipped]) {
        let header = LanguageShape::of_gguf(&gguf).unwrap();
        assert_eq!(ModelShape::of_gguf(&gguf).unwrap(), ModelShape::Language(header));
        let model = LanguageModel::load(&gguf, Isa::detect(), &Lane::single(), &mut |_| {}).unwrap();
        assert_eq!(header, model.shape(), "{}", gguf.file());
        assert_eq!(header.kv_bytes(3), 3 * model.config().kv_geometry().position_bytes(KvFormat::F16).unwrap() as u64);
        // What loading reads is the file's tensors, but for a table whose rows are looked up one by one.
        let table = gguf.tensor("token_embd.weight").unwrap().byte_len() as u64;
        let left = if model.is_tied() { 0 } else { table };
        assert_eq!(header.load().bytes, model.file_bytes() - left, "{}", gguf.file());
    }
}
