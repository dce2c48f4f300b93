//! One file of the result, planned to the byte before anything is written, and then written tensor by tensor.

use std::io::Write;
use std::ops::ControlFlow;

use nanomind_hal::Lane;
use nanomind_kernels::{self as kernels, Precision};

use super::checkpoint::{Checkpoint, Source, Taken};
use super::error::{ConvertError, InputError, InputProblem};
use super::output::PartFile;
use super::precision::{Fallback, Precisions, tensor_type};
use super::tensors::{RowOrder, Wanted};
use crate::gguf::{GgufStream, GgufWriter};

/// Numbers that are converted at a time: 4 MB of them.
const AT_A_TIME: usize = 1 << 20;

/// A file that is to be written.
pub(super) struct FilePlan {
    writer: GgufWriter,
    tensors: Vec<PlannedTensor>,
    /// What the file holds, for people: `llama`, `clip (mlp)`.
    pub(super) architecture: String,
    pub(super) fallbacks: Vec<Fallback>,
}

/// A tensor and how it gets into the file.
pub(super) struct PlannedTensor {
    from: From,
    rows: usize,
    /// Numbers of a row.
    width: usize,
    order: RowOrder,
    precision: Precision,
}

/// Where the numbers of a tensor are.
enum From {
    Checkpoint(Taken),
    /// Made here; single precision.
    Made(Vec<f32>),
}

impl PlannedTensor {
    pub(super) fn precision(&self) -> Precision {
        self.precision
    }

    pub(super) fn parameters(&self) -> u64 {
        (self.rows * self.width) as u64
    }

    pub(super) fn bytes(&self) -> u64 {
        self.precision.format().row_bytes(self.width).unwrap_or(0) as u64 * self.rows as u64
    }
}

impl FilePlan {
    /// A file with this metadata and, so far, no tensors.
    pub(super) fn new(writer: GgufWriter, architecture: String) -> FilePlan {
        FilePlan { writer, tensors: Vec::new(), architecture, fallbacks: Vec::new() }
    }

    /// Adds metadata.
    pub(super) fn describe(&mut self, add: impl FnOnce(GgufWriter) -> GgufWriter) {
        self.writer = add(std::mem::replace(&mut self.writer, GgufWriter::empty()));
    }

    /// Takes the wanted tensors out of the checkpoint.
    pub(super) fn take(
        &mut self,
        checkpoint: &mut Checkpoint,
        wanted: Vec<Wanted>,
        precisions: Precisions,
    ) -> Result<(), InputError> {
        for Wanted { source, name, shape, order, part } in wanted {
            let taken = checkpoint.take(&source, &shape)?;
            let contiguous = shape.last().copied().unwrap_or(1);
            let (precision, as_wanted) = precisions.of(part, contiguous);
            if !as_wanted {
                let wanted = precisions.of(part, 0).0.format().name();
                let written = precision.format().name();
                self.fallbacks.push(Fallback { tensor: name.clone(), width: contiguous, wanted, written });
            }
            // The rows of a vector are its numbers where their order changes; else it is one row.
            let rows = if shape.len() > 1 || order != RowOrder::Same { shape[0] } else { 1 };
            let width = shape.iter().product::<usize>() / rows;
            self.add(&name, &shape, PlannedTensor { from: From::Checkpoint(taken), rows, width, order, precision })?;
        }
        Ok(())
    }

    /// Adds a vector that is no tensor of the checkpoint.
    pub(super) fn make(&mut self, name: &str, numbers: Vec<f32>) -> Result<(), InputError> {
        let (shape, width) = ([numbers.len()], numbers.len());
        let (order, precision) = (RowOrder::Same, Precision::F32);
        self.add(name, &shape, PlannedTensor { from: From::Made(numbers), rows: 1, width, order, precision })
    }

    fn add(&mut self, name: &str, shape: &[usize], tensor: PlannedTensor) -> Result<(), InputError> {
        // The contiguous dimension first.
        let dims: Vec<u64> = shape.iter().rev().map(|dim| *dim as u64).collect();
        let writer = std::mem::replace(&mut self.writer, GgufWriter::empty());
        self.writer = writer.declare(name, tensor_type(tensor.precision), &dims).map_err(|problem| {
            InputError::new("config.json", format!("tensor `{name}`"), InputProblem::Gguf(problem))
        })?;
        self.tensors.push(tensor);
        Ok(())
    }

    pub(super) fn tensors(&self) -> &[PlannedTensor] {
        &self.tensors
    }

    /// Bytes of all tensors.
    pub(super) fn bytes(&self) -> u64 {
        self.tensors.iter().map(PlannedTensor::bytes).sum()
    }

    /// Writes the file; `progress` hears of each piece, in bytes, and may break off.
    pub(super) fn write(
        &self,
        part: &mut PartFile,
        checkpoint: &Checkpoint,
        lane: &Lane,
        progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<(), ConvertError> {
        let path = part.path().to_owned();
        let failed = |source| ConvertError::Write { path: path.clone(), source };
        let mut stream = self.writer.stream(part.file()).map_err(failed)?;
        let (mut numbers, mut bytes) = (Vec::new(), Vec::new());
        for tensor in &self.tensors {
            let source = match &tensor.from {
                From::Checkpoint(taken) => Some(checkpoint.source(taken)),
                From::Made(_) => None,
            };
            let mut piece = Piece { tensor, source, numbers: &mut numbers, bytes: &mut bytes };
            piece.write_all(lane, &mut stream, &failed, progress)?;
            if let Some(source) = piece.source {
                source.release();
            }
        }
        stream.finish().map_err(failed).map(drop)
    }
}

/// A tensor on its way, a few rows at a time.
struct Piece<'a> {
    tensor: &'a PlannedTensor,
    source: Option<Source<'a>>,
    numbers: &'a mut Vec<f32>,
    bytes: &'a mut Vec<u8>,
}

impl Piece<'_> {
    fn write_all<W: Write>(
        &mut self,
        lane: &Lane,
        stream: &mut GgufStream<W>,
        failed: &impl Fn(std::io::Error) -> ConvertError,
        progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<(), ConvertError> {
        let PlannedTensor { rows, width, precision, .. } = *self.tensor;
        let at_once = (AT_A_TIME / width.max(1)).clamp(1, rows.max(1));
        for first in (0..rows).step_by(at_once) {
            let count = at_once.min(rows - first);
            self.read(lane, first, count)?;
            let len = precision.format().row_bytes(width).unwrap_or(0) * count;
            self.bytes.resize(len, 0);
            kernels::quantize(lane, precision, self.numbers, self.bytes)
                .expect("rows of whole blocks, and as many bytes as they take");
            stream.write(self.bytes).map_err(failed)?;
            if progress(len as u64).is_break() {
                return Err(ConvertError::Interrupted);
            }
        }
        Ok(())
    }

    /// Reads rows as the file has them and checks their numbers.
    fn read(&mut self, lane: &Lane, first: usize, count: usize) -> Result<(), InputError> {
        let PlannedTensor { width, order, .. } = *self.tensor;
        self.numbers.resize(count * width, 0.0);
        match (&self.source, &self.tensor.from) {
            (Some(source), _) => {
                // Some rows to a task, so that a vector whose order changes is no task for each number.
                let rows = (1 << 14) / width.max(1) + 1;
                lane.for_each_chunk_mut(self.numbers, rows * width, |task, out| {
                    for (row, out) in out.chunks_mut(width).enumerate() {
                        let row = order.source_row(first + task * rows + row);
                        source.read(row * width..(row + 1) * width, out);
                    }
                });
                self.check(source)
            }
            (None, From::Made(made)) => {
                self.numbers.copy_from_slice(&made[first * width..][..count * width]);
                Ok(())
            }
            (None, From::Checkpoint(_)) => Ok(()),
        }
    }

    /// A number that would be written as infinite would silently ruin what the model says.
    fn check(&self, source: &Source<'_>) -> Result<(), InputError> {
        let precision = self.tensor.precision;
        let most = precision.largest();
        // False for what is no number, too.
        let fits = |number: &f32| number.abs() <= most;
        // Counted, which the compiler makes wide; the culprit is looked for only where there is one.
        if self.numbers.iter().filter(|number| fits(number)).count() == self.numbers.len() {
            return Ok(());
        }
        let culprit = self.numbers.iter().find(|number| !fits(number)).copied().unwrap_or(f32::NAN);
        let expected = match culprit.is_finite() {
            true => format!("numbers of at most {most:e}, which {} can hold", precision.format()),
            false => "finite numbers".to_owned(),
        };
        Err(source.unlike(expected, format!("{culprit:e}")))
    }
}
