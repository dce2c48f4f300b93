//! The graph language: document, diagnostics, port types, checks, plan, pictures. Opens no file, starts no thread.
#![forbid(unsafe_code)]
