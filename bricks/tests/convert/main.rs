//! Hugging Face's model folders to GGUF files, through the public face: what the files hold, what they compute, and what
//! is refused.
#![allow(clippy::unwrap_used)]

mod folder;
mod language;
mod refusals;
mod tokenizer;
mod vision;
mod writing;

use std::ops::ControlFlow;
use std::path::Path;

use nanomind_bricks::Gguf;
use nanomind_bricks::convert::{ConvertError, ConvertOptions, Converted, convert};
use nanomind_hal::Lane;
use nanomind_kernels::{Precision, dequantize};

/// What to make, into `out`, of a model called `model`.
fn options(out: &Path, language: Precision, vision: Precision) -> ConvertOptions {
    ConvertOptions { language, vision, out: out.to_owned(), name: Some("model".into()), overwrite: false }
}

fn run(folder: &Path, options: &ConvertOptions) -> Result<Converted, ConvertError> {
    convert(folder, options, &Lane::single(), &mut |_| ControlFlow::Continue(()))
}

/// Converts the fixtures' model `name` and opens its files.
fn files_of(name: &str, language: Precision, vision: Precision) -> Vec<Gguf> {
    files_of_folder(&folder::ModelFolder::new(name), name, language, vision)
}

/// The files that become of a folder.
fn files_of_folder(made: &folder::ModelFolder, name: &str, language: Precision, vision: Precision) -> Vec<Gguf> {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join(name);
    made.write(&folder);
    let converted =
        run(&folder, &options(temporary.path(), language, vision)).unwrap_or_else(|e| panic!("{name}: {e}"));
    converted.files.iter().map(|file| Gguf::open(&file.path).unwrap()).collect()
}

/// The numbers of a tensor.
fn numbers(gguf: &Gguf, name: &str) -> Vec<f32> {
    let info = gguf.tensor(name).unwrap();
    let mut out = vec![0.0; info.elements()];
    dequantize(info.format().unwrap(), gguf.tensor_bytes(info), &mut out).unwrap();
    out
}
