//! A model file, and what a token of it costs whoever computes it.

use std::path::{Path, PathBuf};

use nanomind_bricks::Gguf;
use nanomind_bricks::shape::LanguageShape;
use nanomind_kernels::Format;

use crate::failure::Failure;

/// A model that every program is given.
#[derive(Debug)]
pub(crate) struct Model {
    path: PathBuf,
    shape: LanguageShape,
    integers: bool,
}

impl Model {
    /// Reads the header of the file at `path`.
    pub(crate) fn open(path: &Path) -> Result<Model, Failure> {
        let failed = |error| Failure::of("this model cannot be measured", error);
        let gguf = Gguf::open(path).map_err(failed)?;
        let shape = LanguageShape::of_gguf(&gguf).map_err(failed)?;
        let float = |format| matches!(format, Some(Format::F32 | Format::F16 | Format::Bf16));
        let weights = |floats: bool| {
            let matrices = gguf.tensors().filter(|tensor| tensor.dims().len() == 2);
            let those = matrices.filter(|tensor| float(tensor.tensor_type().format()) == floats);
            those.map(|tensor| tensor.elements() as u64).sum::<u64>()
        };
        Ok(Model { path: path.to_owned(), shape, integers: weights(false) > weights(true) })
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file's name without its ending.
    pub(crate) fn name(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Whether most of its weights are quantised.
    pub(crate) fn is_of_integers(&self) -> bool {
        self.integers
    }

    /// Bytes of the weights that a token takes, as the file has them.
    pub(crate) fn weight_bytes(&self) -> u64 {
        self.shape.load().bytes
    }

    /// Bytes that a token of `tokens` decoded from an empty context reads on average: weights as the file has them, and
    /// keys and values in F16. Whoever unpacks weights to more bytes reads more; that is no work that had to be done.
    pub(crate) fn bytes_of_a_decoded_token(&self, tokens: usize) -> f64 {
        self.weight_bytes() as f64 + self.shape.kv_bytes(tokens) as f64 / 2.0
    }

    /// Operations that a token takes in a prefill of `tokens`, a multiplication and an addition counted as two.
    pub(crate) fn operations_of_a_read_token(&self, tokens: usize) -> f64 {
        self.shape.prefill(tokens, 0).flops as f64 / tokens.max(1) as f64
    }
}
