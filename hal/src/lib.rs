//! What the machine offers: accelerators, memory, power and time. Knows no model, no graph and no actor.
#![deny(unsafe_code)]
