//! The CPU as a backend: weights in panels, rows and caches in the machine's memory, work on lent lanes.

use half::f16;
use nanomind_hal::{AllocationError, Lane};

use super::{Backend, BackendError, CpuPass, CpuWorkspace, Decoder, KvCache, KvGeometry, KvRange, Linear, Part, Span};
use crate::{Isa, KvFormat, RopeTable};

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
    type Linear = Linear;
    type Attention = [Linear; 3];
    type Gate = [Linear; 2];
    type Vector = Vec<f32>;
    type Rope = RopeTable;
    type KvCache = KvCache;
    type Workspace = CpuWorkspace;
    type Pass<'a, 'b: 'a> = CpuPass<'a, 'b>;

    fn linear(&self, lane: &Lane, part: Part<'_>) -> Result<Linear, BackendError> {
        Ok(Linear::pack(self.isa, lane, part)?)
    }

    fn attention(
        &self,
        lane: &Lane,
        parts: [Part<'_>; 3],
        taken: &mut dyn FnMut(),
    ) -> Result<[Linear; 3], BackendError> {
        let mut pack = |part| {
            let linear = Linear::pack(self.isa, lane, part)?;
            taken();
            Ok::<_, BackendError>(linear)
        };
        let [query, key, value] = parts;
        Ok([pack(query)?, pack(key)?, pack(value)?])
    }

    fn gate(&self, lane: &Lane, parts: [Part<'_>; 2], taken: &mut dyn FnMut()) -> Result<[Linear; 2], BackendError> {
        let mut pack = |part| {
            let linear = Linear::pack(self.isa, lane, part)?;
            taken();
            Ok::<_, BackendError>(linear)
        };
        let [gate, up] = parts;
        Ok([pack(gate)?, pack(up)?])
    }

    fn vector(&self, values: Vec<f32>) -> Result<Vec<f32>, BackendError> {
        Ok(values)
    }

    fn rope(&self, table: RopeTable, _positions: usize) -> Result<RopeTable, BackendError> {
        Ok(table)
    }

    fn row(&self, linear: &Linear, row: usize, out: &mut [f32]) -> bool {
        linear.matrix.row(row, out);
        true
    }

    fn kv_cache(&self, geometry: KvGeometry, format: KvFormat, capacity: usize) -> Result<KvCache, BackendError> {
        Ok(KvCache::new(geometry, format, capacity)?)
    }

    fn read_kv(
        &self,
        cache: &KvCache,
        range: &KvRange,
        keys: &mut [f16],
        values: &mut [f16],
    ) -> Result<(), BackendError> {
        cache.read(range, keys, values);
        Ok(())
    }

    fn write_kv(&self, cache: &mut KvCache, range: &KvRange, keys: &[f16], values: &[f16]) -> Result<(), BackendError> {
        cache.write(range, keys, values);
        Ok(())
    }

    fn workspace(&self, decoder: &Decoder, rows: usize) -> Result<CpuWorkspace, BackendError> {
        CpuWorkspace::new(decoder, self.isa, rows)
            .ok_or_else(|| AllocationError { bytes: CpuWorkspace::bytes(decoder, rows) }.into())
    }

    fn make_room(&self, decoder: &Decoder, workspace: &mut CpuWorkspace, rows: usize) -> Result<(), BackendError> {
        workspace.make_room(decoder, rows);
        Ok(())
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
