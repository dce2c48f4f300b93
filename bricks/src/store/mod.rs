//! The models on this machine: names, references, the cache, and fetching what is not there yet.
mod catalogue;
mod digest;

pub use catalogue::{CATALOGUE, CatalogueEntry, CatalogueSource, catalogue_entry};
pub use digest::{InvalidDigest, Sha256};
