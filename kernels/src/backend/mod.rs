//! Where a model computes: the steps of a transformer, over which its forward pass is written once.
//!
//! A [`Backend`] holds weights, caches and intermediate rows in memory of its own, and its [`Pass`] takes the steps of a
//! decoder on them. Steps are as coarse as a backend may want to fuse them, and as fine as decoders differ. What a step
//! means is said here; how it is cut, fused and scheduled is the backend's affair.

mod cpu;
mod cpu_pass;
mod cpu_workspace;
mod decoder;
mod error;
#[cfg(feature = "gpu")]
mod gpu;
#[cfg(feature = "gpu")]
mod gpu_pass;
#[cfg(feature = "gpu")]
mod gpu_workspace;
mod kv_cache;
mod linear;
mod part;

use nanomind_hal::Lane;

pub use cpu::Cpu;
pub use cpu_pass::CpuPass;
pub use cpu_workspace::CpuWorkspace;
pub use decoder::{Answer, Decoder, Input, Inputs, KvGeometry, KvRange, Span, Table};
pub use error::BackendError;
#[cfg(feature = "gpu")]
pub use gpu::{Gpu, GpuKvCache, GpuLinear};
#[cfg(feature = "gpu")]
pub use gpu_pass::GpuPass;
#[cfg(feature = "gpu")]
pub use gpu_workspace::GpuWorkspace;
pub use kv_cache::KvCache;
pub use linear::Linear;
pub use part::{Held, Part};

use crate::{KvFormat, RopeTable};

/// A place that models are computed at, and what it keeps of them.
pub trait Backend: Clone + Send + Sync + 'static {
    /// A projection `W x + bias`.
    type Linear: Held + Send + Sync;
    /// Projections of the same rows to queries, keys and values.
    type Attention: Held + Send + Sync;
    /// Projections of the same rows to a gate and what it lets through.
    type Gate: Held + Send + Sync;
    /// The weights of a norm.
    type Vector: Send + Sync;
    /// What turns queries and keys by their positions.
    type Rope: Send + Sync;
    /// Keys and values of one sequence.
    type KvCache: Send + Sync;
    /// Intermediate rows of one pass, which the next one overwrites.
    type Workspace: Send + Sync;
    /// Rows on their way through a model.
    type Pass<'a, 'b: 'a>: Pass<Self>;

    /// Takes a projection. Host work is done on `lane`.
    ///
    /// # Errors
    /// The bytes do not fit the shape, or there is no memory for them.
    fn linear(&self, lane: &Lane, part: Part<'_>) -> Result<Self::Linear, BackendError>;

    /// Takes the projections to queries, keys and values. `taken` hears of each whose bytes are not needed any more.
    ///
    /// # Errors
    /// As [`Backend::linear`].
    fn attention(
        &self,
        lane: &Lane,
        parts: [Part<'_>; 3],
        taken: &mut dyn FnMut(),
    ) -> Result<Self::Attention, BackendError>;

    /// Takes the projections to a gate and what it lets through. `taken` hears of each whose bytes are not needed any
    /// more.
    ///
    /// # Errors
    /// As [`Backend::linear`].
    fn gate(&self, lane: &Lane, parts: [Part<'_>; 2], taken: &mut dyn FnMut()) -> Result<Self::Gate, BackendError>;

    /// Takes the weights of a norm.
    ///
    /// # Errors
    /// There is no memory for them.
    fn vector(&self, values: Vec<f32>) -> Result<Self::Vector, BackendError>;

    /// Takes the angles of a model for `positions` positions.
    ///
    /// # Errors
    /// There is no memory for them.
    fn rope(&self, table: RopeTable, positions: usize) -> Result<Self::Rope, BackendError>;

    /// Writes row `row` of a projection's weights to `out`, `[cols]`, as [`crate::dequantize()`] has it, and says so: `false`
    /// where the host cannot read what was taken.
    ///
    /// # Panics
    /// There is no such row, or `out` has another length.
    fn row(&self, linear: &Self::Linear, row: usize, out: &mut [f32]) -> bool;

    /// A cache for `capacity` positions.
    ///
    /// # Errors
    /// [`crate::ShapeError::UnevenHead`] where a head is no whole number of the format's blocks, another where there is no
    /// memory.
    fn kv_cache(&self, geometry: KvGeometry, format: KvFormat, capacity: usize) -> Result<Self::KvCache, BackendError>;

    /// Writes keys and values of `range` to `keys` and `values`, `[layer][head][position][head_dim]` each: bit for bit what
    /// is kept in half precision.
    ///
    /// # Errors
    /// The device is lost.
    ///
    /// # Panics
    /// The range leaves the cache, or a slice has another length than [`KvRange::vectors`] heads.
    fn read_kv(
        &self,
        cache: &Self::KvCache,
        range: &KvRange,
        keys: &mut [half::f16],
        values: &mut [half::f16],
    ) -> Result<(), BackendError>;

    /// The reverse of [`Backend::read_kv`].
    ///
    /// # Errors
    /// As [`Backend::read_kv`].
    ///
    /// # Panics
    /// As [`Backend::read_kv`].
    fn write_kv(
        &self,
        cache: &mut Self::KvCache,
        range: &KvRange,
        keys: &[half::f16],
        values: &[half::f16],
    ) -> Result<(), BackendError>;

    /// Memory for passes of up to `rows` rows.
    ///
    /// # Errors
    /// There is none.
    fn workspace(&self, decoder: &Decoder, rows: usize) -> Result<Self::Workspace, BackendError>;

    /// Makes room for passes of up to `rows` rows, if there is none: several sequences may bring more than a chunk.
    ///
    /// # Errors
    /// There is none.
    fn make_room(&self, decoder: &Decoder, workspace: &mut Self::Workspace, rows: usize) -> Result<(), BackendError>;

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

/// The steps that rows take through a decoder: once [`Pass::embed`], then for each layer [`Pass::project`], [`Pass::store`]
/// and, for the rows that are still wanted, [`Pass::attend`] and [`Pass::feed_forward`], and in the end [`Pass::head`] or
/// [`Pass::finish`]. `from` is the first row that a step is taken for. What goes wrong on the way is said at the end.
pub trait Pass<B: Backend> {
    /// Begins the residual stream: tokens are looked up in `table`, rows of slots taken as they are.
    fn embed(&mut self, table: &Table<'_, B>);

    /// Queries, keys and values of every row, by projections of its RMS norm.
    fn project(&mut self, norm: &B::Vector, projections: &B::Attention);

    /// Turns queries and keys by their positions, and writes keys and values to their places in layer `layer` of the
    /// caches.
    fn store(&mut self, layer: usize);

    /// Attention of rows over every position of their sequences up to their own, projected by `output` and added to the
    /// residual stream.
    fn attend(&mut self, layer: usize, output: &B::Linear, from: usize);

    /// `down(silu(gate(x)) · up(x))` of the RMS norm `x`, added to the residual stream.
    fn feed_forward(&mut self, norm: &B::Vector, gate: &B::Gate, down: &B::Linear, from: usize);

    /// Logits of rows, by a projection of their RMS norm, or what is picked by them.
    ///
    /// # Errors
    /// A step failed. What was written to the caches is then of no use.
    fn head(self, norm: &B::Vector, head: &B::Linear, from: usize, answer: Answer<'_>) -> Result<(), BackendError>;

    /// Ends a pass of which no row needs an answer.
    ///
    /// # Errors
    /// As [`Pass::head`].
    fn finish(self) -> Result<(), BackendError>;
}
