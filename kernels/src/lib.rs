//! Low-bit numerics on lent compute lanes. Opens no file, starts no thread, knows no model.
#![deny(unsafe_code)]
