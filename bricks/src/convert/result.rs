//! What a conversion made.

use std::fs;
use std::path::PathBuf;

use serde::Serialize;

use super::error::ConvertError;
use super::file_plan::FilePlan;
use super::precision::Fallback;

/// The files that a conversion made.
#[derive(Debug, Clone, Serialize)]
pub struct Converted {
    /// The language model, then the vision half if there is one.
    pub files: Vec<ConvertedFile>,
    /// Tensors of the folder that no file needs: positions by number, layers after the one whose output is taken.
    pub left_out: usize,
}

/// One file that was made.
#[derive(Debug, Clone, Serialize)]
pub struct ConvertedFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it holds.
    pub architecture: String,
    /// Numbers of its tensors.
    pub parameters: u64,
    /// Its size.
    pub bytes: u64,
    /// Its size in bits over its parameters.
    pub bits_per_weight: f64,
    /// Its formats, the one with most bytes first.
    pub formats: Vec<FormatShare>,
    /// Tensors that could not have the format that was asked for.
    pub fallbacks: Vec<Fallback>,
}

/// The tensors of one format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FormatShare {
    /// The format's name.
    pub format: &'static str,
    /// How many tensors have it.
    pub tensors: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl ConvertedFile {
    /// The file at `path`, made by `plan`.
    pub(super) fn new(path: PathBuf, plan: &FilePlan) -> Result<ConvertedFile, ConvertError> {
        let size = fs::metadata(&path).map(|metadata| metadata.len());
        let bytes = size.map_err(|source| ConvertError::Write { path: path.clone(), source })?;
        let parameters: u64 = plan.tensors().iter().map(|tensor| tensor.parameters()).sum();
        let mut formats: Vec<FormatShare> = Vec::new();
        for tensor in plan.tensors() {
            let format = tensor.precision().format().name();
            match formats.iter_mut().find(|share| share.format == format) {
                Some(share) => (share.tensors, share.bytes) = (share.tensors + 1, share.bytes + tensor.bytes()),
                None => formats.push(FormatShare { format, tensors: 1, bytes: tensor.bytes() }),
            }
        }
        formats.sort_by_key(|share| std::cmp::Reverse(share.bytes));
        Ok(ConvertedFile {
            path,
            architecture: plan.architecture.clone(),
            parameters,
            bytes,
            bits_per_weight: bytes as f64 * 8.0 / parameters.max(1) as f64,
            formats,
            fallbacks: plan.fallbacks.clone(),
        })
    }
}
