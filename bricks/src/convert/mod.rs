//! Hugging Face's model folders to GGUF files that nanomind runs, and llama.cpp where it knows the architecture.
//!
//! [`convert()`] reads `config.json`, safetensors (whole or in shards) and `tokenizer.json`, and writes the language model
//! and, of a vision-language model, an `mmproj` file beside it. Everything is planned and checked before the first byte
//! is written: names and shapes of all tensors, hyperparameters, the rule that cuts text into words. Weights then go
//! from the mapped file to the disk a few megabytes at a time, so that no model has to fit in memory.
//!
//! A folder that is not understood is an error that says where and why. There is no tensor that is left out in silence,
//! and no rule that is guessed.

mod checkpoint;
mod error;
mod file_plan;
mod json;
mod language;
mod output;
mod plan;
mod precision;
mod result;
mod rope;
mod section;
mod tensors;
mod vision;
mod vocabulary;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use nanomind_hal::Lane;
use nanomind_kernels::Precision;

use crate::gguf::Gguf;
use crate::language::LanguageConfig;
use crate::tokenizer::Tokenizer;

pub use error::{ConvertError, InputError, InputProblem};
pub use precision::Fallback;
pub use result::{Converted, ConvertedFile, FormatShare};

use file_plan::FilePlan;
use output::PartFile;
use plan::Plan;

/// What to make of a folder, and where.
#[derive(Debug, Clone)]
pub struct ConvertOptions {
    /// Format of the language model's matrices.
    pub language: Precision,
    /// Format of the vision half's matrices.
    pub vision: Precision,
    /// The folder that the files go to; it is made where there is none.
    pub out: PathBuf,
    /// The name of the files, without an ending; the folder's own by default.
    pub name: Option<String>,
    /// Whether files that are there already are replaced.
    pub overwrite: bool,
}

/// How far a conversion has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvertProgress {
    /// Bytes of tensors that are written.
    pub done_bytes: u64,
    /// Bytes of all tensors.
    pub total_bytes: u64,
}

/// Converts the model in `folder`, on the threads of `lane`. `progress` hears of every few megabytes and may break off.
///
/// The files appear when all of them are whole, or not at all.
///
/// # Errors
/// The folder holds no model that is known here, or a broken one; a file is there already; the disk refuses; or
/// `progress` broke off.
pub fn convert(
    folder: &Path,
    options: &ConvertOptions,
    lane: &Lane,
    progress: &mut dyn FnMut(ConvertProgress) -> ControlFlow<()>,
) -> Result<Converted, ConvertError> {
    if !folder.is_dir() {
        return Err(ConvertError::NoFolder { path: folder.to_owned() });
    }
    let name = options.name.clone().unwrap_or_else(|| name_of(folder));
    let Plan { checkpoint, files, left_out } = Plan::make(folder, &name, options)?;
    let failed = |source| ConvertError::Write { path: options.out.clone(), source };
    fs::create_dir_all(&options.out).map_err(failed)?;
    let targets = [format!("{name}.gguf"), format!("mmproj-{name}.gguf")];
    let parts =
        targets.iter().zip(&files).map(|(target, _)| PartFile::create(options.out.join(target), options.overwrite));
    let mut parts = parts.collect::<Result<Vec<PartFile>, ConvertError>>()?;
    let total_bytes = files.iter().map(FilePlan::bytes).sum();
    let mut done_bytes = 0;
    for (part, plan) in parts.iter_mut().zip(&files) {
        plan.write(part, &checkpoint, lane, &mut |bytes| {
            done_bytes += bytes;
            progress(ConvertProgress { done_bytes, total_bytes })
        })?;
    }
    if let [language, ..] = parts.as_slice() {
        check_language(language.path())?;
    }
    let mut made = Vec::new();
    for (part, plan) in parts.into_iter().zip(&files) {
        let target = part.target().to_owned();
        part.publish()?;
        made.push(ConvertedFile::new(target, plan)?);
    }
    Ok(Converted { files: made, left_out })
}

/// The name of the folder, also where it is given as `.`.
fn name_of(folder: &Path) -> String {
    let whole = folder.canonicalize();
    let name = whole.as_deref().unwrap_or(folder).file_name();
    name.map_or("model".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Reads back what was written, as a run would.
fn check_language(path: &Path) -> Result<(), ConvertError> {
    let refused = |source: Box<dyn std::error::Error + Send + Sync>| ConvertError::ReadBack { source };
    let gguf = Gguf::open(path).map_err(|error| refused(error.into()))?;
    LanguageConfig::from_gguf(&gguf).map_err(|error| refused(error.into()))?;
    Tokenizer::from_gguf(&gguf).map_err(|error| refused(error.into()))?;
    Ok(())
}
