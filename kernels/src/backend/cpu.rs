//! The CPU as a backend: weights in panels, rows and caches in the machine's memory, work on lent lanes.

use half::f16;
use nanomind_hal::{AllocationError, Lane};

use super::{Backend, CpuPass, CpuWorkspace, Decoder, KvCache, KvGeometry, KvRange, Span, WeightMatrix};
use crate::{Format, Isa, KvFormat, Matrix, RopeTable, ShapeError};

/// The CPU, by the instruction set to compute with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu {
    isa: Isa,
}

impl Cpu {
    /// Computes with `isa`.
    #[must_use]
    pub const fn new(isa: Isa) -> Cpu {
        Cpu { isa }
    }

    /// The instruction set.
    #[must_use]
    pub const fn isa(self) -> Isa {
        self.isa
    }
}

impl Backend for Cpu {
    type Matrix = Matrix;
    type Vector = Vec<f32>;
    type Rope = RopeTable;
    type KvCache = KvCache;
    type Workspace = CpuWorkspace;
    type Pass<'a, 'b: 'a> = CpuPass<'a, 'b>;

    fn matrix(
        &self,
        lane: &Lane,
        format: Format,
        rows: usize,
        cols: usize,
        bytes: &[u8],
    ) -> Result<Matrix, ShapeError> {
        Matrix::pack(self.isa, lane, format, rows, cols, bytes)
    }

    fn row(&self, matrix: &Matrix, row: usize, out: &mut [f32]) -> bool {
        matrix.row(row, out);
        true
    }

    fn vector(&self, values: Vec<f32>) -> Result<Vec<f32>, ShapeError> {
        Ok(values)
    }

    fn rope(&self, table: RopeTable) -> Result<RopeTable, ShapeError> {
        Ok(table)
    }

    fn kv_cache(&self, geometry: KvGeometry, format: KvFormat, capacity: usize) -> Result<KvCache, ShapeError> {
        KvCache::new(geometry, format, capacity)
    }

    fn read_kv(&self, cache: &KvCache, range: &KvRange, keys: &mut [f16], values: &mut [f16]) {
        cache.read(range, keys, values);
    }

    fn write_kv(&self, cache: &mut KvCache, range: &KvRange, keys: &[f16], values: &[f16]) {
        cache.write(range, keys, values);
    }

    fn workspace(&self, decoder: &Decoder, rows: usize) -> Result<CpuWorkspace, ShapeError> {
        CpuWorkspace::new(decoder, self.isa, rows)
            .ok_or_else(|| AllocationError { bytes: CpuWorkspace::bytes(decoder, rows) }.into())
    }

    fn make_room(&self, decoder: &Decoder, workspace: &mut CpuWorkspace, rows: usize) {
        workspace.make_room(decoder, rows);
    }

    fn pass<'a, 'b: 'a>(
        &'a self,
        lane: &'a Lane,
        decoder: &'a Decoder,
        rope: &'a RopeTable,
        workspace: &'a mut CpuWorkspace,
        spans: &'a mut [Span<'b, Cpu>],
    ) -> CpuPass<'a, 'b> {
        CpuPass::new(self.isa, lane, decoder, rope, workspace, spans)
    }
}

impl WeightMatrix for Matrix {
    fn format(&self) -> Format {
        self.format()
    }

    fn rows(&self) -> usize {
        self.rows()
    }

    fn cols(&self) -> usize {
        self.cols()
    }

    fn packed_bytes(&self) -> usize {
        self.packed_bytes()
    }
}
