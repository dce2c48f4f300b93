//! Kernels of graphics processors against the oracles of those of the CPU, on whichever adapter there is.

mod attention;
mod products;
mod values;

#[path = "../common/mod.rs"]
mod common;

use std::sync::LazyLock;

use nanomind_hal::gpu::{Gpu, GpuChoice};
use nanomind_kernels::gpu::{Kernels, Rows};

/// The kernels of one device for all tests, so that each pipeline is compiled once.
static KERNELS: LazyLock<Kernels> = LazyLock::new(|| {
    let gpu = Gpu::open(&GpuChoice::Best, None).expect("an adapter: install mesa-vulkan-drivers and libvulkan1");
    Kernels::new(gpu).expect("kernels")
});

/// Rows on the device that hold these values.
fn rows(width: usize, values: &[f32]) -> Rows {
    let rows = Rows::new(&KERNELS, values.len() / width, width).expect("memory");
    rows.write(&KERNELS, 0, values).expect("sent");
    rows
}

/// All values of rows.
fn read(rows: &Rows) -> Vec<f32> {
    let mut values = vec![0.0; rows.rows() * rows.width()];
    rows.read(&KERNELS, 0, &mut values).expect("read");
    values
}

/// Fails unless all values are within 1e-3 of what is expected, in parts of its root mean square.
fn expect_close(what: &str, found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let square: f64 = expected.iter().map(|value| value * value).sum();
    let bar = 1e-3 * (square / expected.len() as f64).sqrt();
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let off = (f64::from(*found) - expected).abs();
        assert!(off <= bar, "{what}: value {at} is {found}, expected {expected}, off by {off:e}, at most {bar:e}");
    }
}
