//! The library as a program or a notebook meets it: errors, damaged input, what Python reads.

mod errors;
mod python;
mod readers;
