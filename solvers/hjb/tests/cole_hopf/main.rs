//! The Cole-Hopf route: exit problems of double wells against independent solutions, fine-tuning against its closed form.
#![allow(missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod exits;
mod horizon;
mod structure;
mod wells;
