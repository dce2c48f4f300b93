//! Graphics processors: what adapters there are, and one that is opened: buffers, pipelines and submissions.
//!
//! Nothing of a driver is loaded before [`adapters`] or [`Gpu::open`] is called. What goes wrong on a device comes back as
//! a [`GpuError`], out of memory and a lost device included; nothing here panics because of a driver. Bodies of shaders
//! are the callers': this knows texts, bindings and bytes.

mod adapter;
mod buffer;
mod device;
mod error;
mod pipeline;
mod pipeline_cache;
mod recorder;

pub use adapter::{GpuAdapter, GpuChoice, GpuFeatures, GpuKind, GpuLimits, adapters};
pub use buffer::{Buffer, BufferUse};
pub use device::Gpu;
pub use error::GpuError;
pub use pipeline::{Access, Bindings, Pipeline, PipelineText};
pub use recorder::{Recorder, Submission};

/// What a future that is complete when it is made is worth. Those of native adapters, devices and error scopes are.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::yield_now();
    }
}

#[cfg(test)]
mod tests;
