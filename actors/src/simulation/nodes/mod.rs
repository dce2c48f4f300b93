//! Simulated nodes: the same kinds, ports and fields as those of a run, other bodies. Bricks submit the jobs that the shape
//! of their model makes, of the same phases and cut by the same predictions, with nothing in them; sensors send what the
//! scenario has happen; sinks take the time.

pub(super) mod camera;
pub(super) mod embedding;
pub(super) mod eye;
pub(super) mod mind;
pub(super) mod people;
pub(super) mod projector;
pub(super) mod sink;
mod words;

pub(crate) use words::tokens;
