//! A graphics processor as a backend: weights, rows and caches in its memory, a pass in one submission.

use std::sync::Arc;

use half::f16;
use half::slice::HalfFloatSliceExt;
use nanomind_hal::Lane;
use nanomind_hal::gpu::GpuError;

use super::{Backend, BackendError, Decoder, GpuPass, GpuWorkspace, Held, KvGeometry, KvRange, Part, Span};
use crate::gpu::{Epilogue, Kernels, KvCache, KvRows, Matrix, RopeAngles, Rows, Weights};
use crate::{KvFormat, RopeTable};

/// A graphics processor, by its kernels.
#[derive(Debug, Clone)]
pub struct Gpu {
    kernels: Arc<Kernels>,
}

impl Gpu {
    /// Computes with `kernels`.
    #[must_use]
    pub fn new(kernels: Arc<Kernels>) -> Gpu {
        Gpu { kernels }
    }

    /// The kernels of the device.
    #[must_use]
    pub fn kernels(&self) -> &Arc<Kernels> {
        &self.kernels
    }
}

/// A projection `W x + bias` on a device.
#[derive(Debug)]
pub struct GpuLinear {
    pub(super) matrix: Matrix,
    pub(super) bias: Option<Rows>,
}

impl GpuLinear {
    fn new(kernels: &Kernels, part: &Part<'_>) -> Result<GpuLinear, BackendError> {
        let Part { format, rows, cols, bytes, bias } = part;
        let bias = bias.as_ref().map(|bias| Rows::of(kernels, bias)).transpose()?;
        Ok(GpuLinear { matrix: Matrix::upload(kernels, *format, *rows, *cols, bytes)?, bias })
    }

    /// Projections of the same rows, which lie together so that one step can make them.
    fn together<const N: usize>(kernels: &Kernels, parts: &[Part<'_>; N]) -> Result<[GpuLinear; N], BackendError> {
        let weights = parts.each_ref().map(|part| {
            let Part { format, rows, cols, bytes, .. } = *part;
            Weights { format, rows, cols, bytes }
        });
        let matrices = Matrix::upload_together(kernels, weights)?;
        let mut biases = Vec::with_capacity(N);
        for part in parts {
            biases.push(part.bias.as_ref().map(|bias| Rows::of(kernels, bias)).transpose()?);
        }
        let mut biases = biases.into_iter();
        Ok(matrices.map(|matrix| GpuLinear { matrix, bias: biases.next().flatten() }))
    }

    /// What the product is stored with.
    pub(super) fn epilogue(&self) -> Epilogue<'_> {
        self.bias.as_ref().map_or(Epilogue::Store, Epilogue::Bias)
    }

    /// What the product is added to a residual stream with.
    pub(super) fn accumulate(&self) -> Epilogue<'_> {
        self.bias.as_ref().map_or(Epilogue::Accumulate, Epilogue::AccumulateBias)
    }
}

impl Held for GpuLinear {
    fn bytes(&self) -> u64 {
        self.matrix.bytes()
    }
}

/// Keys and values of one sequence on a device.
#[derive(Debug)]
pub struct GpuKvCache {
    geometry: KvGeometry,
    pub(super) layers: Vec<KvCache>,
}

impl GpuKvCache {
    /// Where heads of layer `index` of a range begin in the interchange, `[layer][head][position][head_dim]`, and where in
    /// the rows of the layer, `[position][head][head_dim]`.
    fn places(&self, range: &KvRange, index: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let KvGeometry { kv_heads, head_dim, .. } = self.geometry;
        let (heads, positions) = (range.heads.clone(), range.positions.len());
        let first = index * heads.len();
        heads.enumerate().flat_map(move |(at, head)| {
            (0..positions).map(move |position| {
                let there = (first + at) * positions + position;
                (there * head_dim, (position * kv_heads + head) * head_dim)
            })
        })
    }
}

impl Backend for Gpu {
    type Linear = GpuLinear;
    type Attention = [GpuLinear; 3];
    type Gate = [GpuLinear; 2];
    type Vector = Rows;
    type Rope = RopeAngles;
    type KvCache = GpuKvCache;
    type Workspace = GpuWorkspace;
    type Pass<'a, 'b: 'a> = GpuPass<'a, 'b>;

    fn linear(&self, _lane: &Lane, part: Part<'_>) -> Result<GpuLinear, BackendError> {
        GpuLinear::new(&self.kernels, &part)
    }

    fn attention(
        &self,
        _lane: &Lane,
        parts: [Part<'_>; 3],
        taken: &mut dyn FnMut(),
    ) -> Result<[GpuLinear; 3], BackendError> {
        let linears = GpuLinear::together(&self.kernels, &parts)?;
        parts.iter().for_each(|_| taken());
        Ok(linears)
    }

    fn gate(
        &self,
        _lane: &Lane,
        parts: [Part<'_>; 2],
        taken: &mut dyn FnMut(),
    ) -> Result<[GpuLinear; 2], BackendError> {
        let linears = GpuLinear::together(&self.kernels, &parts)?;
        parts.iter().for_each(|_| taken());
        Ok(linears)
    }

    fn vector(&self, values: Vec<f32>) -> Result<Rows, BackendError> {
        Ok(Rows::of(&self.kernels, &values)?)
    }

    fn rope(&self, table: RopeTable, positions: usize) -> Result<RopeAngles, BackendError> {
        match table.rotated() {
            values if values.is_multiple_of(4) => Ok(RopeAngles::new(&self.kernels, &table, positions)?),
            values => Err(BackendError::Rotated { values }),
        }
    }

    fn row(&self, _linear: &GpuLinear, _row: usize, _out: &mut [f32]) -> bool {
        false
    }

    fn kv_cache(&self, geometry: KvGeometry, format: KvFormat, capacity: usize) -> Result<GpuKvCache, BackendError> {
        let KvGeometry { layers, kv_heads, head_dim } = geometry;
        if format != KvFormat::F16 {
            return Err(BackendError::KvFormat { format });
        }
        if !head_dim.is_multiple_of(4) || head_dim > 256 {
            return Err(BackendError::HeadDim { head_dim });
        }
        let layer = |_| KvCache::new(&self.kernels, capacity, kv_heads, head_dim);
        let layers = (0..layers).map(layer).collect::<Result<_, GpuError>>()?;
        Ok(GpuKvCache { geometry, layers })
    }

    fn read_kv(
        &self,
        cache: &GpuKvCache,
        range: &KvRange,
        keys: &mut [f16],
        values: &mut [f16],
    ) -> Result<(), BackendError> {
        let (mut rows, head_dim) = (KvRows::default(), cache.geometry.head_dim);
        for (index, layer) in range.layers.clone().enumerate() {
            cache.layers[layer].export(&self.kernels, range.positions.clone(), &mut rows)?;
            for (to, from) in cache.places(range, index) {
                for (out, rows) in [(&mut *keys, &rows.keys), (&mut *values, &rows.values)] {
                    out[to..to + head_dim].reinterpret_cast_mut().copy_from_slice(&rows[from..from + head_dim]);
                }
            }
        }
        Ok(())
    }

    fn write_kv(
        &self,
        cache: &mut GpuKvCache,
        range: &KvRange,
        keys: &[f16],
        values: &[f16],
    ) -> Result<(), BackendError> {
        let (mut rows, head_dim) = (KvRows::default(), cache.geometry.head_dim);
        let all_heads = range.heads.len() == cache.geometry.kv_heads;
        let each = range.positions.len() * cache.geometry.kv_heads * head_dim;
        for (index, layer) in range.layers.clone().enumerate() {
            if all_heads {
                rows.keys.resize(each, 0);
                rows.values.resize(each, 0);
            } else {
                // Positions are sent whole: the other heads of theirs stay as they are.
                cache.layers[layer].export(&self.kernels, range.positions.clone(), &mut rows)?;
            }
            for (from, to) in cache.places(range, index) {
                for (state, rows) in [(keys, &mut rows.keys), (values, &mut rows.values)] {
                    rows[to..to + head_dim].copy_from_slice(state[from..from + head_dim].reinterpret_cast());
                }
            }
            cache.layers[layer].import(&self.kernels, range.positions.start, &rows)?;
        }
        Ok(())
    }

    fn workspace(&self, decoder: &Decoder, rows: usize) -> Result<GpuWorkspace, BackendError> {
        Ok(GpuWorkspace::new(&self.kernels, decoder, rows)?)
    }

    fn make_room(&self, decoder: &Decoder, workspace: &mut GpuWorkspace, rows: usize) -> Result<(), BackendError> {
        if workspace.rows() < rows {
            *workspace = GpuWorkspace::new(&self.kernels, decoder, rows)?;
        }
        Ok(())
    }

    fn pass<'a, 'b: 'a>(
        &'a self,
        _lane: &'a Lane,
        decoder: &'a Decoder,
        rope: &'a RopeAngles,
        workspace: &'a mut GpuWorkspace,
        spans: &'a mut [Span<'b, Gpu>],
    ) -> GpuPass<'a, 'b> {
        GpuPass::new(&self.kernels, decoder, rope, workspace, spans)
    }
}
