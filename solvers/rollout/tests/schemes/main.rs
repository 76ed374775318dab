//! Every scheme against exact laws and exact solutions, on every kind of time grid, with every source of noise.
#![allow(missing_docs)]

mod bad_input;
#[path = "../common/mod.rs"]
mod common;
mod every_scheme;
mod kernels;
mod moments;
mod problems;
mod runs;
mod strong;
mod table;
