//! The little that the algorithms ask of an instruction set: the memchr way of writing each of them once.

use super::generic::load;
use crate::block::GROUP;

/// A register file's worth of operations on `LANES` rows (or columns) at a time.
///
/// # Safety
/// Every function may use instructions that only the implementor's instruction set has, so a caller runs on a machine
/// that has it and inlines into a function with those target features. Pointers are valid for the access that the
/// function describes; none needs alignment beyond that of its type, codes excepted: they may be read as aligned
/// vectors.
pub(crate) unsafe trait Vector {
    /// Lanes of [`Vector::Floats`]; divides [`crate::panel::PANEL_ROWS`].
    const LANES: usize;
    /// Panels of the widest tile of an integer product, 1 or 2: the registers hold so many times [`TILE`] sums of both
    /// planes and as many totals. A tile of two is of panels that have been unpacked.
    ///
    /// [`TILE`]: crate::activations::TILE
    const PANELS: usize;
    /// Panels of the widest tile of a float product, 1 or 2: 32 rows at most, and so two vectors at most.
    const FLOAT_PANELS: usize;
    /// Tokens of the widest tile of a float product: 12, 6, 4, 2 or 1.
    const FLOAT_TOKENS: usize;
    /// `LANES` rows × 4 unsigned codes.
    type Codes: Copy;
    /// Integer dot products of `LANES` rows, in progress.
    type Sums: Copy;
    /// `LANES` single-precision values.
    type Floats: Copy;

    /// Reads `4 · LANES` bytes of codes.
    unsafe fn codes(from: *const u8) -> Self::Codes;
    /// The low nibble of each byte.
    unsafe fn low(codes: Self::Codes) -> Self::Codes;
    /// The high nibble of each byte.
    unsafe fn high(codes: Self::Codes) -> Self::Codes;
    /// Each byte with those of the bits of `upper`'s byte that `mask` has, once that is shifted left by `left`, or right
    /// where `left` is negative. `mask` has none of the bits that come from the neighbouring byte.
    unsafe fn merge(codes: Self::Codes, upper: Self::Codes, left: i32, mask: u8) -> Self::Codes;
    /// Writes `4 · LANES` bytes of codes.
    unsafe fn store_codes(to: *mut u8, codes: Self::Codes);

    /// No products yet.
    unsafe fn no_sums() -> Self::Sums;
    /// What dot products of codes below `2^BITS` (4, 6 or 8) with the low plane start from where the code that means zero
    /// is `2^ZERO` (none if `ZERO` is 0): `start`, which is minus that code times the sum of the activations of both
    /// planes. Here, or else in [`Vector::finish`].
    unsafe fn start<const BITS: u32, const ZERO: u32>(start: *const i32) -> Self::Sums;
    /// Adds the products of each row's 4 codes with 4 activations of one plane, in −127..=127. At most 8 steps before
    /// [`Vector::finish`].
    unsafe fn dot<const BITS: u32>(sums: Self::Sums, codes: Self::Codes, activations: *const i8) -> Self::Sums;
    /// The dot products `Σ (code − zero) · activation` of both planes, to single precision.
    unsafe fn finish<const BITS: u32, const ZERO: u32>(
        high: Self::Sums,
        low: Self::Sums,
        start: *const i32,
    ) -> Self::Floats;

    /// All lanes zero.
    unsafe fn zero() -> Self::Floats;
    /// All lanes `value`.
    unsafe fn splat(value: f32) -> Self::Floats;
    /// Reads `LANES` values.
    unsafe fn load(from: *const f32) -> Self::Floats;
    /// Reads `LANES` half-precision values.
    unsafe fn load_f16(from: *const u16) -> Self::Floats;
    /// Reads `LANES` bfloat16 values.
    unsafe fn load_bf16(from: *const u16) -> Self::Floats;
    /// Reads `LANES` unsigned bytes.
    unsafe fn load_u8(from: *const u8) -> Self::Floats;
    /// Reads `LANES` signed bytes.
    unsafe fn load_i8(from: *const i8) -> Self::Floats;
    /// Writes `LANES` values.
    unsafe fn store(to: *mut f32, values: Self::Floats);
    /// Writes `LANES` values in half precision, rounded to nearest even.
    unsafe fn store_f16(to: *mut u16, values: Self::Floats);
    /// `a + b`.
    unsafe fn add(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a · b`.
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a · b + c`, rounded once where the machine can.
    unsafe fn mul_add(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;

    /// Rows of queries whose scores fit the registers: 8 or 4.
    const ATTENTION_ROWS: usize;

    /// Reads `LANES` rows, `stride` values apart, of `LANES` values; writes column `c`, one lane for each row, at
    /// `to + c · to_stride`.
    unsafe fn transpose(from: *const f32, stride: usize, to: *mut f32, to_stride: usize);

    /// Codes 32 values; the same bits as [`load::code_group`], which says what it gives.
    #[inline(always)]
    unsafe fn code_group(values: &[f32; GROUP], high: &mut [i8; GROUP], low: &mut [i8; GROUP]) -> (f32, [[i32; 2]; 2]) {
        load::code_group(values, high, low)
    }

    /// Asks the cache for the line at `at`, which need not exist.
    unsafe fn prefetch(at: *const u8);
}
