//! nanomind runs large multimodal models as a dataflow graph of actors on small battery-powered machines.
#![forbid(unsafe_code)]

pub use nanomind_actors as actors;
pub use nanomind_bricks as bricks;
pub use nanomind_graphs as graphs;
pub use nanomind_hal as hal;
pub use nanomind_kernels as kernels;
