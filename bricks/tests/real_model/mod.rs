//! The real model that tests of several binaries run on: on this machine already, or fetched now.

use std::path::PathBuf;

use nanomind_bricks::store::{ModelRef, Store, StoreSettings};

/// The file of SmolLM2, pulled if it is not here; a test that cannot have it fails.
pub(crate) fn smollm2() -> PathBuf {
    let store = Store::open(StoreSettings::from_environment().unwrap());
    let pulled = store.pull(&ModelRef::Name("smollm2-135m".into()), &mut |_| {});
    pulled.unwrap_or_else(|error| panic!("this test needs SmolLM2, and it cannot be fetched: {error}")).path
}
