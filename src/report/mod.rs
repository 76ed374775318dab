//! What a run leaves behind: `report.json`, arrays for numpy, figures.
//!
//! The drawing layer (`figure`, `npz`) takes plain arrays and knows no solver; `document`, `slices` and `draw` turn runs into them.
//!
//! | wanted | type | file |
//! |---|---|---|
//! | arrays for numpy (`solution.npz`) | [`NpzFile`] | `report/npz.rs` |
//! | figures (`.svg` and `.png`) | [`figure::Figure`], [`figure::save`] | `report/figure/` |
//! | `report.json` | [`Report`] | `report/document.rs` |
//! | value and control over time | [`Slices`] | `report/slices.rs` |
//! | the page of a run (`report.html`) | [`html::write`] | `report/html/` |
//! | the figures of a command | [`draw`], [`draw_controlled`], [`draw_rollout`] | `report/draw.rs`, `report/draw_controlled.rs`, `report/draw_rollout.rs` |
//! | saved paths (`paths.npz`) | [`write_paths`] | `report/saved_paths.rs` |
//! | what may be overwritten | [`OutputDirectory`] | `report/directory.rs` |
//!
//! Every file appears whole or not at all: it is written beside its target and renamed over it.
//!
//! ```
//! use hjbridge::report::figure::{Convergence, ConvergenceSeries, save};
//! # fn main() -> Result<(), hjbridge::report::ReportError> {
//! let value = ConvergenceSeries {
//!     label: "V",
//!     steps: &[32, 64, 128],
//!     errors: &[2.6e-2, 1.4e-2, 7.1e-3],
//!     order: Some(0.95),
//!     fitted: 0,
//! };
//! let figure = Convergence {
//!     title: "Discretisation error",
//!     x_label: "steps N",
//!     y_label: "sup error",
//!     series: &[value],
//!     reference_orders: &[1.0],
//! };
//! let directory = std::env::temp_dir().join("hjbridge-doc");
//! let info = save(&figure, &directory, "convergence")?;
//! assert!(info.svg.exists() && info.png.exists() && info.notes.is_empty());
//! # std::fs::remove_dir_all(&directory).ok();
//! # Ok(())
//! # }
//! ```

pub(crate) mod atomic;
mod directory;
mod document;
pub mod draw;
pub mod draw_benchmark;
pub mod draw_certify;
pub mod draw_controlled;
mod draw_final_law;
mod draw_leading;
mod draw_marks;
pub mod draw_parametric;
mod draw_plane;
pub mod draw_rollout;
pub mod draw_sweep;
mod error;
pub mod figure;
pub mod html;
mod npz;
mod saved_paths;
mod slices;
mod table;

pub use directory::{BENCHMARK, BENCHMARK_PAGE, CERTIFY, OutputDirectory, PATHS, REPORT, SOLUTION, SWEEP, TRAINING};
pub use document::{FORMAT, Report};
pub use error::ReportError;
pub use npz::NpzFile;
pub use saved_paths::write_paths;
pub use slices::{SLICES, Slices};
pub use table::{write_csv, write_text};
