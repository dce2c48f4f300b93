//! Takes the weights of a model out of its file, tensor by tensor, and to the backend that computes with them.

use std::collections::HashSet;
use std::sync::Arc;

use nanomind_hal::Lane;
use nanomind_kernels::backend::Part;
use nanomind_kernels::{self as kernels, Backend, BackendError, Cpu, Format};

use crate::gguf::{Gguf, GgufError, GgufProblem, TensorInfo};

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A field or tensor of the file is missing, out of bounds or contradicts another.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The kernels refuse a tensor, or the device it goes to does.
    #[error("{file}: tensor `{tensor}`: {source}")]
    Pack {
        /// The model file.
        file: String,
        /// Name of the tensor.
        tensor: String,
        /// What the kernels expected.
        source: BackendError,
    },
    /// The file holds a tensor that this model has no use for.
    #[error("{file}: tensor `{tensor}`: expected only tensors of the architecture, found one that would be ignored")]
    UnknownTensor {
        /// The model file.
        file: String,
        /// Name of the tensor.
        tensor: String,
    },
}

/// How far loading has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadProgress {
    /// Bytes of the file that are packed.
    pub done_bytes: u64,
    /// Bytes of all tensors.
    pub total_bytes: u64,
}

/// Whether a projection has a bias.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bias {
    Required,
    Optional,
}

/// A projection in a file, checked.
struct Found {
    /// Name of the tensor of its weights.
    name: String,
    info: TensorInfo,
    format: Format,
    rows: usize,
    cols: usize,
    bias: Option<Vec<f32>>,
}

impl Found {
    fn part<'a>(&self, gguf: &'a Gguf) -> Part<'a> {
        let Found { format, rows, cols, .. } = *self;
        Part { format, rows, cols, bytes: gguf.tensor_bytes(&self.info), bias: self.bias.clone() }
    }
}

/// Takes tensors out of a file one by one and remembers which.
pub(crate) struct Loader<'a, B: Backend = Cpu> {
    gguf: &'a Arc<Gguf>,
    backend: &'a B,
    lane: &'a Lane,
    /// Whether a tensor of this name is one that is loaded here.
    ours: fn(&str) -> bool,
    used: HashSet<String>,
    done_bytes: u64,
    total_bytes: u64,
    /// Format and number of weights of each projection so far.
    projections: Vec<(Format, usize)>,
    progress: &'a mut dyn FnMut(LoadProgress),
}

impl<'a, B: Backend> Loader<'a, B> {
    /// A loader of the tensors that are `ours`; one of them that is never asked for is an error in the end.
    pub(crate) fn new(
        gguf: &'a Arc<Gguf>,
        backend: &'a B,
        lane: &'a Lane,
        ours: fn(&str) -> bool,
        progress: &'a mut dyn FnMut(LoadProgress),
    ) -> Loader<'a, B> {
        let total_bytes = gguf.tensors().filter(|info| ours(info.name())).map(|info| info.byte_len() as u64).sum();
        Loader {
            gguf,
            backend,
            lane,
            ours,
            used: HashSet::new(),
            done_bytes: 0,
            total_bytes,
            projections: Vec::new(),
            progress,
        }
    }

    /// The file.
    pub(crate) fn gguf(&self) -> &'a Arc<Gguf> {
        self.gguf
    }

    /// Passes over the tensors whose names begin with `prefix`: they are known, and of no use here.
    pub(crate) fn pass_over(&mut self, prefix: &str) {
        let names = self.gguf.tensors().map(TensorInfo::name).filter(|name| name.starts_with(prefix));
        self.used.extend(names.map(str::to_owned));
    }

    /// Whether the file has the tensor `name`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.gguf.find_tensor(name).is_some()
    }

    /// The tensor `name`, whose shape must be `[rows, cols]`.
    pub(crate) fn tensor(&mut self, name: &str, rows: usize, cols: usize) -> Result<(TensorInfo, Format), ModelError> {
        let info = self.gguf.tensor(name)?.clone();
        let dims = info.dims();
        let flat = rows == 1 && dims.len() == 1;
        if info.cols() != cols || info.rows() != rows || !(flat || dims.len() == 2) {
            let expected = if rows == 1 { format!("shape [{cols}]") } else { format!("shape [{rows}, {cols}]") };
            let found: Vec<u64> = dims.iter().rev().copied().collect();
            return Err(self.wrong(name, expected, format!("{found:?}")));
        }
        self.take(name, info)
    }

    /// Marks a tensor of the right shape as used and finds its format.
    fn take(&mut self, name: &str, info: TensorInfo) -> Result<(TensorInfo, Format), ModelError> {
        let Some(format) = info.tensor_type().format() else {
            let found = info.tensor_type().name().to_owned();
            return Err(self.wrong(name, "a type that there are kernels for".into(), found));
        };
        self.used.insert(name.to_owned());
        Ok((info, format))
    }

    /// An error about the tensor `name`.
    pub(crate) fn wrong(&self, name: &str, expected: String, found: String) -> ModelError {
        GgufError::new(self.gguf.file(), format!("tensor `{name}`"), GgufProblem::Inconsistent { expected, found })
            .into()
    }

    /// A tensor of `len` numbers as f32, on the backend.
    pub(crate) fn vector(&mut self, name: &str, len: usize) -> Result<B::Vector, ModelError> {
        let numbers = self.numbers(name, 1, len)?;
        self.backend.vector(numbers).map_err(|source| self.refused(name, source))
    }

    /// A tensor `[rows, cols]` of numbers as f32, on the host.
    pub(crate) fn numbers(&mut self, name: &str, rows: usize, cols: usize) -> Result<Vec<f32>, ModelError> {
        let (info, format) = self.tensor(name, rows, cols)?;
        self.dequantize(name, &info, format)
    }

    fn dequantize(&mut self, name: &str, info: &TensorInfo, format: Format) -> Result<Vec<f32>, ModelError> {
        let mut out = vec![0.0; info.elements()];
        kernels::dequantize(format, self.gguf.tensor_bytes(info), &mut out)
            .map_err(|source| self.refused(name, source.into()))?;
        if let Some(found) = out.iter().find(|number| !number.is_finite()) {
            return Err(self.wrong(name, "finite numbers".into(), format!("{found}")));
        }
        self.advance(info);
        Ok(out)
    }

    /// The projection `NAME.weight` `[rows, cols]` with its bias `NAME.bias` `[rows]`.
    pub(crate) fn linear(&mut self, name: &str, rows: usize, cols: usize, bias: Bias) -> Result<B::Linear, ModelError> {
        let found = self.find(name, rows, cols, bias)?;
        self.take_linear(found)
    }

    /// Projections of rows of `cols` values to queries, keys and values, as [`Loader::linear`] finds them.
    pub(crate) fn attention(
        &mut self,
        parts: [(&str, usize); 3],
        cols: usize,
        bias: Bias,
    ) -> Result<B::Attention, ModelError> {
        let [query, key, value] = parts.map(|(name, rows)| self.find(name, rows, cols, bias));
        let found = [query?, key?, value?];
        let (gguf, backend, lane) = (self.gguf, self.backend, self.lane);
        let parts = found.each_ref().map(|found| found.part(gguf));
        let mut taken = 0;
        let taken_to = backend.attention(lane, parts, &mut || self.taken(&found, &mut taken));
        taken_to.map_err(|source| self.refused(&found[taken.min(2)].name, source))
    }

    /// Projections of rows of `cols` values to a gate and what it lets through, as [`Loader::linear`] finds them.
    pub(crate) fn gate(&mut self, names: [&str; 2], rows: usize, cols: usize) -> Result<B::Gate, ModelError> {
        let [gate, up] = names.map(|name| self.find(name, rows, cols, Bias::Optional));
        let found = [gate?, up?];
        let (gguf, backend, lane) = (self.gguf, self.backend, self.lane);
        let parts = found.each_ref().map(|found| found.part(gguf));
        let mut taken = 0;
        let taken_to = backend.gate(lane, parts, &mut || self.taken(&found, &mut taken));
        taken_to.map_err(|source| self.refused(&found[taken.min(1)].name, source))
    }

    /// Another of `found` was taken.
    fn taken(&mut self, found: &[Found], taken: &mut usize) {
        if let Some(found) = found.get(*taken) {
            self.gguf.release_tensor(&found.info);
            self.advance(&found.info);
        }
        *taken += 1;
    }

    /// The format that most weights of the projections from the `first` taken on have.
    pub(crate) fn main_format(&self, first: usize) -> Format {
        let projections = self.projections.get(first..).unwrap_or_default();
        let weights = |format| projections.iter().filter(|(other, _)| *other == format).map(|(_, count)| count).sum();
        let formats = projections.iter().map(|(format, _)| *format);
        formats.max_by_key(|format| -> usize { weights(*format) }).unwrap_or(Format::F32)
    }

    /// The convolution `NAME.weight` `[rows, channels, size, size]` with steps of its size and its bias `NAME.bias`, as
    /// a projection of unfolded patches, `[channels, size, size]` each.
    pub(crate) fn convolution(
        &mut self,
        name: &str,
        rows: usize,
        channels: usize,
        size: usize,
    ) -> Result<B::Linear, ModelError> {
        let weight = format!("{name}.weight");
        let info = self.gguf.tensor(&weight)?.clone();
        let expected = [rows, channels, size, size].map(|side| side as u64);
        let found: Vec<u64> = info.dims().iter().rev().copied().collect();
        if found != expected {
            return Err(self.wrong(&weight, format!("shape {expected:?}"), format!("{found:?}")));
        }
        let (info, format) = self.take(&weight, info)?;
        let bias = self.bias(name, rows, Bias::Optional)?;
        self.take_linear(Found { name: weight, info, format, rows, cols: channels * size * size, bias })
    }

    /// The weights of a convolution of each channel by itself, `[channels, 1, size, size]`, as f32.
    pub(crate) fn depthwise(&mut self, name: &str, channels: usize, size: usize) -> Result<Vec<f32>, ModelError> {
        let info = self.gguf.tensor(name)?.clone();
        let expected = [channels, 1, size, size].map(|side| side as u64);
        let found: Vec<u64> = info.dims().iter().rev().copied().collect();
        if found != expected {
            return Err(self.wrong(name, format!("shape {expected:?}"), format!("{found:?}")));
        }
        let (info, format) = self.take(name, info)?;
        self.dequantize(name, &info, format)
    }

    /// The projection `NAME.weight` `[rows, cols]` with its bias, as it lies in the file.
    fn find(&mut self, name: &str, rows: usize, cols: usize, bias: Bias) -> Result<Found, ModelError> {
        let weight = format!("{name}.weight");
        let (info, format) = self.tensor(&weight, rows, cols)?;
        self.projections.push((format, rows * cols));
        Ok(Found { name: weight, info, format, rows, cols, bias: self.bias(name, rows, bias)? })
    }

    fn bias(&mut self, name: &str, rows: usize, bias: Bias) -> Result<Option<Vec<f32>>, ModelError> {
        let name = format!("{name}.bias");
        match bias == Bias::Required || self.has(&name) {
            true => self.numbers(&name, 1, rows).map(Some),
            false => Ok(None),
        }
    }

    fn take_linear(&mut self, found: Found) -> Result<B::Linear, ModelError> {
        let taken = self.backend.linear(self.lane, found.part(self.gguf));
        let linear = taken.map_err(|source| self.refused(&found.name, source))?;
        self.gguf.release_tensor(&found.info);
        self.advance(&found.info);
        Ok(linear)
    }

    fn refused(&self, tensor: &str, source: BackendError) -> ModelError {
        ModelError::Pack { file: self.gguf.file().to_owned(), tensor: tensor.to_owned(), source }
    }

    fn advance(&mut self, info: &TensorInfo) {
        self.done_bytes += info.byte_len() as u64;
        (self.progress)(LoadProgress { done_bytes: self.done_bytes, total_bytes: self.total_bytes });
    }

    /// A tensor that nothing uses would silently change the answers: so it is an error.
    pub(crate) fn refuse_unknown(&self) -> Result<(), ModelError> {
        match self.gguf.tensors().find(|info| (self.ours)(info.name()) && !self.used.contains(info.name())) {
            Some(info) => {
                Err(ModelError::UnknownTensor { file: self.gguf.file().to_owned(), tensor: info.name().to_owned() })
            }
            None => Ok(()),
        }
    }
}
