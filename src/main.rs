//! The `nanomind` command line.
fn main() {}
