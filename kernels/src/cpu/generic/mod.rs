//! The algorithms, each written once over [`super::vector::Vector`] or over plain arrays that the compiler turns into
//! the registers of each instruction set.

pub(crate) mod attention;
mod attention_tile;
pub(crate) mod ceiling;
pub(crate) mod float_load;
pub(crate) mod float_tile;
pub(crate) mod halves;
pub(crate) mod kv_rows;
pub(crate) mod load;
pub(crate) mod matmul;
pub(crate) mod rows;
pub(crate) mod source;
pub(crate) mod stretch;
pub(crate) mod tile;
pub(crate) mod unpacked;
