//! The command line as a user runs it: the built program on problem files in a temporary directory.
//!
//! Settings are small (about a tenth of a second for each run), so what is checked is that the pieces fit: exit codes, what is
//! written and what is not, that the numbers in the files agree with each other and with the closed forms.
#![cfg(feature = "cli")]

mod bad_input;
mod benchmark;
mod certify;
mod commands;
mod controlled;
mod controlled_exit;
mod controlled_mutations;
mod controlled_refused;
mod desk;
mod failures;
mod files;
mod kinds;
mod mutations;
mod network;
mod parametric;
mod pift;
mod places;
mod rollout;
mod start;
mod stops;
mod sweep;
mod threads;
