//! The search against trying everything, and what the objective makes of simple machines.
