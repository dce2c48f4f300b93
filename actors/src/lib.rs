//! The actors that run a graph: sensors, bricks, sinks, accelerators, supervisor and governor. Contains no numerics.
#![forbid(unsafe_code)]
