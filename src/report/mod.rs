//! What a run leaves behind: arrays for numpy and figures. Plain arrays in, files out; no solver type is known here.
//!
//! | wanted | type | file |
//! |---|---|---|
//! | arrays for numpy (`solution.npz`) | [`NpzFile`] | `report/npz.rs` |
//! | figures (`.svg` and `.png`) | [`figure::Figure`], [`figure::save`] | `report/figure/` |
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

mod atomic;
mod error;
pub mod figure;
mod npz;

pub use error::ReportError;
pub use npz::NpzFile;
