//! Where a model computes: the steps of a transformer, over which its forward pass is written once.
//!
//! A [`Backend`] holds weights, caches and intermediate rows in memory of its own, and its [`Pass`] takes the steps of a
//! decoder on them. Steps are as coarse as a backend may want to fuse them, and as fine as decoders differ. What a step
//! means is said here; how it is cut, fused and scheduled is the backend's affair.

mod cpu;
mod cpu_pass;
mod cpu_workspace;
mod decoder;
mod kv_cache;
mod linear;

use nanomind_hal::Lane;

pub use cpu::Cpu;
pub use cpu_pass::CpuPass;
pub use cpu_workspace::CpuWorkspace;
pub use decoder::{Decoder, Input, Inputs, KvGeometry, KvRange, Span, Table};
pub use kv_cache::KvCache;
pub use linear::{Linear, WeightMatrix};

use crate::{Format, KvFormat, RopeTable, ShapeError};

/// A place that models are computed at, and what it keeps of them.
pub trait Backend: Clone + Send + Sync + 'static {
    /// Weights `[rows, cols]`, in whichever layout suits.
    type Matrix: WeightMatrix + Send + Sync;
    /// Numbers beside the matrices: the weights of norms, biases.
    type Vector: Send + Sync;
    /// What turns queries and keys by their positions.
    type Rope: Send + Sync;
    /// Keys and values of one sequence.
    type KvCache: Send + Sync;
    /// Intermediate rows of one pass, which the next one overwrites.
    type Workspace: Send + Sync;
    /// Rows on their way through a model.
    type Pass<'a, 'b: 'a>: Pass<Self>;

    /// Takes the weights of a file, row after row of `cols` values in `format`. Host work is done on `lane`.
    ///
    /// # Errors
    /// The bytes do not fit the shape, or there is no memory for them.
    fn matrix(
        &self,
        lane: &Lane,
        format: Format,
        rows: usize,
        cols: usize,
        bytes: &[u8],
    ) -> Result<Self::Matrix, ShapeError>;

    /// Writes row `row` of `matrix` to `out`, `[cols]`, as [`crate::dequantize()`] has it, and says so: `false` where the
    /// host cannot read what was taken.
    ///
    /// # Panics
    /// There is no such row, or `out` has another length.
    fn row(&self, matrix: &Self::Matrix, row: usize, out: &mut [f32]) -> bool;

    /// Takes numbers.
    ///
    /// # Errors
    /// There is no memory for them.
    fn vector(&self, values: Vec<f32>) -> Result<Self::Vector, ShapeError>;

    /// Takes the angles of a model.
    ///
    /// # Errors
    /// There is no memory for them.
    fn rope(&self, table: RopeTable) -> Result<Self::Rope, ShapeError>;

    /// A cache for `capacity` positions.
    ///
    /// # Errors
    /// [`ShapeError::UnevenHead`] where a head is no whole number of the format's blocks, another where there is no
    /// memory.
    fn kv_cache(&self, geometry: KvGeometry, format: KvFormat, capacity: usize) -> Result<Self::KvCache, ShapeError>;

    /// Writes keys and values of `range` to `keys` and `values`, `[layer][head][position][head_dim]` each, as far as they
    /// are kept in half precision bit for bit.
    ///
    /// # Panics
    /// The range leaves the cache, or a slice has another length than [`KvRange::vectors`] heads.
    fn read_kv(&self, cache: &Self::KvCache, range: &KvRange, keys: &mut [half::f16], values: &mut [half::f16]);

    /// The reverse of [`Backend::read_kv`].
    ///
    /// # Panics
    /// As [`Backend::read_kv`].
    fn write_kv(&self, cache: &mut Self::KvCache, range: &KvRange, keys: &[half::f16], values: &[half::f16]);

    /// Memory for passes of up to `rows` rows.
    ///
    /// # Errors
    /// There is none.
    fn workspace(&self, decoder: &Decoder, rows: usize) -> Result<Self::Workspace, ShapeError>;

    /// Makes room for passes of up to `rows` rows, if there is none: several sequences may bring more than a chunk.
    fn make_room(&self, decoder: &Decoder, workspace: &mut Self::Workspace, rows: usize);

    /// A pass over all rows of `spans`, for which `workspace` has room.
    fn pass<'a, 'b: 'a>(
        &'a self,
        lane: &'a Lane,
        decoder: &'a Decoder,
        rope: &'a Self::Rope,
        workspace: &'a mut Self::Workspace,
        spans: &'a mut [Span<'b, Self>],
    ) -> Self::Pass<'a, 'b>;
}

/// The steps that rows take through a decoder: once [`Pass::embed`], then for each layer [`Pass::project_attention`],
/// [`Pass::store`] and, for the rows that are still wanted, [`Pass::attend`] and [`Pass::feed_forward`], and in the end
/// [`Pass::head`]. `from` is the first row that a step is taken for.
pub trait Pass<B: Backend> {
    /// Begins the residual stream: tokens are looked up in `table`, rows of slots taken as they are.
    fn embed(&mut self, table: &Table<'_, B>);

    /// Queries, keys and values of every row, by projections of its RMS norm.
    fn project_attention(&mut self, norm: &B::Vector, query: &Linear<B>, key: &Linear<B>, value: &Linear<B>);

    /// Turns queries and keys by their positions, and writes keys and values to their places in layer `layer` of the
    /// caches.
    fn store(&mut self, layer: usize);

    /// Attention of rows over every position of their sequences up to their own, projected by `output` and added to the
    /// residual stream.
    fn attend(&mut self, layer: usize, output: &Linear<B>, from: usize);

    /// `down(silu(gate(x)) · up(x))` of the RMS norm `x`, added to the residual stream.
    fn feed_forward(&mut self, norm: &B::Vector, gate: &Linear<B>, up: &Linear<B>, down: &Linear<B>, from: usize);

    /// Logits of rows, `[rows, vocab]`, by a projection of their RMS norm.
    fn head(&mut self, norm: &B::Vector, head: &Linear<B>, from: usize, logits: &mut [f32]);
}
